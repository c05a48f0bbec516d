"""An input script of LAMMPS that samples one trajectory on its own, and the one that goes on where that was ended."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.potentials.lammps import (
    Part,
    Script,
    commands_of,
    correction_part,
    correction_style,
)
from refine.potentials.protocols import Finished
from refine.potentials.topology import Topology
from refine.sampling.external.mover import Motion
from refine.sampling.external.sampler import LONGEST_MOVE, RELAXATION
from refine.sampling.files.sampler import FilesPotential
from refine.sampling.lammps.script import (
    FIX,
    LISTS,
    SEEDS,
    UNITS,
    Frame,
    box_lines,
    data_text,
    motion_lines,
)
from refine.sampling.schedule import Stage
from refine.system import System, species_pairs

Array = NDArray[np.float64]

INPUT, CONTINUE, POTENTIAL, DATA = "in.lammps", "continue.lammps", "potential.in", "structure.data"

DUMP, LOG, RESTART = "dump.lammpstrj", "log.refine", "refine.restart"
"""What they write; a log's name goes on with when it was begun, a restart's with its step."""

RESTARTS = 5
"""Of one trajectory."""


@dataclass(frozen=True)
class Wanted:
    """What one trajectory is to be.

    title: of the step, for the head of the files.  temperature: K.
    motion: thermostat and time step.  frames: that count, `stride` steps apart.
    before: what comes before them, stage by stage.  relax: whether the atoms are a packing that has to be relaxed.
    seed: of velocities and thermostat.
    """

    title: str
    temperature: float
    motion: Motion
    stride: int
    frames: int
    before: tuple[Stage, ...]
    relax: bool
    seed: int


@dataclass(frozen=True)
class Lines:
    """A potential in the words of LAMMPS: commands, and the files that these name.

    texts, paths: by their names.  missing: what LAMMPS has no style for, in words; None: nothing.
    topology: of molecules, and what of them is held; None: there are none.
    """

    commands: tuple[str, ...]
    texts: Mapping[str, str]
    paths: Mapping[str, Path]
    units: str
    missing: str | None
    topology: Topology | None = None


def plain(title: str) -> str:
    """A title for a comment of LAMMPS, which may be a stranger's: no end of a line, quotes or & that go on with it.

    >>> plain('glass "x" & more')
    'glass ?x? ? more'
    """
    return re.sub(r"[^A-Za-z0-9 .,:;()+/_-]", "?", " ".join(title.split()))


def lines_of(potential: FilesPotential, system: System, title: str) -> Lines:
    """The potential for the atoms of a box. Of a base that LAMMPS does not have there are remarks in place of it."""
    species, correction = system.species, potential.correction
    assert correction is not None
    run = Finished(species, species_pairs(species), correction.cutoff, None, Path(), potential=potential.base)
    script = Script(plain(title), species, atoms=system.n_atoms, correction=correction)
    part = _part(potential, run, script)
    parts = [part]
    if not part.corrected:
        script = replace(script, beside=(correction_style(correction.cutoff),), correction=None)
        part = _part(potential, run, script)
        parts = [part, correction_part(correction, script, part, "the correction of this step")]
    texts = {name: text for one in parts for name, text in one.files.items()}
    missing = part.missing if part.styles else part.missing or f"base {potential.model.base!r}"
    return Lines(tuple(commands_of(parts)), texts, dict(part.paths), part.units, missing, part.topology)


def _part(potential: FilesPotential, run: Finished, script: Script) -> Part:
    part = potential.kind.lammps(potential.model, run, script)
    # what is no pair of a base has no style of its own otherwise, and LAMMPS wants one
    return replace(part, coefficients=("pair_coeff * * none", *part.coefficients)) if part.styles else part


def lammps_files(wanted: Wanted, system: System, positions: Array, lines: Lines) -> dict[str, str]:
    """Texts by name: both scripts, potential, and data. positions: (N, 3) Å, where the trajectory begins."""
    head = f"# {plain(wanted.title)}"
    texts = {
        INPUT: "\n".join([head, f"# lmp -in {INPUT} -log {LOG}", *_first(wanted, system, lines)]),
        CONTINUE: "\n".join(
            [head, f"# goes on where {INPUT} was ended, from the newest {RESTART}", *_on(wanted, system, lines)]
        ),
        POTENTIAL: "\n".join([head, *_potential(system, lines)]),
        DATA: data_text(system, positions @ Frame.of(system.cell).turn, topology=lines.topology),
        **lines.texts,
    }
    return {name: text.rstrip("\n").encode("ascii", "replace").decode("ascii") + "\n" for name, text in texts.items()}


def _potential(system: System, lines: Lines) -> list[str]:
    kinds = ", ".join(f"{k} {name}" for k, name in enumerate(system.species, start=1))
    stop = []
    if lines.missing is not None:
        stop = [
            f'print "{POTENTIAL} is not complete: LAMMPS lacks {lines.missing}. Complete it, and take out these lines"',
            "quit 1",
        ]
    return [f"# units {lines.units}; types: {kinds}", *stop, *lines.commands]


def _first(wanted: Wanted, system: System, lines: Lines) -> list[str]:
    units, seeds = UNITS[lines.units], _seeds(wanted)
    relaxed = ["min_style cg", f"min_modify dmax {LONGEST_MOVE!r}", f"minimize 0 0 {RELAXATION} {10 * RELAXATION}"]
    begin = wanted.before[0].temperature if wanted.before else wanted.temperature
    out = [
        *box_lines(system, lines.units, f"read_data {DATA}", lines.topology),
        f"include {POTENTIAL}",
        *_watched(wanted, system),
        *(relaxed if wanted.relax else []),
        f"velocity all create {begin!r} {1 + next(seeds)} mom yes dist gaussian",
    ]
    for stage in wanted.before:
        motion = wanted.motion if stage.timestep is None else replace(wanted.motion, timestep=stage.timestep)
        number = math.ceil(1000.0 * stage.picoseconds / motion.timestep)
        fixed = motion_lines(motion, stage.temperature, next(seeds), units, lines.topology, stage.end)
        out += [f"# {stage.words()}, not counted", *fixed, f"run {number}", *_unfixed(fixed)]
    return [
        *out,
        f"# {wanted.frames} frames, one in {wanted.stride} steps",
        "reset_timestep 0",
        *_sampling(wanted, system, lines, next(seeds)),
        f"run {_last(wanted)}",
    ]


def _on(wanted: Wanted, system: System, lines: Lines) -> list[str]:
    seed = next(_seeds(wanted))
    sampling = _sampling(wanted, system, lines, seed, "append yes")
    return [
        f"units {lines.units}",  # which the log does not say otherwise
        f"read_restart {RESTART}.*",
        *LISTS,
        f"include {POTENTIAL}",
        *_watched(wanted, system),
        # the thermostat has other random numbers wherever it goes on
        *(line.replace(f" {1 + seed} ", f" $({1 + seed}+step:%.0f) ") for line in sampling),
        f"run {_last(wanted)} upto",
    ]


def _sampling(wanted: Wanted, system: System, lines: Lines, seed: int, more: str = "append no") -> list[str]:
    every = max(1, wanted.frames // RESTARTS) * wanted.stride
    return [
        *motion_lines(wanted.motion, wanted.temperature, seed, UNITS[lines.units], lines.topology),
        f"dump {FIX} all custom {wanted.stride} {DUMP} id element xu yu zu",
        f"dump_modify {FIX} sort id element {' '.join(system.species)} format float %.10g first no flush yes {more}",
        f"restart {every} {RESTART}",
    ]


def _unfixed(lines: Sequence[str]) -> list[str]:
    """What undoes the fixes of some lines."""
    return [f"unfix {line.split()[1]}" for line in reversed(lines) if line.startswith("fix ")]


def _last(wanted: Wanted) -> int:
    """Its last step; the first frame is step 0."""
    return (wanted.frames - 1) * wanted.stride


def _watched(wanted: Wanted, system: System) -> Sequence[str]:
    """Temperature, potential energy, and the virial as a pressure without its kinetic part, of every frame."""
    # LAMMPS counts three degrees of freedom less, also where friction lets the whole move
    held = 3 * system.n_atoms - wanted.motion.degrees_of_freedom(system.n_atoms)
    return (
        f"compute_modify thermo_temp extra/dof {held}",
        f"compute {FIX} all pressure NULL virial",
        f"thermo_style custom step temp pe c_{FIX}",
        "thermo_modify norm no lost error flush yes format float %.12g",
        f"thermo {wanted.stride}",
    )


def _seeds(wanted: Wanted) -> Iterator[int]:
    """Seeds of LAMMPS, as many as are asked for."""
    random = np.random.default_rng(wanted.seed)
    while True:
        yield int(random.integers(SEEDS))
