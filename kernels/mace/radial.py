"""Functions of a distance: envelope, Bessel functions, Agnesi transform, ZBL repulsion, and a small network of them.

All are elementwise in r (any shape, Å) and smooth below the cutoff.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kernels.mace.chunks import cut, join

HIGHEST = jax.lax.Precision.HIGHEST  # float32 products stay float32 where the hardware would make them shorter

COULOMB = 14.3996
"""e^2 / (4 pi epsilon_0) in eV Å, as MACE rounds it."""
BOHR = 0.529
"""Å, as MACE rounds it."""
ZBL_DECAY = (3.2, 0.9423, 0.4028, 0.2016)


def envelope(r: jax.Array, cutoff: float | jax.Array, power: float) -> jax.Array:
    """Polynomial that falls from 1 at r = 0 to 0 at the cutoff with its first and second derivative; 0 beyond.

    1 - (p+1)(p+2)/2 u^p + p (p+2) u^(p+1) - p (p+1)/2 u^(p+2), u = r / cutoff. Source: J. Gasteiger et al., ICLR 2020.

    >>> print(envelope(jnp.array([0.0, 2.5, 5.0, 6.0]), 5.0, 5.0).round(4))
    [1.     0.7734 0.     0.    ]
    """
    u, p = r / cutoff, power
    # the power is a whole number in every model: repeated products, where pow would be a call per element
    head = u ** int(p) if p == int(p) else u**p
    polynomial = 1 - (p + 1) * (p + 2) / 2 * head + p * (p + 2) * head * u - p * (p + 1) / 2 * head * u * u
    return jnp.where(u < 1, polynomial, 0)


def bessel(r: jax.Array, wave_numbers: jax.Array, prefactor: float) -> jax.Array:
    """prefactor sin(k r) / r for wave numbers k (B,) in 1/Å: (..., B)."""
    r = r[..., None]
    return prefactor * jnp.sin(wave_numbers * r) / r


def agnesi(r: jax.Array, r0: jax.Array, a: float, p: float, q: float) -> jax.Array:
    """1 / (1 + a u^q / (1 + u^(q-p))), u = r / r0, dimensionless: 1 - a u^p for small u, 1 / (1 + a u^q) for large."""
    u = r / r0
    return 1 / (1 + a * u**q / (1 + u ** (q - p)))


def zbl(r: jax.Array, product: jax.Array, length: jax.Array, coefficients: Sequence[float]) -> jax.Array:
    """COULOMB product / r * sum_k c_k exp(-d_k r / length), eV. product: Z1 Z2; length: screening length, Å.

    >>> print(zbl(jnp.array(1.0), 64.0, 0.2, (0.1818, 0.5099, 0.2802, 0.02817)).round(2))  # two atoms of oxygen
    48.16
    """
    s = r / length
    return COULOMB * product / r * sum(c * jnp.exp(-d * s) for c, d in zip(coefficients, ZBL_DECAY, strict=True))


def hidden(features: jax.Array, matrices: Sequence[jax.Array]) -> jax.Array:
    """silu(silu(x W0) W1) ... for features (..., B): (..., H). Without biases, so zero features give zero."""
    for matrix in matrices:
        features = jax.nn.silu(jnp.matmul(features, matrix, precision=HIGHEST))
    return features


class Perceptron(NamedTuple):
    """Hidden layers x W + b, layer norm, silu; the first bias depends on both species of an edge.

    pair: (receivers, senders, H0); matrices: (in, out) of each layer; biases: of all but the first; norms: (2, out) of
    each, slope and shift.
    """

    pair: Any
    matrices: Any
    biases: Any
    norms: Any


def normalised_hidden(features: jax.Array, first_bias: jax.Array, network: Perceptron, epsilon: float) -> jax.Array:
    """The hidden layers of features (..., B); first_bias: (..., H0), of `Perceptron.pair`.

    A layer norm is (x - mean) / sqrt(variance + epsilon) times a slope plus a shift. Source: J. L. Ba et al.,
    arXiv:1607.06450 (2016).
    """
    for matrix, bias, (slope, shift) in zip(
        network.matrices, [first_bias, *network.biases], network.norms, strict=True
    ):
        x = jnp.matmul(features, matrix, precision=HIGHEST) + bias
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(x * x, axis=-1, keepdims=True)
        features = jax.nn.silu(x / jnp.sqrt(variance + epsilon) * slope + shift)
    return features


class PiecewiseTable(NamedTuple):
    """Functions of r as cubic polynomials on equal intervals, for several pairs of species.

    On interval i a function is c0 + x (c1 + x (c2 + x c3)), x from 0 to 1 across it. Coefficients of B-splines would be
    fewer, but in float32 the slope would be a difference of nearly equal ones: forces lose two digits.

    coefficients: (pairs, intervals + 1, 4, F); the last interval is zero and stands for everything beyond the others.
    start: () Å. inverse_spacing: () intervals per Å.
    """

    coefficients: Any
    start: Any
    inverse_spacing: Any


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def look_up(table: PiecewiseTable, r: jax.Array, pair: jax.Array, chunk: int) -> jax.Array:
    """The functions at r, each from row `pair` of the table: (...,) -> (..., F), `chunk` distances at a time.

    Held at the value of the table's start below it; zero from its end on. Reverse mode by r; a derivative by the table
    raises TypeError. What is read from the table is read again for the derivative: 1 kB a distance for 64 functions,
    kept, would leave the cache and come back.
    """

    def value(distances: tuple[jax.Array, ...]) -> jax.Array:
        row, x = distances
        c0, c1, c2, c3 = _coefficients(table, row)
        return c0 + x[:, None] * (c1 + x[:, None] * (c2 + x[:, None] * c3))

    row, x, _ = _place(table, r, pair)
    values = jax.lax.map(value, cut((row.ravel(), x.ravel()), chunk))
    return join(values, r.size).reshape(*r.shape, -1)


def _forward(table: Any, r: Any, pair: Any, chunk: int) -> tuple[jax.Array, tuple[Any, ...]]:
    if any(leaf.perturbed for leaf in table):
        raise TypeError("look_up has no derivative by the table; evaluate the network")
    table, r, pair = PiecewiseTable(*(leaf.value for leaf in table)), r.value, pair.value
    return look_up(table, r, pair, chunk), (table, r, pair)


def _backward(chunk: int, saved: tuple[Any, ...], cotangent: jax.Array) -> tuple[Any, ...]:
    table, r, pair = saved

    def slope(distances: tuple[jax.Array, ...]) -> jax.Array:
        row, x, bar = distances
        _, c1, c2, c3 = _coefficients(table, row)
        return jnp.sum(bar * (c1 + x[:, None] * (2 * c2 + 3 * x[:, None] * c3)), axis=1)

    row, x, inside = _place(table, r, pair)
    distances = (row.ravel(), x.ravel(), cotangent.reshape(-1, cotangent.shape[-1]))
    slopes = join(jax.lax.map(slope, cut(distances, chunk)), r.size).reshape(r.shape)
    return None, jnp.where(inside, slopes * table.inverse_spacing, 0), None


look_up.defvjp(_forward, _backward, symbolic_zeros=True)


def _place(table: PiecewiseTable, r: jax.Array, pair: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Interval of each distance among those of all pairs, where in it, 0 to 1, and whether the table reaches there."""
    intervals = table.coefficients.shape[1]
    place = (r - table.start) * table.inverse_spacing
    inside = (place > 0) & (place < intervals - 1)
    place = jnp.clip(place, 0, intervals - 1)
    interval = place.astype(jnp.int32)
    return interval + pair * intervals, place - interval, inside


def _coefficients(table: PiecewiseTable, row: jax.Array) -> list[jax.Array]:
    """Those of each power, (n, F); row: (n,), of `_place`."""
    powers, functions = table.coefficients.shape[2:]
    rows = table.coefficients.reshape(-1, functions)
    # one gather for each power: one for all of them takes twice the time
    return [
        rows.at[row * powers + power].get(mode="promise_in_bounds", wrap_negative_indices=False)
        for power in range(powers)
    ]
