"""Molecular dynamics by ASE as an entry of the table of engines. Nothing slow is imported before something is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from refine.errors import InputError
from refine.sampling.engine import ConstantEnergy, Dynamics, Engine, EngineKind, Positions
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.protocols import Base
    from refine.sampling.ase.field import CalculatorField


STEPS_PER_BLOCK = 100
"""Between two looks at a trajectory: with a slow calculator, a minute."""


class Ase(EngineKind):
    """Dynamics of ASE over any of its calculators, or over refine's own (`refine.sampling.ase.mover`)."""

    differentiates: ClassVar[bool] = False

    def check(self, kind: Base, model: Any, base: Any, systems: Sequence[System]) -> None:
        """Every base has a calculator."""

    def advantage(self, kind: Base, base: Any) -> None:
        """It is slower than the others."""
        return None

    def field(
        self, kind: Base, model: Any, base: Any, cutoff: float, system: System, precision: str
    ) -> CalculatorField:
        from refine.potentials.ase import AnyCalculator
        from refine.potentials.calculator import Calculator
        from refine.sampling.ase.field import CalculatorField

        kind.check_box(base, cutoff, system)
        if isinstance(base, AnyCalculator):
            return CalculatorField(lambda one: one.calculator, base, None, model.dispersion)
        pairs = base.terms(system.species, system.n_per_species, precision).pairs
        reach = None if pairs is None else max(cutoff, pairs.cutoff)
        return CalculatorField(lambda one: Calculator(one, precision), base, reach, model.dispersion)

    def sampler(
        self,
        system: System,
        field: CalculatorField,
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
            "ase",
            system,
            field,
            Motion(settings.thermostat, settings.time_constant, settings.timestep),
            stride=settings.stride,
            n_bins=n_bins,
            r_max=r_max,
            precision=settings.precision,
            replicas=replicas,
            phase=phase,
            positions=positions,
            steps_per_block=STEPS_PER_BLOCK,
        )

    def constant_energy(
        self,
        system: System,
        field: CalculatorField,
        settings: Dynamics,
        params: Any,
        positions: Positions,
        *,
        temperature: float,
        seed: int,
        interval: float,
        phase: str,
    ) -> ConstantEnergy:
        from refine.sampling.ase.potential import has_stress
        from refine.sampling.external.mover import FREE, Motion
        from refine.sampling.external.sampler import ExternalSampler
        from refine.sampling.external.segments import ExternalSegments
        from refine.sampling.segments import STRESS_EVERY

        if not has_stress(params.base):
            raise InputError(
                "the calculator has no stress, which trajectories at constant energy record",
                where="[model] calculator",
                fix="use a calculator with stress, or leave diffusion and viscosity out",
            )
        sampler = ExternalSampler(
            "ase",
            system,
            field,
            Motion(FREE, settings.time_constant, settings.timestep),
            stride=STRESS_EVERY,
            n_bins=1,
            r_max=system.r_box,
            precision=settings.precision,
            phase=phase,
            steps_per_block=STEPS_PER_BLOCK,
        )
        return ExternalSegments(sampler, params, positions, temperature, seed, interval)

    def adjoint(
        self,
        system: System,
        field: CalculatorField,
        settings: Dynamics,
        *,
        temperature: float,
        steps: int,
        n_bins: int,
        r_max: float,
        clip: float | None = None,
    ) -> NoReturn:
        raise InputError(
            "there are no gradients through trajectories of ASE", where="[sampling] engine", fix='set engine = "jax"'
        )
