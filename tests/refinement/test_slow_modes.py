"""Sampling errors where a mode is slower than a sample is long, against the scatter of repeated samples."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import misfit
from refine.refinement.inference.statistics import averages
from refine.refinement.observables.coordination import CoordinationNumber
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.responses.slow_modes import RECENT, with_slow_modes
from refine.refinement.trust import as_known_now, judge
from refine.sampling.frames import Frames

from .conftest import PoissonLiquid, problem_of

FRAMES, REPEATS = 100, 60
SIZES = (0.003, 0.002, 0.001, 0.0005, 0.0)
"""Of the corrections of successive samples, kT."""


def trajectory(
    liquid: PoissonLiquid, corrections: Sequence[PairCorrection], seed: int, *, strength: float, decay: float = 30.0
) -> list[Sample]:
    """Samples that follow one another: a shell of pairs comes and goes with a correlation time of `decay` frames."""
    rng = np.random.default_rng(seed)
    x, slow = rng.normal(), []
    for noise in rng.normal(size=FRAMES * len(corrections)):
        x = np.exp(-1 / decay) * x + np.sqrt(1 - np.exp(-2 / decay)) * noise
        slow.append(x)
    shell = strength * np.exp(-((liquid.box.centres - 6.0) ** 2) / 0.5)
    samples = []
    for k, correction in enumerate(corrections):
        sample = liquid.sample(correction, FRAMES, 100 * seed + k)
        moved = np.array(slow[k * FRAMES : (k + 1) * FRAMES])[:, None, None] * shell
        frames = sample.frames[0]
        samples.append(replace(sample, frames=(replace(frames, counts=frames.counts + moved),)))
    return samples


def near(liquid: PoissonLiquid, sizes: Sequence[float] = SIZES) -> list[PairCorrection]:
    """Corrections of so many kT."""
    here = liquid.basis()
    return [here.with_theta(size * liquid.kt * np.cos(np.arange(24))) for size in sizes]


def per_frame(frames: Frames) -> dict[str, np.ndarray]:
    return {name: getattr(frames, name) for name in ("counts", "energy", "virial", "temperature", "replica")}


def of_the_liquid(liquid: PoissonLiquid) -> tuple[Problem, Target]:
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01)
    return problem_of(target), target


def stated(samples: Sequence[Sample], target: Target) -> float:
    """Sampling variance of the newest sample's curve, all points together."""
    return float(averages(samples[-1], 0, [target])[1].sum())


def test_errors_are_those_of_repeated_samples(liquid: PoissonLiquid):
    """Five samples of nearly one potential and a mode with a correlation time of 0.3 of their length; 60 trajectories.
    The variance that is stated of a sample's curve is below 0.45 of the observed one by itself, with the others 0.6 to
    1.4 of it (observed to 18 %, and 150 correlation times in all are no more than that either)."""
    problem, target = of_the_liquid(liquid)
    curves, alone, together = [], [], []
    for seed in range(REPEATS):
        samples = trajectory(liquid, near(liquid), seed, strength=6.0)
        curves.append(averages(samples[-1], 0, [target])[0])
        alone.append(stated(samples, target))
        together.append(stated(with_slow_modes(problem, samples), target))
    observed = np.var(curves, axis=0, ddof=1).sum()
    assert np.mean(alone) < 0.45 * observed
    assert 0.6 < np.mean(together) / observed < 1.4


def test_chi2_of_samples_of_one_potential_does_not_rise(liquid: PoissonLiquid):
    """Of 240 pairs of successive samples that differ by such a mode, chi^2 rises beyond three errors, which takes a
    step back, in more than one of twenty by themselves; with what they say of each other in less than one of fifty."""
    problem, target = of_the_liquid(liquid)
    rises = {"alone": 0, "together": 0}
    for seed in range(REPEATS):
        samples = trajectory(liquid, near(liquid), seed, strength=6.0)
        for name, some in (("alone", samples), ("together", with_slow_modes(problem, samples))):
            found = [misfit(sample, [target]) for sample in some]
            rises[name] += sum(later.since(one.stored).rose for one, later in pairwise(found))
    assert rises["alone"] > 12
    assert rises["together"] < 5


