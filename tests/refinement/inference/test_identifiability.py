"""What the data determine: against direct linear algebra, and on liquids where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from refine.refinement.inference.identifiability import Linearised, chi2_sigma, determination, singular_values
from refine.refinement.inference.posterior import NormalEquations, posterior
from refine.refinement.problem import Update
from refine.refinement.rules.gauss_newton import GaussNewton, GaussNewtonKeys
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of


def updated(liquid: PoissonLiquid, *targets, rule: GaussNewton | None = None) -> Update:
    rule = rule or rule_of(GaussNewtonKeys, smoothness=3.0)
    return rule.update(rule.start(), problem_of(*targets), [liquid.sample(liquid.basis(), 600, seed=1)])


def test_singular_values_are_those_of_the_whitened_jacobian():
    rng = np.random.default_rng(0)
    j, b = rng.normal(size=(9, 5)), rng.normal(size=(5, 5))
    root = np.linalg.cholesky(b @ b.T + np.eye(5))
    covariance = np.linalg.inv(j.T @ j + np.linalg.inv(root @ root.T))
    expected = np.linalg.svd(j @ root, compute_uv=False)
    np.testing.assert_allclose(singular_values(root, covariance), expected, rtol=1e-8)


def test_sigma_of_chi2_against_the_exact_distribution():
    """Wilson-Hilferty against the survival function, within 0.15 sigma up to five."""
    from scipy.stats import chi2, norm

    for n in (10, 40, 200):
        for sigma in (-1.0, 0.0, 2.0, 5.0):
            assert abs(chi2_sigma(chi2.isf(norm.sf(sigma), n), n) - sigma) < 0.15


def test_directions_add_up_and_a_second_curve_adds(liquid: PoissonLiquid):
    counts = liquid.mean_counts(liquid.basis())
    one, other = liquid.target(counts, 0.01, seed=1), replace(liquid.target(counts, 0.01, seed=2), name="again")
    single = updated(liquid, one).determination
    both = updated(liquid, one, other).determination
    assert abs(single.data[0].alone - single.data[0].adds) < 1e-6
    assert abs(single.data[0].alone - single.directions) < 0.02 * single.directions
    assert single.directions < both.directions < 2 * single.directions
    assert 0 < both.data[1].adds < both.data[1].alone
    # a curve to 13.5 1/Å against splines on 2.8 to 8 Å
    assert abs(single.data[0].nyquist - 13.5 * 5.2 / np.pi) < 0.5


def test_noise_decides_between_data_and_prior(liquid: PoissonLiquid):
    counts = liquid.mean_counts(liquid.basis())
    good = updated(liquid, liquid.target(counts, 0.003)).determination.pairs[0]
    poor = updated(liquid, liquid.target(counts, 20.0)).determination.pairs[0]
    assert good.decided
    assert poor.decided == ()
    assert np.mean(good.share) > 3 * np.mean(poor.share)


def test_a_pair_without_weight_is_the_prior_s():
    """The partial of A-A says nothing of B-B, whose atoms it never sees."""
    liquid = PoissonLiquid(species=("A", "B"), n=250)
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01, pair=("A", "A"))
    known = {p.pair: p for p in updated(liquid, target).determination.pairs}
    assert known["A", "A"].decided
    assert known["B", "B"].decided == ()
    assert np.mean(known["B", "B"].share) < 0.2  # 600 frames leave chance correlations


def test_a_total_sees_its_own_combination_of_pairs():
    """In a liquid whose pairs know nothing of one another: that of the weights c_a c_b b_a b_b, and of others little.

    Scattering lengths of V. F. Sears, Neutron News 3, 26 (1992): Ar 1.909, Kr 7.81 fm."""
    liquid = PoissonLiquid(species=("Ar", "Kr"), n=250)
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01, radiation="neutron")
    known = updated(liquid, target).determination
    best, *others = known.combinations
    assert [p.pair for p in known.pairs] == [("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr")]
    np.testing.assert_allclose(best.weights, [1.909**2 / 7.81**2, 2 * 1.909 / 7.81, 1.0], atol=0.1)
    assert best.directions > 5 * max(other.directions for other in others)
    assert sum(c.directions for c in known.combinations) == pytest.approx(known.directions)


def test_two_curves_of_different_liquids_contradict_each_other(liquid: PoissonLiquid):
    def bump(r):
        return 0.4 * liquid.kt * np.exp(-((r - 4.5) ** 2) / 0.18)[None]

    base, other = liquid.mean_counts(liquid.basis()), liquid.mean_counts(liquid.basis(), bump)
    agreeing = [liquid.target(base, 0.01, seed=1), replace(liquid.target(base, 0.01, seed=2), name="same")]
    opposing = [agreeing[0], replace(liquid.target(other, 0.01, seed=2), name="other")]
    calm = updated(liquid, *agreeing).determination.tension
    tense = updated(liquid, *opposing).determination.tension
    assert {(t.data, t.given) for t in tense} == {("synthetic", "other"), ("other", "synthetic")}
    assert max(t.sigma for t in calm) < 3
    assert min(t.sigma for t in tense) > 4
    assert max(t.together for t in calm) < 3
    assert min(t.together for t in tense) > 4


def test_a_bad_prediction_of_what_a_fit_describes_is_no_contradiction(liquid: PoissonLiquid):
    """Two curves, each of one coefficient that the other does not see, and far out of the prior: neither predicts the
    other, and one correction describes both."""
    size = len(liquid.basis().theta)
    theta = np.eye(size)[3] - np.eye(size)[8]
    curves = []
    for name, seen in (("one", 3), ("other", 8)):
        target = replace(liquid.target(liquid.mean_counts(liquid.basis()), 0.01), name=name)
        n = len(target.y)
        jacobian, noise = np.outer(np.linspace(0.5, 1.5, n), np.eye(size)[seen]), 0.01**2 * np.eye(n)
        goal = jacobian @ theta + 0.01 * np.random.default_rng(seen).normal(size=n)
        normal = NormalEquations.build(jacobian, goal, noise)
        curves.append(Linearised(target, jacobian, goal, noise, normal, theta, lambda delta, n=n: np.zeros(n)))
    root = 0.1 * np.eye(size)
    both = posterior(curves[0].normal + curves[1].normal, root)
    correction = liquid.basis().with_theta(both.mean)
    for one in determination(correction, curves, root, both.covariance, np.array([0.1])).tension:
        assert one.sigma > 4
        assert one.together < 3


def test_a_correction_far_out_of_its_prior_is_named(liquid: PoissonLiquid):
    def bump(r):
        return 2.0 * liquid.kt * np.exp(-((r - 5.0) ** 2) / 0.5)[None]

    target = liquid.target(liquid.mean_counts(liquid.basis(), bump), 0.003)
    update = updated(
        liquid, target, rule=rule_of(GaussNewtonKeys, smoothness=10.0, trust_radius=100.0, response="fluctuation")
    )
    r, size = update.determination.pairs[0].at_limit
    assert size > 3
    assert 3.5 < r < 6.5
