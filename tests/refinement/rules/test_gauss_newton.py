"""The whole rule on the Poisson liquid: recovery, honest errors, judgement of steps, scales, no hidden evaluations."""

import json

import numpy as np
import pytest

from refine.refinement.convergence import misfit
from refine.refinement.inference.posterior import band
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.problem import Sample, Target
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from refine.refinement.trust import best_of, judge
from refine.sampling.frames import concatenate
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of


def bump(liquid: PoissonLiquid, size: float = 0.5):
    return lambda r: size * liquid.kt * np.exp(-((r - 4.6) ** 2) / 0.5)


def refine(liquid, problem, rule, *, frames=200, iterations=10, seed=0):
    """The outer loop, without its files: returns the corrections sampled and the updates."""
    correction, memory = liquid.basis(), rule.start()
    samples, updates = [], []
    for k in range(iterations):
        factor = updates[-1].frames_factor if updates else 1.0
        samples.append(liquid.sample(correction, int(frames * factor), 1000 * seed + k))
        updates.append(rule.update(memory, problem, samples))
        memory = json.loads(json.dumps(updates[-1].state))  # as a checkpoint does
        correction = updates[-1].correction
        if updates[-1].converged:
            break
    return samples, updates


@pytest.mark.parametrize("size", [0.5, -0.5])
def test_a_hidden_bump_is_found_and_the_run_stops(liquid: PoissonLiquid, size):
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid, size)), 0.01)
    _, updates = refine(liquid, problem_of(target), rule_of(GaussNewtonKeys))
    assert updates[-1].converged
    assert len(updates) <= 8
    r = np.arange(3.3, 8.0, 0.05)
    found = updates[-1].correction.energy(r)[0]
    assert np.sqrt(np.mean((found - bump(liquid, size)(r)) ** 2)) < 0.05 * liquid.kt


@pytest.mark.slow
def test_error_bars_cover(liquid: PoissonLiquid):
    """12 syntheses, noise in data and samples new in each: two-sigma bands cover 85 % of all points or more, and are
    not absurdly wide (one-sigma bands cover fewer than 95 %)."""
    r = np.arange(3.3, 8.0, 0.2)
    inside = []
    for seed in range(12):
        target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01, seed=seed)
        _, updates = refine(liquid, problem_of(target), rule_of(GaussNewtonKeys), seed=seed + 1)
        update = updates[-1]
        error = band(update.correction, update.covariance, r)[0]
        inside.append(np.abs(update.correction.energy(r)[0] - bump(liquid)(r)) / error)
    assert np.mean(np.array(inside) < 2) >= 0.85
    assert np.mean(np.array(inside) < 1) < 0.95


def test_nothing_to_fit_stays_nothing(liquid: PoissonLiquid):
    """The base is right: no ripples. The correction stays below 0.03 kT rms."""
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01)
    _, updates = refine(liquid, problem_of(target), rule_of(GaussNewtonKeys))
    r = np.arange(3.3, 8.0, 0.05)
    assert updates[-1].converged
    assert np.sqrt(np.mean(updates[-1].correction.energy(r) ** 2)) < 0.03 * liquid.kt


def test_a_step_that_made_it_worse_is_taken_back(liquid: PoissonLiquid):
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    problem, rule = problem_of(target), rule_of(GaussNewtonKeys)
    good = liquid.sample(liquid.basis(), 200, 0)
    first = rule.update(rule.start(), problem, [good])
    wrong = first.correction.with_theta(-3.0 * first.correction.theta)
    second = rule.update(first.state, problem, [good, liquid.sample(wrong, 200, 1)])
    assert not second.accepted
    assert second.restart == 0
    assert second.state["trust_radius"] < first.state["trust_radius"]
    assert "taken back" in second.reason


