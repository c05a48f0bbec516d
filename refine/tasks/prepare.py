"""Start structures as files: pack or read, follow the schedule, repeat, measure, write (`refine prepare`).

Only the base model acts, and no data are read: a small cell can be melted, cooled and repeated for a study whose
correction and curves need a larger one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refine.errors import InputError
from refine.files import write_text
from refine.progress import NullProgress, Progress
from refine.sampling.averages import standard_error
from refine.sampling.engine import Engine, frames_in, increments
from refine.sampling.extended_xyz import frame_text
from refine.sampling.schedule import Stage, follow
from refine.sampling.starts import begin, equilibrate, steps_to_equilibrate, wait
from refine.sampling.stationary import doubts_of
from refine.study.choices.choice import Settings
from refine.study.choices.engine import check_engine, chosen_engine, refuse_elsewhere
from refine.study.choices.first import SEEN, first_choices
from refine.study.choices.phase import ask_of_cold_packings
from refine.study.samplers import read_base, sampler_of
from refine.study.schema import NO_CORRECTION, State, StudyConfig
from refine.study.systems import read_system, stages_of
from refine.system import System, bins_within, replicate, species_pairs
from refine.tasks.outputs import refuse_inputs
from refine.units import MASS_DENSITY_UNIT

if TYPE_CHECKING:
    from refine.potentials.protocols import Base

SUFFIXES = (".extxyz", ".xyz")

MOST_ATOMS = 1_000_000
"""As of a species in [system]."""


@dataclass(frozen=True)
class Prepared:
    """A start structure and what is known of it.

    system: with positions.  pressure, energy: mean and standard error at the end, GPa, and eV of the whole box.
    densities: of the stages at constant temperature and pressure, mean and standard error in atoms/Å^3; None for
    others.  doubts: of the frames at the end (`refine.sampling.stationary`).
    """

    system: System
    state: str
    temperature: float
    stages: tuple[Stage, ...]
    densities: tuple[tuple[float, float] | None, ...]
    pressure: tuple[float, float]
    energy: tuple[float, float]
    seed: int
    digest: str
    doubts: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """What a user is told, line by line."""
        n = self.system.n_atoms
        grams = MASS_DENSITY_UNIT * float(self.system.masses.sum()) / self.system.volume
        return [
            *self._history(),
            f"{n} atoms at {self.temperature:g} K",
            f"density: {self.system.number_density:.6g} atoms/Å^3, {grams:.5g} g/cm^3",
            f"pressure: {self.pressure[0]:.4f} ± {self.pressure[1]:.4f} GPa",
            f"potential energy: {self.energy[0] / n:.6f} ± {self.energy[1] / n:.6f} eV/atom",
            *(f"warning: {doubt}" for doubt in self.doubts),
        ]

    def _history(self) -> list[str]:
        """The stages in words, with the densities that were found."""
        return [
            stage.words() + ("" if density is None else f": {density[0]:.5f} ± {density[1]:.5f} atoms/Å^3")
            for stage, density in zip(self.stages, self.densities, strict=True)
        ]

    def write(self, path: Path) -> None:
        """Write an extended XYZ file atomically; its comment says what the structure is and where it comes from."""
        system = self.system
        assert system.positions is not None
        about: dict[str, str | float] = {
            "state": self.state,
            "temperature_K": self.temperature,
            "number_density": system.number_density,
            "pressure_GPa": self.pressure[0],
            "pressure_stderr_GPa": self.pressure[1],
            "potential_energy_eV": self.energy[0],
            "schedule": "; ".join(self._history()) or "default melt",
            "seed": self.seed,
            "study": self.digest,
            "refine": metadata.version("refine-potentials"),
        }
        write_text(path, frame_text(system, system.positions, about))


def prepare(
    config: StudyConfig,
    *,
    state: str | None = None,
    repeats: tuple[int, int, int] = (1, 1, 1),
    seed: int | None = None,
    settle: float | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """A start structure of one state.

    The packing or structure of the study goes through its schedule, or the default melt, and `sampling.equilibration`
    at the temperature of the state; the cell is repeated, and run for `settle` ps so that the copies forget each other;
    then `sampling.frames` frames are taken for pressure and energy. A structure without a schedule, such as the unit
    cell of a crystal, is repeated first.

    Args:
        config: the study.
        state: name of the state; None where there is one.
        repeats: copies of the cell along its vectors.
        seed: of packing and momenta; None: that of the study.
        settle: ps after repeating; None: `sampling.equilibration`.
        progress: told what happens.

    Raises:
        InputError: no such state, or what the study says does not fit together.
        SimulationError: the dynamics failed.
    """
    refuse_elsewhere(config.sampling.engine)
    progress = progress or NullProgress()
    chosen = _state(config, state)
    stages, digest = stages_of(config), config.digest(data=False)
    ask_of_cold_packings(config)
    system = read_system(config, chosen)
    for note in system.notes:
        progress.message(f"note: {note}")
    if system.n_atoms * math.prod(repeats) > MOST_ATOMS:
        raise InputError(
            f"{system.n_atoms} atoms {math.prod(repeats)} times are more than {MOST_ATOMS}",
            where="--replicate",
            fix="repeat the cell less often",
        )
    whole = system.positions is not None and not stages and math.prod(repeats) > 1
    if whole:  # nothing happens to the small cell that it would need to be small for
        system = replicate(system, repeats)
    kind, base = read_base(config, system.species)
    settings = _settings(config, kind, base, system, progress)
    seed = settings.seed if seed is None else seed
    sampler, params = base_sampler(kind, config.model, base, settings, system)
    temperature = chosen.temperature

    before = settle if whole and settle is not None else settings.equilibration
    progress.stage("start structure", steps_to_equilibrate(sampler, before, stages))
    progress.doing("placing the atoms")
    densities: tuple[tuple[float, float] | None, ...] = ()
    if stages:
        first = begin(sampler, params, stages[0].temperature, seed, progress.advance)
        followed = follow(sampler, params, first, stages, seed, progress.advance)
        sampler, now = followed.sampler, followed.sampler.retuned(followed.state, temperature)
        densities = tuple(
            None if seen is None or stage.rate else seen.number_density
            for stage, seen in zip(stages, followed.volumes, strict=True)
        )
        now = wait(sampler, now, params, temperature, settings.equilibration, progress.advance)
    else:
        now = equilibrate(sampler, params, temperature, seed, before, on_steps=progress.advance)
    if math.prod(repeats) > 1 and not whole:
        small = replace(sampler.system, positions=now.positions[0].astype(np.float64))
        sampler, params = base_sampler(kind, config.model, base, settings, replicate(small, repeats))
        after = settings.equilibration if settle is None else settle
        progress.stage("repeated cell", frames_in(after, sampler) * sampler.stride)
        now = begin(sampler, params, temperature, seed + 1)
        now = wait(sampler, now, params, temperature, after, progress.advance)

    progress.stage("pressure and energy", settings.frames)
    now, frames = sampler.run(now, params, temperature, settings.frames, on_block=increments(progress.advance))
    pressure = frames.pressure()
    return Prepared(
        system=replace(sampler.system, positions=now.positions[0].astype(np.float64)),
        state=chosen.name,
        temperature=temperature,
        stages=stages,
        densities=densities,
        pressure=(float(pressure.mean()), float(standard_error(pressure, frames.replica))),
        energy=(float(frames.energy.mean()), float(standard_error(frames.energy, frames.replica))),
        seed=seed,
        digest=digest,
        doubts=doubts_of(frames, chosen.name),
    )


def parse_repeats(text: str) -> tuple[int, int, int]:
    """Copies of a cell along its vectors; InputError for anything but three whole numbers.

    >>> parse_repeats("2,2,1")
    (2, 2, 1)
    """
    words = text.split(",")
    if len(words) != 3 or not all(word.strip().isdecimal() and 1 <= len(word.strip()) <= 3 for word in words):
        raise InputError(f"{text[:40]!r} is not three whole numbers", where="--replicate", fix="write 2,2,2")
    a, b, c = (int(word) for word in words)
    if min(a, b, c) < 1:
        raise InputError("a cell is repeated at least once along each vector", where="--replicate", fix="write 2,2,2")
    return a, b, c


def check_target(config: StudyConfig, path: Path, overwrite: bool) -> None:
    """InputError for a file that should not be written."""
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"extended XYZ is written, and this ends in {path.suffix!r}", where=str(path), fix="use .extxyz"
        )
    if path.exists() and not overwrite:
        raise InputError("the file exists", where=str(path), fix="use --overwrite or another --out")
    if not path.parent.is_dir():
        raise InputError("no such folder", where=str(path.parent), fix="make it, or give another --out")
    refuse_inputs(config, [path])


def base_sampler(kind: Base, model: Any, base: Any, settings: Settings, system: System) -> tuple[Engine[Any], Any]:
    """A sampler of a box of any size under the base model alone, and its parameters.

    kind, base: of `refine.study.samplers.read_base`.  model: [model] of the study.
    A glass is no failure here, so nothing has to flow.
    """
    r_max = system.r_box / 2
    field, sampler = sampler_of(
        kind,
        model,
        base,
        system,
        settings,
        cutoff=NO_CORRECTION,
        n_bins=max(1, bins_within(r_max, settings.bin_width)),
        r_max=r_max,
        phase="solid",
    )
    return sampler, field.params(None)


def _settings(config: StudyConfig, kind: Base, base: Any, system: System, progress: Progress) -> Settings:
    """Of the study, and what is usual for such atoms where it says nothing."""
    engine = chosen_engine(config, kind, base, [system])
    nothing = np.full(len(species_pairs(system.species)), np.inf)
    choices = (*engine, *first_choices(config, [system], nothing))
    for choice in choices:
        if choice.key in SEEN or choice in engine:
            progress.message(choice.words())
    settings = Settings.of(config, choices)
    check_engine(config, settings.engine, kind, base, [system])
    return settings


def _state(config: StudyConfig, name: str | None) -> State:
    names = [state.name for state in config.states]
    if name is None and len(names) > 1:
        raise InputError("the study has several states", where="--state", fix=f"choose one of {', '.join(names)}")
    if name is not None and name not in names:
        raise InputError(f"no state {name!r}", where="--state", fix=f"choose one of {', '.join(names)}")
    return config.states[0 if name is None else names.index(name)]
