"""A quantity as numbers: the affine relation to the canonical one of its space, point by point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.curves.quantities import Quantity
from refine.errors import ConversionError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Form:
    """A quantity y as an affine function of the canonical one c of its space: y = c multiplier / divisor + offset.

    Attributes:
        multiplier, divisor: (n,); zero at x = 0 where the relation is 0/0.
        offset: (n,), in the unit of y.

    >>> y = Form(np.array([2.0]), np.array([4.0]), np.array([1.0]))  # y = c / 2 + 1
    >>> y.scale.tolist(), y.gain.tolist()
    ([0.5], [2.0])
    """

    multiplier: Array
    divisor: Array
    offset: Array

    @property
    def gain(self) -> Array:
        """(n,) with c = (y - offset) gain; infinite or zero at x = 0 where the relation is 0/0."""
        with np.errstate(divide="ignore"):
            return self.divisor / self.multiplier

    @property
    def scale(self) -> Array:
        """(n,) with y = c scale + offset; zero at x = 0 where the relation is 0/0."""
        return np.divide(self.multiplier, self.divisor, out=np.zeros_like(self.divisor), where=self.divisor != 0.0)


def form_of(
    quantity: Quantity,
    x: Array,
    number_density: float | None,
    level: Callable[[], float],
    where: str = "",
    *,
    alone: Callable[[], Array] | None = None,
    atoms: float = 1.0,
) -> Form:
    """The definition of a quantity on the points x.

    Args:
        quantity: in the normalisation of c (`refine.curves.quantities.quantity_of`).
        x: (n,) 1/Å or Å.
        number_density: ρ, atoms/Å^3, where it is known.
        level: k of the normalisation, asked for only where the offset has it; it does not depend on Q there.
        where: named in the error.
        alone: (n,) what an atom scatters by itself, likewise; of I(Q) only.
        atoms: of the unit that I(Q) is of.

    Raises:
        ConversionError: the number density is needed and unknown.

    >>> from refine.curves.quantities import quantity_of
    >>> g = form_of(quantity_of("g(r)"), np.array([0.0, 2.0]), 0.05, lambda: 1.0)
    >>> g.scale.round(4).tolist(), g.offset.tolist()  # 1/(4πρr) and 1
    ([0.0, 0.7958], [1.0, 1.0])
    """
    one, zero = np.ones_like(x), np.zeros_like(x)
    multiplier = x if quantity.times_x else one
    if quantity.offset == "self":
        if alone is None:
            raise ValueError(f"{quantity.name} needs the scattering of single atoms")
        return Form(atoms * multiplier, one, atoms * alone())
    if not quantity.per_uniform and quantity.offset != "uniform":
        return Form(multiplier, one, one if quantity.offset == "one" else zero)
    if number_density is None:
        raise ConversionError(
            f"{quantity.name} needs the number density", where=where, fix="give number_density in atoms/Å^3"
        )
    uniform = 4.0 * math.pi * number_density * x
    if quantity.per_uniform:
        return Form(multiplier, uniform, one if quantity.offset == "one" else zero)
    uniform = uniform * level()
    return Form(multiplier, one, uniform * x if quantity.times_x else uniform)
