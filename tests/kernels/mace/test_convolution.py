"""The chunked convolution and its hand-written derivative against the definition."""

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.mace.convolution import Couplings, convolve, convolve_plain

PATHS = {
    "scalars": ((0, 0, 0), (0, 1, 1), (0, 2, 2)),
    "vectors": ((0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 2, 1), (0, 2, 2), (1, 1, 2)),
    "only vectors": ((1, 1, 0), (1, 0, 1), (1, 2, 1), (1, 1, 2)),
    "tensors": ((0, 0, 0), (2, 2, 0), (1, 2, 1), (2, 1, 1), (2, 2, 2), (0, 2, 2)),
}


def _couplings(name: str) -> Couplings:
    tensors = [1.3 * np.asarray(e3nn_jax.clebsch_gordan(*path), np.float64) for path in PATHS[name]]
    return Couplings(PATHS[name], tensors)


def _arguments(name: str, n: int = 7, places: int = 5, channels: int = 3, hidden: int = 4) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(5)
    couplings = _couplings(name)
    h = rng.normal(size=(n, sum(2 * l + 1 for l in couplings.l1), channels))
    senders = rng.integers(0, n, (n, places))
    arrays = (rng.normal(size=(n, places, 9)), rng.normal(size=(n, places, hidden)))
    matrix = rng.normal(size=(hidden, len(PATHS[name]), channels))
    return (jnp.asarray(h), jnp.asarray(senders, jnp.int32), *map(jnp.asarray, arrays), jnp.asarray(matrix))


@pytest.fixture(autouse=True)
def _double() -> object:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", PATHS)
def test_definition_by_loops(name: str) -> None:
    h, senders, harmonics, a, matrix = (np.asarray(x) for x in _arguments(name))
    couplings = _couplings(name)
    found = np.asarray(convolve_plain(*_arguments(name), couplings))
    expected = np.zeros_like(found)
    for k, (path, tensor, at) in enumerate(zip(PATHS[name], couplings.tensors, couplings.result_slices(), strict=True)):
        l1, l2, _ = path
        for i in range(len(senders)):
            for place, j in enumerate(senders[i]):
                weight = a[i, place] @ matrix[:, k]
                feature = h[j, couplings.sender_slice(l1)]
                harmonic = harmonics[i, place, l2 * l2 : (l2 + 1) ** 2]
                expected[i, at] += np.einsum("abm,ac,b->mc", tensor, feature * weight, harmonic)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 3, 7, 50])
@pytest.mark.parametrize("name", PATHS)
def test_chunks_change_nothing(name: str, chunk: int) -> None:
    arguments, couplings = _arguments(name), _couplings(name)
    plain = convolve_plain(*arguments, couplings)
    np.testing.assert_allclose(convolve(*arguments, couplings, chunk), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [2, 7])
@pytest.mark.parametrize("name", PATHS)
def test_derivatives(name: str, chunk: int) -> None:
    h, senders, harmonics, a, matrix = _arguments(name)
    couplings = _couplings(name)
    weight = jnp.asarray(np.random.default_rng(1).normal(size=convolve_plain(*_arguments(name), couplings).shape))

    def plain(h: jax.Array, y: jax.Array, a: jax.Array) -> jax.Array:
        return jnp.sum(weight * convolve_plain(h, senders, y, a, matrix, couplings) ** 2)

    def fast(h: jax.Array, y: jax.Array, a: jax.Array) -> jax.Array:
        return jnp.sum(weight * convolve(h, senders, y, a, matrix, couplings, chunk) ** 2)

    expected = jax.grad(plain, argnums=(0, 1, 2))(h, harmonics, a)
    found = jax.grad(fast, argnums=(0, 1, 2))(h, harmonics, a)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-11)


def test_second_derivative_in_reverse_mode() -> None:
    """A force that is differentiated again, as gradients through a trajectory do."""
    h, senders, harmonics, a, matrix = _arguments("vectors")
    couplings = _couplings("vectors")

    def squared_slope(function: object) -> object:
        slope = jax.grad(lambda y: jnp.sum(function(y) ** 2))
        return jax.grad(lambda y: jnp.sum(slope(y) ** 2))

    fast = squared_slope(lambda y: convolve(h, senders, y, a, matrix, couplings, 3))(harmonics)
    plain = squared_slope(lambda y: convolve_plain(h, senders, y, a, matrix, couplings))(harmonics)
    np.testing.assert_allclose(fast, plain, rtol=1e-10)


def test_no_silent_derivative_by_the_matrix() -> None:
    h, senders, harmonics, a, matrix = _arguments("scalars")
    with pytest.raises(TypeError, match="convolve_plain"):
        jax.grad(lambda m: jnp.sum(convolve(h, senders, harmonics, a, m, _couplings("scalars"), 2)))(matrix)


def test_replicas() -> None:
    h, senders, harmonics, a, matrix = _arguments("vectors")
    couplings = _couplings("vectors")
    many = jax.vmap(lambda y: convolve(h, senders, y, a, matrix, couplings, 3))(jnp.stack([harmonics, 2 * harmonics]))
    np.testing.assert_allclose(many[1], 2 * many[0], rtol=1e-12)
