"""A study: what the study file, the data and the structures say together, checked before any dynamics, ready to run.

    study = Study.from_toml("study.toml")
    result = study.run(out="runs/argon")

The loop itself, start structure -> sample -> update -> ... -> long sample -> report, is in `refine.run`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.bases import base_of
from refine.config import StudyConfig
from refine.errors import InputError
from refine.files import exclusive
from refine.potentials.pair import PairCorrection, SplineBasis
from refine.progress import NullProgress, Progress
from refine.refinement import make_rule
from refine.refinement.problem import MovingRule, Problem, Rule, Target
from refine.results import Result
from refine.run import Run
from refine.sampling.structures import System, make_system, read_structure
from refine.scattering.measurement import Box, Fit, ForwardModel, Measurement
from refine.units import BOLTZMANN

if TYPE_CHECKING:
    from refine.sampling.adjoint import Adjoint
    from refine.sampling.dynamics import CorrectedForceField, Sampler
    from refine.sampling.reverse_monte_carlo import ReverseMonteCarlo

Array = NDArray[np.float64]

BACKGROUND_SHARE = 0.1
"""Default prior of a free background, as a share of the curve's rms signal."""

WALL_STIFFNESS = 1000.0
"""kT/Å^2 of the wall below the sampled range."""


@dataclass(frozen=True)
class DataSet:
    """One [[data]] entry bound to its state's box."""

    name: str
    state: int
    role: str
    measurement: Measurement
    fit: Fit


