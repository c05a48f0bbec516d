"""Neighbour lists of fixed shape that are built, used and rebuilt inside one compiled program.

A list is full (every pair appears under both atoms: no scatter of forces) and dense: K places for each atom. A place that is
not used holds the atom's own index, so its displacement is zero and so is its force: nothing downstream needs a mask for it.
When an atom has more than K neighbours nothing is written out of bounds; the list says `overflow`, and the caller builds
again with more places. Everything here can be jitted and vmapped.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import fractional, minimum_image, perpendicular_heights, split


class NeighborList(NamedTuple):
    """Neighbours of every atom within the list's cutoff at `reference`.

    idx: (K, N) int32; column i lists the neighbours of atom i, then i itself in the places left over.
    reference: (N, 3) Å, the positions the list was built from.
    overflow: () bool, True when some atom (or some cell of the grid) had more members than places: the list is incomplete.
    """

    idx: jax.Array
    reference: jax.Array
    overflow: jax.Array


class Grid(NamedTuple):
    """A static division of the box: cells along each lattice vector, and the places for atoms in one cell."""

    shape: tuple[int, int, int]
    occupancy: int


def round_up(count: float, multiple: int = 8) -> int:
    """The smallest multiple of `multiple` that is not below `count`: whole vector registers."""
    return multiple * math.ceil(count / multiple)


def estimate_capacity(n: int, volume: float, cutoff: float, margin: float = 1.25) -> int:
    """Places per atom for a homogeneous system of `n` atoms in `volume` (Å^3) and a list cutoff (Å), rounded up to eights.

    margin: over the mean number of neighbours. Too small only costs one more build, because overflow is reported.
    """
    mean = n / volume * 4 / 3 * math.pi * cutoff**3
    return max(8, round_up(min(margin * mean + 4, n - 1)))


def choose_grid(cell: np.ndarray, cutoff: float, n: int, margin: float = 1.5) -> Grid | None:
    """The grid for `build`, or None where testing all pairs is as good (few cells, or few atoms).

    Cells are at least as high as the cutoff in each direction, so that the 27 around an atom hold all of its neighbours;
    fewer than four cells along some vector would save nothing. Plain Python: call it outside jit.
    """
    shape = tuple(int(height // cutoff) for height in perpendicular_heights(cell))
    if min(shape) < 4 or n < 2000:
        return None
    mean = n / math.prod(shape)
    return Grid((shape[0], shape[1], shape[2]), round_up(margin * mean + 4, 4))


def build(
    positions: jax.Array,
    cell: jax.Array,
    cutoff: float | jax.Array,
    *,
    capacity: int,
    orthorhombic: bool,
    grid: Grid | None = None,
) -> NeighborList:
    """Neighbours within `cutoff` (Å; potential cutoff plus skin) of every atom.

    positions: (N, 3) Å, wrapped or not. cell: (3, 3) Å. capacity (static): places per atom, see `estimate_capacity`.
    orthorhombic (static): see `kernels.cell.minimum_image`. grid (static): from `choose_grid`; None tests all pairs.
    The cutoff must pass `kernels.cell.check_cutoff`. Overflow is reported in the result, never raised.
    """
    n = positions.shape[0]
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}; a list needs at least one place per atom")
    capacity = min(capacity, max(8, round_up(n - 1)))
    if grid is None:
        candidates, crowded = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[:, None], (n, n)), jnp.zeros((), bool)
    else:
        candidates, crowded = _grid_candidates(positions, cell, grid)
    own = jnp.arange(n, dtype=jnp.int32)[None, :]
    x, y, z = split(positions)
    there = jnp.minimum(candidates, n - 1)
    dx, dy, dz = minimum_image(x[None] - x[there], y[None] - y[there], z[None] - z[there], cell, orthorhombic)
    near = (dx * dx + dy * dy + dz * dz < cutoff**2) & (candidates != own) & (candidates < n)
    place = jnp.cumsum(near, axis=0, dtype=jnp.int32) - 1
    overflow = crowded | jnp.any(place[-1] >= capacity)
    place = jnp.where(near, place, capacity)
    empty = jnp.broadcast_to(own, (capacity, n))
    idx = empty.at[place, own].set(candidates, mode="drop")
    return NeighborList(idx, positions, overflow)


def _grid_candidates(positions: jax.Array, cell: jax.Array, grid: Grid) -> tuple[jax.Array, jax.Array]:
    """Atoms in the 27 cells around every atom: (27 * occupancy, N) int32, N where a place is empty; and whether a cell was full."""
    n = positions.shape[0]
    a, b, c = grid.shape
    counts = jnp.asarray(grid.shape, jnp.int32)
    where = jnp.minimum((fractional(positions, cell) * counts).astype(jnp.int32), counts - 1)
    home = (where[:, 0] * b + where[:, 1]) * c + where[:, 2]
    order = jnp.argsort(home).astype(jnp.int32)
    starts = jnp.searchsorted(home[order], jnp.arange(a * b * c + 1, dtype=jnp.int32)).astype(jnp.int32)
    slot = starts[:-1, None] + jnp.arange(grid.occupancy, dtype=jnp.int32)
    members = jnp.where(slot < starts[1:, None], order[jnp.minimum(slot, n - 1)], n)
    crowded = jnp.any(starts[1:] - starts[:-1] > grid.occupancy)
    offsets = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(27, 3)
    around = (where[None] + offsets[:, None]) % counts
    cells = (around[..., 0] * b + around[..., 1]) * c + around[..., 2]
    return members[cells].transpose(0, 2, 1).reshape(27 * grid.occupancy, n), crowded


def needs_rebuild(
    neighbors: NeighborList, positions: jax.Array, cell: jax.Array, skin: float | jax.Array, *, orthorhombic: bool
) -> jax.Array:
    """() bool: whether some atom has moved more than half of `skin` (Å) since the list was built.

    Until then no pair can have come within (list cutoff - skin). positions: (N, 3) Å, wrapped or not.
    """
    moved = minimum_image(*split(positions - neighbors.reference), cell, orthorhombic)
    return jnp.max(moved[0] ** 2 + moved[1] ** 2 + moved[2] ** 2) > (skin / 2) ** 2
