"""Species and species pairs of atoms that are sorted by species: comparisons of indices, no lookups."""

import jax
import jax.numpy as jnp
import numpy as np


def species_of(atom: jax.Array, n_per_species: tuple[int, ...]) -> jax.Array:
    """Species number of each atom index: int32, same shape. n_per_species (static): atoms of each species, in order.

    >>> species_of(jnp.arange(5), (2, 3)).tolist()
    [0, 0, 1, 1, 1]
    """
    number = jnp.zeros_like(atom, dtype=jnp.int32)
    for first in np.cumsum(n_per_species)[:-1]:
        number = number + (atom >= int(first))
    return number


def pair_row(a: jax.Array, b: jax.Array, species: int) -> jax.Array:
    """Row of the unordered pair of species numbers a and b among (0,0), (0,1), ..., (0,S-1), (1,1), ...: int32.

    >>> pair_row(jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), 2).tolist()
    [0, 1, 2]
    """
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    return low * species - low * (low - 1) // 2 + high - low


def number_of_pairs(species: int) -> int:
    """Unordered pairs of species, like pairs included: S (S + 1) / 2.

    >>> number_of_pairs(3)
    6
    """
    return species * (species + 1) // 2
