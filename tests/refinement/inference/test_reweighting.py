"""MBAR against pymbar, against an exact answer, and in the case without overlap."""

from collections.abc import Iterator

import jax
import numpy as np
import pymbar
import pytest

from refine.errors import SimulationError
from refine.refinement.inference.reweighting import effective_sample_size, mbar_weights


def harmonic(stiffness, frames, seed):
    """Positions sampled in k x^2 / 2 and their reduced potentials in every ensemble."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(0, 1 / np.sqrt(k), frames) for k in stiffness])
    return x, 0.5 * np.array(stiffness)[:, None] * x**2


@pytest.fixture
def single_precision_afterwards() -> Iterator[None]:
    """pymbar turns jax to float64 when it solves, for the whole process."""
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("single_precision_afterwards")
def test_weights_equal_those_of_pymbar():
    x, u = harmonic([1.0, 2.0, 4.0], 200, 0)
    target = 0.5 * 3.0 * x**2
    ours = mbar_weights(u, np.array([200] * 3), target)
    reference = pymbar.MBAR(np.vstack([u, target]), [200, 200, 200, 0], solver_protocol="robust")
    np.testing.assert_allclose(ours, reference.W_nk[:, 3], rtol=1e-5, atol=1e-9)


def test_average_of_an_exact_case():
    """<x^2> = 1/k in an ensemble that was not sampled; 3 x 3000 frames, five sigma."""
    x, u = harmonic([1.0, 2.0, 4.0], 3000, 1)
    w = mbar_weights(u, np.array([3000] * 3), 0.5 * 3.0 * x**2)
    error = np.sqrt(2.0) / 3.0 / np.sqrt(effective_sample_size(w))
    assert abs(w @ x**2 - 1 / 3) < 5 * error


def test_ensembles_without_overlap_do_not_contribute():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(0, 1, 100), rng.normal(60, 1, 100)])
    u = np.array([0.5 * x**2, 0.5 * (x - 60) ** 2])
    w = mbar_weights(u, np.array([100, 100]), u[1])
    assert w[:100].sum() < 1e-12
    np.testing.assert_allclose(w[100:], 0.01, rtol=1e-9)


def test_identical_ensembles_pool_fully():
    _, u = harmonic([1.0, 1.0], 50, 3)
    w = mbar_weights(u, np.array([50, 50]), u[0])
    np.testing.assert_allclose(w, 0.01, rtol=1e-9)
    assert effective_sample_size(w) == pytest.approx(100.0)


def test_constant_offsets_of_thousands_change_nothing():
    x, u = harmonic([1.0, 2.0], 100, 4)
    shift = np.array([[5000.0], [-3000.0]]) + 1e4 * np.sin(x)
    a = mbar_weights(u, np.array([100, 100]), u[0])
    b = mbar_weights(u + shift, np.array([100, 100]), u[0] + 1e4 * np.sin(x))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_weights_that_did_not_converge_are_an_error():
    x, u = harmonic([1.0, 2.0, 40.0], 200, 5)
    counts = np.array([200] * 3)
    with pytest.raises(SimulationError, match="did not converge"):
        mbar_weights(u, counts, 0.5 * x**2, iterations=1)
    with pytest.raises(SimulationError, match="did not converge"):
        mbar_weights(np.where(x > 1.0, np.nan, u), counts, 0.5 * x**2)


@pytest.mark.parametrize("shift", [2.0, 4.0, 6.0, 8.0])
def test_weights_converge_however_little_samples_overlap(shift):
    """At the solution every sampled ensemble's own weights sum to one (eq. 11): 5 ensembles, `shift` sigma apart."""
    rng = np.random.default_rng(6)
    centres = shift * np.arange(5.0)
    x = (centres[:, None] + rng.normal(0, 1, (5, 100))).ravel()
    u = 0.5 * (x - centres[:, None]) ** 2
    weights = np.array([mbar_weights(u, np.array([100] * 5), row) for row in u])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(100 * weights.sum(axis=0), 1.0, rtol=1e-6)  # Σ_k N_k W_nk = 1 for every frame
