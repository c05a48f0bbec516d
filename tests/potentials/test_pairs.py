"""Pair force fields with charges: what the sampler sees, against the sums by definition."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.neighbors import build
from refine.errors import InputError, SimulationError
from refine.potentials.bases import base_of
from refine.potentials.classical import PairForm
from refine.potentials.classical.base import ClassicalModel as Model
from refine.potentials.pairs import PairForceField
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin, VelocityVerlet
from refine.system import System
from tests.potentials.classical.direct import CELLS, direct, random_box

CUT = 7.0
SILICA = {"Si": 60, "O": 120}


def field_of(
    system: System, precision: str, correction: float = 4.0, **model: object
) -> tuple[PairForm, PairForceField]:
    """A base as a study has it."""
    read = Model.model_validate({"r_cut": CUT, **model})
    kind = base_of(read.base)
    pairs = tuple((a, b) for i, a in enumerate(system.species) for b in system.species[i:])
    potential = kind.read(read, system.species, pairs, correction)
    return potential, kind.force_field(potential, correction, system, precision)


def tensor(field: PairForceField, system: System) -> np.ndarray:
    """The virial tensor, and minus the derivative of the energy by a strain of shape (central differences)."""

    @jax.jit
    def both(positions: jax.Array, cell: jax.Array, strain: jax.Array) -> tuple[jax.Array, jax.Array]:
        at, box = positions @ strain, cell @ strain
        neighbors = build(at, box, CUT + 0.01, capacity=system.n_atoms - 1, orthorhombic=system.orthorhombic)
        arguments = (field.params(None), at, neighbors, box)
        return field.virial_tensor(*arguments), jnp.sum(field.observables(*arguments)[0])

    shear = np.zeros((3, 3))
    shear[0, 1] = shear[2, 2] = 1e-6
    with jax.enable_x64(True):
        fixed = (jnp.asarray(system.positions), jnp.asarray(system.cell))
        found = both(*fixed, jnp.eye(3))[0]
        ends = [float(both(*fixed, jnp.asarray(np.eye(3) + sign * shear))[1]) for sign in (1, -1)]
    return np.asarray(found), -(ends[0] - ends[1]) / 2e-6


@pytest.mark.parametrize("counts", [SILICA, {"Si": 50, "O": 120}])
def test_the_virial_tensor_with_an_ewald_sum(counts: dict[str, int]) -> None:
    """Neutral, and with a background that makes it so."""
    system = random_box(counts, CELLS["triclinic"], 1.6)
    charges = {"Si": 2.4, "O": -1.2 * 2 * counts["Si"] / counts["O"]}
    _, field = field_of(system, "float64", base="pedone-2006", charges=charges)
    found, derivative = tensor(field, system)
    assert found[0, 1] + found[2, 2] == pytest.approx(derivative, rel=1e-6)
    assert np.trace(found) == pytest.approx(evaluation(field, system)(1.0)[2], rel=1e-9)


def evaluation(field: PairForceField, system: System) -> Callable[[float], tuple[float, np.ndarray, float]]:
    """Energy, forces and virial of a system whose lengths are multiplied by a factor, as the sampler gets them."""
    dtype = np.dtype(field.precision)

    @jax.jit
    def everything(positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, ...]:
        neighbors = build(positions, cell, CUT + 0.01, capacity=system.n_atoms - 1, orthorhombic=system.orthorhombic)
        params = field.params(None)
        observed = field.observables(params, positions, neighbors, cell)
        return *observed, field.forces(params, positions, neighbors, cell)

    def at(scale: float) -> tuple[float, np.ndarray, float]:
        with jax.enable_x64(dtype == np.float64):
            found = everything(*(jnp.asarray(scale * array, dtype) for array in (system.positions, system.cell)))
            energy, virial, forces = (np.asarray(part, float) for part in found)
        return float(energy.sum()), forces, float(virial.sum())

    return at


BASES = {
    "pedone": {"base": "pedone-2006"},
    "bks-1990, damped, cut off": {"base": "bks-1990", "coulomb": "dsf", "truncation": "none"},
}


@pytest.mark.parametrize(("cell", "precision"), [("orthorhombic", "float64"), ("triclinic", "float32")])
@pytest.mark.parametrize("name", BASES)
def test_what_the_sampler_sees(name: str, cell: str, precision: str) -> None:
    """Of a random box: table (4096 nodes) and Ewald sum to 1e-5 of the energy, 2e-5 of the force (rms) and 1e-4 of the
    virial, in which large terms cancel."""
    system = random_box(SILICA, CELLS[cell], 1.6)
    potential, field = field_of(system, precision, **BASES[name])
    exact, mine = direct(potential, system), evaluation(field, system)(1.0)
    rms = float(np.sqrt(np.mean(exact[1] ** 2)))
    assert mine[0] == pytest.approx(exact[0], rel=1e-5)
    np.testing.assert_allclose(mine[1], exact[1], rtol=0, atol=1e-4 * rms)
    assert float(np.sqrt(np.mean((mine[1] - exact[1]) ** 2))) < 2e-5 * rms
    assert mine[2] == pytest.approx(exact[2], rel=1e-4)


@pytest.mark.parametrize("model", [{"base": "pedone-2006"}, {"base": "bks-1990", "coulomb": "dsf"}])
def test_virial_is_the_derivative_by_volume(model: dict[str, str]) -> None:
    """W = -3 V dU/dV by central differences of the energy, Coulomb included, triclinic."""
    system = random_box(SILICA, CELLS["triclinic"], 1.6)
    _, field = field_of(system, "float64", **model)
    at, step = evaluation(field, system), 1e-4
    slope = (at(1 + step)[0] - at(1 - step)[0]) / (2 * step)
    assert at(1.0)[2] == pytest.approx(-slope, rel=1e-5)


def test_a_cutoff_inside_the_correction_is_refused() -> None:
    system = random_box(SILICA, CELLS["orthorhombic"], 1.6)
    with pytest.raises(InputError, match=r"set r_cut to 7\.5"):
        field_of(system, "float32", 7.5, base="pedone-2006", truncation="none")


def test_a_charged_box_is_refused() -> None:
    system = random_box({"Fe": 49, "O": 51}, CELLS["orthorhombic"], 1.6)
    with pytest.raises(InputError, match=r"charge of -2\.4 e"):
        field_of(system, "float32", base="pedone-2006", ions={"Fe": "Fe2+"})


def sampler_of(system: System, field: PairForceField, thermostat: object, **more: object) -> Sampler:
    return Sampler(
        system,
        field,
        thermostat=thermostat,
        timestep=1.0,
        stride=20,
        n_bins=50,
        r_max=system.r_box,
        dtype=field.precision,
        **more,
    )


@pytest.mark.slow
def test_energy_is_conserved() -> None:
    """Molten silica with Ewald at 4000 K, 0.5 ps of velocity Verlet: drift of the total below 1e-3 of kT per atom."""
    system = random_box({"Si": 64, "O": 128}, np.diag([14.2, 14.2, 14.2]), 1.5)
    _, field = field_of(system, "float64", base="pedone-2006", r_cut=7.0)
    params = field.params(None)
    heated = sampler_of(system, field, Langevin(0.1))
    state = heated.start(heated.minimise(system.positions, params), 4000.0, seed=1)
    state, _ = heated.run(state, params, 4000.0, 10, observe=False)
    free = sampler_of(system, field, VelocityVerlet(), phase="solid")
    start = free.start(state.positions, 4000.0, seed=2)
    _, frames = free.run(start, params, 4000.0, 25)
    kinetic = 1.5 * (system.n_atoms - 1) * 8.617333e-5 * frames.temperature
    total = (frames.energy + kinetic) / system.n_atoms
    drift = np.polyfit(np.arange(len(total)), total, 1)[0] * len(total)
    assert abs(drift) < 1e-3 * 8.617e-5 * 4000.0
    assert np.ptp(total) < 1e-2 * 8.617e-5 * 4000.0


def test_atoms_that_fall_into_a_bare_buckingham_are_reported() -> None:
    """Not sampled in silence: two oxygens inside the barrier, which is at 1.44 Å."""
    system = random_box({"Si": 64, "O": 128}, np.diag([14.2, 14.2, 14.2]), 1.5)
    numbers = {
        "parameters": {
            "A": {"Si-O": 18003.7572, "O-O": 1388.773},
            "rho": {"Si-O": 1 / 4.87318, "O-O": 1 / 2.76},
            "C": {"Si-O": 133.5381, "O-O": 175.0},
        },
        "charges": {"Si": 2.4, "O": -1.2},
    }
    _, field = field_of(system, "float32", base="buckingham", **numbers)
    positions = system.positions.copy()
    positions[-1] = positions[-2] + np.array([1.2, 0.0, 0.0])
    sampler = sampler_of(system, field, Langevin(0.1))
    with pytest.raises(SimulationError):
        sampler.run(sampler.start(positions, 3000.0, seed=1), field.params(None), 3000.0, 10)


def test_a_potential_that_cannot_be_tabulated_is_named_by_its_pair() -> None:
    class Wrong:
        """Its derivative is not that of its energy, for the second pair."""

        pairs = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))
        inner, cutoff = 2.0, CUT

        def energy(self, r: np.ndarray) -> np.ndarray:
            return np.tile((CUT - np.asarray(r)) ** 2, (3, 1))

        def derivative(self, r: np.ndarray) -> np.ndarray:
            return -2.0 * np.array([[1.0], [0.2], [1.0]]) * (CUT - np.asarray(r))

    with pytest.raises(
        InputError, match=r"Ar-Kr cannot be tabulated: at r = .* must belong together; compare its"
    ) as caught:
        PairForceField(Wrong(), CUT, (10, 10), orthorhombic=True).params(None)
    assert "nodes" not in str(caught.value)
