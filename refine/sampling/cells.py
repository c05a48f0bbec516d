"""Other vectors of the same lattice: for a cell that is a needle or strongly skewed without need, and for frames that
come back in a cell other than the one that was written.

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

LOOSE = 5e-4
"""By how much two cells of one lattice may differ once the digits of a strongly skewed one are those of an upright one:
as a share, of lengths and of products of two vectors."""

MOST = 10_000
"""Vectors of a cell that make one of its reduced basis: of more, no digits are left."""


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


def vectors_between(cell: Array, other: Array, digits: float) -> Array | None:
    """Whole numbers (3, 3), of determinant 1 or -1, that make of a cell the other one, however it is turned.

    `vectors_between(cell, other, digits) @ cell` has the lengths and angles of `other`. Of a symmetric lattice several
    do: taken are those that are turned least from `other`, and not mirrored. None where the lattices are two.

    Both are reduced after Minkowski. Of one lattice these bases have the same lengths, and vectors of these lengths
    have no component but 0, 1 and -1 in such a basis: P. Q. Nguyen and D. Stehlé, ACM Trans. Algorithms 5, 46 (2009).

    cell, other: (3, 3), rows are lattice vectors, Å.
    digits: by how much a product of two vectors of `cell` may be off, as a share of that of their lengths.

    >>> cube, skewed = 6.0 * np.eye(3), np.array([[6.0, 0.0, 0.0], [12.0, 6.0, 0.0], [0.0, 0.0, 6.0]])
    >>> vectors_between(skewed, cube, 1e-4).tolist()
    [[1.0, 0.0, 0.0], [-2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    >>> vectors_between(skewed, 6.01 * np.eye(3), 1e-4) is None
    True
    """
    if _same(cell, other, digits):
        return np.eye(3)
    theirs, ours = _reduced(cell), _reduced(other)
    if theirs is None or ours is None:
        return None
    small = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))
    lengths = _lengths(small @ theirs @ cell)
    near = [np.flatnonzero(np.abs(lengths - length) < LOOSE * length) for length in _lengths(ours @ other)]
    rows = small[np.stack(np.meshgrid(*near, indexing="ij"), axis=-1).reshape(-1, 3)]
    rows = rows[np.round(np.linalg.det(rows)) == np.sign(np.linalg.det(cell @ ours @ other @ theirs))]
    found = np.round(np.linalg.inv(ours)) @ rows @ theirs + 0.0
    agreeing = [
        one
        for one in found
        if _same(cell, np.linalg.inv(one) @ other, digits)
        and _same(one @ cell, other, LOOSE)  # the digits of a strongly skewed cell may tell nothing
    ]
    return min(agreeing, key=lambda one: float(np.linalg.norm(one @ cell - other)), default=None)


def _same(cell: Array, other: Array, digits: float) -> bool:
    """Whether lengths and angles of two cells agree."""
    lengths = _lengths(other)
    return bool((np.abs(cell @ cell.T - other @ other.T) <= digits * np.outer(lengths, lengths)).all())


def _reduced(cell: Array) -> Array | None:
    """Whole numbers (3, 3) that make of a cell its Minkowski-reduced one; None of numbers that are no lattice's."""
    from ase.geometry.minkowski_reduction import minkowski_reduce

    try:
        with np.errstate(all="ignore"):
            found = np.asarray(minkowski_reduce(cell)[1], np.float64)
    except (RuntimeError, ValueError, OverflowError, IndexError):
        return None
    return found if np.abs(found).max() < MOST and round(abs(float(np.linalg.det(found)))) == 1 else None


def _lengths(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=1))


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