class Study:
    """A study and its run.

    Args:
        config: the validated study file.

    Raises:
        InputError: anything that data, structures and settings say against each other, before any dynamics.
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.systems = self._read_systems()
        self.species = self.systems[0].species
        self.boxes = [self._box(system) for system in self.systems]
        self.pairs = self.boxes[0].pairs
        self.datasets = self._read_data()
        self.targets = {data.name: self._target(data) for data in self.datasets}
        self.base_kind = base_of(config.model.base)
        self.base: Any = self.base_kind.read(config.model, self.species, self.pairs, config.correction.r_cut)
        own = tuple(name for name in config.refinement.parameters if name != "correction")
        self.parameters = [
            self.base_kind.parameters(self.base, own, system, box.edges)
            for system, box in zip(self.systems, self.boxes, strict=True)
            if own
        ]
        self.problem = Problem(
            tuple(self.targets[data.name] for data in self.datasets if data.role == "fit"),
            tuple(state.temperature for state in config.states),
            tuple(self.parameters),
            self.parameters[0].start if own else None,
        )
        self.rule: Rule = make_rule(config)
        self.rule.check(self.problem, self.initial_correction())

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Iterable[str] = ()) -> Study:
        """From a study file; `overrides` are like "refinement.iterations=3"."""
        return cls(StudyConfig.from_toml(path, overrides))

    def run(
        self,
        out: str | Path | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Result:
        """Refine, and leave result.json, curves, g(r), run.h5 and report.html in `out`.

        Args:
            out: output folder; default runs/<name of the study's folder> under the current one.
            resume: go on with the run in `out`.
            overwrite: throw away the run in `out`.
            progress: told what happens.

        Raises:
            RefineError: what the user can mend; the last good checkpoint stays.
        """
        folder = Path(out) if out is not None else self.default_out()
        with exclusive(folder):
            run = Run(self, folder, resume=resume, overwrite=overwrite, progress=progress or NullProgress())
            return run.finish()

    def default_out(self) -> Path:
        """runs/<name of the study's folder>."""
        name = self.config.folder.resolve().name if self.config.source_path else "study"
        return Path("runs") / (name or "study")

    # -- construction --------------------------------------------------------------------------------------------------

    def _read_systems(self) -> list[System]:
        """One system per state, all with the same species in the same order."""
        config, systems = self.config, []
        order: tuple[str, ...] | None = None
        for state in config.states:
            density, path = config.number_density_of(state), config.structure_of(state)
            if path is not None:
                system = read_structure(path, density, species=order)
            else:
                assert config.system.species is not None  # the config refuses a study without
                assert density is not None
                edge = (sum(config.system.species.values()) / density) ** (1 / 3)
                system = make_system(dict(config.system.species), np.eye(3) * edge)
            if order is not None and system.species != order:
                raise InputError(
                    f"state '{state.name}' holds {', '.join(system.species)}, the first state {', '.join(order)}",
                    where="[[states]]",
                    fix="give all states the same elements",
                )
            order = system.species
            systems.append(system)
        return systems

    def _box(self, system: System) -> Box:
        width = self.config.sampling.bin_width
        bins = int(system.r_box / width)
        correction = self.config.correction
        if correction.r_cut > system.r_box:
            needed = int(np.ceil(system.n_atoms * (correction.r_cut / system.r_box) ** 3))
            raise InputError(
                f"r_cut = {correction.r_cut:g} Å is above half the box, {system.r_box:.2f} Å",
                where="[correction]",
                fix=f"lower r_cut or use about {needed} atoms or more",
            )
        return Box(
            system.species,
            system.n_per_species,
            system.volume,
            width * np.arange(bins + 1, dtype=np.float64),
            system.cell,
        )

    def _read_data(self) -> list[DataSet]:
        from refine.data.readers import read_curve

        names = [state.name for state in self.config.states]
        datasets = []
        for data in self.config.data:
            state = names.index(self.config.state_of(data).name)
            box = self.boxes[state]
            curve = read_curve(
                data.path,
                quantity=data.quantity,
                normalisation=data.normalisation,
                radiation=data.radiation,
                number_density=box.number_density,
                composition=dict(zip(box.species, box.fractions.tolist(), strict=True)),
                isotopes=data.isotopes,
                charges=data.charges,
                pair=data.pair,
                window=data.window,
                q_range=data.q_range,
                name=data.name,
                check=False,  # the report says what check_curve doubts
            )
            sigma = data.sigma if isinstance(data.sigma, int | float) else None
            if data.sigma == "file" and curve.sigma is None:
                raise InputError(
                    'sigma = "file" and the file has no third column',
                    where=f"[[data]] {data.name}",
                    fix='use sigma = "auto" or a number',
                )
            model = ForwardModel(curve, box)
            explicit = "score_r" in data.model_fields_set
            measurement = model.measurement(data.score_r if explicit else None)
            fit = model.fit(data.fit_q, data.fit_r, sigma)
            datasets.append(DataSet(data.name, state, data.role, measurement, fit))
        return datasets

    def _target(self, data: DataSet) -> Target:
        """A data set as an update rule sees it, whether it is fitted or not."""
        config = next(entry for entry in self.config.data if entry.name == data.name)
        curve, pair, index = data.measurement.curve, data.measurement.curve.pair, None
        if pair is not None:
            index = next(i for i, p in enumerate(self.pairs) if sorted(p) == sorted(pair))
        elif len(self.pairs) == 1:
            index = 0
        fit = data.fit
        return Target(
            data.name,
            data.state,
            "T(r)" if curve.in_q_space and config.fit_r is not None else curve.quantity,
            index,
            fit.values,
            fit.covariance,
            fit.sigma_known,
            fit.operator,
            config.weight,
            config.free_scale,
            config.scale_prior,
            fit.background if config.free_background else None,
            config.background_prior or BACKGROUND_SHARE * _rms(fit),
        )

    def initial_correction(self) -> PairCorrection:
        """No correction, on the study's basis."""
        config = self.config.correction
        chosen = self.pairs if config.pairs == "all" else config.pairs
        wanted = {tuple(sorted(pair)) for pair in chosen}
        for pair in wanted - {tuple(sorted(p)) for p in self.pairs}:
            raise InputError(f"{'-'.join(pair)} is no pair of the system", where="[correction] pairs")
        temperatures = [state.temperature for state in self.config.states]
        hottest = max(temperatures)
        changing = config.temperature == "linear"
        return PairCorrection.zero(
            self.pairs,
            SplineBasis(config.r_min, config.r_cut, config.knots),
            active=tuple(tuple(sorted(p)) in wanted for p in self.pairs),
            stiffness=WALL_STIFFNESS * BOLTZMANN * hottest,
            temperatures=(float(np.mean(temperatures)), float(np.ptp(temperatures))) if changing else None,
        )

    def digest(self) -> str:
        """SHA-256 (hex) of what the run follows from: `StudyConfig.digest`, and the model that a name stands for."""
        identity = self.base_kind.identity(self.base)
        digest = self.config.digest()
        return hashlib.sha256(f"{digest} {identity}".encode()).hexdigest() if identity else digest

    def base_energies(self, r: Array) -> Array | None:
        """Pair functions of the base model, (pairs, n) eV at r (n,) Å; None where it is no sum of such."""
        return self.base_kind.pair_energies(self.base, r)

    def force_field_params(
        self, field: CorrectedForceField, state: int, correction: PairCorrection, parameters: Array | None = None
    ) -> Any:
        """What the force field of a state takes for a correction and parameters of the base (None: its own)."""
        now = correction.at(self.problem.temperatures[state])
        return field.params(now) if parameters is None else field.params(now, self.parameters[state].at(parameters))

    def adjoints(self, steps: int, clip: float | None) -> list[Adjoint]:
        """Gradients through windows of `steps` steps in each state; float64 (`refine.sampling.adjoint`)."""
        from refine.sampling.adjoint import Adjoint
        from refine.sampling.thermostats import THERMOSTATS

        config = self.config.sampling
        return [
            Adjoint(
                system,
                self.base_kind.force_field(self.base, self.config.correction.r_cut, system, "float64"),
                thermostat=THERMOSTATS[config.thermostat](config.time_constant),
                temperature=state.temperature,
                timestep=config.timestep,
                steps=steps,
                n_bins=len(box.edges) - 1,
                r_max=box.r_box,
                clip=clip,
            )
            for system, box, state in zip(self.systems, self.boxes, self.config.states, strict=True)
        ]

    def movers(self, rule: MovingRule) -> list[ReverseMonteCarlo]:
        """What moves atoms to fit the data, in each state."""
        from refine.sampling.reverse_monte_carlo import ReverseMonteCarlo

        config = self.config.sampling
        return [
            ReverseMonteCarlo(
                system,
                [target for target in self.problem.targets if target.state == s],
                minimum_distances=rule.distances(self.pairs),
                stride=self.config.refinement.moves,
                n_bins=len(box.edges) - 1,
                r_max=box.r_box,
                dtype=config.precision,
                replicas=config.replicas,
            )
            for s, (system, box) in enumerate(zip(self.systems, self.boxes, strict=True))
        ]

    def samplers(self) -> list[tuple[CorrectedForceField, Sampler]]:
        """A force field and its sampler for each state; imports the dynamics."""
        from refine.sampling.dynamics import Sampler
        from refine.sampling.thermostats import THERMOSTATS

        config = self.config.sampling
        samplers = []
        for system, box, state in zip(self.systems, self.boxes, self.config.states, strict=True):
            field = self.base_kind.force_field(self.base, self.config.correction.r_cut, system, config.precision)
            sampler = Sampler(
                system,
                field,
                thermostat=THERMOSTATS[config.thermostat](config.time_constant),
                timestep=config.timestep,
                stride=config.stride,
                n_bins=len(box.edges) - 1,
                r_max=box.r_box,
                dtype=config.precision,
                replicas=config.replicas,
                phase=state.phase,
                positions=any(own.stored_positions for own in self.parameters),
            )
            samplers.append((field, sampler))
        return samplers


def _rms(fit: Fit) -> float:
    """rms signal of a fitted curve, in its units."""
    return float(np.sqrt(np.mean((fit.values - fit.operator.baseline) ** 2)))
