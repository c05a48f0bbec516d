"""A function with a value of its own and the derivatives of another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def differentiated_as(fast: Callable[..., Any], definition: Callable[..., Any]) -> Callable[..., Any]:
    """f(params, x, *integers) with the values of `fast`, and in reverse mode the derivatives of `definition`, whose
    values are the same. Where nothing is differentiated by params, they are constants to `definition`, too."""

    @jax.custom_vjp
    def function(params: Any, x: jax.Array, *integers: jax.Array) -> Any:
        return fast(params, x, *integers)

    def forward(params: Any, x: Any, *integers: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(params, is_leaf=lambda leaf: hasattr(leaf, "perturbed"))
        plain = jax.tree.unflatten(tree, [leaf.value for leaf in leaves])
        fixed = tuple(array.value for array in integers)
        if any(leaf.perturbed for leaf in leaves):
            return jax.vjp(lambda params, x: definition(params, x, *fixed), plain, x.value)
        return jax.vjp(lambda x: definition(plain, x, *fixed), x.value)

    def backward(pull: Any, cotangents: Any) -> tuple[Any, ...]:
        filled = jax.tree.map(
            lambda bar: jnp.zeros(bar.shape, bar.dtype) if isinstance(bar, SymbolicZero) else bar,
            cotangents,
            is_leaf=lambda bar: isinstance(bar, SymbolicZero),
        )
        *by_params, by_x = pull(filled)
        return (by_params[0] if by_params else None), by_x, None

    function.defvjp(forward, backward, symbolic_zeros=True)
    return function
