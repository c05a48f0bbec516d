"""Checkpoints of mace-torch: what is evaluated is read to the last digit, all else is refused by name."""

from __future__ import annotations

import math
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.mace.architecture import ZBL, Agnesi, Architecture, Checkpoint, monomials
from refine.potentials.mace.reader import checkpoint, load, modules, neutral, read_torch, reading
from refine.potentials.mace.reader.checks import check
from refine.potentials.mace.reader.contractions import symmetrised
from refine.potentials.mace.reader.modules import Module, TorchFile
from refine.potentials.mace.reader.pickles import Name, Object, Reference
from tests.potentials.mace.torch_files import TINY, Model, archive_of, parts, pickled

SILU = 1.6791767923989418


def read(model: Model, folder: Path) -> Checkpoint:
    return read_torch(model.save(folder))


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.architecture == other.architecture
    assert one.factors == other.factors
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype, name
        np.testing.assert_array_equal(array, other.arrays[name], name)


def doubles(*values: float) -> bytes:
    return np.array(values, "<f8").tobytes()


def irreps(*slots: tuple[int, int, int]) -> Object:
    kind = "e3nn.o3._irreps"
    pairs = ((count, Object(Name(kind, "Irrep"), ((l, p),))) for count, l, p in slots)
    return Object(Name(kind, "Irreps"), (tuple(Object(Name(kind, "_MulIr"), (pair,)) for pair in pairs),))


def instruction(*fields: Any) -> Object:
    return Object(Name("e3nn.o3._linear", "Instruction"), fields)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_architecture() -> None:
    found = read_torch(TINY)
    a = found.architecture
    assert (a.r_max, a.species, a.heads, a.channels, a.max_ell) == (4.0, (1, 8, 26), ("a", "b"), 4, 1)
    assert (a.envelope_power, a.envelope_on_weights, a.dtype) == (5.0, False, "float64")
    assert a.bessel_prefactor == pytest.approx(math.sqrt(2 / 4.0), rel=1e-15)
    assert a.agnesi == Agnesi(a=1.0805, p=4.5791, q=0.9183)
    assert a.zbl == ZBL(p=5.0, a_exp=0.3, a_prefactor=0.4543, c=(0.1818, 0.5099, 0.2802, 0.02817))
    assert (a.scale, a.shift) == ((0.8, 0.9), (0.0, 0.1))
    first, last = a.layers
    assert (first.density, first.residual, first.l_in, first.l_message, first.l_out) == (
        True,
        False,
        (0,),
        (0, 1),
        (0, 1),
    )
    assert (last.density, last.residual, last.l_in, last.l_message, last.l_out) == (True, True, (0, 1), (0, 1), (0,))
    assert first.paths == ((0, 0, 0), (0, 1, 1))
    assert last.paths == ((0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1))
    assert last.path_factors == pytest.approx([math.sqrt(2 * path[2] + 1) for path in last.paths], rel=1e-15)
    assert (first.radial_hidden, first.correlation, first.readout, first.readout_hidden) == (2, 2, "linear", 0)
    assert (last.radial_hidden, last.correlation, last.readout, last.readout_hidden) == (2, 2, "nonlinear", 4)
    assert (found.origin, len(found.sha256)) == ("tiny.model", 64)
    np.testing.assert_allclose(found.weights["bessel"], np.pi * np.arange(1, 5) / 4, rtol=1e-15)
    np.testing.assert_allclose(found.weights["covalent_radii"], [0.31, 0.66, 1.32], rtol=1e-15)
    check(a, found.arrays, found.factors, where="tiny")


def test_e3nn_normalisation() -> None:
    """1/sqrt(inputs) of everything that leads to one output; of the species too; silu's constant in the next layer."""
    factors = read_torch(TINY).factors
    c, z = 4, 3
    expected = {
        "embedding": z**-0.5,
        "layers.1.up.1": c**-0.5,
        "layers.0.message.1": c**-0.5,
        "layers.1.message.1": (2 * c) ** -0.5,
        "layers.0.skip.1": (c * z) ** -0.5,
        "layers.1.skip.0": (c * z) ** -0.5,
        "layers.1.radial.0": 4**-0.5,
        "layers.1.radial.1": SILU * 4**-0.5,
        "layers.1.radial.last": SILU * 4**-0.5,
        "layers.0.density": 4**-0.5,
        "layers.0.linear.1": c**-0.5,
        "layers.0.readout.0": c**-0.5,
        "layers.1.readout.0": c**-0.5,
        "layers.1.readout.1": SILU * (2 * c) ** -0.5,
    }
    assert {name: factors[name] for name in expected} == pytest.approx(expected, rel=1e-14)
    assert not [name for name in factors if "basis" in name or "product" in name or name in ("energies", "bessel")]


def test_symmetric_contraction_equals_the_couplings_of_the_file() -> None:
    """U[m, i, j, k] x_i x_j of the file, and the coefficients of the monomials: the same forms."""
    found, root = read_torch(TINY), Module(file := TorchFile(TINY.read_bytes(), "tiny"), file.tree, "")
    x = np.random.default_rng(0).normal(size=4)
    for t, layer in enumerate(found.architecture.layers):
        for slot, l in enumerate(layer.l_out):
            part = root.child(f"products.{t}.symmetric_contractions.contractions.{slot}")
            for nu in (1, 2):
                form = part.array(f"U_matrix_{nu}").reshape(2 * l + 1, *(4,) * nu, -1)
                form = np.moveaxis(form, -1, 0)
                for _ in range(nu):
                    form = form @ x
                basis = found.arrays[f"layers.{t}.basis.{l}.{nu}"]
                assert basis.dtype == np.float64
                values = np.einsum("i,imk->km", x[monomials(4, nu)].prod(axis=1), basis)
                np.testing.assert_allclose(values, form, rtol=0, atol=1e-14)
            assert np.abs(found.arrays[f"layers.{t}.basis.{l}.2"]).max() > 0.1


