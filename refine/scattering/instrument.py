"""What an instrument makes of a curve: a scale on its signal and a background, which a normalisation leaves open.

    seen = baseline + s (y - baseline) + Σ_j b_j background_j

s multiplies the signal alone (of S(Q) the baseline 1 is none), b_j are in units of the declared quantity, and
background_j is what a b_j of one adds to the curve: one of a flat background, several of a smooth one
(`refine.scattering.background`). Written here and used wherever a model is compared; the moves of reverse Monte
Carlo, which know nothing of scattering, have it whitened (`refine.sampling.moves.reverse_monte_carlo`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Y = TypeVar("Y", bound=Any)
"""An array of numpy, or of whatever differentiates through it."""


def seen(y: Y, baseline: Array, scale: float | Array = 1.0, background: Array | None = None) -> Y:
    """The model curve y (..., n), at scale 1 and background 0, as the instrument reports it.

    Args:
        baseline: (n,) the part of y that is not signal.
        scale: s, one or (n,) of several curves one after the other.
        background: (n,) what the background adds (`added`); None: there is none.

    >>> seen(np.array([0.5, 2.0]), np.ones(2), scale=1.1, background=np.full(2, 0.02))
    array([0.47, 2.12])
    """
    scaled: Y = baseline + scale * (y - baseline)
    reported: Y = scaled if background is None else scaled + background
    return reported


def added(response: Array, amplitudes: Sequence[float]) -> Array:
    """(n,) what a background adds to a curve: its responses (n, k) times its amplitudes (k,); zero where it has none.

    >>> added(np.array([[1.0, 0.0], [1.0, 2.0]]), (0.5, 0.25)).tolist(), added(np.ones((2, 1)), ()).tolist()
    ([0.5, 1.0], [0.0, 0.0])
    """
    return np.asarray(response @ np.asarray(amplitudes, np.float64)) if len(amplitudes) else np.zeros(len(response))


def by_scale(y: Array, baseline: Array) -> Array:
    """d seen/d s: the signal of y (n,). (d seen/d b is the response to a background itself, d seen/d y is s.)

    >>> by_scale(np.array([0.5, 2.0]), np.ones(2)).tolist()
    [-0.5, 1.0]
    """
    return y - baseline
