"""A layer's contribution to the energy of an atom, from its invariant features."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kernels.mace.radial import HIGHEST
from refine.potentials.mace.architecture import Layer


def readout(layer: Layer, weights: Any, scalars: jax.Array) -> jax.Array | float:
    """(N,) from features (N, C); zero of a layer without one."""
    if layer.readout == "none":
        return 0.0
    features, last, bias = final_map(layer, weights, scalars)
    value = jnp.matmul(features, last, precision=HIGHEST)
    return value if bias is None else value + bias


def final_map(layer: Layer, weights: Any, scalars: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Of a readout: what enters its final linear map, the map, and its bias where it has one."""
    first, *others = weights["readout"]
    if layer.readout == "linear":
        return scalars, first, None
    value = jax.nn.silu(jnp.matmul(scalars, first, precision=HIGHEST))
    if layer.readout == "nonlinear":
        return value, others[0], None
    middle, middle_bias, last, last_bias = others
    return jax.nn.silu(jnp.matmul(value, middle, precision=HIGHEST) + middle_bias), last, last_bias
