"""Diffusion coefficients against motions whose D is known exactly."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.diffusion import diffusion, finite_size_correction, mean_square_displacement, unwrapped
from refine.sampling.frames import Frames

CUBE = np.eye(3) * 20.0
TRICLINIC = np.array([[20.0, 0.0, 0.0], [6.0, 19.0, 0.0], [-5.0, 7.0, 18.0]])


def wrapped(positions, cell):
    return positions - np.floor(positions @ np.linalg.inv(cell)) @ cell


def frames_of(positions, n_per_species, replica=None):
    n, pairs = len(positions), len(n_per_species) * (len(n_per_species) + 1) // 2
    zero = np.zeros(n)
    replica = np.zeros(n, int) if replica is None else replica
    return Frames(np.zeros((n, pairs, 4)), zero, zero, zero, replica, 8.0, n_per_species, 8000.0, positions)


def brownian(rng, steps, d, interval):
    """(steps, N, 3) for D of each atom (N,), Å^2/ps."""
    return np.cumsum(rng.normal(size=(steps, len(d), 3)) * np.sqrt(2 * d * interval)[:, None], axis=0)


@pytest.mark.parametrize("cell", [CUBE, TRICLINIC])
def test_a_path_is_followed_across_the_boundaries(cell):
    path = 5.0 + np.cumsum(np.random.default_rng(1).normal(scale=0.8, size=(300, 10, 3)), axis=0)
    found = unwrapped(wrapped(path, cell), cell)
    assert np.ptp(path, axis=0).max() > 20.0
    np.testing.assert_allclose(found - found[0], path - path[0], atol=1e-9)


def test_frames_too_far_apart_to_follow_an_atom_are_refused():
    path = np.zeros((3, 1, 3))
    path[2, 0, 0] = 5.1
    with pytest.raises(InputError, match="lower stride"):
        unwrapped(path, CUBE)


def test_ballistic_motion_has_a_quadratic_displacement():
    v = np.random.default_rng(2).normal(size=(50, 3))
    path = np.arange(40)[:, None, None] * v
    lags = [1, 3, 10]
    np.testing.assert_allclose(mean_square_displacement(path, lags), np.square(lags) * (v**2).sum(1).mean(), rtol=1e-12)


def test_brownian_motion_of_two_species_and_replicas_has_its_diffusion_coefficients():
    """Within 4 sigma; the drift of all atoms together does not count."""
    rng, interval, exact = np.random.default_rng(3), 0.2, np.array([0.3, 0.05])
    parts = [brownian(rng, 400, np.repeat(exact, (200, 100)), interval) for _ in range(2)]
    parts = [p + 0.2 * np.arange(400)[:, None, None] for p in parts]
    frames = frames_of(wrapped(np.concatenate(parts), CUBE), (200, 100), np.repeat([0, 1], 400))
    found = diffusion(frames, CUBE, ("A", "B"), np.ones(300), interval)
    assert [d.species for d in found] == ["A", "B"]
    for d, value in zip(found, exact, strict=True):
        assert d.segments == 10
        assert d.stderr < 0.1 * value
        assert abs(d.value - value) < 4 * d.stderr


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="too few"):
        diffusion(frames_of(np.zeros((20, 4, 3)), (4,)), CUBE, ("A",), np.ones(4), 0.1)


def test_finite_size_correction_in_si_units():
    """xi k T / (6 pi eta L) of water at 298 K in a box of 20 Å, worked out in SI units."""
    si = 2.837297 * 1.380649e-23 * 298.0 / (6 * np.pi * 0.89e-3 * 20e-10)
    assert finite_size_correction(298.0, 0.89, 20.0) == pytest.approx(1e8 * si, rel=1e-7)
