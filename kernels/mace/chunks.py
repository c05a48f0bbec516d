"""Arrays whose first axis is worked through in pieces, so that what is made of one piece stays in the cache."""

import jax
import jax.numpy as jnp


def cut(arrays: tuple[jax.Array, ...], chunk: int) -> tuple[jax.Array, ...]:
    """Each array (n, ...) as (pieces, at most chunk, ...), as few as possible and then as small as possible. What fills
    up the last is zero."""
    n = arrays[0].shape[0]
    chunk = -(-n // -(-n // chunk))

    def one(array: jax.Array) -> jax.Array:
        padded = jnp.pad(array, [(0, -n % chunk)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(-1, chunk, *array.shape[1:])

    return tuple(one(array) for array in arrays)


def join(array: jax.Array, n: int) -> jax.Array:
    """(pieces, chunk, ...) as (n, ...), without what filled up the last piece."""
    return array.reshape(-1, *array.shape[2:])[:n]
