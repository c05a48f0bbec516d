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
off the distances of the means, and is part of the errors by which they may scatter. A sample that lies apart from all
others (`LONER`) may be of a liquid that froze or came apart: it does not count for all of its distance, so that it can
still be found out.

Of molten silica, in samples of 200 frames of 60 fs, single ones state errors that are too small by up to 2.7, as five
of them show together; of argon, a mixture of argon and krypton and three chlorides the two agree within 8 %. From two
samples the variance is known to a factor of three at best.

When not to use it: where successive samples are no dynamics under the corrections that they state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refine.refinement.inference.linearisation import by_state
from refine.refinement.inference.statistics import statistical_inefficiency
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.responses.fluctuation import LINEAR, NONLINEAR, Extrapolation
from refine.refinement.steps import step_size
from refine.sampling.frames import Frames

Array = NDArray[np.float64]

RECENT = 10
"""Samples that are compared, the newest: the time it takes grows with the square of their number."""

ALIKE = 3.0
"""Samples are of nearly one potential where carrying one to the other's adds no more than this to the sampling variance
that it states, as a mean over all points."""

LONER = 3.0
"""Distance of a sample from the one in the middle, in root mean squares of what is usual, beyond which it counts as at
that distance. What is usual is the lower median over the samples, and at least what they state."""

ROUNDING = 1e-10
"""Relative difference of float64 sums over frames that is none."""

ROUNDS = 3
"""How often what carrying added is taken off, by errors that were found with it."""


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
        for of_sample, g in zip(known, _inefficiencies(problem, samples, state, targets), strict=True):
            if g is not None:
                of_sample[state] = dict(zip((target.name for target in targets), np.split(g, ends), strict=True))
    return [replace(sample, inefficiency=tuple(g) if any(g) else ()) for sample, g in zip(samples, known, strict=True)]


def _inefficiencies(
    problem: Problem, samples: Sequence[Sample], state: int, targets: Sequence[Target]
) -> list[Array] | list[None]:
    """Of each sample of a state, (n,), targets one after the other; None where no two are of nearly one potential."""
    frames = [sample.frames[state] for sample in samples]
    curves = [np.hstack([target.values(f) for target in targets]) for f in frames]
    own = [statistical_inefficiency(y, f.replica) for y, f in zip(curves, frames, strict=True)]
    per_frame = [y.var(axis=0) / len(y) for y in curves]  # variance of the mean, were g one
    # what is constant in some sample, but for rounding, knows no errors: a coordination number of a perfect network
    varies = np.all([_varies(y) for y in curves], axis=0)
    nothing: list[None] = [None] * len(samples)
    if not varies.any():
        return nothing
    first = max(0, len(samples) - RECENT)
    plain = [replace(sample, inefficiency=()) for sample in samples[first:]]
    extrapolation = Extrapolation.build(problem, plain, state, samples[-1].correction)
    response, ways = extrapolation.response(targets), extrapolation.displacements

    def added(way: Array) -> Array:
        """Variance of carrying a sample as far as that, (varying points,)."""
        correction, temperature = extrapolation.correction, problem.temperatures[state]
        size = step_size(correction, way, frames[-1], extrapolation.kt, temperature=temperature, reach="centre")
        bent = NONLINEAR * min(1.0, (size / LINEAR) ** 2) * (response.jacobian @ way) ** 2
        return np.asarray((bent + response.slope_variance(way))[varies])

    numbers = range(len(plain))
    between = {(j, k): added(ways[j] - ways[k]) for j in numbers for k in numbers if j < k}
    carrying = [[between.get((min(j, k), max(j, k)), np.zeros(varies.sum())) for k in numbers] for j in numbers]
    stated = [(own[first + k] * per_frame[first + k])[varies] for k in numbers]
    groups = [[k for k in numbers if np.mean(carrying[a][k] / stated[a]) <= ALIKE] for a in numbers]
    anchor = max(reversed(numbers), key=lambda a: len(groups[a]))
    group = groups[anchor]
    if len(group) < 2:
        return nothing
    g, variances = _together(
        [(curves[first + k] + response.jacobian @ ways[k])[:, varies] for k in group],
        [frames[first + k] for k in group],
        np.array([stated[k] for k in group]),
        np.array([carrying[anchor][k] for k in group]),
    )
    found = [one.copy() for one in own]
    for one in found:
        one[varies] = np.maximum(one[varies], g)
    for k, variance in zip(group, variances, strict=True):
        found[first + k][varies] = np.maximum(1.0, variance / per_frame[first + k][varies])
    return found


def _together(curves: Sequence[Array], frames: Sequence[Frames], stated: Array, added: Array) -> tuple[Array, Array]:
    """Inefficiency (n,) of samples that were carried to one correction, and the variance (samples, n) of their means.

    Args:
        curves: (frames, n) of each.
        frames: whose replicas they are.
        stated: (samples, n) variance of the means as each sample shows it by itself.
        added: (samples, n) variance that carrying has added.
    """
    means = _without_loners(np.array([y.mean(axis=0) for y in curves]), stated + added)
    ids = 1 + max(int(f.replica.max()) for f in frames)
    pieces = np.concatenate([f.replica + ids * place for place, f in enumerate(frames)])
    variances = stated
    for _ in range(ROUNDS):
        offsets = (means - _common(means, variances + added)) * np.sqrt(variances / (variances + added))
        centred = np.concatenate([y - y.mean(axis=0) + o for y, o in zip(curves, offsets, strict=True)])
        g = statistical_inefficiency(centred, pieces)
        # C(0) of a sample alone lacks what its own mean has of the mode
        variances = np.array([g * centred.var(axis=0) / len(y) for y in curves])
        scattered = (means - _common(means, variances + added)) ** 2 / (variances + added)
        factor = max(1.0, float(scattered.sum(axis=0).mean()) / (len(curves) - 1))
        variances *= factor
    return factor * g, variances


def _common(means: Array, variances: Array) -> Array:
    """Mean of (samples, n), each with its variance: (n,)."""
    return np.asarray((means / variances).sum(axis=0) / (1.0 / variances).sum(axis=0))


def _without_loners(means: Array, variances: Array) -> Array:
    """The means (samples, n), those that lie far from the one in the middle brought nearer to it (`LONER`)."""
    apart = np.array(
        [
            [np.sqrt(np.mean((one - other) ** 2 / (v + w))) for other, w in zip(means, variances, strict=True)]
            for one, v in zip(means, variances, strict=True)
        ]
    )
    middle = int(np.argmin(apart.sum(axis=1)))
    distances = apart[middle]
    usual = max(1.0, float(np.sort(distances)[(len(distances) - 1) // 2]))
    nearer = np.minimum(1.0, LONER * usual / np.maximum(distances, usual))
    return np.asarray(means[middle] + nearer[:, None] * (means - means[middle]))


def _varies(values: Array) -> NDArray[np.bool_]:
    """Which points of (frames, n) are not constant but for rounding."""
    return np.asarray(np.ptp(values, axis=0) > ROUNDING * np.abs(values).max(axis=0))
