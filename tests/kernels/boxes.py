"""Cells and configurations that the tests of the kernels share."""

import numpy as np

CELLS = {
    "orthorhombic": np.diag([21.0, 23.0, 26.0]),
    "triclinic": np.array([[24.0, 0.0, 0.0], [5.0, 23.0, 0.0], [-4.0, 3.0, 25.0]]),
}


def random_positions(n: int, cell: np.ndarray, seed: int = 0, *, wrapped: bool = False) -> np.ndarray:
    """(n, 3) Å, even in the cell; unless wrapped, then moved by up to two lattice vectors either way."""
    rng = np.random.default_rng(seed)
    fractional = rng.random((n, 3))
    if not wrapped:
        fractional += rng.integers(-2, 3, (n, 3))
    return fractional @ cell


def all_images(positions: np.ndarray, cell: np.ndarray, reach: int = 4) -> np.ndarray:
    """Shortest distance (n, n) float64 over explicit images: slow, and independent of any rounding of fractions."""
    folded = (positions @ np.linalg.inv(cell)) % 1.0 @ cell
    apart = folded[:, None] - folded[None]
    steps = np.arange(-reach, reach + 1)
    shifts = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    shortest = np.full(apart.shape[:2], np.inf)
    for shift in shifts:
        shortest = np.minimum(shortest, np.linalg.norm(apart + shift, axis=-1))
    return shortest
