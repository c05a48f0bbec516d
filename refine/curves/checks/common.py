"""What several checks look at: the canonical quantity, its tail, the distance that atoms do not go below."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve

Array = NDArray[np.float64]

FITTING = (0.8, 1.25)
"""A near or far value inside is as good as absolute scales get; outside it is doubted."""

IMPOSSIBLE = (0.5, 2.0)
"""Outside, the declaration is refused if another one fits."""

MOST_ATOMS = 60
"""Of the largest molecule whose cross section per molecule is looked for."""

_SHORTEST_BOND = 0.9
"""Å; no two atoms are closer, hydrogen aside."""

_SHORTEST_HYDROGEN_BOND = 0.55
"""Å."""


def canonical(curve: Curve) -> Array:
    """i(Q) or D(r) in the curve's normalisation, (n,); zero at x = 0 where the quantity does not tell.

    >>> q = np.arange(1.0, 9.0)
    >>> canonical(Curve(q, np.full(8, 1.5), quantity="S(Q)")).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    form = curve.form(curve.quantity, curve.normalisation, curve.x)
    with np.errstate(invalid="ignore"):
        values = (curve.y - form.offset) * form.gain
    return np.where(np.isfinite(values), values, 0.0)


def forbidden_below(curve: Curve) -> float:
    """Å; no two atoms come closer: a bond length, or less than half the mean distance of a dense material."""
    assert curve.number_density is not None
    species = curve.pair or curve.species
    bond = _SHORTEST_HYDROGEN_BOND if "H" in species or not species else _SHORTEST_BOND
    return min(bond, 0.45 * float(curve.number_density ** (-1.0 / 3.0)))


def tail_of(curve: Curve, start: float) -> NDArray[np.bool_]:
    """(n,) the points beyond `start` times the last x.

    >>> q = np.arange(1.0, 9.0)
    >>> tail_of(Curve(q, np.ones(8)), 0.7).tolist()
    [False, False, False, False, False, True, True, True]
    """
    return np.asarray(curve.x >= start * curve.x[-1])


def settled(curve: Curve, start: float) -> tuple[float, float, float]:
    """Mean and rms ripple of y beyond `start` times the last x, and the amplitude before; nan where still in motion.

    A curve that is cut before its structure has died away has no limit to be judged by.
    """
    tail = tail_of(curve, start)
    limit, ripple = float(curve.y[tail].mean()), float(curve.y[tail].std())
    amplitude = float(np.abs(curve.y[~tail] - limit).max(initial=0.0))
    highest = int(np.argmax(curve.y))
    still_in_motion = curve.x[tail][0] < 1.5 * curve.x[highest]
    if tail.sum() < 3 or still_in_motion or ripple > 0.3 * amplitude or curve.y[highest] - limit < 3.0 * ripple:
        return math.nan, ripple, amplitude
    return limit, ripple, amplitude


def within(limits: tuple[float, float], values: dict[str, float]) -> bool:
    """Whether all of the values lie within the limits.

    >>> within((0.8, 1.2), {"near": 0.95, "far": 1.0}), within((0.8, 1.2), {"near": 0.5})
    (True, False)
    """
    return all(limits[0] <= value <= limits[1] for value in values.values())
