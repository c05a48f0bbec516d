"""Linear operators from mean pair counts to a curve.

g_p = h / n_p, with n_p the exact count of an ideal gas in the same box (`kernels.shells`). Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.system import Box

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CurveOperator:
    """y = matrix @ h + constant on the points x; h are mean pair counts, flattened (pairs * bins,).

    Attributes:
        x: (n,) 1/Å or Å.
        matrix: (n, pairs * bins).
        constant: (n,).
        baseline: (n,) the part of y that is not signal (the 1 of S(Q)); a free scale multiplies y - baseline.

    >>> double = CurveOperator(np.array([1.0]), np.array([[2.0, 0.0]]), np.array([1.0]), np.zeros(1))
    >>> double.predict(np.array([[3.0, 5.0]])).tolist()  # one pair, two bins
    [7.0]
    """

    x: Array
    matrix: Array
    constant: Array
    baseline: Array

    def predict(self, counts: Array) -> Array:
        """The curve (..., n) from counts (..., pairs, bins)."""
        flat = np.asarray(counts, float).reshape(*np.shape(counts)[:-2], -1)
        return flat @ self.matrix.T + self.constant

    def interpolated(self, points: Array) -> CurveOperator:
        """The operator on other points (m,), between which and its own the curve is a straight line."""
        at = interpolation(self.x, points)
        return CurveOperator(points, at @ self.matrix, at @ self.constant, at @ self.baseline)

    @classmethod
    def from_g(cls, x: Array, acts_on_g: Array, level: Array, baseline: Array, box: Box) -> CurveOperator:
        """From a matrix (n, pairs, bins) acting on g - 1 of the infinite system, and the curve at g = 1, `level`."""
        closed = acts_on_g + acts_on_g.sum(axis=2, keepdims=True) * box.closure
        ideal = box.ideal_counts
        matrix = (closed / np.where(ideal > 0.0, ideal, np.inf)).reshape(len(x), -1)
        present = (ideal > 0.0).astype(float)
        return cls(x, matrix, level - np.einsum("npb,pb->n", closed, present), baseline)


def interpolation(nodes: Array, points: Array) -> Array:
    """(points, nodes) matrix of linear interpolation; constant beyond the ends.

    >>> interpolation(np.array([0.0, 1.0, 2.0]), np.array([0.25, 5.0]))
    array([[0.75, 0.25, 0.  ],
           [0.  , 0.  , 1.  ]])
    """
    x = np.clip(points, nodes[0], nodes[-1])
    k = np.clip(np.searchsorted(nodes, x) - 1, 0, len(nodes) - 2)
    fraction = (x - nodes[k]) / (nodes[k + 1] - nodes[k])
    matrix = np.zeros((len(points), len(nodes)))
    rows = np.arange(len(points))
    matrix[rows, k] = 1.0 - fraction
    matrix[rows, k + 1] = fraction
    return matrix


def bracketing(nodes: Array, points: Array) -> Array:
    """Those of the sorted nodes that `interpolation` to the points takes.

    >>> bracketing(np.arange(6.0), np.array([0.5, 4.2]))
    array([0., 1., 4., 5.])
    """
    upper = np.clip(np.searchsorted(nodes, points), 1, len(nodes) - 1)
    return nodes[np.union1d(upper - 1, upper)]
