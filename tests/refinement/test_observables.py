"""What every entry of `OBSERVABLES`, and a curve, must pass: their response against samples that know nothing of it.

On the Poisson liquid, whose frames are independent and whose response is exact. Energy and virial of a frame are sums
over its counts, the correction's own share included, as those of atoms are.
"""

from __future__ import annotations

from dataclasses import replace
from pydoc import locate
from typing import Any

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.reweighting import effective_sample_size
from refine.refinement.observables import OBSERVABLES
from refine.refinement.observables.protocol import Observable, linear_response
from refine.refinement.problem import Sample, Target
from refine.refinement.responses import RESPONSES
from refine.refinement.responses.pool import pool
from refine.refinement.rules.difftre import Loss
from tests.refinement.conftest import TEMPERATURE, PoissonLiquid, problem_of

KINDS = ["curve", *OBSERVABLES]
every_observable = pytest.mark.parametrize("kind", KINDS)

FRAMES, BLOCKS = 2000, 20
STEP = 0.1
"""kT: the finite difference's own error is its square over six, 0.2 % of a derivative; the statistical one is ten."""

SIGMA = 4.5
"""Standard errors between the two; the largest of a hundred points is 2.8 with these seeds."""


def dressed(sample: Sample, correction: PairCorrection) -> Sample:
    """The same counts with the energies and virials that they have under a correction."""
    frames = sample.frames[0]
    r, counts = frames.centres, frames.counts.astype(np.float64)
    own = np.einsum("pbk,pk->pb", correction.binned_basis(frames.edges), correction.coefficients)
    energy = counts * (-0.03 * np.exp(-((r - 4.0) ** 2)) + own)
    slope = -0.02 * np.exp(-((r - 3.3) ** 2) / 0.1) + 0.003 * np.exp(-((r - 4.6) ** 2) / 0.8)
    virial = -counts * r * (slope + correction.derivative(r))
    made = replace(frames, energy=energy.sum(axis=(1, 2)), virial=virial.sum(axis=(1, 2)))
    return Sample(correction, (made,))


def sample_of(liquid: PoissonLiquid, correction: PairCorrection, seed: int, frames: int = FRAMES) -> Sample:
    """Independent frames with energies and virials."""
    return dressed(liquid.sample(correction, frames, seed), correction)


def target_of(kind: str, liquid: PoissonLiquid) -> Target:
    """A target of the kind, with the value that the liquid has without a correction."""
    if kind == "curve":
        return liquid.target(liquid.mean_counts(liquid.basis()), 0.01)
    table: Any = locate(OBSERVABLES[kind].replace(":", "."))
    entry = table.example(liquid.box)
    assert entry.quantity == kind
    value, sigma = entry.goal(liquid.box)
    observable = entry.observable(liquid.box, TEMPERATURE)
    return Target("example", 0, kind, None, np.array([value]), np.array([[sigma**2]]), True, observable)


def observable_of(kind: str, liquid: PoissonLiquid) -> Observable:
    return target_of(kind, liquid).observable


def directions(correction: PairCorrection) -> dict[str, np.ndarray]:
    centres, r_cut = correction.basis.centres, correction.basis.r_cut
    return {"ramp": 1.0 - centres / r_cut, "wave": np.cos(2.0 * centres), "bump": np.exp(-((centres - 4.0) ** 2))}


def mean_and_error(observable: Observable, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    values = observable.values(sample.frames[0])
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))


