"""A base for the atoms of a box as LAMMPS evaluates it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.potentials.lammps import Part, Script, commands_of, correction_part, correction_style
from refine.potentials.protocols import Base, Finished
from refine.sampling.external.mover import Mover
from refine.sampling.lammps.in_process import InProcess
from refine.sampling.lammps.potential import LammpsPotential
from refine.sampling.lammps.program import Program
from refine.sampling.molecules import Molecules
from refine.system import System, species_pairs


class LammpsField:
    """A base for the atoms of one box; see `refine.sampling.engine.EngineField`.

    kind, model, base: of the study.  reach: Å, largest r_cut of a correction.
    Raises InputError where LAMMPS cannot evaluate the base, or it does not fit into the box.
    """

    def __init__(self, kind: Base, model: Any, base: Any, reach: float, system: System) -> None:
        kind.check_box(base, reach, system)
        self.kind, self.model, self.base, self.system = kind, model, base, system
        self._processes, self._threads = 0, 1
        part = part_of(kind, model, base, Script("refine", system.species))
        self.molecules = Molecules.of(part, system.species)

    @property
    def cutoff(self) -> float | None:
        """Å, of a sum of pair functions, whose distances are those of nearest images; None for other bases."""
        if self.kind.pair_energies(self.base, np.ones(1)) is None:
            return None
        return float(self.base.cutoff)

    def params(self, correction: PairCorrection | None, base: Any = None) -> LammpsPotential:
        """Lines and files; base: a `Potential` in place of the study's."""
        base = self.base if base is None else base
        script = Script("refine", self.system.species, atoms=self.system.n_atoms, correction=correction)
        part = part_of(self.kind, self.model, base, script)
        parts = [part]
        if correction is not None and not part.corrected:
            script = replace(script, beside=(correction_style(correction.cutoff),), correction=None)
            part = part_of(self.kind, self.model, base, script)
            parts = [part, correction_part(correction, script, part, "correction")]
        return LammpsPotential(
            tuple(commands_of(parts)),
            {name: text for one in parts for name, text in one.files.items()},
            part.paths,
            part.units,
            part.topology,
        )

    def run_by(self, processes: int, threads: int) -> LammpsField:
        """This, moved by so many processes with so many threads each; 0: in this one."""
        other = copy.copy(self)
        other._processes, other._threads = processes, threads
        return other

    def mover(self, system: System, params: LammpsPotential) -> Mover:
        """LAMMPS, in this process or as a program."""
        if self._processes == 0:
            return InProcess(system, params, self._threads)
        return Program(system, params, self._processes, self._threads)


def part_of(kind: Base, model: Any, base: Any, script: Script) -> Part:
    """What a base is in an input script; InputError where LAMMPS does not bring what it needs."""
    species = script.species
    run = Finished(species, species_pairs(species), 0.0, None, Path(), potential=base)
    part = kind.lammps(model, run, script)
    if part.missing is not None or not part.styles:
        raise InputError(
            f"LAMMPS has no style for base {model.base!r}"
            + (f"; it would need {part.missing}" if part.missing else ""),
            where="[sampling] engine",
            fix='set engine = "jax"',
        )
    # what is no pair of a base has no style of its own otherwise, and LAMMPS wants one
    return replace(part, coefficients=("pair_coeff * * none", *part.coefficients))
