"""Pair-distance counts of one configuration."""

import itertools
import math

import jax
import jax.numpy as jnp

from kernels.cell import minimum_image, split
from kernels.fusion import store
from kernels.species import number_of_pairs, pair_row, species_of

TILE = 512  # atoms; a tile of pairs and its bins stay in the cache


def pair_histogram(
    positions: jax.Array,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    n_bins: int,
    r_max: float | jax.Array,
    orthorhombic: bool,
) -> jax.Array:
    """Pairs, each unordered pair once, in n_bins equal bins of the distance from 0 to r_max: (P, n_bins) float32.

    Rows are the species pairs (0,0), (0,1), ..., (1,1), ...; bin b holds b <= r n_bins / r_max < b + 1. The counts are
    exact integers up to 2^24. An atom whose position is not a number is in no pair.

    positions: (N, 3) Å, wrapped or not, atoms sorted by species. cell: (3, 3) Å. r_max: Å,
    at most half of the smallest height of the cell (`kernels.cell.perpendicular_heights`). n_per_species, n_bins,
    orthorhombic: static.

    Memory does not grow with N^2: the pairs are taken tile by tile.
    """
    n = positions.shape[0]
    if sum(n_per_species) != n:
        raise ValueError(f"n_per_species {n_per_species} does not add up to the {n} atoms")
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}; a histogram needs at least one bin")
    species = len(n_per_species)
    slots = number_of_pairs(species) * n_bins
    tiles = math.ceil(n / min(TILE, math.ceil(n / 4)))
    size = 2 * math.ceil(n / tiles / 2)

    atoms = jnp.arange(tiles * size, dtype=jnp.int32).reshape(tiles, size)
    padding = tiles * size - n  # stands at NaN, nearer than r_max to nothing
    x, y, z = (jnp.pad(component, (0, padding), constant_values=jnp.nan) for component in split(positions))
    x, y, z = (component.reshape(tiles, size) for component in (x, y, z))
    kind = species_of(atoms, n_per_species)

    def add_tile(total: jax.Array, pair_of_tiles: jax.Array) -> tuple[jax.Array, None]:
        a, b = pair_of_tiles
        dx, dy, dz = (component[a][:, None] - component[b][None] for component in (x, y, z))
        dx, dy, dz = minimum_image(dx, dy, dz, cell, orthorhombic)
        place = jnp.sqrt(dx * dx + dy * dy + dz * dz) * (n_bins / r_max)
        row = pair_row(kind[a][:, None], kind[b][None], species)
        counted = (place < n_bins) & (atoms[a][:, None] < atoms[b][None])
        slot = jnp.where(counted, row * n_bins + place.astype(jnp.int32), slots)
        for part in store(slot):  # the bins by a vectorised loop, before the serial one that counts them
            total = total.at[part.ravel()].add(1, mode="drop")
        return total, None

    pairs_of_tiles = jnp.array(list(itertools.combinations_with_replacement(range(tiles), 2)), jnp.int32)
    total, _ = jax.lax.scan(add_tile, jnp.zeros(slots, jnp.int32), pairs_of_tiles)
    return total.reshape(-1, n_bins).astype(jnp.float32)
