"""Sums over pairs of tabulated functions against a list of distances, and their forces against differences."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.neighbors import build
from kernels.pair_sums import all_pairs, pair_sum_forces, pair_sums, sum_table

N_PER_SPECIES, CELL, R_MAX, BINS = (12, 8), np.diag([9.0, 9.5, 10.0]), 4.5, 90
POSITIONS = np.random.default_rng(3).uniform(0, 9, (20, 3))


def functions() -> np.ndarray:
    """Three functions of each of three pairs of species, zero at R_MAX."""
    r = (np.arange(BINS) + 0.5) * R_MAX / BINS
    rows = [[np.cos(q * r + row) * (1 - r / R_MAX) ** 2 for row in range(3)] for q in (1.0, 2.0, 3.0)]
    return np.array(rows)


@pytest.fixture
def table() -> Any:
    with jax.enable_x64(True):
        yield sum_table(functions(), R_MAX, np.float64)


def sums(table: Any, positions: np.ndarray, idx: Any = None) -> np.ndarray:
    near = all_pairs(20) if idx is None else idx
    return np.asarray(pair_sums(jnp.asarray(positions), near, table, jnp.asarray(CELL), N_PER_SPECIES, True))


def test_they_are_those_of_a_list_of_distances(table: Any) -> None:
    """Each pair once, a straight line between the middles of bins."""
    centres, expected = (np.arange(BINS) + 0.5) * R_MAX / BINS, np.zeros(3)
    for i in range(20):
        for j in range(i):
            apart = POSITIONS[i] - POSITIONS[j]
            r = np.linalg.norm(apart - np.diag(CELL) * np.round(apart / np.diag(CELL)))
            if r < R_MAX:
                row = int(i >= 12) + int(j >= 12)
                expected += [np.interp(r, [*centres, R_MAX], [*c[row], 0.0]) for c in functions()]
    np.testing.assert_allclose(sums(table, POSITIONS), expected, rtol=1e-12)


def test_a_list_of_neighbours_gives_the_same_as_all_pairs(table: Any) -> None:
    """Slots that are not used count nothing."""
    lists = jax.jit(partial(build, capacity=24, orthorhombic=True))
    near = lists(jnp.asarray(POSITIONS), jnp.asarray(CELL), jnp.asarray(R_MAX))
    assert not near.overflow
    np.testing.assert_allclose(sums(table, POSITIONS, near.idx), sums(table, POSITIONS), rtol=1e-12)


def test_forces_are_minus_the_gradient(table: Any) -> None:
    """Central differences, float64; they add up to nothing."""
    slopes = np.array([0.7, -0.2, 0.4])
    arguments = (jnp.asarray(POSITIONS), all_pairs(20), table, jnp.asarray(slopes), jnp.asarray(CELL), N_PER_SPECIES)
    forces = np.asarray(pair_sum_forces(*arguments, True))
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-12)
    for i, axis in ((0, 0), (5, 1), (13, 2), (19, 0)):
        ends = []
        for sign in (1, -1):
            moved = POSITIONS.copy()
            moved[i, axis] += sign * 1e-6
            ends.append(sums(table, moved) @ slopes)
        assert forces[i, axis] == pytest.approx(-(ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_functions_of_other_atoms_are_refused(table: Any) -> None:
    with pytest.raises(ValueError, match="the functions are of other atoms"):
        pair_sums(jnp.asarray(POSITIONS), all_pairs(20), table, jnp.asarray(CELL), (20,), True)
