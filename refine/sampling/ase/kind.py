"""Molecular dynamics by ASE as an entry of the table of engines. Nothing slow is imported before something is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from refine.errors import InputError
from refine.sampling.engine import ConstantEnergy, Dynamics, Positions
from refine.sampling.external.kind import ExternalKind
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.protocols import Base
    from refine.sampling.ase.field import CalculatorField


class Ase(ExternalKind):
    """Dynamics of ASE over any of its calculators, or over refine's own (`refine.sampling.ase.mover`)."""

    name: ClassVar[str] = "ase"
    steps_per_block: ClassVar[int | None] = 100
    """With a slow calculator, a minute."""

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

    def mover_of(self, field: CalculatorField, settings: Dynamics) -> CalculatorField:
        """See `ExternalKind`: it is run in one way alone."""
        return field

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
        """See `EngineKind`. InputError for a calculator without stress."""
        from refine.sampling.ase.potential import has_stress

        if not has_stress(params.base):
            raise InputError(
                "the calculator has no stress, which trajectories at constant energy record",
                where="[model] calculator",
                fix="use a calculator with stress, or leave diffusion and viscosity out",
            )
        return super().constant_energy(
            *(system, field, settings, params, positions),
            temperature=temperature,
            seed=seed,
            interval=interval,
            phase=phase,
        )
