"""Descent along given gradients: its cotangents, the optimiser's memory, and when it stops.

The windows are replaced by the exact gradient of the Poisson liquid with noise on top: d<h_b>/d theta_k = -beta <h_b>
B_k(r_b).
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from refine.errors import InputError
from refine.refinement.problem import Problem, Sample, TrajectoryRule
from refine.refinement.rules.backprop import BackpropKeys
from tests.refinement.conftest import rule_of

TEMPERATURE = 85.0


def problem_of(*targets):
    return Problem(targets, (TEMPERATURE,))


def bump(r):
    return 0.3 * 0.0073 * np.exp(-((r - 4.6) ** 2) / 0.5)


def target_of(liquid, **changes):
    zero = liquid.basis(12)
    return replace(liquid.target(liquid.mean_counts(zero, bump), sigma=0.004), **changes)


def with_gradients(liquid, rule, problem, sample, windows, noise, seed):
    """The sample with (windows, k) exact gradients of its cotangents, each number with noise of its own size."""
    (v,) = rule.cotangents(problem, sample)
    counts = liquid.mean_counts(sample.correction)
    exact = -np.einsum("pb,pb,pbk->k", v, counts, sample.correction.binned_basis(liquid.box.edges)) / liquid.kt
    scatter = np.random.default_rng(seed).normal(size=(windows, len(exact)))
    return replace(sample, gradients=(exact * (1 + noise * scatter),))


def loss(problem, sample):
    """1/2 e' Σ^-1 e / points, straight from its definition; no nuisances."""
    (target,) = problem.targets
    e = target.y - target.predict(sample.frames[0].counts.mean(axis=0, dtype=float))
    return 0.5 * e @ np.linalg.solve(target.covariance / target.weight, e) / problem.points


def test_cotangents_are_the_derivative_of_the_loss(liquid):
    problem = problem_of(target_of(liquid, weight=2.0))
    sample = liquid.sample(liquid.basis(12), frames=20, seed=1)
    (v,) = rule_of(BackpropKeys).cotangents(problem, sample)
    assert isinstance(rule_of(BackpropKeys), TrajectoryRule)
    for b in (70, 76, 100):
        moved = []
        for h in (1.0, -1.0):  # the loss is quadratic in the counts: any step is exact
            counts = sample.frames[0].counts.astype(float)
            counts[:, 0, b] += h
            moved.append(loss(problem, replace(sample, frames=(replace(sample.frames[0], counts=counts),))))
        assert v[0, b] == pytest.approx((moved[0] - moved[1]) / 2, rel=1e-6)


def test_a_free_scale_is_at_its_optimum(liquid):
    """The derivative of the profiled loss, prior of the scale included, by differences."""
    problem = problem_of(target_of(liquid, free_scale=True, scale_prior=0.2))
    sample = liquid.sample(liquid.basis(12), frames=20, seed=1)
    (target,) = problem.targets
    precision = np.linalg.inv(target.covariance)

    def profiled(counts):
        signal = target.predict(counts) - target.baseline
        goal = target.y - target.baseline
        scales = np.linspace(0.5, 1.5, 200_001)
        chi2 = goal @ precision @ goal - 2 * scales * (signal @ precision @ goal)
        chi2 += scales**2 * (signal @ precision @ signal) + ((scales - 1) / 0.2) ** 2
        return 0.5 * chi2.min() / problem.points

    (v,) = rule_of(BackpropKeys).cotangents(problem, sample)
    counts = sample.frames[0].counts.mean(axis=0, dtype=float)
    step = np.zeros_like(counts)
    step[0, 76] = 2.0
    assert v[0, 76] == pytest.approx((profiled(counts + step) - profiled(counts - step)) / 4, rel=1e-3)


def test_it_finds_the_bump(liquid):
    """A hidden bump of 0.3 kT is found to 0.03 kT rms where pairs are, from 16 windows with 100 % noise."""
    rule = rule_of(BackpropKeys, windows=16, learning_rate=0.05)
    problem = problem_of(target_of(liquid))
    samples, state, correction = [], rule.start(), liquid.basis(12)
    rule.check(problem, correction)
    losses = []
    for turn in range(60):
        sample = liquid.sample(correction, frames=100, seed=turn)
        samples.append(with_gradients(liquid, rule, problem, sample, 16, noise=1.0, seed=turn))
        losses.append(loss(problem, sample))
        update = rule.update(state, problem, samples)
        state, correction = json.loads(json.dumps(update.state)), update.correction
    r = np.arange(3.3, 7.0, 0.05)
    rms = np.sqrt(np.mean((correction.energy(r)[0] - bump(r)) ** 2)) / liquid.kt
    assert losses[-1] < 0.05 * losses[0]
    assert rms < 0.03, rms


def test_two_quiet_gradients_and_a_longer_sample_end_it(liquid):
    rule = rule_of(BackpropKeys, windows=8)
    problem = problem_of(target_of(liquid))
    sample = liquid.sample(liquid.basis(12), frames=20, seed=1)
    noise = np.random.default_rng(3).normal(size=(4, 12))
    quiet = replace(sample, gradients=(np.concatenate([noise, -noise]),))  # the mean is zero, the scatter is not
    state, verdicts = rule.start(), []
    for _ in range(3):
        update = rule.update(state, problem, [quiet])
        state = update.state
        verdicts.append((update.converged, update.frames_factor))
    assert verdicts == [(False, 1.0), (False, 2.0), (True, 2.0)]


def test_a_gradient_that_one_window_carries_is_not_trusted(liquid):
    rule = rule_of(BackpropKeys, windows=20)
    problem = problem_of(target_of(liquid))
    sample = liquid.sample(liquid.basis(12), frames=20, seed=1)
    gradients = 1e-3 * np.random.default_rng(3).normal(size=(20, 12))
    gradients[7] *= 1e6
    state = rule.start()
    for _ in range(3):
        update = rule.update(state, problem, [replace(sample, gradients=(gradients,))])
        state = update.state
        assert not update.converged
        assert "carried by" in update.reason


def test_the_first_step_of_adam_is_the_learning_rate(liquid):
    """In every coordinate x of theta = amplitude kT R x, whatever the gradient: learning_rate/amplitude."""
    problem, correction = problem_of(target_of(liquid)), liquid.basis(12)
    rule = rule_of(BackpropKeys, learning_rate=0.1, amplitude=0.5)
    gradients = np.random.default_rng(0).normal(size=(8, 12))
    sample = Sample(correction, liquid.sample(correction, 20, 1).frames, gradients=(gradients,))
    update = rule.update(rule.start(), problem, [sample])
    root = 0.5 * liquid.kt * rule._prior(sample).root
    np.testing.assert_allclose(np.abs(np.linalg.solve(root, update.correction.theta)), 0.2, rtol=1e-4)


def test_refusals(liquid):
    problem, correction = problem_of(target_of(liquid)), liquid.basis(12)
    for name in ("nothing", "lbfgs", "apply_updates"):
        with pytest.raises(InputError, match="optimiser"):
            rule_of(BackpropKeys, optimiser=name).check(problem, correction)
    with pytest.raises(ValidationError, match="windows"):
        BackpropKeys(windows=2)
    sample = Sample(correction, liquid.sample(correction, 4, 1).frames)
    with pytest.raises(ValueError, match="gradients"):
        rule_of(BackpropKeys).update(rule_of(BackpropKeys).start(), problem, [sample])
