"""Close pairs and empty space under periodic boundaries, in any cell. numpy and scipy only."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.spatial import cKDTree

EMPTY_GRID = 24  # points along each lattice vector at which empty space is looked for


def close_pairs(positions: np.ndarray, cell: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs closer than `distance` (Å) under periodic boundaries, images included, each once.

    Returns i, j (pairs,) and r_i - r_j (pairs, 3). An atom is never its own neighbour. Works for any cell.
    """
    fractional = positions @ np.linalg.inv(cell)
    fractional -= np.floor(fractional)
    n = len(positions)
    margin = distance * np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [range(-math.ceil(m), math.ceil(m) + 1) for m in margin]
    images, owners = [fractional], [np.arange(n)]
    for shift in itertools.product(*reach):
        if shift == (0, 0, 0):
            continue
        image = fractional + shift
        near = ((image > -margin) & (image < 1 + margin)).all(axis=1)
        images.append(image[near])
        owners.append(np.flatnonzero(near))
    everywhere, owner = np.concatenate(images) @ cell, np.concatenate(owners)
    pairs = cKDTree(everywhere).query_pairs(distance, output_type="ndarray")
    # keep a pair when the atom of lower index is in the cell itself; the other one may be an image
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    i, j = owner[pairs[:, 0]], owner[pairs[:, 1]]
    kept = (pairs[:, 0] < n) & (i < j)
    return i[kept], j[kept], (everywhere[pairs[:, 0]] - everywhere[pairs[:, 1]])[kept]


def distances_to_atoms(positions: np.ndarray, cell: np.ndarray, within: float) -> np.ndarray:
    """(n, n, n) Å: from the points of a grid along the lattice vectors to the nearest atom, inf beyond `within` (Å).

    positions: (N, 3) Å in any periodic images.  cell: (3, 3) Å.
    """
    fractional = positions @ np.linalg.inv(cell)
    fractional -= np.floor(fractional)
    margin = within * np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [range(-math.ceil(m), math.ceil(m) + 1) for m in margin]
    images = []
    for shift in itertools.product(*reach):
        image = fractional + shift
        images.append(image[((image > -margin) & (image < 1 + margin)).all(axis=1)])
    points = (np.indices((EMPTY_GRID,) * 3).reshape(3, -1).T + 0.5) / EMPTY_GRID
    nearest, _ = cKDTree(np.concatenate(images) @ cell).query(points @ cell, distance_upper_bound=within)
    return np.asarray(nearest).reshape((EMPTY_GRID,) * 3)
