"""Molecular dynamics of LAMMPS as an entry of the table of engines. Nothing is loaded before something is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from refine.errors import InputError
from refine.potentials.lammps import Script
from refine.sampling.engine import ConstantEnergy, Dynamics, Engine, EngineKind, Positions
from refine.sampling.lammps import library
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.protocols import Base
    from refine.sampling.jax.adjoint import Adjoint
    from refine.sampling.lammps.field import LammpsField


class Lammps(EngineKind):
    """Molecular dynamics by LAMMPS, in this process."""

    differentiates: ClassVar[bool] = False

    def check(self, kind: Base, model: Any, base: Any, systems: Sequence[System]) -> None:
        """It is installed, and has a style for the base."""
        from refine.sampling.lammps.field import part_of

        if not library.installed():
            raise library.MISSING
        part_of(kind, model, base, Script("refine", systems[0].species))

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

    def sampler(
        self,
        system: System,
        field: LammpsField,
        settings: Dynamics,
        *,
        n_bins: int,
        r_max: float,
        phase: str,
        replicas: int = 1,
        positions: bool = False,
    ) -> Engine[Any]:
        from refine.sampling.external.mover import Motion
        from refine.sampling.external.sampler import ExternalSampler

        return ExternalSampler(
            "lammps",
            system,
            field.run_by(settings.processes, settings.threads),
            Motion(settings.thermostat, settings.time_constant, settings.timestep),
            stride=settings.stride,
            n_bins=n_bins,
            r_max=r_max,
            precision=settings.precision,
            replicas=replicas,
            phase=phase,
            positions=positions,
        )

    def constant_energy(
        self,
        system: System,
        field: LammpsField,
        settings: Dynamics,
        params: Any,
        positions: Positions,
        *,
        temperature: float,
        seed: int,
        interval: float,
        phase: str,
    ) -> ConstantEnergy:
        from refine.sampling.external.mover import FREE, Motion
        from refine.sampling.external.sampler import ExternalSampler
        from refine.sampling.external.segments import ExternalSegments
        from refine.sampling.segments import STRESS_EVERY

        sampler = ExternalSampler(
            "lammps",
            system,
            field.run_by(settings.processes, settings.threads),
            Motion(FREE, settings.time_constant, settings.timestep),
            stride=STRESS_EVERY,
            n_bins=1,
            r_max=system.r_box,
            precision=settings.precision,
            phase=phase,
        )
        return ExternalSegments(sampler, params, positions, temperature, seed, interval)

    def adjoint(
        self,
        system: System,
        field: LammpsField,
        settings: Dynamics,
        *,
        temperature: float,
        steps: int,
        n_bins: int,
        r_max: float,
        clip: float | None = None,
    ) -> Adjoint:
        """InputError: LAMMPS knows forces, not how they depend on what came before."""
        raise InputError(
            "engine 'lammps' has no gradients through trajectories",
            where="[sampling] engine",
            fix='set engine = "jax", as in --set sampling.engine=\'"jax"\'',
        )
