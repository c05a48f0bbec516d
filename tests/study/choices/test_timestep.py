"""The time step against oscillators whose period is known."""

import math

import numpy as np
import pytest

from refine.study.choices.timestep import (
    FEWEST,
    FLIGHT,
    PERIODS,
    STEPS,
    einstein_periods,
    first_timestep,
    flight,
    tidy,
    timestep,
)
from refine.units import BOLTZMANN, TIME_UNIT


def forces_of(stiffness: np.ndarray, temperature: float, frames: int) -> np.ndarray:
    """Of independent oscillators k (N,) eV/Å^2 in equilibrium, (frames, N, 3)."""
    x = np.random.default_rng(2).normal(size=(frames, len(stiffness), 3))
    return -np.sqrt(stiffness * BOLTZMANN * temperature)[:, None] * x


def test_periods_of_oscillators() -> None:
    """2 pi sqrt(m/k) of two species, within four standard errors: omega^2 is a mean of squares of normal numbers."""
    k, m = np.repeat([30.0, 2.0], 40), np.repeat([1.0, 40.0], 40)
    found = einstein_periods(forces_of(k, 900.0, 50), m, [0] * 40 + [1] * 40, 900.0)
    expected = 2.0 * math.pi * TIME_UNIT * np.sqrt([1.0 / 30.0, 40.0 / 2.0])
    assert found == pytest.approx(expected, rel=4.0 * 0.5 * math.sqrt(2.0 / (3 * 40 * 50)))


def test_where_no_force_acts_the_flight_decides() -> None:
    periods = einstein_periods(np.zeros((3, 2, 3)), np.full(2, 39.9), [0, 0], 300.0)
    assert np.isinf(periods).all()
    choice = timestep({"Ar": math.inf}, {"Ar": 39.9}, 300.0)
    assert choice.value == tidy(flight(39.9, 300.0))


@pytest.mark.parametrize("temperature", [1.0, 85.0, 300.0, 1100.0, 3500.0, 20000.0])
@pytest.mark.parametrize("masses", [{"H": 1.008, "O": 15.999}, {"Si": 28.1, "O": 15.999}, {"Ar": 39.95}, {"U": 238.0}])
def test_steps_are_tidy_and_within_both_limits(masses: dict[str, float], temperature: float) -> None:
    for choice in (first_timestep(masses, temperature), timestep(dict.fromkeys(masses, 60.0), masses, temperature)):
        assert choice.value in STEPS
        lightest = min(masses.values())
        thermal = math.sqrt(BOLTZMANN * temperature / lightest) / TIME_UNIT  # Å/fs
        assert choice.value == STEPS[0] or thermal * choice.value <= FLIGHT * (1 + 1e-9)
    assert timestep(dict.fromkeys(masses, 60.0), masses, 1.0).value <= 60.0 / PERIODS
    assert FEWEST < PERIODS  # before forces are known a margin is in the stiffness


def test_hydrogen_takes_a_shorter_step() -> None:
    """Stretching of O-H, 3700/cm, is a third of the curvature that a hydrogen sees: a period of 15.6 fs, nearly."""
    found = timestep({"H": 15.6, "O": 30.0}, {"H": 1.008, "O": 15.999}, 300.0)
    assert found.value == 0.5
    assert "H, 16 fs" in found.reason
