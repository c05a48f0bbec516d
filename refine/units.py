"""Units: Å, eV, fs and K at the border; inside the dynamics eV-Å-amu, whose unit of time is 10.1805 fs.

CODATA 2018 values (exact where SI defines them); `tests/test_units.py` compares them with `scipy.constants`.
"""

from __future__ import annotations

import math

BOLTZMANN = 8.617333262e-5
"""Boltzmann constant, eV/K."""

_ELEMENTARY_CHARGE = 1.602176634e-19  # C, exact
_ATOMIC_MASS = 1.66053906660e-27  # kg

TIME_UNIT = 1e15 * 1e-10 * math.sqrt(_ATOMIC_MASS / _ELEMENTARY_CHARGE)
"""The time unit of the eV-Å-amu system, Å sqrt(amu/eV), in fs (10.1805)."""

_VACUUM_PERMITTIVITY = 8.8541878128e-12  # F/m

COULOMB = _ELEMENTARY_CHARGE * 1e10 / (4 * math.pi * _VACUUM_PERMITTIVITY)
"""e^2 / (4 pi epsilon_0), the energy of two elementary charges an Å apart, in eV Å (14.3996)."""

PRESSURE_UNIT = _ELEMENTARY_CHARGE * 1e30 * 1e-9
"""eV/Å^3 in GPa (160.2177)."""

MASS_DENSITY_UNIT = _ATOMIC_MASS * 1e3 * 1e24
"""amu/Å^3 in g/cm^3 (1.660539)."""

BARN_PER_FM2 = 0.01
"""fm^2 in barn."""