def block(sample: Sample, k: int) -> Any:
    chosen, frames = slice(k * FRAMES // BLOCKS, (k + 1) * FRAMES // BLOCKS), sample.frames[0]
    return replace(frames, **{name: getattr(frames, name)[chosen] for name in frames.per_frame})


@every_observable
def test_values_are_a_row_for_each_frame(kind: str, liquid: PoissonLiquid) -> None:
    target = target_of(kind, liquid)
    sample = sample_of(liquid, liquid.basis(), 0)
    values = target.values(sample.frames[0])
    assert values.shape == (FRAMES, len(target.y))
    np.testing.assert_allclose(target.values(block(sample, 1)), values[100:200], rtol=1e-9)
    if target.counted:
        np.testing.assert_allclose(target.predict(sample.frames[0].counts), values, rtol=1e-12)
    else:
        with pytest.raises(TypeError):
            target.predict(sample.frames[0].counts)


@every_observable
@pytest.mark.parametrize("direction", ["ramp", "wave", "bump"])
def test_derivative_is_that_of_independent_samples(kind: str, direction: str, liquid: PoissonLiquid) -> None:
    observable, still = observable_of(kind, liquid), liquid.basis()
    along = directions(still)[direction]
    base = still.with_theta(0.1 * liquid.kt * directions(still)["wave"])
    sample = sample_of(liquid, base, 1)
    response = linear_response(observable, sample.frames[0], base, TEMPERATURE, along)
    blocks = [linear_response(observable, block(sample, k), base, TEMPERATURE, along) for k in range(BLOCKS)]
    step = STEP * liquid.kt
    (up, up_error), (down, down_error) = (
        mean_and_error(observable, sample_of(liquid, base.with_theta(base.theta + s * step * along), seed))
        for s, seed in ((1.0, 2), (-1.0, 3))
    )
    difference = (up - down) / (2.0 * step)
    error = np.hypot(np.std(blocks, axis=0, ddof=1) / np.sqrt(BLOCKS), np.hypot(up_error, down_error) / (2.0 * step))
    assert np.abs((response - difference) / error).max() < SIGMA
    assert np.linalg.norm(response) > 8.0 * np.linalg.norm(error)  # else the test would say nothing


@every_observable
def test_a_frame_follows_theta_at_fixed_atoms(kind: str, liquid: PoissonLiquid) -> None:
    """Exactly: an observable of the same atoms under another correction."""
    observable, here = observable_of(kind, liquid), liquid.basis()
    there = here.with_theta(0.3 * liquid.kt * directions(here)["wave"])
    sample = liquid.sample(here, 20, 0)
    before, after = (observable.values(dressed(sample, at).frames[0]) for at in (here, there))
    explicit = observable.explicit(sample.frames[0], here)
    change = np.zeros_like(before) if explicit is None else explicit @ (there.theta - here.theta)
    np.testing.assert_allclose(after, before + change, rtol=1e-9, atol=1e-12)


@every_observable
def test_responses_have_the_linear_response(kind: str, liquid: PoissonLiquid) -> None:
    """The fluctuation response of one sample, and any other where the target is not linear in the counts."""
    target, base = target_of(kind, liquid), liquid.basis()
    sample = sample_of(liquid, base, 4)
    expected = np.transpose(
        [linear_response(target.observable, sample.frames[0], base, TEMPERATURE, k) for k in np.eye(len(base.theta))]
    )
    every = linear_response(target.observable, sample.frames[0], base, TEMPERATURE, np.eye(len(base.theta)))
    np.testing.assert_allclose(every, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())
    for name, model in RESPONSES.items():
        if name != "fluctuation" and target.counted:
            continue
        jacobian = model(problem_of(target), [sample], 0, base, [target]).jacobian
        np.testing.assert_allclose(jacobian, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max(), err_msg=name)


@every_observable
def test_frames_of_another_correction_are_carried(kind: str, liquid: PoissonLiquid) -> None:
    """By weights, and by linear response: what they say is within 4.5 standard errors of what is sampled there."""
    target, there = target_of(kind, liquid), liquid.basis()
    here = there.with_theta(0.02 * liquid.kt * directions(there)["ramp"])
    samples = [sample_of(liquid, here, 5, 8000), sample_of(liquid, there, 6, 20)]
    truth, error = mean_and_error(target.observable, sample_of(liquid, there, 7, 8000))
    pooled = pool(problem_of(target), samples, 0, there)
    assert effective_sample_size(pooled.weights) > 2000
    for response in (
        pooled.response([target]),
        RESPONSES["fluctuation"](problem_of(target), samples, 0, there, [target]),
    ):
        away = np.abs(response.y - truth) / np.sqrt(error**2 + np.diag(response.noise()))
        assert away.max() < SIGMA


@every_observable
def test_difftre_has_the_gradient_of_its_loss(kind: str, liquid: PoissonLiquid) -> None:
    """By central differences, away from where the frames were sampled."""
    problem, sample = problem_of(target_of(kind, liquid)), sample_of(liquid, liquid.basis(), 8, 200)
    loss, along = Loss.of(problem, sample), directions(sample.correction)["wave"]
    theta, h = 0.01 * liquid.kt * directions(sample.correction)["ramp"], 1e-4 * liquid.kt
    gradient = loss.gradient(theta, np.zeros(0))[1]
    ends = [loss.gradient(theta + s * h * along, np.zeros(0))[0] for s in (-2, -1, 1, 2)]
    slope = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    assert gradient @ along == pytest.approx(slope, rel=1e-6)


@every_observable
def test_noise_of_the_slope_is_what_repetitions_show(kind: str) -> None:
    """200 samples of 50 frames: variance of <y> + J delta, and what noise adds to J'J, both to 25 %."""
    liquid = PoissonLiquid(n=150)
    target, base = target_of(kind, liquid), liquid.basis()
    delta = liquid.kt * directions(base)["wave"]
    responses = [
        RESPONSES["fluctuation"](problem_of(target), [sample_of(liquid, base, seed, 50)], 0, base, [target])
        for seed in range(200)
    ]
    predictions = np.array([r.predict(delta)[0] for r in responses])
    stated = np.mean([np.diag(r.noise(delta)) for r in responses], axis=0)
    assert 0.8 < stated.sum() / predictions.var(axis=0).sum() < 1.4  # the inefficiency cannot be below one
    slopes = np.array([r.jacobian for r in responses])
    scatter = np.einsum("snk,snl->kl", slopes - slopes.mean(axis=0), slopes - slopes.mean(axis=0)) / len(slopes)
    added = np.mean([r.gram_noise(lambda values: values) for r in responses], axis=0)
    assert 0.8 < np.trace(added) / np.trace(scatter) < 1.4
    assert 0.8 < (delta @ added @ delta) / (delta @ scatter @ delta) < 1.4


@pytest.mark.parametrize("kind", ["pressure", "coordination number"])
def test_the_closure_has_curves_and_numbers_at_once(kind: str) -> None:
    """A number between two curves: its rows are its own, and derivative and noise are those of the prediction."""
    liquid = PoissonLiquid(n=150)
    base = liquid.basis()
    targets = [target_of("curve", liquid), target_of(kind, liquid), target_of("curve", liquid)]
    sample = sample_of(liquid, base, 9, 400)
    response = RESPONSES["closure"](problem_of(*targets), [sample], 0, base, targets)
    n = len(targets[0].y)
    number = slice(n, n + 1)
    d = liquid.kt * directions(base)["bump"]
    for at in (0.0, 0.2):
        plus, minus = (response.predict((at + h) * d)[0] for h in (1e-4, -1e-4))
        slope = response.predict(at * d)[1] @ d
        np.testing.assert_allclose((plus - minus)[number] / 2e-4, slope[number], rtol=1e-5)
        np.testing.assert_allclose((plus - minus)[:n] / 2e-4, slope[:n], atol=1e-5 * np.abs(slope[:n]).max())
        np.testing.assert_allclose(slope[n + 1 :], slope[:n], rtol=1e-9, atol=1e-12)
    linear = RESPONSES["fluctuation"](problem_of(*targets), [sample], 0, base, targets)
    of_slope = response.gram_noise(lambda values: values, number)
    if targets[1].counted:
        assert not of_slope.any()
    else:
        np.testing.assert_allclose(of_slope, linear.gram_noise(lambda values: values, number), rtol=1e-6)
        assert response.noise(0.2 * d)[n, n] > response.noise()[n, n] > 0.0
    np.testing.assert_allclose(response.gram_noise(lambda values: values), of_slope, rtol=1e-9)