@pytest.mark.parametrize(("components", "degree"), [(1, 3), (4, 1), (4, 4), (9, 2), (9, 3)])
def test_symmetrisation_of_any_form(components: int, degree: int) -> None:
    rng = np.random.default_rng(components)
    form = rng.normal(size=(3, *(components,) * degree, 2))
    x = rng.normal(size=components)
    packed = symmetrised(form.reshape(3, -1, 2), components, degree)
    value = np.moveaxis(form, -1, 0)
    for _ in range(degree):
        value = value @ x
    np.testing.assert_allclose(np.einsum("i,imk->km", x[monomials(components, degree)].prod(axis=1), packed), value)


def test_a_model_saved_again_is_the_same(tmp_path: Path) -> None:
    assert_same(read(Model(), tmp_path), read_torch(TINY))


def test_no_number_can_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_torch(TINY).arrays["embedding"][0, 0] = 1.0


# --- what mace-torch writes in several ways ---------------------------------------------------------------------------


def ordered(model: Model) -> None:
    """torch before 2.0 kept the parts of a module in ordered dictionaries."""
    for module in model.modules():
        for part in ("_parameters", "_buffers", "_modules"):
            entries = dict(parts(module, part))
            module.state[part] = Object(Name("collections", "OrderedDict"), (), entries=entries)


def without_newer_attributes(model: Model) -> None:
    """What files of the first 0.3 do not have."""
    for name in ("apply_cutoff", "use_so3", "use_agnostic_product", "edge_irreps", "use_reduced_cg", "lammps_mliap"):
        model.without(name)
    model.without("radial_embedding.apply_cutoff")
    for t in (0, 1):
        model.without(f"interactions.{t}.cueq_config").without(f"interactions.{t}.oeq_config")
        model.without(f"products.{t}.cueq_config").without(f"products.{t}.use_agnostic_product")


def simplified(model: Model) -> None:
    """Earlier mace-torch merged the paths that lead to one l: one slot of P C channels instead of P slots of C."""
    linear = model.at("interactions.1.linear")
    linear.state["irreps_in"] = irreps((8, 0, 1), (8, 1, -1))
    factor = 8**-0.5
    linear.state["instructions"] = [instruction(0, 0, (8, 4), factor), instruction(1, 1, (8, 4), factor)]


def trainable(model: Model) -> None:
    model.as_parameter("radial_embedding.bessel_fn.bessel_weights")
    for name in "apq":
        model.as_parameter(f"radial_embedding.distance_transform.{name}")
    for name in ("a_exp", "a_prefactor"):
        model.as_parameter(f"pair_repulsion_fn.{name}")


def module_silu(model: Model) -> None:
    """silu as an object of a class."""
    kind = Name("torch.nn.modules.activation", "SiLU")
    model.set("readouts.1.non_linearity.acts.0.f", Object(kind, (), state={"inplace": False}))


@pytest.mark.parametrize("change", [ordered, without_newer_attributes, simplified, trainable, module_silu])
def test_other_ways_to_write_the_same_model(change: Callable[[Model], None], tmp_path: Path) -> None:
    model = Model()
    change(model)
    assert_same(read(model, tmp_path), read_torch(TINY))


def one_head(model: Model) -> Model:
    """The first head alone, as files with one head are."""
    rng = np.random.default_rng(0)
    model.without("heads").without("readouts.1.num_heads")
    model.set("atomic_energies_fn.atomic_energies", model.tensor(doubles(-1.0, -2.0, -3.0), (3,), (1,)))
    model.set("scale_shift.scale", model.tensor(doubles(0.8), (), ()))
    model.set("scale_shift.shift", model.tensor(doubles(0.1), (), ()))
    for name, rows in (("readouts.0.linear", 4), ("readouts.1.linear_2", 8)):
        linear = model.at(name)
        linear.state["irreps_out"] = irreps((1, 0, 1))
        linear.state["instructions"] = [instruction(0, 0, (rows, 1), rows**-0.5)]
        model.set(f"{name}.weight", model.tensor(doubles(*rng.normal(size=rows)), (rows,), (1,)))
    return model


def test_one_head(tmp_path: Path) -> None:
    found = read(one_head(Model()), tmp_path)
    a = found.architecture
    assert (a.heads, a.scale, a.shift) == (("default",), (0.8,), (0.1,))
    np.testing.assert_array_equal(found.arrays["energies"], [[-1.0, -2.0, -3.0]])
    assert (found.arrays["layers.0.readout.0"].shape, a.layers[1].readout_hidden) == ((4, 1), 8)
    named = read(one_head(Model()).set("heads", ["Default"]), tmp_path)
    assert named.architecture.heads == ("Default",)


