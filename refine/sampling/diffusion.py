"""Self-diffusion coefficients from the mean square displacement of stored frames.

    MSD(t) = <|r(t0 + t) - r(t0)|^2>,    D = slope of MSD(t) / 6 over a window of lags

relative to the centre of mass, whose own motion is the thermostat's. Taking it out lowers the D of N independent,
equal atoms by the factor 1 - 1/N, which is not corrected. A Langevin thermostat damps diffusion; Nose-Hoover does so
to order 1/N only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.frames import Frames
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

XI_CUBIC = 2.837297
"""Of Yeh and Hummer's correction, for cubic boxes."""

SHARE = 0.25
"""Largest displacement between frames, as a share of the smallest height of the box."""

SEGMENTS = 5
"""Pieces of a trajectory whose scatter gives the error."""

FEWEST_FRAMES = 8
"""Of a piece: four lags or more, and two pieces of time in each."""

_EV_PER_ANGSTROM3_PS = 1.602176634e-19 * 1e30 * 1e-12 * 1e3
"""eV/Å^3 ps in mPa s (160.2177)."""


@dataclass(frozen=True)
class Diffusion:
    """D of one species.

    Attributes:
        species: symbol.
        value, stderr: D and its standard error, Å^2/ps (1e-8 m^2/s).
        lags: (first, last) lag of the fitted slope, ps.
        segments: independent pieces of trajectory behind the error.
    """

    species: str
    value: float
    stderr: float
    lags: tuple[float, float]
    segments: int


def unwrapped(positions: Array, cell: Array) -> Array:
    """Continuous trajectory (frames, N, 3) from positions in any periodic images, by nearest-image displacements.

    A displacement shorter than half the smallest height of the box has its fractional components within 1/2, so
    rounding finds it in a triclinic box too.

    Args:
        positions: (frames, N, 3), Å.
        cell: (3, 3), lattice vectors as rows, Å.

    Raises:
        InputError: an atom moved more than `SHARE` of the smallest height between frames: its image is a guess.
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
            where="[sampling] stride",
            fix="lower stride: its path cannot be followed across the boundary",
        )
    return np.concatenate([positions[:1], positions[:1] + np.cumsum(step, axis=0)])


def mean_square_displacement(positions: Array, lags: Sequence[int]) -> Array:
    """MSD (len(lags),) in Å^2 of unwrapped positions (frames, N, 3), averaged over atoms and time origins."""
    return np.array([np.mean(((positions[k:] - positions[:-k]) ** 2).sum(axis=-1)) for k in lags])


def diffusion(frames: Frames, cell: Array, species: Sequence[str], masses: Array, interval: float) -> list[Diffusion]:
    """D of each species from frames with positions.

    Each replica is cut into `SEGMENTS` pieces. The slope is fitted from a quarter to a half of a piece, and the
    scatter of the pieces gives the error.

    Args:
        frames: with positions, atoms ordered by species.
        cell: (3, 3) Å.
        species: symbols in the order of `frames.n_per_species`.
        masses: (N,).
        interval: time between frames, ps.

    Raises:
        InputError: too few frames, or too far apart to follow the atoms.
    """
    if frames.positions is None:
        raise ValueError("these frames keep no positions")
    pieces = []
    for index in np.unique(frames.replica):
        path = unwrapped(frames.positions[frames.replica == index], cell)
        path -= np.average(path, axis=1, weights=masses)[:, None]
        pieces += np.array_split(path, SEGMENTS)
    length = min(len(piece) for piece in pieces)
    if length < FEWEST_FRAMES:
        raise InputError(
            f"{length} frames in each of {SEGMENTS} pieces of a trajectory are too few for a diffusion coefficient",
            where="[sampling] frames",
            fix=f"use at least {SEGMENTS * FEWEST_FRAMES} for each replica",
        )
    lags = np.arange(max(1, length // 4), length // 2 + 1)
    ends = np.cumsum([0, *frames.n_per_species])
    found = []
    for a, symbol in enumerate(species):
        atoms = slice(ends[a], ends[a + 1])
        msd = [mean_square_displacement(piece[:, atoms], lags.tolist()) for piece in pieces]
        slopes = np.polyfit(lags * interval, np.transpose(msd), 1)[0] / 6.0
        error = float(slopes.std(ddof=1) / math.sqrt(len(slopes)))
        window = (float(lags[0] * interval), float(lags[-1] * interval))
        found.append(Diffusion(symbol, float(slopes.mean()), error, window, len(pieces)))
    return found


def finite_size_correction(temperature: float, viscosity: float, edge: float) -> float:
    """xi k T / (6 pi eta L) in Å^2/ps, to be added to D of a cubic periodic box.

    Args:
        temperature: K.
        viscosity: eta, mPa s.
        edge: L, Å.

    Source: I.-C. Yeh and G. Hummer, J. Phys. Chem. B 108, 15873 (2004), equation 12.
    """
    eta = viscosity / _EV_PER_ANGSTROM3_PS  # eV ps/Å^3
    return XI_CUBIC * BOLTZMANN * temperature / (6.0 * math.pi * eta * edge)
