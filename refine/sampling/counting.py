"""Pair distances of stored positions, counted by the histogram of `kernels`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from kernels.histogram import pair_histogram
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
