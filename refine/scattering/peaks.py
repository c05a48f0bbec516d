"""Height and position of a peak between grid points, and how both depend on every value of the curve.

A quartic is fitted by least squares to the points around the top. Its coefficients are linear in the values, so that
with p(x) = Σ_k L_k(x) y_k and p'(x*) = 0

    height    p(x*),   d height/d y_k   = L_k(x*)             (the position does not matter to first order)
    position  x*,      d position/d y_k = -L_k'(x*)/p''(x*)   (implicit function theorem)

Errors and derivatives of a peak by anything that the curve depends on follow by the chain rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError

Array = NDArray[np.float64]

SHARE = 0.75
"""Points higher than this share of the top above the lowest value in the range belong to the fitted cap."""

DEGREE = 4
"""Of the polynomial: even, for the curvature, with one odd term more than a parabola for the skew of a first shell."""

FEWEST = 7
"""Points fitted at the least: noise is averaged, and the quartic is determined."""

CLEAR = 0.5
"""A first peak rises above the level by at least this share of the highest one."""


@dataclass(frozen=True)
class Peak:
    """A maximum of a curve y on the points x.

    Attributes:
        position: x of the maximum, in the unit of x.
        height: y there.
        d_position: (n,) d position/d y_k.
        d_height: (n,) d height/d y_k.
    """

    position: float
    height: float
    d_position: Array
    d_height: Array


def peak(x: Array, y: Array, low: float, high: float, where: str = "peak") -> Peak:
    """The highest maximum within [low, high].

    Args:
        x: (n,) sorted.
        y: (n,).
        low, high: range in which it is sought; a curve that is highest at an end of it has no maximum there.
        where: named in the error.

    Raises:
        InputError: no maximum, or fewer than `FEWEST` points.

    >>> x = np.linspace(1.0, 3.0, 41)
    >>> top = peak(x, 2.0 - (x - 1.97) ** 2, 1.5, 2.5)
    >>> round(top.position, 3), round(top.height, 3)
    (1.97, 2.0)
    """
    inside = np.flatnonzero((x >= low) & (x <= high))
    if len(inside) < FEWEST:
        raise InputError(f"{len(inside)} points between {low:g} and {high:g}, {FEWEST} are needed", where=where)
    values = y[inside]
    top = int(np.argmax(values))
    if top in (0, len(inside) - 1):
        raise InputError(f"the curve has no maximum between {low:g} and {high:g}", where=where, fix="move the range")
    level = values.min() + SHARE * (values[top] - values.min())
    first, last = top, top
    while first > 0 and values[first - 1] >= level:
        first -= 1
    while last < len(inside) - 1 and values[last + 1] >= level:
        last += 1
    while last - first + 1 < FEWEST:
        first, last = max(0, first - 1), min(len(inside) - 1, last + 1)
    chosen = inside[first : last + 1]
    centre, width = x[inside[top]], 0.5 * (x[chosen[-1]] - x[chosen[0]])
    t = (x[chosen] - centre) / width
    coefficients = np.linalg.pinv(np.vander(t, DEGREE + 1))  # (DEGREE + 1, points), highest power first
    p = coefficients @ y[chosen]
    slope, curvature = np.polyder(p), np.polyder(p, 2)
    roots = np.roots(slope)
    real = roots[np.abs(roots.imag) < 1e-9].real
    maxima = [u for u in real if np.polyval(curvature, u) < 0.0 and t[0] <= u <= t[-1]]
    if not maxima:
        raise InputError(f"the curve has no smooth maximum between {low:g} and {high:g}", where=where)
    best = max(maxima, key=lambda u: float(np.polyval(p, u)))
    powers = np.arange(DEGREE, -1, -1)
    at_top = best**powers
    slopes = powers[:-1] * best ** (powers[:-1] - 1)
    d_height, d_position = np.zeros(len(x)), np.zeros(len(x))
    d_height[chosen] = at_top @ coefficients
    d_position[chosen] = -width * (slopes @ coefficients[:-1]) / np.polyval(curvature, best)
    return Peak(float(centre + width * best), float(np.polyval(p, best)), d_position, d_height)


def first_peak_range(x: Array, y: Array, level: float = 1.0, where: str = "peak") -> tuple[float, float]:
    """Where the first clear peak stands above the level: from one crossing to the next, or to an end of the curve.

    Args:
        x: (n,) sorted.
        y: (n,).
        level: what the curve tends to (1 for g(r) and S(Q)).
        where: named in the error.

    Raises:
        InputError: the curve nowhere exceeds the level.

    >>> x = np.linspace(0.0, 10.0, 101)
    >>> low, high = first_peak_range(x, 1.0 - np.cos(x) * np.exp(-0.1 * x))
    >>> round(low, 2), round(high, 2)  # pi/2 and 3 pi/2, on the grid
    (1.5, 4.8)
    """
    above = y - level
    if above.max() <= 0.0:
        raise InputError(f"the curve nowhere exceeds {level:g}", where=where)
    start = int(np.argmax(above >= CLEAR * above.max()))
    first, last = start, start
    while first > 0 and above[first - 1] > 0.0:
        first -= 1
    while last < len(x) - 1 and above[last + 1] > 0.0:
        last += 1
    return float(x[max(0, first - 1)]), float(x[min(len(x) - 1, last + 1)])
