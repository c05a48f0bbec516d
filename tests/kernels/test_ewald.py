"""The reciprocal part of an Ewald sum against the plain sum over wave vectors, and the whole against known lattices.

Compiled, as in the dynamics: one by one, the operations take longer to compile than together.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erfc

from kernels.ewald import EwaldSum
from tests.kernels.boxes import random_positions

CELLS = {
    "orthorhombic": np.diag([11.0, 12.0, 13.5]),
    "triclinic": np.array([[12.0, 0.0, 0.0], [4.0, 11.0, 0.0], [-3.0, 2.0, 13.0]]),
}
CHARGES = np.array([1.2] * 8 + [-0.8] * 12)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def plain(positions: np.ndarray, charges: np.ndarray, cell: np.ndarray, alpha: float, k_cut: float) -> float:
    whole = np.array([h for h in itertools.product(range(-12, 13), repeat=3) if any(h)])
    k = 2 * np.pi * whole @ np.linalg.inv(cell).T
    squares = (k**2).sum(axis=1)
    k, squares = k[squares <= k_cut**2], squares[squares <= k_cut**2]
    sums = np.abs(np.exp(1j * k @ positions.T) @ charges) ** 2
    return 2 * np.pi / np.linalg.det(cell) * float((np.exp(-squares / (4 * alpha**2)) / squares * sums).sum())


@pytest.mark.parametrize("name", CELLS)
def test_energy_is_the_plain_sum(name: str) -> None:
    cell, positions = CELLS[name], random_positions(20, CELLS[name])
    ewald = EwaldSum.for_cell(CHARGES, cell, 0.5, 4.0)
    energy, _ = jax.jit(ewald.observables)(jnp.asarray(positions), jnp.asarray(cell))
    assert energy.sum() == pytest.approx(plain(positions, CHARGES, cell, 0.5, 4.0), rel=1e-12)


def test_a_cell_without_wave_vectors_has_no_reciprocal_part() -> None:
    cell = jnp.eye(3) * 2.0  # its longest wave is 2 Å, 3.1 1/Å
    ewald = EwaldSum.for_cell(np.array([1.0, -1.0]), np.asarray(cell), 0.2, 1.0)
    positions = jnp.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.9]])
    assert ewald.size == 0
    for values in (*jax.jit(ewald.observables)(positions, cell), jax.jit(ewald.forces)(positions, cell)):
        np.testing.assert_array_equal(values, 0.0)


@pytest.mark.parametrize("name", CELLS)
def test_forces_and_virial_are_derivatives(name: str) -> None:
    cell, positions = jnp.asarray(CELLS[name]), jnp.asarray(random_positions(20, CELLS[name]))
    ewald = EwaldSum.for_cell(CHARGES, CELLS[name], 0.5, 4.0)

    def total(positions: jax.Array, cell: jax.Array) -> jax.Array:
        return ewald.observables(positions, cell)[0].sum()

    @jax.jit
    def slopes(positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, ...]:
        return (
            jax.grad(total)(positions, cell),
            jax.grad(lambda scale: total(scale * positions, scale * cell))(1.0),
            jax.grad(lambda by: total(positions @ by, cell @ by))(jnp.eye(3)),
        )

    gradient, slope, strain = slopes(positions, cell)
    np.testing.assert_allclose(jax.jit(ewald.forces)(positions, cell), -gradient, rtol=0, atol=1e-12)
    assert jax.jit(ewald.observables)(positions, cell)[1].sum() == pytest.approx(-float(slope), rel=1e-10)
    tensor = jax.jit(ewald.virial_tensor)(positions, cell)
    np.testing.assert_allclose(tensor, -strain, rtol=0, atol=1e-10 * float(jnp.abs(strain).max()))


def whole_sum(positions: np.ndarray, charges: np.ndarray, cell: np.ndarray, alpha: float) -> float:
    """With the pair part, over images."""
    energy = 0.0
    for image in itertools.product(range(-4, 5), repeat=3):
        r = np.linalg.norm(positions[:, None] - positions[None] + np.array(image) @ cell, axis=2)
        with np.errstate(divide="ignore"):
            terms = np.where(r > 0, charges[:, None] * charges[None] * erfc(alpha * r) / r, 0.0)
        energy += terms.sum() / 2
    ewald = EwaldSum.for_cell(charges, cell, alpha, 14 * alpha)
    parts = (
        jax.jit(ewald.observables)(jnp.asarray(positions), jnp.asarray(cell)),
        jax.jit(ewald.self_energy)(jnp.asarray(cell)),
    )
    return energy + sum(float(part[0].sum()) for part in parts)


def test_madelung_constants() -> None:
    """Rock salt 1.74756459463 and caesium chloride 1.76267477307 (nearest distance as the unit)."""
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    charges = np.where(corners.sum(axis=1) % 2 == 0, 1.0, -1.0)
    assert whole_sum(corners, charges, 2.0 * np.eye(3), 1.2) / 4 == pytest.approx(-1.74756459463, rel=1e-10)
    two = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    side = 2.0 / np.sqrt(3.0)
    energy = whole_sum(side / 2 * two, np.array([1.0, -1.0]), side * np.eye(3), 2.0)
    assert energy == pytest.approx(-1.76267477307, rel=1e-10)


def test_a_charged_cell_does_not_depend_on_alpha() -> None:
    """Only with its background; one charge in a cube of side 1 has -2.837297479/2 (M. Born, Wigner lattice)."""
    one = np.array([[0.3, 0.1, 0.2]])
    for alpha in (2.0, 3.0):
        assert whole_sum(one, np.array([1.0]), np.eye(3), alpha) == pytest.approx(-2.837297479 / 2, rel=1e-9)


def test_float32_is_close() -> None:
    cell = CELLS["triclinic"]
    positions, ewald = random_positions(20, cell), EwaldSum.for_cell(CHARGES, cell, 0.5, 4.0)
    forces = jax.jit(ewald.forces)
    exact = np.asarray(forces(jnp.asarray(positions), jnp.asarray(cell)))
    single = forces(jnp.asarray(positions, jnp.float32), jnp.asarray(cell, jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
