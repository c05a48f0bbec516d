"""Arrays whose first axis is worked through in pieces, so that what is made of one piece stays in the cache."""

import jax
import jax.numpy as jnp
import numpy as np


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


def cut_apart(array: jax.Array, counts: tuple[int, ...], chunk: int, fill: float = 0) -> jax.Array:
    """(n, ...) as (pieces, chunk, ...), no piece with elements of two groups, which have `counts` elements.

    fill: what fills up the last piece of each group.
    """
    groups = jnp.split(array, np.cumsum(counts)[:-1].tolist())
    widths = [(0, 0)] * (array.ndim - 1)
    filled = [jnp.pad(group, [(0, -len(group) % chunk), *widths], constant_values=fill) for group in groups]
    return jnp.concatenate(filled).reshape(-1, chunk, *array.shape[1:])


def join_apart(array: jax.Array, counts: tuple[int, ...]) -> jax.Array:
    """(pieces, chunk, ...) of `cut_apart` as (n, ...)."""
    chunk = array.shape[1]
    flat, pieces = array.reshape(-1, *array.shape[2:]), [-(-n // chunk) for n in counts]
    starts = chunk * np.cumsum([0, *pieces])
    return jnp.concatenate([flat[start : start + n] for start, n in zip(starts[:-1].tolist(), counts, strict=True)])
