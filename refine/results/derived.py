"""What follows from the posterior of the correction: errors of curves, partial g(r) and coordination numbers.

Every such quantity q is linear in the mean pair counts <h>, and d<h>/d theta = -beta Cov(h, N) from the stored
frames, so

    Var(q) = (dq/d theta) C (dq/d theta)' + sampling variance of <q>

C the posterior covariance of theta: reweighting to first order, without another simulation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from refine.errors import SimulationError
from refine.refinement.problem import Problem, Sample
from refine.refinement.responses.pool import pool
from refine.sampling.averages import standard_error
from refine.sampling.frames import Frames

Array = NDArray[np.float64]

SMOOTHING, SMOOTH = (0.1, 0.15, 0.2, 0.3, 0.4), 0.05
"""Å over which g(r) may be averaged before its first minimum is looked for; and the standard error that it may keep."""

BLOCKS, RESAMPLES = 20, 100
"""Blocks of frames, and samples made of them, for the error of a radius."""


@dataclass(frozen=True)
class Propagation:
    """One state at one correction.

    Attributes:
        frames: sampled with it.
        response: d<h>/d theta, (pairs * bins, len(theta)), 1/eV.
        covariance: of theta, eV^2; None where the rule knows none: then errors are those of sampling alone.
        bonded: the part of the response of counts that the correction does not act on; None: it acts on all.
    """

    frames: Frames
    response: Array
    covariance: Array | None
    bonded: Array | None = None

    @classmethod
    def build(
        cls, problem: Problem, samples: Sequence[Sample], number: int, state: int, covariance: Array | None
    ) -> Propagation:
        """At the correction of sample `number`; frames of the others enter its response by MBAR weights."""
        sample = samples[number]
        # frames under other parameters of the base cannot be reweighted by the correction alone
        alike = [other for other in samples if other is not sample and other.parameters is None]
        ordered = [*(alike if sample.parameters is None else []), sample]
        try:
            pooled = pool(problem, ordered, state, sample.correction)
        except SimulationError:  # samples that do not overlap: the one at the correction can speak for itself
            pooled = pool(problem, [sample], state, sample.correction)
        deviations = pooled.coefficient_counts - pooled.weights @ pooled.coefficient_counts
        # weights times deviations add up to zero, so the mean of the counts drops out
        weighted = -pooled.weights[:, None] * deviations / pooled.kt

        def response(counts: Sequence[NDArray[Any]]) -> Array:
            stacked = np.concatenate([one.reshape(len(one), -1) for one in counts])
            return np.asarray(stacked.T.astype(float) @ weighted)

        bonded = [f.bonded for f in pooled.frames if f.bonded is not None]
        of_all = response([f.counts for f in pooled.frames])
        return cls(sample.frames[state], of_all, covariance, response(bonded) if bonded else None)

    def errors(self, matrix: Array, *, felt: bool = False) -> tuple[Array, Array]:
        """Standard errors (n,) of matrix @ <h>, matrix (n, pairs * bins): from the posterior, and from sampling.

        felt: of the counts that the correction acts on.
        """
        counts = self.frames.felt.counts if felt else self.frames.counts
        values = counts.reshape(len(self.frames), -1).astype(float) @ matrix.T
        response = self.felt_response if felt else self.response
        return self._errors(values, None if self.covariance is None else matrix @ response)

    @property
    def felt_response(self) -> Array:
        """The response of the counts that the correction acts on."""
        return self.response if self.bonded is None else self.response - self.bonded

    def errors_of_counts(self) -> tuple[Array, Array]:
        """The same of <h> itself, (pairs * bins,)."""
        values = self.frames.counts.reshape(len(self.frames), -1).astype(float)
        return self._errors(values, None if self.covariance is None else self.response)

    def _errors(self, values: Array, slope: Array | None) -> tuple[Array, Array]:
        """values (frames, n), slope (n, len(theta)); one frame has no sampling error to tell: NaN."""
        if len(values) == 1:
            return np.zeros(values.shape[1]), np.full(values.shape[1], np.nan)
        sampling = standard_error(values, self.frames.replica)
        if slope is None or self.covariance is None:
            return np.zeros(values.shape[1]), sampling
        return np.sqrt(np.einsum("nk,kl,nl->n", slope, self.covariance, slope, optimize=True)), sampling


@dataclass(frozen=True)
class Coordination:
    """Mean number of atoms of species `other` around one of species `centre`, closer than `radius` (Å).

    radius_stderr: Å, of a radius that is a minimum of g(r); its share in the number's error is in sampling_stderr.
    """

    centre: str
    other: str
    radius: float
    number: float
    posterior_stderr: float
    sampling_stderr: float
    radius_stderr: float


def coordination_numbers(
    species: Sequence[str], pairs: Sequence[tuple[str, str]], propagation: Propagation, shells: Shells
) -> list[Coordination]:
    """n_ij = Σ_{r < radius} h_ij (1 + delta_ij) / N_i for both orders of every pair that has a radius.

    Neighbours are those that the correction acts on: not atoms that bonds join to the one at the centre. The sampling
    error is that of the counts and, where the radius was looked for, that of the radius: dn/dr there.
    """
    frames = propagation.frames
    n_pairs, bins = frames.counts.shape[1:]
    mean = frames.felt.counts.mean(axis=0, dtype=np.float64)
    width = frames.edges[1] - frames.edges[0]
    found = []
    for p, (a, b) in enumerate(pairs):
        radius = float(shells.radii[p])
        if not np.isfinite(radius):
            continue
        row = np.zeros((n_pairs, bins))
        row[p] = np.clip((radius - frames.edges[:-1]) / width, 0.0, 1.0)  # a bin that the radius cuts counts in part
        posterior, sampling = (float(e[0]) for e in propagation.errors(row.reshape(1, -1), felt=True))
        value = float(np.sum(row[p] * mean[p]))
        last = min(int(radius / width), bins - 1)
        around = slice(max(0, last - 2), last + 3)
        flat = float(mean[p, around].mean() / width) * float(shells.errors[p])
        for centre, other in dict.fromkeys([(a, b), (b, a)]):
            per_atom = (2.0 if a == b else 1.0) / frames.n_per_species[species.index(centre)]
            found.append(
                Coordination(
                    centre,
                    other,
                    radius,
                    value * per_atom,
                    posterior * per_atom,
                    math.hypot(sampling, flat) * per_atom,
                    float(shells.errors[p]),
                )
            )
    return found


@dataclass(frozen=True)
class Shells:
    """Where neighbours of the first shell end, by pair.

    Attributes:
        radii: (pairs,) Å; NaN: a pair without.
        errors: (pairs,) Å, standard errors of radii that were looked for; zero for given ones.
    """

    radii: Array
    errors: Array


def shells_of(frames: Frames, pairs: Sequence[tuple[str, str]], given: Mapping[str, float]) -> Shells:
    """The given radii ({"Si-O": 2.2}, in either order), and first minima of g(r) for the other pairs.

    They are of pairs of the system, and within the range of g(r), see `refine.study.systems.check_radii`.
    """
    shells = first_minima(frames)
    names = [sorted(pair) for pair in pairs]
    for name, radius in given.items():
        p = names.index(sorted(name.split("-")))
        shells.radii[p], shells.errors[p] = radius, 0.0
    return shells


def first_minima(frames: Frames) -> Shells:
    """The first minimum of each g(r), between molecules, after its first peak; NaN where there is none within the box.

    g is averaged over the narrowest of `SMOOTHING` that leaves it a standard error below `SMOOTH`. The first peak is
    its first maximum above 1; the minimum is the lowest point before it next rises above 1, both beyond one standard
    error, and the peak must stand out from it by a tenth and by three of them.
    """
    frames = frames.felt
    r, g = frames.centres, frames.pair_distribution()
    step = float(r[1] - r[0])
    radii, errors = np.full(len(g), np.nan), np.zeros(len(g))
    ideal = frames.ideal_counts()
    for p in range(len(g)):
        single = np.divide(frames.counts[:, p], ideal[p], out=np.zeros_like(frames.counts[:, p]), where=ideal[p] > 0.0)
        for smoothing in SMOOTHING:
            width = max(1, round(smoothing / step))
            series = uniform_filter1d(single.astype(float), width, axis=1, mode="nearest")
            smooth = series.mean(axis=0)
            noise = standard_error(series, frames.replica) if len(series) > 1 else np.zeros(len(smooth))
            above = np.flatnonzero(smooth > 1.0 + noise)
            if not len(above) or float(np.median(noise[above[0] : above[0] + max(1, round(2.0 / step))])) < SMOOTH:
                break
        found = _minimum(smooth, noise, width)
        if found is None:
            continue
        radii[p] = float(frames.edges[found + 1])
        errors[p] = _radius_error(series, noise, width, step)
    return Shells(radii, errors)


def _minimum(smooth: Array, noise: Array, width: int) -> int | None:
    """Index of the first minimum of g averaged over `width` points; None where there is none."""
    above = np.flatnonzero(smooth > 1.0 + noise)
    if not len(above):
        return None
    below = np.flatnonzero(smooth[above[0] :] < 1.0 - noise[above[0] :])
    if not len(below):
        return None
    start = int(above[0] + below[0])
    again = np.flatnonzero(smooth[start:-width] > 1.0 + noise[start:-width])
    if not len(again) or not again[0]:
        return None
    lowest = start + int(np.argmin(smooth[start : start + again[0]]))
    peak = above[0] + int(np.argmax(smooth[above[0] : start]))
    if smooth[peak] <= smooth[lowest] + 0.1 + 3.0 * math.hypot(noise[peak], noise[lowest]):
        return None
    return lowest


def _radius_error(series: Array, noise: Array, width: int, step: float) -> float:
    """Standard error in Å of the place of the first minimum, by a bootstrap over blocks of successive frames.

    Where the minimum is flat, resampled ones lie all over it. Source: B. Efron, The Jackknife, the Bootstrap and Other
    Resampling Plans (SIAM, 1982); always with the same random numbers.
    """
    blocks = np.array([block.mean(axis=0) for block in np.array_split(series, min(BLOCKS, len(series)))])
    rng, places = np.random.default_rng(0), []
    for _ in range(RESAMPLES if len(blocks) > 1 else 0):
        found = _minimum(blocks[rng.integers(len(blocks), size=len(blocks))].mean(axis=0), noise, width)
        if found is not None:
            places.append(found)
    return float(np.std(places)) * step if places else 0.0
