"""From the arrays of a checkpoint to the parameters of the species at hand.

Whatever depends on species alone is multiplied out here, once. Every function takes `of`, which gives an array of the
layer by its name, and `xp`, numpy or jax.numpy: with the latter all of it is differentiable by the weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from kernels.mace import radial
from kernels.mace.contraction import Monomials, Polynomial, pack
from kernels.mace.convolution import Couplings
from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.mace.architecture import Architecture, Checkpoint, Layer, monomials

Of = Callable[[str], Any]
MOST_MONOMIALS = 256
"""That are worked through one by one: a model up to l = 3 has 94, and compiling takes longer the more there are."""
Rows = NDArray[np.int64]
"""Numbers, in the checkpoint, of the species at hand."""


def embedded(architecture: Architecture, weights: Mapping[str, Any], values: Sequence[int], rows: Rows, xp: Any) -> Any:
    """(S, C) features of the species before the first layer. values: row of each input of the box in its table."""
    table = weights["embedding"][rows]
    if not architecture.inputs:
        return table
    joined = xp.concatenate([weights[f"inputs.{k}"][value] for k, value in enumerate(values)])
    added = joined @ weights["project"]
    return table + added / (1 + xp.exp(-added))


def input_rows(checkpoint: Checkpoint, charge: int, spin: int, where: str) -> tuple[int, ...]:
    """Row of each input of the box in its table.

    Raises:
        InputError: the model does not know this value, or takes no such input at all.
    """
    given = {"total_charge": ("charge", charge, 0), "total_spin": ("spin", spin, 1)}
    taken = {entry.name for entry in checkpoint.architecture.inputs}
    for name, (key, value, default) in given.items():
        if name not in taken and value != default:
            raise InputError(
                f"the model takes no {key}, so {key} = {value} has no effect", where=where, fix="leave it out"
            )
    rows = []
    for k, entry in enumerate(checkpoint.architecture.inputs):
        key, value, _ = given[entry.name]
        size = len(checkpoint.arrays[f"inputs.{k}"])
        if not 0 <= value + entry.offset < size:
            fix = f"from {-entry.offset} to {size - 1 - entry.offset}"
            raise InputError(f"{key} = {value} is not known to the model", where=where, fix=fix)
        rows.append(value + entry.offset)
    return tuple(rows)


def prepare_layer(layer: Layer, of: Of, rows: Rows, head: int, embedding: Any, xp: Any) -> dict[str, Any]:
    """Parameters of one layer. embedding: (S, C) for the first, which gathers no features; None for the others."""
    prepared: dict[str, Any] = {
        "linear": [of(f"linear.{l}") for l in layer.l_out],
        "product": polynomial(layer, of, rows, xp),
    }
    if layer.nonlinear:
        prepared |= {
            "radial": _perceptron(layer.radial_hidden, of, "radial", rows, xp),
            "density": _perceptron(layer.density_hidden, of, "density", rows, xp),
            "density_last": (of("density.last")[:, 0], of("density_bias.last")[0]),
            "normaliser": of("normaliser"),
            "gated": [of(f"gated.{l}") for l in layer.l_message],
        }
    else:
        prepared["radial"] = [of(f"radial.{k}") for k in range(layer.radial_hidden)]
        if layer.density:
            prepared["density"] = of("density")[:, 0]
    if embedding is not None:
        prepared |= _first(layer, of, rows, embedding, xp)
    else:
        prepared["up"] = [of(f"up.{l}") for l in layer.l_in]
        prepared["matrix"] = _radial_matrix(layer, of, xp)
        prepared["mix"] = [of(f"message.{l}") for l in layer.l_message]
        shared = [l for l in layer.l_in if l in layer.l_out] if layer.residual else layer.l_message
        prepared["skip"] = [of(f"skip.{l}") if layer.nonlinear else of(f"skip.{l}")[rows] for l in shared]
        if layer.nonlinear:
            prepared["residual"] = [of(f"residual.{l}") for l in residuals(layer)]
    if layer.readout != "none":
        prepared["readout"] = _readout(layer, of, head)
    return prepared


def residuals(layer: Layer) -> tuple[int, ...]:
    """The l of the arrays "residual" of a non-linear layer."""
    return tuple(l for l in layer.l_in if l in layer.l_message)


def _first(layer: Layer, of: Of, rows: Rows, embedding: Any, xp: Any) -> dict[str, Any]:
    """`first`: for each l one matrix (receivers or 1, senders, H, C) from radial layer to message."""
    up = embedding @ of("up.0")
    last = _radial_matrix(layer, of, xp)
    first = []
    for l in layer.l_message:
        (k,) = layer.paths_to(l)
        # w3j(0, l, l) is a Kronecker delta over sqrt(2l + 1)
        factor = layer.path_factors[k] / np.sqrt(2 * l + 1)
        matrix = xp.einsum("hc,sc,cd->shd", last[:, k], up, of(f"message.{l}")[0]) * factor
        if layer.residual:
            first.append(matrix[None])
        else:
            first.append(xp.einsum("shc,zcd->zshd", matrix, of(f"skip.{l}")[rows]))
    prepared = {"first": first}
    if layer.nonlinear:
        prepared |= {"first_skip": embedding @ of("skip.0"), "first_residual": up @ of("residual.0")}
    elif layer.residual:
        prepared["first_skip"] = xp.einsum("sc,scd->sd", embedding, of("skip.0")[rows])
    return prepared


def _radial_matrix(layer: Layer, of: Of, xp: Any) -> Any:
    """(H, P, E); a bias is one row more, for a hidden unit that is 1."""
    if not layer.nonlinear:
        return of("radial.last")
    return xp.concatenate([of("radial.last"), of("radial_bias.last")[None]])


def _perceptron(hidden: int, of: Of, name: str, rows: Rows, xp: Any) -> radial.Perceptron:
    """A network of a non-linear layer, the species' part of its first layer multiplied out."""
    source, target, first = of("source")[rows], of("target")[rows], of(f"{name}.0")
    basis, channels = first.shape[0] - 2 * source.shape[1], source.shape[1]
    of_source = source @ first[basis : basis + channels]
    of_target = target @ first[basis + channels :]
    pair = of_target[:, None] + of_source[None, :] + of(f"{name}_bias.0")
    return radial.Perceptron(
        pair=pair,
        matrices=[first[:basis], *(of(f"{name}.{k}") for k in range(1, hidden))],
        biases=[of(f"{name}_bias.{k}") for k in range(1, hidden)],
        norms=[of(f"{name}_norm.{k}") for k in range(hidden)],
    )


