"""Layers of a model: interaction, product, skip and readout."""

from __future__ import annotations

import math
from dataclasses import replace

from refine.potentials.mace.architecture import Layer
from refine.potentials.mace.reader.checks import MAX_LAYERS, skipped
from refine.potentials.mace.reader.contractions import read_contraction
from refine.potentials.mace.reader.e3nn import (
    activation_constant,
    biased_of,
    edge_channels,
    ells_of,
    matrices_of,
    matrix_to_scalars,
    paths_of,
    read_network,
    slot,
)
from refine.potentials.mace.reader.modules import Module
from refine.potentials.mace.reader.nonlinear import KIND as NONLINEAR
from refine.potentials.mace.reader.nonlinear import read_nonlinear
from refine.potentials.mace.reader.reading import Reading
from refine.potentials.mace.reader.refusals import unsupported

BLOCKS = {  # density, residual
    "RealAgnosticInteractionBlock": (False, False),
    "RealAgnosticResidualInteractionBlock": (False, True),
    "RealAgnosticDensityInteractionBlock": (True, False),
    "RealAgnosticDensityResidualInteractionBlock": (True, True),
}


def read_layers(model: Reading, heads: int) -> tuple[Layer, ...]:
    """All layers in order, their arrays put into `model`."""
    root = model.root
    interactions, products, readouts = (root.children(name) for name in ("interactions", "products", "readouts"))
    count = len(interactions)
    if len(products) != count or root.number("num_interactions") != count or not 1 <= count <= MAX_LAYERS:
        raise root.error(f"has {count} interactions and {len(products)} products")
    if len(readouts) not in (1, count):
        raise root.error(f"has {len(readouts)} readouts for {count} layers")
    # mace-torch: a single readout acts on the last layer, else each on its own.
    of_layer: list[Module | None] = [None] * (count - len(readouts)) + list(readouts)
    layers: list[Layer] = []
    incoming: tuple[int, ...] = (0,)
    for t, (interaction, product, readout) in enumerate(zip(interactions, products, of_layer, strict=True)):
        layer = read_interaction(model, f"layers.{t}", interaction, incoming)
        layer = read_product(model, f"layers.{t}", product, layer, is_last=t == count - 1)
        read_skip(model, f"layers.{t}", interaction, layer)
        if readout is not None:
            layer = read_readout(model, f"layers.{t}", readout, layer, heads)
        layers.append(layer)
        incoming = layer.l_out
    return tuple(layers)


def read_interaction(model: Reading, at: str, block: Module, incoming: tuple[int, ...]) -> Layer:
    """What comes before the product, but for the skip; fields of the product and readout are still empty."""
    if block.package == "mace" and block.kind == NONLINEAR:
        return read_nonlinear(model, at, block, incoming)
    if block.package != "mace" or block.kind not in BLOCKS:
        feature = "attention" if "Att" in block.kind else "unknown interaction blocks"
        fix = f"{', '.join((*BLOCKS, NONLINEAR))} are supported"
        raise unsupported(model.root, f"a model with {feature} ({block.kind})", fix)
    density, residual = BLOCKS[block.kind]
    up, tensor_product, mix = block.child("linear_up"), block.child("conv_tp"), block.child("linear")
    channels = edge_channels(model, up, incoming)
    for l, (matrix, factor) in matrices_of(model, up).items():
        model.put(f"{at}.up.{l}", matrix, factor)
    paths, path_factors = paths_of(model, tensor_product, channels)
    # Without a density every message is divided by the average number of neighbours.
    neighbours = 1.0 if density else block.number("avg_num_neighbors")
    if neighbours == 0:
        raise block.error("has no neighbours on average")
    for l, (matrix, factor) in matrices_of(model, mix).items():
        count = sum(path[2] == l for path in paths)
        if matrix.shape != (count * channels, model.channels):
            raise mix.error(f"mixes {matrix.shape[0]} channels of {count} paths of l = {l}")
        model.put(f"{at}.message.{l}", matrix.reshape(count, channels, model.channels), factor / neighbours)
    hidden = read_network(model, f"{at}.radial", block.child("conv_tp_weights"), (len(paths), channels))
    if density:
        net = block.child("density_fn")
        if read_network(model, f"{at}.density", net, None):
            raise unsupported(model.root, f"a model whose {net.path} has several layers")
    return Layer(
        density=density,
        residual=residual,
        l_in=incoming,
        l_message=tuple(sorted(ells_of(model, mix, "irreps_out"))),
        l_out=(),
        paths=paths,
        path_factors=path_factors,
        radial_hidden=hidden,
        correlation=0,
        readout="none",
        readout_hidden=0,
        edge_channels=channels,
    )


