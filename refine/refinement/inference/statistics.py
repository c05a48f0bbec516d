"""Sums over stored pair counts, and how many of them are independent; float64 throughout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.sampling.averages import inefficiency
from refine.sampling.frames import Frames

Array = NDArray[np.float64]


def coefficient_counts(frames: Sequence[Frames], correction: PairCorrection, temperature: float) -> Array:
    """N: (all frames, len(theta)), dimensionless; the correction's energy at `temperature` (K) is theta . N plus its
    wall's.

    The frames share their bins.
    """
    basis = correction.binned_basis(frames[0].edges)
    rows = [[f.counts[:, p].astype(float) @ basis[p] for p in correction.active_pairs] for f in frames]
    counts = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    return np.concatenate([factor * counts for factor in correction.factors(temperature)], axis=1)


def statistical_inefficiency(values: Array, replica: NDArray[np.integer]) -> Array:
    """How many successive frames are worth one independent frame: (n,), at least 1.

    g of `sampling.averages`, for many points that weigh each other in a fit: each point's g is at least halfway to the
    mean over all points. From one run a single g is known to a half only, and too small an error is the worse mistake.

    Args:
        values: (frames, n), frames of a replica in order of time.
        replica: (frames,) which replica a frame belongs to.
    """
    g = inefficiency(values, replica)
    pooled: Array = np.maximum(g, 0.5 * (g + g.mean()))
    return pooled
