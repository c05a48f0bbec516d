"""Frames: normalisation on the absolute scale, storage, and the statistics of correlated series."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refine.sampling.frames import Frames, concatenate
from refine.units import BOLTZMANN


def make_frames(counts: np.ndarray, *, n_per_species: tuple[int, ...] = (20,), volume: float = 1000.0) -> Frames:
    n = len(counts)
    series = np.arange(n, dtype=float)
    return Frames(counts.astype(np.float32), -series, series, 80 + series, np.zeros(n, int), 5.0, n_per_species, volume)


def ideal_gas_counts(n_per_species: tuple[int, ...], edge: float, bins: int, frames: int, seed: int) -> np.ndarray:
    """Pair counts of random points in a cubic box by brute force, up to half of its edge."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(len(n_per_species)), n_per_species)
    i, j = np.triu_indices(len(kinds), 1)
    species = len(n_per_species)
    row = kinds[i] * species - kinds[i] * (kinds[i] - 1) // 2 + kinds[j] - kinds[i]
    counts = []
    for _ in range(frames):
        x = rng.random((len(kinds), 3)) * edge
        d = x[i] - x[j]
        r = np.linalg.norm(d - edge * np.round(d / edge), axis=1)
        inside = r < edge / 2
        slot = row[inside] * bins + (r[inside] / (edge / 2) * bins).astype(int)
        counts.append(np.bincount(slot, minlength=species * (species + 1) // 2 * bins).reshape(-1, bins))
    return np.array(counts)


def ar1(phi: float, frames: int, series: int, seed: int) -> np.ndarray:
    """Stationary x_t = phi x_{t-1} + noise with unit variance: (frames, series). tau = 1/2 + phi / (1 - phi)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(frames, series))
    x = np.empty((frames, series))
    x[0] = noise[0]
    for t in range(1, frames):
        x[t] = phi * x[t - 1] + math.sqrt(1 - phi**2) * noise[t]
    return x


def test_ideal_gas_has_g_of_one_for_like_and_unlike_pairs() -> None:
    n, edge, bins, total = (12, 7), 10.0, 20, 400
    counts = ideal_gas_counts(n, edge, bins, total, seed=1)
    frames = make_frames(counts, n_per_species=n, volume=edge**3)
    error = 1 / np.sqrt(frames.ideal_counts() * total)  # pairs of random points are independent: Poisson counts
    z = (frames.pair_distribution() - 1) / error
    assert np.abs(z).max() < 4.5  # 60 bins
    assert abs(np.mean(z**2) - 1) < 4 * math.sqrt(2 / z.size)


def test_ideal_counts_add_up_to_the_pairs_inside_the_sphere() -> None:
    frames = make_frames(np.zeros((2, 3, 50)), n_per_species=(5, 3), volume=2000.0)
    sphere = 4 / 3 * math.pi * 5.0**3 / 2000.0
    np.testing.assert_allclose(frames.ideal_counts().sum(axis=1), np.array([10, 15, 3]) * sphere, rtol=1e-12)


def test_a_single_atom_has_no_like_pairs() -> None:
    frames = make_frames(np.ones((2, 3, 4)), n_per_species=(1, 3))
    g = frames.pair_distribution()
    assert (g[0] == 0).all()
    assert (g[1:] > 0).all()


def test_pressure_of_an_ideal_gas_in_gpa() -> None:
    frames = make_frames(np.zeros((3, 1, 4)))
    ideal = 20 / 1000.0 * BOLTZMANN * (80 + np.arange(3)) * 160.2176634
    np.testing.assert_allclose(
        frames.pressure() - ideal, 160.2176634 * np.arange(3) / 3 / 1000.0, rtol=1e-9, atol=1e-12
    )


def test_frames_survive_storage_bit_for_bit() -> None:
    frames = make_frames(np.random.default_rng(0).integers(0, 9, (4, 3, 6)), n_per_species=(5, 3))
    again = Frames.from_arrays(frames.to_arrays())
    for name in ("counts", "energy", "virial", "temperature", "replica"):
        np.testing.assert_array_equal(getattr(again, name), getattr(frames, name))
        assert getattr(again, name).dtype == getattr(frames, name).dtype
    assert (again.r_max, again.n_per_species, again.volume) == (5.0, (5, 3), 1000.0)
    np.testing.assert_allclose(frames.centres, frames.edges[:-1] + 5.0 / 12)


def test_concatenation_keeps_order_and_refuses_other_boxes() -> None:
    a, b = make_frames(np.zeros((2, 1, 4))), make_frames(np.ones((3, 1, 4)))
    joined = concatenate([a, b])
    assert len(joined) == 5
    np.testing.assert_array_equal(joined.energy, [0, -1, 0, -1, -2])
    with pytest.raises(ValueError, match="different boxes"):
        concatenate([a, make_frames(np.zeros((2, 1, 4)), volume=999.0)])
    with pytest.raises(ValueError, match="nothing"):
        concatenate([])


def test_frames_refuse_arrays_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="rows"):
        make_frames(np.zeros((2, 2, 4)))
    with pytest.raises(ValueError, match="energy"):
        Frames(np.zeros((2, 1, 4)), np.zeros(3), np.zeros(2), np.zeros(2), np.zeros(2), 5.0, (4,), 100.0)
