"""The time step against oscillators whose period is known."""

import math
from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
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
from refine.study.study import Study
from refine.units import BOLTZMANN, TIME_UNIT
from tests import small_box


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


def test_a_step_that_failed_is_not_taken() -> None:
    found = timestep({"Ar": 838.0}, {"Ar": 39.9}, 85.0, 1.0)
    assert found.value == 1.0
    assert "failed" in found.reason
    assert timestep({"Ar": 838.0}, {"Ar": 39.9}, 85.0, 20.0).value == 10.0


def test_hydrogen_takes_a_shorter_step() -> None:
    """Stretching of O-H, 3700/cm, is a third of the curvature that a hydrogen sees: a period of 15.6 fs, nearly."""
    found = timestep({"H": 15.6, "O": 30.0}, {"H": 1.008, "O": 15.999}, 300.0)
    assert found.value == 0.5
    assert "H, 16 fs" in found.reason


def test_a_step_that_rounding_takes_back(tmp_path: Path) -> None:
    """At the far end of a box of 17 Å float32 tells positions 1.0e-6 to 1.9e-6 Å apart; argon flies 1.3e-3 Å in a fs at
    85 K. The schedule's own steps are seen, too, and float64 takes any."""
    study = small_box.write(tmp_path)
    stage = "\n[[schedule]]\ntemperature = 85.0\npicoseconds = 1.0\ntimestep = {}\nto = {}\n"
    for step, to, precision, moves in (
        (1.0, 85.0, "float32", True),
        (0.001, 85.0, "float32", True),
        (0.001, 20.0, "float32", False),
        (0.001, 20.0, "float64", True),
    ):
        text = small_box.STUDY.replace("[sampling]", f'[sampling]\nprecision = "{precision}"')
        study.write_text(text + stage.format(step, to))
        if moves:
            Study.from_toml(study)
            continue
        with pytest.raises(InputError, match=r"\[\[schedule\]\] 1: in timestep = 0\.001 fs at 20 K .* not move"):
            Study.from_toml(study)
    x = np.float32(17.19)
    v = math.sqrt(BOLTZMANN * 20.0 / 39.95) / TIME_UNIT
    assert np.float32(x + np.float32(v * 0.001)) == x
    assert np.float32(x + np.float32(v * 0.01)) != x
