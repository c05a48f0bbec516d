"""Pieces of trajectory at constant energy, started from sampled frames: dynamics that no thermostat has touched.

A thermostat leaves the ensemble as it is, but not the motion in it: Langevin's friction damps diffusion and viscosity
alike. Positions and momenta of the canonical ensemble are independent, so a frame of any thermostat with new momenta
from the Maxwell-Boltzmann distribution is a point of it, and the average over velocity Verlet trajectories from such
points is the canonical average of the undisturbed dynamics. New momenta add up to zero, which the dynamics conserve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import SimulationError
from refine.sampling.frames import Frames
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

STRESS_EVERY = 2
"""Steps between stresses. The fastest vibration lasts ten steps or more, and the stress, quadratic in displacements,
half of it."""

DRIFT = 0.02
"""Largest mean change of the energy of an atom over a segment, kT: the temperature, and D with it, would be another."""


@dataclass(frozen=True)
class Segments:
    """Trajectories at constant energy, equally long.

    Attributes:
        positions: (S, points, N, 3) Å, wrapped or not, `interval` ps apart; the first is the start.
        stress: (S, moments, 3, 3) eV, sum of p (x) p / m + r (x) f over the box, `stress_interval` ps apart.
        interval, stress_interval: ps.
        temperature: (S,) K, mean of each.
        drift: (S,) change of the energy of an atom from the first to the last moment, eV.
    """

    positions: NDArray[np.floating[Any]]
    stress: Array
    interval: float
    stress_interval: float
    temperature: Array
    drift: Array

    @property
    def length(self) -> float:
        """Of each, ps."""
        return float(self.interval * (self.positions.shape[1] - 1))


def starts(frames: Frames, segments: int) -> NDArray[np.floating[Any]]:
    """Positions (segments, N, 3) of frames spread evenly over all of them."""
    if frames.positions is None:
        raise ValueError("these frames keep no positions")
    if segments > len(frames):
        raise ValueError(f"{len(frames)} frames cannot start {segments} segments")
    chosen = np.floor((np.arange(segments) + 0.5) * len(frames) / segments).astype(int)
    spread: NDArray[np.floating[Any]] = frames.positions[chosen]
    return spread


def refuse_drift(segments: Segments, temperature: float, timestep: float) -> None:
    """SimulationError where the energy is not conserved; temperature: K.  timestep: fs."""
    mean = abs(float(segments.drift.mean())) / (BOLTZMANN * temperature)
    if mean > DRIFT:
        raise SimulationError(
            f"energy is not conserved without a thermostat: {mean:.3f} kT for each atom in {segments.length:.3g} ps",
            where="segments at constant energy",
            fix=f"shorten sampling.timestep (now {timestep:g} fs) or use double precision",
        )
