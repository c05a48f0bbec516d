"""Thermostats on free particles, where the answer is known, and their place in the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refine.sampling.jax.thermostats import THERMOSTATS, Langevin, NoseHoover, VelocityVerlet
from refine.sampling.starts import random_packing
from refine.units import BOLTZMANN, TIME_UNIT

T = 300.0


def test_table_names_the_thermostats_of_a_study_file() -> None:
    made = {name: make(0.3) for name, make in THERMOSTATS.items()}
    assert made["langevin"] == Langevin(time_constant_ps=0.3)
    assert made["nose-hoover"] == NoseHoover(time_constant_ps=0.3)


@pytest.mark.parametrize("thermostat", [Langevin, NoseHoover])
@pytest.mark.parametrize("constant", [0.0, -1.0, math.inf, math.nan])
def test_time_constants_must_be_above_zero(thermostat: type, constant: float) -> None:
    with pytest.raises(ValueError, match="time constant above zero"):
        thermostat(constant)


def test_langevin_of_free_particles_is_an_ornstein_uhlenbeck_process(make_sampler: Callable[..., Any]) -> None:
    """<p(0) p(t)> = m kT exp(-t / tau), whatever the step; 3,000 components, 4 sigma."""
    system = random_packing({"Ar": 1000}, 0.002, seed=1)
    sampler = make_sampler(system, thermostat=Langevin(0.5), timestep=25.0, stride=8, phase="solid")
    start = sampler.start(system.positions, T, seed=3)
    end, _ = sampler.run(start, sampler.force_field.params(epsilon=0.0), T, 1, observe=False)
    scaled = [s.momenta[0] / np.sqrt(system.masses[:, None] * BOLTZMANN * T) for s in (start, end)]
    n, decay = scaled[0].size, math.exp(-200 / 500)
    assert abs(np.mean(scaled[1] ** 2) - 1) < 4 * math.sqrt(2 / n)
    assert abs(np.mean(scaled[0] * scaled[1]) - decay) < 4 * math.sqrt((1 + decay**2) / n)


def test_free_flight_moves_by_velocity_times_time(make_sampler: Callable[..., Any]) -> None:
    """The unit of time: an atom of momentum p has moved p/m t, with t = 400 fs in units of 10.1805 fs."""
    system = random_packing({"Ar": 50}, 0.002, seed=2)
    sampler = make_sampler(system, thermostat=VelocityVerlet(), timestep=10.0, stride=40, dtype="float64")
    start = sampler.start(system.positions, T, seed=1)
    end, _ = sampler.run(start, sampler.force_field.params(epsilon=0.0, dtype="float64"), T, 1)
    expected = start.momenta / system.masses[:, None] * (400.0 / TIME_UNIT)
    np.testing.assert_allclose(end.displacement, expected, atol=1e-6)  # the step is kept in float32
    np.testing.assert_array_equal(end.momenta, start.momenta)


def test_degrees_of_freedom() -> None:
    assert Langevin().degrees_of_freedom(10) == 30
    assert NoseHoover().degrees_of_freedom(10) == VelocityVerlet().degrees_of_freedom(10) == 27