def test_steps_that_make_it_worse_bit_by_bit_are_taken_back(liquid: PoissonLiquid):
    """The first step is wrong and its sample's error large, so it is let pass; the second one is no worse than that,
    and worse than the start: back there, by less than the first one went."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    problem, rule = problem_of(target), rule_of(GaussNewtonKeys)
    samples = [liquid.sample(liquid.basis(), 200, 0)]
    first = rule.update(rule.start(), problem, samples)
    wrong = first.correction.with_theta(-first.correction.theta)
    samples.append(liquid.sample(wrong, 200, 1))
    sure = first.state["best"]
    unsure = sure | {"misfit": sure["misfit"] | {"variance": misfit(samples[1], [target]).chi2 ** 2}, "decrease": 0.0}
    second = rule.update(first.state | {"previous": unsure, "best": unsure}, problem, samples)
    assert second.accepted
    samples.append(liquid.sample(wrong, 200, 2))
    promised_nothing = second.state["previous"] | {"decrease": 0.0}  # the sample is not of what it proposed
    third = rule.update(second.state | {"best": sure, "previous": promised_nothing}, problem, samples)
    assert (third.accepted, third.restart) == (False, 0)
    assert "since iteration 0" in third.reason
    assert third.fitted.step < 0.5 * first.fitted.step


@pytest.mark.parametrize(("promised", "accepted"), [(0.5, True), (4.0, False)])
def test_a_step_that_failed_its_promise_is_taken_back(liquid: PoissonLiquid, promised: float, accepted: bool):
    """chi^2 rose by one and a half of its errors, and was to fall by so many."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    problem, rule = problem_of(target), rule_of(GaussNewtonKeys)
    samples = [liquid.sample(liquid.basis(), 200, 0)]
    first = rule.update(rule.start(), problem, samples)
    samples.append(liquid.sample(first.correction, 200, 1))
    newest = misfit(samples[1], [target])
    lower = {"chi2": newest.chi2 - 1.5 * newest.error * 2**0.5, "variance": newest.variance, "frames": newest.frames}
    previous = first.state["previous"] | {"misfit": lower, "decrease": promised * newest.error * 2**0.5}
    update = rule.update(first.state | {"previous": previous}, problem, samples)
    assert update.accepted == accepted


@pytest.mark.parametrize(("frames", "confirmed"), [(200, True), (8, False)])
def test_a_sample_that_scatters_like_its_misfit_confirms_nothing(liquid: PoissonLiquid, frames: int, confirmed: bool):
    """chi^2 was to stay, and stayed: of 200 frames that says something, of 8 with a misfit as large as their noise
    nothing; but a fit of such samples may end."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid, 0.03)), 1e-3)
    sample = liquid.sample(liquid.basis(), frames, 0)
    now = misfit(sample, [target])
    assert (now.error < 0.5 * now.chi2) == confirmed
    there = {"misfit": now.stored, "decrease": 0.0, "size": 0.04, "sample": 0}
    memory = {"trust_radius": 0.3, "previous": there, "best": None, "taken_back": None, "noise_factors": None}
    verdict = judge(memory, problem_of(target), [sample, sample], reaches_far=False)
    assert (verdict.confirmed, verdict.steady, verdict.quiet) == (confirmed, True, True)


def test_from_a_lucky_sample_back_to_the_best_one(liquid: PoissonLiquid):
    """Two steps from iteration 1 raised chi^2, the second one too much for its length: iteration 1 was a lucky sample.
    The one that was better still, iteration 0, was not, and the newest is far above it."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    good, bad = liquid.sample(liquid.basis(), 200, 0, bump(liquid)), liquid.sample(liquid.basis(), 200, 1)
    there = {"misfit": misfit(good, [target]).stored, "decrease": 10.0, "size": 0.04}
    memory = {
        "trust_radius": 0.3,
        "previous": there | {"sample": 1},
        "taken_back": {"rise": 10.0, "error": 5.0, "size": 0.1, "radius": 0.3},
        "noise_factors": None,
    }
    for best, expected in ((0, (False, 0)), (1, (True, None))):
        now = memory | {"best": there | {"sample": best}}
        verdict = judge(now, problem_of(target), [good, good, bad], reaches_far=False)
        assert (verdict.accepted, verdict.back, verdict.lucky) == (*expected, 1)
        assert best_of(now["best"], there | {"sample": 2}, lucky=1)["sample"] == (2 if best == 1 else 0)


def test_a_rise_that_slopes_explain_is_no_luck(liquid: PoissonLiquid):
    """A shorter step, on a steeper way than the one before it, raises chi^2 by more than its length: as linear response
    says. The sample that both began from is as good a yardstick as before."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    good = liquid.sample(liquid.basis(), 200, 0)
    way = rule_of(GaussNewtonKeys).update(rule_of(GaussNewtonKeys).start(), problem_of(target), [good]).correction.theta
    bad = liquid.sample(liquid.basis().with_theta(-0.2 * way), 200, 1)
    there = {"misfit": misfit(good, [target]).stored, "decrease": 10.0, "size": 0.04, "sample": 0}
    memory = {
        "trust_radius": 0.3,
        "previous": there,
        "best": there,
        "taken_back": {"rise": 10.0, "error": 5.0, "size": 0.1, "radius": 0.3},
        "noise_factors": None,
    }
    verdict = judge(memory, problem_of(target), [good, bad], reaches_far=False)
    assert (verdict.accepted, verdict.back, verdict.lucky) == (False, 0, None)


def changing_sample(liquid: PoissonLiquid) -> Sample:
    """Half of its frames are of another liquid."""
    parts = [liquid.sample(liquid.basis(), 100, k, bump(liquid, size)).frames[0] for k, size in enumerate((0.5, -3.0))]
    return Sample(liquid.basis(), (concatenate(parts),))


def test_no_fit_ends_on_a_liquid_that_changes(liquid: PoissonLiquid):
    """chi^2 is what it was, within an error as large as it is, where that of the sample before had been known well."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    sample = changing_sample(liquid)
    now = misfit(sample, [target])
    before = {"chi2": now.chi2, "variance": 1e-4 * now.variance, "frames": now.frames}
    there = {"misfit": before, "decrease": 0.0, "size": 0.04, "sample": 0}
    memory = {"trust_radius": 0.3, "previous": there, "best": None, "taken_back": None, "noise_factors": None}
    verdict = judge(memory, problem_of(target), [sample, sample], reaches_far=False)
    assert (verdict.accepted, verdict.steady, verdict.quiet, verdict.confirmed) == (True, False, False, False)


