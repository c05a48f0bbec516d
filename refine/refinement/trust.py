"""What the newest sample says of the step that led to it, and how far the next one may go.

The gain of a step is the actual over the predicted decrease of chi^2; the former has a sampling error
(`refinement.convergence`), without which no step is judged. The rules are a table in docs/theory/gauss-newton.md.

What is remembered of a sample that a step began from, in JSON's values: `sample`, its number; `misfit`, as stored;
`decrease`, that of chi^2 which was predicted; `size` of the step, kT; `parent`, the same of the sample that it came
from, without its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refine.refinement.convergence import LUCKY, RISE, Change, Misfit, misfit
from refine.refinement.inference.linearisation import by_state
from refine.refinement.problem import Problem, Sample
from refine.refinement.responses.fluctuation import Extrapolation

GROW, SHRINK = 0.6, 0.2
"""Gain above which the trust radius doubles, below which it shrinks. A step that raised chi^2 beyond sampling error, or
failed what it promised (`Change.failed`), is taken back."""

UNCONFIRMED = 0.5
"""A sample confirms the linear prediction when the decrease of chi^2 is off by no more than this share of it, by no
more than sampling explains (`Change.allowance`), or by no more than the measurement's noise scatters chi^2: sqrt(2 n)
of n points, times the square of the factor by which their errors were found too small."""

UNTELLING = 0.5
"""A sample whose chi^2 has an error above this share of it, and above that scatter, confirms nothing: sampling would
explain any outcome. Where samples before had a smaller one (`convergence.LUCKY`) it is of a liquid that comes apart, or
freezes; and where a shorter step leads to one, too, the liquid that both steps began from is about to."""

SHRINK_FACTOR = 0.4

SHORTER = 0.5
"""A step is shorter than one that was taken back up to this share of it. chi^2 then rises in proportion at most, as it
is convex: where it rises by more, and by what no response explains, the sample that both steps began from was a lucky
one, and is no yardstick."""

EXPLAINED = 0.5
"""Share of the change of the curves that the slopes at both ends of a step may miss, beyond noise, and still explain
it: the other way that a shorter step took may be the steeper one."""


@dataclass(frozen=True)
class Verdict:
    """On the newest sample.

    Attributes:
        accepted: whether the next step begins there.
        quiet: whether chi^2 changed by less than its error.
        confirmed: whether it came out as predicted.
        trust_radius: kT.
        words: for the record; empty where there is nothing to say.
        taken_back: of a step that was, for the next verdict: `rise` of chi^2 and its `error`, `size`, the `radius` of
            before, and `samples`, the numbers of those at both ends.
        lucky: a sample that is no yardstick.
        back: the sample that the next step begins from, where that is not the newest.
        predicted, gain: decrease of chi^2, and the share of it that came; None of the first sample.
        steady: whether the liquid did not change while it was sampled: else everything is within its error.
    """

    accepted: bool
    quiet: bool
    confirmed: bool
    trust_radius: float
    words: str
    taken_back: dict[str, Any] | None = None
    lucky: int | None = None
    back: int | None = None
    predicted: float | None = None
    gain: float | None = None
    steady: bool = True


def judge(memory: Mapping[str, Any], problem: Problem, samples: Sequence[Sample], *, reaches_far: bool) -> Verdict:
    """Compare the newest sample with what the previous step promised, and with the best one so far.

    Args:
        memory: `trust_radius`, `previous` and `best` (see the module; None: there is none yet), `taken_back`,
            `noise_factors` of the problem's targets.
        samples: all.
        reaches_far: whether steps are by a response that is not linear, whose radius is wide.
    """
    previous = memory["previous"]
    if previous is None:
        return Verdict(True, False, False, float(memory["trust_radius"]), "")
    now = misfit(samples[-1], problem.targets)
    change, predicted = now.since(previous["misfit"]), float(previous["decrease"])
    actual = change.decrease or 0.0
    gain = actual / predicted if predicted > 0.0 else math.copysign(float(actual != 0.0), actual)
    verdict = _worse(memory, problem, samples, now) or _gone_on(memory, problem, now, gain, reaches_far=reaches_far)
    return replace(verdict, predicted=predicted, gain=gain)


def as_known_now(memory: Mapping[str, Any], problem: Problem, samples: Sequence[Sample]) -> dict[str, Any]:
    """What is remembered of samples, with their chi^2 as later samples have it: what they show of slow modes
    (`Sample.inefficiency`) holds for the earlier ones, too. Nothing else changes where nothing is known."""
    if not samples[-1].inefficiency:
        return dict(memory)

    def entry_of(entry: Mapping[str, Any]) -> dict[str, Any]:
        known = {**entry, "misfit": misfit(samples[int(entry["sample"])], problem.targets).stored}
        return known | ({"parent": entry_of(entry["parent"])} if entry.get("parent") else {})

    known = dict(memory) | {name: entry_of(memory[name]) for name in ("previous", "best") if memory.get(name)}
    before = memory.get("taken_back")
    if before and "samples" in before:
        origin, sample = (misfit(samples[int(number)], problem.targets) for number in before["samples"])
        change = sample.since(origin.stored)
        known["taken_back"] = {**before, "rise": -(change.decrease or 0.0), "error": change.error or 0.0}
    return known


def _worse(memory: Mapping[str, Any], problem: Problem, samples: Sequence[Sample], now: Misfit) -> Verdict | None:
    """The verdict on a sample that is worse than the one before it, or than the best one; None: it is not."""
    previous, best, verdict = memory["previous"], memory.get("best"), None
    change = now.since(previous["misfit"])
    if change.rose or change.failed(float(previous["decrease"])):
        verdict = _taken_back(memory, problem, samples, previous, now)
        if verdict.lucky is None or best is None or best["sample"] == verdict.lucky:
            return verdict
    # bit by bit, each within its error, or from a lucky sample that was not the best one
    if best is not None and now.since(best["misfit"]).rose_above(len(samples) - 1):
        # as far as it went from there, however short the steps have become elsewhere
        there = {**memory, "taken_back": None, "trust_radius": best["size"]}
        to_best = _taken_back(there, problem, samples, best, now)
        if verdict is None:
            return to_best
        return replace(to_best, lucky=verdict.lucky, words=f"{verdict.words}; {to_best.words}")
    return verdict


def _taken_back(
    memory: Mapping[str, Any],
    problem: Problem,
    samples: Sequence[Sample],
    parent: Mapping[str, Any],
    now: Misfit,
) -> Verdict:
    """Back to the sample of `parent`, above whose chi^2 the newest one is, unless that is no yardstick."""
    change = now.since(parent["misfit"])
    rise, error = -(change.decrease or 0.0), change.error or 0.0
    before, sample, size = memory.get("taken_back"), int(parent["sample"]), float(parent["size"])
    words = f"chi^2 rose by {rise:.0f} ± {error:.0f}"
    if parent is not memory["previous"]:
        words += f" since iteration {sample}"
    elif not change.rose:
        words += f", where it was to fall by {parent['decrease']:.0f}"
    if before is not None and not _explained(problem, samples[sample], samples[-1]):
        if _more_than_the_length_explains(before, rise, error, size):
            words += f" for a shorter step, too: the sample of iteration {sample} was a lucky one"
            return Verdict(True, False, False, before["radius"], words, lucky=sample)
        origin = parent.get("parent")
        capped = change.allowance / RISE
        changes = not _steady(now, change, memory, problem)
        if origin and changes and _more_than_the_length_explains(before, rise, capped, size):
            words += f" for a shorter step, too, in a liquid that changes: that of iteration {sample} is about to"
            words = f"step taken back ({words}; on from iteration {origin['sample']})"
            radius = SHRINK_FACTOR * float(origin["size"])
            return Verdict(False, False, False, radius, words, lucky=sample, back=int(origin["sample"]))
    radius = float(memory["trust_radius"])
    first = radius if before is None else before["radius"]
    numbers = [sample, len(samples) - 1]
    taken_back = {"rise": rise, "error": error, "size": size, "radius": first, "samples": numbers}
    words = f"step taken back ({words})"
    return Verdict(False, False, False, SHRINK_FACTOR * min(radius, size), words, taken_back, back=sample)


def _gone_on(memory: Mapping[str, Any], problem: Problem, now: Misfit, gain: float, *, reaches_far: bool) -> Verdict:
    """The verdict on a sample that the next step begins from: how far that may go, and whether it was foreseen."""
    previous, radius = memory["previous"], float(memory["trust_radius"])
    change, predicted, size = now.since(previous["misfit"]), float(previous["decrease"]), float(previous["size"])
    actual, error = change.decrease or 0.0, change.error or 0.0
    # the radius of a response that reaches far is wide, and its steps seldom end there: it is what they went
    taken = min(radius, size) if reaches_far else radius
    steady = _steady(now, change, memory, problem)
    quiet = steady and abs(actual) <= error
    limited = not reaches_far or size > 0.5 * radius
    if gain > GROW and limited:
        radius *= 2.0
    elif gain < SHRINK and not quiet:
        radius = taken * SHRINK_FACTOR
    elif gain <= GROW and not quiet:
        radius = taken
    tolerance = max(change.allowance, UNCONFIRMED * abs(predicted), _scatter(memory, problem))
    confirmed = _tells(now, memory, problem) and abs(actual - predicted) <= tolerance
    return Verdict(True, quiet, confirmed, radius, "", steady=steady)


def _scatter(memory: Mapping[str, Any], problem: Problem) -> float:
    """What the measurement's noise scatters chi^2 by, at the factors by which errors were found too small."""
    factors = memory["noise_factors"] or [1.0] * len(problem.targets)
    return math.sqrt(sum(2.0 * len(t.y) * f**4 for t, f in zip(problem.targets, factors, strict=True)))


