"""Two ways to tell XLA where one compiled loop ends and what it shares. They change speed, never a result.

Found in the code that XLA's CPU backend (jax 0.7 to 0.10) and LLVM make of a loop over pairs, and measured by
experiments/benchmarks/md.py:
- sums that have a factor in common are fused one by one, and each computes the factor again: `sum_together`;
- LLVM vectorises a loop with gathers, but not what an address is computed from: arithmetic and a lookup that depends
  on it belong in two loops. XLA fuses the two back together, whatever barrier is put between them, unless the first
  one ends in a reduction that is not trivial: `store`.
"""

import jax
import jax.numpy as jnp


def sum_together(arrays: tuple[jax.Array, ...], axis: int) -> tuple[jax.Array, ...]:
    """Sum of each array over one axis, in one variadic reduction: what the arrays have in common is computed once.

    >>> [total.tolist() for total in sum_together((jnp.ones((2, 3)), jnp.arange(6.0).reshape(2, 3)), 1)]
    [[3.0, 3.0], [3.0, 12.0]]
    """
    zeros = tuple(jnp.zeros((), array.dtype) for array in arrays)

    def add(left: tuple[jax.Array, ...], right: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        return tuple(a + b for a, b in zip(left, right, strict=True))

    return tuple(jax.lax.reduce(arrays, zeros, add, (axis,)))


def store(array: jax.Array, parts: int = 2) -> tuple[jax.Array, ...]:
    """The array cut into equal parts along its first axis, computed and stored by a loop of its own.

    It is a reduction over the parts, in which part p contributes to result p and zero to the others. That axis is
    short: LLVM unrolls it and drops what is zero, so every element is computed once. The zeros are padding and not a
    comparison with the number of the part: that one XLA moves out of an enclosing loop, where it stops being a constant
    (twice the time for the whole step).
    ValueError when the parts cannot be equal.
    """
    if array.shape[0] % parts:
        raise ValueError(f"{array.shape[0]} rows cannot be cut into {parts} equal parts")
    rest = [(0, 0, 0)] * array.ndim
    alone = (
        jax.lax.pad(part[None], jnp.zeros((), array.dtype), [(p, parts - 1 - p, 0), *rest])
        for p, part in enumerate(jnp.split(array, parts))
    )
    return sum_together(tuple(alone), axis=0)
