"""Non-linear interaction blocks (RealAgnosticResidualNonLinearInteractionBlock): networks with biases, and gates."""

from __future__ import annotations

import math

import numpy as np

from refine.potentials.mace.architecture import Layer
from refine.potentials.mace.reader.checks import MAX_RADIAL_HIDDEN
from refine.potentials.mace.reader.e3nn import (
    SIGMOID,
    SILU,
    activation_constant,
    edge_channels,
    ells_of,
    expect_function,
    matrices_of,
    matrix_to_scalars,
    paths_of,
)
from refine.potentials.mace.reader.modules import Module
from refine.potentials.mace.reader.reading import Reading
from refine.potentials.mace.reader.refusals import FROM_CUEQ, unsupported

KIND = "RealAgnosticResidualNonLinearInteractionBlock"


def read_nonlinear(model: Reading, at: str, block: Module, incoming: tuple[int, ...]) -> Layer:
    """What comes before the product, but for the skip; fields of the product and readout are still empty."""
    up, mix = block.child("linear_up"), block.child("linear_1")
    channels = edge_channels(model, up, incoming)
    for name, table in (("source", "source_embedding"), ("target", "target_embedding")):
        matrix, factor = matrix_to_scalars(model, block.child(table), (None, model.channels))
        model.put(f"{at}.{name}", matrix, factor)
    for l, (matrix, factor) in matrices_of(model, up).items():
        model.put(f"{at}.up.{l}", matrix, factor)
    paths, path_factors = paths_of(model, block.child("conv_tp"), channels)
    l_message = tuple(range(len(model.harmonics)))
    widths = {l: model.channels * (len(l_message) if l == 0 else 1) for l in l_message}
    for l, (matrix, factor) in matrices_of(model, mix).items():
        count = sum(path[2] == l for path in paths)
        if matrix.shape != (count * channels, widths.get(l)):
            raise mix.error(f"is a matrix of shape {matrix.shape} for {count} paths of l = {l}")
        model.put(f"{at}.message.{l}", matrix.reshape(count, channels, widths[l]), factor)
    for l, (matrix, factor) in matrices_of(model, block.child("linear_res")).items():
        model.put(f"{at}.residual.{l}", matrix, factor)
    gated = block.child("linear_2")
    if ells_of(model, gated, "irreps_in") != l_message:
        raise gated.error("does not take every l in ascending order")
    constants = read_gate(model, block.child("equivariant_nonlin"), l_message)
    for l, (matrix, factor) in matrices_of(model, gated).items():
        model.put(f"{at}.gated.{l}", matrix, factor * constants[l])
    networks = [(block.child("conv_tp_weights"), "radial"), (block.child("density_fn"), "density")]
    (hidden, first), (density_hidden, second) = (read_perceptron(model, f"{at}.{name}", net) for net, name in networks)
    if first != second:
        raise unsupported(model.root, f"a model whose layer norms differ ({block.path})")
    last, bias = (model.arrays[f"{at}.{name}.last"] for name in ("radial", "radial_bias"))
    if last.shape[1] != len(paths) * channels:
        raise block.error(f"has {last.shape[1]} outputs for {len(paths)} paths of {channels} channels")
    model.arrays[f"{at}.radial.last"] = last.reshape(-1, len(paths), channels)
    model.arrays[f"{at}.radial_bias.last"] = bias.reshape(len(paths), channels)
    alpha, beta = block.number("alpha"), block.number("beta")
    model.put(f"{at}.normaliser", np.array([alpha, beta], last.dtype))
    return Layer(
        density=True,
        residual=True,
        l_in=incoming,
        l_message=l_message,
        l_out=(),
        paths=paths,
        path_factors=path_factors,
        radial_hidden=hidden,
        correlation=0,
        readout="none",
        readout_hidden=0,
        edge_channels=channels,
        nonlinear=True,
        density_hidden=density_hidden,
        norm_epsilon=first,
    )


