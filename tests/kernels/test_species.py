"""Numbering of species and of their pairs."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from kernels.species import number_of_pairs, pair_row, species_of


@pytest.mark.parametrize("counts", [(5,), (2, 3), (1, 0, 4), (2, 2, 1, 3)])
def test_species_are_ranges(counts: tuple[int, ...]) -> None:
    expected = np.repeat(np.arange(len(counts)), counts)
    np.testing.assert_array_equal(species_of(jnp.arange(sum(counts)), counts), expected)


@pytest.mark.parametrize("species", [1, 2, 3, 5])
def test_rows_follow_the_order_of_unordered_pairs(species: int) -> None:
    pairs = list(itertools.combinations_with_replacement(range(species), 2))
    assert number_of_pairs(species) == len(pairs)
    for row, (a, b) in enumerate(pairs):
        assert int(pair_row(jnp.array(a), jnp.array(b), species)) == row
        assert int(pair_row(jnp.array(b), jnp.array(a), species)) == row
