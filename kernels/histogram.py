"""Pair-distance counts of one configuration."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import minimum_image, split

PAIRS_AT_ONCE = 1 << 18


def pair_histogram(
    positions: jax.Array,
    cell: jax.Array,
    n_per_species: tuple[int, ...],
    n_bins: int,
    r_max: float | jax.Array,
    orthorhombic: bool,
) -> jax.Array:
    """Number of unordered pairs (i < j) in each of n_bins uniform bins of the distance from 0 to r_max: (P, n_bins) float32.

    positions: (N, 3) Å, atoms sorted by species. cell: (3, 3) Å; r_max must pass `kernels.cell.check_cutoff`. Rows are the species
    pairs (0,0), (0,1), ..., (1,1), ... The counts are exact integers. n_per_species, n_bins, orthorhombic: static.
    """
    n = positions.shape[0]
    if sum(n_per_species) != n:
        raise ValueError(f"n_per_species {n_per_species} does not add up to the {n} atoms")
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}; a histogram needs at least one bin")
    species = len(n_per_species)
    kinds = jnp.asarray(np.repeat(np.arange(species, dtype=np.int32), n_per_species))
    bins = species * (species + 1) // 2 * n_bins
    x, y, z = (jnp.concatenate([component, component]) for component in split(positions))
    twice = jnp.concatenate([kinds, kinds])
    here = jnp.arange(n, dtype=jnp.int32)
    shifts_at_once = max(1, PAIRS_AT_ONCE // n)

    def count(total: jax.Array, first: jax.Array) -> tuple[jax.Array, None]:
        shift = first + jnp.arange(shifts_at_once, dtype=jnp.int32)[:, None]
        there = here[None] + jnp.minimum(shift, n)
        d = minimum_image(x[:n] - x[there], y[:n] - y[there], z[:n] - z[there], cell, orthorhombic)
        r = jnp.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2)
        bin_ = jnp.floor(r * (n_bins / r_max)).astype(jnp.int32)
        low, high = jnp.minimum(kinds[None], twice[there]), jnp.maximum(kinds[None], twice[there])
        row = low * species - low * (low - 1) // 2 + high - low
        # every unordered pair once: shifts below n/2, and half of the pairs at exactly n/2
        once = (2 * shift < n) | ((2 * shift == n) & (here[None] < n // 2))
        slot = jnp.where(once & (r < r_max) & (bin_ < n_bins), row * n_bins + bin_, bins)
        return total.at[slot.ravel()].add(1, mode="drop"), None

    starts = 1 + shifts_at_once * np.arange(math.ceil((n // 2) / shifts_at_once), dtype=np.int32)
    total, _ = jax.lax.scan(count, jnp.zeros(bins, jnp.int32), jnp.asarray(starts))
    return total.reshape(-1, n_bins).astype(jnp.float32)
