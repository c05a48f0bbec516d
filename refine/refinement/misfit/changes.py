"""What scaling, damping and broadening do to mean pair counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kernels.shells import ideal_pair_counts
from refine.system import Box

Array = NDArray[np.float64]

BROADENING_STEP = 0.05
"""Å, standard deviation of the Gaussian from which the derivative by s^2 is taken (at least a bin): the exact second
derivative would amplify the noise of the histogram beyond any Q that is measured."""


def scaled_box(box: Box, epsilon: float) -> Box:
    """The box with all lengths times 1 + epsilon and the same histogram edges.

    >>> from refine.system import make_system
    >>> box = Box.of(make_system({"Ar": 108}, 17.0 * np.eye(3)), np.linspace(0.0, 8.5, 86))
    >>> round(scaled_box(box, 0.01).volume / box.volume, 6)  # 1.01^3
    1.030301
    """
    s = 1.0 + epsilon
    return replace(box, volume=box.volume * s**3, cell=None if box.cell is None else box.cell * s)


def scaled_counts(counts: Array, box: Box, epsilon: float) -> Array:
    """Mean counts (pairs, bins) on the same edges after all distances grew by 1 + epsilon.

    Cumulative counts H(r) become H(r/(1 + epsilon)); beyond the last edge they go on with the ideal density.

    >>> from refine.system import make_system
    >>> box = Box.of(make_system({"Ar": 108}, 17.0 * np.eye(3)), np.linspace(0.0, 8.5, 86))
    >>> scaled = scaled_counts(box.ideal_counts, box, 0.01)
    >>> float((scaled / box.ideal_counts)[:, 20:].mean().round(3))  # an ideal gas is thinner by 1.01^3
    0.971
    """
    edges, inner = box.edges, box.edges / (1.0 + epsilon)
    cumulative = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    moved = np.array([np.interp(inner, edges, row) for row in cumulative])
    if inner[-1] > edges[-1]:
        moved[:, -1] += ideal_pair_counts(box.n_per_species, box.volume, np.array([edges[-1], inner[-1]]))[:, 0]
    return np.diff(moved, axis=1)


def damped(counts: Array, box: Box) -> Array:
    """Change of counts (pairs, bins) per unit of Qdamp^2 (1/Å^2): g - 1 times -r^2/2, of the infinite system.

    >>> from refine.system import make_system
    >>> box = Box.of(make_system({"Ar": 108}, 17.0 * np.eye(3)), np.linspace(0.0, 8.5, 86))
    >>> bool(np.allclose(damped(box.ideal_counts, box), 0.0, atol=1e-9))  # nothing to damp
    True
    """
    return _opened(-0.5 * box.centres**2 * _infinite(counts, box), box)


def broadened(counts: Array, box: Box) -> Array:
    """Change of counts (pairs, bins) per unit of s^2 (Å^2): half of the second derivative of r (g - 1).

    From a Gaussian of `BROADENING_STEP`; r (g - 1) is odd about r = 0 and goes on with its last value.
    """
    r, width = box.centres, float(box.edges[1] - box.edges[0])
    step = max(BROADENING_STEP, width)
    reach = int(np.ceil(5.0 * step / width))
    kernel = np.exp(-0.5 * (width * np.arange(-reach, reach + 1) / step) ** 2)
    kernel /= kernel.sum()
    d = r * _infinite(counts, box)
    padded = np.concatenate([-d[:, :reach][:, ::-1], d, np.repeat(d[:, -1:], reach, axis=1)], axis=1)
    smooth = np.array([np.convolve(row, kernel, mode="valid") for row in padded])
    return _opened((smooth - d) / step**2 / r, box)


def _infinite(counts: Array, box: Box) -> Array:
    """g - 1 of the infinite system, (pairs, bins): the closed box taken off."""
    ideal = box.ideal_counts
    distinct = np.divide(counts, ideal, out=np.ones_like(ideal), where=ideal > 0.0) - 1.0
    return distinct + (distinct @ box.closure)[:, None]


def _opened(change: Array, box: Box) -> Array:
    """Counts whose g - 1 of the infinite system changes by `change`: the operators add the closed box's share again."""
    share = (change @ box.closure) / (1.0 + box.closure.sum())
    return np.asarray(box.ideal_counts * (change - share[:, None]))
