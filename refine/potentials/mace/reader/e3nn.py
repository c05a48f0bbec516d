"""Layers of e3nn as mace-torch saves them: their matrices, factors and paths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.potentials.mace.reader.modules import Module, say
from refine.potentials.mace.reader.pickles import Name, Object
from refine.potentials.mace.reader.reading import Reading
from refine.potentials.mace.reader.refusals import unsupported

SILU = ("torch.nn.functional.silu", "torch._C._nn.silu", "torch.nn.modules.activation.SiLU")
SIGMOID = ("torch.nn.functional.sigmoid", "torch.sigmoid", "torch.nn.modules.activation.Sigmoid")


def matrices_of(model: Reading, module: Module) -> dict[int, tuple[NDArray[Any], float]]:
    """Matrix (inputs, outputs) and factor of each l that a linear layer of e3nn leads to.

    Where several slots lead to one l their rows follow each other in the order of the slots.
    """
    model.expect(module, "e3nn", "Linear")
    inputs, outputs = module.irreps("irreps_in"), module.irreps("irreps_out")
    for _, l, parity in (*inputs, *outputs):
        check_parity(model, module, l, parity)
    instructions = module.instructions(4)
    if any(i == -1 for i, *_ in instructions) or (
        "bias" in module and module.file.tensor(module.get("bias"), f"{module.path}.bias").size
    ):
        raise unsupported(model.root, f"a model with biases ({module.path})")
    weight, used = module.array("weight"), 0
    blocks: dict[int, list[tuple[int, NDArray[Any], float]]] = {}
    for i, o, _, factor in instructions:
        (rows, l, _), (columns, target, _) = slot(module, inputs, i), slot(module, outputs, o)
        if l != target or min(rows, columns) < 1 or weight.ndim != 1 or used + rows * columns > weight.size:
            raise module.error("has paths that do not fit its weights")
        number = model.root.file.scalar(factor, f"{module.path}: a path weight")
        block = weight[used : used + rows * columns].reshape(rows, columns)
        blocks.setdefault(o, []).append((i, block, number))
        used += rows * columns
    if used != weight.size:
        raise module.error("has more weights than paths")
    found: dict[int, tuple[NDArray[Any], float]] = {}
    for o, parts in blocks.items():
        parts.sort(key=lambda part: part[0])
        _, l, _ = outputs[o]
        if l in found or len({number for *_, number in parts}) != 1:
            raise unsupported(model.root, f"a model that treats parts of one l differently ({module.path})")
        matrices = [matrix for _, matrix, _ in parts]
        found[l] = (matrices[0] if len(matrices) == 1 else np.concatenate(matrices), parts[0][2])
    return dict(sorted(found.items()))


def matrix_to_scalars(
    model: Reading, module: Module, shape: tuple[int | None, int | None]
) -> tuple[NDArray[Any], float]:
    """Matrix and factor of a linear layer to scalars."""
    found = matrices_of(model, module)
    matrix, factor = found.get(0, (np.zeros((0, 0)), 1.0))
    if list(found) != [0] or any(n not in (None, m) for m, n in zip(matrix.shape, shape, strict=True)):
        raise module.error(f"is a matrix of shape {matrix.shape}")
    return matrix, factor


def biased_of(model: Reading, module: Module) -> tuple[NDArray[Any], float, NDArray[Any]]:
    """Matrix (inputs, outputs), its factor, and bias (outputs,) of a linear layer of e3nn from scalars to scalars."""
    model.expect(module, "e3nn", "Linear")
    inputs, outputs = module.irreps("irreps_in"), module.irreps("irreps_out")
    weight, bias = module.array("weight"), module.array("bias")
    instructions = [(i, o, factor) for i, o, _, factor in module.instructions(4)]
    if len(inputs) != 1 or len(outputs) != 1 or [(i, o) for i, o, _ in instructions] != [(0, 0), (-1, 0)]:
        raise module.error("is no linear layer with a bias from scalars to scalars")
    if inputs[0][1:] != (0, 1) or outputs[0][1:] != (0, 1) or weight.size != inputs[0][0] * outputs[0][0]:
        raise module.error("has weights that do not fit its irreps")
    factors = [model.root.file.scalar(factor, f"{module.path}: a path weight") for *_, factor in instructions]
    if bias.shape != (outputs[0][0],) or factors[1] != 1:
        raise module.error(f"has a bias of shape {bias.shape}")
    return weight.reshape(inputs[0][0], outputs[0][0]), factors[0], bias


def paths_of(
    model: Reading, module: Module, channels: int
) -> tuple[tuple[tuple[int, int, int], ...], tuple[float, ...]]:
    """(l1, l2, l3) and factor of each path of the channel-wise product, in the order of its weights."""
    model.expect(module, "e3nn", "TensorProduct")
    one, two, out = (module.irreps(name) for name in ("irreps_in1", "irreps_in2", "irreps_out"))
    if two != model.harmonics:
        raise module.error("does not take the spherical harmonics")
    paths, factors = [], []
    for k, (i, j, o, mode, has_weight, factor, _) in enumerate(module.instructions(7)):
        first, second, third = slot(module, one, i), slot(module, two, j), slot(module, out, o)
        if mode != "uvu" or has_weight is not True or o != k:
            raise module.error("is no channel-wise product with one weight for each path and channel")
        if (first[0], second[0], third[0]) != (channels, 1, channels):
            raise unsupported(model.root, f"a model whose channels differ between irreps ({module.path})")
        for _, l, parity in (first, second, third):
            check_parity(model, module, l, parity)
        paths.append((first[1], second[1], third[1]))
        factors.append(model.root.file.scalar(factor, f"{module.path}: a path weight"))
    return tuple(paths), tuple(factors)


def read_network(model: Reading, name: str, net: Module, shape: tuple[int, int] | None) -> int:
    """A network of e3nn without biases, silu between its layers; the number of hidden ones.

    shape: paths and channels that its outputs are for; None: one output.

    Its weights are divided by sqrt(inputs), and silu is multiplied with a constant, which goes to the next layer.
    """
    model.expect(net, "e3nn", "FullyConnectedNet")
    layers = [net.child(part) for part in net.parts]
    if not layers:
        raise net.error("has no layers")
    constant = 1.0
    for k, layer in enumerate(layers):
        model.expect(layer, "e3nn", "_Layer")
        weight, last = layer.array("weight"), k == len(layers) - 1
        h_in, var_in, var_out = (layer.number(key) for key in ("h_in", "var_in", "var_out"))
        if weight.ndim != 2 or weight.shape[0] != h_in or not (var_in > 0 and var_out > 0):
            raise layer.error(f"has a weight of shape {weight.shape}")
        if last != (layer.get("act", None) is None):
            raise unsupported(model.root, f"a model whose {net.path} has its activations in other places")
        factor = constant / math.sqrt(h_in * var_in)
        if not last:
            model.put(f"{name}.{k}", weight, factor)
            constant = activation_constant(model, layer.child("act")) * math.sqrt(var_out)
            continue
        factor *= math.sqrt(var_out)
        if shape is None:
            model.put(name, weight, factor)
        elif weight.shape[1] != math.prod(shape):
            raise layer.error(f"has {weight.shape[1]} outputs for {shape[0]} paths of {shape[1]} channels")
        else:
            model.put(f"{name}.last", weight.reshape(-1, *shape), factor)
    return len(layers) - 1


def activation_constant(model: Reading, activation: Module, functions: tuple[str, ...] = SILU) -> float:
    """The constant that e3nn multiplies an activation with, where it is one of these functions."""
    model.expect(activation, "e3nn", "normalize2mom")
    expect_function(model, activation, "f", functions)
    return 1.0 if activation.flag("_is_id", False) else activation.number("cst")


def expect_function(model: Reading, module: Module, key: str, functions: tuple[str, ...]) -> None:
    """InputError where a module has another function there."""
    function = module.get(key)
    name = str(function.kind if isinstance(function, Object) else function) if function is not None else "None"
    if not isinstance(function, Name | Object) or name not in functions:
        fix = f"{functions[0].rpartition('.')[2]} is"
        raise unsupported(model.root, f"a model with the activation {say(function)} ({module.path})", fix)


def edge_channels(model: Reading, up: Module, incoming: tuple[int, ...]) -> int:
    """E, of the linear layer that lifts features; InputError where it does not lift every l to as many channels."""
    features, edges = ells_of(model, up, "irreps_in"), up.irreps("irreps_out")
    channels = edges[0][0] if edges else 0
    lifted = ells_of(model, up, "irreps_out", "edge_irreps", channels)
    if sorted(features) != list(incoming) or sorted(lifted) != list(incoming):
        raise unsupported(model.root, f"a model whose edge_irreps have other l than the features ({up.path})")
    return channels


def ells_of(
    model: Reading, module: Module, name: str, feature: str = "hidden irreps", channels: int | None = None
) -> tuple[int, ...]:
    """The l of each slot; every slot must have all channels (None: those of the model), and no l be there twice."""
    slots, channels = module.irreps(name), model.channels if channels is None else channels
    for count, l, parity in slots:
        check_parity(model, module, l, parity)
        if count != channels:
            what = f"a model whose {feature} have {count} channels of l = {l} and {channels} elsewhere"
            raise unsupported(model.root, what)
    ells = tuple(l for _, l, _ in slots)
    if len(set(ells)) != len(ells):
        raise unsupported(model.root, f"a model with one l twice ({module.path}.{name})")
    return ells


def check_parity(model: Reading, module: Module, l: int, parity: int) -> None:
    """InputError for a pseudotensor, whose parity is not (-1)^l."""
    if parity != (-1) ** (l % 2) or not 0 <= l <= 20:
        sign = "e" if parity == 1 else "o"
        raise unsupported(model.root, f"a model with features of irrep {l}{sign} ({module.path})")


def slot(module: Module, slots: list[tuple[int, int, int]], index: Any) -> tuple[int, int, int]:
    """(count, l, parity) of the slot that a path names."""
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(slots):
        raise module.error("has a path to a slot that does not exist")
    return slots[index]
