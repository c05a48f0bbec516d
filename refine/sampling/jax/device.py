"""The device, and arrays on their way to it in the precision of whoever computes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def precision(dtype: np.dtype[Any]) -> AbstractContextManager[Any]:
    """Context in which jax keeps this precision, float32 or float64, whatever the program around it has set."""
    context: AbstractContextManager[Any] = jax.enable_x64(dtype == np.float64)
    return context


@contextmanager
def computing(dtype: np.dtype[Any], device: jax.Device | None) -> Iterator[None]:
    """As `precision`, and on a device, for this thread; None: where jax computes anyway."""
    with precision(dtype), nullcontext() if device is None else jax.default_device(device):
        yield


def device_name() -> str:
    """What jax computes on, in words: "cpu", or the kind of another device."""
    first = jax.devices()[0]
    return first.platform if first.platform == "cpu" else f"{first.platform}, {first.device_kind}"


def on_device(tree: Any, dtype: np.dtype[Any]) -> Any:
    """The arrays of a pytree on the device: floats as `dtype`, others as they are."""

    def convert(leaf: Any) -> jax.Array:
        floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jnp.asarray(leaf, dtype if floating else None)

    return jax.tree.map(convert, tree)
