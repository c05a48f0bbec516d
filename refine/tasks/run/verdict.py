"""Which sample is the answer of a run, and how it ended, once the last one is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from refine.refinement.convergence import CONVERGED, REPLAYED
from refine.refinement.problem import Update
from refine.results.judged import JudgedSample
from refine.results.schema import Status
from refine.tasks.run.onwards import go_on
from refine.tasks.run.record import Answer, Ending, Statement


def ending_of(update: Update, updates: int, iterations: int, elsewhere: bool = False) -> Ending | None:
    """How the rule ends the run, after so many updates of at most `iterations`; None where it goes on.

    elsewhere: whether others make the frames, for the command that goes on.
    """
    if update.converged:
        return _converged(update, updates)
    if updates >= iterations:
        more = go_on(elsewhere, [f"refinement.iterations={2 * iterations}"])
        message = f"stopped at the limit of {updates} updates; go on with more of them, as in {more}"
        return Ending(Status.EXHAUSTED, message)
    return None


def _converged(update: Update, updates: int) -> Ending:
    # the status says that it has converged
    reason = "; ".join(part for part in update.reason.split("; ") if part != CONVERGED)
    return Ending(Status.CONVERGED, f"stopped after {updates} updates" + (f": {reason}" if reason else ""))


def answer_of(
    iterations: Sequence[JudgedSample],
    update: Update,
    ending: Ending,
    newest: Statement | None = None,
    best: Statement | None = None,
    *,
    points: int,
) -> Answer:
    """The sample that is the answer, and why the run ended.

    That is the newest one, unless it was taken back, the loss of another accepted one is lower beyond sampling error,
    or its own is above that of the base model: then the one with the lowest. The loss is chi^2, and where frames are
    replayed their errors with it, as in the rule: by chi^2 alone the answer would be the model that forgot most. A run
    whose last sample rose or was taken back has not converged; one that reached its limit has, if its last sample says
    so.

    Args:
        iterations: all samples, the base model's first.
        update: what the rule says of the last one.
        ending: as the update before it had decided.
        newest, best: what is stated of the newest sample's potential, and of that with the lowest chi^2 before it.
        points: that are fitted, all curves together.
    """
    losses = [sample.loss(points) for sample in iterations]
    last = len(losses) - 1
    lowest = int(
        np.argmin([loss.chi2 if one.accepted else np.inf for one, loss in zip(iterations, losses, strict=True)])
    )
    rose = not update.accepted or losses[last].since(losses[lowest].stored).rose
    worse = iterations[0].accepted and losses[last].chi2 > losses[0].chi2
    final = lowest if rose or worse else last
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
        message = f"{ending.message}; the last sample is worse than iteration {final}{counted}, which is the answer"
        ending = replace(ending, message=message)
        if rose and ending.status is Status.CONVERGED:
            message += ": not converged after all"
            ending = replace(ending, status=Status.EXHAUSTED, message=message)
    return Answer(final, ending, newest if final == last else best)
