"""First momenta of a trajectory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.units import BOLTZMANN

Array = NDArray[np.float64]


def maxwell(masses: Array, temperature: float, seed: Sequence[int]) -> Array:
    """Momenta (N, 3), normal with variance m kT, from which the drift of the whole has been taken; eV-Å-amu.

    masses: (N,) amu.  temperature: K.

    >>> bool(np.abs(maxwell(np.array([1.0, 16.0]), 300.0, [1, 0]).sum(axis=0)).max() < 1e-12)
    True
    """
    column = masses[:, None]
    momenta = np.sqrt(column * BOLTZMANN * temperature) * np.random.default_rng(seed).normal(size=(len(masses), 3))
    drift: Array = column * momenta.sum(axis=0) / column.sum()
    return momenta - drift
