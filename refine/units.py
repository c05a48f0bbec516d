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

PRESSURE_UNIT = _ELEMENTARY_CHARGE * 1e30 * 1e-9
"""eV/Å^3 in GPa (160.2177)."""

BARN_PER_FM2 = 0.01
"""fm^2 in barn."""
