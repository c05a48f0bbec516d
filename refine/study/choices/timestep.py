"""The time step: a share of the shortest period of vibration, and atoms that fly a short way in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.study.choices.choice import Choice
from refine.study.schema import StudyConfig
from refine.system import System
from refine.units import BOLTZMANN, TIME_UNIT

Array = NDArray[np.float64]

KEY = "sampling.timestep"

STEPS = (0.25, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""fs: the largest of these that is short enough is taken."""

STIFFEST = 50.0
"""eV/Å^2: no bond of the lightest atoms is much stiffer: O-H has 49."""

PERIODS = 30.0
"""Steps in the shortest Einstein period: (2 pi/30)^2/4 = 1.1 % is what Langevin's half steps take off the kinetic
temperature; averages of positions are off by far less."""

FEWEST = 20.0
"""Steps in the period of the stiffest bond that an atom could have, which no mean curvature shows alone."""

FLIGHT = 0.015
"""Å that an atom with the thermal speed sqrt(kT/m) flies in a step at most: collisions are about as steep in all
liquids. Argon at 10 fs, CaCl2 at 4, silica at 3500 K at 1 (0.013 to 0.02 Å): energy drifts by less than 1e-4 kT an
atom and ps."""


def einstein_periods(forces: Array, masses: Array, species: Sequence[int], temperature: float) -> Array:
    """(species,) fs: 2 pi / omega of each species, omega^2 = <F^2>/(3 m kT); inf where no force acts.

    For classical particles in equilibrium <F^2> = kT <laplacian U>, so that omega^2 is the mean curvature that an atom
    sees, over its mass: the second moment of its velocity spectrum. Source: J.-P. Hansen and I. R. McDonald, Theory of
    Simple Liquids, 4th ed. (2013), section 7.2.

    Args:
        forces: (frames, N, 3) eV/Å.
        masses: (N,) amu.
        species: (N,) of each atom, from 0.
        temperature: K.

    An oscillator of k = 4 eV/Å^2 and 4 amu has a period of 2 pi 10.18 fs:

    >>> forces = np.random.default_rng(0).normal(size=(400, 50, 3)) * math.sqrt(4.0 * BOLTZMANN * 300.0)
    >>> einstein_periods(forces, np.full(50, 4.0), [0] * 50, 300.0).round(0).tolist()
    [64.0]
    """
    squares = np.mean(np.sum(np.asarray(forces, np.float64) ** 2, axis=2), axis=0)
    frequencies = squares / (3.0 * np.asarray(masses) * BOLTZMANN * temperature)
    of_atom = np.asarray(species)
    means = np.array([frequencies[of_atom == one].mean() for one in range(int(of_atom.max()) + 1)])
    with np.errstate(divide="ignore"):
        return np.asarray(2.0 * math.pi * TIME_UNIT / np.sqrt(means))


def flight(mass: float, temperature: float, distance: float = FLIGHT) -> float:
    """fs in which an atom (amu) with the thermal speed sqrt(kT/m) flies a distance (Å) at a temperature (K)."""
    return distance * TIME_UNIT / math.sqrt(BOLTZMANN * temperature / mass)


def tidy(longest: float) -> float:
    """The largest of `STEPS` that is not above `longest` fs, or the smallest.

    >>> tidy(1.99), tidy(100.0), tidy(0.1)
    (1.5, 10.0, 0.25)
    """
    return max((step for step in STEPS if step <= longest * (1.0 + 1e-9)), default=STEPS[0])


def check_steps(config: StudyConfig, systems: Sequence[System], step: float) -> None:
    """InputError for a time step in which atoms would not move, and for a thermostat that is faster than two steps.

    Where an atom with the thermal speed flies less than half of what tells two positions at the far end of the box
    apart, adding a step to its position leaves it where it is.

    systems: of each state.  step: fs, that of the sampling; stages of the schedule may have their own.
    """
    steps = [("[sampling]", step, min(state.temperature for state in config.states))]
    for number, stage in enumerate(config.schedule, start=1):
        coldest = stage.temperature if stage.to is None else min(stage.temperature, stage.to)
        steps.append((f"[[schedule]] {number}", step if stage.timestep is None else stage.timestep, coldest))
    heaviest, edge = max(float(one.masses.max()) for one in systems), max(float(one.cell.max()) for one in systems)
    rounding = float(np.finfo(config.sampling.precision).eps) / 2 * edge
    for where, fs, kelvin in steps:
        if fs < flight(heaviest, kelvin, rounding):
            raise InputError(
                f"in timestep = {fs:g} fs at {kelvin:g} K atoms fly less than {config.sampling.precision} tells apart "
                f"in this box, {rounding:.1g} Å: they would not move",
                where=where,
                fix=f'set timestep = "auto", or from {STEPS[0]:g} to {STEPS[-1]:g} fs',
            )
    if 1000.0 * config.sampling.time_constant < 2.0 * max(fs for _, fs, _ in steps):
        raise InputError(
            f"time_constant = {config.sampling.time_constant:g} ps is less than two time steps",
            where="[sampling]",
            fix="set time_constant from 0.05 to 5 ps",
        )


def first_timestep(masses: Mapping[str, float], temperature: float) -> Choice:
    """A step that is short enough whatever the forces are, from masses (amu, by element) and temperature (K).

    >>> first_timestep({"Si": 28.1, "O": 16.0}, 300.0).value, first_timestep({"O": 16.0, "H": 1.0}, 300.0).value
    (1.5, 0.4)
    """
    lightest = min(masses, key=lambda name: masses[name])
    period = 2.0 * math.pi * TIME_UNIT * math.sqrt(masses[lightest] / STIFFEST)
    reason = f"short enough for the stiffest bond that {lightest} could have, {period:.0f} fs, at {temperature:g} K"
    return Choice(KEY, tidy(min(period / FEWEST, flight(masses[lightest], temperature))), "fs", reason)


def timestep(
    periods: Mapping[str, float], masses: Mapping[str, float], temperature: float, most: float | None = None
) -> Choice:
    """From the Einstein periods of a sample (fs, by element; `einstein_periods`).

    Args:
        masses: amu, by element.
        temperature: K, the highest.
        most: fs, the step of a first sample that failed with a longer one; None: it did not.

    >>> timestep({"Ca": 167.0, "Cl": 193.0}, {"Ca": 40.1, "Cl": 35.5}, 1100.0).value
    2.5
    """
    fastest = min(periods, key=lambda name: periods[name])
    lightest = min(masses, key=lambda name: masses[name])
    vibration, flying = periods[fastest] / PERIODS, flight(masses[lightest], temperature)
    value = tidy(min(vibration, flying))
    seen = f"the shortest Einstein period is that of {fastest}, {periods[fastest]:.0f} fs"
    if flying < vibration:
        seen += f", and {lightest} flies {FLIGHT:g} Å in {flying:.2g} fs"
    if most is not None and most < value:
        value = most
        seen += ", but a longer step failed in the first sample"
    return Choice(KEY, value, "fs", seen)
