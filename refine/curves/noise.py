"""The noise of a measured curve that states none, from the ripple of T(r) where no atoms can be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.curves.transforms import q_to_r_matrix, sampled_r_to_q_matrix

Array = NDArray[np.float64]

RISE = 0.3
"""Of its maximum: where T(r) first exceeds it, is the onset."""

QUIET = (0.3, 0.75)
"""Of the onset: there the ripple is taken."""

FIRST = 0.85
"""Of the onset: from there on T(r) may be anything."""

REACH = 10.0
"""Å, and four onsets at least: what lies beyond leaves no ripple at small r."""

SMALLEST = 0.002
"""Of the largest singular value: what the Q range shows less of is not looked for. At 0.02 peaks leave half of their
ripple where a low Q is missing; at 0.0005 the search begins to take noise for peaks."""


UNEVEN = 0.1
"""Points are uneven where the standard deviation of their steps is above this share of the mean step, and that of the
logarithm of a step over the one before above this number. Measured points have 0.01 and 0.01, where bins grow along the
curve 1 and 0; points that were read off figures 0.43 to 0.83 and 0.33 to 0.67."""

ROUNDED = 3
"""Different steps at most, to a hundredth of the mean step, that even points have whose x was rounded."""

DIGITISED = 0.1
"""Of the rms signal: least error of points that were read off a figure. Of three partial g(r) of molten CaCl2 that come
from one review two would have 0.03 by their smoothness alone, and a fit that believes it ends at -4 GPa, about to
cavitate; it is the structure that is not known better, whatever the hand was."""


FEWEST = 8
"""Points that a smooth curve is told from."""

NORMAL_MEDIAN = 0.6745
"""Median of the modulus of a normal number of unit variance."""


def digitised(x: ArrayLike) -> bool:
    """Whether points (n,) look as if read off a figure: their spacing is uneven (`UNEVEN`).

    >>> digitised(np.arange(1.0, 9.0, 0.1)), digitised([2.8, 3.03, 3.13, 3.15, 3.19, 3.23, 3.27, 3.31])
    (False, True)
    """
    steps = np.diff(np.asarray(x, np.float64))
    if len(np.unique(np.round(100.0 * steps / steps.mean()))) <= ROUNDED:
        return False
    return bool(steps.std() > UNEVEN * steps.mean() and np.diff(np.log(steps)).std() > UNEVEN)


def digitised_error(x: ArrayLike, signal: ArrayLike) -> float:
    """Error of points (n,) that were read off a figure; zero where `digitised` does not see that.

    There is no noise to see in such a curve: how far its points are `from_neighbours` tells how well it is known in
    between; `DIGITISED` of the rms signal is the least.

    Args:
        x: increasing.
        signal: y less its level without structure.

    >>> x = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.2, 60))
    >>> round(digitised_error(x, np.sin(x)), 2), digitised_error(np.linspace(0.0, 9.0, 60), np.sin(x))
    (0.07, 0.0)
    """
    x, signal = np.asarray(x, np.float64), np.asarray(signal, np.float64)
    if not digitised(x):
        return 0.0
    least = DIGITISED * float(np.sqrt(np.mean(signal**2)))
    return max(least, float(np.sqrt(np.mean(from_neighbours(x, signal) ** 2)))) if len(x) >= FEWEST else least


def roughness(x: ArrayLike, signal: ArrayLike) -> float:
    """Standard deviation of independent errors of points (n,) of a curve that is smooth but for a few peaks.

    From the median of `from_neighbours`, which peaks that are too narrow for the points do not move; errors that
    neighbours share are not seen. Zero of less than `FEWEST` points.

    Args:
        x: increasing.
        signal: y.

    >>> x, errors = np.arange(0.0, 40.0, 0.1), np.random.default_rng(0).normal(0.0, 0.03, 400)
    >>> round(roughness(x, np.sin(x) + errors), 3), round(roughness(x, np.sin(x)), 5)
    (0.031, 1e-05)
    """
    x, signal = np.asarray(x, np.float64), np.asarray(signal, np.float64)
    return float(np.median(np.abs(from_neighbours(x, signal)))) / NORMAL_MEDIAN if len(x) >= FEWEST else 0.0


def from_neighbours(x: Array, signal: Array) -> Array:
    """How far each point but the outermost two (n - 4,) is from the cubic through its four neighbours, over what
    independent errors of one size make of it."""
    others = np.arange(2, len(x) - 2)[:, None] + np.array([-2, -1, 1, 2])
    at, middle = x[others], x[2:-2]
    apart = at[:, :, None] - at[:, None, :] + np.eye(4)
    toward = (middle[:, None] - at)[:, None, :] * (1.0 - np.eye(4)) + np.eye(4)
    weights = np.prod(toward / apart, axis=2)
    off = signal[2:-2] - np.sum(weights * signal[others], axis=1)
    return np.asarray(off / np.sqrt(1.0 + np.sum(weights**2, axis=1)))


def ripple(
    r: ArrayLike, d: ArrayLike, slope: float, q_range: tuple[float, float] | None = None, window: str = "none"
) -> tuple[Array, Array]:
    """T(r) = D(r) + slope r where no atoms can be, less what a finite Q range makes of the T(r) that is beyond.

    A measured D(r) is the true one seen through its Q range: peaks have ripples that reach below the onset and are no
    noise. The T(r) that is zero below the onset and comes closest to the curve through this Q range is taken off; what
    is left is what no such T(r) explains.

    Args:
        r: (n,) Å, increasing.
        d: (n,) D(r), any unit.
        slope: of -D(r) where no atoms are, 4 pi rho in the unit of d per Å.
        q_range, window: 1/Å and name, of the transform behind d; None: nothing is taken off.

    Returns:
        points of r within `QUIET`, and the ripple there; empty where there are none.

    Atoms begin at 2 Å, and below it D(r) = -slope r but for a wave of 0.1:

    >>> r = np.arange(0.05, 10.0, 0.05)
    >>> d = np.where(r < 2.0, 0.1 * np.sin(20.0 * r) - 0.3 * r, np.sin(3.0 * r))
    >>> points, left = ripple(r, d, slope=0.3)
    >>> float(points.max().round(2)), float(left.std().round(2))
    (1.65, 0.07)
    """
    r, d = np.asarray(r, np.float64), np.asarray(d, np.float64)
    total = d + slope * r
    onset = float(r[int(np.argmax(total > RISE * total.max()))])
    quiet = (r > QUIET[0] * onset) & (r < QUIET[1] * onset)
    if q_range is None or not quiet.any():
        return r[quiet], total[quiet]

    low, high = q_range
    reach = min(float(r[-1]), max(REACH, 4.0 * onset))
    step = math.pi / (3.0 * high)
    q = np.linspace(low, high, math.ceil(2.0 * (high - low) * reach / math.pi) + 2)
    points = np.arange(r[0], reach, step)
    empty = np.linspace(0.0, FIRST * onset, 400)  # known, so that its integral must be exact
    peaks = np.arange(FIRST * onset, reach, step)
    seen = q_to_r_matrix(q, points, window, high)
    through = seen @ sampled_r_to_q_matrix(peaks, q)
    left = np.interp(points, r, d) - seen @ (sampled_r_to_q_matrix(empty, q) @ (-slope * empty))
    # sampled_r_to_q_matrix counts the first point for more than its step; its value is free, so that is no matter
    best = np.linalg.lstsq(through, left, rcond=SMALLEST)[0]
    rest = np.interp(r[quiet], points, left - through @ best)
    # A curve that was set to zero where no atoms are has less ripple than its Q range would leave.
    return r[quiet], min(rest, total[quiet], key=np.linalg.norm)
