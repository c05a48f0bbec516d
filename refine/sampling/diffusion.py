"""Self-diffusion coefficients from the mean square displacement along trajectories at constant energy.

    MSD(t) = <|r(t0 + t) - r(t0)|^2>,    D = slope of MSD(t) / 6 over a window of lags

relative to the centre of mass. Taking its motion out lowers the D of N independent, equal atoms by the factor 1 - 1/N,
which is not corrected. The window is from an eighth to a half of a trajectory, and is one of diffusion where the slopes
of its two parts, up to a quarter and beyond, agree: ballistic motion has slopes that rise with t, rattling in a cage
ones that fall.

The trajectories come from `refine.sampling.segments`: a thermostat would change D. Langevin's friction damps it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.viscosity import MILLIPASCAL_SECOND
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

XI_CUBIC = 2.837297
"""Of Yeh and Hummer's correction, for cubic boxes."""

SHARE = 0.25
"""Largest displacement between frames, as a share of the smallest height of the box."""

WINDOW = (1 / 8, 1 / 4, 1 / 2)
"""Lags, in lengths of a trajectory, between which and beyond which the slope is taken."""

FEWEST_POINTS = 32
"""Intervals of a trajectory: four lags in the first part of the window."""

TOLERANCE, SIGMAS = 0.05, 2.5
"""Largest difference of the two slopes, in D and in standard errors; the larger of them counts."""

SETTLED = 0.01
"""Largest of a solid: in number_density^(-2/3) of MSD at the last lag."""


@dataclass(frozen=True)
class Diffusion:
    """D of one species.

    Attributes:
        species: symbol.
        value, stderr: D and its standard error, Å^2/ps (1e-8 m^2/s).
        change, change_stderr: D from the later part of the window less that from the earlier, likewise.
        lags: (first, last) lag of the fitted slope, ps.
        segments: independent trajectories behind the errors.
    """

    species: str
    value: float
    stderr: float
    change: float
    change_stderr: float
    lags: tuple[float, float]
    segments: int

    def linear(self, floor: float = 0.0) -> bool:
        """Whether MSD is linear in time: the two slopes agree; floor: Å^2/ps, a difference without meaning."""
        return abs(self.change) <= max(SIGMAS * self.change_stderr, TOLERANCE * abs(self.value), floor)


def unwrapped(positions: Array, cell: Array) -> Array:
    """Continuous trajectory (frames, N, 3) from positions in any periodic images, by nearest-image displacements.

    A displacement shorter than half the smallest height of the box has its fractional components within 1/2, so
    rounding finds it in a triclinic box too.

    Args:
        positions: (frames, N, 3), Å.
        cell: (3, 3), lattice vectors as rows, Å.

    Raises:
        InputError: an atom moved more than `SHARE` of the smallest height between frames: its image is a guess.

    >>> path = np.array([[[9.0, 0.0, 0.0]], [[0.5, 0.0, 0.0]], [[2.0, 0.0, 0.0]]])
    >>> unwrapped(path, 10.0 * np.eye(3))[:, 0, 0].tolist()
    [9.0, 10.5, 12.0]
    """
    positions = np.asarray(positions, np.float64)
    inverse = np.linalg.inv(cell)
    step = np.diff(positions, axis=0)
    step -= np.round(step @ inverse) @ cell
    height = float(1.0 / np.linalg.norm(inverse, axis=0).max())
    longest = float(np.sqrt((step**2).sum(axis=-1)).max(initial=0.0))
    if longest > SHARE * height:
        raise InputError(
            f"an atom moved {longest:.2f} Å between frames, more than a quarter of the box ({height:.2f} Å)",
            where="diffusion",
            fix="use more atoms: its path cannot be followed across the boundary",
        )
    return np.concatenate([positions[:1], positions[:1] + np.cumsum(step, axis=0)])


def mean_square_displacement(positions: Array, lags: Sequence[int]) -> Array:
    """MSD (len(lags),) in Å^2 of unwrapped positions (frames, N, 3), averaged over atoms and time origins.

    Motion at 2 Å a frame:

    >>> positions = 2.0 * np.arange(5.0)[:, None, None] * np.array([1.0, 0.0, 0.0])
    >>> mean_square_displacement(positions, [1, 2]).tolist()
    [4.0, 16.0]
    """
    return np.array([np.mean(((positions[k:] - positions[:-k]) ** 2).sum(axis=-1)) for k in lags])


def diffusion(
    positions: NDArray[np.floating],
    cell: Array,
    species: Sequence[str],
    n_per_species: Sequence[int],
    masses: Array,
    interval: float,
) -> list[Diffusion]:
    """D of each species from independent trajectories, whose scatter gives the errors.

    Args:
        positions: (S, points, N, 3) Å, in any periodic images, atoms ordered by species; S of two or more.
        cell: (3, 3) Å.
        species: symbols in the order of `n_per_species`.
        masses: (N,).
        interval: time between points, ps.

    Raises:
        InputError: too few points, or too far apart to follow the atoms.
    """
    if positions.shape[1] <= FEWEST_POINTS:
        raise InputError(
            f"{positions.shape[1]} points of a trajectory are too few for a diffusion coefficient",
            where="diffusion",
            fix=f"use more than {FEWEST_POINTS}",
        )
    first, middle, last = (math.ceil(share * (positions.shape[1] - 1)) for share in WINDOW)
    step = max(1, (middle - first) // 8)
    early, late = np.arange(first, middle + 1, step), np.arange(middle, last + 1, step)
    lags = np.unique(np.concatenate([early, late]))
    ends = np.cumsum([0, *n_per_species])
    msd = np.zeros((len(species), len(positions), len(lags)))
    for s, wrapped in enumerate(positions):
        path = unwrapped(wrapped, cell)
        path -= np.average(path, axis=1, weights=masses)[:, None]
        for a in range(len(species)):
            msd[a, s] = mean_square_displacement(path[:, ends[a] : ends[a + 1]], lags.tolist())

    def slopes(of: Array, window: Array) -> Array:
        return np.asarray(np.polyfit(window * interval, of[:, np.isin(lags, window)].T, 1)[0] / 6.0)

    coefficients = []
    for symbol, of in zip(species, msd, strict=True):
        value, error = _mean(slopes(of, lags))
        change, change_error = _mean(slopes(of, late) - slopes(of, early))
        window = (float(lags[0] * interval), float(lags[-1] * interval))
        coefficients.append(Diffusion(symbol, value, error, change, change_error, window, len(positions)))
    return coefficients


def _mean(values: Array) -> tuple[float, float]:
    """Mean of independent values and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def finite_size_correction(temperature: float, viscosity: float, edge: float) -> float:
    """xi k T / (6 pi eta L) in Å^2/ps, to be added to D of a cubic periodic box. Its relative error is that of eta.

    Args:
        temperature: K.
        viscosity: eta, mPa s.
        edge: L, Å.

    Source: I.-C. Yeh and G. Hummer, J. Phys. Chem. B 108, 15873 (2004), equation 12.

    >>> round(finite_size_correction(300.0, 0.85, 18.6), 4)  # water
    0.0394
    """
    eta = viscosity / MILLIPASCAL_SECOND  # eV ps/Å^3
    return XI_CUBIC * BOLTZMANN * temperature / (6.0 * math.pi * eta * edge)