def test_without_scale_and_shift(tmp_path: Path) -> None:
    model = Model().renamed("", "mace.modules.models.MACE").without("scale_shift")
    a = read(model, tmp_path).architecture
    assert (a.scale, a.shift) == ((1.0, 1.0), (0.0, 0.0))


def test_without_repulsion_and_transform(tmp_path: Path) -> None:
    model = Model().without("pair_repulsion").without("pair_repulsion_fn")
    found = read(model, tmp_path)
    assert found.architecture.zbl is None
    assert "covalent_radii" in found.arrays
    found = read(model.without("radial_embedding.distance_transform"), tmp_path)
    assert found.architecture.agnesi is None
    assert "covalent_radii" not in found.arrays


def test_repulsion_is_switched_by_its_attribute(tmp_path: Path) -> None:
    """mace-torch asks whether the model has `pair_repulsion`; the function alone does nothing."""
    assert read(Model().without("pair_repulsion"), tmp_path).architecture.zbl is None


def test_envelope_on_the_weights(tmp_path: Path) -> None:
    assert read(Model().set("radial_embedding.apply_cutoff", False), tmp_path).architecture.envelope_on_weights


NUMPY = Object(
    Name("numpy.core.multiarray", "scalar"),
    (
        Object(Name("numpy", "dtype"), ("f8", False, True), state=(3, "<", None, None, None, -1, -1, 0)),
        Object(Name("_codecs", "encode"), (doubles(8.0).decode("latin-1"), "latin1")),
    ),
)


@pytest.mark.parametrize("written", ["float", "integer", "tensor", "numpy"])
def test_average_number_of_neighbours(written: str, tmp_path: Path) -> None:
    """Divided out of the messages, unless there is a density."""
    model = Model()
    value = {"float": 8.0, "integer": 8, "tensor": model.tensor(doubles(8.0), (), ()), "numpy": NUMPY}[written]
    for t in (0, 1):
        model.renamed(f"interactions.{t}", "mace.modules.blocks.RealAgnosticResidualInteractionBlock")
        model.set(f"interactions.{t}.avg_num_neighbors", value)
    model.set("products.0.use_sc", True)
    skip = model.at("interactions.0.skip_tp")
    skip.state["irreps_in1"], skip.state["instructions"] = irreps((4, 0, 1)), skip.state["instructions"][:1]
    model.set("interactions.0.skip_tp.weight", model.tensor(doubles(*range(48)), (48,), (1,)))
    found = read(model, tmp_path)
    assert [layer.density for layer in found.architecture.layers] == [False, False]
    assert [layer.residual for layer in found.architecture.layers] == [True, True]
    assert found.factors["layers.1.message.0"] == pytest.approx(8**-0.5 / 8, rel=1e-15)
    assert "layers.0.skip.1" not in found.arrays
    # (in, species, out) in the file, (species, in, out) here
    np.testing.assert_array_equal(found.arrays["layers.0.skip.0"][1], np.arange(48).reshape(4, 3, 4)[:, 1])


def test_a_single_readout_is_that_of_the_last_layer(tmp_path: Path) -> None:
    layers = read(Model().without("readouts.0"), tmp_path).architecture.layers
    assert [layer.readout for layer in layers] == ["none", "nonlinear"]


def test_more_than_scalars_in_the_last_layer_has_no_effect(tmp_path: Path) -> None:
    """With keep_last_layer_irreps the last product goes to vectors too; only its scalars are read out."""
    model = Model()
    first, last = model.at("products.0"), model.at("products.1")
    for part in ("symmetric_contractions", "linear"):
        parts(last, "_modules")[part] = parts(first, "_modules")[part]
    found = read(model, tmp_path)
    assert found.architecture.layers[1].l_out == (0,)
    assert not [name for name in found.arrays if name.startswith(("layers.1.basis.1", "layers.1.linear.1"))]


def test_one_product_for_all_species(tmp_path: Path) -> None:
    model = Model()
    for t, slot in ((0, 0), (0, 1)):
        at = f"products.{t}.symmetric_contractions.contractions.{slot}"
        model.set(f"{at}.weights_max", model.tensor(doubles(*range(8)), (1, 2, 4), (8, 4, 1)))
        model.set(f"{at}.weights.0", model.tensor(doubles(*range(4)), (1, 1, 4), (4, 4, 1)))
    assert read(model, tmp_path).arrays["layers.0.product.0.2"].shape == (1, 2, 4)


def test_order_of_irreps_does_not_matter(tmp_path: Path) -> None:
    """Weights of a linear layer are found by what its paths say, not by their place."""
    model = Model()
    linear = model.at("interactions.1.linear_up")
    linear.state["irreps_in"] = linear.state["irreps_out"] = irreps((4, 1, -1), (4, 0, 1))
    found, before = read(model, tmp_path).arrays, read_torch(TINY).arrays
    np.testing.assert_array_equal(found["layers.1.up.0"], before["layers.1.up.1"])
    np.testing.assert_array_equal(found["layers.1.up.1"], before["layers.1.up.0"])


# --- what is refused --------------------------------------------------------------------------------------------------

CUEQ = Object(Name("mace.modules.wrapper_ops", "CuEquivarianceConfig"), (), state={"enabled": True})
IR_MUL = Object(Name("mace.modules.wrapper_ops", "CuEquivarianceConfig"), (), state={"layout_str": "ir_mul"})
OEQ = Object(Name("mace.modules.wrapper_ops", "OEQConfig"), (), state={"enabled": True})
EMPTY = Object(Name("torch.nn", "Module"), (), state={"_parameters": {}, "_buffers": {}, "_modules": {}})
BLOCKS, RADIAL = "mace.modules.blocks", "mace.modules.radial"


