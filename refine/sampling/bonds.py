"""Bonds of one structure: who has how many neighbours, and the angles between bonds. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.sampling.periodic import close_pairs

Array = NDArray[np.float64]
Symbols = Sequence[str] | NDArray[np.str_]


def bonds(
    positions: Array, cell: Array, symbols: Symbols, centre: str, neighbour: str, reach: float
) -> tuple[NDArray[np.int64], Array]:
    """Bonds of every atom of one element with atoms of another or the same one; images are atoms of their own.

    positions: (N, 3) Å.  cell: (3, 3) Å.  symbols: (N,).  reach: Å; closer pairs are bonded.
    Returns the atom at the centre of each bond (bonds,) and the vector from it to its neighbour (bonds, 3), Å.

    A molecule of water across the wall of its box:

    >>> positions = np.array([[0.1, 0.0, 0.0], [9.5, 0.75, 0.0], [9.5, 9.25, 0.0]])
    >>> centre, vectors = bonds(positions, 10.0 * np.eye(3), ["O", "H", "H"], "O", "H", 1.2)
    >>> centre.tolist(), np.linalg.norm(vectors, axis=1).round(2).tolist()
    ([0, 0], [0.96, 0.96])
    """
    i, j, apart = close_pairs(np.asarray(positions, np.float64), np.asarray(cell, np.float64), reach)
    from_, to = np.concatenate([i, j]), np.concatenate([j, i])
    named = np.asarray(symbols)
    wanted = (named[from_] == centre) & (named[to] == neighbour)
    return from_[wanted], np.concatenate([-apart, apart])[wanted]


def coordination_numbers(
    positions: Array, cell: Array, symbols: Symbols, centre: str, neighbour: str, reach: float
) -> NDArray[np.int64]:
    """Bonds of each atom of the element at the centre (its atoms,); see `bonds`.

    >>> positions = np.array([[0.1, 0.0, 0.0], [9.5, 0.75, 0.0], [9.5, 9.25, 0.0]])
    >>> coordination_numbers(positions, 10.0 * np.eye(3), ["O", "H", "H"], "O", "H", 1.2).tolist()
    [2]
    """
    centres, _ = bonds(positions, cell, symbols, centre, neighbour, reach)
    numbers: NDArray[np.int64] = np.bincount(centres, minlength=len(symbols))[np.asarray(symbols) == centre]
    return numbers


def bond_angles(positions: Array, cell: Array, symbols: Symbols, centre: str, neighbour: str, reach: float) -> Array:
    """Angles neighbour-centre-neighbour in degrees, one for each two bonds of an atom (angles,); see `bonds`.

    >>> positions = np.array([[0.1, 0.0, 0.0], [9.5, 0.75, 0.0], [9.5, 9.25, 0.0]])
    >>> bond_angles(positions, 10.0 * np.eye(3), ["O", "H", "H"], "O", "H", 1.2).round(1).tolist()
    [102.7]
    """
    centres, vectors = bonds(positions, cell, symbols, centre, neighbour, reach)
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    order = np.argsort(centres, kind="stable")
    cosines = []
    for of_atom in np.split(order, np.flatnonzero(np.diff(centres[order])) + 1):
        a, b = np.triu_indices(len(of_atom), 1)
        cosines.append((unit[of_atom[a]] * unit[of_atom[b]]).sum(axis=1))
    angles: Array = np.degrees(np.arccos(np.clip(np.concatenate(cosines), -1.0, 1.0)))
    return angles
