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
from refine.sampling.averages import inefficiency, standard_error
from refine.sampling.frames import Frames
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin, NoseHoover, VelocityVerlet
from refine.sampling.starts import random_packing
from refine.system import System, make_system
from refine.units import BOLTZMANN, PRESSURE_UNIT

EPSILON, SIGMA = 0.010324, 3.405  # eV, Å: argon

# T*, rho*, U*, error, p*, error: Lennard-Jones cut at 3 sigma with long-range corrections, NVT Monte Carlo, 500 atoms.
# NIST Standard Reference Simulation Website, SRD 173, "Lennard-Jones fluid properties: MC".
NIST = {
    "langevin": (0.85, 0.776, -5.5121, 0.0005, 0.0068, 0.0017),
    "nose-hoover": (0.90, 0.820, -5.7456, 0.0005, 0.8239, 0.0017),
}


def equilibrated(system: System, force_field: Any, params: Any, temperature: float, **settings: Any) -> Any:
    """A sampler and its state after 10 ps at twice the temperature and 10 ps at the temperature."""
    sampler = Sampler(system, force_field, **{"timestep": 10.0, "stride": 10, "n_bins": 50, "r_max": 8.0} | settings)
    state = sampler.start(system.positions, temperature, seed=11)
    frames = math.ceil(10_000 / (sampler.timestep * sampler.stride))
    for kelvin in (2 * temperature, temperature):
        state, _ = sampler.run(state, params, kelvin, frames, observe=False)
    return sampler, state


@pytest.fixture(scope="module", params=sorted(NIST))
def reference_state(request: pytest.FixtureRequest, pair_model: Callable[..., Any]) -> tuple[str, Frames]:
    """A NIST state point sampled for 60 ps with each thermostat."""
    t_star, rho_star = NIST[request.param][:2]
    thermostat = Langevin(0.5) if request.param == "langevin" else NoseHoover(0.3)
    system = random_packing({"Ar": 500}, rho_star / SIGMA**3, seed=2)
    model = pair_model(system, 3 * SIGMA)
    params = model.params(EPSILON, SIGMA)
    temperature = t_star * EPSILON / BOLTZMANN
    sampler, state = equilibrated(system, model, params, temperature, thermostat=thermostat)
    _, frames = sampler.run(state, params, temperature, 600)
    return request.param, frames


def test_energy_and_pressure_agree_with_nist(reference_state: tuple[str, Frames]) -> None:
    name, frames = reference_state
    t_star, rho, u_nist, u_error, p_nist, p_error = NIST[name]
    # long-range corrections for g = 1 beyond the cutoff (Allen & Tildesley, section 2.8)
    x3 = 3.0**-3
    u_tail = 8 / 3 * math.pi * rho * (x3**3 / 3 - x3)
    p_tail = 16 / 3 * math.pi * rho**2 * (2 / 3 * x3**3 - x3)
    u = frames.energy / (500 * EPSILON) + u_tail
    # the pressure with the temperature that was asked for: the kinetic part then adds no noise
    p = rho * t_star + frames.virial / 3 / frames.volume * SIGMA**3 / EPSILON + p_tail
    assert abs(u.mean() - u_nist) < 4 * math.hypot(standard_error(u), u_error)
    assert abs(p.mean() - p_nist) < 4 * math.hypot(standard_error(p), p_error)
    assert standard_error(u) < 0.01  # the test must be able to fail: 0.2 % of the energy,
    assert standard_error(p) < 0.06  # and a twentieth of what a step of 0.04 in rho* changes
    kinetic = PRESSURE_UNIT * rho / SIGMA**3 * BOLTZMANN * frames.temperature
    virial = PRESSURE_UNIT * frames.virial / 3 / frames.volume
    np.testing.assert_allclose(frames.pressure(), kinetic + virial, rtol=1e-9)


def test_kinetic_energy_fluctuates_canonically(reference_state: tuple[str, Frames]) -> None:
    """<T_kin> = T and var(T_kin) = 2 T^2 / dof; at constant energy the variance would be about half of that."""
    name, frames = reference_state
    temperature = NIST[name][0] * EPSILON / BOLTZMANN
    dof = 1500 if name == "langevin" else 1497
    scaled = frames.temperature / temperature
    # the kinetic temperature of a finite timestep is off by O((omega dt)^2): 0.4 % is allowed on top
    assert abs(scaled.mean() - 1) < 4 * float(standard_error(scaled)) + 0.004
    squares = (scaled - scaled.mean()) ** 2 * dof / 2
    independent = len(scaled) / float(inefficiency(squares))
    assert abs(squares.mean() - 1) < 4 * math.sqrt(2 / independent)
    assert math.sqrt(2 / independent) < 0.2


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
