"""Random MACE models by name, built with mace-torch, and the boxes they are evaluated in. Run by a torch interpreter.

`CASES` are small models that together have every option refine evaluates, and every pair of options that could
interfere; `ARCHITECTURES` are the published models with random weights, in full size. Constants that refine must read
from the file instead of knowing them (Bessel wave numbers, Agnesi's and ZBL's numbers, covalent radii) are moved off
their usual values, and weights are scaled so that every part of a model shows in its energies.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from mace import modules  # isort: split

from e3nn import nn, o3  # cannot be imported before mace with torch >= 2.6
from mace.data.neighborhood import get_neighborhood
from mace.modules import wrapper_ops

BLOCKS = {
    "plain": "RealAgnosticInteractionBlock",
    "residual": "RealAgnosticResidualInteractionBlock",
    "density": "RealAgnosticDensityInteractionBlock",
    "density-residual": "RealAgnosticDensityResidualInteractionBlock",
    "nonlinear": "RealAgnosticResidualNonLinearInteractionBlock",
}
PUBLISHED_SPECIES = tuple(z for z in range(1, 95) if z not in range(84, 89))


@dataclass(frozen=True)
class Case:
    """What a model is built from; the seed of its weights follows from the name.

    Attributes:
        channels, l: of the hidden features, all l from 0 to this one.
        blocks: of the first layer and of the others, keys of BLOCKS.
        correlation: of the products, of each layer or of all.
        reduced: the symmetric basis of cuequivariance instead of the full one of e3nn, in the products.
        agnostic: the products have the same weights for all species.
        envelope_on_weights: mace's apply_cutoff=False.
        keep_irreps: the last layer keeps features of l > 0.
        last_readout_only: energies come from the last layer alone.
        scaled: ScaleShiftMACE, or MACE without scale and shift.
        species: atomic numbers in the order of the file's arrays.
        neighbors: the average that messages are divided by.
        edge: channels that neighbours gather, after the first layer or in it, too; None: those of the features.
        biased: the last readout has biases and two hidden layers.
        inputs: the model takes charge and spin of the box.
        old_gate: gates as mace-torch before 0.3.16 saves them.
        from_cueq: converted to cuEquivariance, saved, and converted back by mace-torch's own scripts.
    """

    channels: int = 4
    l: int = 1
    max_ell: int = 2
    correlation: int | tuple[int, ...] = 2
    layers: int = 2
    blocks: tuple[str, str] = ("residual", "residual")
    bessel: int = 5
    power: int = 5
    agnesi: bool = False
    zbl: bool = False
    heads: tuple[str, ...] = ("Default",)
    dtype: str = "float64"
    scaled: bool = True
    reduced: bool = False
    agnostic: bool = False
    envelope_on_weights: bool = False
    keep_irreps: bool = False
    last_readout_only: bool = False
    radial: tuple[int, ...] = (8, 8)
    readout: int = 4
    r_max: float = 3.2
    species: tuple[int, ...] = (1, 8, 14, 26)
    neighbors: float = 7.25
    edge: int | None = None
    edge_first: bool = False
    biased: bool = False
    inputs: bool = False
    old_gate: bool = False
    from_cueq: bool = False

    def options(self) -> dict[str, Any]:
        """All of it, for the record."""
        return asdict(self)


P, R, D, DR, NL = BLOCKS
TWO, THREE = ("pt_head", "Default"), ("Default", "r2scan", "pbe")
UNSORTED, FIVE, BACKWARDS = (26, 8, 1, 14), (8, 14, 26, 40, 3), (40, 26, 14, 8)

CASES: dict[str, Case] = {
    # L = 0
    "plain-l0": Case(l=0, max_ell=1, correlation=1, layers=1, blocks=(P, P), scaled=False),
    "residual-l0": Case(l=0, max_ell=3, correlation=3, layers=2, channels=5, radial=(8, 8, 8), species=UNSORTED),
    "density-l0-zbl": Case(
        l=0, max_ell=3, correlation=3, blocks=(D, DR), agnesi=True, zbl=True, reduced=True, heads=TWO
    ),
    "mixed-l0-f32": Case(
        l=0, max_ell=2, correlation=2, layers=3, blocks=(P, R), dtype="float32", species=FIVE, bessel=8
    ),
    "density-l0-agnostic": Case(
        l=0, max_ell=1, correlation=3, layers=3, blocks=(DR, DR), agnostic=True, heads=THREE, scaled=False, power=6
    ),
    "residual-l0-weights": Case(
        l=0, max_ell=2, correlation=3, layers=1, channels=6, envelope_on_weights=True, agnesi=True, species=BACKWARDS
    ),
    "plain-l0-zbl": Case(
        l=0,
        max_ell=2,
        correlation=1,
        layers=2,
        blocks=(P, P),
        zbl=True,
        scaled=False,
        heads=TWO,
        dtype="float32",
        power=6,
    ),
    "density-l0-one": Case(
        l=0, max_ell=3, correlation=2, layers=1, blocks=(D, D), reduced=True, agnesi=True, envelope_on_weights=True
    ),
    # L = 1
    "plain-l1": Case(l=1, max_ell=2, correlation=2, blocks=(P, P), channels=5, agnesi=True, species=BACKWARDS),
    "mixed-l1": Case(l=1, max_ell=3, correlation=(3, 2), blocks=(P, R), channels=6, radial=(8, 12, 8)),
    "residual-l1-full": Case(l=1, max_ell=2, correlation=2, layers=2, channels=8, r_max=4.0, species=UNSORTED),
    "residual-l1-reduced": Case(l=1, max_ell=2, correlation=3, layers=3, reduced=True, power=6, agnesi=True),
    "residual-l1-f32-zbl": Case(l=1, max_ell=1, correlation=3, zbl=True, dtype="float32", heads=THREE, species=FIVE),
    "density-l1": Case(l=1, max_ell=2, correlation=3, blocks=(D, DR), agnesi=True, zbl=True, r_max=3.6, bessel=8),
    "density-l1-keep": Case(
        l=1,
        max_ell=2,
        correlation=2,
        blocks=(DR, DR),
        keep_irreps=True,
        heads=TWO,
        scaled=False,
        reduced=True,
        zbl=True,
    ),
    "density-l1-plain": Case(
        l=1, max_ell=1, correlation=2, layers=3, blocks=(D, D), dtype="float32", agnostic=True, envelope_on_weights=True
    ),
    "mixed-l1-weights": Case(
        l=1, max_ell=3, correlation=1, blocks=(R, DR), envelope_on_weights=True, zbl=True, heads=TWO, species=BACKWARDS
    ),
    "residual-l1-one": Case(
        l=1, max_ell=3, correlation=2, layers=1, dtype="float32", reduced=True, heads=TWO, scaled=False, power=6
    ),
    "residual-l1-last": Case(
        l=1, max_ell=2, correlation=2, layers=3, last_readout_only=True, agnostic=True, keep_irreps=True, channels=6
    ),
    "density-l1-f32": Case(
        l=1,
        max_ell=3,
        correlation=2,
        blocks=(D, DR),
        agnesi=True,
        zbl=True,
        dtype="float32",
        reduced=True,
        species=UNSORTED,
    ),
    # L = 2
    "residual-l2": Case(l=2, max_ell=3, correlation=2, blocks=(R, R), channels=6, heads=TWO, keep_irreps=True),
    "residual-l2-reduced": Case(
        l=2, max_ell=2, correlation=3, reduced=True, agnesi=True, dtype="float32", scaled=False, keep_irreps=True
    ),
    "plain-l2": Case(l=2, max_ell=2, correlation=2, layers=3, blocks=(P, P), zbl=True, reduced=True, species=FIVE),
    "mixed-l2": Case(l=2, max_ell=2, correlation=3, blocks=(P, R), agnesi=True, heads=THREE, agnostic=True, power=6),
    "density-l2": Case(
        l=2, max_ell=3, correlation=(2, 3), blocks=(D, DR), zbl=True, agnesi=True, scaled=False, bessel=8
    ),
    "density-l2-weights": Case(
        l=2, max_ell=2, correlation=1, layers=3, blocks=(DR, DR), envelope_on_weights=True, dtype="float32", agnesi=True
    ),
    "residual-l2-narrow": Case(
        l=2, max_ell=1, correlation=3, layers=2, zbl=True, envelope_on_weights=True, keep_irreps=True
    ),
    "density-l2-one": Case(
        l=2, max_ell=2, correlation=3, layers=1, blocks=(DR, DR), heads=THREE, dtype="float32", r_max=3.6
    ),
    # the other orders of blocks, and what is left of pairs of options
    "density-plain": Case(
        l=1, max_ell=3, correlation=2, layers=3, blocks=(D, P), agnostic=True, reduced=True, species=FIVE
    ),
    "density-density": Case(
        l=2, max_ell=2, correlation=2, blocks=(D, D), reduced=True, agnesi=True, zbl=True, heads=TWO, keep_irreps=True
    ),
    "density-residual": Case(
        l=2, max_ell=2, correlation=2, blocks=(D, R), reduced=True, zbl=True, heads=TWO, channels=5
    ),
    "both-density": Case(
        l=1, max_ell=3, correlation=1, layers=2, blocks=(DR, D), scaled=False, zbl=True, species=UNSORTED
    ),
    "both-plain": Case(
        l=1,
        max_ell=1,
        correlation=3,
        blocks=(DR, P),
        reduced=True,
        agnesi=True,
        agnostic=True,
        envelope_on_weights=True,
        scaled=False,
        keep_irreps=True,
    ),
    "both-residual": Case(l=2, max_ell=3, correlation=1, layers=3, blocks=(DR, R), agnostic=True, heads=TWO, bessel=7),
    "plain-density": Case(
        l=0, max_ell=2, correlation=1, blocks=(P, D), reduced=True, agnostic=True, keep_irreps=True, zbl=True, power=6
    ),
    "plain-both": Case(
        l=1, max_ell=1, correlation=2, blocks=(P, DR), envelope_on_weights=True, dtype="float32", zbl=True
    ),
    "residual-plain": Case(l=0, max_ell=3, correlation=2, blocks=(R, P), dtype="float32", scaled=False, agnesi=True),
    "residual-density": Case(
        l=1, max_ell=2, correlation=3, layers=3, blocks=(R, D), zbl=True, reduced=True, species=FIVE
    ),
    "one-density": Case(
        l=2, max_ell=1, correlation=1, layers=1, blocks=(D, D), zbl=True, agnostic=True, keep_irreps=True, heads=THREE
    ),
    # non-linear layers: as MH-1, as OMOL-0, and others
    "nonlinear-mh": Case(
        l=1,
        max_ell=2,
        correlation=3,
        blocks=(NL, NL),
        envelope_on_weights=True,
        zbl=True,
        agnesi=True,
        edge=3,
        edge_first=True,
        agnostic=True,
        biased=True,
        heads=THREE,
    ),
    "nonlinear-omol": Case(
        l=2, max_ell=3, layers=3, blocks=(NL, NL), envelope_on_weights=True, edge=2, inputs=True, reduced=True
    ),
    "nonlinear-cut": Case(l=1, max_ell=2, blocks=(NL, NL), old_gate=True, species=UNSORTED, radial=(8,), zbl=True),
    "nonlinear-l0": Case(
        l=0, max_ell=1, blocks=(NL, NL), layers=3, envelope_on_weights=True, dtype="float32", scaled=False, heads=TWO
    ),
    "nonlinear-one": Case(
        l=1, max_ell=2, layers=1, blocks=(NL, NL), envelope_on_weights=True, old_gate=True, inputs=True, edge=3
    ),
    "nonlinear-small": Case(
        l=0, max_ell=1, channels=3, blocks=(NL, NL), edge=2, agnostic=True, biased=True, heads=TWO, radial=(6,)
    ),
    "nonlinear-mixed": Case(
        l=1, max_ell=2, layers=3, blocks=(DR, NL), agnesi=True, edge=5, biased=True, heads=TWO, keep_irreps=True
    ),
    "nonlinear-first": Case(
        l=1, max_ell=1, layers=2, blocks=(NL, R), agnesi=True, edge=6, envelope_on_weights=True, correlation=(3, 2)
    ),
    # as files saved for cuEquivariance have to be brought
    "back-from-cueq": Case(l=1, max_ell=2, correlation=3, blocks=(D, DR), agnesi=True, zbl=True, from_cueq=True),
    "edges": Case(l=1, max_ell=2, blocks=(R, DR), edge=6, edge_first=True, biased=True, inputs=True, agnesi=True),
}
CASES["nonlinear-back-from-cueq"] = replace(CASES["nonlinear-mh"], from_cueq=True)

GOLDENS = (
    "plain-both",
    "one-density",
    "residual-l0-weights",
    "residual-l1-one",
    "residual-l1-full",
    "density-residual",
    "nonlinear-one",
    "nonlinear-small",
)
"""What tests/goldens/mace holds: few and small, with each option in one of them at least."""
PUBLISHED_HEADS = ("matpes_r2scan", "mp_pbe_refit_add", "spice_wB97M", "oc20_usemppbe", "omol", "omat_pbe")

ARCHITECTURES: dict[str, Case] = {
    name: Case(
        channels=128,
        l=l,
        max_ell=3,
        correlation=3,
        blocks=(D, DR) if density else (R, R),
        bessel=10,
        agnesi=density,
        zbl=density,
        radial=(64, 64, 64),
        readout=16,
        r_max=r_max,
        species=PUBLISHED_SPECIES,
        neighbors=61.964672446250916,
    )
    for name, l, density, r_max in [
        ("mp-0-small", 0, False, 6.0),
        ("mp-0-medium", 1, False, 6.0),
        ("mp-0-large", 2, False, 6.0),
        ("0b2-small", 0, True, 5.0),
        ("0b3-medium", 1, True, 6.0),
        ("mpa-0-medium", 1, True, 6.0),
    ]
} | {
    "mh-1": Case(
        channels=512,
        max_ell=3,
        correlation=3,
        blocks=(NL, NL),
        bessel=10,
        agnesi=True,
        zbl=True,
        heads=PUBLISHED_HEADS,
        agnostic=True,
        envelope_on_weights=True,
        radial=(64, 64, 64),
        readout=16,
        r_max=6.0,
        species=PUBLISHED_SPECIES,
        edge=128,
        edge_first=True,
        biased=True,
    ),
    "omol-0": Case(
        channels=1024,
        l=2,
        max_ell=3,
        correlation=2,
        layers=3,
        blocks=(NL, NL),
        bessel=8,
        envelope_on_weights=True,
        radial=(64, 64, 64),
        readout=16,
        r_max=6.0,
        species=PUBLISHED_SPECIES,
        edge=128,
        inputs=True,
        dtype="float32",
    ),
}


SPECS = {
    name: {"type": "categorical", "per": "graph", "in_dim": 1, "emb_dim": 3, "num_classes": classes, "offset": offset}
    for name, classes, offset in [("total_spin", 7, 0), ("total_charge", 11, 5)]
}
"""Of the models that take charge and spin, as of OMOL-0 but for their sizes."""
CHARGE, SPIN = -2, 3
"""Of every box, where the model takes them."""


def build(name: str, case: Case) -> torch.nn.Module:
    """The model of a case, always with the same weights, in the precision of its file."""
    if case.reduced and not wrapper_ops.CUET_AVAILABLE:
        raise SystemExit(
            f"{name} needs the package cuequivariance-torch: without it mace-torch takes the full basis in silence"
        )
    seed = int.from_bytes(name.encode(), "little") % 2**32
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    torch.set_default_dtype(getattr(torch, case.dtype))
    heads, species = len(case.heads), len(case.species)
    energies = rng.uniform(-14, -4, (heads, species))
    options: dict[str, Any] = {
        "r_max": case.r_max,
        "num_bessel": case.bessel,
        "num_polynomial_cutoff": case.power,
        "max_ell": case.max_ell,
        "interaction_cls_first": modules.interaction_classes[BLOCKS[case.blocks[0]]],
        "interaction_cls": modules.interaction_classes[BLOCKS[case.blocks[1]]],
        "num_interactions": case.layers,
        "num_elements": species,
        "hidden_irreps": o3.Irreps([(case.channels, (l, (-1) ** l)) for l in range(case.l + 1)]),
        "MLP_irreps": o3.Irreps(f"{case.readout}x0e"),
        "atomic_energies": energies if heads > 1 else energies[0],
        "avg_num_neighbors": case.neighbors,
        "atomic_numbers": list(case.species),
        "correlation": case.correlation if isinstance(case.correlation, int) else list(case.correlation),
        "gate": torch.nn.functional.silu,
        "pair_repulsion": case.zbl,
        "distance_transform": "Agnesi" if case.agnesi else "None",
        "apply_cutoff": not case.envelope_on_weights,
        "use_reduced_cg": case.reduced,
        "use_agnostic_product": case.agnostic,
        "use_last_readout_only": case.last_readout_only,
        "keep_last_layer_irreps": case.keep_irreps,
        "radial_MLP": list(case.radial),
        "heads": list(case.heads),
        "edge_irreps": o3.Irreps([(case.edge, (l, (-1) ** l)) for l in range(case.l + 1)]) if case.edge else None,
        "use_edge_irreps_first": case.edge_first,
        "readout_cls": modules.NonLinearBiasReadoutBlock if case.biased else modules.NonLinearReadoutBlock,
        "embedding_specs": SPECS if case.inputs else None,
    }
    if case.scaled:
        scale, shift = rng.uniform(0.6, 1.4, heads), rng.uniform(-0.5, 0.5, heads)
        options["atomic_inter_scale"] = scale.tolist() if heads > 1 else float(scale[0])
        options["atomic_inter_shift"] = shift.tolist() if heads > 1 else float(shift[0])
        model = modules.ScaleShiftMACE(**options)
    else:
        model = modules.MACE(**options)
    if case.old_gate:
        for interaction in model.interactions:
            gate = interaction.equivariant_nonlin
            interaction.equivariant_nonlin = nn.Gate(
                irreps_scalars=gate.irreps_scalars,
                act_scalars=[torch.nn.functional.silu] * len(gate.irreps_scalars),
                irreps_gates=gate.irreps_gates,
                act_gates=[torch.nn.functional.sigmoid] * len(gate.irreps_gates),
                irreps_gated=gate.irreps_gated,
            )
    _settle(model)
    return _back_from_cueq(model) if case.from_cueq else model


def _back_from_cueq(model: torch.nn.Module) -> torch.nn.Module:
    """The model as a file that was saved for cuEquivariance gives it back."""
    from mace.cli import convert_cueq_e3nn, convert_e3nn_cueq

    stream = io.BytesIO()
    torch.save(convert_e3nn_cueq.run(model, device="cpu", return_model=True), stream)
    stream.seek(0)
    return convert_cueq_e3nn.run(torch.load(stream, weights_only=False), device="cpu", return_model=True)


def _settle(model: torch.nn.Module) -> None:
    """Move constants off their defaults, and bring messages and features of each l to order one in the liquid.

    As they are initialised, messages are small, so that what is of second and third degree in them does not show.
    """
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            last = name.rsplit(".", 1)[-1]
            if last in ("a_exp", "a_prefactor", "c", "a", "q", "bessel_weights", "prefactor"):
                buffer.mul_(1 + 0.06 * (torch.rand(buffer.shape) - 0.5))
            if last == "covalent_radii":  # the same in Agnesi's transform and in ZBL
                buffer.mul_(1 + 0.03 * torch.cos(torch.arange(len(buffer), dtype=buffer.dtype)))
        for name, parameter in model.named_parameters():
            last = name.rsplit(".", 1)[-1]
            if last in ("alpha", "beta"):
                parameter.fill_(0.7 if last == "alpha" else 1.3)  # beta is 0, so that the density would not show
            elif ".linear_mid.bias" in name or ".linear_2.bias" in name or "_embedding.weight" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.5)
            elif (".conv_tp_weights.net." in name or ".density_fn.net." in name) and parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape))
    data = graph(model, boxes()["liquid"], 0, torch.get_default_dtype())
    for interaction, product in zip(model.interactions, model.products, strict=True):
        _to_order_one(model, data, interaction, getattr(interaction, "linear_2", None) or interaction.linear)
        _to_order_one(model, data, product.linear, product.linear)


def _to_order_one(model: torch.nn.Module, data: dict[str, Any], watched: torch.nn.Module, linear: o3.Linear) -> None:
    """Divide the weights of a linear map by the rms of what comes out of a module, for each l."""
    seen: list[Any] = []
    handle = watched.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(data, compute_force=False)
    handle.remove()
    flat = seen[0] if watched is linear else seen[0][0]
    with torch.no_grad():
        begin = column = 0
        pieces = {}
        for k, (multiplicity, irrep) in enumerate(linear.irreps_out):
            width = irrep.dim * (multiplicity if watched is linear else 1)
            pieces[k] = flat[..., column : column + width].square().mean().sqrt()
            column += width
        for instruction in linear.instructions:
            size = instruction.path_shape[0] * instruction.path_shape[1]
            if pieces[instruction.i_out] > 0:
                linear.weight[begin : begin + size] /= pieces[instruction.i_out]
            begin += size


def graph(model: torch.nn.Module, box: dict[str, np.ndarray], head: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """What a model takes: the edges of mace-torch's own neighbour search, species as one-hot vectors."""
    device = model.r_max.device
    edges, shifts, unit_shifts, cell = get_neighborhood(
        box["positions"], cutoff=float(model.r_max), pbc=(True, True, True), cell=box["cell"].copy()
    )
    species = [model.atomic_numbers.tolist().index(z) for z in box["numbers"]]
    n = len(species)
    floats = {
        "positions": box["positions"],
        "cell": cell,
        "shifts": shifts,
        "unit_shifts": unit_shifts,
        "node_attrs": np.eye(len(model.atomic_numbers))[species],
    }
    if hasattr(model, "joint_embedding"):
        floats |= {"total_charge": np.array([CHARGE]), "total_spin": np.array([SPIN])}
    integers = {"edge_index": edges, "batch": np.zeros(n), "ptr": np.array([0, n]), "head": np.array([head])}
    return {key: torch.tensor(value, dtype=dtype, device=device) for key, value in floats.items()} | {
        key: torch.tensor(value, dtype=torch.int64, device=device) for key, value in integers.items()
    }


