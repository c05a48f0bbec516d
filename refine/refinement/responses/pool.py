"""Frames of several samples of one state, reweighted to one correction: exact, where enough of them count.

Weights are those of MBAR (`inference.reweighting`), the response is the fluctuation formula (`responses.fluctuation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.reweighting import effective_sample_size, mbar_weights
from refine.refinement.inference.statistics import coefficient_counts, statistical_inefficiency
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.responses.fluctuation import Fluctuation, explicit_slopes
from refine.sampling.frames import Frames

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """All frames of one state, weighted for one correction.

    Attributes:
        correction: the one.
        frames: of each sample, the newest last.
        displacements: from the correction of each sample to the one, (samples, len(theta)), eV.
        coefficient_counts: N, (all frames, len(theta)).
        weights: (all frames,), their sum is one.
        kt: eV.
    """

    correction: PairCorrection
    frames: tuple[Frames, ...]
    displacements: Array
    coefficient_counts: Array
    weights: Array
    kt: float

    @property
    def effective_sample_size(self) -> float:
        """Kish's number of equally weighted frames."""
        return effective_sample_size(self.weights)

    def response(self, targets: Sequence[Target]) -> Fluctuation:
        """Prediction and Jacobian of targets of this state, one after the other in one vector."""
        y = np.concatenate([np.hstack([t.values(f) for t in targets]) for f in self.frames])
        explicit = explicit_slopes(self.frames, targets, self.correction)
        moved = np.repeat(self.displacements, [len(f) for f in self.frames], axis=0)
        for point, of_frames in explicit.items():
            y[:, point] += np.sum(of_frames * moved, axis=1)
        mean = self.weights @ y
        dy, dn = y - mean, self.coefficient_counts - self.weights @ self.coefficient_counts
        beta = 1.0 / self.kt
        jacobian = -beta * (dy * self.weights[:, None]).T @ dn
        for point, of_frames in explicit.items():
            jacobian[point] += self.weights @ of_frames
        # The newest ensemble's correlation time stands for all: earlier frames only enter where they resemble it.
        newest = self.frames[-1]
        inefficiency = statistical_inefficiency(y[-len(newest.counts) :], newest.replica)
        return Fluctuation(mean, jacobian, beta, self.weights, dy, dn, inefficiency, explicit=explicit)


def pool(problem: Problem, samples: Sequence[Sample], state: int, correction: PairCorrection) -> Pool:
    """All sampled frames of a state, weighted for a correction by MBAR.

    `samples[-1]` is the ensemble whose correlation time counts. N is taken with the present core for every ensemble;
    cores only differ where next to nothing is sampled.
    """
    frames = tuple(sample.frames[state] for sample in samples)
    numbers = coefficient_counts(frames, correction, problem.temperatures[state])
    kt = problem.kt(state)
    reduced = np.array([numbers @ sample.correction.theta for sample in samples]) / kt
    sizes = np.array([len(f.counts) for f in frames])
    weights = mbar_weights(reduced, sizes, numbers @ correction.theta / kt)
    displacements = np.array([correction.theta - sample.correction.theta for sample in samples])
    return Pool(correction, frames, displacements, numbers, weights, kt)
