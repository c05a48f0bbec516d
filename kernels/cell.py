"""Periodic cells: minimum image, wrapping, and the plain-numpy questions one asks before a simulation.

A cell is a (3, 3) matrix whose rows are the lattice vectors (Å). Coordinates inside the kernels are three arrays x, y,
z (structure of arrays): on a CPU that is two to three times faster than one (..., 3) array.

The minimum image is found by rounding fractional coordinates. That is exact for every separation shorter than half of
the smallest perpendicular height of the cell, orthorhombic or triclinic; cutoffs and the last bin of a
histogram are refused beyond it where they are set (`refine.system.System.check_distance`).
"""

import jax
import jax.numpy as jnp
import numpy as np

Components = tuple[jax.Array, jax.Array, jax.Array]


def perpendicular_heights(cell: np.ndarray) -> np.ndarray:
    """Distances between the opposite faces of the cell, V / |a_j x a_k|: (3,) float64, in the cell's unit of length.

    >>> perpendicular_heights(np.array([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, 0.0, 6.0]])).round(3).tolist()
    [3.922, 5.0, 6.0]
    """
    cell = np.asarray(cell, dtype=np.float64)
    if cell.shape != (3, 3):
        raise ValueError(f"the cell has shape {cell.shape}; it must be (3, 3), one lattice vector a row")
    volume = abs(np.linalg.det(cell)) if np.isfinite(cell).all() else 0.0
    if volume == 0.0:
        raise ValueError("the cell has no volume: its three lattice vectors are not independent and finite")
    faces = np.array([np.cross(cell[1], cell[2]), np.cross(cell[2], cell[0]), np.cross(cell[0], cell[1])])
    return np.asarray(volume / np.linalg.norm(faces, axis=1))


def is_orthorhombic(cell: np.ndarray) -> bool:
    """True when the matrix is exactly diagonal, so that the fast path of `minimum_image` may be used.

    >>> is_orthorhombic(np.diag([4.0, 5.0, 6.0]))
    True
    """
    cell = np.asarray(cell)
    return bool(np.all(cell == np.diag(np.diag(cell))))


def wrap(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Positions moved by whole lattice vectors into the cell: (..., 3) -> (..., 3) float64, in the unit of the cell.

    On the host, in float64: of a float32 sum of many lattice vectors too few digits would be left.

    >>> wrap(np.array([[4.5, -1.0, 2.0]]), 4.0 * np.eye(3)).tolist()
    [[0.5, 3.0, 2.0]]
    """
    shifts = np.floor(positions @ np.linalg.inv(cell))
    wrapped: np.ndarray = positions - shifts @ cell
    return wrapped


def split(positions: jax.Array) -> Components:
    """(..., 3) -> x, y, z, each (...)."""
    return positions[..., 0], positions[..., 1], positions[..., 2]


def minimum_image(dx: jax.Array, dy: jax.Array, dz: jax.Array, cell: jax.Array, orthorhombic: bool) -> Components:
    """The shortest periodic image of a displacement given by components of any one shape (Å).

    cell: (3, 3), rows are lattice vectors. orthorhombic (static): only the diagonal of the cell is read.
    Right for images shorter than half of the smallest perpendicular height.

    >>> [float(d) for d in minimum_image(3.0, -3.5, 1.0, 4.0 * np.eye(3), orthorhombic=True)]
    [-1.0, 0.5, 1.0]
    """
    if orthorhombic:
        lx, ly, lz = cell[0, 0], cell[1, 1], cell[2, 2]
        return (
            dx - lx * jnp.round(dx * (1 / lx)),
            dy - ly * jnp.round(dy * (1 / ly)),
            dz - lz * jnp.round(dz * (1 / lz)),
        )
    inverse = inverse_cell(cell)
    na, nb, nc = (jnp.round(dx * inverse[0, k] + dy * inverse[1, k] + dz * inverse[2, k]) for k in range(3))
    return (
        dx - (na * cell[0, 0] + nb * cell[1, 0] + nc * cell[2, 0]),
        dy - (na * cell[0, 1] + nb * cell[1, 1] + nc * cell[2, 1]),
        dz - (na * cell[0, 2] + nb * cell[1, 2] + nc * cell[2, 2]),
    )


def inverse_cell(cell: jax.Array) -> jax.Array:
    """Inverse of the cell by cross products, (3, 3): fractional = positions @ inverse. No LAPACK call inside a step."""
    a, b, c = cell[0], cell[1], cell[2]
    columns = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=1)
    return columns / jnp.dot(a, columns[:, 0])


def fractional(positions: jax.Array, cell: jax.Array) -> jax.Array:
    """Fractional coordinates folded into [0, 1): (N, 3) Å -> (N, 3)."""
    coordinates = jnp.matmul(positions, inverse_cell(cell), precision=jax.lax.Precision.HIGHEST)
    return coordinates - jnp.floor(coordinates)
