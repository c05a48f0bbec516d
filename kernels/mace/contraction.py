"""Symmetric contraction: for every atom and channel a polynomial of degree up to three in the message components.

    y_d = sum_i t_di x_i,    t_di = t1_di + sum_j t2_dij x_j + sum_jk t3_dijk x_j x_k

with t2 and t3 symmetric in all of i, j, k, so that the derivative is the same three sums with other factors,

    dy_d / dx_i = t1_di + 2 sum_j t2_dij x_j + 3 sum_jk t3_dijk x_j x_k,

and costs nothing beyond the value: `contract` keeps it from the forward pass. Differentiating the sums one by one would
take two more matrix products of the size of the first. `contract_plain` is the formula above.

Where all results are scalars, most coefficients are zero: 94 of 968 monomials of components up to l = 3 are invariant.
`contract_monomials` sums over these alone.

    x            (N, D, C), atoms sorted by species
    coefficients  t1 (S, C, E, D), t2 (S, C, E, D, D), t3 (S, C, E, D, D, D); t2 and t3 may be None
    result       (N, E, C)
"""

from functools import partial
from itertools import combinations_with_replacement, permutations
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.mace.chunks import cut, join
from kernels.mace.radial import HIGHEST

_einsum = partial(jnp.einsum, precision=HIGHEST)


Saved = list[jax.Array]
"""dy_d/dx_i of each species, (C, n, E, D) or pieces of it, (pieces, C, chunk, E, D): as the products leave it. With
channels last it would have to be transposed, which takes longer than the products."""


class Polynomial(NamedTuple):
    """Coefficients of S species, C channels, E results, D components, packed by `pack` for matrix products. Each
    species has arrays of its own: cut out of one for all they would be copied at every evaluation.

    linear: S times (C, 1 + D, E D) or (C, 1, E D): t1, and t2 where there is one.
    cubic: S times (C, D (D + 1) / 2, E D): t3 with the two places of j < k added up; None where there is none.
    """

    linear: Any
    cubic: Any


def pack(t1: Any, t2: Any, t3: Any, *, xp: Any = np) -> Polynomial:
    """From the symmetric tensors of the module's docstring; t2 and t3 may be None. xp: numpy or jax.numpy."""
    species, channels, _, components = t1.shape
    rows = [t1.reshape(species, channels, 1, -1)]
    if t2 is not None:
        rows.append(xp.moveaxis(t2, 4, 2).reshape(species, channels, components, -1))
    cubic = None
    if t3 is not None:
        j, k = np.triu_indices(components)
        twice = np.where(j < k, 2.0, 1.0)[:, None]
        cubic = list(xp.moveaxis(t3[..., j, k], 4, 2).reshape(species, channels, len(j), -1) * twice)
    return Polynomial(list(xp.concatenate(rows, axis=2)), cubic)


def contract_plain(x: jax.Array, polynomial: Polynomial, n_per_species: tuple[int, ...]) -> jax.Array:
    """The definition; differentiable in every way."""
    values = [
        jnp.sum(_tensor(atoms, polynomial, s)[0] * jnp.moveaxis(atoms, 2, 0)[:, :, None], axis=-1)
        for s, atoms in enumerate(_by_species(x, n_per_species))
    ]
    return jnp.concatenate([jnp.moveaxis(value, 0, 2) for value in values])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def contract(x: jax.Array, polynomial: Polynomial, n_per_species: tuple[int, ...], chunk: int) -> jax.Array:
    """The same numbers, `chunk` atoms at a time. Reverse mode by x; a derivative by the polynomial raises TypeError."""
    return _value_and_jacobian(x, polynomial, n_per_species, chunk)[0]


def _forward(x: Any, polynomial: Any, n_per_species: tuple[int, ...], chunk: int) -> tuple[jax.Array, Saved]:
    leaves = jax.tree.leaves(polynomial, is_leaf=lambda leaf: hasattr(leaf, "perturbed"))
    if any(leaf.perturbed for leaf in leaves):
        raise TypeError("contract has no derivative by its coefficients; use contract_plain")
    plain = jax.tree.map(lambda leaf: leaf.value, polynomial, is_leaf=lambda leaf: hasattr(leaf, "perturbed"))
    return _value_and_jacobian(x.value, plain, n_per_species, chunk)


def _backward(
    n_per_species: tuple[int, ...], chunk: int, jacobians: Saved, cotangent: jax.Array
) -> tuple[jax.Array, None]:
    def one(atoms: tuple[jax.Array, jax.Array]) -> jax.Array:
        jacobian, bar = atoms
        # channels come last again when the sum over E has made the array smaller
        return jnp.moveaxis(jnp.sum(jacobian * jnp.moveaxis(bar, 2, 0)[..., None], axis=2), 0, 2)

    parts = _by_species(cotangent, n_per_species)
    bars = []
    for jacobian, part in zip(jacobians, parts, strict=True):
        n = part.shape[0]
        bars.append(
            join(jax.lax.map(one, (jacobian, cut((part,), chunk)[0])), n) if n > chunk else one((jacobian, part))
        )
    return jnp.concatenate(bars), None


def _by_species(x: jax.Array, n_per_species: tuple[int, ...]) -> list[jax.Array]:
    return jnp.split(x, np.cumsum(n_per_species)[:-1].tolist())


