"""Optimisers of optax by name, with a memory that is JSON.

A rule keeps its memory between calls, and a study may be cut off and resumed between any two of them: the optimiser's
state is stored as the leaves of its tree, in their order. The tree itself is made again by `init`.
"""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from refine.errors import InputError

Array = NDArray[np.float64]


def make(name: str, learning_rate: float) -> optax.GradientTransformation:
    """The optimiser `optax.<name>` at a learning rate, in the units of what it moves."""
    factory = getattr(optax, name, None)
    if factory is None or not (
        inspect.isfunction(factory) and "learning_rate" in inspect.signature(factory).parameters
    ):
        raise _refusal(f"optax has no optimiser '{name}' that is made from a learning rate")
    try:
        optimiser: optax.GradientTransformation = factory(learning_rate=learning_rate)
        step(optimiser, None, np.ones(1), np.ones(1))
    except TypeError:  # further arguments without a default, or the loss itself asked for
        raise _refusal(f"'{name}' needs more than a learning rate and a gradient") from None
    return optimiser


def _refusal(what: str) -> InputError:
    return InputError(what, where="[refinement] optimiser", fix="use adam, sgd, rmsprop, adabelief, ...")


def to_json(state: optax.OptState) -> list[Any]:
    """The leaves of a state as lists and numbers; float64 comes back bit by bit."""
    return [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(state)]


def from_json(stored: list[Any] | None, optimiser: optax.GradientTransformation, x: Array) -> optax.OptState:
    """The state that `to_json` stored, for parameters shaped like x; a fresh one without it. Call under x64."""
    fresh, tree = jax.tree.flatten(optimiser.init(jnp.asarray(x)))
    if stored is None:
        return jax.tree.unflatten(tree, fresh)
    return jax.tree.unflatten(tree, [jnp.asarray(s, f.dtype) for s, f in zip(stored, fresh, strict=True)])


def step(
    optimiser: optax.GradientTransformation, stored: list[Any] | None, x: Array, gradient: Array
) -> tuple[Array, list[Any]]:
    """The change of x (k,) for a gradient (k,), and the memory after it; float64.

    >>> change, memory = step(make("sgd", 0.1), None, np.array([1.0]), np.array([2.0]))
    >>> change.round(6).tolist()
    [-0.2]
    """
    with jax.enable_x64(True):
        before = from_json(stored, optimiser, x)
        change, after = optimiser.update(jnp.asarray(gradient), before, jnp.asarray(x))
        return np.asarray(change, float), to_json(after)
