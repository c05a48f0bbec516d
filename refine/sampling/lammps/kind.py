"""Molecular dynamics of LAMMPS as an entry of the table of engines. Nothing is loaded before something is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from refine.potentials.lammps import Script
from refine.sampling.engine import Dynamics
from refine.sampling.external.kind import ExternalKind
from refine.sampling.lammps import library
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.protocols import Base
    from refine.sampling.lammps.field import LammpsField


class Lammps(ExternalKind):
    """Molecular dynamics by LAMMPS."""

    name: ClassVar[str] = "lammps"
    parallel: ClassVar[bool] = True

    def holds_pressure(self, processes: int) -> bool:
        """In this process: every move of the volume would be a start of the program."""
        return processes == 0

    def check(self, kind: Base, model: Any, base: Any, systems: Sequence[System]) -> None:
        """It is installed, has a style for the base, and molecules are those of the boxes."""
        from refine.sampling.lammps.field import part_of

        if not library.installed():
            raise library.MISSING
        part = part_of(kind, model, base, Script("refine", systems[0].species))
        if part.topology is not None:
            for system in systems:
                part.topology.check_atoms(system)

    def check_processes(self, processes: int) -> None:
        """There is a program that starts them."""
        from refine.sampling.lammps.program import command

        if processes:
            command(processes)

    def advantage(self, kind: Base, base: Any) -> str | None:
        """Sums of pair functions take LAMMPS half of the time on a CPU; with charges they do not
        (experiments/benchmarks/engines.py)."""
        if not library.installed() or kind.pair_energies(base, np.ones(1)) is None or base.coulomb is not None:
            return None
        import jax

        if jax.default_backend() != "cpu":
            return None
        return "it is installed, and faster for pair potentials without charges on a CPU"

    def field(self, kind: Base, model: Any, base: Any, cutoff: float, system: System, precision: str) -> LammpsField:
        from refine.sampling.lammps.field import LammpsField

        return LammpsField(kind, model, base, cutoff, system)

    def mover_of(self, field: LammpsField, settings: Dynamics) -> LammpsField:
        """See `ExternalKind`: in this process, or as a program."""
        return field.run_by(settings.processes, settings.threads)
