"""Pair distances of stored positions, counted by the histogram of `kernels`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from kernels.cell import wrap
from kernels.histogram import pair_histogram
from kernels.species import pair_row
from refine.sampling.jax.device import precision
from refine.system import System

_counted = jax.jit(pair_histogram, static_argnames=("n_per_species", "n_bins", "orthorhombic"))
"""Of one frame: one program serves any number of frames."""


def pair_counts(
    positions: NDArray[np.floating[Any]], system: System, n_bins: int, r_max: float, dtype: str
) -> NDArray[np.float32]:
    """Counts (frames, pairs, n_bins) of positions (frames, N, 3) Å, wrapped or not; see `Frames`.

    dtype: "float32" or "float64", of distances.
    """
    kind = np.dtype(dtype)
    with precision(kind):
        cell, reach = jnp.asarray(system.cell, kind), jnp.asarray(r_max, kind)
        counted = [
            _counted(jnp.asarray(frame, kind), cell, system.n_per_species, n_bins, reach, system.orthorhombic)
            for frame in wrap(positions, system.cell)
        ]
        return np.stack([np.asarray(counts) for counts in counted])


def counts_of_pairs(
    positions: NDArray[np.floating[Any]],
    system: System,
    pairs: NDArray[np.int64],
    share: NDArray[np.float64],
    total: NDArray[np.float32],
    r_max: float,
) -> NDArray[np.float32]:
    """Counts like `total`, which `pair_counts` made of the same positions, of some pairs (P, 2) alone, `share` (P,) of
    each.

    A distance may lie on an edge of two bins, as those of rigid molecules do for good, and fall to either by the last
    digit: where `total` has fewer pairs in a bin than are counted into it, the rest belongs to the neighbour that has
    more.
    """
    bins, row = total.shape[2], _rows(system, pairs)
    found = np.zeros((len(positions), total[0].size), np.float32)
    for frame, there, counted in zip(found, positions, total.reshape(len(positions), -1), strict=True):
        r = _distances(there, system, pairs)
        inside = r < r_max
        place = r[inside] * (bins / r_max)
        slot = row[inside] * bins + np.minimum(place.astype(int), bins - 1)
        number = np.bincount(slot, minlength=len(frame))
        off = place - np.round(place)  # from the nearest edge
        for one in np.flatnonzero(number > counted):
            there_are = np.flatnonzero(slot == one)
            fallen = there_are[np.argsort(np.abs(off[there_are]))][: int(number[one] - counted[one])]
            slot[fallen] += np.where(off[fallen] < 0.0, 1, -1)
        np.add.at(frame, slot, share[inside].astype(np.float32))
    return found.reshape(total.shape)


WIDTHS, EXACT = 8.0, 22
"""Standard deviations of a Gaussian beyond which nothing of it is counted; and bits of a count, of 24 of float32."""


def counts_as_seen(
    positions: NDArray[np.floating[Any]],
    system: System,
    pairs: NDArray[np.int64],
    share: NDArray[np.float64],
    mean: NDArray[np.float64],
    width: NDArray[np.float64],
    between: NDArray[np.float32],
    r_max: float,
) -> NDArray[np.float32]:
    """Counts (frames, pairs, bins) of pairs within molecules (P, 2), `share` (P,) of each, as scattering sees them.

    A pair at d is no point but a peak of T(r), a Gaussian of `width` (P,) s about d, and its wave is

        sin(Q d)/(Q d) exp(-s^2 Q^2/2).

    T(r) is counts over r, so that it has in r to r + dr the count (r/d) N(r; d, s) dr, in all one. Width 0: it is a
    point. mean: (P,) Å; the distances of a species pair are moved so that their mean in each frame is there; NaN: they
    stay. This is the harmonic distribution of distances within molecules of EPSR (A. K. Soper, Phys. Rev. B 72, 104204
    (2005)).

    between: the counts of all other pairs. Counts are rounded to a multiple of a power of 2 so small that float32 holds
    sums with these exactly: they can be taken off again.
    """
    shape, row = between.shape, _rows(system, pairs)
    edges = np.linspace(0.0, r_max, shape[2] + 1)
    found = np.zeros(shape)
    moved, sharp = np.isfinite(mean), width == 0.0
    for frame, there in zip(found, positions, strict=True):
        r = _distances(there, system, pairs)
        for one in np.unique(row):
            of_row = row == one
            if (of_row & moved).any():
                r[of_row & moved] += (mean - r[of_row & moved].mean())[of_row & moved]
            frame[one] += np.histogram(r[of_row & sharp], edges, weights=share[of_row & sharp])[0]
            d, s, weight = (x[of_row & ~sharp] for x in (r, width, share))
            if len(d):
                first, last = np.searchsorted(edges, (np.min(d - WIDTHS * s), np.max(d + WIDTHS * s)))
                window = slice(max(0, first - 1), last + 1)
                frame[one, window.start : window.stop - 1] += weight @ np.diff(_below(edges[window], d, s), axis=1)
    largest = float(np.max(between + found, where=found > 0.0, initial=1.0))
    step = 2.0 ** (np.ceil(np.log2(largest)) - EXACT)
    return np.asarray(np.round(found / step) * step, np.float32)


def _below(r: NDArray[np.float64], d: NDArray[np.float64], s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, n) the count of a pair at d (P,) with width s (P,) below r (n,): the integral of (r/d) N(r; d, s)."""
    z = (r - d[:, None]) / s[:, None]
    return np.asarray(ndtr(z) - (s / d)[:, None] * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi))


def _rows(system: System, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,) the species pair of each pair of atoms (P, 2)."""
    kind = np.repeat(np.arange(len(system.species)), system.n_per_species)
    of_pairs = jnp.asarray(kind[pairs])
    return np.asarray(pair_row(of_pairs[:, 0], of_pairs[:, 1], len(system.species)))


def _distances(there: NDArray[np.floating[Any]], system: System, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P,) Å between nearest images of atoms at (N, 3)."""
    apart = there[pairs[:, 0]] - there[pairs[:, 1]]
    return np.asarray(np.linalg.norm(apart - np.round(apart @ np.linalg.inv(system.cell)) @ system.cell, axis=1))
