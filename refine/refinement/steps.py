"""The size of a change of phi: its root mean square over the pairs of atoms that were sampled, in kT.

    size^2 = Σ_bins h (delta phi / kT)^2 / Σ_bins h

h are mean pair counts within r_cut, so what a change does where no atoms are does not count.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from refine.potentials.correction import PairCorrection
from refine.sampling.frames import Frames

Array = NDArray[np.float64]

Reach = Literal["whole", "centre"]
"""Which bins are within r_cut: those that lie there as a whole, or those whose centre does."""


def step_size(
    correction: PairCorrection,
    delta: Array,
    frames: Frames,
    kt: float,
    *,
    temperature: float | None = None,
    reach: Reach = "whole",
) -> float:
    """Over the sampled pairs of all corrected species pairs together, kT.

    Args:
        correction: whose basis it is.
        delta: (len(theta),) change of theta, eV.
        frames: of one state.
        kt: eV.
        temperature: K at which phi is taken, where it depends on it; None: the reference, where only phi_0 counts.
        reach: Gauss-Newton has "centre".

    >>> from refine.potentials.correction import SplineBasis
    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> counts = np.tile(np.array([0.0, 0.0, 0.0, 1.0, 0.0]), (2, 1, 1))  # one pair between 3 and 4 Å
    >>> frames = Frames(counts, *np.zeros((3, 2)), np.zeros(2, int), 5.0, (2,), 1000.0)
    >>> round(step_size(phi, np.full(12, 0.005), frames, kt=0.01), 6)  # phi changes by 0.005 eV at every pair
    0.5
    """
    counts, change = _sampled(correction, delta, frames, temperature, reach)
    return float(np.sqrt((counts * change**2).sum() / counts.sum()) / kt)


def step_metric(correction: PairCorrection, frames: Frames, kt: float, temperature: float) -> Array:
    """M (len(theta),) * 2, 1/eV^2, with sqrt(delta'M delta) the `step_size` of reach "centre" at a temperature (K).

    >>> from refine.potentials.correction import SplineBasis
    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> counts = np.tile(np.array([0.0, 0.0, 0.0, 1.0, 0.0]), (2, 1, 1))  # one pair between 3 and 4 Å
    >>> frames = Frames(counts, *np.zeros((3, 2)), np.zeros(2, int), 5.0, (2,), 1000.0)
    >>> delta = np.full(12, 0.005)
    >>> float((delta @ step_metric(phi, frames, 0.01, 85.0) @ delta).round(6))
    0.25
    """
    pairs = list(correction.active_pairs)
    counts = frames.felt.counts.mean(axis=0, dtype=np.float64)[pairs] * (frames.centres < correction.basis.r_cut)
    basis = correction.binned_basis(frames.edges)[pairs]
    within = np.einsum("pb,pbk,pbl->pkl", counts / (counts.sum() * kt**2), basis, basis, optimize=True)
    factors = correction.factors(temperature)
    return np.asarray(np.kron(np.outer(factors, factors), block_diag(*within)))


def step_sizes(correction: PairCorrection, delta: Array, frames: Frames, kt: float) -> Array:
    """(active pairs,) of each species pair, kT; 0 where none are sampled. Arguments as of `step_size`.

    >>> from refine.potentials.correction import SplineBasis
    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> counts = np.tile(np.array([0.0, 0.0, 0.0, 1.0, 0.0]), (2, 1, 1))  # one pair between 3 and 4 Å
    >>> frames = Frames(counts, *np.zeros((3, 2)), np.zeros(2, int), 5.0, (2,), 1000.0)
    >>> step_sizes(phi, np.full(12, 0.005), frames, kt=0.01).round(6).tolist()
    [0.5]
    """
    counts, change = _sampled(correction, delta, frames, None, "whole")
    total = counts.sum(axis=1)
    squares = np.divide((counts * change**2).sum(axis=1), total, out=np.zeros_like(total), where=total > 0.0)
    return np.asarray(np.sqrt(squares) / kt)


def _sampled(
    correction: PairCorrection, delta: Array, frames: Frames, temperature: float | None, reach: Reach
) -> tuple[Array, Array]:
    """Mean counts within r_cut and delta phi (eV) in their bins, (active pairs, bins) each."""
    pairs = list(correction.active_pairs)
    change = correction.with_theta(delta)
    change = change if temperature is None else change.at(temperature)
    ends = frames.edges[1:] if reach == "whole" else frames.centres
    counts = frames.felt.counts.mean(axis=0, dtype=np.float64)[pairs] * (ends < correction.basis.r_cut)
    basis = correction.binned_basis(frames.edges)[pairs]
    return counts, np.einsum("pbk,pk->pb", basis, change.coefficients[pairs])
