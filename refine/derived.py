"""What follows from the posterior of the correction: errors of curves, partial g(r) and coordination numbers.

Every such quantity q is linear in the mean pair counts <h>, and d<h>/d theta = -beta Cov(h, N) from the stored
frames, so

    Var(q) = (dq/d theta) C (dq/d theta)' + sampling variance of <q>

C the posterior covariance of theta: reweighting to first order, without another simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.refinement.problem import Problem, Sample
from refine.refinement.statistics import pool
from refine.sampling.averages import standard_error
from refine.sampling.frames import Frames

Array = NDArray[np.float64]

SMOOTHING = 0.1
"""Å over which g(r) is averaged before its first minimum is looked for."""


@dataclass(frozen=True)
class Propagation:
    """One state at one correction.

    Attributes:
        frames: sampled with it.
        response: d<h>/d theta, (pairs * bins, len(theta)), 1/eV.
        covariance: of theta, eV^2; None where the rule knows none: then errors are those of sampling alone.
    """

    frames: Frames
    response: Array
    covariance: Array | None

    @classmethod
    def build(
        cls, problem: Problem, samples: Sequence[Sample], number: int, state: int, covariance: Array | None
    ) -> Propagation:
        """At the correction of sample `number`; frames of the others enter its response by MBAR weights."""
        sample = samples[number]
        # frames under other parameters of the base cannot be reweighted by the correction alone
        alike = [other for other in samples if other is not sample and other.parameters is None]
        ordered = [*(alike if sample.parameters is None else []), sample]
        pooled = pool(problem, ordered, state, sample.correction)
        counts = np.concatenate([f.counts.reshape(len(f), -1) for f in pooled.counts])
        deviations = pooled.coefficient_counts - pooled.weights @ pooled.coefficient_counts
        # weights times deviations add up to zero, so the mean of the counts drops out
        response = -(counts.T.astype(float) @ (pooled.weights[:, None] * deviations)) / pooled.kt
        return cls(sample.frames[state], response, covariance)

    def errors(self, matrix: Array) -> tuple[Array, Array]:
        """Standard errors (n,) of matrix @ <h>, matrix (n, pairs * bins): from the posterior, and from sampling."""
        values = self.frames.counts.reshape(len(self.frames), -1).astype(float) @ matrix.T
        return self._errors(values, None if self.covariance is None else matrix @ self.response)

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
    """Mean number of atoms of species `other` around one of species `centre`, closer than `radius` (Å)."""

    centre: str
    other: str
    radius: float
    number: float
    posterior_stderr: float
    sampling_stderr: float


def coordination_numbers(
    species: Sequence[str], pairs: Sequence[tuple[str, str]], propagation: Propagation, radii: Array
) -> list[Coordination]:
    """n_ij = Σ_{r < radius} h_ij (1 + delta_ij) / N_i for both orders of every pair; radii: (pairs,) Å, NaN: none."""
    frames = propagation.frames
    n_pairs, bins = frames.counts.shape[1:]
    mean = frames.counts.mean(axis=0, dtype=np.float64).ravel()
    found = []
    for p, (a, b) in enumerate(pairs):
        if not np.isfinite(radii[p]):
            continue
        row = np.zeros((n_pairs, bins))
        row[p] = frames.edges[1:] <= radii[p] + 1e-9
        posterior, sampling = (float(e[0]) for e in propagation.errors(row.reshape(1, -1)))
        value = float(row.ravel() @ mean)
        for centre, other in dict.fromkeys([(a, b), (b, a)]):
            per_atom = (2.0 if a == b else 1.0) / frames.n_per_species[species.index(centre)]
            found.append(
                Coordination(
                    centre, other, float(radii[p]), value * per_atom, posterior * per_atom, sampling * per_atom
                )
            )
    return found


def first_minima(frames: Frames) -> Array:
    """(pairs,) Å: the first minimum of each g(r) after its first peak; NaN where there is none within the box.

    The first peak is the first maximum above 1 of g averaged over `SMOOTHING`; the minimum is the lowest point before g
    next rises above 1 again, and the peak must stand out from it by a tenth.
    """
    r = frames.centres
    width = max(1, round(SMOOTHING / (r[1] - r[0])))
    found = []
    for g in frames.pair_distribution():
        smooth = np.convolve(g, np.ones(width) / width, mode="same")
        above = np.flatnonzero(smooth > 1.0)
        radius = np.nan
        if len(above):
            below = np.flatnonzero(smooth[above[0] :] < 1.0)
            if len(below):
                start = above[0] + below[0]
                again = np.flatnonzero(smooth[start:-width] > 1.0)
                stop = start + again[0] if len(again) else len(r) - width
                if stop > start:
                    lowest = start + int(np.argmin(smooth[start:stop]))
                    if len(again) and smooth[above[0] : start].max() > smooth[lowest] + 0.1:
                        radius = float(frames.edges[lowest + 1])
        found.append(radius)
    return np.array(found)
