"""How fast the derivative of single windows grows with their length: the Lyapunov exponent, as a fit sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """How the derivative of single windows grows with their length.

    Attributes:
        times: (n,) lengths, ps.
        norms: (n,) rms over windows of the norm of the derivative.
        exponent: lambda of norms ~ exp(lambda t), 1/ps, least squares on ln(norms) over the later half of the lengths;
            the variance grows with twice that.
        stderr: of it, jackknife over windows.
    """

    times: Array
    norms: Array
    exponent: float
    stderr: float


def fit_growth(times: Array, squares: Array) -> Growth:
    """`Growth` from squared norms (windows, n) at lengths `times` (n,) ps.

    >>> times = np.linspace(0.2, 2.0, 10)
    >>> round(fit_growth(times, np.exp(2.0 * 1.5 * times) * np.ones((4, 1))).exponent, 6)
    1.5
    """
    late = slice(len(times) // 2, None)

    def slope(mean_squares: Array) -> float:
        return float(np.polyfit(times[late], 0.5 * np.log(mean_squares[late]), 1)[0])

    exponent = slope(squares.mean(axis=0))
    n = len(squares)
    if n < 2:
        return Growth(times, np.sqrt(squares.mean(axis=0)), exponent, math.inf)
    left_out = np.array([slope(np.delete(squares, w, axis=0).mean(axis=0)) for w in range(n)])
    stderr = math.sqrt((n - 1) / n * float(np.sum((left_out - left_out.mean()) ** 2)))
    return Growth(times, np.sqrt(squares.mean(axis=0)), exponent, stderr)
