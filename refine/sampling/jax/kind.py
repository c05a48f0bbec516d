"""Molecular dynamics in jax as an entry of the table of engines. Nothing slow is imported before something is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from refine.sampling.engine import ConstantEnergy, Dynamics, Engine, EngineKind, Positions
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.protocols import Base, CorrectedForceField
    from refine.sampling.jax.adjoint import Adjoint


class Jax(EngineKind):
    """Molecular dynamics in programs compiled by jax (`refine.sampling.jax.sampler`)."""

    differentiates: ClassVar[bool] = True
    side_by_side: ClassVar[bool] = True

    def check(self, kind: Base, model: Any, base: Any, systems: Sequence[System]) -> None:
        """Whatever has a force field can be moved."""

    def advantage(self, kind: Base, base: Any) -> None:
        """It is what is taken where no other one has any."""
        return None

    def field(
        self, kind: Base, model: Any, base: Any, cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        return kind.force_field(base, cutoff, system, precision)

    def sampler(
        self,
        system: System,
        field: CorrectedForceField,
        settings: Dynamics,
        *,
        n_bins: int,
        r_max: float,
        phase: str,
        replicas: int = 1,
        positions: bool = False,
    ) -> Engine[Any]:
        from refine.sampling.jax.sampler import Sampler
        from refine.sampling.jax.thermostats import THERMOSTATS

        return Sampler(
            system,
            field,
            thermostat=THERMOSTATS[settings.thermostat](settings.time_constant),
            timestep=settings.timestep,
            stride=settings.stride,
            n_bins=n_bins,
            r_max=r_max,
            dtype=settings.precision,
            replicas=replicas,
            phase=phase,
            positions=positions,
            devices=settings.devices,
        )

    def placed(self, engine: Engine[Any], turn: int) -> Engine[Any]:
        from refine.sampling.jax.sampler import Sampler

        return engine.placed(turn) if isinstance(engine, Sampler) else engine

    def lane(self, engine: Engine[Any]) -> int:
        from refine.sampling.jax.sampler import Sampler

        return engine.spread.lane if isinstance(engine, Sampler) else 0

    def constant_energy(
        self,
        system: System,
        field: CorrectedForceField,
        settings: Dynamics,
        params: Any,
        positions: Positions,
        *,
        temperature: float,
        seed: int,
        interval: float,
        phase: str,
    ) -> ConstantEnergy:
        from refine.sampling.jax.sampler import Sampler
        from refine.sampling.jax.segments import SegmentRunner
        from refine.sampling.jax.thermostats import VelocityVerlet

        sampler = Sampler(
            system,
            field,
            thermostat=VelocityVerlet(),
            timestep=settings.timestep,
            stride=1,
            n_bins=1,
            r_max=system.r_box,
            dtype=settings.precision,
            phase=phase,
        )
        return SegmentRunner(sampler, params, positions, temperature, seed, interval)

    def adjoint(
        self,
        system: System,
        field: CorrectedForceField,
        settings: Dynamics,
        *,
        temperature: float,
        steps: int,
        n_bins: int,
        r_max: float,
        clip: float | None = None,
    ) -> Adjoint:
        from refine.sampling.jax.adjoint import Adjoint
        from refine.sampling.jax.thermostats import THERMOSTATS

        return Adjoint(
            system,
            field,
            thermostat=THERMOSTATS[settings.thermostat](settings.time_constant),
            temperature=temperature,
            timestep=settings.timestep,
            steps=steps,
            n_bins=n_bins,
            r_max=r_max,
            clip=clip,
        )
