"""Counts against numpy over explicit images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import histogram
from kernels.cell import is_orthorhombic, perpendicular_heights
from kernels.histogram import TILE
from tests.kernels.boxes import CELLS, all_images, random_positions

pair_histogram = jax.jit(histogram.pair_histogram, static_argnames=("n_per_species", "n_bins", "orthorhombic"))


def counted(positions: np.ndarray, cell: np.ndarray, counts: tuple[int, ...], bins: int, r_max: float) -> np.ndarray:
    found = pair_histogram(
        jnp.asarray(positions, jnp.float32), jnp.asarray(cell, jnp.float32), counts, bins, r_max, is_orthorhombic(cell)
    )
    assert found.dtype == jnp.float32
    return np.asarray(found)


def expected_counts(positions: np.ndarray, cell: np.ndarray, counts: tuple[int, ...], edges: np.ndarray) -> np.ndarray:
    distances = all_images(positions, cell, reach=2)
    kinds = np.repeat(np.arange(len(counts)), counts)
    upper = np.triu(np.ones_like(distances, dtype=bool), 1)
    rows = []
    for a in range(len(counts)):
        for b in range(a, len(counts)):
            chosen = (kinds[:, None] == a) & (kinds[None] == b)
            rows.append(np.histogram(distances[upper & (chosen | chosen.T)], edges)[0])
    return np.array(rows)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("counts", [(101,), (40, 61), (20, 1, 50)])
def test_counts_agree_with_numpy(kind: str, counts: tuple[int, ...]) -> None:
    cell = CELLS[kind]
    r_max = float(perpendicular_heights(cell).min()) / 2
    positions = random_positions(sum(counts), cell, seed=len(counts))
    found = counted(positions, cell, counts, 24, r_max)
    edges = np.linspace(0, r_max, 25)
    expected = expected_counts(positions, cell, counts, edges)
    # float32 may put a pair that sits on an edge into the next bin; cumulative counts show how far that goes
    difference = np.abs(np.cumsum(found, axis=1) - np.cumsum(expected, axis=1))
    assert difference.max() <= 1
    assert np.abs(found - expected).sum() <= 4


def test_every_pair_is_counted_once() -> None:
    n = 4 * TILE + 3  # more than one full tile and a ragged last one
    positions = np.random.default_rng(0).random((n, 3)) * 4  # in one corner of a large box: all within r_max
    found = counted(positions, np.diag([40.0] * 3), (1000, n - 1000), 10, 10.0)
    like, unlike = 1000 * 999 // 2, 1000 * (n - 1000)
    np.testing.assert_array_equal(found.sum(axis=1), [like, unlike, (n - 1000) * (n - 1001) // 2])


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_atoms(n: int) -> None:
    positions = np.arange(n)[:, None] * np.array([[1.0, 0.0, 0.0]])
    found = counted(positions, np.diag([30.0] * 3), (n,), 12, 12.0)[0]
    np.testing.assert_array_equal(found, [0] + [max(0, n - k) for k in range(1, 12)])


def test_edges_belong_to_the_bin_above() -> None:
    found = counted(np.array([[0.0, 0, 0], [3.0, 0, 0]]), np.diag([30.0] * 3), (2,), 4, 4.0)
    np.testing.assert_array_equal(found, [[0, 0, 0, 1]])
    found = counted(np.array([[0.0, 0, 0], [4.0, 0, 0]]), np.diag([30.0] * 3), (2,), 4, 4.0)
    assert found.sum() == 0


def test_an_atom_at_nan_is_in_no_pair() -> None:
    positions = random_positions(30, CELLS["orthorhombic"])
    positions[4] = np.nan
    rest = np.delete(positions, 4, axis=0)
    np.testing.assert_array_equal(
        counted(positions, CELLS["orthorhombic"], (30,), 20, 10.0),
        counted(rest, CELLS["orthorhombic"], (29,), 20, 10.0),
    )


def test_vmap_and_float64() -> None:
    cell = CELLS["triclinic"]
    batch = np.array([random_positions(40, cell, seed) for seed in range(3)])
    one = lambda positions: pair_histogram(positions, jnp.asarray(cell), (15, 25), 20, 10.0, False)  # noqa: E731
    with jax.enable_x64(True):
        together = jax.jit(jax.vmap(one))(jnp.asarray(batch))
        for k in range(3):
            np.testing.assert_array_equal(together[k], one(jnp.asarray(batch[k])))
            np.testing.assert_array_equal(
                together[k], expected_counts(batch[k], cell, (15, 25), np.linspace(0, 10, 21))
            )


def test_wrong_arguments_are_named() -> None:
    positions = random_positions(10, CELLS["orthorhombic"])
    with pytest.raises(ValueError, match="does not add up to the 10 atoms"):
        counted(positions, CELLS["orthorhombic"], (4, 4), 10, 5.0)
    with pytest.raises(ValueError, match="n_bins is 0"):
        counted(positions, CELLS["orthorhombic"], (10,), 0, 5.0)
