"""A study: what the study file, the data and the structures say together, checked before any dynamics, ready to run.

It builds and runs nothing: what runs it is in `refine.tasks`.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.keys import Shared
from refine.refinement.problem import MovingRule, Problem, Rule, TrajectoryRule
from refine.refinement.walls import measured_onset
from refine.sampling.engine import ConstantEnergy, Engine, EngineField, EngineKind, Positions
from refine.sampling.engines import engine_kind
from refine.sampling.schedule import Stage
from refine.study.choices.choice import Choice, Settings
from refine.study.choices.engine import check_engine, chosen_engine, side_by_side
from refine.study.choices.first import SEEN, first_choices, open_keys
from refine.study.choices.phase import ask_of_cold_packings
from refine.study.choices.splines import knots, r_cut
from refine.study.choices.timestep import check_steps
from refine.study.datasets import read_datasets, read_numbers, read_predictions, target_of
from refine.study.replay import replay_of
from refine.study.samplers import read_base, sampler_of
from refine.study.schema import StudyConfig
from refine.study.systems import check_radii, notes_of, read_systems, stages_of
from refine.system import Box, System, bins_within
from refine.units import BOLTZMANN

if TYPE_CHECKING:
    from refine.sampling.jax.adjoint import Adjoint
    from refine.sampling.moves.reverse_monte_carlo import ReverseMonteCarlo

Array = NDArray[np.float64]

WALL_STIFFNESS = 1000.0
"""kT/Å^2 of the wall below the sampled range."""


class Study:
    """What a study file means.

    Args:
        config: the validated study file.
        corrected: False for the base model alone: nothing is fitted, and no correction has to fit into a box.
        opened: of `read_base`; None: the base model is read.

    Attributes:
        systems, boxes: of every state: its atoms, and the bins that their distances are counted in.
        species, pairs: elements, and pairs of them in the order of all arrays of pairs.
        stages: of the schedule that the start structure goes through.
        datasets, predictions: measured curves, and curves of the model that nothing is compared with.
        numbers: measured numbers, such as a pressure.
        targets: of every measured curve and number, by name: the measurement as an update rule sees it.
        base, base_kind: the base model, and what reads it and makes force fields of it.
        parameters: of every state, the base as a function of its own parameters; empty where they are not refined.
        replay: what weights of the base should not forget; None: nothing, or they are not refined.
        problem, rule: what is fitted, and the update rule that fits it.
        choices: values for the keys that the study leaves open, as far as they are decided (`refine.study.choices`).
        settings: the keys of [sampling], and the splines, with every number known.

    Raises:
        InputError: anything that data, structures and settings say against each other, before any dynamics.
    """

    def __init__(self, config: StudyConfig, *, corrected: bool = True, opened: Any = None) -> None:
        self.systems = read_systems(config)
        ends = r_cut(config, self.systems)
        given = config if ends is None else config.ending_at(ends.value)
        # a base without a cutoff of its own ends where the correction of the file does
        self.config = config = given if corrected else given.uncorrected()
        self.stages = stages_of(config)
        ask_of_cold_packings(config)
        self.species = self.systems[0].species
        self.boxes = [self._box(system) for system in self.systems]
        self.pairs = self.boxes[0].pairs
        for box in self.boxes:
            check_radii(config, self.pairs, box.r_max)
        self.datasets = read_datasets(config, self.boxes)
        self.predictions = read_predictions(config, self.boxes)
        self.numbers = read_numbers(config, self.boxes)
        self.targets = {data.name: target_of(config, self.pairs, data) for data in self.datasets}
        self.targets |= {number.name: number.target for number in self.numbers}
        self.base_kind, self.base = read_base(given, self.species, opened)
        own = config.refinement.base_parameters
        self.parameters = [
            self.base_kind.parameters(self.base, own, system, box.edges)
            for system, box in zip(self.systems, self.boxes, strict=True)
            if own
        ]
        self.replay = replay_of(config, self.base, self.parameters, self.systems)
        self.problem = Problem(
            tuple(self.targets[entry.name] for entry in (*config.curves, *config.numbers) if entry.role == "fit"),
            tuple(state.temperature for state in config.states),
            tuple(self.parameters),
            self.parameters[0].start if own else None,
            frozenset(s for s, state in enumerate(config.states) if state.phase == "solid"),
            self.replay,
        )
        self.rule: Rule = config.refinement.rule(
            Shared(
                config.sampling.final,
                config.correction.length,
                config.correction.smoothness,
                config.model.has_molecules or any(state.phase == "solid" for state in config.states),
            )
        )
        differentiated = isinstance(self.rule, TrajectoryRule)
        needs: dict[str, Any] = {
            "differentiated": differentiated,
            "changed": self.parameters[0].at(self.parameters[0].start) if own else None,
        }
        engine = chosen_engine(config, self.base_kind, self.base, self.systems, **needs)
        cheap = self.base_energies(np.ones(1)) is not None
        of_data = (choice for data in self.datasets for choice in data.choices)
        self.choices = (
            *engine,
            *first_choices(
                config,
                self.systems,
                self.onsets(),
                q_max=self._q_max(),
                cheap=cheap,
                together=side_by_side(config, engine),
            ),
            *of_data,
            *([] if ends is None else [ends]),
        )
        self.settings = Settings.of(config, self.choices)
        check_engine(config, self.settings.engine, self.base_kind, self.base, self.systems, **needs)
        check_steps(config, self.systems, self.settings.timestep)
        self.rule.check(self.problem, self.initial_correction())
        if isinstance(self.rule, MovingRule) and self.engine.elsewhere:
            raise InputError(
                f"method = {config.refinement.method!r} moves atoms here, and the engine waits for frames of others",
                where="[sampling] engine",
                fix="use another method",
            )
        if isinstance(self.rule, MovingRule) and config.model.has_molecules:
            raise InputError(
                f"method = {config.refinement.method!r} moves single atoms, and [model] has a topology",
                where="[refinement] method",
                fix="use another method",
            )
        if isinstance(self.rule, MovingRule) and config.sampling.keep != "final":
            raise InputError(
                f"method = {config.refinement.method!r} moves atoms, and frames of dynamics alone are kept",
                where="[sampling] keep",
                fix="leave it out: refine frames writes the last configuration",
            )

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Iterable[str] = ()) -> Study:
        """From a study file; `overrides` are like "refinement.iterations=3"."""
        return cls(StudyConfig.from_toml(path, overrides))

    def stages_at_volume(self) -> tuple[Stage, ...]:
        """The schedule of a start at the density that the study declares; InputError where a stage has a pressure."""
        if any(stage.pressure is not None for stage in self.stages):
            raise InputError(
                "a stage with a pressure changes the density that the state declares",
                where="[[schedule]] pressure",
                fix="make the start structure with refine prepare and give it as [system] structure, without schedule",
            )
        return self.stages

    def decided(self, choices: Sequence[Choice]) -> Self:
        """This study with choices in place of what was decided for the same keys before; the number of knots follows.

        Raises:
            InputError: the splines do not fit.
        """
        other = copy.copy(self)
        kept = {choice.key: choice for choice in (*self.choices, *choices)}
        if "correction.knots" in kept and "correction.knots" not in {choice.key for choice in choices}:
            now, correction = Settings.of(self.config, kept.values()), self.config.correction
            kept["correction.knots"] = knots(now.r_min, correction.r_cut, correction.length, self._q_max())
        other.choices = tuple(kept.values())
        other.settings = Settings.of(self.config, other.choices)
        other.rule.check(other.problem, other.initial_correction())
        return other

    def with_settings(self, settings: Settings) -> Self:
        """This study with other settings, of a sample that is not its own."""
        other = copy.copy(self)
        other.settings = settings
        return other

    @property
    def open_keys(self) -> frozenset[str]:
        """Keys, "table.key", that the study leaves to refine."""
        return open_keys(self.config)

    @property
    def awaits_sample(self) -> bool:
        """Whether it leaves a key open that a sample of the base model decides."""
        return not self.engine.elsewhere and bool(self.open_keys & (SEEN | {"correction.r_min"}))

    @property
    def looked_for(self) -> frozenset[str]:
        """Keys of [sampling] that such a sample decides; none where others sample, and the usual values stay."""
        return frozenset() if self.engine.elsewhere else self.open_keys & SEEN

    # -- construction --------------------------------------------------------------------------------------------------

    def _box(self, system: System) -> Box:
        width = self.config.sampling.bin_width
        bins = bins_within(system.r_box, width)
        correction = self.config.correction
        if correction.r_cut > system.r_box:
            needed = int(np.ceil(system.n_atoms * (correction.r_cut / system.r_box) ** 3))
            fix = f"lower r_cut or use about {needed} atoms or more"
            if all(entry.role != "fit" for entry in self.config.data):
                fix += "; refine predict needs no correction"
            raise InputError(
                f"r_cut = {correction.r_cut:g} Å is above half the box, {system.r_box:.2f} Å",
                where="[correction]",
                fix=fix,
            )
        return Box.of(system, width * np.arange(bins + 1, dtype=np.float64))

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
            SplineBasis(self.settings.r_min, config.r_cut, self.settings.knots),
            active=tuple(tuple(sorted(p)) in wanted for p in self.pairs),
            stiffness=WALL_STIFFNESS * BOLTZMANN * hottest,
            temperatures=(float(np.mean(temperatures)), float(np.ptp(temperatures))) if changing else None,
        )

    def _q_max(self) -> float | None:
        """1/Å, the largest Q that is fitted, or that a fitted curve in r is seen through; None where none is known."""
        fitted = [data.measurement.curve for data in self.datasets if data.role == "fit"]
        known = [float(curve.x[-1]) if curve.in_q_space else curve.q_max for curve in fitted]
        return max((q for q in known if q is not None), default=None)

    def onsets(self) -> Array:
        """(pairs,) Å: where the measured g(r) of each pair begins; inf where none tells."""
        onsets = np.full(len(self.pairs), np.inf)
        for data in self.datasets:
            pair = self.targets[data.name].pair
            if pair is not None:
                r = data.measurement.r
                g = data.measurement.total_values / (4.0 * np.pi * self.boxes[data.state].number_density * r)
                onsets[pair] = min(onsets[pair], measured_onset(r, g))
        return onsets

    def digest(self) -> str:
        """SHA-256 (hex) of what a run follows from: `StudyConfig.digest`, and the model that a name stands for."""
        identity = self.base_kind.identity(self.base)
        digest = self.config.digest()
        return hashlib.sha256(f"{digest} {identity}".encode()).hexdigest() if identity else digest

    def base_energies(self, r: Array) -> Array | None:
        """Pair functions of the base model, (pairs, n) eV at r (n,) Å; None where it is no sum of such."""
        return self.base_kind.pair_energies(self.base, r)

    def force_field_params(
        self, field: EngineField, state: int, correction: PairCorrection, parameters: Array | None = None
    ) -> Any:
        """What the engine of a state takes for a correction and parameters of the base (None: its own)."""
        now = correction.at(self.problem.temperatures[state])
        return field.params(now) if parameters is None else field.params(now, self.parameters[state].at(parameters))

    def adjoints(self, steps: int, clip: float | None) -> list[Adjoint]:
        """Gradients through windows of `steps` steps in each state; float64 (`refine.sampling.jax.adjoint`)."""
        return [
            self.engine.adjoint(
                system,
                self._field(system, "float64"),
                self.settings,
                temperature=state.temperature,
                steps=steps,
                n_bins=len(box.edges) - 1,
                r_max=box.r_max,
                clip=clip,
            )
            for system, box, state in zip(self.systems, self.boxes, self.config.states, strict=True)
        ]

    def movers(self, rule: MovingRule) -> list[ReverseMonteCarlo]:
        """What moves atoms to fit the data, in each state."""
        from refine.sampling.moves.reverse_monte_carlo import ReverseMonteCarlo

        config = self.settings
        return [
            ReverseMonteCarlo(
                system,
                [target for target in self.problem.targets if target.state == s],
                minimum_distances=rule.distances(self.pairs),
                stride=rule.moves,
                n_bins=len(box.edges) - 1,
                r_max=box.r_max,
                dtype=config.precision,
                replicas=config.replicas,
            )
            for s, (system, box) in enumerate(zip(self.systems, self.boxes, strict=True))
        ]

    @property
    def engine(self) -> EngineKind:
        """What moves the atoms."""
        return engine_kind(self.settings.engine)

    def _field(self, system: System, precision: str) -> EngineField:
        config = self.config
        return self.engine.field(self.base_kind, config.model, self.base, config.correction.r_cut, system, precision)

    def samplers(self, *, positions: bool = False) -> list[tuple[EngineField, Engine[Any]]]:
        """A potential and its sampler for each state; imports the dynamics. positions: whether frames keep them."""
        made = [
            sampler_of(
                self.base_kind,
                self.config.model,
                self.base,
                system,
                self.settings,
                cutoff=self.config.correction.r_cut,
                n_bins=len(box.edges) - 1,
                r_max=box.r_max,
                phase=state.phase,
                replicas=self.settings.replicas,
                positions=positions or self.needs_positions,
            )
            for system, box, state in zip(self.systems, self.boxes, self.config.states, strict=True)
        ]
        return [(field, self.engine.placed(sampler, s)) for s, (field, sampler) in enumerate(made)]

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a user is warned of in structure files, and in the base's own parameters."""
        return (*notes_of(self.systems), *(self.parameters[0].doubts if self.parameters else ()))

    @property
    def needs_positions(self) -> bool:
        """Whether the update rule asks frames for their positions."""
        return any(one.stored_positions for one in self.parameters)

    def constant_energy(
        self, s: int, correction: PairCorrection, positions: Positions, seed: int, interval: float
    ) -> ConstantEnergy:
        """Trajectories of a state without a thermostat under a correction, from positions (S, N, 3) Å.

        seed: of their first momenta.  interval: about the time between stored positions, ps.
        """
        system, state, settings = self.systems[s], self.config.states[s], self.settings
        field = self._field(system, settings.precision)
        return self.engine.constant_energy(
            system,
            field,
            settings,
            self.force_field_params(field, s, correction),
            positions,
            temperature=state.temperature,
            seed=seed,
            interval=interval,
            phase=state.phase,
        )
