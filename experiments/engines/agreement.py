"""How far a run lies from others of the same study, in standard deviations.

Of many values that know of each other, such as the bins of g(r), the mean square difference in standard errors is 1 on
average. It is judged as if its n values were ν = n²/Σ R² independent ones, R their correlations, with which mean and
variance are the same. A probability of as much or more is given as the σ of a normal distribution with this tail, so 0
is the median of what chance does, and 3 has a chance of 1 in 740.
Source: F. E. Satterthwaite, Biometrics Bulletin 2, 110 (1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, f, norm

from refine.sampling.averages import standard_error
from refine.sampling.frames import Frames, concatenate

Array = NDArray[np.float64]

BIN = 0.1
"""Å, of the g(r) that are compared."""

SEEN = 0.1
"""g(r) from which on pairs are many enough for normal errors."""


def independent(correlation: Array) -> float:
    """ν of the module.

    >>> independent(np.eye(4)), independent(np.ones((4, 4)))
    (4.0, 1.0)
    """
    return float(len(correlation) ** 2 / np.sum(correlation**2))


def pooled(runs: Sequence[Frames]) -> Frames:
    """Frames of several runs as replicas of one."""
    return concatenate([replace(one, replica=np.full(len(one), k)) for k, one in enumerate(runs)])


def g_of_r(one: Frames, others: Frames) -> tuple[float, float]:
    """Mean square difference of all partial g(r) in standard errors, and its σ."""
    merged = round(BIN / (one.r_max / one.counts.shape[2]))
    one, others = one.merged(merged), others.merged(merged)
    seen = others.pair_distribution() > SEEN
    a, b = one.counts[:, seen].astype(np.float64), others.counts[:, seen].astype(np.float64)
    errors = np.hypot(standard_error(a, one.replica), standard_error(b, others.replica))
    square = float(np.mean(((a.mean(axis=0) - b.mean(axis=0)) / errors) ** 2))
    nu = independent(np.corrcoef(b, rowvar=False))
    return square, float(norm.isf(chi2.sf(nu * square, nu)))


def scalar(one: Array, replica: NDArray[np.integer], others: Array, of_others: NDArray[np.integer]) -> float:
    """Difference of two means in standard errors; (frames,) and the replicas that they belong to, of either."""
    error = np.hypot(standard_error(one, replica), standard_error(others, of_others))
    return float((one.mean() - others.mean()) / error)


def correction(one: Array, others: Array, covariance: Array) -> tuple[float, float, float]:
    """φ of a run against that of other seeds of one engine, at n points that may be of several pairs.

    Args:
        one: (n,) eV.  others: (m, n) eV, m at least 2.
        covariance: (n, n) of the posterior, eV²; differences are measured by its diagonal and judged as if they were
            correlated as it says.

    Returns:
        rms difference from the mean of the others in standard deviations of the posterior, less what the scatter of
        that mean adds; the same among the others; and the σ of the ratio, by Fisher's F.
    """
    m, deviation = len(others), np.sqrt(np.diag(covariance))
    mean = others.mean(axis=0)
    among = float(np.mean(((others - mean) / deviation) ** 2)) * m / (m - 1)
    square = float(np.mean(((one - mean) / deviation) ** 2)) / (1 + 1 / m)
    nu = independent(covariance / np.outer(deviation, deviation))
    return float(np.sqrt(square)), float(np.sqrt(among)), float(norm.isf(f.sf(square / among, nu, nu * (m - 1))))