def read_gate(model: Reading, gate: Module, l_message: tuple[int, ...]) -> dict[int, float]:
    """The constant of each l: e3nn multiplies silu and the sigmoid with one.

    The order of slots is that of e3nn: scalars, then the gates of each l, then each l.
    """
    count = model.channels
    scalars, gates, gated = (gate.irreps(f"irreps_{name}") for name in ("scalars", "gates", "gated"))
    fits = scalars == [(count, 0, 1)] and gated == [(count, l, (-1) ** l) for l in l_message if l]
    if not fits or any(slot[1:] != (0, 1) for slot in gates) or sum(slot[0] for slot in gates) != count * len(gated):
        raise unsupported(model.root, f"a model with other gates than one for each channel of each l ({gate.path})")
    if (gate.package, gate.kind) == ("mace", "GatedEquivariantBlock"):
        if gate.flag("_layout_is_ir_mul", False):
            raise unsupported(model.root, f"a model whose {gate.path} is saved for cuEquivariance", FROM_CUEQ)
        expect_function(model, gate, "_act_scalar", SILU)
        constants = {0: gate.number("_scalar_cst")}
        if gated:
            expect_function(model, gate, "_act_gate", SIGMOID)
        return constants | {slot[1]: gate.number("_gate_cst") for slot in gated}
    model.expect(gate, "e3nn", "Gate")
    (act,) = _activations(gate, "act_scalars", 1)
    constants = {0: activation_constant(model, act, SILU)}
    if gated:
        acts, product = _activations(gate, "act_gates", len(gated)), gate.child("mul")
        model.expect(product, "e3nn", "ElementwiseTensorProduct")
        instructions = product.instructions(7)
        if len(instructions) != len(gated):
            raise product.error(f"has {len(instructions)} products for {len(gated)} gated irreps")
        for (_, l, _), act, instruction in zip(gated, acts, instructions, strict=True):
            # e3nn contracts with the Wigner 3j symbol (l, 0, l), which is 1/sqrt(2l+1) on its diagonal.
            weight = model.root.file.scalar(instruction[5], f"{product.path}: a path weight") / math.sqrt(2 * l + 1)
            constants[l] = activation_constant(model, act, SIGMOID) * weight
    return constants


def read_perceptron(model: Reading, name: str, net: Module) -> tuple[int, float]:
    """A network of linear layers with biases, layer norms and silu between them; hidden layers, the norms' epsilon."""
    model.expect(net, "mace", "RadialMLP")
    parts = net.children("net")
    hidden, rest = divmod(len(parts) - 1, 3)
    if rest or not 1 <= hidden <= MAX_RADIAL_HIDDEN:
        raise net.error(f"has {len(parts)} parts")
    group, epsilons = name.rpartition(".")[2], set()
    at = name.rpartition(".")[0]
    for k in range(hidden + 1):
        number = "last" if k == hidden else str(k)
        linear = model.expect(parts[3 * k], "torch", "Linear")
        matrix, bias = linear.array("weight"), linear.array("bias")
        if matrix.ndim != 2 or bias.shape != matrix.shape[:1]:
            raise linear.error(f"has a weight of shape {matrix.shape} and a bias of shape {bias.shape}")
        model.put(f"{at}.{group}.{number}", np.ascontiguousarray(matrix.T))
        model.put(f"{at}.{group}_bias.{number}", bias)
        if k == hidden:
            break
        norm = model.expect(parts[3 * k + 1], "torch", "LayerNorm")
        model.expect(parts[3 * k + 2], "torch", "SiLU")
        slope, shift = norm.array("weight"), norm.array("bias")
        if not slope.shape == shift.shape == bias.shape:
            raise norm.error(f"is of shape {slope.shape} after {len(bias)} units")
        model.put(f"{at}.{group}_norm.{k}", np.stack([slope, shift]))
        epsilons.add(norm.number("eps"))
    if len(epsilons) != 1:
        raise unsupported(model.root, f"a model whose layer norms differ ({net.path})")
    return hidden, epsilons.pop()


def _activations(gate: Module, name: str, count: int) -> list[Module]:
    acts = gate.child(name).children("acts")
    if len(acts) != count:
        raise gate.error(f"has {len(acts)} activations in {name}")
    return acts