def _tells(now: Misfit, memory: Mapping[str, Any], problem: Problem) -> bool:
    """Whether the chi^2 of a sample is known well enough to confirm anything (`UNTELLING`)."""
    return now.error <= max(UNTELLING * now.chi2, _scatter(memory, problem))


def _steady(now: Misfit, change: Change, memory: Mapping[str, Any], problem: Problem) -> bool:
    """Whether chi^2 is known well enough, or as well as of a sample as good as the one before (`LUCKY`)."""
    return _tells(now, memory, problem) or (change.error or 0.0) <= LUCKY * change.alike


def _more_than_the_length_explains(before: Mapping[str, float], rise: float, error: float, size: float) -> bool:
    """Whether a shorter step raised chi^2 by more than its share (`SHORTER`) of what one before it, taken back, did."""
    if size > SHORTER * before["size"] or size == 0.0:
        return False
    share = size / before["size"]
    return rise - share * before["rise"] > math.hypot(error, share * before["error"])


def _explained(problem: Problem, before: Sample, after: Sample) -> bool:
    """Whether the curves changed from one sample to another as linear response says: the mean of the slopes at both
    ends times the change of the correction, right to second order."""
    missed, changed = 0.0, 0.0
    delta = after.correction.theta - before.correction.theta
    for state, targets in by_state(problem):
        here, there = (
            Extrapolation.build(problem, [sample], state, sample.correction).response(targets)
            for sample in (before, after)
        )
        weights = np.concatenate([target.weight / np.diag(target.covariance) for target in targets])
        change = there.y - here.y
        noise = np.diag(here.noise() + there.noise())
        slopes = 0.25 * (here.slope_variance(delta) + there.slope_variance(delta))
        wrong = change - 0.5 * (here.jacobian + there.jacobian) @ delta
        missed += float(weights @ (wrong**2 - noise - slopes))
        changed += float(weights @ (change**2 - noise))
    return missed <= EXPLAINED**2 * changed


