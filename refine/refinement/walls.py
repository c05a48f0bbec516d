"""Where the wall of a correction begins: below every pair of atoms that sample or measurement have, and not before.

The potential of mean force is continued inwards to `FORBIDDEN` kT in a straight line, with the mean slope of the flank
from g = 1/e on (docs/theory/response.md). The flank of a liquid gets steeper inwards, so the line ends further in than
the base itself would allow: on equilibrium frames of the base model the wall is not felt, less than 0.01 kT a frame
(tests/refinement/test_walls.py).

A total curve of a mixture says nothing here: which pair its innermost distances belong to is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.sampling.frames import Frames
from refine.sampling.periodic import close_pairs

Array = NDArray[np.float64]

FORBIDDEN = 15.0
"""kT of the potential of mean force at which the wall begins."""

FARTHEST = 0.5
"""Å; the wall begins at most so much below the innermost pair: a flank of few counts has hardly a slope."""

ONSET = 0.05, 0.5
"""A measured g(r) begins where, from the flank of its first peak (the second number) inwards, it has fallen to the
first number or no longer falls: further in there is ripple."""

R_MIN_BELOW, R_MIN_STEP = 0.3, 0.1
"""Å: a proposed r_min is so much below the innermost pair seen so far, and rounded down to a multiple of the step:
later frames, and a corrected model, come nearer."""


def innermost(frames: Sequence[Frames]) -> Array:
    """(pairs,) Å: lower edge of the innermost bin that holds a pair in any frame of any state; inf where none does.

    Pairs that the correction does not act on, of atoms bonded to each other, are none here and in what follows.

    >>> counts = np.tile(np.array([0.0, 0.0, 0.0, 1.0, 0.0]), (2, 1, 1))  # one pair between 3 and 4 Å
    >>> frames = Frames(counts, *np.zeros((3, 2)), np.zeros(2, int), 5.0, (2,), 1000.0)
    >>> innermost([frames]).tolist()
    [3.0]
    """
    nearest = []
    for one in frames:
        seen = one.felt.counts.max(axis=0) > 0.0
        first = one.edges[:-1][np.argmax(seen, axis=1)]
        nearest.append(np.where(np.any(seen, axis=1), first, np.inf))
    return np.asarray(np.min(nearest, axis=0))


def walls(frames: Sequence[Frames], onsets: Array) -> Array:
    """(pairs,) Å: where the wall of each pair begins; 0, none, for a pair that was never seen.

    Args:
        frames: of every state.
        onsets: (pairs,) Å, where measured partial g(r) begin (`measured_onset`); inf where there is none.
    """
    starts = []
    for one in frames:
        nearest, g = innermost([one]), one.felt.pair_distribution()
        starts.append([_forbidden(one.centres, g[p], nearest[p]) for p in range(len(g))])
    lowest = np.minimum(np.min(starts, axis=0), np.where(np.isfinite(onsets), onsets, np.inf))
    return np.where(np.isfinite(lowest), np.maximum(lowest, 0.0), 0.0)


def _forbidden(r: Array, g: Array, nearest: float) -> float:
    """Å where the potential of mean force, continued inwards, reaches `FORBIDDEN`; inf for a pair never seen."""
    if not math.isfinite(nearest):
        return math.inf
    inner = int(np.argmax(g > 0.0))
    flank = int(np.argmax(g >= min(math.exp(-1.0), float(g.max()))))
    w_inner, w_flank = -math.log(g[inner]), -math.log(g[flank])
    depth = FARTHEST
    if flank > inner and w_inner > w_flank:
        slope = (w_inner - w_flank) / (r[flank] - r[inner])
        depth = min(FARTHEST, max(0.0, FORBIDDEN - w_inner) / slope)
    return nearest - depth


def measured_onset(r: Array, g: Array) -> float:
    """Å where a measured partial g(r) on increasing r begins; inf where it has no first peak.

    >>> measured_onset(np.arange(0.0, 5.0, 0.5), np.array([0, 0, 0, 0, 0, 0.02, 0.4, 2.5, 1.2, 0.9]))
    2.5
    """
    low, high = ONSET
    above = np.flatnonzero(g >= high)
    if not len(above):
        return math.inf
    k = int(above[0])
    while k > 0 and g[k] > low and g[k - 1] < g[k]:
        k -= 1
    return float(r[k])


def closest(positions: Array, cell: Array, n_per_species: Sequence[int], within: float) -> Array:
    """(pairs,) Å: shortest distance of every species pair in one configuration, inf beyond `within` (Å).

    positions: (N, 3) Å, sorted by species.  cell: (3, 3) Å, rows are lattice vectors.

    >>> positions = np.array([[0.5, 0.0, 0.0], [9.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    >>> closest(positions, 10.0 * np.eye(3), (2, 1), within=4.2).round(3).tolist()
    [1.5, 4.0, inf]
    """
    i, j, separation = close_pairs(positions, cell, within)
    species = np.repeat(np.arange(len(n_per_species)), n_per_species)
    low, high = np.minimum(species[i], species[j]), np.maximum(species[i], species[j])
    distances = np.full((len(n_per_species),) * 2, np.inf)
    np.minimum.at(distances, (low, high), np.linalg.norm(separation, axis=1))
    return distances[np.triu_indices(len(n_per_species))]


def refuse_r_min(correction: PairCorrection, nearest: Array) -> None:
    """InputError for an r_min of the splines above distances that the base model has in its sample.

    There the correction would be a straight line.

    nearest: (pairs,) of `innermost`.
    """
    active = [p for p in correction.active_pairs if nearest[p] < correction.basis.r_min]
    if not active:
        return
    crossed = ", ".join(f"{'-'.join(correction.pairs[p])} from {nearest[p]:.2f} Å" for p in active)
    proposed = R_MIN_STEP * math.floor((float(min(nearest[p] for p in active)) - R_MIN_BELOW) / R_MIN_STEP)
    raise InputError(
        f"r_min = {correction.basis.r_min:g} Å lies inside the pairs of the base model ({crossed})",
        where="[correction] r_min",
        fix=f"use r_min = {max(proposed, R_MIN_STEP):.1f}",
    )