def _linear_with_bias(model: Model) -> Model:
    return model.set("products.0.linear.bias", model.tensor(doubles(1.0), (1,), (1,)))


REFUSED: dict[str, tuple[Callable[[Model], Any], str]] = {
    "dipoles": (lambda m: m.renamed("", "mace.modules.models.AtomicDipolesMACE"), r"a model with dipoles"),
    "polar": (lambda m: m.renamed("", "mace.modules.extensions.PolarMACE"), r"long-range electrostatics \(PolarMACE\)"),
    "LES": (lambda m: m.renamed("", "mace.modules.extensions.MACELES"), r"electrostatics \(LES\)"),
    "LAMMPS": (
        lambda m: m.renamed("", "mace.calculators.lammps_mliap_mace.LAMMPS_MLIAP_MACE"),
        r"wrapped for LAMMPS .*; give the original \.model",
    ),
    "another class": (lambda m: m.renamed("", "mace.modules.models.FancyMACE"), r"a model of the class FancyMACE"),
    "another package": (lambda m: m.renamed("", "torch.nn.Linear"), r"the file holds a torch\.nn\.Linear instead"),
    "joint embedding": (lambda m: m.set("joint_embedding", EMPTY), r"instead of a GenericJointEmbedding"),
    "embedding without weights": (
        lambda m: m.set("embedding_specs", {"total_charge": {}}),
        r"embeddings of further inputs in its settings only",
    ),
    "magnetic": (lambda m: m.renamed("", "mace.modules.extensions.MagneticMACE"), r"magnetic moments \(MagneticMACE\)"),
    "extra part": (lambda m: parts(m.at(""), "_modules").update(les=EMPTY), r"the extra part 'les'"),
    "no parity": (lambda m: m.set("use_so3", True), r"without parity \(use_so3\)"),
    "non-linear block": (
        lambda m: m.renamed("interactions.1", f"{BLOCKS}.RealAgnosticResidualNonLinearInteractionBlock"),
        r"RealAgnosticResidualNonLinearInteractionBlock\) has no 'linear_1'",
    ),
    "attention": (
        lambda m: m.renamed("interactions.1", f"{BLOCKS}.RealAgnosticAttResidualInteractionBlock"),
        r"attention \(RealAgnosticAttResidualInteractionBlock\)",
    ),
    "unknown block": (lambda m: m.renamed("interactions.0", f"{BLOCKS}.NewBlock"), r"unknown interaction blocks"),
    "Gaussian basis": (lambda m: m.renamed("radial_embedding.bessel_fn", f"{RADIAL}.GaussianBasis"), r"GaussianBasis"),
    "Chebychev basis": (lambda m: m.renamed("radial_embedding.bessel_fn", f"{RADIAL}.ChebychevBasis"), r"ChebychevBa"),
    "Soft transform": (
        lambda m: m.renamed("radial_embedding.distance_transform", f"{RADIAL}.SoftTransform"),
        r"the distance transform SoftTransform",
    ),
    "other repulsion": (lambda m: m.renamed("pair_repulsion_fn", f"{RADIAL}.Other"), r"instead of a ZBLBasis"),
    "other envelope": (lambda m: m.renamed("radial_embedding.cutoff_fn", f"{RADIAL}.Cosine"), r"instead of a Polyn"),
    "cuEquivariance": (
        lambda m: m.set("interactions.0.cueq_config", CUEQ),
        r"saved for cuEquivariance .*mace_cueq_to_e3nn FILE --return",
    ),
    "layout": (lambda m: m.set("products.1.cueq_config", IR_MUL), r"saved for cuEquivariance"),
    "cuEquivariance layer": (
        lambda m: m.renamed("interactions.1.linear", "cuequivariance_torch.operations.linear.Linear"),
        r"saved for cuEquivariance \(interactions\.1\.linear\)",
    ),
    "openequivariance": (lambda m: m.set("interactions.0.oeq_config", OEQ), r"saved for OpenEquivariance"),
    "openequivariance layer": (
        lambda m: m.renamed("interactions.1.conv_tp", "openequivariance.TensorProductConv"),
        r"saved for OpenEquivariance \(interactions\.1\.conv_tp\)",
    ),
    "LoRA": (
        lambda m: m.renamed("interactions.1.linear", "mace.modules.lora.LoRAO3Linear"),
        r"interactions\.1\.linear is a mace LoRAO3Linear instead of a Linear",
    ),
    "other activation": (
        lambda m: m.set("readouts.1.non_linearity.acts.0.f", Name("torch", "tanh")),
        r"the activation torch\.tanh .*; silu is",
    ),
    "other radial activation": (
        lambda m: m.set("interactions.0.conv_tp_weights.layer1.act.f", Name("torch.nn.functional", "relu")),
        r"the activation torch\.nn\.functional\.relu",
    ),
    "activation after the last layer": (
        lambda m: m.set("interactions.0.conv_tp_weights.layer2.act", Name("torch", "tanh")),
        r"activations in other places",
    ),
    "bias": (_linear_with_bias, r"a model with biases \(products\.0\.linear\)"),
    "bias readout": (
        lambda m: m.renamed("readouts.1", f"{BLOCKS}.NonLinearBiasReadoutBlock"),
        r"readouts\.1 \(NonLinearBiasReadoutBlock\) has no 'linear_mid'",
    ),
    "dipole readout": (lambda m: m.renamed("readouts.0", f"{BLOCKS}.LinearDipoleReadoutBlock"), r"an unknown readout"),
    "shared hidden units": (lambda m: m.set("readouts.1.num_heads", 1), r"2 heads share the hidden units"),
    "channels by l": (
        lambda m: m.set("products.0.linear.irreps_out", irreps((4, 0, 1), (2, 1, -1))),
        r"2 channels of l = 1 and 4 elsewhere",
    ),
    "edge channels": (
        lambda m: m.set("interactions.1.linear_up.irreps_out", irreps((8, 0, 1), (4, 1, -1))),
        r"edge_irreps have 4 channels of l = 1 and 8 elsewhere",
    ),
    "edge irreps": (
        lambda m: m.set("interactions.1.linear_up.irreps_out", irreps((4, 0, 1))),
        r"edge_irreps have other l than the features",
    ),
    "parity": (lambda m: m.set("interactions.1.conv_tp.irreps_in1", irreps((4, 0, 1), (4, 1, 1))), r"irrep 1e"),
    "odd scalars": (lambda m: m.set("products.0.linear.irreps_in", irreps((4, 0, -1), (4, 1, -1))), r"irrep 0o"),
    "repeated l": (
        lambda m: m.set("products.0.linear.irreps_out", irreps((4, 0, 1), (4, 0, 1))),
        r"one l twice",
    ),
    "unnormalised harmonics": (lambda m: m.set("spherical_harmonics.normalization", "norm"), r"unnormalised"),
    "other harmonics": (
        lambda m: m.set("spherical_harmonics.irreps_out", irreps((1, 0, 1), (1, 1, 1))),
        r"other spherical harmonics",
    ),
    "two cutoffs": (
        lambda m: m.set("radial_embedding.cutoff_fn.r_max", m.tensor(doubles(5.0), (), ())),
        r"two different cutoffs",
    ),
    "two tables of radii": (
        lambda m: m.set("pair_repulsion_fn.covalent_radii", m.tensor(doubles(*range(1, 120)), (119,), (1,))),
        r"two different tables of covalent radii",
    ),
    "half precision": (
        lambda m: m.set("interactions.1.linear_up.weight", m.tensor(bytes(64), (32,), (1,), "Half")),
        r"half precision .*torch\.save\(model\.float\(\), path\)",
    ),
    "not a number": (
        lambda m: m.set("interactions.1.linear_up.weight", m.tensor(doubles(*[math.nan] * 32), (32,), (1,))),
        r"interactions\.1\.linear_up \(Linear\) has 'weight' with numbers that are not finite",
    ),
    "infinite scale": (
        lambda m: m.set("scale_shift.scale", m.tensor(doubles(1.0, math.inf), (2,), (1,))),
        r"'scale' with numbers that are not finite",
    ),
    "a scale for one of two heads": (
        lambda m: m.set("scale_shift.scale", m.tensor(doubles(1.0), (), ())),
        r"1 values of scale for 2 heads",
    ),
    "energies of one of two heads": (
        lambda m: m.set("atomic_energies_fn.atomic_energies", m.tensor(doubles(1.0, 2.0, 3.0), (3,), (1,))),
        r"energies of shape \(3,\) for 2 heads and 3 species",
    ),
    "too few weights": (
        lambda m: m.set("interactions.1.linear_up.weight", m.tensor(doubles(*range(31)), (31,), (1,))),
        r"paths that do not fit its weights",
    ),
    "too many weights": (
        lambda m: m.set("interactions.1.skip_tp.weight", m.tensor(doubles(*range(49)), (49,), (1,))),
        r"more weights than paths",
    ),
    "couplings of another shape": (
        lambda m: m.set(
            "products.0.symmetric_contractions.contractions.0.U_matrix_2", m.tensor(doubles(1.0), (1,), (1,))
        ),
        r"has weights of shape \(3, 2, 4\) for couplings of shape \(1,\)",
    ),
    "no layers": (lambda m: m.set("interactions", EMPTY), r"0 interactions and 2 products"),
    "more layers than said": (lambda m: m.set("num_interactions", 3), r"2 interactions"),
    "missing part": (lambda m: m.without("radial_embedding"), r"has no 'radial_embedding'"),
    "species as a float": (
        lambda m: m.set("atomic_numbers", m.tensor(doubles(1.0, 8.0, 26.0), (3,), (1,))),
        r"type float64 instead of a list of integers",
    ),
    "element 119": (
        lambda m: m.set("atomic_numbers", m.tensor(np.array([1, 8, 119]).tobytes(), (3,), (1,), "Long")),
        r"covalent radii that do not cover the species",
    ),
    "an element twice": (
        lambda m: m.set("atomic_numbers", m.tensor(np.array([1, 8, 8]).tobytes(), (3,), (1,), "Long")),
        r"an element is there twice",
    ),
    "head with control characters": (lambda m: m.set("heads", ["a", "\x1b[31m"]), r"is no name of a head"),
    "hidden code": (
        lambda m: m.set("edge_irreps", Object(Name("os", "system"), ("touch marker",))),
        r"names 'os\.system', which no model of mace-torch needs; nothing in it was run",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_feature(name: str, tmp_path: Path) -> None:
    change, message = REFUSED[name]
    model = Model()
    change(model)
    path = model.save(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_torch(path)
    assert str(caught.value).startswith(f"{path}: ")


def torchscript() -> bytes:
    return archive_of({"data.pkl": b"\x80\x02N.", "code/__torch__/mace.py": b"", "constants.pkl": b"\x80\x02)."})


FILES: dict[str, tuple[bytes, str]] = {
    "state_dict": (
        archive_of({"data.pkl": pickled({"r_max": 1.0, "node_embedding.linear.weight": 2.0})}),
        r"a state_dict or training state: weights without the model they belong to; save the whole model: torch\.save",
    ),
    "ordered state_dict": (
        archive_of({"data.pkl": pickled(Object(Name("collections", "OrderedDict"), (), entries={"r_max": 1.0}))}),
        r"a state_dict",
    ),
    "list": (archive_of({"data.pkl": pickled([1])}), r"the file holds a list instead of a model"),
    "number": (archive_of({"data.pkl": pickled(3)}), r"the file holds 3 instead of a model"),
    "TorchScript": (torchscript(), r"a TorchScript archive.*; give the original \.model"),
    "another zip": (archive_of({"readme": b""}), r"a zip archive, but not one of torch\.save"),
    "two pickles": (archive_of([("data.pkl", b"\x80\x02N."), ("../other/data.pkl", b"")]), r"odd name"),
    "old torch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", r"torch older than 1\.6"),
    "text": (b"ITEM: TIMESTEP\n0\n", r"neither a model of mace-torch nor one in refine's neutral form"),
    "empty": (b"", r"the file is empty"),
    "half of it": (TINY.read_bytes()[:60_000], r"cut off"),
    "order of bytes": (archive_of({"data.pkl": b"\x80\x02N.", "byteorder": b"middle"}), r"unknown order of bytes"),
    "damaged": (TINY.read_bytes().replace(b"spherical_harmonics", b"spherical_harmonicz", 1), r"checksum of"),
}


@pytest.mark.parametrize("name", FILES)
def test_other_files(name: str, tmp_path: Path) -> None:
    content, message = FILES[name]
    path = tmp_path / "some.model"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_torch(path)
    with pytest.raises(InputError, match=message):
        load(path, tmp_path / "cache")


@pytest.mark.parametrize("name", ["missing.model", "nul\x00.model", "x" * 300])
def test_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file|cannot be read"):
        load(tmp_path / name, tmp_path)


def test_folders_and_pipes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path / "pipe", tmp_path)


def test_oversized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="larger than any model"):
        load(TINY, tmp_path)
    huge = tmp_path / "huge.model"
    with huge.open("wb") as stream:
        stream.truncate(2**40)  # takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="larger than any model"):
            read_torch(huge)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


