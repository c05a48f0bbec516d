"""What every sampler checks of what it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError, SimulationError

Array = NDArray[np.float64]

RELAXING = "relaxation of the start structure"
"""Where an error of it is."""


def check_numbers(*, precision: str, phase: str, **positive: float) -> None:
    """InputError for a number that is not above zero, and for a precision or a phase that there is not.

    >>> check_numbers(precision="float32", phase="liquid", stride=0)
    Traceback (most recent call last):
        ...
    refine.errors.InputError: stride is 0; it must be above zero
    """
    for name, value in positive.items():
        if not value > 0:
            raise InputError(f"{name} is {value}; it must be above zero")
    if precision not in ("float32", "float64"):
        raise InputError(f"precision is {precision!r}; it must be float32 or float64")
    if phase not in ("liquid", "solid"):
        raise InputError(f"phase is {phase!r}; it must be liquid or solid")


def check_temperature(temperature: float) -> None:
    """InputError for what is no temperature (K)."""
    if not temperature > 0:
        raise InputError(f"temperature is {temperature} K; it must be above zero")


def per_replica(positions: NDArray[np.floating[Any]], replicas: int, n_atoms: int) -> Array:
    """Positions (R, N, 3) Å of (N, 3) for all replicas, or of (R, N, 3)."""
    shape = (replicas, n_atoms, 3)
    positions = np.asarray(positions, np.float64)
    if positions.shape not in (shape, shape[1:]):
        raise ValueError(f"positions have shape {positions.shape}; expected {shape} or {shape[1:]}")
    return np.broadcast_to(positions, shape)


def check_relaxed(positions: NDArray[np.floating[Any]]) -> None:
    """SimulationError for a relaxed structure with positions that are no finite numbers."""
    if not np.isfinite(positions).all():
        raise SimulationError(
            "positions are no longer finite numbers",
            where=RELAXING,
            fix="remove overlaps, check that the potential is repulsive at short range, or give a start structure",
        )
