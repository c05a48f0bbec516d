"""Averages and fluctuation formulas of the counts of frames, with errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refine.sampling.averages import FRAMES_FOR_COVARIANCES, error_of, standard_error
from refine.sampling.frames import Frames
from refine.tasks.sensitivity.scalar import ScalarOfCurve

Array = NDArray[np.float64]


def average(counts: Array, replica: NDArray[np.integer], scalar: ScalarOfCurve) -> tuple[float, float]:
    """f of the mean counts and its error."""
    return scalar(counts.mean(axis=0))[0], error_of(lambda h: scalar(h)[0], counts, replica)


def fluctuation(
    counts: Array, replica: NDArray[np.integer], number: Array, scalar: ScalarOfCurve, beta: float
) -> tuple[float, float]:
    """-beta v . Cov(h, N), v taken at the mean of the same frames, and its error."""
    number = (number - number.mean())[:, None, None]
    # one array a frame: h, h N and N
    samples = np.stack([counts, counts * number, np.broadcast_to(number, counts.shape)], axis=1)

    def value(means: Array) -> float:
        h, product, mean = means
        _, v = scalar(h)
        return -beta * float(np.sum(v * (product - h * mean)))

    return value(samples.mean(axis=0)), error_of(value, samples, replica)


def window_formula(
    frames: Frames, number: Array, cotangent: Array, beta: float, length: float
) -> tuple[float, float] | None:
    """-beta [Cov(O, N) - Cov(O(t), N(0))] at t = `length` frames (to the nearest), v fixed; None below half of one.

    Numbers without a correlation in time: a window sees the whole covariance, here 1.

    >>> numbers = np.random.default_rng(0).normal(size=4000)
    >>> counts, nothing = numbers[:, None, None], np.zeros(4000)
    >>> frames = Frames(counts, nothing, nothing, nothing, np.zeros(4000, int), 1.0, (2,), 100.0)
    >>> value, stderr = window_formula(frames, numbers, np.ones((1, 1)), 1.0, length=3.0)
    >>> abs(value + 1.0) < 3.0 * stderr
    True
    """
    lag = round(length)
    if lag < 1:
        return None
    o = np.einsum("fpb,pb->f", frames.counts.astype(np.float64), cotangent)
    o, number = o - o.mean(), number - number.mean()
    series = []
    for replica in np.unique(frames.replica):
        of, nf = o[frames.replica == replica], number[frames.replica == replica]
        if len(of) > lag:
            series.append(-beta * (of[:-lag] - of[lag:]) * nf[:-lag])
    if sum(map(len, series)) < FRAMES_FOR_COVARIANCES:
        return None
    joined, owner = np.concatenate(series), np.repeat(np.arange(len(series)), [len(one) for one in series])
    return float(joined.mean()), float(standard_error(joined, owner))
