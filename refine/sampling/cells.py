"""Other vectors of the same lattice, for a cell that is a needle or strongly skewed without need.

Distances are counted to half of the smallest height of the cell, and cutoffs refused beyond it. A lattice has many
cells, and that of a file may be one whose heights are small though those of another one are not.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from refine.system import heights

Array = NDArray[np.float64]

WORTH = 1.001
"""By how much the smallest height must grow; a cell that gains less stays the user's own."""

DIGITS = 1e-8
"""Share of the longest component of a cell that is rounding of a file's digits: right angles make dynamics cheaper."""


def upright_vectors(cell: Array) -> Array | None:
    """Whole numbers (3, 3), of determinant 1 or -1, that make of a cell the one whose smallest height is largest.

    `upright_vectors(cell) @ cell` are vectors of the same lattice, in the order and with the signs that bring them
    nearest to x, y and z. None where the smallest height would not grow. Atoms stay where they are.

    Heights are one over the lengths of the reciprocal vectors. A Minkowski-reduced basis of the reciprocal lattice has
    the shortest vectors that there are: P. Q. Nguyen and D. Stehlé, ACM Trans. Algorithms 5, 46 (2009), as in ASE.

    cell: (3, 3), rows are lattice vectors, Å.

    >>> skewed = np.array([[6.0, 0.0, 0.0], [12.0, 6.0, 0.0], [0.0, 0.0, 7.0]])
    >>> (upright_vectors(skewed) @ skewed).tolist()
    [[6.0, 0.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 7.0]]
    >>> upright_vectors(np.diag([6.0, 20.0, 7.0])) is None
    True
    """
    from ase.geometry.minkowski_reduction import minkowski_reduce

    try:
        with np.errstate(all="ignore"):
            dual = np.asarray(minkowski_reduce(np.linalg.inv(cell).T)[1], np.float64)
        found = np.round(np.linalg.inv(dual).T)
    except (RuntimeError, ValueError, OverflowError, IndexError):  # of numbers that are no lattice's
        return None
    if not (found @ dual.T == np.eye(3)).all() or not heights(found @ cell).min() > WORTH * heights(cell).min():
        return None
    orders = [found[list(rows)] for rows in itertools.permutations(range(3))]
    upright = max(orders, key=lambda rows: float(np.abs(np.diag(rows @ cell)).sum()))
    return np.asarray(np.where(np.diag(upright @ cell) < 0.0, -1.0, 1.0)[:, None] * upright)


def taken(vectors: Array, cell: Array) -> Array:
    """vectors @ cell, where what the last digits of a file's numbers leave beside a right angle is none.

    >>> taken(np.array([[1, 0, 0], [-2, 1, 0], [0, 0, 1]]), [[6.00000001, 0, 0], [12, 6, 0], [0, 0, 7]]).tolist()
    [[6.00000001, 0.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 7.0]]
    """
    found = np.asarray(vectors @ np.asarray(cell, np.float64))
    found[np.abs(found) < DIGITS * np.abs(cell).max()] = 0.0
    return found


def in_words(old: Array, new: Array) -> str:
    """What was done, for a message: the two cells, (3, 3) Å."""
    return (
        f"the cell, {_edges(old)}, at its smallest {heights(old).min():.2f} Å high, is taken as {_edges(new)}, "
        f"{heights(new).min():.2f} Å high: other vectors of the same lattice; no atom moves"
    )


def _edges(cell: Array) -> str:
    return " × ".join(f"{float(edge):.2f}" for edge in np.linalg.norm(cell, axis=1)) + " Å"
