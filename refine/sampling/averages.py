"""Errors of averages over correlated frames: one estimator, used wherever a mean of a sample is stated.

    Var(<x>) = g C(0)/n,    g = [C(0) + 2 Σ_{t>=1} C(t)] / C(0) = 2 tau,

for a stationary series of n frames in all, in replicas that know nothing of each other; C(t) the autocovariance and tau
the integrated correlation time. "Errors of averages" in docs/theory/sampling.md says how C is estimated, where the sum
ends (`WINDOW`) and why. With fewer than `FEWEST` independent frames no error can be known. Of exponentially correlated
series of 200 frames with decays of 2, 10 and 20 frames, in one replica or in four, stated errors are the true ones
within 15 % (tests/sampling/test_averages.py); of series shorter than ten decays no estimate can be trusted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINDOW = 2.5
"""Correlation times that the sum over lags runs to: shorter cuts the tail off, longer adds the noise of large lags."""

FEWEST = 3.0
"""Independent frames that a sample is taken to hold at least."""

FRAMES_FOR_ERRORS = 10
"""Frames that the error of a mean needs: of n independent ones it is known to 1/sqrt(2 n), 22 % of 10."""

FRAMES_FOR_COVARIANCES = 40
"""Frames that a covariance of two quantities needs: of n independent ones it is known to 1/sqrt(n) of the product of
their deviations, 16 % of 40."""


def inefficiency(values: Array, replica: NDArray[np.integer] | None = None) -> Array:
    """g of the module: how many successive frames are worth one independent frame, (...), at least 1.

    `values.var(axis=0) * g / frames` is the variance of the mean. Constant series have g = 1.

    Args:
        values: (frames, ...), frames of a replica in order of time.
        replica: (frames,) which replica a frame belongs to; None: all are of one.

    Every frame repeated ten times:

    >>> series = np.repeat(np.random.default_rng(0).normal(size=400), 10)
    >>> float(inefficiency(series[::10]).round(1)), 8.0 < float(inefficiency(series)) < 12.0
    (1.0, True)
    """
    values = np.asarray(values, np.float64)
    frames = len(values)
    if frames < 2:
        raise ValueError(f"an error of a mean needs at least 2 frames; got {frames}")
    flat = values.reshape(frames, -1)
    deviation = flat - flat.mean(axis=0)
    pieces = [deviation] if replica is None else [deviation[replica == index] for index in np.unique(replica)]
    longest = max(len(piece) for piece in pieces)
    lags = max(1, min(longest // 2 + 1, (frames - 1) // 2))  # beyond, too few pairs
    sums, pairs = np.zeros((lags, flat.shape[1])), np.zeros(lags)
    for piece in pieces:
        n = len(piece)
        spectrum = np.fft.rfft(piece, n=2 * n, axis=0)
        products = np.fft.irfft(np.abs(spectrum) ** 2, n=2 * n, axis=0)[: min(n, lags)]
        sums[: len(products)] += products
        pairs[: len(products)] += n - np.arange(len(products))
    covariance = sums / pairs[:, None]
    variance = covariance[0]
    varies = variance > np.finfo(np.float64).eps ** 2 * np.mean(flat**2, axis=0) * frames
    lag = np.arange(lags)[:, None]
    total = (2.0 * np.cumsum(covariance, axis=0) - variance) / (1.0 - (2.0 * lag + 1.0) / frames)
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = 0.5 * total * (1.0 - (2.0 * lag + 1.0) / frames) / variance  # as it is: what is put back grows with M
        window = np.argmax((lag >= WINDOW * tau) | (lag == lags - 1), axis=0)
        g = np.take_along_axis(total, window[None], axis=0)[0] / variance
        # in terms of C(0) itself, whose estimate lacks S/n: S <= C(0) n / FEWEST
        most = frames / (FEWEST - 1.0)
        g = np.where(varies, np.clip(g, 1.0, max(1.0, most)), 1.0)
    return g.reshape(values.shape[1:])


def standard_error(values: Array, replica: NDArray[np.integer] | None = None) -> Array:
    """Standard error of the mean over correlated frames: (frames, ...) -> (...); see `inefficiency`.

    >>> series = np.random.default_rng(0).normal(size=(400, 1))
    >>> standard_error(series).round(2).tolist()  # 1 / sqrt(400)
    [0.05]
    """
    values = np.asarray(values, np.float64)
    error: Array = np.sqrt(values.var(axis=0) * inefficiency(values, replica) / len(values))
    return error


def influences(statistic: Callable[[Array], float], samples: Array) -> Array:
    """(frames,) what each frame contributes to a statistic of the mean of samples (frames, ...), to first order.

    n θ - (n - 1) θ_(-f), θ_(-f) with frame f left out: the pseudo-values of the jackknife, whose mean is the statistic
    and whose correlations in time are those of the frames. Source: B. Efron, The Jackknife, the Bootstrap and Other
    Resampling Plans (SIAM, 1982), chapter 3.

    >>> influences(lambda mean: float(mean) ** 2, np.array([1.0, 2.0, 3.0])).round(2).tolist()
    [-0.5, 4.0, 7.5]
    """
    n = len(samples)
    total = samples.sum(axis=0, dtype=np.float64)
    whole = statistic(total / n)
    return np.array([n * whole - (n - 1) * statistic((total - one) / (n - 1)) for one in samples])


def error_of(statistic: Callable[[Array], float], samples: Array, replica: NDArray[np.integer] | None = None) -> float:
    """Standard error of a statistic, such as R_chi, of the mean of samples (frames, ...).

    >>> series = np.random.default_rng(0).normal(loc=3.0, size=400)
    >>> round(error_of(lambda mean: float(mean) ** 2, series), 2)  # 2 * 3 / sqrt(400)
    0.29
    """
    return float(standard_error(influences(statistic, samples), replica))
