"""What every response must be: each entry of RESPONSES, on liquids whose answer is known exactly."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.problem import Sample, Target
from refine.refinement.responses import RESPONSES
from refine.refinement.responses.protocol import Response, ResponseModel
from tests.refinement.conftest import PoissonLiquid, problem_of

FRAMES, SEEDS = 400, 12


class IdealGas(PoissonLiquid):
    """No structure but that of the correction: g = exp(-phi/kT)."""

    def mean_counts(self, correction: PairCorrection, extra=None) -> np.ndarray:
        phi = np.einsum("pbk,pk->pb", correction.binned_basis(self.box.edges), correction.coefficients)
        return self.box.ideal_counts * np.exp(-phi / self.kt)


LIQUIDS = {"Poisson liquid": PoissonLiquid(n=150), "ideal gas": IdealGas(n=150)}


MODEST = {"auto"}
"""Responses that state an error which they have not on these liquids, for which the closure is exact."""

EXACT = {"auto": ("ideal gas",), "closure": ("ideal gas",)}
"""Liquids that a response is exact for, where not for all: a bin of the Poisson liquid knows nothing of another one,
which is so of no liquid of atoms."""


@pytest.fixture(params=[(name, liquid) for name in RESPONSES for liquid in EXACT.get(name, LIQUIDS)], ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def model(case: tuple[str, str]) -> ResponseModel:
    return RESPONSES[case[0]]


@pytest.fixture
def liquid(case: tuple[str, str]) -> PoissonLiquid:
    return LIQUIDS[case[1]]


def made(
    model: ResponseModel, liquid: PoissonLiquid, frames: int = FRAMES, seed: int = 0, pooled: bool = False
) -> tuple[Response, Target]:
    """The response about no correction, of one sample, or of one more that was sampled somewhere else."""
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01)
    samples = [liquid.sample(liquid.basis(), frames, seed)]
    if pooled:
        samples.insert(0, liquid.sample(liquid.basis().with_theta(0.05 * direction(liquid)), frames, seed + 1000))
    return model(problem_of(target), samples, 0, liquid.basis(), [target]), target


def direction(liquid: PoissonLiquid) -> np.ndarray:
    """A smooth change of theta with a largest value of 1 kT."""
    basis = liquid.basis()
    return liquid.kt * np.exp(-((basis.basis.centres - 4.6) ** 2) / 0.5)


@pytest.mark.parametrize("pooled", [False, True])
def test_no_change_predicts_the_curves_themselves(model: ResponseModel, liquid: PoissonLiquid, pooled: bool) -> None:
    response, target = made(model, liquid, pooled=pooled)
    y, jacobian = response.predict(np.zeros(len(liquid.basis().theta)))
    np.testing.assert_array_equal(y, response.y)
    np.testing.assert_array_equal(jacobian, response.jacobian)
    assert y.shape == target.y.shape
    assert jacobian.shape == (len(target.y), len(liquid.basis().theta))


def test_the_derivative_is_that_of_the_prediction(model: ResponseModel, liquid: PoissonLiquid) -> None:
    """By central differences, at no change and away from it, to 1e-6 of the largest slope."""
    response, _ = made(model, liquid)
    d = direction(liquid)
    for at in (0.0, 0.2):
        plus, minus = (response.predict((at + h) * d)[0] for h in (1e-4, -1e-4))
        slope = response.predict(at * d)[1] @ d
        np.testing.assert_allclose((plus - minus) / 2e-4, slope, atol=1e-6 * np.abs(slope).max())


def test_the_slope_is_that_of_the_liquid(model: ResponseModel, liquid: PoissonLiquid) -> None:
    """Against finite differences of the exact mean counts, over 12 seeds: of the right size within 4 standard errors,
    which are below 5 %, and with no more rms error over the points than the scatter of the seeds explains."""
    d, basis = direction(liquid), liquid.basis()
    slopes: list[np.ndarray] = []
    for seed in range(SEEDS):
        response, target = made(model, liquid, seed=seed)
        slopes.append(response.jacobian @ d)
    plus, minus = (target.predict(liquid.mean_counts(basis.with_theta(h * d))) for h in (1e-3, -1e-3))
    exact = (plus - minus) / 2e-3
    sizes = np.array(slopes) @ exact / (exact @ exact)
    stderr = sizes.std(ddof=1) / np.sqrt(SEEDS)
    assert stderr < 0.05
    assert abs(sizes.mean() - 1.0) < 4 * stderr
    scatter = np.std(slopes, axis=0, ddof=1) / np.sqrt(SEEDS)
    assert np.sqrt(np.mean((np.mean(slopes, axis=0) - exact) ** 2)) < 1.6 * np.sqrt(np.mean(scatter**2))


def test_a_small_step_is_predicted_within_its_noise(
    case: tuple[str, str], model: ResponseModel, liquid: PoissonLiquid
) -> None:
    """0.05 kT: chi^2 of the exact curves under the stated noise, mean over 12 seeds, is that of its n points to 4
    standard errors (of curves as they are; the noise is shrunk to its diagonal, which makes chi^2 no larger), and no
    more than that in a response that states an error of its own."""
    delta = 0.05 * direction(liquid)
    chi2 = []
    for seed in range(SEEDS):
        response, target = made(model, liquid, seed=seed)
        truth = target.predict(liquid.mean_counts(liquid.basis().with_theta(delta)))
        error = response.predict(delta)[0] - truth
        chi2.append(np.sum(error**2 / np.diag(response.noise(delta))) / len(truth))
    tolerance = 4 * np.std(chi2, ddof=1) / np.sqrt(SEEDS) + 0.1
    assert np.mean(chi2) - 1.0 < tolerance
    assert case[0] in MODEST or np.mean(chi2) - 1.0 > -tolerance


def test_noise_is_a_covariance_and_falls_with_the_frames(model: ResponseModel, liquid: PoissonLiquid) -> None:
    """All of it where the response is linear; else that of the curves themselves, beside what the response gets wrong
    of a change however many frames there are."""
    delta = 0.05 * direction(liquid)
    few, many = (made(model, liquid, frames)[0] for frames in (200, 800))
    for noise in (few.noise(delta), many.noise(delta)):
        np.testing.assert_allclose(noise, noise.T, rtol=1e-12, atol=1e-18)
        assert np.linalg.eigvalsh(noise).min() > 0.0
    step = delta if few.linear else None
    assert np.trace(few.noise(step)) / np.trace(many.noise(step)) == pytest.approx(4.0, rel=0.3)
    assert np.trace(few.noise(delta)) > np.trace(many.noise(delta))


def test_an_uncertain_slope_adds_to_what_data_seem_to_say(model: ResponseModel, liquid: PoissonLiquid) -> None:
    """`gram_noise` is not negative, and grows as the frames get fewer; of all points it is the sum over parts."""
    response, target = made(model, liquid)
    lower = np.linalg.cholesky(np.diag(np.diag(target.covariance)))
    half = len(target.y) // 2
    parts = (slice(None), slice(0, half), slice(half, None))
    whole, first, second = (
        response.gram_noise(lambda values, part=part: np.linalg.solve(lower[part, part], values), part)
        for part in parts
    )
    np.testing.assert_allclose(first + second, whole, rtol=1e-6, atol=1e-9 * np.abs(whole).max())
    assert np.trace(whole) >= 0.0
    fewer, _ = made(model, liquid, FRAMES // 4)
    assert np.trace(fewer.gram_noise(lambda values: np.linalg.solve(lower, values))) >= np.trace(whole)


def test_samples_and_correction_are_left_alone(model: ResponseModel, liquid: PoissonLiquid) -> None:
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01)
    sample = liquid.sample(liquid.basis(), 50, 0)
    before = copy.deepcopy(sample)
    response = model(problem_of(target), [sample], 0, liquid.basis(), [target])
    response.predict(0.05 * direction(liquid))
    np.testing.assert_array_equal(sample.frames[0].counts, before.frames[0].counts)
    np.testing.assert_array_equal(sample.correction.theta, before.correction.theta)


def test_targets_come_one_after_the_other(model: ResponseModel, liquid: PoissonLiquid) -> None:
    one, target = made(model, liquid)
    sample: Sample = liquid.sample(liquid.basis(), FRAMES, 0)
    targets = [target, replace(target, name="again")]
    both = model(problem_of(*targets), [sample], 0, liquid.basis(), targets)
    np.testing.assert_allclose(both.y, np.tile(one.y, 2))
    np.testing.assert_allclose(both.jacobian, np.tile(one.jacobian, (2, 1)))