def read_product(model: Reading, at: str, block: Module, layer: Layer, *, is_last: bool) -> Layer:
    """The symmetric contraction and the linear layer after it."""
    model.expect(block, "mace", "EquivariantProductBasisBlock")
    if layer.residual and not block.flag("use_sc", True):
        raise unsupported(model.root, f"a model whose {block.path} drops the residual")
    contraction = model.expect(block.child("symmetric_contractions"), "mace", "SymmetricContraction")
    if ells_of(model, contraction, "irreps_in") != layer.l_message:
        raise contraction.error("does not take the messages in ascending order of l")
    mix = block.child("linear")
    ells = ells_of(model, mix, "irreps_out")
    if ells_of(model, mix, "irreps_in") != ells or ells_of(model, contraction, "irreps_out") != ells:
        raise block.error("has irreps that do not fit together")
    if 0 not in ells:
        raise block.error("has no scalars")
    # Only scalars of the last layer are read out; others that the model keeps have no effect on the energy.
    used = (0,) if is_last else tuple(sorted(ells))
    contractions = contraction.children("contractions")
    if len(contractions) != len(ells):
        raise contraction.error(f"has {len(contractions)} contractions for {len(ells)} irreps")
    components = sum(2 * l + 1 for l in layer.l_message)
    orders = set()
    for l, part in zip(ells, contractions, strict=True):
        if l in used:
            orders.add(read_contraction(model, at, part, l, components))
    if len(orders) != 1:
        raise contraction.error("has correlations that differ between irreps")
    for l, (matrix, factor) in matrices_of(model, mix).items():
        if l in used:
            model.put(f"{at}.linear.{l}", matrix, factor)
    return replace(layer, l_out=used, correlation=orders.pop())


def read_skip(model: Reading, at: str, block: Module, layer: Layer) -> None:
    """The product with the one-hot species: a matrix (channel, channel) of each species; a non-linear layer has one."""
    if layer.nonlinear:
        matrices = matrices_of(model, block.child("skip_tp"))
        for l in skipped(layer):
            if l not in matrices:
                raise block.error(f"has no skip of l = {l}")
            model.put(f"{at}.skip.{l}", *matrices[l])
        return
    module = model.expect(block.child("skip_tp"), "e3nn", "FullyConnectedTensorProduct")
    one, two, out = (module.irreps(name) for name in ("irreps_in1", "irreps_in2", "irreps_out"))
    ells_of(model, module, "irreps_in1"), ells_of(model, module, "irreps_out")
    species = len(model.root.integers("atomic_numbers"))
    if two != [(species, 0, 1)]:
        raise module.error("does not take one scalar for each species")
    weight, used, wanted = module.array("weight"), 0, skipped(layer)
    size = model.channels * species * model.channels
    for i, _, o, mode, has_weight, factor, _ in module.instructions(7):
        l, target = slot(module, one, i)[1], slot(module, out, o)[1]
        if mode != "uvw" or has_weight is not True or l != target or weight.ndim != 1 or used + size > weight.size:
            raise module.error("has paths that are not a matrix for each species")
        if l in wanted:
            matrix = weight[used : used + size].reshape(model.channels, species, model.channels)
            number = model.root.file.scalar(factor, f"{module.path}: a path weight")
            # e3nn contracts with the Wigner 3j symbol (l, 0, l), which is 1/sqrt(2l+1) on its diagonal.
            model.put(f"{at}.skip.{l}", matrix.transpose(1, 0, 2), number / math.sqrt(2 * l + 1))
        used += size
    if used != weight.size:
        raise module.error("has more weights than paths")


def read_readout(model: Reading, at: str, block: Module, layer: Layer, heads: int) -> Layer:
    """A linear, nonlinear or biased readout of the scalars."""
    if block.package == "mace" and block.kind == "LinearReadoutBlock":
        matrix, factor = matrix_to_scalars(model, block.child("linear"), (model.channels, heads))
        model.put(f"{at}.readout.0", matrix, factor)
        return replace(layer, readout="linear")
    biased = block.kind == "NonLinearBiasReadoutBlock"
    if block.package != "mace" or block.kind not in ("NonLinearReadoutBlock", "NonLinearBiasReadoutBlock"):
        raise unsupported(model.root, f"a model with an unknown readout ({block.kind})")
    masks = block.get("num_heads", 1)
    if heads > 1 and masks != heads:
        raise unsupported(model.root, f"a model whose {heads} heads share the hidden units of a readout")
    activations = block.child("non_linearity").children("acts")
    if len(activations) != 1:
        raise unsupported(model.root, f"a model without one activation in its readout ({block.path})", "silu is needed")
    constant = activation_constant(model, activations[0])
    first, factor = matrix_to_scalars(model, block.child("linear_1"), (model.channels, None))
    hidden = first.shape[1]
    if hidden == 0 or hidden % heads:
        raise block.error(f"has {hidden} hidden units for {heads} heads")
    model.put(f"{at}.readout.0", first, factor)
    if biased:
        for k, name in ((1, "linear_mid"), (2, "linear_2")):
            matrix, factor, bias = biased_of(model, block.child(name))
            model.put(f"{at}.readout.{k}", matrix, factor * constant)
            model.put(f"{at}.readout_bias.{k}", bias)
        return replace(layer, readout="biased", readout_hidden=hidden // heads)
    second, factor = matrix_to_scalars(model, block.child("linear_2"), (hidden, heads))
    model.put(f"{at}.readout.1", second, factor * constant)
    return replace(layer, readout="nonlinear", readout_hidden=hidden // heads)
