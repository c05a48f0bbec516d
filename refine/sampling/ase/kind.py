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


class Ase(EngineKind):
    """Dynamics of ASE over any of its calculators, or over this program's own (`refine.sampling.ase.sampler`)."""

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

        check_precision(precision)
        if isinstance(base, AnyCalculator):
            return CalculatorField(lambda: base.calculator, cutoff, model.dispersion)
        pairs = base.terms(system.species, system.n_per_species, precision).pairs
        reach = cutoff if pairs is None else max(cutoff, pairs.cutoff)
        return CalculatorField(lambda: Calculator(base, precision), reach, model.dispersion)

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
        from refine.sampling.ase.sampler import AseSampler
        from refine.sampling.ase.thermostats import THERMOSTATS

        check_precision(settings.precision)
        return AseSampler(
            system,
            field,
            thermostat=THERMOSTATS[settings.thermostat](settings.time_constant),
            timestep=settings.timestep,
            stride=settings.stride,
            n_bins=n_bins,
            r_max=r_max,
            replicas=replicas,
            phase=phase,
            positions=positions,
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
        from refine.sampling.ase.sampler import AseSampler
        from refine.sampling.ase.segments import SegmentRunner
        from refine.sampling.ase.thermostats import VelocityVerlet

        sampler = AseSampler(
            system,
            field,
            thermostat=VelocityVerlet(),
            timestep=settings.timestep,
            stride=1,
            n_bins=1,
            r_max=system.r_box,
            phase=phase,
        )
        return SegmentRunner(sampler, params, positions, temperature, seed, interval)

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


def check_precision(name: str) -> None:
    """InputError for a word that is none."""
    if name not in ("float32", "float64"):
        raise InputError(f"precision is {name!r}; it must be float32 or float64")
