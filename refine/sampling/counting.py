"""Pair distances of stored positions, counted by the histogram of `kernels`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from kernels.histogram import pair_histogram
from kernels.species import number_of_pairs, pair_row
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
    species, bins = len(system.species), total.shape[2]
    kind = np.repeat(np.arange(species), system.n_per_species)
    of_pairs = jnp.asarray(kind[pairs])
    row = np.asarray(pair_row(of_pairs[:, 0], of_pairs[:, 1], species))
    inverse = np.linalg.inv(system.cell)
    found = np.zeros((len(positions), number_of_pairs(species) * bins), np.float32)
    for frame, there, counted in zip(found, positions, total.reshape(len(positions), -1), strict=True):
        apart = there[pairs[:, 0]] - there[pairs[:, 1]]
        r = np.linalg.norm(apart - np.round(apart @ inverse) @ system.cell, axis=1)
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
