"""Which of many frames to label: those that are far from all that is known, and of which the model is unsure.

Farthest point: one after the other, the frame whose distance to the known ones and to those already chosen is largest.
A frame is one point, its mean feature, or as many as it has atoms; the distance of a frame of many is that of its atom
which is farthest from all known ones. With weights, distance times weight decides. The first of equals is taken, so
that the same frames give the same choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]


def farthest(frames: Sequence[Array], known: Array, number: int, weights: Array | None = None) -> list[int]:
    """Numbers of the frames that are chosen, in order.

    Args:
        frames: points of each, (n, D).
        known: points that are known, (m, D), or none.
        number: to choose; all, where there are fewer.
        weights: (frames,), not negative; None: all alike.

    The ends of a line, and then its middle:

    >>> farthest([np.array([[x]]) for x in (0.0, 4.0, 9.0, 10.0)], np.array([[0.5]]), 2)
    [3, 1]
    """
    weights = np.ones(len(frames)) if weights is None else weights
    nearest = [cdist(points, known).min(axis=1) if len(known) else np.full(len(points), np.inf) for points in frames]
    left, chosen = list(range(len(frames))), list[int]()
    while left and len(chosen) < number:
        apart = np.array([nearest[k].max() for k in left])
        # before anything is known all are as far, and the weights alone decide
        merit = weights[left] if np.isinf(apart).all() else weights[left] * apart
        pick = left.pop(int(np.argmax(merit)))
        chosen.append(pick)
        for k in left:
            nearest[k] = np.minimum(nearest[k], cdist(frames[k], frames[pick]).min(axis=1))
    return chosen


def scaled(features: Sequence[Array]) -> list[Array]:
    """Features, (n, D) each, in units of their standard deviation over all rows; one that never changes is 0."""
    every = np.concatenate(features)
    spread = every.std(axis=0)
    changes = spread > 1e-12 * np.abs(every).max(axis=0)
    factor = np.where(changes, 1.0, 0.0) / np.where(changes, spread, 1.0)
    return [(one - every.mean(axis=0)) * factor for one in features]