def test_a_step_is_not_taken_back_for_a_slow_mode(liquid: PoissonLiquid):
    """Where chi^2 rose beyond three errors of its samples by themselves, and not of what all of them show: also the
    error of the sample before is the one that is known now, not the one that was remembered of it."""
    problem, target = of_the_liquid(liquid)
    seen = 0
    for seed in range(REPEATS):
        samples = trajectory(liquid, near(liquid), seed, strength=6.0)
        before, newest = (misfit(sample, [target]) for sample in samples[-2:])
        if not newest.since(before.stored).rose:
            continue
        seen += 1
        entry = {"sample": len(samples) - 2, "misfit": before.stored, "decrease": 0.0, "size": 0.001}
        memory = {"trust_radius": 0.3, "previous": entry, "best": entry, "taken_back": None, "noise_factors": None}
        assert not judge(memory, problem, samples, reaches_far=False).accepted
        known = with_slow_modes(problem, samples)
        assert judge(as_known_now(memory, problem, known), problem, known, reaches_far=False).accepted
    assert seen > 2


def test_a_weak_mode_shows_in_the_scatter_of_the_means(liquid: PoissonLiquid):
    """A mode that is a tenth of what is fast in one frame, and most of what is left in a mean of a hundred: errors of
    single samples come closer to what is observed, and never move away."""
    problem, target = of_the_liquid(liquid)
    curves, alone, together = [], [], []
    for seed in range(REPEATS):
        samples = trajectory(liquid, near(liquid), seed, strength=2.0)
        curves.append(averages(samples[-1], 0, [target])[0])
        alone.append(stated(samples, target))
        together.append(stated(with_slow_modes(problem, samples), target))
    observed = np.var(curves, axis=0, ddof=1).sum()
    assert np.mean(alone) < np.mean(together) < 1.4 * observed


def test_where_nothing_is_slow_errors_stay(liquid: PoissonLiquid):
    """Frames that know nothing of each other: the variance of single samples within 10 %, on average of 60."""
    problem, target = of_the_liquid(liquid)
    ratios = []
    for seed in range(REPEATS):
        samples = trajectory(liquid, near(liquid), seed, strength=0.0)
        ratios.append(stated(with_slow_modes(problem, samples), target) / stated(samples, target))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


def test_samples_of_other_potentials_are_no_slow_mode(liquid: PoissonLiquid):
    """Steps of 0.5 kT, of which a slope from 100 frames is not sure: nothing is known. With two more samples of the
    last potential these say it, and the far one keeps its own errors if they are larger."""
    problem, target = of_the_liquid(liquid)
    far = trajectory(liquid, near(liquid, (0.5, 0.0)), 0, strength=0.0)
    assert all(not any(sample.inefficiency) for sample in with_slow_modes(problem, far))
    five = trajectory(liquid, near(liquid, (0.5, 0.001, 0.0, 0.001, 0.0)), 1, strength=6.0)
    known = with_slow_modes(problem, five)
    alone, together = (averages(sample[0], 0, [target])[1] for sample in (five, known))
    assert (together >= alone * (1 - 1e-12)).all()
    assert stated(known, target) > stated(five, target)


