"""The points that are compared: at the Nyquist spacing, pi/r in Q and pi/Q_max in r, so that n are n pieces of data."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve
from refine.errors import InputError
from refine.system import Box, taper_width

Array = NDArray[np.float64]

R_CHI_STEP = 0.05
"""Å between the points on which R_chi is summed."""

FEWEST_POINTS = 4
"""Of a fitted range."""


def nyquist_q(box: Box) -> float:
    """pi / r_eff, 1/Å, r_eff the middle of the taper.

    >>> from refine.system import make_system
    >>> box = Box.of(make_system({"Ar": 108}, 17.0 * np.eye(3)), np.linspace(0.0, 8.5, 86))
    >>> round(nyquist_q(box), 3)
    0.422
    """
    return math.pi / (box.r_max - 0.5 * taper_width(box.r_max))


def fitted_q(curve: Curve, box: Box, limits: tuple[float, float], where: str) -> Array:
    """Points k pi / r_eff (1/Å) within the limits.

    Below 2 pi / r_max a box of fixed composition says little about S(Q) (its longest wave is 2 r_max), so there are
    no fitted points there.

    Raises:
        InputError: the limits reach beyond the data, or hold too few points.
    """
    q, (low, high) = curve.x, limits
    if low < q[0] - 1e-9 or high > q[-1] + 1e-9:
        raise InputError(
            f"fit_q = [{low:g}, {high:g}] reaches beyond the data, {q[0]:g} to {q[-1]:g} 1/Å",
            where=where,
            fix="narrow fit_q",
        )
    points = _multiples(nyquist_q(box), max(low, 2.0 * math.pi / box.r_max), high)
    _need(points, where, "fit_q")
    return points


def fitted_r(curve: Curve, box: Box, limits: tuple[float, float], q_max: float, where: str) -> Array:
    """Points k pi / Q_max (Å) within the limits.

    Raises:
        InputError: the limits reach beyond the box or the data, or hold too few points.
    """
    low, high = limits
    reach = math.inf if curve.in_q_space else float(curve.x[-1])
    if high > box.r_max + 1e-9 or high > reach + 1e-9:
        raise InputError(
            f"fit_r ends at {high:g} Å; the box and the data reach {min(box.r_max, reach):.2f} Å",
            where=where,
            fix="lower fit_r or simulate more atoms",
        )
    points = _multiples(math.pi / q_max, low, high)
    _need(points, where, "fit_r")
    return points


def scored_r(curve: Curve, box: Box, score_r: tuple[float, float] | None, where: str) -> Array:
    """Points of R_chi, Å, `R_CHI_STEP` apart; of 1 to 10 Å, cut to the box and the data, where no range is given.

    Raises:
        InputError: the range reaches beyond the box or the data.
    """
    low, high = score_r or (1.0, 10.0)
    limit = box.r_max
    if not curve.in_q_space:
        limit = min(limit, float(curve.x[-1]))
        low = max(low, float(curve.x[0]))
    if score_r is None:
        high = min(high, limit)
    if high > limit or high <= low:
        raise InputError(
            f"score_r ends at {high:g} Å; the box and the data reach {limit:.2f} Å",
            where=where,
            fix="lower score_r or simulate more atoms",
        )
    return low + R_CHI_STEP * np.arange(math.floor((high - low) / R_CHI_STEP + 1e-9) + 1, dtype=np.float64)


def _multiples(step: float, low: float, high: float) -> Array:
    """Positive multiples of step within [low, high]."""
    first, last = max(1, math.ceil(low / step - 1e-9)), math.floor(high / step + 1e-9)
    return step * np.arange(first, last + 1, dtype=np.float64)


def _need(points: Array, where: str, key: str) -> None:
    if len(points) < FEWEST_POINTS:
        raise InputError(
            f"{key} holds {len(points)} independent points, fewer than {FEWEST_POINTS}", where=where, fix=f"widen {key}"
        )
