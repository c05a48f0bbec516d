"""Two faults of released jax versions, tried on the installed one; pyproject.toml excludes the faulty versions."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest


@pytest.mark.parametrize(("dtype", "rows"), [("float64", 16_385), ("float32", 32_769)])
def test_vmapped_matrix_vector_product_and_reduction(dtype: str, rows: int) -> None:
    """jax 0.10.2 on CPU: the last rows are wrong, https://github.com/jax-ml/jax/issues/39103."""
    with jax.enable_x64(dtype == "float64"):
        x = jnp.zeros((rows, 3), dtype).at[:, 0].set(jnp.arange(rows, dtype=dtype))
        matrix = jnp.eye(3, dtype=dtype)
        squares = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(x)
        assert float(squares[-1]) == (rows - 1) ** 2


def _best_time(function: Callable[[], jax.Array], repeats: int = 5) -> float:
    """Shortest time of a call in seconds, compilation left out."""
    function().block_until_ready()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function().block_until_ready()
        times.append(time.perf_counter() - start)
    return min(times)


def test_small_update_in_a_scan_does_not_touch_the_whole_buffer() -> None:
    """jax 0.11.1 on CPU: it does, https://github.com/jax-ml/jax/issues/40101.

    The same 2000 updates of 4 bytes each are made in a buffer of 4 KiB and in one of 1 MiB. A sound version spends 5
    times longer on the larger one, because it is filled and copied once; 0.11.1 spends 260 times longer.
    """

    def updates(size: int) -> Callable[[], jax.Array]:
        def step(buffer: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
            return buffer.at[i % 1024].set(buffer[i % 7] + 1.0), None

        return jax.jit(lambda: jax.lax.scan(step, jnp.zeros(size, jnp.float32), jnp.arange(2000))[0][:1024])

    assert _best_time(updates(1 << 18)) < 30 * _best_time(updates(1 << 10))