# --- tensors ----------------------------------------------------------------------------------------------------------


def tensor_file(offset: Any, size: Any, stride: Any, count: Any = 10, key: Any = "0", kind: str = "Double") -> bytes:
    storage = Reference(("storage", Name("torch", f"{kind}Storage"), key, "cpu", count))
    tree = Object(Name("torch._utils", "_rebuild_tensor_v2"), (storage, offset, size, stride, False, None))
    return archive_of({"data.pkl": pickled(tree), "data/0": doubles(*range(10))})


def tensor(data: bytes) -> NDArray[Any]:
    file = TorchFile(data, "file")
    return file.tensor(file.tree, "it")


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (10,), (1,)), (2, (2, 4), (4, 1)), (1, (3,), (3,)), (0, (2, 5), (1, 2)), (9, (), ()), (9, (1, 1), (2**62, 7))],
)
def test_tensors_as_torch_sees_them(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    places = sum((np.indices(size)[k] * stride[k] for k in range(len(size))), np.full(size, offset))
    np.testing.assert_array_equal(tensor(tensor_file(offset, size, stride)), places.astype(float))


def test_a_tensor_in_order_is_a_window_into_the_file() -> None:
    assert not tensor(tensor_file(0, (10,), (1,))).flags.owndata


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (11,), (1,)),
        (1, (10,), (1,)),
        (10, (1,), (1,)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (-1,)),
        (5, (3,), (-1,)),
        (0, (2, 2), (9, 1)),
        (0, (2,), (2**62,)),
        (2**62, (1,), (1,)),
        (0, (2**62,), (0,)),
        (0, (2**31, 2**31), (0, 0)),
        (0, (11,), (0,)),
        (0, (4, 4), (1, 1)),
        (0, (2, 2), (1,)),
        (0, (1,) * 40, (1,) * 40),
        (0, (2.0,), (1,)),
        (True, (1,), (1,)),
        (None, (1,), (1,)),
        (0, [1], (1,)),
        (0, None, None),
        (0, ("1",), (1,)),
    ],
)
def test_tensors_that_reach_outside(offset: Any, size: Any, stride: Any) -> None:
    with pytest.raises(InputError, match=r"^file: it "):
        tensor(tensor_file(offset, size, stride))