BOXES: dict[str, tuple[np.ndarray, tuple[int, ...]]] = {
    # three lattice vectors, Å, as rows; numbers of O, Si and Fe
    "liquid": (np.diag([7.0, 7.4, 7.9]), (18, 8, 8)),
    "triclinic": (np.array([[7.6, 0.0, 0.0], [1.7, 7.2, 0.0], [-1.3, 1.9, 6.9]]), (16, 6, 10)),
    "small": (np.array([[2.7, 0.0, 0.0], [0.3, 2.9, 0.0], [0.2, -0.4, 3.1]]), (1, 0, 1)),
    "sparse": (np.diag([11.0, 10.0, 12.0]), (2, 2, 2)),
}
"""A liquid wider than two cutoffs, a skewed one, one whose atoms see themselves, one with an atom that sees none."""
SPARSE = [[5.0, 5.0, 5.0], [6.4, 5.9, 5.3], [4.7, 3.9, 6.6], [9.9, 9.5, 11.6], [0.2, 0.6, 1.5], [5.0, 5.0, 10.8]]


def boxes() -> dict[str, dict[str, np.ndarray]]:
    """positions (N, 3) Å, cell (3, 3) Å and atomic numbers (N,) of each box of BOXES, in no order of species."""
    made = {}
    for seed, (name, (cell, counts)) in enumerate(BOXES.items()):
        rng = np.random.default_rng(seed)
        numbers = rng.permutation(np.repeat([8, 14, 26], counts))
        anywhere = rng.random((len(numbers), 3)) @ cell
        positions = np.array(SPARSE) if name == "sparse" else spread(anywhere, cell, 1.7)
        made[name] = {"positions": positions, "cell": cell, "numbers": numbers}
    return made