def test_errors_hold_where_carrying_adds_as_much_as_they_are(liquid: PoissonLiquid):
    """Corrections so different that carrying adds as much variance as single samples state: of the observed variance
    more than twice the share that they have alone, and without a slow mode no more than a third above them."""
    problem, target = of_the_liquid(liquid)
    apart = near(liquid, (0.06, -0.04, 0.03, -0.02, 0.0))
    ratios = {}
    for strength in (0.0, 6.0):
        curves, alone, together = [], [], []
        for seed in range(REPEATS // 2):
            samples = trajectory(liquid, apart, seed, strength=strength)
            curves.append(averages(samples[-1], 0, [target])[0])
            alone.append(stated(samples, target))
            together.append(stated(with_slow_modes(problem, samples), target))
        observed = np.var(curves, axis=0, ddof=1).sum()
        ratios[strength] = np.array([np.mean(alone), np.mean(together)]) / observed
    assert ratios[6.0][1] > 2.0 * ratios[6.0][0]
    assert ratios[6.0][1] < 1.4
    assert ratios[0.0][1] < 1.33 * ratios[0.0][0]


def test_a_liquid_that_changed_for_good_is_found_out(liquid: PoissonLiquid):
    """Four samples that agree, and a fifth under nearly the same potential whose structure is another one, by twenty of
    the errors that it states: taken back in ten of ten, as it is by itself."""
    problem, target = of_the_liquid(liquid)
    for seed in range(10):
        samples = trajectory(liquid, near(liquid), seed, strength=0.0)
        frozen = samples[-1].frames[0]
        changed = frozen.counts + 16.0 * np.exp(-((liquid.box.centres - 6.0) ** 2) / 0.5)
        samples[-1] = replace(samples[-1], frames=(replace(frozen, counts=changed),))
        known = with_slow_modes(problem, samples)
        assert known[-1].inefficiency
        entry = {"sample": 3, "misfit": misfit(known[3], [target]).stored, "decrease": 0.0, "size": 0.001}
        memory = {"trust_radius": 0.3, "previous": entry, "best": entry, "taken_back": None, "noise_factors": None}
        assert not judge(memory, problem, known, reaches_far=False).accepted


@pytest.mark.parametrize(("neighbours", "atoms"), [(4, 500), (3, 333)])
def test_what_is_the_same_in_every_frame_changes_nothing(neighbours: int, atoms: int):
    """A coordination number of a perfect network beside a curve: constant, or but for rounding."""
    liquid = PoissonLiquid(n=atoms)
    problem, target = of_the_liquid(liquid)
    number = CoordinationNumber.of(liquid.box, "Ar", "Ar", 2.4)
    constant = Target("n", 0, "coordination number", None, np.array([4.0]), np.array([[0.04]]), True, number)
    samples = trajectory(liquid, near(liquid), 1, strength=6.0)
    rng = np.random.default_rng(0)
    for k, sample in enumerate(samples):
        frames = sample.frames[0]
        counts = frames.counts.copy()
        counts[:, :, :50] = 0.0
        counts[:, 0, 40:46] = rng.multinomial(neighbours * atoms // 2, [1 / 6] * 6, size=len(counts))
        samples[k] = replace(sample, frames=(replace(frames, counts=counts),))
    known = with_slow_modes(problem_of(target, constant), samples)
    assert averages(known[-1], 0, [constant])[1] < 1e-20
    without = with_slow_modes(problem, samples)
    np.testing.assert_allclose(
        known[-1].inefficiency[0]["synthetic"], without[-1].inefficiency[0]["synthetic"], rtol=0.05
    )
    assert np.isfinite(misfit(known[-1], [target, constant]).chi2)


def test_a_state_of_which_nothing_is_known_keeps_its_own(liquid: PoissonLiquid):
    """Two states, of which the first has no data: whatever order, g is that of one state alone."""
    problem, target = of_the_liquid(liquid)
    samples = trajectory(liquid, near(liquid), 0, strength=6.0)
    alone = with_slow_modes(problem, samples)[-1].inefficiency[0]["synthetic"]
    two = Problem((replace(target, state=1),), (85.0, 85.0))
    both = [replace(sample, frames=sample.frames * 2) for sample in samples]
    first, second = with_slow_modes(two, both)[-1].inefficiency
    assert not first
    np.testing.assert_allclose(second["synthetic"], alone)


def test_replicas_and_lengths_of_samples(liquid: PoissonLiquid):
    """Every sample as two replicas of half its length, and one of half the frames: errors within a factor of two of
    those of one trajectory, and the shorter sample's variance of the mean is twice as large."""
    problem, target = of_the_liquid(liquid)
    ratios, halves = [], []
    for seed in range(REPEATS // 3):
        samples = trajectory(liquid, near(liquid, (0.0,) * 5), seed, strength=6.0, decay=10.0)
        parts = np.arange(FRAMES) // (FRAMES // 2)
        split = [replace(s, frames=(replace(s.frames[0], replica=parts),)) for s in samples]
        whole = stated(with_slow_modes(problem, samples), target)
        ratios.append(stated(with_slow_modes(problem, split), target) / whole)
        arrays = {name: values[: FRAMES // 2] for name, values in per_frame(samples[-1].frames[0]).items()}
        shorter = [*samples[:-1], replace(samples[-1], frames=(replace(samples[-1].frames[0], **arrays),))]
        halves.append(stated(with_slow_modes(problem, shorter), target) / whole)
    assert 0.5 < np.median(ratios) < 2.0
    assert 1.5 < np.median(halves) < 2.5


def test_only_recent_samples_are_compared(liquid: PoissonLiquid):
    """Fourteen samples: what the last ten show holds for the first four where it is more than their own."""
    problem, target = of_the_liquid(liquid)
    samples = trajectory(liquid, near(liquid, (0.0,) * 14), 3, strength=6.0)
    known = with_slow_modes(problem, samples)
    late = with_slow_modes(problem, samples[-RECENT:])
    for one, other in zip(known[-RECENT:], late, strict=True):
        np.testing.assert_allclose(one.inefficiency[0]["synthetic"], other.inefficiency[0]["synthetic"])
    own, found = (averages(some[0], 0, [target])[1] for some in (samples, known))
    assert (found >= own * (1 - 1e-12)).all()


def test_one_sample_and_a_base_that_changes_say_nothing(liquid: PoissonLiquid):
    problem, _ = of_the_liquid(liquid)
    samples = trajectory(liquid, near(liquid), 0, strength=6.0)
    assert with_slow_modes(problem, samples[:1]) == samples[:1]
    moving = [replace(sample, parameters=np.array([float(k)])) for k, sample in enumerate(samples)]
    assert with_slow_modes(problem, moving) == moving
