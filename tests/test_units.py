"""Units against CODATA as scipy has it."""

from __future__ import annotations

import pytest
from scipy import constants

from refine import units


def test_boltzmann() -> None:
    assert pytest.approx(constants.k / constants.e, rel=1e-9) == units.BOLTZMANN


def test_time_unit() -> None:
    """Å sqrt(amu/eV) in fs; the mass unit differs by 1e-9 between editions of CODATA."""
    seconds = 1e-10 * (constants.atomic_mass / constants.e) ** 0.5
    assert pytest.approx(seconds * 1e15, rel=1e-9) == units.TIME_UNIT
    assert pytest.approx(10.1805, abs=5e-5) == units.TIME_UNIT


def test_thermal_speed_of_argon() -> None:
    """sqrt(kT/m) at 85 K in m/s, from SI and from the engine's units: all factors at once."""
    si = (constants.k * 85.0 / (39.948 * constants.atomic_mass)) ** 0.5
    angstrom_per_fs = (units.BOLTZMANN * 85.0 / 39.948) ** 0.5 / units.TIME_UNIT
    assert angstrom_per_fs * 1e5 == pytest.approx(si, rel=1e-8)


def test_pressure_unit() -> None:
    assert pytest.approx(constants.e / 1e-30 / 1e9, rel=1e-12) == units.PRESSURE_UNIT


def test_barn() -> None:
    assert pytest.approx(1e-30 / 1e-28) == units.BARN_PER_FM2
