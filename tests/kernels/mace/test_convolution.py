"""The chunked convolution and its hand-written derivative against the definition."""

from functools import cache
from typing import Any

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.mace.chunks import cut_apart, join_apart
from kernels.mace.convolution import Couplings, convolve, convolve_plain, energies_in_one_pass, near_first

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


# Everything below is compiled, as in a model: one by one, the operations take longer to compile than together.


@cache
def _plain(name: str) -> np.ndarray:
    couplings = _couplings(name)
    return np.asarray(jax.jit(lambda *arguments: convolve_plain(*arguments, couplings))(*_arguments(name)))


@pytest.mark.parametrize("name", PATHS)
def test_definition_by_loops(name: str) -> None:
    h, senders, harmonics, a, matrix = (np.asarray(x) for x in _arguments(name))
    couplings = _couplings(name)
    found = _plain(name)
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
    found = jax.jit(lambda *arguments: convolve(*arguments, couplings, chunk, 5))(*arguments)
    np.testing.assert_allclose(found, _plain(name), rtol=1e-12, atol=1e-12)


def _slopes(name: str, convolution: Any) -> list[np.ndarray]:
    """Of a weighted sum of squares of the result, by features, harmonics and radial parts."""
    h, senders, harmonics, a, matrix = _arguments(name)
    weight = jnp.asarray(np.random.default_rng(1).normal(size=_plain(name).shape))

    def total(h: jax.Array, y: jax.Array, a: jax.Array) -> jax.Array:
        return jnp.sum(weight * convolution(h, senders, y, a, matrix) ** 2)

    return [np.asarray(slope) for slope in jax.jit(jax.grad(total, argnums=(0, 1, 2)))(h, harmonics, a)]


@cache
def _plain_slopes(name: str) -> list[np.ndarray]:
    couplings = _couplings(name)
    return _slopes(name, lambda *arguments: convolve_plain(*arguments, couplings))


@pytest.mark.parametrize("chunk", [2, 7])
@pytest.mark.parametrize("name", PATHS)
def test_derivatives(name: str, chunk: int) -> None:
    couplings = _couplings(name)
    found = _slopes(name, lambda *arguments: convolve(*arguments, couplings, chunk, 5))
    for mine, theirs in zip(found, _plain_slopes(name), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-11)


def test_second_derivative_in_reverse_mode() -> None:
    """A force that is differentiated again, as gradients through a trajectory do."""
    h, senders, harmonics, a, matrix = _arguments("vectors")
    couplings = _couplings("vectors")

    def squared_slope(function: object) -> object:
        slope = jax.grad(lambda y: jnp.sum(function(y) ** 2))
        return jax.jit(jax.grad(lambda y: jnp.sum(slope(y) ** 2)))

    fast = squared_slope(lambda y: convolve(h, senders, y, a, matrix, couplings, 3, 2))(harmonics)
    plain = squared_slope(lambda y: convolve_plain(h, senders, y, a, matrix, couplings))(harmonics)
    np.testing.assert_allclose(fast, plain, rtol=1e-10)


def test_no_silent_derivative_by_the_matrix() -> None:
    h, senders, harmonics, a, matrix = _arguments("scalars")
    with pytest.raises(TypeError, match="convolve_plain"):
        jax.grad(lambda m: jnp.sum(convolve(h, senders, harmonics, a, m, _couplings("scalars"), 2, 5)))(matrix)


def _with_empty_slots() -> tuple[jax.Array, ...]:
    """Of two chunks of three atoms one that ends at the third slot and one of which an atom needs the fourth."""
    h, senders, harmonics, a, matrix = _arguments("vectors", n=6)
    used = jnp.asarray([3, 2, 3, 1, 4, 0])[:, None] > jnp.arange(5)
    return h, senders, harmonics, jnp.where(used[..., None], a, 0), matrix


