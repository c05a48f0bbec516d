"""The cipher against its published answers, and the numbers made of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refine.sampling.jax.random_numbers import new_key, threefry, wrap


@pytest.mark.parametrize(
    ("key", "counter", "answer"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(key: tuple[int, int], counter: tuple[int, int], answer: tuple[int, int]) -> None:
    """Threefry-2x32, 20 rounds, from the known-answer file of Random123 (Salmon et al., SC11)."""
    words = threefry(jnp.array(key, jnp.uint32), *(jnp.array([c], jnp.uint32) for c in counter))
    assert tuple(int(w[0]) for w in words) == answer


def test_normal_numbers_have_the_moments_of_a_normal() -> None:
    n = 1_000_000
    z = np.asarray(jax.random.normal(new_key(7), (n,)), np.float64)
    # 4 sigma of the first four moments
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**power) - mean) < 4 * np.sqrt(variance / n)
    assert abs(np.mean(z[1:] * z[:-1])) < 4 / np.sqrt(n)
    assert abs(np.mean(z[: n // 2] * z[n // 2 :])) < 4 / np.sqrt(n / 2)


def test_keys_split_into_different_streams_and_can_be_stored() -> None:
    keys = jax.random.split(new_key(1), 3)
    drawn = [np.asarray(jax.random.normal(key, (100,))) for key in [*keys, new_key(1), new_key(2)]]
    assert len({tuple(d) for d in drawn}) == 5
    again = wrap(jax.random.key_data(keys[1]))
    np.testing.assert_array_equal(jax.random.normal(again, (100,)), drawn[1])


def test_under_vmap_every_key_gives_what_it_gives_alone() -> None:
    keys = jax.random.split(new_key(3), 4)
    together = jax.vmap(lambda key: jax.random.normal(key, (5, 3)))(keys)
    for key, numbers in zip(keys, together, strict=True):
        np.testing.assert_array_equal(jax.random.normal(key, (5, 3)), numbers)


def test_double_precision_numbers_use_all_their_bits() -> None:
    with jax.enable_x64(True):
        u = np.asarray(jax.random.uniform(new_key(5), (10_000,), dtype=jnp.float64))
    assert u.dtype == np.float64
    assert len(np.unique(u)) == len(u)
    assert (u != u.astype(np.float32)).mean() > 0.99