def test_where_a_shorter_step_freezes_too_the_sample_before_is_gone_back_to(liquid: PoissonLiquid):
    """Two steps from iteration 1, the second one shorter, made a liquid that changes as it is sampled, with an error of
    chi^2 as large as chi^2: on from iteration 0, with 0.4 of the step that led from there."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    good, changing = liquid.sample(liquid.basis(), 200, 0, bump(liquid)), changing_sample(liquid)
    memory = {
        "trust_radius": 0.3,
        "taken_back": {"rise": 10.0, "error": 5.0, "size": 0.1, "radius": 0.3},
        "noise_factors": None,
        "best": None,
    }
    here = {"misfit": misfit(good, [target]).stored, "decrease": 10.0, "size": 0.04, "sample": 1}
    for origin, expected in (({"sample": 0, "size": 0.2}, (0, 1, 0.4 * 0.2)), (None, (1, None, 0.4 * 0.04))):
        now = memory | {"previous": here | {"parent": origin}}
        verdict = judge(now, problem_of(target), [good, good, changing], reaches_far=True)
        assert not verdict.accepted
        assert (verdict.back, verdict.lucky, verdict.trust_radius) == pytest.approx(expected)


def test_where_shorter_steps_cannot_be_sampled_either_the_one_before_is_gone_back_to(liquid: PoissonLiquid):
    """Twice from iteration 1, whose sample is about to come apart then; the next one begins with 0.4 of the step that
    had led there, from the base model, and those after it are shorter still."""
    problem = problem_of(liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01))
    rule = rule_of(GaussNewtonKeys)
    samples, updates = refine(liquid, problem, rule, iterations=2)
    memory, tried = updates[-1].state, []
    for _ in range(4):
        tried.append(rule.withdrawn(memory, problem, samples))
        memory = json.loads(json.dumps(tried[-1].state))
    assert [update.restart for update in tried] == [1, 0, 0, 0]
    first = updates[0].fitted.step
    np.testing.assert_array_less(
        [update.fitted.step for update in tried[1:]], [0.401 * first, 0.17 * first, 0.07 * first]
    )
    assert memory["best"]["sample"] == 0  # what is about to come apart is no yardstick
    # a sample that can be taken is judged by the one it came from
    samples.append(liquid.sample(tried[1].correction, 200, 7))
    assert (
        rule.update(json.loads(json.dumps(tried[1].state)), problem, samples).state["previous"]["parent"]["sample"] == 0
    )


@pytest.mark.parametrize("response", ["auto", "fluctuation"])
def test_a_lucky_sample_is_no_yardstick_for_long(liquid: PoissonLiquid, response: str):
    """The first sample is of a potential that describes the data, and said to be of the base, which does not: the first
    step is taken back, and the second one, shorter and as bad, shows what is wrong. From there the fit goes on."""
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    problem, rule = problem_of(target), rule_of(GaussNewtonKeys, response=response)
    samples, memory, updates = [liquid.sample(liquid.basis(), 200, 0, bump(liquid))], rule.start(), []
    for k in range(8):
        updates.append(rule.update(memory, problem, samples))
        memory = json.loads(json.dumps(updates[-1].state))
        samples.append(liquid.sample(updates[-1].correction, 200, k + 1))
    found = next(k for k, update in enumerate(updates) if update.lucky is not None)
    assert found <= 4
    assert updates[found].lucky == 0
    assert (updates[found].accepted, updates[found].restart) == (True, found)
    assert "lucky" in updates[found].reason
    assert updates[found].state["trust_radius"] == rule.start()["trust_radius"]
    last = [np.mean((target.y - target.values(s.frames[0]).mean(axis=0)) ** 2) for s in (samples[found], samples[-1])]
    assert last[1] < 0.1 * last[0]


def test_the_trust_radius_limits_and_grows(liquid: PoissonLiquid):
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid, 2.0)), 0.01)
    _, updates = refine(liquid, problem_of(target), rule_of(GaussNewtonKeys, trust_radius=0.1, response="fluctuation"))
    assert updates[0].fitted.step == pytest.approx(0.1)
    assert updates[1].state["trust_radius"] == pytest.approx(0.2)
    assert updates[1].fitted.forecast.gain > 0.6


def test_a_free_scale_is_found_with_the_potential(liquid: PoissonLiquid):
    """Data 10 % low in scale: the scale comes back within three of its standard errors, which are below 5 %."""
    clean = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    low = clean.baseline + 0.9 * (clean.y - clean.baseline)
    target = Target("s", 0, "S(Q)", None, low, clean.covariance, True, CurveObservable(clean.operator), free_scale=True)
    _, updates = refine(liquid, problem_of(target), rule_of(GaussNewtonKeys), frames=400)
    curve = updates[-1].fitted.curves["s"]
    assert curve.scale_stderr < 0.05
    assert abs(curve.scale - 0.9) < 3 * curve.scale_stderr
    r = np.arange(3.3, 8.0, 0.05)
    assert np.sqrt(np.mean((updates[-1].correction.energy(r)[0] - bump(liquid)(r)) ** 2)) < 0.08 * liquid.kt


def test_unknown_noise_is_found_by_evidence(liquid: PoissonLiquid):
    """Declared five times too small as a guess: the noise factor comes out between 3.5 and 7."""
    clean = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.05)
    target = Target("s", 0, "S(Q)", None, clean.y, clean.covariance / 25.0, False, CurveObservable(clean.operator))
    _, updates = refine(liquid, problem_of(target), rule_of(GaussNewtonKeys))
    assert 3.5 < max(curve.noise_factor for curve in updates[-1].fitted.curves.values()) < 7.0


@pytest.mark.slow
def test_partials_of_one_experiment_share_the_factor_on_their_errors():
    """Of three curves of one mixture the first is guessed five times too small: two partials have one factor between
    them, and the total has its own."""
    liquid = PoissonLiquid(species=("Ar", "Kr"), n=250)
    counts, targets = liquid.mean_counts(liquid.basis(), bump(liquid)), []
    for name, pair, guess, curve in (
        ("ArAr", 0, 0.2, {"pair": ("Ar", "Ar")}),
        ("KrKr", 2, 1.0, {"pair": ("Kr", "Kr")}),
        ("total", None, 1.0, {"radiation": "neutron"}),
    ):
        clean = liquid.target(counts, 0.3, seed=len(targets), **curve)
        about = CurveObservable(clean.operator)
        targets.append(Target(name, 0, "S(Q)", pair, clean.y, clean.covariance * guess**2, False, about))
    _, updates = refine(liquid, problem_of(*targets), rule_of(GaussNewtonKeys), iterations=4)
    factors = {name: curve.noise_factor for name, curve in updates[-1].fitted.curves.items()}
    assert factors["ArAr"] == factors["KrKr"]
    assert factors["total"] < 1.5 < factors["ArAr"] < 5.0


@pytest.mark.slow
@pytest.mark.parametrize(("response", "iterations", "left"), [("fluctuation", 10, 0.005), ("auto", 14, 0.05)])
def test_a_mixture_with_one_curve_keeps_the_unseen_pairs_at_the_prior(response: str, iterations: int, left: float):
    """Three partials, one neutron curve: the best sample, which a run reports, has a small share of the misfit left,
    and the correction stays finite and small in every pair. The closure is wrong for a Poisson liquid, whose first step
    it makes far too long: what `auto` believes has to find back."""
    liquid = PoissonLiquid(species=("Ar", "Kr"), n=250)
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01, radiation="neutron")
    rule = rule_of(GaussNewtonKeys, response=response)
    samples, updates = refine(liquid, problem_of(target), rule, iterations=iterations)
    misfits = [np.sum((target.y - target.predict(s.frames[0].counts.mean(axis=0, dtype=float))) ** 2) for s in samples]
    assert min(misfits) < left * misfits[0]
    assert np.abs(updates[-1].correction.energy(np.arange(3.5, 8, 0.1))).max() < 1.5 * liquid.kt


def test_a_given_smoothness_is_used(liquid: PoissonLiquid):
    target = liquid.target(liquid.mean_counts(liquid.basis(), bump(liquid)), 0.01)
    problem = problem_of(target)
    sample = liquid.sample(liquid.basis(), 200, 0)
    rule = rule_of(GaussNewtonKeys, smoothness=10.0)
    assert rule.update(rule.start(), problem, [sample]).fitted.forecast.prior_amplitude == pytest.approx(0.1)
