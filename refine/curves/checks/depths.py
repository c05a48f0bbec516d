"""F(Q) and Q[S(Q)-1] taken for each other, told apart by the troughs of g(r)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refine.curves.checks.common import FITTING, canonical, forbidden_below, tail_of, within
from refine.curves.checks.scale import scale_is_unknowable, scale_values
from refine.curves.curve import Curve
from refine.curves.quantities import QUANTITIES
from refine.errors import InputError

Array = NDArray[np.float64]

TROUGH, TROUGH_SHARE, CLEAN_SHARE = 1.0, 0.2, 0.16
"""How far g(r) falls below 0, and T(r) as a share of its highest peak, in a reading with a factor of Q too many; and
how far T(r) may fall in one that is right. Right ones (argon, silica, GeO2, heavy water, amorphous silicon, synthetic
liquids and networks cut at 0.3 to 1.25 1/Å) have 0.15 and less, wrong ones 0.23 to 0.43."""

SMEARED, RAISED = 0.9, 0.2
"""In a reading with a factor of Q too few D(r) falls below zero by this share of its highest peak or more, or g(r) does
not fall to this number anywhere."""

TELLING = (0.67, 1.5)
"""Near value of a reading that may be the right one: F(Q) that is three or four times too large is no Q[S(Q)-1]."""

DEPTHS_TO = 8.0
"""Å."""


def check_factor_of_q(curve: Curve) -> list[str]:
    """F(Q) and Q[S(Q)-1] taken for each other: what programs of the PDF community call F(Q) is Q[S(Q)-1].

    A reading with a factor of Q too many makes of every peak of g(r) a peak between two troughs far below zero; one
    with a factor too few smears them out, and D(r) becomes as negative as it is positive. Both need that all pairs
    scatter with one sign. A wrong scale does the like: the curve is refused only where the other reading has the right
    one, as far as that can be judged.
    """
    if curve.number_density is None or not _scatters_with_one_sign(curve):
        return []
    product = QUANTITIES[curve.quantity].times_x == 1
    other = replace(curve, quantity="F(Q)" if product else "Q[S(Q)-1]", y=curve.y - (curve.quantity == "S(Q)"))
    here, there = _depths(curve), _depths(other)
    if not product and here.g < -TROUGH and here.share < -TROUGH_SHARE:
        what = f"g(r) falls to {here.g:.1f}, where nothing below 0 is possible; as Q[S(Q)-1] to {there.g:.2f}"
    elif product and here.smeared > SMEARED:
        what = f"D(r) falls below zero by {here.smeared:.2f} of its highest peak; as F(Q) by {there.smeared:.2f} of it"
    elif product and here.g > RAISED:
        what = f"g(r) falls nowhere below {here.g:.2f}; as F(Q) it falls to {there.g:.2f}"
    else:
        return []
    scale = scale_values(other).get("near")
    if there.share >= -CLEAN_SHARE and (scale is None or TELLING[0] <= scale <= TELLING[1]):
        raise InputError(
            f"as {curve.quantity} {what}: the columns are {other.quantity}",
            where=curve.label,
            fix=f'declare quantity = "{other.quantity}"',
        )
    if product or scale is None or scale_is_unknowable(curve) or not within(FITTING, scale_values(curve)):
        return []  # of no scale, or too noisy for one, or doubted by `check_scale`
    return [
        f"{curve.label}: as {curve.quantity} {what}: neither name is right at this scale; check units and normalisation"
    ]


def _scatters_with_one_sign(curve: Curve) -> bool:
    """Whether no pair's weight is negative: else g(r) of the total may be."""
    if curve.pair is not None or curve.radiation == "xray":
        return True
    return bool(curve.composition) and bool((curve.amplitudes(curve.x[:1]) > 0.0).all())


@dataclass(frozen=True)
class _Depths:
    """Beyond the shortest bond: lowest g(r), lowest T(r) as a share of the highest, and -D(r) likewise."""

    g: float
    share: float
    smeared: float


def _depths(curve: Curve) -> _Depths:
    """Of a curve in Q.

    With the Lorch window, the mean at high Q taken away, and the first values continued to Q = 0.
    """
    assert curve.number_density is not None
    q, factor = curve.x, curve.distinct_factor(curve.x)
    distinct = canonical(curve) / np.where(factor == 0.0, 1.0, factor)
    distinct = distinct - distinct[tail_of(curve, 0.7)].mean()
    r = np.arange(forbidden_below(curve), DEPTHS_TO, 0.25 / q[-1] if q[-1] > 5.0 else 0.05)
    steps = np.gradient(q)
    steps[[0, -1]] *= 0.5
    below = np.linspace(0.0, q[0], 20)
    gap = np.trapezoid(np.sin(np.outer(r, below)) * below, below) * distinct[:3].mean()
    d = (2.0 / math.pi) * (np.sin(np.outer(r, q)) @ (q * np.sinc(q / q[-1]) * steps * distinct) + gap)
    uniform = 4.0 * math.pi * curve.number_density * r
    total = d + uniform
    smeared = float(-d.min() / d.max()) if d.max() > 0.0 else math.inf
    return _Depths(float((total / uniform).min()), float(total.min() / total.max()), smeared)
