"""Corrections that fade with distance: the prior, and when the evidence asks for it."""

import json

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.inference.posterior import FADED, FADINGS, SmoothnessPrior, band
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of

CENTRES = np.arange(0.01, 10, 0.02)


def prior_of(onsets: list[float], **keys: bool) -> tuple[np.ndarray, SmoothnessPrior]:
    """Of two pairs, whose g is one from these distances on."""
    correction = PairCorrection.zero((("A", "A"), ("A", "B")), SplineBasis(2.5, 8.0, 22), stiffness=1.0)
    g = np.array([onset <= CENTRES for onset in onsets], float)
    return correction.basis.centres, SmoothnessPrior.build(correction, CENTRES, g, 0.5, **keys)


def test_a_faded_prior_is_narrower_beyond_the_first_shell_of_each_pair():
    r, prior = prior_of([3.0, 4.0])
    wide, faded = (np.sqrt(np.diagonal(p.correlation, axis1=1, axis2=2)) for p in (prior, prior.faded(0.5)))
    for pair, onset in enumerate([3.0, 4.0]):
        share = FADED + (1 - FADED) * np.exp(-0.5 * (0.5 * np.maximum(r - onset, 0)) ** 2)
        np.testing.assert_allclose(faded[pair] / wide[pair], share, rtol=1e-2)  # g begins at a bin's centre
    # smoothness is what it was
    scaled = prior.correlation[0] / np.outer(wide[0], wide[0])
    np.testing.assert_allclose(prior.faded(0.5).correlation[0] / np.outer(faded[0], faded[0]), scaled, atol=1e-12)


def test_only_the_pairs_that_are_asked_for_fade():
    _, prior = prior_of([3.0, 4.0])
    one = prior.faded(0.5, np.array([False, True])).correlation
    np.testing.assert_array_equal(one[0], prior.correlation[0])
    np.testing.assert_array_equal(one[1], prior.faded(0.5).correlation[1])


def test_a_pair_that_was_not_sampled_does_not_fade():
    r, prior = prior_of([3.0, 20.0])
    np.testing.assert_array_equal(prior.faded(0.5).correlation[1], prior.correlation[1])
    assert np.all(prior.beyond[0] == np.maximum(r - CENTRES[CENTRES >= 3.0][0], 0.0))


def test_a_prior_that_is_not_squeezed_has_one_width_at_all_distances_until_it_fades():
    r, prior = prior_of([3.0, 4.0], squeezed=False)
    np.testing.assert_allclose(np.diagonal(prior.correlation, axis1=1, axis2=2), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.diag(prior.faded(0.5).correlation[1])[r < 4.0], 1.0, rtol=1e-5)


def near(r):
    """What a base gets wrong at contact alone."""
    return 1.5 * np.exp(-(np.maximum(r - 3.4, 0.0) ** 2) / (2 * 0.4**2))


def everywhere(r):
    """A wave as high at 7 Å as at 3.5."""
    return 0.3 * np.cos(2 * np.pi * (r - 3.4) / 2.0)


@pytest.mark.parametrize(("hidden", "fades"), [(near, True), (everywhere, False)])
def test_the_evidence_finds_whether_corrections_fade(liquid: PoissonLiquid, hidden, fades: bool):
    """And the band is the narrower far away where they do."""
    made = liquid.mean_counts(liquid.basis(), lambda r: liquid.kt * hidden(r)[None])
    problem, rule = problem_of(liquid.target(made, 0.01)), rule_of(GaussNewtonKeys)
    samples, memory, rates = [liquid.sample(liquid.basis(), 200, 0)], rule.start(), []
    for k in range(3):
        update = rule.update(memory, problem, samples)
        memory = json.loads(json.dumps(update.state))
        rates.append(memory["fading"])
        samples.append(liquid.sample(update.correction, 200, k + 1))
    assert (rates[-1] > 0.0) == fades
    places = [FADINGS.index(rate) for rate in rates]
    assert np.abs(np.diff(places)).max() <= 1  # the first update may go anywhere
    inner, outer = band(update.correction, update.covariance, np.array([4.0, 7.0]))[0] / liquid.kt
    assert (outer < inner) or not fades


def test_a_stated_strength_does_not_fade_and_a_record_of_before_goes_on(liquid: PoissonLiquid):
    made = liquid.mean_counts(liquid.basis(), lambda r: liquid.kt * near(r)[None])
    problem, samples = problem_of(liquid.target(made, 0.01)), [liquid.sample(liquid.basis(), 200, 0)]
    stated = rule_of(GaussNewtonKeys, smoothness=2.0)
    assert stated.update(stated.start(), problem, samples).state["fading"] == 0.0
    rule = rule_of(GaussNewtonKeys)
    before = {key: value for key, value in rule.start().items() if key != "fading"}
    assert rule.update(before, problem, samples).state["fading"] > 0.0
