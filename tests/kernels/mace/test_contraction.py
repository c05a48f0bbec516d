"""The contraction against an evaluation by explicit tensors, and its stored derivative against differentiation."""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.mace.contraction import (
    Monomials,
    Polynomial,
    coefficients_of,
    contract,
    contract_monomials,
    contract_plain,
    pack,
)

N_PER_SPECIES, CHANNELS, RESULTS, COMPONENTS = (5, 1, 3), 2, 4, 9


@pytest.fixture(autouse=True)
def _double() -> object:
    with jax.enable_x64(True):
        yield


def _symmetric(rng: np.random.Generator, degree: int) -> np.ndarray:
    raw = rng.normal(size=(3, CHANNELS, RESULTS, *(COMPONENTS,) * degree))
    orders = list(itertools.permutations(range(degree)))
    return sum(raw.transpose(0, 1, 2, *(3 + o for o in order)) for order in orders) / len(orders)


def _case(degree: int) -> tuple[np.ndarray, list[np.ndarray], Polynomial]:
    rng = np.random.default_rng(degree)
    tensors = [_symmetric(rng, d) if d <= degree else None for d in (1, 2, 3)]
    x = rng.normal(size=(sum(N_PER_SPECIES), COMPONENTS, CHANNELS))
    return x, [t for t in tensors if t is not None], jax.tree.map(jnp.asarray, pack(*tensors))


def _by_tensors(x: np.ndarray, tensors: list[np.ndarray]) -> np.ndarray:
    species = np.repeat(np.arange(3), N_PER_SPECIES)
    total = 0.0
    for tensor in tensors:
        value = tensor[species]  # (N, C, E, D, ...)
        while value.ndim > 3:
            value = np.einsum("nce...i,nic->nce...", value, x)
        total = total + value
    return total.transpose(0, 2, 1)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_value(degree: int, chunk: int) -> None:
    x, tensors, polynomial = _case(degree)
    expected = _by_tensors(x, tensors)
    plain = jax.jit(lambda x: contract_plain(x, polynomial, N_PER_SPECIES))
    fast = jax.jit(lambda x: contract(x, polynomial, N_PER_SPECIES, chunk))
    np.testing.assert_allclose(plain(jnp.asarray(x)), expected, rtol=1e-10)
    np.testing.assert_allclose(fast(jnp.asarray(x)), expected, rtol=1e-10)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("chunk", [2, 100])
def test_derivative(degree: int, chunk: int) -> None:
    x, _, polynomial = _case(degree)
    plain = jax.jit(jax.grad(lambda x: jnp.sum(contract_plain(x, polynomial, N_PER_SPECIES) ** 2)))
    fast = jax.jit(jax.grad(lambda x: jnp.sum(contract(x, polynomial, N_PER_SPECIES, chunk) ** 2)))
    np.testing.assert_allclose(fast(jnp.asarray(x)), plain(jnp.asarray(x)), rtol=1e-10, atol=1e-10)


def test_no_silent_derivative_by_the_coefficients() -> None:
    x, _, polynomial = _case(3)
    with pytest.raises(TypeError, match="contract_plain"):
        jax.grad(lambda p: jnp.sum(contract(jnp.asarray(x), p, N_PER_SPECIES, 2)))(polynomial)


def test_packing_in_jax_is_packing_in_numpy() -> None:
    _, tensors, polynomial = _case(3)
    traced = jax.jit(lambda *t: pack(*t, xp=jnp))(*tensors)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), traced, polynomial)


def _invariant(degree: int) -> tuple[np.ndarray, Polynomial, Monomials]:
    """A polynomial with one result and few monomials."""
    rng = np.random.default_rng(degree)
    monomials = ((0,), (0, 0), (1, 2), (3, 3), (0, 0, 0), (0, 1, 1), (1, 1, 4), (2, 3, 5))
    monomials = tuple(m for m in monomials if len(m) <= degree)
    tensors: list[np.ndarray | None] = [np.zeros((3, CHANNELS, 1, *(COMPONENTS,) * d)) for d in range(1, degree + 1)]
    for m in monomials:
        value = rng.normal(size=(3, CHANNELS))
        for order in set(itertools.permutations(m)):
            tensors[len(m) - 1][:, :, 0, *order] = value
    x = rng.normal(size=(sum(N_PER_SPECIES), COMPONENTS, CHANNELS))
    return x, jax.tree.map(jnp.asarray, pack(*tensors, *[None] * (3 - degree))), monomials


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_monomials_one_by_one(degree: int) -> None:
    x, polynomial, monomials = _invariant(degree)
    weight = jnp.asarray(np.random.default_rng(9).normal(size=(len(x), CHANNELS)))

    def dense(x: jax.Array) -> jax.Array:
        return jnp.sum(weight * contract_plain(x, polynomial, N_PER_SPECIES)[:, 0])

    def sparse(x: jax.Array) -> jax.Array:
        coefficients = coefficients_of(polynomial, monomials)
        atoms = jnp.split(x, np.cumsum(N_PER_SPECIES)[:-1].tolist())
        found = [contract_monomials(part, c, monomials) for part, c in zip(atoms, coefficients, strict=True)]
        return jnp.sum(weight * jnp.concatenate(found))

    def both(function: Callable) -> tuple:
        slope = jax.grad(function)
        return jax.jit(lambda x: (function(x), slope(x), jax.grad(lambda x: jnp.sum(slope(x) ** 2))(x)))(jnp.asarray(x))

    for mine, expected in zip(both(sparse), both(dense), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-10)


def test_no_silent_derivative_by_the_coefficients_of_monomials() -> None:
    x, polynomial, monomials = _invariant(2)
    (coefficients, *_) = coefficients_of(polynomial, monomials)
    with pytest.raises(TypeError, match="contract_plain"):
        jax.grad(lambda c: jnp.sum(contract_monomials(jnp.asarray(x), c, monomials)))(coefficients)
