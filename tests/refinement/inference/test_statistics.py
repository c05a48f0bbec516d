"""The fluctuation-formula Jacobian and the noise of averages, against exact results of the Poisson liquid."""

import numpy as np
import pytest

from refine.refinement.inference.statistics import coefficient_counts, statistical_inefficiency
from refine.refinement.responses.pool import pool
from tests.refinement.conftest import TEMPERATURE, PoissonLiquid, problem_of


def test_jacobian_is_the_derivative_of_the_mean_within_its_noise(liquid: PoissonLiquid):
    """J against central differences of the exact mean; 4000 frames, every entry within five standard errors."""
    correction = liquid.basis()
    target = liquid.target(liquid.mean_counts(correction), 0.01)
    sample = liquid.sample(correction, 4000, seed=1)
    response = pool(problem_of(target), [sample], 0, correction).response([target])
    step = 1e-3 * liquid.kt
    for k in range(2, len(correction.theta)):
        delta = np.zeros_like(correction.theta)
        delta[k] = step
        plus, minus = (target.predict(liquid.mean_counts(correction.with_theta(s * delta))) for s in (1, -1))
        exact = (plus - minus) / (2 * step)
        z = response.deviations_y * (response.deviations_n[:, k] / liquid.kt)[:, None]
        error = z.std(axis=0) / np.sqrt(len(z))
        assert np.abs(response.jacobian[:, k] - exact).max() < 5 * error.max()


def test_linear_prediction_and_its_noise(liquid: PoissonLiquid):
    """200 repeated samples of 50 frames: the stated variance of <y> + J delta is the observed one to 25 %."""
    correction = liquid.basis()
    target = liquid.target(liquid.mean_counts(correction), 0.01)
    delta = 0.1 * liquid.kt * np.sin(np.arange(len(correction.theta)))
    problem = problem_of(target)
    predictions, stated = [], []
    for seed in range(200):
        response = pool(problem, [liquid.sample(correction, 50, seed)], 0, correction).response([target])
        predictions.append(response.y + response.jacobian @ delta)
        stated.append(np.diag(response.noise(delta)))
    observed = np.var(predictions, axis=0)
    ratio = np.mean(stated, axis=0).sum() / observed.sum()
    assert 0.85 < ratio < 1.4  # the inefficiency cannot be below one, which biases it upwards


def test_coefficient_counts_are_sums_over_pairs():
    liquid = PoissonLiquid(species=("A", "B"), n=100)
    correction = liquid.basis(8)
    frames = liquid.sample(correction, 3, 0).frames[0]
    n = coefficient_counts([frames], correction, TEMPERATURE)
    basis = correction.binned_basis(frames.edges)
    by_hand = [[(frames.counts[f, p] @ basis[p])[k] for p in range(3) for k in range(8)] for f in range(3)]
    np.testing.assert_allclose(n, by_hand, rtol=1e-12)


@pytest.mark.parametrize("tau", [0.0, 3.0])
def test_inefficiency_of_a_known_process(tau):
    """AR(1) with correlation time tau: g = coth(1/(2 tau)); 40 series of 2000 frames, to 20 %."""
    rng = np.random.default_rng(0)
    keep = np.exp(-1 / tau) if tau else 0.0
    x = np.zeros((2000, 40))
    noise = rng.normal(size=x.shape)
    for t in range(1, 2000):
        x[t] = keep * x[t - 1] + np.sqrt(1 - keep**2) * noise[t]
    expected = 1 / np.tanh(1 / (2 * tau)) if tau else 1.0
    assert statistical_inefficiency(x, np.zeros(2000, int)).mean() == pytest.approx(expected, rel=0.2)


def test_pooled_frames_agree_with_fresh_ones(liquid: PoissonLiquid):
    """Frames of a neighbouring ensemble, reweighted, give the mean of this one within four standard errors."""
    here = liquid.basis()
    there = here.with_theta(0.02 * liquid.kt * np.cos(np.arange(len(here.theta))))
    target = liquid.target(liquid.mean_counts(here), 0.01)
    samples = [liquid.sample(there, 3000, 1), liquid.sample(here, 50, 2)]
    pooled = pool(problem_of(target), samples, 0, here)
    response = pooled.response([target])
    exact = target.predict(liquid.mean_counts(here))
    assert pooled.effective_sample_size > 300
    z = (response.y - exact) / np.sqrt(np.diag(response.noise()))
    assert np.abs(z).max() < 4.5
