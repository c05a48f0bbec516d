"""Momenta that a trajectory begins with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.units import BOLTZMANN

Array = NDArray[np.float64]


def maxwell_boltzmann(masses: Array, temperature: float, seed: Sequence[int]) -> Array:
    """Momenta (N, 3), eV-Å-amu, normal with variance m kT, from which the drift of the whole has been taken.

    masses: (N,) amu.  temperature: K.

    >>> momenta = maxwell_boltzmann(np.full(1000, 40.0), 300.0, [1, 0])
    >>> abs(momenta.sum(axis=0)).max() < 1e-10, round(float((momenta**2).mean() / (40.0 * BOLTZMANN)), -1)
    (np.True_, 300.0)
    """
    column = masses[:, None]
    momenta = np.sqrt(column * BOLTZMANN * temperature) * np.random.default_rng(seed).normal(size=(len(masses), 3))
    drift: Array = column * momenta.sum(axis=0) / column.sum()
    return momenta - drift
