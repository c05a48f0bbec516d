"""Arrays on their way to the device, in the precision of whoever computes there, and back."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def precision(dtype: np.dtype[Any]) -> AbstractContextManager[Any]:
    """Context in which jax keeps this precision, float32 or float64, whatever the program around it has set."""
    context: AbstractContextManager[Any] = jax.enable_x64(dtype == np.float64)
    return context


def on_device(tree: Any, dtype: np.dtype[Any]) -> Any:
    """The arrays of a pytree on the device: floats as `dtype`, others as they are."""

    def convert(leaf: Any) -> jax.Array:
        floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jnp.asarray(leaf, dtype if floating else None)

    return jax.tree.map(convert, tree)


def result_of(program: Callable[..., Any], *arguments: Any) -> Any:
    """The program's result on the host."""
    with warnings.catch_warnings():
        # jax_md asks for float64 sums of the kinetic energy; in a float32 run it gets float32 ones, as it should
        warnings.filterwarnings("ignore", message="Explicitly requested dtype float64")
        return jax.device_get(program(*arguments))
