"""The parts of a layer, each a function of the layer's prepared parameters; what they are for is in `architecture`.

counts: atoms of each species, in their order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels.mace import radial
from kernels.mace.convolution import Couplings
from refine.potentials.mace.architecture import Layer
from refine.potentials.mace.preparation import residuals

_einsum = functools.partial(jnp.einsum, precision=radial.HIGHEST)
Counts = tuple[int, ...]


def first_message(
    layer: Layer, weights: Any, harmonics: jax.Array, a: jax.Array, sender: jax.Array, counts: Counts
) -> list[jax.Array]:
    """(N, 2 l + 1, .) of each l, from the sums over the neighbours of each species of Y a, (N, D, S H)."""
    n, _, hidden = a.shape
    number = len(counts)
    if number == 1:
        sums = _einsum("nkm,nkh->nmh", harmonics, a)
    else:  # Y is spread over the species and not a, which is larger
        of_species = sender[..., None, None] == jnp.arange(number, dtype=sender.dtype)
        spread = jnp.where(of_species, harmonics[..., None], 0)
        sums = _einsum("nkms,nkh->nmsh", spread, a).reshape(n, -1, number * hidden)
    parts = []
    for l, matrix in zip(layer.l_message, weights["first"], strict=True):
        part = sums[:, l * l : (l + 1) ** 2]
        flat = matrix.reshape(matrix.shape[0], number * hidden, -1)
        parts.append(_einsum("nmh,hd->nmd", part, flat[0]) if len(flat) == 1 else by_species(part, flat, counts))
    return parts


def lifted(layer: Layer, weights: Any, h: Any) -> list[jax.Array]:
    """(N, 2 l + 1, E) of each incoming l: what neighbours gather."""
    return [
        _einsum("nmc,cd->nmd", block, matrix)
        for block, matrix in zip(_blocks(h, layer.l_in), weights["up"], strict=True)
    ]


def mixed(layer: Layer, weights: Any, couplings: Couplings, paths: jax.Array, counts: Counts) -> list[jax.Array]:
    """(N, 2 l + 1, .) of each l, from the result of the convolution."""
    # cut once: the derivative is then one concatenation, and not a sum of as many arrays with zeros around
    slices = couplings.result_slices()
    order = sorted(range(len(slices)), key=lambda k: slices[k].start)
    cut = jnp.split(paths, [slices[k].start for k in order[1:]], axis=1)
    of_path = dict(zip(order, cut, strict=True))
    parts = []
    for l, mix in zip(layer.l_message, weights["mix"], strict=True):
        # one product over paths and channels
        ending = jnp.concatenate([of_path[k] for k in layer.paths_to(l)], axis=2)
        parts.append(_einsum("nmx,xd->nmd", ending, mix.reshape(-1, mix.shape[-1])))
    if not layer.residual:
        parts = [by_species(part, skip, counts) for part, skip in zip(parts, weights["skip"], strict=True)]
    return parts


def outgoing(
    layer: Layer,
    weights: Any,
    product: Callable[[jax.Array], jax.Array],
    parts: list[jax.Array],
    density: jax.Array | None,
    lifted: list[jax.Array],
    h: Any,
    receiver: Any,
    counts: Counts,
) -> jax.Array:
    """Features (N, sum over l_out of 2l + 1, C) from the sums over neighbours of each l.

    product: the symmetric contraction (N, sum over l_out of 2l + 1, C) of messages. density: (N,), summed over
    neighbours; None where the layer has none. receiver: (N, 1) int32 species, used in the first layer, which has
    neither lifted nor h.
    """
    if layer.nonlinear:
        assert density is not None
        parts = _gated(layer, weights, parts, density, lifted, receiver)
    message = jnp.concatenate(parts, axis=1)
    if density is not None and not layer.nonlinear:
        message = message / (1 + density)[:, None, None]
    return _mixed_and_added(layer, weights, product(message), h, receiver, counts)


def by_species(x: jax.Array, matrices: jax.Array, counts: Counts) -> jax.Array:
    """(N, m, C) times the matrix (S, C, D) of each atom's own species."""
    atoms = jnp.split(x, np.cumsum(counts)[:-1].tolist())
    return jnp.concatenate([_einsum("nmc,cd->nmd", part, matrix) for part, matrix in zip(atoms, matrices, strict=True)])


def by_kind(layer: Layer, weights: Any, coefficients: jax.Array, species: int) -> dict[str, Any]:
    """What parameters of a layer behind the first differ from one species to another, (S, ...): of `coefficients`,
    "product", and of `weights` "skip", whose arrays are then those of `weights` for one species.

    coefficients: (S, M, C), or (1, M, C) of all species.
    """

    def each(array: jax.Array) -> jax.Array:
        return jnp.broadcast_to(array, (species, *array.shape[1:]))

    skip = [matrix[None] if layer.nonlinear else matrix[:, None] for matrix in weights["skip"]]
    return {"product": each(coefficients), "skip": [each(matrix) for matrix in skip]}


def _gated(
    layer: Layer,
    weights: Any,
    sums: list[jax.Array],
    density: jax.Array,
    lifted: list[jax.Array],
    receiver: Any,
) -> list[jax.Array]:
    """Messages of a non-linear layer, (N, 2 l + 1, C) of each l, from the sums over neighbours."""
    alpha, beta = weights["normaliser"]
    parts = [part / (alpha + beta * density)[:, None, None] for part in sums]
    if "first_residual" in weights:
        parts[0] += weights["first_residual"][receiver]
    else:
        for l, block, matrix in zip(residuals(layer), lifted, weights["residual"], strict=True):
            parts[l] += _einsum("nmc,cd->nmd", block, matrix)
    # (1 + l_max) C scalars: those of the message, then the gates of each l
    scalars, *gates = jnp.split(parts[0], len(parts), axis=2)
    opened = [jax.nn.silu(scalars)]
    opened += [part * jax.nn.sigmoid(gate) for part, gate in zip(parts[1:], gates, strict=True)]
    return [_einsum("nmc,cd->nmd", part, mix) for part, mix in zip(opened, weights["gated"], strict=True)]


def _mixed_and_added(
    layer: Layer, weights: Any, contracted: jax.Array, h: Any, receiver: Any, counts: Counts
) -> jax.Array:
    """Outgoing features from the result of the contraction and incoming features."""
    out = {
        l: _einsum("nmc,cd->nmd", block, matrix)
        for l, block, matrix in zip(layer.l_out, _blocks(contracted, layer.l_out), weights["linear"], strict=True)
    }
    if "first_skip" in weights:
        out[0] += weights["first_skip"][receiver]
    elif layer.residual:
        blocks = dict(zip(layer.l_in, _blocks(h, layer.l_in), strict=True))
        shared = [l for l in layer.l_in if l in layer.l_out]
        for l, skip in zip(shared, weights["skip"], strict=True):
            out[l] += (
                _einsum("nmc,cd->nmd", blocks[l], skip) if layer.nonlinear else by_species(blocks[l], skip, counts)
            )
    return jnp.concatenate([out[l] for l in layer.l_out], axis=1)


def _blocks(h: jax.Array, ls: tuple[int, ...]) -> list[jax.Array]:
    """(N, sum over l of 2l + 1, C) cut by l."""
    return jnp.split(h, np.cumsum([2 * l + 1 for l in ls])[:-1].tolist(), axis=1)
