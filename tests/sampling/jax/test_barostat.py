"""Constant pressure against exact results. Seeds are fixed; limits are four standard errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from refine.errors import SimulationError
from refine.potentials.classical import LennardJones
from refine.potentials.pairs import PairForceField
from refine.sampling.averages import standard_error
from refine.sampling.jax.barostat import MOVE_EVERY, ConstantPressure
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin, VelocityVerlet
from refine.sampling.starts import melt, random_packing
from refine.sampling.volumes import Volumes, joined
from refine.system import make_system
from refine.units import BOLTZMANN, PRESSURE_UNIT


def test_an_ideal_gas_has_its_volume_and_its_fluctuations(make_sampler: Any) -> None:
    """p(V) is V^N exp(-p V / kT): a gamma distribution with mean (N + 1) kT / p and variance (N + 1) (kT / p)^2."""
    n, temperature, edge = 24, 300.0, 20.0
    sampler = make_sampler(make_system({"Ar": n}, np.eye(3) * edge), cutoff=3.0, r_max=3.0)
    params = sampler.force_field.params(epsilon=0.0)
    pressure = (n + 1) * BOLTZMANN * temperature / edge**3 * PRESSURE_UNIT
    state = sampler.start(np.random.default_rng(0).random((n, 3)) * edge, temperature, 1)
    barostat = ConstantPressure(sampler, pressure, seed=3, width=0.5)
    state, cell, _ = barostat.run(state, np.eye(3) * edge, params, temperature, 200)
    _, _, seen = barostat.run(state, cell, params, temperature, 2000)
    volume = seen.volume
    assert abs(volume.mean() - edge**3) < 4 * standard_error(volume)
    assert standard_error(volume) < 0.02 * edge**3
    squares = (volume - edge**3) ** 2
    assert abs(squares.mean() - edge**6 / (n + 1)) < 4 * standard_error(squares)
    assert standard_error(squares) < 0.2 * edge**6 / (n + 1)
    assert sampler.compilations <= 3


@pytest.fixture(scope="module")
def fluid() -> tuple[Sampler, Any, Any]:
    """108 argon atoms at 150 K and 0.018 atoms/Å^3, smoothly cut at 7.5 Å: a sampler, its parameters and a state."""
    system = random_packing({"Ar": 108}, 0.018, 1)
    model = LennardJones((("Ar", "Ar"),), np.array([0.010324]), np.array([3.405]), 7.5)
    field = PairForceField(model, 7.5, system.n_per_species, orthorhombic=True)
    sampler = Sampler(
        system, field, thermostat=Langevin(0.3), timestep=5.0, stride=25, n_bins=20, r_max=6.0, phase="liquid"
    )
    params = field.params(None)
    return sampler, params, melt(sampler, params, 150.0, 1, 5.0)


@pytest.mark.slow
def test_constant_pressure_gives_the_density_that_has_this_pressure(fluid: tuple[Sampler, Any, Any]) -> None:
    sampler, params, state = fluid
    temperature, n, cell = 150.0, 108, sampler.system.cell
    state, frames = sampler.run(state, params, temperature, 500)
    pressures = PRESSURE_UNIT * (n * BOLTZMANN * temperature + frames.virial / 3) / frames.volume
    barostat = ConstantPressure(sampler, float(pressures.mean()), seed=5, width=0.05)
    state, cell, _ = barostat.run(state, cell, params, temperature, 40, tune=True)
    state, cell, seen = barostat.run(state, cell, params, temperature, 500)
    density, error = seen.number_density
    compressibility = seen.volume.var() / (seen.volume.mean() * BOLTZMANN * temperature * PRESSURE_UNIT)  # 1/GPa
    error = math.hypot(error, density * compressibility * float(standard_error(pressures)))
    assert abs(density - 0.018) < 4 * error
    assert error < 0.02 * 0.018  # 0.1 GPa of pressure is a quarter of the density
    assert 0.25 < seen.accepted.mean() < 0.75
    # what is left is a state of the sampler in the new cell
    there = sampler.changed(cell=cell)
    assert there.system.volume == pytest.approx(seen.volume[-1], rel=1e-5)
    _, frames = there.run(state, params, temperature, 1)
    assert frames.energy[0] / n == pytest.approx(seen.energy[-1] / n, abs=0.004)


def test_pressures_and_cells_compile_nothing_more_and_a_seed_repeats(fluid: tuple[Sampler, Any, Any]) -> None:
    sampler, params, state = fluid
    cell = sampler.system.cell

    def run(pressure: float, seed: int) -> tuple[Any, np.ndarray, Volumes]:
        barostat = ConstantPressure(sampler, pressure, seed)
        return barostat.run(state, cell, params, 150.0, barostat.moves_per_block + 3)

    first = run(0.05, 1)
    before = sampler.compilations
    again, other = run(0.05, 1), run(0.2, 2)
    np.testing.assert_array_equal(first[2].volume, again[2].volume)
    np.testing.assert_array_equal(first[0].positions, again[0].positions)
    assert other[2].volume[-1] != first[2].volume[-1]
    sampler.changed(cell=other[1]).run(other[0], params, 150.0, 2)
    assert sampler.compilations <= before + 1  # the dynamics, where this test runs alone


def test_a_box_that_shrinks_below_its_cutoff_is_reported(fluid: tuple[Sampler, Any, Any]) -> None:
    sampler, params, state = fluid
    barostat = ConstantPressure(sampler, 20.0, 1, width=0.1)
    with pytest.raises(SimulationError, match=r"shrinks below what the cutoff of 7\.50 Å needs"):
        barostat.run(state, sampler.system.cell, params, 150.0, 400)


def test_a_box_that_evaporates_is_reported(make_sampler: Any) -> None:
    sampler = make_sampler(make_system({"Ar": 24}, np.eye(3) * 10.0), cutoff=3.0, r_max=3.0)
    state = sampler.start(np.random.default_rng(0).random((24, 3)) * 10, 300.0, 1)
    barostat = ConstantPressure(sampler, 0.0, seed=1, width=0.2)
    with pytest.raises(SimulationError, match="at 300 K and 0 GPa this is a gas; raise the pressure"):
        barostat.run(state, np.eye(3) * 10.0, sampler.force_field.params(epsilon=0.0), 300.0, 2000)


def test_lists_follow_a_box_that_shrinks(make_sampler: Any) -> None:
    """An ideal gas under four times its pressure: the shape of its lists is replaced, and nothing else changes."""
    n, temperature, edge = 24, 300.0, 25.0
    sampler = make_sampler(make_system({"Ar": n}, np.eye(3) * edge), cutoff=3.0, r_max=3.0)
    params = sampler.force_field.params(epsilon=0.0)
    pressure = 4 * (n + 1) * BOLTZMANN * temperature / edge**3 * PRESSURE_UNIT
    state = sampler.start(np.random.default_rng(0).random((n, 3)) * edge, temperature, 1)
    barostat = ConstantPressure(sampler, pressure, seed=1, width=0.3)
    state, cell, _ = barostat.run(state, np.eye(3) * edge, params, temperature, 100)
    _, _, seen = barostat.run(state, cell, params, temperature, 300)
    assert abs(seen.volume.mean() - edge**3 / 4) < 4 * standard_error(seen.volume)
    assert standard_error(seen.volume) < 0.1 * edge**3 / 4


def test_what_cannot_be_sampled(make_sampler: Any) -> None:
    system = make_system({"Ar": 24}, np.eye(3) * 20.0)
    with pytest.raises(ValueError, match="one replica with a thermostat"):
        ConstantPressure(make_sampler(system, replicas=2), 0.0, 1)
    with pytest.raises(ValueError, match="one replica with a thermostat"):
        ConstantPressure(make_sampler(system, thermostat=VelocityVerlet()), 0.0, 1)
    assert ConstantPressure(make_sampler(system), 0.0, 1).moves_in(1.0) == math.ceil(1000 / (5.0 * MOVE_EVERY))


def test_mean_density_has_an_error() -> None:
    part = Volumes(np.array([90.0, 110.0]), np.zeros(2), np.ones(2, bool), 10)
    assert math.isnan(part.number_density[1])
    density, error = joined([part, part, part]).number_density
    assert density == pytest.approx(0.1)
    assert 0 < error < 0.1
