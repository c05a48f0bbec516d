"""Diffusion coefficients against motions whose D is known exactly."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.diffusion import diffusion, finite_size_correction, mean_square_displacement, unwrapped

CUBE = np.eye(3) * 20.0
TRICLINIC = np.array([[20.0, 0.0, 0.0], [6.0, 19.0, 0.0], [-5.0, 7.0, 18.0]])


def wrapped(positions, cell):
    return positions - np.floor(positions @ np.linalg.inv(cell)) @ cell


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
    with pytest.raises(InputError, match="use more atoms"):
        unwrapped(path, CUBE)


def test_ballistic_motion_has_a_quadratic_displacement():
    v = np.random.default_rng(2).normal(size=(50, 3))
    path = np.arange(40)[:, None, None] * v
    lags = [1, 3, 10]
    np.testing.assert_allclose(mean_square_displacement(path, lags), np.square(lags) * (v**2).sum(1).mean(), rtol=1e-12)


def found_in(paths, counts=None, interval=0.2, cell=CUBE):
    counts = (paths.shape[2],) if counts is None else counts
    names = ("A", "B")[: len(counts)]
    return diffusion(wrapped(paths, cell), cell, names, counts, np.ones(paths.shape[2]), interval)


def test_brownian_motion_of_two_species_has_its_diffusion_coefficients():
    """Within 4 sigma; the drift of all atoms together does not count."""
    rng, exact = np.random.default_rng(3), np.array([0.3, 0.05])
    paths = np.stack([brownian(rng, 101, np.repeat(exact, (200, 100)), 0.2) for _ in range(8)])
    paths += 0.2 * np.arange(101)[:, None, None]
    found = found_in(paths, (200, 100))
    assert [d.species for d in found] == ["A", "B"]
    for d, value in zip(found, exact, strict=True):
        assert (d.segments, d.lags) == (8, pytest.approx((2.6, 10.0)))
        assert d.stderr < 0.1 * value
        assert abs(d.value - value) < 4 * d.stderr
        assert d.linear()


def ornstein_uhlenbeck(rng, steps, atoms, interval, relaxation, speed):
    """Positions (steps, atoms, 3) whose velocity is an Ornstein-Uhlenbeck process, exactly sampled: D = speed^2
    relaxation, with `speed` the standard deviation of a component."""
    a = np.exp(-interval / relaxation)
    # covariance of the velocity's and the position's noise over a step
    vv = speed**2 * (1 - a**2)
    xv = speed**2 * relaxation * (1 - a) ** 2
    xx = speed**2 * relaxation**2 * (2 * interval / relaxation - 3 + 4 * a - a**2)
    root = np.linalg.cholesky([[vv, xv], [xv, xx]])
    v = speed * rng.normal(size=(atoms, 3))
    x, path = np.zeros((atoms, 3)), []
    for _ in range(steps):
        path.append(x)
        kicks = rng.normal(size=(atoms, 3, 2)) @ root.T
        x = x + relaxation * (1 - a) * v + kicks[..., 1]
        v = a * v + kicks[..., 0]
    return np.array(path)


def test_an_inertial_path_has_its_diffusion_coefficient_beyond_the_ballistic_time():
    """Velocities that are forgotten in 0.2 ps, MSD = 6 D [t - tau (1 - exp(-t / tau))]: D is exact where MSD / 6 t is
    not; within 4 sigma."""
    rng, relaxation, speed = np.random.default_rng(4), 0.2, 1.5
    paths = np.stack([ornstein_uhlenbeck(rng, 101, 200, 0.1, relaxation, speed) for _ in range(8)])
    (d,) = found_in(paths, interval=0.1)
    exact = speed**2 * relaxation
    assert d.linear()
    assert d.stderr < 0.03 * exact
    assert abs(d.value - exact) < 4 * d.stderr


def test_a_window_that_is_ballistic_or_caged_is_not_linear():
    rng = np.random.default_rng(5)
    free = np.stack([np.arange(101)[:, None, None] * 0.01 * rng.normal(size=(50, 3)) for _ in range(4)])
    (d,) = found_in(free)
    assert not d.linear()
    assert d.change > 0.5 * d.value
    # cages that are left in 50 ps, seen for 10
    rattling = np.stack([ornstein_uhlenbeck(rng, 101, 300, 0.1, 0.05, 10.0) for _ in range(4)])
    caged = np.zeros_like(rattling)
    for k in range(1, 101):
        caged[:, k] = 0.95 * caged[:, k - 1] + rattling[:, k] - rattling[:, k - 1]
    (d,) = found_in(caged, interval=0.1)
    assert not d.linear()
    assert d.change < 0.0


def test_atoms_that_vibrate_about_sites_do_not_diffuse():
    """D is zero within 4 sigma, and a change of slope far below any distance of atoms is none."""
    rng = np.random.default_rng(6)
    sites = rng.random((100, 3)) * 20.0
    (d,) = found_in(sites + 0.1 * rng.normal(size=(8, 101, 100, 3)))
    assert abs(d.value) < 4 * d.stderr
    assert d.stderr < 1e-5
    assert d.linear(floor=1e-3)


def test_too_few_points_are_refused():
    with pytest.raises(InputError, match="too few"):
        found_in(np.zeros((2, 20, 4, 3)))


def test_finite_size_correction_in_si_units():
    """xi k T / (6 pi eta L) of water at 298 K in a box of 20 Å, worked out in SI units."""
    si = 2.837297 * 1.380649e-23 * 298.0 / (6 * np.pi * 0.89e-3 * 20e-10)
    assert finite_size_correction(298.0, 0.89, 20.0) == pytest.approx(1e8 * si, rel=1e-7)
