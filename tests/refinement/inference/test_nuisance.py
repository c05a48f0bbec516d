"""Scale and background in closed form, against brute force and against a fit that has them planted."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from refine.refinement.inference import nuisance
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from refine.scattering.background import smooth_background
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of


def planted(liquid: PoissonLiquid, scale: float, background: float, **free):
    """A target whose values are the base liquid's, times a scale and plus a background."""
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.005)
    flat = np.ones_like(target.y)
    values = target.baseline + scale * (target.y - target.baseline) + background * flat
    if "background_prior" in free:
        free |= {"background": flat[:, None], "background_prior": np.array([free["background_prior"]])}
    return replace(target, y=values, **free)


def test_best_is_the_most_probable_pair(liquid: PoissonLiquid):
    target = planted(liquid, 1.1, -0.03, free_scale=True, scale_prior=0.05, background_prior=0.02)
    y = target.predict(liquid.mean_counts(liquid.basis()))
    found = nuisance.best(target, y)

    def penalty(x):
        e = target.y - nuisance.Nuisance(x[0], (x[1],)).apply(target, y)
        return e @ np.linalg.solve(target.covariance, e) + ((x[0] - 1) / 0.05) ** 2 + (x[1] / 0.02) ** 2

    exact = minimize(penalty, [1.0, 0.0], tol=1e-12)
    np.testing.assert_allclose([found.scale, *found.background], exact.x, atol=1e-5)
    x, h = np.array([found.scale, *found.background]), 0.01 * np.eye(2)
    curvature = [  # exact by differences: the penalty is quadratic
        [(penalty(x + a + b) - penalty(x + a - b) - penalty(x - a + b) + penalty(x - a - b)) / 4e-4 for a in h]
        for b in h
    ]
    errors = np.sqrt(2 * np.diag(np.linalg.inv(curvature)))
    np.testing.assert_allclose([found.scale_stderr, *found.background_stderr], errors, rtol=1e-6)


@pytest.mark.parametrize(
    "free",
    [
        {"free_scale": True, "scale_prior": 0.05},
        {"background_prior": 0.02},
        {"free_scale": True, "scale_prior": 0.05, "background_prior": 0.02},
    ],
)
def test_what_best_changes_with_the_model(liquid: PoissonLiquid, free: dict):
    """Central differences along a smooth change of the model."""
    target = planted(liquid, 1.1, -0.03, **free)
    y, direction = target.predict(liquid.mean_counts(liquid.basis())), np.sin(target.x)
    up, down = (nuisance.best(target, y + sign * 1e-4 * direction) for sign in (1, -1))
    by_scale, by_background = nuisance.best_derivative(target, y)
    assert by_scale @ direction == pytest.approx((up.scale - down.scale) / 2e-4, rel=1e-5)
    change = (np.array(up.background) - np.array(down.background)) / 2e-4
    np.testing.assert_allclose(by_background @ direction, change, rtol=1e-5)


def test_without_freedom_nothing_moves(liquid: PoissonLiquid):
    target = planted(liquid, 1.1, 0.0)
    found = nuisance.best(target, target.predict(liquid.mean_counts(liquid.basis())))
    assert found == nuisance.Nuisance()


@pytest.mark.parametrize(("scale", "background"), [(1.08, 0.0), (0.95, 0.02), (1.0, -0.03)])
def test_a_fit_finds_what_was_planted(liquid: PoissonLiquid, scale: float, background: float):
    """Scale and background of a curve whose potential needs no correction, within three of the stated errors."""
    target = planted(liquid, scale, background, free_scale=True, background_prior=0.05)
    problem, rule = problem_of(target), rule_of(GaussNewtonKeys)
    update = rule.update(rule.start(), problem, [liquid.sample(liquid.basis(), 400, seed=2)])
    curve = update.fitted.curves["synthetic"]
    found = (curve.scale, curve.scale_stderr, scale), (curve.background[0], curve.background_stderr[0], background)
    for value, error, true in found:
        assert error < 0.03
        assert abs(value - true) < 3 * error


def test_a_fit_finds_inelasticity_beside_the_potential(liquid: PoissonLiquid):
    """Gauss-Newton: what the base liquid scatters, on a Placzek curve that is no polynomial; within three errors."""
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.004)
    background = smooth_background(target.x, 8, 0.9)
    x = target.x
    curve = -0.3 * (x / 10.0) ** 2 * np.exp(-((x / 14.0) ** 2)) + 0.05
    free = {"background": background.modes, "background_prior": 0.2 * background.spreads}
    target = replace(target, y=target.y + curve, **free)
    problem, rule = problem_of(target), rule_of(GaussNewtonKeys)
    update = rule.update(rule.start(), problem, [liquid.sample(liquid.basis(), 400, seed=2)])
    found = update.fitted.curves["synthetic"]
    taken = background.modes @ np.array(found.background)
    errors = np.sqrt(background.modes**2 @ np.square(found.background_stderr))  # an upper bound of a kind
    assert np.all(np.abs(taken - curve)[5:] < 3.0 * errors[5:] + 0.005)
    assert np.sqrt(np.mean((taken - curve) ** 2)) < 0.1 * np.sqrt(np.mean(curve**2))
    best = nuisance.best(target, target.predict(liquid.mean_counts(liquid.basis())))
    np.testing.assert_allclose(background.modes @ np.array(best.background), curve, atol=0.01)
    assert len(update.state["backgrounds"][0]) == background.modes.shape[1]
    again = rule.update(update.state, problem, [liquid.sample(liquid.basis(), 400, seed=2)] * 2)
    assert np.isfinite(again.fitted.curves["synthetic"].background).all()
