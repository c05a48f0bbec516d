"""Trajectories at constant energy: what they conserve, and that they are the sampler's own dynamics."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from refine.errors import SimulationError
from refine.potentials.classical import LennardJones
from refine.potentials.pairs import PairForceField
from refine.sampling.diffusion import diffusion
from refine.sampling.frames import Frames
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.segments import SegmentRunner
from refine.sampling.jax.thermostats import VelocityVerlet
from refine.sampling.segments import starts
from refine.units import BOLTZMANN, TIME_UNIT


@pytest.fixture(scope="module")
def free(make_sampler, liquid):
    return make_sampler(liquid.sampler.system, thermostat=VelocityVerlet(), stride=1)


def test_energy_and_momentum_are_conserved_and_the_temperature_is_that_of_the_start(liquid):
    """Four segments of 4 ps, smoothly cut: energy to 1e-3 kT an atom, mean temperature within 4 sigma of its
    fluctuation over starts (5 % each)."""
    system = liquid.sampler.system
    model = LennardJones((("Ar", "Ar"),), np.array([0.010324]), np.array([3.405]), 7.5)
    field = PairForceField(model, 7.5, system.n_per_species, orthorhombic=True)
    settings = {"thermostat": VelocityVerlet(), "timestep": 5.0, "stride": 1, "n_bins": 1, "r_max": 7.0}
    positions = np.repeat(liquid.state.positions, 4, axis=0)
    runner = SegmentRunner(Sampler(system, field, **settings), field.params(None), positions, 95.0, 7, 0.1)
    segments = runner.lengthen(40)
    kt = BOLTZMANN * 95.0
    assert np.abs(segments.drift).max() < 1e-3 * kt
    assert segments.length == pytest.approx(4.0)
    assert segments.positions.shape == (4, 41, 108, 3)
    assert segments.stress.shape == (4, 400, 3, 3)
    assert np.ptp(segments.temperature) > 0.1  # each has an energy of its own
    assert segments.temperature.mean() == pytest.approx(95.0, abs=4 * 0.05 * 95.0 / 2)
    for end in runner.ends:
        assert np.abs(end.momenta.sum(axis=1)).max() < 1e-3


def test_it_is_the_trajectory_of_the_sampler_and_its_stress_has_the_virial_on_its_diagonal(make_sampler, liquid):
    """In double precision, the same start and momenta: positions at 0.1 ps, and trace of the stress at 10 fs."""
    settings = {"thermostat": VelocityVerlet(), "dtype": "float64", "positions": True}
    plain = make_sampler(liquid.sampler.system, stride=2, **settings)
    params = plain.force_field.params(dtype="float64")
    start = plain.start(liquid.state.positions, liquid.temperature, 11)
    _, frames = plain.run(start, params, liquid.temperature, 10)
    runner = SegmentRunner(plain, params, liquid.state.positions, liquid.temperature, 11, 0.1)
    segments = runner.lengthen(1)
    difference = segments.positions[0, 1] - frames.positions[-1]
    np.testing.assert_allclose(difference, 0.0, atol=1e-9)
    kinetic = 3 * 107 * BOLTZMANN * frames.temperature
    np.testing.assert_allclose(np.trace(segments.stress[0], axis1=1, axis2=2), kinetic + frames.virial, rtol=1e-9)


def test_an_ideal_gas_keeps_its_momenta_and_its_path_is_straight(make_sampler, liquid):
    """The stress is sum p (x) p / m at every moment, and MSD is not linear in time."""
    gas = make_sampler(liquid.sampler.system, thermostat=VelocityVerlet(), dtype="float64")
    params = gas.force_field.params(epsilon=0.0, dtype="float64")
    runner = SegmentRunner(gas, params, np.repeat(liquid.state.positions, 3, axis=0), 95.0, 3, 0.02)
    momenta = [end.momenta[0] for end in runner.ends]
    segments = runner.lengthen(50)
    masses = gas.system.masses[:, None]
    for p, stress in zip(momenta, segments.stress, strict=True):
        np.testing.assert_allclose(stress, np.broadcast_to(p.T @ (p / masses), stress.shape), rtol=1e-9, atol=1e-9)
    (d,) = diffusion(segments.positions, gas.system.cell, ("Ar",), (108,), gas.system.masses, segments.interval)
    assert not d.linear()
    first = segments.positions[0, 0] + momenta[0] / masses * 10.0 / TIME_UNIT * 2
    np.testing.assert_allclose(segments.positions[0, 1], first, atol=1e-9)


def test_longer_segments_begin_with_the_shorter_ones(free, liquid):
    def fresh():
        return SegmentRunner(free, liquid.params, liquid.state.positions, liquid.temperature, 7, 0.1)

    grown = fresh()
    grown.lengthen(20)
    segments = grown.lengthen(20)
    blocks = grown.points_per_block
    assert segments.positions.shape[1] == 41
    if 20 % blocks == 0:
        np.testing.assert_array_equal(segments.positions, fresh().lengthen(40).positions)


def test_energy_that_is_not_conserved_is_an_error(liquid):
    """A force that is no gradient, about the middle of the box."""
    field = liquid.sampler.force_field

    class Turning(type(field)):
        def forces(self, params, positions, neighbors, cell):
            swirl = 1e-3 * jnp.cross(jnp.array([0.0, 0.0, 1.0]), positions - jnp.diag(cell) / 2)
            return super().forces(params, positions, neighbors, cell) + swirl

    swirling = Turning(field.n_per_species, field.orthorhombic, field.cutoff)
    settings = {"thermostat": VelocityVerlet(), "timestep": 5.0, "stride": 1, "n_bins": 80, "r_max": 8.0}
    turning = Sampler(liquid.sampler.system, swirling, **settings)
    runner = SegmentRunner(turning, liquid.params, liquid.state.positions, liquid.temperature, 7, 0.1)
    with pytest.raises(SimulationError, match="energy is not conserved"):
        runner.lengthen(40)


def test_starts_are_spread_over_all_frames():
    n = 12
    positions = np.arange(n)[:, None, None] * np.ones((n, 2, 3))
    zero = np.zeros(n)
    frames = Frames(np.zeros((n, 1, 4)), zero, zero, zero, np.repeat([0, 1], 6), 8.0, (2,), 8000.0, positions)
    np.testing.assert_array_equal(starts(frames, 4)[:, 0, 0], [1, 4, 7, 10])
    with pytest.raises(ValueError, match="cannot start"):
        starts(frames, 13)
    with pytest.raises(ValueError, match="no positions"):
        starts(replace(frames, positions=None), 4)
