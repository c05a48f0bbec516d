"""What becomes of a sample once a rule has judged it: its row, whether the run ends, and which sample is the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from refine.refinement.convergence import CONVERGED, REPLAYED, misfit
from refine.refinement.problem import Sample, Target, Update
from refine.results.judged import JudgedSample
from refine.results.schema import Status
from refine.tasks.run.onwards import go_on
from refine.tasks.run.record import Answer, Ending, Record, Statement


def judged_sample(
    samples: Sequence[Sample], targets: Sequence[Target], record: Record, update: Update, seconds: float
) -> JudgedSample:
    """The newest sample as a rule's update judged it, its chi^2, and how that differs from that of the sample whose
    potential was changed for it.

    Args:
        samples: all, the base model's first.
        targets: that chi^2 is of.
        record: of the run, before the update.
        seconds: that the update took.
    """
    newest = misfit(samples[-1], targets)
    since = newest.since(None if record.parent is None else misfit(samples[record.parent], targets).stored)
    return JudgedSample(
        iteration=len(samples) - 1,
        accepted=update.accepted,
        reason="; ".join(filter(None, (*record.withdrawn, update.reason))),
        frames=sum(len(frames) for frames in samples[-1].frames),
        fitted=update.fitted,
        chi2=newest.chi2,
        chi2_stderr=newest.error,
        decrease=since.decrease,
        decrease_stderr=since.error,
        seconds_sampling=record.seconds_sampling,
        seconds_solving=seconds,
    )


def as_known_now(
    rows: Sequence[JudgedSample], samples: Sequence[Sample], targets: Sequence[Target]
) -> list[JudgedSample]:
    """Rows of samples with chi^2 and its error as later samples show them (`Sample.inefficiency`).

    One that seemed low beyond its error would else be the answer for it. What is said of the step that led to each
    stays that of its day.
    """
    known = []
    for row in rows:
        sample = samples[row.iteration]
        if sample.inefficiency:
            now = misfit(sample, targets)
            row = replace(row, chi2=now.chi2, chi2_stderr=now.error)
        known.append(row)
    return known


def ending_of(update: Update, updates: int, iterations: int, elsewhere: bool = False) -> Ending | None:
    """How the rule ends the run, after so many updates of at most `iterations`; None where it goes on.

    elsewhere: whether others make the frames, for the command that goes on.
    """
    if update.converged:
        return _converged(update, updates)
    if updates >= iterations:
        message = (
            f"stopped at the limit of {updates} updates; go on with more of them, as in {_more(iterations, elsewhere)}"
        )
        return Ending(Status.EXHAUSTED, message)
    return None


def _more(iterations: int, elsewhere: bool) -> str:
    """The command that goes on with twice as many updates."""
    return go_on(elsewhere, [f"refinement.iterations={2 * iterations}"])


def answer_before(
    samples: Sequence[JudgedSample],
    best: Mapping[int, Statement],
    why: str,
    *,
    points: int,
    iterations: int,
    elsewhere: bool = False,
) -> Answer | None:
    """The answer of a run whose next sample cannot be taken: the accepted one with the lowest loss (`answer_of`).

    None where that is the base model's, of which nothing was learnt.

    Args:
        samples: all, the base model's first.
        best: what is stated of the potentials of the best samples, by their number.
        why: it cannot be taken.
        points: that are fitted, all curves together.
        iterations: updates at most, as the study has them.
        elsewhere: whether others make the frames, for the command that goes on.
    """
    accepted = [(one.loss(points).chi2, one.iteration) for one in samples if one.accepted]
    final = min(accepted)[1] if accepted else 0
    if final == 0:
        return None
    message = (
        f"what was to be sampled next could not be, nor could shorter steps ({why}): iteration {final}, the best "
        f"sample, is the answer; try still shorter ones, as in {_more(iterations, elsewhere)}"
    )
    return Answer(final, Ending(Status.UNSAMPLED, message), best.get(final))


def made_worse(samples: Sequence[Sample], targets: Sequence[Target], number: int) -> list[str]:
    """Names of what a sample describes worse than the base model's does, chi^2 of each by itself, beyond sampling
    error."""
    return [
        target.name
        for target in targets
        if misfit(samples[number], [target]).since(misfit(samples[0], [target]).stored).rose
    ]


def _converged(update: Update, updates: int) -> Ending:
    # the status says that it has converged
    reason = "; ".join(part for part in update.reason.split("; ") if part != CONVERGED)
    return Ending(Status.CONVERGED, f"stopped after {updates} updates" + (f": {reason}" if reason else ""))


def answer_of(
    iterations: Sequence[JudgedSample],
    update: Update,
    ending: Ending,
    newest: Statement | None = None,
    best: Mapping[int, Statement] = MappingProxyType({}),
    worse: Callable[[int], Sequence[str]] = lambda number: (),
    *,
    points: int,
) -> Answer:
    """The sample that is the answer, and why the run ended.

    That is the newest one, unless it was taken back, the loss of another accepted one is lower beyond sampling error,
    or its own is above that of the base model: then the one with the lowest. The loss is chi^2, and where frames are
    replayed their errors with it, as in the rule: by chi^2 alone the answer would be the model that forgot most. Nor is
    it the newest where that has made some curve worse to make others better, and the one with the lowest loss has not:
    between the two sampling error does not decide, and no user wants to lose a curve. A run whose last sample rose or
    was taken back has not converged; one that reached its limit has, if its last sample says so.

    Args:
        iterations: all samples, the base model's first.
        update: what the rule says of the last one.
        ending: as the update before it had decided.
        newest, best: what is stated of the newest sample's potential, and of those before it by their number.
        worse: names of what a sample describes worse than the base model's does (`made_worse`).
        points: that are fitted, all curves together.
    """
    losses = [sample.loss(points) for sample in iterations]
    last = len(losses) - 1
    lowest = int(
        np.argmin([loss.chi2 if one.accepted else np.inf for one, loss in zip(iterations, losses, strict=True)])
    )
    rose = not update.accepted or losses[last].since(losses[lowest].stored).rose
    useless = iterations[0].accepted and losses[last].chi2 > losses[0].chi2
    lost = worse(last) if lowest not in (0, last) and not worse(lowest) else ()
    final = lowest if rose or useless or lost else last
    if update.converged and ending.status is Status.EXHAUSTED:
        ending = _converged(update, last)
    replays = "replay" in iterations[last].fitted.numbers
    counted = REPLAYED if replays else ""
    if final == 0:
        change = losses[last].since(losses[0].stored)
        described = "data and replayed frames" if replays else "the data"
        message = f"no correction describes {described} better than the base model, which is the answer"
        if iterations[last].accepted and not change.rose:
            message += f" ({change}{counted}, which may be sampling: more frames would tell)"
        message = f"{message}; {ending.message}"
        return Answer(0, Ending(Status.NOT_IMPROVED, message), None)
    if final != last:
        what = "the last sample is worse than" if rose or useless else f"the last sample lost {', '.join(lost)} to"
        message = f"{ending.message}; {what} iteration {final}{counted}, which is the answer"
        ending = replace(ending, message=message)
        if rose and ending.status is Status.CONVERGED:
            message += ": not converged after all"
            ending = replace(ending, status=Status.EXHAUSTED, message=message)
    return Answer(final, ending, newest if final == last else best.get(final))
