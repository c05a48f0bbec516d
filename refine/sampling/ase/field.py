"""A base for the atoms of a box as a calculator of ASE evaluates it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from ase.calculators.calculator import Calculator

from refine.potentials.ase import on_top
from refine.potentials.correction import PairCorrection
from refine.sampling.ase.mover import AseMover
from refine.sampling.ase.potential import Acting
from refine.sampling.external.mover import Mover
from refine.system import System


class CalculatorField:
    """A base for the atoms of a box, see `refine.sampling.engine.EngineField`.

    Args:
        make: makes the calculator of a base.
        base: that of the study; its calculator is made when it is first needed.
        cutoff: of pair functions, Å, which have to fit into the box; None: there are none.
        dispersion: see `refine.potentials.keys.Model`.
    """

    molecules: ClassVar[None] = None

    def __init__(self, make: Callable[[Any], Calculator], base: Any, cutoff: float | None, dispersion: str) -> None:
        self._make, self._base, self.cutoff = make, base, cutoff
        self._top = on_top(None, dispersion)

    @cached_property
    def _calculator(self) -> Calculator:
        return self._make(self._base)

    def params(self, correction: PairCorrection | None, base: Any = None) -> Acting:
        """The potential that acts; base: a `Potential` in place of the study's."""
        return Acting(self._calculator if base is None else self._make(base), correction, self._top)

    def mover(self, system: System, params: Acting) -> Mover:
        """ASE, in this process."""
        return AseMover(system, params)
