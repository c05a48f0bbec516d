"""The jax_md form of MACE: its protocol, its derivatives, and a simulation with jax_md's own integrator."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from jax_md import simulate, space

import refine
from refine.errors import InputError
from refine.potentials.mace.functional import mace
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODEL = random_checkpoint(3, scale=2.0)
SPECIES = ["Fe", "O", "O", "Fe", "O"]
BOX = np.array([[6.5, 0.0, 0.0], [-2.4, 5.6, 0.0], [1.3, 1.8, 6.1]])
POSITIONS = np.array([[0.2, 0.1, 0.3], [2.2, 2.0, 0.9], [0.8, 2.5, 3.0], [4.5, 1.1, 2.9], [1.3, 4.7, 5.1]])
"""Å, a box with many images of an atom within the model's 5 Å."""


@pytest.mark.parametrize("box", [BOX, np.array([5.5, 6.0, 7.0])])
def test_energy_and_its_derivatives(box: np.ndarray) -> None:
    """By positions and by strain, against the calculator; a cell by its matrix or by its edges."""
    cell = np.diag(box) if box.ndim == 1 else box
    atoms = Atoms(SPECIES, POSITIONS, cell=cell, pbc=True)
    atoms.calc = refine.Calculator(MODEL)
    with jax.enable_x64(True):
        neighbor_fn, energy_fn = mace(MODEL, precision="float64")(SPECIES, box)
        positions = jnp.asarray(POSITIONS)
        neighbors = neighbor_fn.allocate(positions)
        assert not neighbors.did_buffer_overflow

        def strained(strain: jax.Array) -> jax.Array:
            matrix = jnp.eye(3) + strain
            return energy_fn(positions @ matrix, neighbors, box=jnp.asarray(cell) @ matrix)

        energy, gradient = map(np.asarray, jax.jit(jax.value_and_grad(energy_fn))(positions, neighbors))
        virial = np.asarray(jax.jit(jax.grad(strained))(jnp.zeros((3, 3))))
        isolated = sum(energy_fn.model.isolated[energy_fn.model.species.index(symbol)] for symbol in SPECIES)
    assert abs(energy + isolated - atoms.get_potential_energy()) < 1e-9
    np.testing.assert_allclose(gradient, -atoms.get_forces(), atol=1e-10)
    np.testing.assert_allclose((virial + virial.T) / 2, atoms.get_volume() * atoms.get_stress(voigt=False), atol=1e-9)


def test_plain_energies_can_be_differentiated_by_weights_and_twice() -> None:
    with jax.enable_x64(True):
        small = random_checkpoint(3, max_ell=1, l_hidden=0, channels=2)
        neighbor_fn, energy_fn = mace(small, precision="float64", plain=True)(SPECIES, BOX)
        positions = jnp.asarray(POSITIONS)
        neighbors = neighbor_fn.allocate(positions)
        evaluate = jax.jit(energy_fn)
        of_scale = jax.grad(lambda scale: evaluate(positions, neighbors, energy_fn.params | {"scale": scale}))
        slope = of_scale(energy_fn.params["scale"])
        doubled = energy_fn.params | {"scale": 2 * energy_fn.params["scale"]}
        change = evaluate(positions, neighbors, doubled) - evaluate(positions, neighbors, energy_fn.params)
        np.testing.assert_allclose(slope * energy_fn.params["scale"], change, rtol=1e-9)
        step = 1e-5 * jnp.asarray(np.random.default_rng(0).normal(size=POSITIONS.shape))
        force = jax.jit(jax.grad(energy_fn))
        bend = jax.jvp(lambda r: force(r, neighbors), (positions,), (step,))[1]
        numbers = (force(positions + step, neighbors) - force(positions - step, neighbors)) / 2
        np.testing.assert_allclose(bend, numbers, atol=1e-6 * np.abs(bend).max())


@pytest.mark.slow
def test_a_simulation_with_jax_md() -> None:
    """NVE by jax_md.simulate, its shift wrapping positions at each step: one compilation, energy conserved."""
    _, shift = space.periodic_general(BOX.T, fractional_coordinates=False)
    neighbor_fn, energy_fn = mace(MODEL, skin=0.3)(SPECIES, BOX)
    positions = jnp.asarray(POSITIONS, jnp.float32)
    neighbors = neighbor_fn.allocate(positions, extra_capacity=16)
    init, apply = simulate.nve(energy_fn, shift, 0.02)
    mass = jnp.asarray([55.8 if symbol == "Fe" else 16.0 for symbol in SPECIES], jnp.float32)
    traced = []

    @jax.jit
    def steps(state: simulate.NVEState, neighbors: object) -> tuple[simulate.NVEState, object, jax.Array, jax.Array]:
        traced.append(1)

        def one(carry: tuple, _: None) -> tuple:
            state, neighbors, rebuilds = carry
            updated = neighbors.update(state.position)
            rebuilds += jnp.any(updated.list.reference != neighbors.list.reference)
            return (apply(state, neighbor=updated), updated, rebuilds), None

        (state, neighbors, rebuilds), _ = jax.lax.scan(one, (state, neighbors, 0), length=100)
        kinetic = jnp.sum(state.momentum**2 / (2 * state.mass))
        return state, neighbors, energy_fn(state.position, neighbors.update(state.position)) + kinetic, rebuilds

    state = init(jax.random.key(0), positions, 0.05, mass=mass, neighbor=neighbors)
    totals, built = [], 0
    for _ in range(6):
        state, neighbors, total, rebuilds = steps(state, neighbors)
        totals.append(float(total))
        built += int(rebuilds)
    assert len(traced) == 1
    assert not neighbors.did_buffer_overflow
    assert built > 3
    assert np.ptp(totals) < 1e-3
    inside = np.asarray(state.position, float) @ np.linalg.inv(BOX)
    assert ((inside > -1e-5) & (inside < 1 + 1e-5)).all()


def test_overflow_is_kept_until_the_list_is_allocated_again() -> None:
    neighbor_fn, energy_fn = mace(MODEL)(SPECIES, BOX)
    positions = jnp.asarray(POSITIONS, jnp.float32)
    short = neighbor_fn.allocate(positions, extra_capacity=-40)
    assert short.did_buffer_overflow
    assert short.update(positions + 3.0).did_buffer_overflow
    enough = neighbor_fn.allocate(positions)
    assert not enough.did_buffer_overflow
    assert not jax.jit(neighbor_fn.update)(positions, enough).did_buffer_overflow
    assert enough.update(positions, jnp.asarray(0.6 * BOX, jnp.float32)).did_buffer_overflow  # too few images
    smaller = jnp.asarray(0.9 * BOX, jnp.float32)
    anew = neighbor_fn.allocate(0.9 * positions, box=smaller)
    assert not anew.did_buffer_overflow
    assert np.isfinite(jax.jit(energy_fn)(0.9 * positions, anew, box=smaller))


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(InputError, match="does not know Xe"):
        mace(MODEL)(["Xe"], BOX)
    with pytest.raises(InputError, match="a box has shape"):
        mace(MODEL)(SPECIES, np.eye(2))
    neighbor_fn, _ = mace(MODEL)(SPECIES, BOX)
    with pytest.raises(ValueError, match=r"positions are float32\(4, 3\)"):
        neighbor_fn.allocate(jnp.zeros((4, 3), jnp.float32))
