"""Statistics of the dynamics against exact results and published values.

Seeds are fixed. Every comparison states its sigma; unless a test says otherwise the limit is four of them. Errors of
averages over a trajectory come from blocks longer than the correlation time (`standard_error`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from scipy import stats

from refine.potentials.classical import LennardJones
from refine.potentials.pairs import PairForceField
from refine.sampling.averages import standard_error
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin, VelocityVerlet
from refine.sampling.starts import random_packing
from refine.system import System, make_system
from refine.units import BOLTZMANN, PRESSURE_UNIT

EPSILON, SIGMA = 0.010324, 3.405  # eV, Å: argon


def equilibrated(system: System, force_field: Any, params: Any, temperature: float, **settings: Any) -> Any:
    """A sampler and its state after 10 ps at twice the temperature and 10 ps at the temperature."""
    sampler = Sampler(system, force_field, **{"timestep": 10.0, "stride": 10, "n_bins": 50, "r_max": 8.0} | settings)
    state = sampler.start(system.positions, temperature, seed=11)
    frames = math.ceil(10_000 / (sampler.timestep * sampler.stride))
    for kelvin in (2 * temperature, temperature):
        state, _ = sampler.run(state, params, kelvin, frames, observe=False)
    return sampler, state


def test_energy_is_conserved_without_a_thermostat() -> None:
    """float32, 5 fs, 40 ps of liquid argon: drift below 0.01 kT per atom and ns, fluctuation below 0.0005 kT."""
    atoms = bulk("Ar", "fcc", a=(4 / 0.02125) ** (1 / 3), cubic=True).repeat(4)
    system = make_system({"Ar": 256}, atoms.cell.array, atoms.positions)
    base = LennardJones((("Ar", "Ar"),), np.array([EPSILON]), np.array([SIGMA]), 8.5)
    model = PairForceField(base, 8.5, (256,), orthorhombic=True)
    # a crystal at twice the temperature melts and ends near 90 K
    sampler, state = equilibrated(
        system, model, model.params(None), 180.0, thermostat=VelocityVerlet(), timestep=5.0, stride=20
    )
    _, frames = sampler.run(state, model.params(None), 90.0, 400)
    thermal = BOLTZMANN * frames.temperature.mean()
    total = frames.energy + (3 * 256 - 3) / 2 * BOLTZMANN * frames.temperature
    per_atom = total / 256 / thermal
    nanoseconds = np.arange(len(total)) * 20 * 5.0 * 1e-6
    slope = np.polyfit(nanoseconds, per_atom, 1)[0]
    assert abs(slope) < 0.01
    assert per_atom.std() < 0.0005
    assert frames.energy.std() / 256 / thermal > 10 * per_atom.std()


@pytest.fixture(scope="module")
def mixture_momenta(pair_model: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    """Momenta over sqrt(m kT) of a liquid of light and heavy atoms, 200 snapshots four time constants apart.

    Returns (snapshots, N, 3) and the species of each atom.
    """
    system = random_packing({"Ne": 60, "Ar": 48}, 0.02, seed=4)
    model = pair_model(system, 7.0)
    params = model.params()
    sampler, state = equilibrated(system, model, params, 110.0, thermostat=Langevin(0.05), timestep=5.0, stride=40)
    scale = np.sqrt(system.masses[:, None] * BOLTZMANN * 110.0)
    snapshots = []
    for _ in range(200):
        state, _ = sampler.run(state, params, 110.0, 1, observe=False)
        snapshots.append(state.momenta[0] / scale)
    return np.array(snapshots, np.float64), np.repeat([0, 1], [60, 48])


def test_energy_is_shared_by_species_and_directions(mixture_momenta: tuple[np.ndarray, np.ndarray]) -> None:
    """Equipartition: <p^2 / m kT> = 1 for each species along x, y and z, within four sigma of independent normals."""
    momenta, species = mixture_momenta
    for kind in (0, 1):
        squares = momenta[:, species == kind] ** 2
        sigma = math.sqrt(2 / (squares.shape[0] * squares.shape[1]))
        # 0.4 % for the finite timestep, as above
        assert np.abs(squares.mean(axis=(0, 1)) - 1).max() < 4 * sigma + 0.004
        assert sigma < 0.02


def test_momenta_are_maxwellian(mixture_momenta: tuple[np.ndarray, np.ndarray]) -> None:
    """Kolmogorov-Smirnov against the normal and, for speeds, the Maxwell distribution; 4 sigma is p > 6e-5."""
    momenta, _ = mixture_momenta
    assert stats.kstest(momenta.ravel(), "norm").pvalue > 6e-5
    assert stats.kstest(np.linalg.norm(momenta, axis=2).ravel(), "maxwell").pvalue > 6e-5
    x, y, z = momenta.reshape(-1, 3).T
    assert abs(np.mean(x * y) + np.mean(y * z) + np.mean(z * x)) < 4 * math.sqrt(3 / len(x))


@pytest.mark.parametrize("cell", [np.eye(3) * 40.0, np.array([[42.0, 0, 0], [8.0, 40.0, 0], [-6.0, 9.0, 41.0]])])
def test_an_ideal_gas_has_no_structure(pair_model: Callable[..., Any], cell: np.ndarray) -> None:
    """g = 1 for every pair of species in a cubic and a triclinic box; counts of free atoms are Poisson distributed."""
    n = {"Ar": 120, "Ne": 80}
    positions = np.random.default_rng(1).random((200, 3)) @ cell
    system = make_system(n, cell, positions)
    model = pair_model(system, 8.0)
    sampler = Sampler(
        system, model, thermostat=Langevin(2.0), timestep=10.0, stride=60, n_bins=30, r_max=system.r_box, phase="solid"
    )
    state = replace(sampler.start(positions, 600.0, seed=1), capacity=64)  # a gas clusters more than a liquid
    _, frames = sampler.run(state, model.params(epsilon=0.0), 600.0, 40)
    z = (frames.pair_distribution() - 1) * np.sqrt(40 * frames.ideal_counts())
    assert np.abs(z).max() < 4.5  # the largest of 90 normal numbers exceeds this once in 1,600 times
    assert abs(np.mean(z**2) - 1) < 4 * math.sqrt(2 / z.size)
    np.testing.assert_array_equal(frames.energy, 0.0)
    assert abs(frames.pressure().mean() / (PRESSURE_UNIT * system.number_density * BOLTZMANN * 600.0) - 1) < 4 * (
        float(standard_error(frames.temperature)) / 600.0
    )