@pytest.mark.parametrize(
    "odd",
    [
        {"count": 11},
        {"count": -1},
        {"count": 2**62},
        {"count": None},
        {"key": "1"},
        {"key": "../data.pkl"},
        {"key": "0/../0"},
        {"key": "٣"},
        {"key": 0},
        {"key": None},
        {"kind": "Complex"},
        {"kind": "Half"},
    ],
)
def test_storages_that_are_none(odd: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^file: (it|the (entry|storage))"):
        tensor(tensor_file(0, (1,), (1,), **odd))


def test_expansion_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors that repeat their storage are no larger than it, and not many of them are copied."""
    monkeypatch.setattr(modules, "MAX_COPIED_BYTES", 1000)
    file = TorchFile(tensor_file(0, (10,), (0,)), "file")
    for _ in range(12):
        file.tensor(file.tree, "it")
    with pytest.raises(InputError, match="overlap to more than"):
        file.tensor(file.tree, "it")


def test_sum_of_weights_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One storage can serve many weights, so a small file can claim much."""
    monkeypatch.setattr(reading, "MAX_ARRAY_BYTES", 2000)
    with pytest.raises(InputError, match="weights of more than"):
        read_torch(TINY)


def test_other_order_of_bytes() -> None:
    storage = Reference(("storage", Name("torch", "DoubleStorage"), "0", "cpu", 3))
    tree = Object(Name("torch._utils", "_rebuild_tensor_v2"), (storage, 0, (3,), (1,), False, None))
    content = np.array([1.0, 2.0, 3.0], ">f8").tobytes()
    found = tensor(archive_of({"data.pkl": pickled(tree), "data/0": content, "byteorder": b"big"}))
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, [1.0, 2.0, 3.0])