def _tensor(x: jax.Array, polynomial: Polynomial, species: int) -> tuple[jax.Array, jax.Array]:
    """t_di and dy_d/dx_i for the atoms x (n, D, C) of one species: (C, n, E, D) each."""
    n, components, channels = x.shape
    x = jnp.moveaxis(x, 2, 0)
    linear = polynomial.linear[species]
    constant = linear[:, None, 0]
    shape = (channels, n, linear.shape[-1] // components, components)
    value = jacobian = jnp.broadcast_to(constant, (channels, n, linear.shape[-1]))
    if linear.shape[1] > 1:
        slope = jnp.matmul(x, linear[:, 1:], precision=HIGHEST)
        value, jacobian = value + slope, jacobian + 2 * slope
    if polynomial.cubic is not None:
        curvature = jnp.matmul(_products(x), polynomial.cubic[species], precision=HIGHEST)
        value, jacobian = value + curvature, jacobian + 3 * curvature
    return value.reshape(shape), jacobian.reshape(shape)


def _products(x: jax.Array) -> jax.Array:
    """x_j x_k for j <= k: (..., D) -> (..., D (D + 1) / 2), by slices: a gather of single numbers is much slower."""
    return jnp.concatenate([x[..., j : j + 1] * x[..., j:] for j in range(x.shape[-1])], axis=-1)


def _value_and_jacobian(
    x: jax.Array, polynomial: Polynomial, n_per_species: tuple[int, ...], chunk: int
) -> tuple[jax.Array, Saved]:
    values, jacobians = [], []
    for s, atoms in enumerate(_by_species(x, n_per_species)):
        n = atoms.shape[0]

        def one(part: jax.Array, s: int = s) -> tuple[jax.Array, jax.Array]:
            tensor, jacobian = _tensor(part, polynomial, s)
            value = jnp.sum(tensor * jnp.moveaxis(part, 2, 0)[:, :, None], axis=-1)
            return jnp.moveaxis(value, 0, 2), jacobian

        if n > chunk:
            value, jacobian = jax.lax.map(one, cut((atoms,), chunk)[0])
            value = join(value, n)
        else:
            value, jacobian = one(atoms)
        values.append(value)
        jacobians.append(jacobian)
    return jnp.concatenate(values), jacobians


contract.defvjp(_forward, _backward, symbolic_zeros=True)


Monomials = tuple[tuple[int, ...], ...]
"""Components i <= j <= k of each factor: one to three of them."""


def coefficients_of(polynomial: Polynomial, monomials: Monomials) -> jax.Array:
    """(S, M, C) for `contract_monomials`, of a polynomial with one result; all its other coefficients are zero."""
    components = polynomial.linear[0].shape[-1]
    pairs = {pair: row for row, pair in enumerate(combinations_with_replacement(range(components), 2))}
    linear = [(0 if len(m) == 1 else 1 + m[1], m[0]) for m in monomials if len(m) < 3]
    cubic = [(pairs[m[1:]], m[0]) for m in monomials if len(m) == 3]
    # how often the sums over i, j, k come by a monomial; `pack` has j < k in one place
    times = [len(set(permutations(m))) / (1 + (len(m) == 3 and m[1] < m[2])) for m in monomials]

    def taken(tensor: jax.Array, places: list[tuple[int, int]]) -> jax.Array:
        rows, columns = np.array(places, np.int32).reshape(-1, 2).T
        return tensor[:, rows, columns].T

    def one(species: int) -> jax.Array:
        found = taken(polynomial.linear[species], linear)
        if cubic:
            found = jnp.concatenate([found, taken(polynomial.cubic[species], cubic)])
        return found * jnp.asarray(times, found.dtype)[:, None]

    return jnp.stack([one(species) for species in range(len(polynomial.linear))])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def contract_monomials(x: jax.Array, coefficients: jax.Array, monomials: Monomials) -> jax.Array:
    """sum_m coefficients_m x_i x_j x_k for atoms x (n, D, C) of one species: (n, C). coefficients: (M, C); monomials:
    ascending in degree. Reverse mode by x; a derivative by the coefficients raises TypeError."""
    return _sum_of([(1, m, factors) for m, factors in enumerate(monomials)], x, coefficients)


def _forward_monomials(
    x: Any, coefficients: Any, monomials: Monomials
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    if coefficients.perturbed:
        raise TypeError("contract_monomials has no derivative by its coefficients; use contract_plain")
    return contract_monomials(x.value, coefficients.value, monomials), (x.value, coefficients.value)


def _backward_monomials(
    monomials: Monomials, saved: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, None]:
    x, coefficients = saved
    slopes: list[list[tuple[int, int, tuple[int, ...]]]] = [[] for _ in range(x.shape[1])]
    for m, factors in enumerate(monomials):
        for i in set(factors):
            others = list(factors)
            others.remove(i)
            slopes[i].append((factors.count(i), m, tuple(others)))
    return jnp.stack([_sum_of(terms, x, coefficients) * cotangent for terms in slopes], axis=1), None


def _sum_of(terms: list[tuple[int, int, tuple[int, ...]]], x: jax.Array, coefficients: jax.Array) -> jax.Array:
    """(n, C), sum of times * coefficient * factors. Term by term: XLA makes one loop of all of them."""
    total = jnp.zeros_like(x[:, 0])
    for times, m, factors in terms:
        total += prod((x[:, i] for i in factors), start=times * coefficients[m])
    return total


contract_monomials.defvjp(_forward_monomials, _backward_monomials, symbolic_zeros=True)