@pytest.mark.parametrize("narrow", [1, 3, 4, 5, 9])
def test_slots_left_out_change_nothing(narrow: int) -> None:
    h, senders, harmonics, a, matrix = _with_empty_slots()
    couplings = _couplings("vectors")

    def value_and_slopes(function: Any) -> Any:
        def total(h: jax.Array, y: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
            value = function(h, senders, y, a, matrix)
            return jnp.sum(value**2), value

        return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(h, harmonics, a)

    (h_bar, y_bar, a_bar), value = value_and_slopes(lambda *given: convolve(*given, couplings, 3, narrow))
    expected, plain = value_and_slopes(lambda *given: convolve_plain(*given, couplings))
    np.testing.assert_allclose(value, plain, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(h_bar, expected[0], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(y_bar, expected[1], rtol=1e-11, atol=1e-11)
    used = jnp.any(a != 0, axis=2)[..., None]  # behind, the cutoff's own derivative is zero
    np.testing.assert_allclose(jnp.where(used, a_bar, 0), jnp.where(used, expected[2], 0), rtol=1e-11, atol=1e-11)


def test_slots_in_use_are_never_left_out() -> None:
    """Also not where what is in them is no number."""
    h, senders, harmonics, a, matrix = _with_empty_slots()
    wrong = a.at[0, 4].set(jnp.nan)
    found = jax.jit(lambda a: convolve(h, senders, harmonics, a, matrix, _couplings("vectors"), 3, 3))(wrong)
    assert jnp.isnan(found[0]).any()
    assert not jnp.isnan(found[1:]).any()


def test_one_program_for_every_filling_of_the_slots() -> None:
    h, senders, harmonics, a, matrix = _with_empty_slots()
    run = jax.jit(lambda a: convolve(h, senders, harmonics, a, matrix, _couplings("vectors"), 3, 2))
    for array in (a, jnp.ones_like(a), jnp.zeros_like(a)):
        run(array)
    assert run._cache_size() == 1


def test_near_slots_first_and_each_with_its_sender() -> None:
    rng = np.random.default_rng(3)
    vectors, senders = rng.normal(size=(20, 9, 3)), np.arange(180, dtype=np.int32).reshape(20, 9)
    moved, by = jax.jit(lambda *given: near_first(*given, 1.5))(jnp.asarray(vectors), jnp.asarray(senders))
    near = np.linalg.norm(vectors, axis=2) < 1.5
    assert 0 < near.sum() < near.size
    order = np.argsort(~near, axis=1, kind="stable")
    np.testing.assert_array_equal(by, np.take_along_axis(senders, order, axis=1))
    np.testing.assert_array_equal(moved, np.take_along_axis(vectors, order[..., None], axis=1))


def test_replicas() -> None:
    h, senders, harmonics, a, matrix = _arguments("vectors")
    couplings = _couplings("vectors")
    together = jax.jit(jax.vmap(lambda y: convolve(h, senders, y, a, matrix, couplings, 3, 2)))
    many = together(jnp.stack([harmonics, 2 * harmonics]))
    np.testing.assert_allclose(many[1], 2 * many[0], rtol=1e-12)


@pytest.mark.parametrize("chunk", [1, 2, 4])
@pytest.mark.parametrize("narrow", [3, 5])
def test_energies_and_their_derivative_in_one_pass(chunk: int, narrow: int) -> None:
    """Of atoms of two kinds, whose energies depend on something of their own besides their messages."""
    h, senders, harmonics, a, matrix = _with_empty_slots()
    couplings, counts = _couplings("vectors"), (5, 1)
    factor = jnp.asarray(np.random.default_rng(7).normal(size=(2, _plain("vectors").shape[1], 1)))
    offset = jnp.asarray(np.random.default_rng(8).normal(size=6))

    def rest(messages: jax.Array, own: jax.Array, factor: jax.Array) -> jax.Array:
        return jnp.sum(factor * messages**2, axis=(1, 2)) * own

    def plain(h: jax.Array, y: jax.Array, a: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
        messages = convolve_plain(h, senders, y, a, matrix, couplings)
        energies = rest(messages, own, jnp.repeat(factor, jnp.asarray(counts), axis=0, total_repeat_length=6))
        return jnp.sum(energies), energies

    def fast(h: jax.Array, y: jax.Array, a: jax.Array, own: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        pieces = [cut_apart(array, counts, chunk) for array in (senders, y, a, own)]
        kinds = np.repeat([0, 1], [-(-n // chunk) for n in counts])
        energies, (h_bar, *bars) = energies_in_one_pass(
            h, tuple(pieces[:3]), pieces[3], rest, kinds, factor, matrix, couplings, narrow
        )
        return join_apart(energies, counts), (h_bar, *(join_apart(bar, counts) for bar in bars))

    arguments = (h, harmonics, a, offset)
    energies, bars = jax.jit(fast)(*arguments)
    expected, values = jax.jit(jax.grad(plain, argnums=(0, 1, 2, 3), has_aux=True))(*arguments)
    np.testing.assert_allclose(energies, values, rtol=1e-12)
    used = jnp.any(a != 0, axis=2)[..., None]  # behind `narrow`, the cutoff's own derivative is zero
    for mine, theirs in zip((bars[0], bars[1], jnp.where(used, bars[2], 0), bars[3]), expected, strict=True):
        theirs = jnp.where(used, theirs, 0) if theirs.shape == a.shape else theirs
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-11)


def test_pieces_of_groups() -> None:
    array = jnp.arange(14.0).reshape(7, 2)
    pieces = cut_apart(array, (4, 3), 3, fill=-1)
    assert pieces.shape == (3, 3, 2)
    np.testing.assert_array_equal(pieces[1], [[6, 7], [-1, -1], [-1, -1]])
    np.testing.assert_array_equal(join_apart(pieces, (4, 3)), array)
