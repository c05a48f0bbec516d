"""How far a run lies from others of the same study, in standard deviations.

Of many values that know of each other, such as the bins of g(r), the mean square difference in standard errors is 1 on
average. It is judged as if its n values were ν = n²/Σ R² independent ones, R their correlations, with which mean and
variance are the same, and by Fisher's F, as the errors are estimates themselves. A probability of as much or more is
given as the σ of a normal distribution with this tail: 0 is the median of what chance does, and 3 has a chance of 1 in
740. Source: F. E. Satterthwaite, Biometrics Bulletin 2, 110 (1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f, norm

from refine.sampling.averages import standard_error
from refine.sampling.frames import Frames, concatenate

Array = NDArray[np.float64]

BIN = 0.1
"""Å, of the g(r) that are compared."""

SEEN = 0.1
"""g(r) from which on pairs are many enough for normal errors."""

BLOCKS = 10
"""Successive pieces of a run, whose means are taken to be independent."""


def independent(correlation: Array, freedom: float = np.inf) -> float:
    """ν of the module, at least 1; freedom: degrees of freedom of an estimated correlation, whose noise adds to R².

    >>> independent(np.eye(4)), independent(np.ones((4, 4)))
    (4.0, 1.0)
    """
    n = len(correlation)
    square = (float(np.sum(correlation**2)) - n**2 / freedom) / (1.0 - 1.0 / freedom)
    return n**2 / min(max(square, n), n**2)


def sigma(square: float, nu: float, freedom: float) -> float:
    """σ of a mean square of ν independent values, measured by a variance with so many degrees of freedom for each."""
    return float(norm.isf(f.sf(square, nu, nu * freedom)))


def pooled(runs: Sequence[Frames]) -> Frames:
    """Frames of several runs as replicas of one."""
    return concatenate([replace(one, replica=np.full(len(one), k)) for k, one in enumerate(runs)])


def means(one: Array, others: Sequence[Array]) -> tuple[float, float]:
    """Mean square difference of the means of n values, in standard errors, and its σ.

    Slow motions that many values share show in none of them alone, so errors and correlations are those of the means of
    `BLOCKS` blocks of the other runs, and a run of as many frames has the same ones.

    Args:
        one: (frames, n).  others: the same of each of the other runs.
    """
    pieces = [np.array([block.mean(axis=0) for block in np.array_split(run, BLOCKS)]) for run in others]
    deviations = np.concatenate([piece - piece.mean(axis=0) for piece in pieces])
    freedom, frames = len(others) * (BLOCKS - 1), [len(run) for run in others]
    covariance = deviations.T @ deviations / freedom * np.mean(frames) / BLOCKS  # of one independent frame
    error = np.diag(covariance) * (1.0 / len(one) + 1.0 / sum(frames))
    mean = np.concatenate(others).mean(axis=0)
    square = float(np.mean((one.mean(axis=0) - mean) ** 2 / error))
    square *= (freedom - 2) / freedom  # 1/s² of an estimated variance is larger on average than 1/σ²
    scale = np.sqrt(np.diag(covariance))
    return square, sigma(square, independent(covariance / np.outer(scale, scale), freedom), freedom)


def between(one: Array, other: Array) -> tuple[float, float]:
    """As `means`, of two runs whose frames are not as far apart, so that each has errors of its own.

    Args:
        one, other: (frames, n).
    """
    pieces = [np.array([block.mean(axis=0) for block in np.array_split(run, BLOCKS)]) for run in (one, other)]
    of_each = [np.cov(piece, rowvar=False) / BLOCKS for piece in pieces]
    covariance = of_each[0] + of_each[1]
    sizes = [float(np.trace(each)) for each in of_each]
    freedom = (BLOCKS - 1) * sum(sizes) ** 2 / sum(size**2 for size in sizes)  # B. L. Welch, Biometrika 34, 28 (1947)
    error = np.diag(covariance)
    square = float(np.mean((one.mean(axis=0) - other.mean(axis=0)) ** 2 / error)) * (freedom - 2) / freedom
    scale = np.sqrt(error)
    return square, sigma(square, independent(covariance / np.outer(scale, scale), freedom), freedom)


def g_of_r(one: Frames, others: Sequence[Frames]) -> tuple[float, float]:
    """`means` of all partial g(r)."""
    merged = round(BIN / (one.r_max / one.counts.shape[2]))
    one, wide = one.merged(merged), [other.merged(merged) for other in others]
    seen = pooled(wide).pair_distribution() > SEEN
    return means(*(one.counts[:, seen].astype(float), [other.counts[:, seen].astype(float) for other in wide]))


def birge(runs: Sequence[Array]) -> float:
    """Factor on stated errors of means, from how means of runs (frames,) of one potential scatter: Birge's ratio, or 1.

    Errors of a series that is only some of its slowest times long are too small. Source: R. T. Birge, Phys. Rev. 40,
    207 (1932).
    """
    means, errors = np.array([[run.mean(), standard_error(run)] for run in runs]).T
    weighted = np.average(means, weights=errors**-2)
    return max(1.0, float(np.sqrt(np.sum(((means - weighted) / errors) ** 2) / (len(runs) - 1))))


def scalar(one: Array, others: Sequence[Array]) -> float:
    """Difference of the mean of a run (frames,) from that of others, in standard errors."""
    replica = np.repeat(np.arange(len(others)), [len(other) for other in others])
    together = np.concatenate(others)
    error = np.hypot(standard_error(one), standard_error(together, replica))
    return float((one.mean() - together.mean()) / error)


def correction(one: Array, others: Array, covariance: Array) -> tuple[float, float, float]:
    """φ of a run against that of other seeds of one engine, at n points that may be of several pairs.

    Args:
        one: (n,) eV.  others: (m, n) eV, m at least 2.
        covariance: (n, n) of the posterior, eV²; differences are measured by its diagonal and judged as if they were
            correlated as it says.

    Returns:
        rms difference from the mean of the others in standard deviations of the posterior, less what the scatter of
        that mean adds; the same among the others; and the σ of the ratio.
    """
    m, deviation = len(others), np.sqrt(np.diag(covariance))
    mean = others.mean(axis=0)
    among = float(np.mean(((others - mean) / deviation) ** 2)) * m / (m - 1)
    square = float(np.mean(((one - mean) / deviation) ** 2)) / (1 + 1 / m)
    nu = independent(covariance / np.outer(deviation, deviation))
    return float(np.sqrt(square)), float(np.sqrt(among)), sigma(square / among, nu, m - 1)