def best_of(best: dict[str, Any] | None, newest: dict[str, Any], *, lucky: int | None = None) -> dict[str, Any]:
    """What is remembered of the best sample so far.

    Args:
        best: of before; None: there was none.
        newest: of the sample that the next step begins from.
        lucky: a sample that was found to be no yardstick.

    >>> first, second = ({"sample": k, "misfit": {"chi2": chi2}} for k, chi2 in enumerate([40.0, 50.0]))
    >>> best_of(first, second)["sample"], best_of(first, second, lucky=0)["sample"]
    (0, 1)
    """
    if best is None or best["sample"] == lucky or newest["sample"] == best["sample"]:
        return newest
    return newest if newest["misfit"]["chi2"] < best["misfit"]["chi2"] else best


def parent_of(memory: Mapping[str, Any], back: int | None) -> dict[str, Any] | None:
    """What is remembered of the sample that the next step's sample came from; None: it is the first, or not known.

    Args:
        memory: of before the newest sample.
        back: the sample that the next step begins from; None: the newest.

    >>> first = {"sample": 0, "size": 0.2, "parent": None}
    >>> parent_of({"previous": first}, None)
    {'sample': 0, 'size': 0.2}
    >>> second = {"sample": 1, "size": 0.1, "parent": {"sample": 0, "size": 0.2}}
    >>> parent_of({"previous": second, "best": first}, 1), parent_of({"previous": second, "best": first}, 0)
    ({'sample': 0, 'size': 0.2}, None)
    """
    previous = memory["previous"]
    if back is not None:
        known = (one for one in (previous, memory.get("best")) if one is not None and one["sample"] == back)
        return next((one.get("parent") for one in known), None)
    return None if previous is None else {name: value for name, value in previous.items() if name != "parent"}
