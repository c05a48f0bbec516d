"""The radial network as a table: it is a function of one distance, so it is computed once and then interpolated.

A table holds the last hidden layer a(r), and the density function where there is one, for each pair of species. What
the network does to an edge, three matrix products and 200 silu, becomes a few cubics; their slope is the derivative.
A table has as many intervals as make it right to `TOLERANCE` in the middle of all of them. That is about the rounding
of float32, for which tables are used; float64 evaluates the network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.mace.radial import PiecewiseTable
from refine.errors import InputError

Array = NDArray[np.float64]

START = 0.25
"""Å; nearer than any two nuclei come. Below it the network is held constant (the ZBL repulsion is not)."""
TOLERANCE = 3e-8
"""Largest error of an interpolated function, in units of that function's largest value."""
FINEST = 8192
"""Intervals at which the network is evaluated, once; a table has the fewest of FINEST / 2, / 4, ... that will do."""


def sampling_points(r_max: float) -> Array:
    """Distances (FINEST + 1,) Å at which `tabulate` wants the functions."""
    return np.linspace(START, r_max, FINEST + 1)


def tabulate(values: Array, slopes: Array, r_max: float) -> PiecewiseTable:
    """Cubic Hermite pieces in equal intervals from START to r_max (Å).

    values, slopes: (pairs, FINEST + 1, F), functions and their derivatives by r at `sampling_points`.
    InputError when FINEST / 2 intervals are not enough.
    """
    scale = np.abs(values).max(axis=(0, 1)) + np.finfo(float).tiny
    step = FINEST // 256
    while step > 1:
        spacing = (r_max - START) * step / FINEST
        nodes, tangents = values[:, ::step], slopes[:, ::step] * spacing
        rise, left, right = np.diff(nodes, axis=1), tangents[:, :-1], tangents[:, 1:]
        pieces = (nodes[:, :-1], left, 3 * rise - 2 * left - right, left + right - 2 * rise)
        error = sum(piece * 0.5**power for power, piece in enumerate(pieces)) - values[:, step // 2 :: step]
        if (np.abs(error) / scale).max() < TOLERANCE:
            coefficients = np.pad(np.stack(pieces, axis=2), ((0, 0), (0, 1), (0, 0), (0, 0)))
            return PiecewiseTable(coefficients, np.array(START), np.array(1 / spacing))
        step //= 2
    raise InputError(f"the radial network cannot be tabulated to {TOLERANCE:g}", fix="use precision float64")