def test_a_model_that_contains_itself(tmp_path: Path) -> None:
    """Only what is asked for by name is followed, so cycles have no end and do no harm."""
    model = Model()
    parts(model.at("interactions.0"), "_modules")["reshape"] = model.at("interactions.0")
    model.at("").state["itself"] = model.at("")
    assert read(model, tmp_path).architecture.heads == ("a", "b")
    parts(model.at("interactions"), "_modules")["1"] = model.at("")
    with pytest.raises(InputError, match="unknown interaction blocks"):
        read(model, tmp_path)


@pytest.mark.timeout(10)
def test_thousands_of_parts_in_thousands_of_modules(tmp_path: Path) -> None:
    model = Model()
    many: dict[str, Any] = {}
    many |= {str(k): Object(Name("torch.nn", "Module"), (), state={"_modules": many}) for k in range(5000)}
    parts(model.at("interactions.0"), "_modules").update(many)
    with pytest.raises(InputError, match="parts"):
        read(model, tmp_path)


# --- the cache --------------------------------------------------------------------------------------------------------


def test_the_second_load_reads_the_neutral_form_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "not" / "there"
    first = load(TINY, cache)
    (entry,) = cache.iterdir()
    assert entry.name == f"{first.sha256}.safetensors"
    monkeypatch.setattr(checkpoint, "TorchFile", None)
    copy = tmp_path / "renamed.model"
    copy.write_bytes(TINY.read_bytes())
    second = load(copy, cache)
    assert_same(first, second)
    assert (second.origin, second.sha256) == ("renamed.model", first.sha256)


def test_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINE_CACHE", str(tmp_path))
    load(TINY)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other model", "version", "folder"])
