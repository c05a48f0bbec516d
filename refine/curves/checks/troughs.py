"""What g(r) of a curve in Q looks like between its peaks: troughs below zero, or none at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.curves.checks.common import canonical, forbidden_below, tail_of
from refine.curves.curve import Curve
from refine.curves.quantities import QUANTITIES

Array = NDArray[np.float64]

TROUGH, TROUGH_SHARE, CLEAN_SHARE = 1.0, 0.2, 0.16
"""How far g(r) falls below 0, and T(r) as a share of its highest peak, in a reading with a factor of Q too many; and
how far T(r) may fall in one that is right. Right ones (argon, silica, GeO2, heavy water, amorphous silicon, synthetic
liquids and networks cut at 0.3 to 1.25 1/Å) have 0.15 and less, wrong ones 0.23 to 0.43."""

SMEARED, RAISED = 0.9, 0.2
"""In a reading with a factor of Q too few D(r) falls below zero by this share of its highest peak or more, or g(r) does
not fall to this number anywhere."""

DEPTHS_TO = 8.0
"""Å."""


def troubled(curve: Curve) -> bool:
    """Whether the troughs of g(r) contradict what a curve in Q is declared to be, with a factor of Q too many or too
    few, or high Q raised by a factor that is not its own; False where that is not known."""
    if curve.number_density is None or not scatters_with_one_sign(curve):
        return False
    found = depths(curve)
    if QUANTITIES[curve.quantity].times_x == 1:
        return found.too_few
    return found.too_many


def scatters_with_one_sign(curve: Curve) -> bool:
    """Whether no pair's weight is negative: else g(r) of the total may be."""
    if curve.pair is not None or curve.radiation == "xray":
        return True
    return bool(curve.composition) and bool((curve.amplitudes(curve.x[:1]) > 0.0).all())


@dataclass(frozen=True)
class Depths:
    """Beyond the shortest bond: lowest g(r), lowest T(r) as a share of the highest, and -D(r) likewise."""

    g: float
    share: float
    smeared: float

    @property
    def too_many(self) -> bool:
        """Whether the reading has a factor of Q too many, or another one that grows with Q."""
        return self.g < -TROUGH and self.share < -TROUGH_SHARE

    @property
    def too_few(self) -> bool:
        """Whether it has a factor of Q too few."""
        return self.smeared > SMEARED or self.g > RAISED


def depths(curve: Curve) -> Depths:
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
    return Depths(float((total / uniform).min()), float(total.min() / total.max()), smeared)
