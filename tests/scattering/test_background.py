"""A smooth background: what its prior lets through, and what it leaves to the structure."""

import numpy as np
import pytest

from refine.scattering.background import flat_background, smooth_background

Q = np.arange(0.5, 20.0, 0.02)


def given(function: np.ndarray, degree: int, below: float, spread: float = 1.0, noise: float = 0.005) -> np.ndarray:
    """The posterior mean of a background alone, of data that are this function of Q."""
    background = smooth_background(Q, degree, below)
    modes, priors = background.modes, spread * background.spreads
    inverse = np.linalg.inv(modes.T @ modes / noise**2 + np.diag(priors**-2.0))
    return modes @ (inverse @ modes.T @ function / noise**2)


def placzek(q: np.ndarray) -> np.ndarray:
    """What inelasticity of light atoms takes off: a parabola in Q^2 that falls off where the detector sees no more."""
    return -0.3 * (q / 10.0) ** 2 * np.exp(-((q / 14.0) ** 2)) + 0.05


def test_modes_are_orthonormal_on_the_points_however_these_lie():
    uneven = np.sort(np.random.default_rng(0).uniform(0.5, 20.0, 300))
    background = smooth_background(uneven, 12, 0.9)
    weight = np.gradient(uneven) / np.gradient(uneven).sum()
    np.testing.assert_allclose(
        background.modes.T @ (weight[:, None] * background.modes), np.eye(len(background.spreads)), atol=1e-10
    )


def test_the_prior_is_the_process_of_waves_below_the_distance():
    """Its covariance in the span of the modes: <B B'> = sin(r_c dQ)/(r_c dQ), that of polynomials of a high degree."""
    q = np.linspace(0.0, 6.0, 61)
    background = smooth_background(q, 20, 1.5)
    covariance = (background.modes * background.spreads**2) @ background.modes.T
    np.testing.assert_allclose(covariance, np.sinc(1.5 * (q[:, None] - q) / np.pi), atol=0.05)
    weight = np.gradient(q) / np.gradient(q).sum()
    np.testing.assert_allclose(weight @ np.sqrt(np.diag(covariance)), 1.0, atol=0.005)
    assert np.sum(background.spreads**2) == pytest.approx(1.0, abs=0.005)


def test_inelasticity_is_taken_off_and_real_distances_are_not():
    """A Placzek curve to a hundredth of its size; of the power of waves where atoms are, at most two per cent."""
    rms = np.sqrt(np.mean(placzek(Q) ** 2))
    assert np.sqrt(np.mean((given(placzek(Q), 20, 0.9) - placzek(Q)) ** 2)) < 0.01 * rms
    free = np.polynomial.chebyshev.chebvander(Q / 10.0 - 1.0, 20)  # without the prior
    for r in (2.4, 3.0, 4.5):
        wave = np.sin(r * Q)
        assert np.mean(given(wave, 20, 0.9) ** 2) < 0.02 * np.mean(wave**2)
        assert np.mean((free @ np.linalg.lstsq(free, wave)[0]) ** 2) > 0.1 * np.mean(wave**2)


def test_both_are_told_apart_in_one_curve():
    """Beside waves of the distances from 1.6 to 8 Å, as a structure has them, with a prior as wide."""
    background = smooth_background(Q, 20, 0.9)
    r = np.arange(1.6, 8.0, 0.1)
    structure = np.sin(np.outer(Q, r)) / Q[:, None] * np.exp(-((0.1 * Q[:, None]) ** 2))
    design = np.hstack([background.modes, structure])
    precision = np.r_[background.spreads**-2.0, np.full(len(r), 4.0)]
    narrow = np.sin(2.4 * Q) / Q * np.exp(-((0.1 * Q) ** 2))
    solved = np.linalg.solve(design.T @ design + np.diag(0.005**2 * precision), design.T @ (placzek(Q) + 0.5 * narrow))
    taken = background.modes @ solved[: len(background.spreads)]
    assert np.sqrt(np.mean((taken - placzek(Q)) ** 2)) < 0.02 * np.sqrt(np.mean(placzek(Q) ** 2))


def test_a_flat_one_is_one():
    flat = flat_background(Q)
    assert flat.modes.shape == (len(Q), 1)
    assert np.all(flat.modes == 1.0)
    assert flat.below is None