def test_a_damaged_entry_is_made_again(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(TINY, tmp_path)
    (entry,) = tmp_path.iterdir()
    good = bytearray(entry.read_bytes())
    if damage == "flip":
        good[-3] ^= 1
        entry.write_bytes(good)
    elif damage == "cut":
        entry.write_bytes(good[:-1])
    elif damage == "empty":
        entry.write_bytes(b"")
    elif damage == "other model":
        neutral.write_neutral(Checkpoint(first.architecture, first.arrays, first.factors, "0" * 64, "x"), entry)
    elif damage == "version":
        with monkeypatch.context() as patch:
            patch.setattr(neutral, "VERSION", 0)
            neutral.write_neutral(first, entry)
    else:
        entry.unlink()
        entry.mkdir()
    assert_same(load(TINY, tmp_path), first)
    if damage != "folder":
        assert neutral.read_neutral(entry).sha256 == first.sha256


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert_same(load(TINY, in_the_way), read_torch(TINY))
    assert_same(load(TINY, in_the_way / "below"), read_torch(TINY))


def test_a_neutral_file_is_told_by_its_content(tmp_path: Path) -> None:
    first = read_torch(TINY)
    neutral.write_neutral(first, tmp_path / "converted.model")
    found = load(tmp_path / "converted.model", tmp_path / "cache")
    assert_same(found, first)
    assert (found.origin, found.sha256) == ("tiny.model", first.sha256)
    assert not (tmp_path / "cache").exists()


# --- anything ---------------------------------------------------------------------------------------------------------


class Fuzz:
    """Reads changed files: each is a model that passes all checks or one clear error, soon and without much memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.files, self.models = path, 0, 0
        self.slowest, self.peak, self.errors = 0.0, 0, set[str]()

    def __call__(self, data: bytes) -> None:
        self.path.write_bytes(data)
        self.files += 1
        watched = self.files % 10 == 0
        if watched:
            tracemalloc.start()
        start = time.perf_counter()
        try:
            self.read()
        finally:
            self.slowest = max(self.slowest, time.perf_counter() - start)
            if watched:
                self.peak = max(self.peak, tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()

    def read(self) -> None:
        try:
            found = read_torch(self.path)
        except InputError as error:
            self.errors.add(str(error).removeprefix(str(self.path))[:80])
            return
        self.models += 1
        assert Architecture.from_json(found.architecture.to_json()) == found.architecture
        assert all(np.isfinite(weights).all() for weights in found.weights.values())


@pytest.fixture
def fuzz(tmp_path: Path) -> Any:
    fuzz = Fuzz(tmp_path / "fuzz.model")
    yield fuzz
    assert fuzz.slowest < 10
    assert fuzz.peak < 20 * 2**20
    assert len(fuzz.errors) > 5


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, removed, inserted or repeated."""
    result = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, other = (int(k) for k in rng.integers(len(result), size=2))
        kind = rng.integers(5)
        if kind < 2:
            result[at] = rng.integers(256)
        elif kind == 2:
            del result[at : at + int(rng.integers(1, 10))]
        elif kind == 3:
            result[at:at] = result[other : other + int(rng.integers(1, 30))]
        else:
            result[at : at + 4] = rng.choice(np.array([0, 1, 2**31 - 1, 2**32 - 1], "<u4")).tobytes()
    return bytes(result)


def test_changed_bytes_of_the_pickle(fuzz: Fuzz) -> None:
    """With the right checksum, so that the pickle is what fails."""
    model = Model()
    good = pickled(model.tree)
    rng = np.random.default_rng(1)
    for _ in range(100):
        fuzz(archive_of({**model.entries, "data.pkl": changed(good, rng)}))
    for _ in range(100):
        data = bytearray(good)
        data[rng.integers(len(data))] = rng.choice([*b"NK)]}\x88\x89", *range(6)])
        fuzz(archive_of({**model.entries, "data.pkl": bytes(data)}))


def test_changed_bytes_of_the_file(fuzz: Fuzz) -> None:
    """The structure of the archive above all: weights make up the rest, and their checksum gives them away."""
    good = Model().data()
    directory = good.index(b"PK\1\2")
    rng = np.random.default_rng(2)
    for k in range(200):
        part = changed(good[directory:], rng)
        fuzz(good[:directory] + part if k % 2 else changed(good[:directory], rng) + good[directory:])
    for kept in rng.integers(len(good), size=30):
        fuzz(good[:kept])


def test_changed_values_of_the_tree(fuzz: Fuzz) -> None:
    """What a forger would do: a faultless pickle of a model with some values replaced or exchanged."""
    rng = np.random.default_rng(3)
    model = Model()
    holders = [place for module in model.modules() for place in places_of(module) if place]
    entries = dict(model.entries)
    for _ in range(100):
        undo = []
        for _ in range(rng.integers(1, 3)):
            holder = holders[rng.integers(len(holders))]
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            key = keys[rng.integers(len(keys))]
            undo.append((holder, key, holder[key]))
            holder[key] = odd_value(model, holder[key], holders, rng)
        fuzz(model.data())
        for holder, key, value in reversed(undo):
            holder[key] = value
        model.entries = dict(entries)
    assert_same(read(model, fuzz.path.parent), read_torch(TINY))
    assert fuzz.models > 5


def places_of(module: Object) -> list[Any]:
    """Where values of a module lie: its attributes, parts and instructions. Hooks and the like are passed over."""
    passed = ("training", "_non_persistent_buffers_set", "_parameters", "_buffers", "_modules")
    plain = [key for key in module.state if key not in passed and "hook" not in key]
    lists = [value for value in module.state.values() if isinstance(value, list)]
    return [
        View(module.state, plain),
        *(parts(module, kind) for kind in ("_parameters", "_buffers", "_modules")),
        *lists,
    ]


class View(dict[str, Any]):
    """Some keys of a dictionary; what is set here is set there."""

    def __init__(self, target: dict[str, Any], keys: list[str]) -> None:
        super().__init__({key: target[key] for key in keys})
        self.target = target

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.target[key] = value


def odd_value(model: Model, old: Any, holders: list[Any], rng: np.random.Generator) -> Any:
    """A value that may not fit where it comes to stand."""
    if isinstance(old, Object) and str(old.kind) == "torch._utils._rebuild_parameter" and rng.integers(2):
        return Object(old.kind, (odd_value(model, old.args[0], holders, rng), *old.args[1:]))
    if isinstance(old, Object) and str(old.kind) == "torch._utils._rebuild_tensor_v2" and rng.integers(3):
        args = list(old.args)
        k = int(rng.integers(1, 4))
        numbers = [0, 1, -1, 2, 3, 2**40, 2**62]
        picks = [numbers[n] for n in rng.integers(len(numbers), size=len(args[2]) + rng.integers(2))]
        args[k] = picks[0] if k == 1 and picks else tuple(picks)
        return Object(old.kind, tuple(args))
    if isinstance(old, Object) and old.args and rng.integers(2):
        args = list(old.args)
        k = int(rng.integers(len(args)))
        args[k] = odd_value(model, args[k], holders, rng)
        return Object(old.kind, tuple(args))
    donor = holders[rng.integers(len(holders))]
    values = list(donor.values()) if isinstance(donor, dict) else donor
    plain = [None, True, 0, -1, 3, 2**62, -(2**63), 1e308, math.nan, "", "x", (), [], {}, (1, 2), model.tree, values]
    plain += [
        irreps((4, 0, 1)),
        irreps((2**40, 1, -1)),
        irreps((4, 2**40, 1)),
        model.tensor(doubles(math.nan), (1,), (1,)),
    ]
    plain += values[:20]
    return plain[rng.integers(len(plain))]
