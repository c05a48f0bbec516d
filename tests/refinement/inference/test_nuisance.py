"""Scale and background in closed form, against brute force and against a fit that has them planted."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from refine.refinement.inference import nuisance
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of


def planted(liquid: PoissonLiquid, scale: float, background: float, **free):
    """A target whose values are the base liquid's, times a scale and plus a background."""
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.005)
    flat = np.ones_like(target.y)
    values = target.baseline + scale * (target.y - target.baseline) + background * flat
    return replace(target, y=values, background=flat if "background_prior" in free else None, **free)


def test_best_is_the_most_probable_pair(liquid: PoissonLiquid):
    target = planted(liquid, 1.1, -0.03, free_scale=True, scale_prior=0.05, background_prior=0.02)
    y = target.predict(liquid.mean_counts(liquid.basis()))
    found = nuisance.best(target, y)

    def penalty(x):
        e = target.y - nuisance.Nuisance(*x).apply(target, y)
        return e @ np.linalg.solve(target.covariance, e) + ((x[0] - 1) / 0.05) ** 2 + (x[1] / 0.02) ** 2

    exact = minimize(penalty, [1.0, 0.0], tol=1e-12)
    np.testing.assert_allclose([found.scale, found.background], exact.x, atol=1e-5)
    x, h = np.array([found.scale, found.background]), 0.01 * np.eye(2)
    curvature = [  # exact by differences: the penalty is quadratic
        [(penalty(x + a + b) - penalty(x + a - b) - penalty(x - a + b) + penalty(x - a - b)) / 4e-4 for a in h]
        for b in h
    ]
    errors = np.sqrt(2 * np.diag(np.linalg.inv(curvature)))
    np.testing.assert_allclose([found.scale_stderr, found.background_stderr], errors, rtol=1e-6)


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
    assert by_background @ direction == pytest.approx((up.background - down.background) / 2e-4, rel=1e-5)


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
    found = (curve.scale, curve.scale_stderr, scale), (curve.background, curve.background_stderr, background)
    for value, error, true in found:
        assert error < 0.03
        assert abs(value - true) < 3 * error
