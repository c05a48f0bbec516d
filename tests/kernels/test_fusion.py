"""What only steers the compiler must not change a number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.fusion import store, sum_together


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_store_is_a_cut_along_the_first_axis(parts: int) -> None:
    array = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    found = jax.jit(lambda a: store(a, parts))(array)
    np.testing.assert_array_equal(np.concatenate(found), array)
    assert len(found) == parts


def test_store_keeps_integers_and_nan() -> None:
    numbers = jnp.array([[1], [-(2**31)], [2**31 - 1], [0]], jnp.int32)
    np.testing.assert_array_equal(jnp.concatenate(store(numbers)), numbers)
    assert jnp.isnan(jnp.concatenate(store(jnp.full((2, 3), jnp.nan)))).all()


def test_store_refuses_unequal_parts() -> None:
    with pytest.raises(ValueError, match="7 rows"):
        store(jnp.zeros((7, 2)))


def test_sum_together_is_the_sum_of_each() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 6, 3)).astype(np.float32)
    found = sum_together((jnp.asarray(a), jnp.asarray(b)), axis=0)
    np.testing.assert_allclose(found[0], a.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[1], b.sum(axis=0), rtol=1e-5)
