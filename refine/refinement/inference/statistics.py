"""Sums over stored pair counts, and how many of them are independent; float64 throughout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.sampling.averages import inefficiency
from refine.sampling.frames import Frames

if TYPE_CHECKING:
    from refine.refinement.problem import Sample, Target

Array = NDArray[np.float64]


def coefficient_counts(frames: Sequence[Frames], correction: PairCorrection, temperature: float) -> Array:
    """N: (all frames, len(theta)), dimensionless; the correction's energy at `temperature` (K) is theta . N plus its
    wall's.

    The frames share their bins.

    >>> from refine.potentials.correction import SplineBasis
    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> counts = np.tile(np.array([0.0, 0.0, 0.0, 1.0, 0.0]), (2, 1, 1))  # one pair between 3 and 4 Å
    >>> frames = Frames(counts, *np.zeros((3, 2)), np.zeros(2, int), 5.0, (2,), 1000.0)
    >>> numbers = coefficient_counts([frames], phi, 85.0)
    >>> numbers.shape, float(numbers[0].sum().round(6))  # the splines add up to one
    ((2, 12), 1.0)
    """
    basis = correction.binned_basis(frames[0].edges)
    rows = [
        [f.counts[:, p].astype(float) @ basis[p] for p in correction.active_pairs] for f in (f.felt for f in frames)
    ]
    counts = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    return np.concatenate([factor * counts for factor in correction.factors(temperature)], axis=1)


def statistical_inefficiency(values: Array, replica: NDArray[np.integer]) -> Array:
    """How many successive frames are worth one independent frame: (n,), at least 1.

    g of `sampling.averages`, for many points that weigh each other in a fit: each point's g is at least halfway to the
    mean over all points. From one run a single g is known to a half only, and too small an error is the worse mistake.

    Args:
        values: (frames, n), frames of a replica in order of time.
        replica: (frames,) which replica a frame belongs to.

    >>> values = np.random.default_rng(0).normal(size=(400, 2))
    >>> statistical_inefficiency(values, np.zeros(400, int)).round(1).tolist()
    [1.1, 1.0]
    """
    g = inefficiency(values, replica)
    pooled: Array = np.maximum(g, 0.5 * (g + g.mean()))
    return pooled


def inefficiency_of(sample: Sample, state: int, targets: Sequence[Target], values: Array) -> Array:
    """`statistical_inefficiency` of targets in a sample, (n,): as all samples show it (`Sample.inefficiency`), or as
    its own frames do where nothing is known of them, as of what is not fitted.

    values: (frames, n) of the targets, one after the other.
    """
    own = statistical_inefficiency(values, sample.frames[state].replica)
    if not sample.inefficiency:
        return own
    parts = np.split(own, np.cumsum([len(target.y) for target in targets])[:-1])
    known = sample.inefficiency[state]
    return np.concatenate([known.get(target.name, part) for target, part in zip(targets, parts, strict=True)])


def averages(sample: Sample, state: int, targets: Sequence[Target]) -> tuple[Array, Array]:
    """Curves (n,) of a sample, targets one after the other, and the sampling variance of each point."""
    y = np.hstack([target.values(sample.frames[state]) for target in targets])
    return y.mean(axis=0), inefficiency_of(sample, state, targets, y) * y.var(axis=0) / len(y)
