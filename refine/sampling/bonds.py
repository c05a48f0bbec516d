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
    """
    i, j, apart = close_pairs(np.asarray(positions, np.float64), np.asarray(cell, np.float64), reach)
    from_, to = np.concatenate([i, j]), np.concatenate([j, i])
    named = np.asarray(symbols)
    wanted = (named[from_] == centre) & (named[to] == neighbour)
    return from_[wanted], np.concatenate([-apart, apart])[wanted]


def coordination_numbers(
    positions: Array, cell: Array, symbols: Symbols, centre: str, neighbour: str, reach: float
) -> NDArray[np.int64]:
    """Bonds of each atom of the element at the centre (its atoms,); see `bonds`."""
    centres, _ = bonds(positions, cell, symbols, centre, neighbour, reach)
    return np.bincount(centres, minlength=len(symbols))[np.asarray(symbols) == centre]


def bond_angles(positions: Array, cell: Array, symbols: Symbols, centre: str, neighbour: str, reach: float) -> Array:
    """Angles neighbour-centre-neighbour in degrees, one for each two bonds of an atom (angles,); see `bonds`."""
    centres, vectors = bonds(positions, cell, symbols, centre, neighbour, reach)
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    order = np.argsort(centres, kind="stable")
    found = []
    for own in np.split(order, np.flatnonzero(np.diff(centres[order])) + 1):
        a, b = np.triu_indices(len(own), 1)
        found.append((unit[own[a]] * unit[own[b]]).sum(axis=1))
    return np.degrees(np.arccos(np.clip(np.concatenate(found), -1.0, 1.0)))