def oxide(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A cubic box of n atoms, 40 % Fe and 60 % O, 0.09 of them in an Å^3: what the benchmark times."""
    rng = np.random.default_rng(seed)
    side = (n / 0.09) ** (1 / 3)
    per_side = int(np.ceil(n ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3), -1).reshape(-1, 3)
    start = rng.permutation(lattice)[:n] * (side / per_side) + rng.normal(0, 0.25 * side / per_side, (n, 3))
    iron = round(0.4 * n)
    cell = side * np.eye(3)
    return {
        "positions": spread(start, cell, 1.75),
        "cell": cell,
        "numbers": rng.permutation(np.repeat([26, 8], [iron, n - iron])),
    }


def spread(positions: np.ndarray, cell: np.ndarray, distance: float) -> np.ndarray:
    """Push atoms (and images of themselves) apart until none are much closer than a distance."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    nearest_only = heights.min() > 2 * distance
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 1, 1, 3) @ cell
    for _ in range(400):
        apart = positions[:, None] - positions
        apart = apart - np.round(apart @ np.linalg.inv(cell)) @ cell if nearest_only else apart + images
        apart = apart.reshape(-1, *apart.shape[-3:])
        length = np.linalg.norm(apart, axis=-1, keepdims=True)
        near = (length > 0) & (length < distance)
        push = np.where(near, 0.25 * (distance - length) / np.where(near, length, 1.0), 0.0) * apart
        positions = positions + push.sum((0, 2))
    return positions @ np.linalg.inv(cell) % 1.0 @ cell
