"""Metadynamics against what is known without it: a free energy in closed form, finite differences, plain averages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.neighbors import NeighborList
from kernels.pair import pair_forces, pair_observables, pair_table, pair_virial_tensor, table_radii
from kernels.pair_sums import all_pairs, pair_sums, sum_table
from refine.errors import InputError
from refine.sampling.bias import Bias, Hills, Variable, effective, reweighted
from refine.sampling.jax.metadynamics import Metadynamics, biased_sampler, biased_start, hills_of
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin
from refine.sampling.state import stored_state
from refine.system import make_system
from refine.units import BOLTZMANN

TEMPERATURE = 300.0
BARRIER = 8.0  # kT


def well(r: Any) -> Any:
    """Two minima at 3.0 and 4.0 Å, and BARRIER between, kT."""
    return BARRIER * (((r - 3.5) / 0.5) ** 2 - 1) ** 2


@dataclass(frozen=True)
class Dimer:
    """Two atoms under `well`."""

    n_per_species: tuple[int, ...] = (2,)
    orthorhombic: bool = True
    cutoff: float = 4.6
    inner_cutoff: float | None = None
    periodic_images: bool = False
    cost: float = 1.0

    def params(self) -> Any:
        r = table_radii(2.0, self.cutoff, 8192)
        kT = BOLTZMANN * TEMPERATURE
        slope = 4 * BARRIER * (((r - 3.5) / 0.5) ** 2 - 1) * (r - 3.5) / 0.25
        return pair_table(kT * well(r)[None], kT * slope[None], 2.0, self.cutoff, tolerance=0.1)

    def forces(self, params: Any, positions: Any, neighbors: Any, cell: Any) -> Any:
        return pair_forces(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)

    def observables(self, params: Any, positions: Any, neighbors: Any, cell: Any) -> Any:
        return pair_observables(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)

    def virial_tensor(self, params: Any, positions: Any, neighbors: Any, cell: Any) -> Any:
        return pair_virial_tensor(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)


def distance(bins: int = 460, r_max: float = 4.6, width: float = 0.05) -> Bias:
    """The distance of a dimer as a variable."""
    centres = (np.arange(bins) + 0.5) * r_max / bins
    return Bias((Variable("r", centres[None, None], np.zeros(1), None, width),), r_max, 0.5, 10.0)


def dimer_sampler(replicas: int, **more: Any) -> Sampler:
    settings = {"thermostat": Langevin(0.2), "timestep": 5.0, "stride": 20, "n_bins": 460, "r_max": 4.6}
    system = make_system({"Ar": 2}, 20.0 * np.eye(3))
    return Sampler(system, Dimer(), replicas=replicas, phase="solid", **settings | more)


def test_the_free_energy_of_a_dimer_is_that_in_closed_form() -> None:
    """F(r) = u(r) - 2 kT ln r over a barrier of 8 kT: 4 sigma of the scatter between eight replicas, which is 0.5 kT
    and less, and 0.1 kT for the width of the hills."""
    frames, bias = 3000, distance()
    plain = dimer_sampler(8)
    sampler = biased_sampler(plain, bias, frames)
    params = sampler.force_field.params()
    positions = np.tile(np.array([[[5.0, 5.0, 5.0], [8.0, 5.0, 5.0]]]), (8, 1, 1))
    begun = biased_start(sampler, plain.start(positions, TEMPERATURE, 1))
    state, sampled = sampler.run(begun, params, TEMPERATURE, frames)
    points = np.linspace(2.9, 4.1, 25)
    exact = well(points) - 2 * np.log(points)
    hills = hills_of(state, bias)
    found = np.array([one.free_energy(points[:, None]) for one in hills])
    found += (exact.mean() - found.mean(axis=1))[:, None]
    error = found.std(axis=0, ddof=1) / np.sqrt(8)
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - exact), 4 * error + 0.1)
    assert error.max() < 0.5
    # and by weights: what part of the time it is in the outer well
    grid = np.linspace(2.6, 4.4, 2001)
    boltzmann = np.exp(-well(grid)) * grid**2
    part = boltzmann[grid > 3.5].sum() / boltzmann.sum()
    outer = np.array([float(reweighted(one.centres[:, 0] > 3.5, one.weights())) for one in hills])
    assert abs(outer.mean() - part) < 4 * outer.std(ddof=1) / np.sqrt(8) + 0.01
    assert outer.std(ddof=1) < 0.15
    counted = bias.variables[0].values(sampled.counts).reshape(8, -1)
    np.testing.assert_allclose(counted, [one.centres[:, 0] for one in hills], atol=0.006)  # half a bin
    assert np.abs(sampled.energy / (BOLTZMANN * TEMPERATURE) - well(counted.ravel())).max() < 1.0  # without the bias


# ---- forces


def mixture() -> tuple[Any, np.ndarray]:
    """A box of two species, and places in it."""
    system = make_system({"Ar": 12, "Kr": 8}, np.diag([9.0, 9.5, 10.0]))
    return system, np.random.default_rng(3).uniform(0, 9, (20, 3))


def both(bins: int, r_max: float) -> Bias:
    """A coordination number, and the length of three sums."""
    r = (np.arange(bins) + 0.5) * r_max / bins
    near = np.zeros((1, 3, bins))
    near[0, 1] = 1 / (1 + np.exp((r - 3.0) / 0.2)) / 12
    waves = np.stack([np.tile(np.sinc(q * r / np.pi) * (1 - r / r_max) ** 2, (3, 1)) for q in (1.5, 2.0, 3.0)])
    variables = (
        Variable("Ar-Kr", near, np.zeros(1), None, 0.3),
        Variable("distance", waves, np.array([0.3, -0.1, 0.2]), 0.05, 0.5),
    )
    return Bias(variables, r_max, 1.0, 8.0)


def test_forces_of_the_bias_are_minus_its_gradient() -> None:
    """Central differences of the energy that `Hills` has of the variables, float64."""
    system, positions = mixture()
    bias = both(90, 4.5)
    hills = Hills(np.array([[0.4, 1.5], [0.7, 2.5], [0.5, 2.0]]), np.array([1.0, 0.8, 0.5]), bias)
    kT = 0.03
    with jax.enable_x64(True):
        field = Dimer((12, 8))
        thermostat = Metadynamics(Langevin(0.5), bias, 3, field)
        cell = jnp.asarray(system.cell)
        table = sum_table(np.concatenate([one.functions for one in bias.variables]), 4.5, np.float64)
        state = (jnp.asarray(hills.centres), jnp.asarray(hills.heights), jnp.asarray(3))
        neighbors = NeighborList(all_pairs(20), jnp.asarray(positions), jnp.asarray(False))

        def energy(x: np.ndarray) -> float:
            sums = np.asarray(pair_sums(jnp.asarray(x), all_pairs(20), table, cell, (12, 8), True))
            s = [sums[0], np.sqrt(((sums[1:] + bias.variables[1].constants) ** 2).sum() + 0.05**2)]
            return kT * float(hills.potential([s])[0])

        forces = np.asarray(thermostat.forces(jnp.asarray(positions), state, neighbors, cell, jnp.asarray(kT)))
        assert np.abs(forces).max() > 1e-3
        np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-12)
        for i, axis in ((0, 0), (5, 1), (13, 2), (19, 0)):
            ends = []
            for sign in (1, -1):
                moved = positions.copy()
                moved[i, axis] += sign * 1e-6
                ends.append(energy(moved))
            assert forces[i, axis] == pytest.approx(-(ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-9)


# ---- trajectories


def test_a_resumed_trajectory_is_the_one_that_never_stopped() -> None:
    """Hills and all, bit for bit, and each replica has hills of its own."""
    frames, bias = 400, distance()
    plain = dimer_sampler(2, n_bins=46)
    sampler = biased_sampler(plain, bias, frames)
    params = sampler.force_field.params()
    positions = np.tile(np.array([[[5.0, 5.0, 5.0], [8.0, 5.0, 5.0]]]), (2, 1, 1))
    begun = biased_start(sampler, plain.start(positions, TEMPERATURE, 1))
    block = sampler.frames_per_block
    whole, seen = sampler.run(begun, params, TEMPERATURE, 3 * block)
    half, first = sampler.run(begun, params, TEMPERATURE, 2 * block)
    again = biased_sampler(dimer_sampler(2, n_bins=46), bias, frames)
    end, second = again.run(stored_state(half.to_arrays()), params, TEMPERATURE, block)
    for name, value in whole.to_arrays().items():
        np.testing.assert_array_equal(end.to_arrays()[name], value, err_msg=name)
    assert len(first) + len(second) == len(seen)
    one, two = hills_of(whole, bias)
    assert len(one.heights) == 3 * block
    assert np.abs(one.centres - two.centres).max() > 0.1
    np.testing.assert_allclose(one.heights[0], 0.5)
    # a height says what the bias was before it
    earlier = replace(one, centres=one.centres[:50], heights=one.heights[:50])
    assert one.acting()[50] == pytest.approx(earlier.potential(one.centres[50:51])[0], rel=1e-4)


@pytest.mark.slow
def test_averages_of_biased_argon_are_those_of_free_argon(make_sampler: Any, liquid: Any) -> None:
    """The mean coordination number, four standard errors; the bias itself moves it by more."""
    centres = (np.arange(70) + 0.5) * 0.1
    functions = (2.0 / 108 / (1 + np.exp((centres - 4.2) / 0.15)))[None, None]
    bias = Bias((Variable("n", functions, np.zeros(1), None, 0.15),), 7.0, 0.3, 6.0)
    plain = make_sampler(liquid.sampler.system, replicas=4, n_bins=70, r_max=7.0, stride=20)
    start = np.tile(liquid.state.positions, (4, 1, 1))
    params, count = liquid.params, 500
    state, _ = plain.run(plain.start(start, liquid.temperature, 2), params, liquid.temperature, 20, observe=False)
    free_end, free = plain.run(state, params, liquid.temperature, count)
    sampler = biased_sampler(plain, bias, count)
    end, seen = sampler.run(biased_start(sampler, free_end), params, liquid.temperature, count)
    weights = [one.weights() for one in hills_of(end, bias)]
    n = bias.variables[0].values(seen.counts).reshape(4, -1)
    plain_n = bias.variables[0].values(free.counts).reshape(4, -1)
    found = np.array([float(reweighted(values, w)) for values, w in zip(n, weights, strict=True)])
    error = np.hypot(found.std(ddof=1), plain_n.mean(axis=1).std(ddof=1)) / 2
    assert abs(found.mean() - plain_n.mean()) < 4 * error
    assert error < 0.1
    assert n.std() > 1.3 * plain_n.std()  # it did something


# ---- weights


def test_the_offset_of_the_weights_is_the_integral_of_the_literature() -> None:
    """c(t) of two hills by another quadrature."""
    hills = Hills(np.array([[0.0], [0.4], [0.1]]), np.array([2.0, 1.5, 1.0]), distance(width=0.3))
    s, factor = np.linspace(-0.9, 1.3, 20001), 10.0
    v = 2.0 * np.exp(-(s**2) / 0.18) + 1.5 * np.exp(-((s - 0.4) ** 2) / 0.18)
    expected = np.log(np.trapezoid(np.exp(factor * v / 9), s) / np.trapezoid(np.exp(v / 9), s))
    assert hills.offsets()[2] == pytest.approx(expected, abs=2e-3)
    assert hills.offsets()[0] == pytest.approx(0.0, abs=1e-12)


def test_weights_of_few_frames_give_no_average() -> None:
    weights = np.r_[np.ones(3), np.full(100, 1e-9)]
    assert effective(weights) == pytest.approx(3.0, rel=1e-6)
    with pytest.raises(
        InputError, match=r"^\[bias\]: the weights of 103 biased frames are those of 3.0, and an average"
    ):
        reweighted(np.arange(103.0), weights)


def test_a_variable_that_sees_beyond_half_the_box_is_one_line() -> None:
    with pytest.raises(InputError, match="the distance that a variable of the bias sees"):
        biased_sampler(dimer_sampler(1), distance(r_max=10.5), 10)