def _readout(layer: Layer, of: Of, head: int) -> list[Any]:
    if layer.readout == "linear":
        return [of("readout.0")[:, head]]
    units = slice(head * layer.readout_hidden, (head + 1) * layer.readout_hidden)
    first = of("readout.0")[:, units]
    if layer.readout == "nonlinear":
        return [first, of("readout.1")[units, head]]
    middle = of("readout.1")[units, units], of("readout_bias.1")[units]
    return [first, *middle, of("readout.2")[units, head], of("readout_bias.2")[head]]


def couplings_of(layer: Layer) -> Couplings:
    """Wigner 3j tensors of unit norm, as in e3nn, times the factors of the paths."""
    import e3nn_jax  # takes two seconds, which studies without MACE need not wait for

    tensors = []
    for (l1, l2, l3), factor in zip(layer.paths, layer.path_factors, strict=True):
        if (l1 + l2 + l3) % 2:
            # where parity forbids a path, e3nn and e3nn_jax differ in sign; MACE has no such path
            raise ValueError(f"path {(l1, l2, l3)} does not conserve parity")
        tensors.append(np.asarray(e3nn_jax.clebsch_gordan(l1, l2, l3), np.float64) * factor)
    return Couplings(layer.paths, tensors)


def polynomial(layer: Layer, of: Of, rows: Rows, xp: Any) -> Polynomial:
    """Couplings times weights, spread from monomials to symmetric tensors, all outgoing l side by side.

    One for each species, or a single one where the weights are those of all.
    """
    components = sum(2 * l + 1 for l in layer.l_message)
    tensors: list[Any] = [None, None, None]  # of degree 1, 2, 3
    for degree in range(1, layer.correlation + 1):
        index, permutations = _symmetric_index(components, degree)
        parts = []
        for l in layer.l_out:
            product = of(f"product.{l}.{degree}")
            product = product[rows] if len(product) > 1 else product
            coefficients = xp.einsum("mdk,zkc->zcdm", of(f"basis.{l}.{degree}"), product)
            parts.append(coefficients[..., index] / permutations)
        tensors[degree - 1] = xp.concatenate(parts, axis=2)
    return pack(tensors[0], tensors[1], tensors[2], xp=xp)


def invariants(architecture: Architecture, weights: Mapping[str, Any]) -> Monomials | None:
    """Monomials of the last layer's contraction whose coefficients are not all zero, where the layer gathers features,
    has scalars only and they are at most `MOST_MONOMIALS`."""
    last = len(architecture.layers) - 1
    layer = architecture.layers[last]
    if last == 0 or layer.l_out != (0,):
        return None
    components, found = sum(2 * l + 1 for l in layer.l_message), []
    for degree in range(1, layer.correlation + 1):
        used = np.any(weights[f"layers.{last}.basis.0.{degree}"] != 0, axis=(1, 2))
        found += [tuple(factors) for factors in monomials(components, degree)[used].tolist()]
    return tuple(found) if len(found) <= MOST_MONOMIALS else None


@functools.cache
def _symmetric_index(components: int, degree: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each element of a (components,)^degree tensor: its monomial's number, and how many elements share it."""
    number = {tuple(indices): m for m, indices in enumerate(monomials(components, degree).tolist())}
    grid = np.sort(np.moveaxis(np.indices((components,) * degree), 0, -1), axis=-1)
    index = np.array([number[tuple(i)] for i in grid.reshape(-1, degree).tolist()]).reshape((components,) * degree)
    return index, np.bincount(index.ravel())[index].astype(np.float64)


def rows_of(architecture: Architecture, species: Sequence[str], origin: str) -> NDArray[np.int64]:
    """Rows of the model's tables that belong to species; InputError for one that it does not know."""
    numbers = list(architecture.species)
    rows = []
    for symbol in map(element_of, species):
        if atomic_numbers.get(symbol) not in numbers:
            names = ", ".join(chemical_symbols[z] for z in numbers)
            raise InputError(f"the model does not know {symbol}", where=origin, fix=f"it knows {names}")
        rows.append(numbers.index(atomic_numbers[symbol]))
    return np.array(rows, np.int64)


def head_of(architecture: Architecture, head: str | None, origin: str) -> int:
    """Number of a head; InputError for an unknown one, or for none of several."""
    heads = ", ".join(architecture.heads)
    if head is None:
        if len(architecture.heads) > 1:
            raise InputError("the model has several heads", where=origin, fix=f"choose one of {heads}")
        return 0
    if head not in architecture.heads:
        raise InputError(f"the model has no head {head!r}", where=origin, fix=f"it has {heads}")
    return architecture.heads.index(head)
