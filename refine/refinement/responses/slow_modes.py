"""Modes of a liquid that are slower than a sample is long: what samples say of each other's sampling errors.

    g = [C(0) + 2 Σ_t C(t)] / C(0),    C(t) = <(y_f - m)(y_(f+t) - m)>

for one point of a curve. Within one sample m is its own mean, and a mode that hardly moved while it was taken is not
seen: errors come out too small, by factors, and what is sampling looks like a step that failed. Successive samples of
nearly one potential are one long trajectory in pieces. Carried to one correction by linear response, y_f + J d, they
have one m, and C(t) is over the lags that lie within a piece: of a mode that stands still in each of them it does not
fall. `sampling.averages` has the estimator, and replicas of a sample are pieces, too. A mode that is slow but weak
beside what is fast does not show in C(t), whose sum ends too soon; it shows where the means scatter by more than their
errors, and these are multiplied by as much.

Carrying adds a variance of its own: what J d is not sure of, and what is not linear. What it adds on average is taken
off the distance of a mean from the common one, before C(t), and is part of the errors by which means may scatter.

Of molten silica, in samples of 200 frames of 60 fs, single ones state errors that are too small by up to 2.7, as five
of them show together; of argon, a mixture of argon and krypton and three chlorides the two agree within 5 %.

When not to use it: where successive samples are no dynamics under the corrections that they state (`MovingRule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refine.refinement.inference.linearisation import by_state
from refine.refinement.inference.statistics import statistical_inefficiency
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.responses.fluctuation import LINEAR, NONLINEAR, Extrapolation
from refine.refinement.steps import step_size

Array = NDArray[np.float64]

ALIKE = 3.0
"""Samples are of nearly one potential where carrying one to the other's adds no more than this to the sampling variance
that it states, as a mean over all points."""


def with_slow_modes(problem: Problem, samples: Sequence[Sample]) -> list[Sample]:
    """The samples, each with the inefficiency of its points as all of them show it (`Sample.inefficiency`).

    Those of nearly one potential have what they show together; the others that or their own, whichever is larger. Where
    no two are of nearly one potential, or the base model's parameters change from one to the next, nothing is known.

    >>> with_slow_modes(Problem((), (85.0,)), [])
    []
    """
    if len(samples) < 2 or any(sample.parameters is not None for sample in samples):
        return list(samples)
    known: list[list[dict[str, Array]]] = [[{} for _ in problem.temperatures] for _ in samples]
    for state, targets in by_state(problem):
        ends = np.cumsum([len(target.y) for target in targets])[:-1]
        carried = _Carried.of(problem, samples, state, targets)
        if carried is None:
            continue
        for of_sample, g in zip(known, carried.inefficiencies(), strict=True):
            of_sample[state] = dict(zip((target.name for target in targets), np.split(g, ends), strict=True))
    return [replace(sample, inefficiency=tuple(g)) for sample, g in zip(samples, known, strict=True)]


@dataclass(frozen=True)
class _Carried:
    """The samples of nearly one potential, most of them if there are several such; of later ones if there are as many.

    Attributes:
        group: their numbers, at least two.
        curves: (frames, n) of each of them, carried to one correction.
        replicas: (frames,) of each of them.
        added: (group, n) variance of carrying them to the potential of one of them.
        own: (n,) of every sample, in the group or not: inefficiency as its own frames show it.
        per_frame: likewise, variance over frames by the number of frames: variance of the mean, were g one.
    """

    group: list[int]
    curves: list[Array]
    replicas: list[NDArray[np.integer]]
    added: Array
    own: list[Array]
    per_frame: list[Array]

    @classmethod
    def of(cls, problem: Problem, samples: Sequence[Sample], state: int, targets: Sequence[Target]) -> _Carried | None:
        """Of one state; None where no two are of nearly one potential."""
        plain = [replace(sample, inefficiency=()) for sample in samples]
        extrapolation = Extrapolation.build(problem, plain, state, samples[-1].correction)
        response, frames, ways = extrapolation.response(targets), extrapolation.frames, extrapolation.displacements
        curves = [np.hstack([target.values(f) for target in targets]) for f in frames]
        own = [statistical_inefficiency(y, f.replica) for y, f in zip(curves, frames, strict=True)]
        per_frame = [y.var(axis=0) / len(y) for y in curves]

        def added(way: Array) -> Array:
            size = step_size(
                extrapolation.correction,
                way,
                frames[-1],
                extrapolation.kt,
                temperature=problem.temperatures[state],
                reach="centre",
            )
            bent = NONLINEAR * min(1.0, (size / LINEAR) ** 2) * (response.jacobian @ way) ** 2
            return np.asarray(bent + response.slope_variance(way))

        numbers = range(len(samples))
        carrying = [[added(ways[k] - ways[anchor]) for k in numbers] for anchor in numbers]
        # a point that no pair contributes to says nothing
        stated = [np.where(v > 0.0, g * v, np.inf) for g, v in zip(own, per_frame, strict=True)]
        shares = [[np.mean(one / stated[a]) for one in carrying[a]] for a in numbers]
        groups = [[k for k in numbers if shares[a][k] <= ALIKE] for a in numbers]
        anchor = max(reversed(numbers), key=lambda a: len(groups[a]))
        group = groups[anchor]
        if len(group) < 2:
            return None
        return cls(
            group,
            [curves[k] + response.jacobian @ ways[k] for k in group],
            [frames[k].replica for k in group],
            np.array([carrying[anchor][k] for k in group]),
            own,
            per_frame,
        )

    def inefficiencies(self) -> list[Array]:
        """Of every sample, (n,)."""
        stated = np.array([self.own[k] * self.per_frame[k] for k in self.group])
        offsets, weights = self._apart(stated)
        offsets *= np.sqrt(stated * weights)  # without what carrying added
        centred = [y - y.mean(axis=0) + offset for y, offset in zip(self.curves, offsets, strict=True)]
        ids = 1 + max(int(replica.max()) for replica in self.replicas)
        pieces = [replica + ids * place for place, replica in enumerate(self.replicas)]
        together = np.concatenate(centred)
        g = statistical_inefficiency(together, np.concatenate(pieces))
        # C(0) of a sample alone lacks what its own mean has of the mode
        variances = np.array([g * together.var(axis=0) / len(y) for y in self.curves])
        offsets, weights = self._apart(variances)
        scatter = float(np.mean((weights * offsets**2).sum(axis=0))) / (len(self.group) - 1)
        factor = max(1.0, scatter)
        found = [np.maximum(own, factor * g) for own in self.own]
        for k, variance in zip(self.group, variances, strict=True):
            one = self.per_frame[k]
            found[k] = np.maximum(1.0, factor * variance / np.where(one > 0.0, one, np.inf))
        return found

    def _apart(self, variances: Array) -> tuple[Array, Array]:
        """How far the means lie from their common one, (group, n), and the inverse variance of each of them."""
        means = np.array([y.mean(axis=0) for y in self.curves])
        weights = 1.0 / np.maximum(variances + self.added, np.finfo(np.float64).tiny)
        return means - (weights * means).sum(axis=0) / weights.sum(axis=0), weights
