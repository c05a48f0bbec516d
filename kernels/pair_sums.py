"""Sums over pairs of tabulated functions of the distance, s_l = sum_{i<j} c_l(r_ij), and the forces of an energy V(s).

A function is a number for each bin of the distance, one row for each pair of species, and a straight line between the
middles of bins: constant below the first, and from the last one to zero at r_max. So the force is the derivative of the
energy, piece by piece, and the sum is what counts of pairs in these bins give, up to the curvature within a bin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from kernels.cell import Components, minimum_image, split
from kernels.species import number_of_pairs, pair_row, species_of


class SumTable(NamedTuple):
    """Functions c_l of pair distances.

    value, rise: (L, P * bins), c at the middle of a bin, and how much more it is in the next.
    bins: of each row.  r_max: Å.
    """

    value: jax.Array
    rise: jax.Array
    bins: int
    r_max: float


def sum_table(functions: np.ndarray, r_max: float, dtype: DTypeLike) -> SumTable:
    """The table of functions (L, P, bins), one number for each bin from 0 to r_max (Å); for use in programs."""
    functions = np.asarray(functions, np.float64)
    rise = np.concatenate([np.diff(functions, axis=2), -2.0 * functions[:, :, -1:]], axis=2)
    rows = [jnp.asarray(x.reshape(len(x), -1).astype(dtype)) for x in (functions, rise)]
    return SumTable(rows[0], rows[1], functions.shape[2], r_max)


def all_pairs(n: int) -> jax.Array:
    """Every other atom of every atom, as the `idx` of a `kernels.neighbors.NeighborList`: (n - 1, n) int32.

    >>> all_pairs(3).tolist()
    [[1, 2, 0], [2, 0, 1]]
    """
    return (jnp.arange(n, dtype=jnp.int32)[None] + jnp.arange(1, n, dtype=jnp.int32)[:, None]) % n


def pair_sums(
    positions: jax.Array,
    idx: jax.Array,
    table: SumTable,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    orthorhombic: bool,
) -> jax.Array:
    """(L,) sums over all pairs within r_max, each pair once.

    positions: (N, 3) Å, sorted by species.  idx: (K, N), neighbours of every atom as nearest images, all within r_max
    at least; an atom that is its own is none.  cell: (3, 3) Å.  n_per_species, orthorhombic: static.
    """
    _, place, row, near = _pairs(positions, idx, table, cell, n_per_species, orthorhombic)
    fraction = place - row

    def one(of_function: tuple[jax.Array, jax.Array]) -> jax.Array:
        value, rise = of_function
        found = _look_up(value, row.astype(jnp.int32)) + fraction * _look_up(rise, row.astype(jnp.int32))
        return jnp.sum(jnp.where(near, found, 0)) / 2

    sums: jax.Array = jax.lax.map(one, (table.value, table.rise))
    return sums


def pair_sum_forces(
    positions: jax.Array,
    idx: jax.Array,
    table: SumTable,
    slopes: jax.Array,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    orthorhombic: bool,
) -> jax.Array:
    """(N, 3) eV/Å, minus the gradient of V(s) by the positions.

    slopes: (L,) dV/ds, eV. The others as in `pair_sums`.
    """
    apart, place, row, near = _pairs(positions, idx, table, cell, n_per_species, orthorhombic)
    per_bin = jnp.sum(slopes[:, None] * table.rise, axis=0)
    inside = near & (place > row)  # below the middle of the first bin it is constant
    r = jnp.sqrt(jnp.where(inside, sum(x * x for x in apart), 1))
    g = jnp.where(inside, -_look_up(per_bin, row.astype(jnp.int32)) * (table.bins / table.r_max) / r, 0)
    return jnp.stack([jnp.sum(g * x, axis=0) for x in apart], axis=1).astype(positions.dtype)


def _pairs(
    positions: jax.Array,
    idx: jax.Array,
    table: SumTable,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    orthorhombic: bool,
) -> tuple[Components, jax.Array, jax.Array, jax.Array]:
    """Of every slot (K, N): r_i - r_j, place in the flattened table from the middle of its first bin on, the whole part
    of the place, and whether it is a pair within r_max."""
    components = split(positions)
    n, bins = positions.shape[0], table.bins
    if table.value.shape[1] != number_of_pairs(len(n_per_species)) * bins or sum(n_per_species) != n:
        raise ValueError(f"the functions are of other atoms than {n_per_species}")
    dx, dy, dz = (x[None] - x[idx] for x in components)
    apart = minimum_image(dx, dy, dz, cell, orthorhombic)
    r = jnp.sqrt(sum(x * x for x in apart))
    own = jnp.arange(n, dtype=jnp.int32)[None]
    near = (idx != own) & (r < table.r_max)
    row = pair_row(species_of(own, n_per_species), species_of(idx, n_per_species), len(n_per_species)) * bins
    within = jnp.clip(r * (bins / table.r_max) - 0.5, 0, bins - 0.5)
    whole = jnp.floor(within)
    return apart, within + row, whole + row, near


def _look_up(values: jax.Array, index: jax.Array) -> jax.Array:
    return values.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)
