"""Non-linear layers, biased readouts, and charge and spin: read as they are, refused by name, no harm done.

That what is read is what mace-torch computes is shown by test_parity.py, with the same files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.reader import read_torch
from refine.potentials.mace.reader.neutral import read_neutral, write_neutral
from refine.potentials.mace.reader.pickles import Name, Object
from tests.potentials.mace.reader.test_checkpoint import (
    Fuzz,
    archive_of,
    assert_same,
    changed,
    doubles,
    irreps,
    odd_value,
    pickled,
    places_of,
)
from tests.potentials.mace.torch_files import TINY, Model, parts

SMALL, ONE = (TINY.with_name(f"{name}.model") for name in ("nonlinear-small", "nonlinear-one"))
"""Two layers with mace-torch's gate and a biased readout; one with e3nn's gate, vectors, charge and spin."""
SILU, SIGMOID = 1.6791767923989418, 1.846705534215476
"""What e3nn multiplies them with: of a Monte Carlo estimate, 1.67653 and 1.84623 would be exact."""


def test_a_model_with_biases() -> None:
    found = read_torch(SMALL)
    first, last = found.architecture.layers
    assert (first.nonlinear, first.density, first.residual, first.edge_channels) == (True, True, True, 3)
    assert (last.edge_channels, last.radial_hidden, last.density_hidden, last.norm_epsilon) == (2, 1, 1, 1e-5)
    assert (first.readout, last.readout, last.readout_hidden) == ("linear", "biased", 4)
    shapes = {name.removeprefix("layers.1."): array.shape for name, array in found.arrays.items() if "layers.1" in name}
    assert shapes["radial.0"] == (5 + 2 * 3, 6)
    assert (shapes["radial_bias.0"], shapes["radial_norm.0"], shapes["radial_bias.last"]) == ((6,), (2, 6), (2, 2))
    assert (shapes["density.0"], shapes["density.last"], shapes["density_bias.last"]) == ((11, 64), (64, 1), (1,))
    assert (shapes["message.0"], shapes["message.1"], shapes["residual.0"]) == ((1, 2, 6), (1, 2, 3), (2, 6))
    assert (shapes["readout.1"], shapes["readout_bias.1"], shapes["readout_bias.2"]) == ((8, 8), (8,), (2,))
    np.testing.assert_allclose(found.arrays["layers.1.normaliser"], [0.7, 1.3], rtol=1e-15)
    assert found.factors["layers.1.gated.0"] == pytest.approx(SILU / math.sqrt(3), rel=1e-7)
    assert found.factors["layers.1.gated.1"] == pytest.approx(SIGMOID / math.sqrt(3), rel=1e-7)


def test_a_model_with_charge_and_spin() -> None:
    found = read_torch(ONE)
    assert found.architecture.inputs == (BoxInput("total_spin", 0), BoxInput("total_charge", 5))
    shapes = [found.arrays[name].shape for name in ("inputs.0", "inputs.1", "project")]
    assert shapes == [(7, 3), (11, 3), (6, 4)]
    assert found.architecture.layers[0].l_out == (0,)


@pytest.mark.parametrize("path", [SMALL, ONE], ids=lambda path: path.stem)
def test_the_neutral_form_holds_all_of_it(path: Path, tmp_path: Path) -> None:
    found = read_torch(path)
    write_neutral(found, tmp_path / "model.safetensors")
    assert_same(read_neutral(tmp_path / "model.safetensors"), found)


def spec(**changes: Any) -> dict[str, Any]:
    return {"type": "categorical", "per": "graph", "emb_dim": 3, "num_classes": 7, "offset": 0} | changes


def inputs(model: Model, specs: dict[str, Any]) -> None:
    model.set("joint_embedding.specs", specs).set("embedding_specs", specs)


NL = "interactions.1"
GATE, NET = f"{NL}.equivariant_nonlin", f"{NL}.conv_tp_weights.net"

REFUSED: dict[str, tuple[Path, Callable[[Model], Any], str]] = {
    "gate of cuEquivariance": (SMALL, lambda m: m.set(f"{GATE}._layout_is_ir_mul", True), r"saved for cuEquivariance"),
    "activation of scalars": (
        SMALL,
        lambda m: m.set(f"{GATE}._act_scalar", Name("torch", "tanh")),
        r"the activation torch\.tanh .*; silu is",
    ),
    "activation of gates": (
        SMALL,
        lambda m: m.set(f"{GATE}._act_gate", Name("torch", "tanh")),
        r"the activation torch\.tanh .*; sigmoid is",
    ),
    "constant of the gate": (SMALL, lambda m: m.set(f"{GATE}._gate_cst", math.nan), r"_gate_cst is nan"),
    "other gates": (SMALL, lambda m: m.set(f"{GATE}.irreps_gates", irreps((2, 0, 1))), r"other gates than one for"),
    "unknown gate": (SMALL, lambda m: m.renamed(GATE, "mace.modules.gate.Other"), r"is a mace Other instead of a Gate"),
    "activation of e3nn's gate": (
        ONE,
        lambda m: m.set("interactions.0.equivariant_nonlin.act_gates.acts.0.f", Name("torch.nn.functional", "silu")),
        r"the activation torch\.nn\.functional\.silu .*; sigmoid is",
    ),
    "missing activation": (
        ONE,
        lambda m: m.without("interactions.0.equivariant_nonlin.act_gates.acts.1"),
        r"has 1 activations in act_gates",
    ),
    "no norm": (SMALL, lambda m: m.renamed(f"{NET}.1", "torch.nn.BatchNorm1d"), r"instead of a LayerNorm"),
    "other function in a network": (SMALL, lambda m: m.renamed(f"{NET}.2", "torch.nn.Tanh"), r"instead of a SiLU"),
    "part of a network missing": (SMALL, lambda m: m.without(f"{NET}.2"), r"\(RadialMLP\) has 3 parts"),
    "epsilons": (SMALL, lambda m: m.set(f"{NET}.1.eps", 1e-3), r"layer norms differ"),
    "epsilon of zero": (
        SMALL,
        lambda m: [
            m.set(f"interactions.{t}.{net}.net.1.eps", 0.0) for t in (0, 1) for net in ("conv_tp_weights", "density_fn")
        ],
        r"norm_epsilon is 0\.0",
    ),
    "bias of another shape": (
        SMALL,
        lambda m: m.set(f"{NET}.0.bias", m.tensor(doubles(1.0), (1,), (1,))),
        r"a weight of shape \(6, 11\) and a bias of shape \(1,\)",
    ),
    "bias that is not finite": (
        SMALL,
        lambda m: m.set(f"{NET}.0.bias", m.tensor(doubles(*[math.inf] * 6), (6,), (1,))),
        r"numbers that are not finite",
    ),
    "alpha of three": (
        SMALL,
        lambda m: m.set(f"{NL}.alpha", m.tensor(doubles(1.0, 2.0, 3.0), (3,), (1,))),
        r"has shape \(3,\) instead of being one number",
    ),
    "no normalisation": (
        SMALL,
        lambda m: m.set(f"{NL}.alpha", m.tensor(doubles(0.0), (), ())),
        r"layers\.1\.normaliser divides by zero",
    ),
    "species to vectors": (
        SMALL,
        lambda m: m.set(f"{NL}.source_embedding.irreps_out", irreps((3, 1, -1))),
        r"source_embedding \(Linear\) has paths that do not fit",
    ),
    "species to nothing": (
        SMALL,
        lambda m: m.set(f"{NL}.source_embedding.instructions", []).set(
            f"{NL}.source_embedding.weight", m.tensor(b"", (0,), (1,))
        ),
        r"source_embedding \(Linear\) is a matrix of shape \(0, 0\)",
    ),
    "layers that mix": (
        SMALL,
        lambda m: m.set(f"{NL}.linear_1.irreps_out", irreps((5, 0, 1), (3, 1, -1))),
        r"linear_1 \(Linear\) has more weights than paths",
    ),
    "readout without its bias": (
        SMALL,
        lambda m: m.set("readouts.1.linear_mid.bias", m.tensor(doubles(1.0), (1,), (1,))),
        r"linear_mid \(Linear\) has a bias of shape \(1,\)",
    ),
    "readout of vectors": (
        SMALL,
        lambda m: m.set("readouts.1.linear_mid.irreps_out", irreps((8, 1, -1))),
        r"has weights that do not fit its irreps",
    ),
    "another input": (ONE, lambda m: inputs(m, {"field": spec()}), r"the further input 'field' .*total_charge and"),
    "continuous input": (
        ONE,
        lambda m: inputs(m, {"total_spin": spec(type="continuous")}),
        r"the further input 'total_spin' \('continuous', 'graph'\)",
    ),
    "input of atoms": (ONE, lambda m: inputs(m, {"total_spin": spec(per="node")}), r"'total_spin' .*'node'"),
    "offset of text": (ONE, lambda m: inputs(m, {"total_spin": spec(offset="1")}), r"has '1' for the offset"),
    "offset below zero": (
        ONE,
        lambda m: inputs(m, {"total_spin": spec(offset=-1), "total_charge": spec(offset=5)}),
        r"an offset of an input is -1",
    ),
    "one input of two": (ONE, lambda m: inputs(m, {"total_spin": spec()}), r"'project' has shape \(6, 4\) instead of"),
    "inputs of two minds": (
        ONE,
        lambda m: m.set("embedding_specs", {"total_spin": spec()}),
        r"has other inputs than the model",
    ),
    "readout of the inputs": (
        ONE,
        lambda m: parts(m.at(""), "_modules").update(embedding_readout=m.at("readouts.0")),
        r"the extra part 'embedding_readout'",
    ),
    "hidden code": (
        SMALL,
        lambda m: m.set(f"{GATE}._act_scalar", Object(Name("os", "system"), ("touch marker",))),
        r"names 'os\.system', which no model of mace-torch needs; nothing in it was run",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path: Path) -> None:
    file, change, message = REFUSED[name]
    model = Model(file)
    change(model)
    path = model.save(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_torch(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.fixture(params=[SMALL, ONE], ids=lambda path: path.stem)
def fuzzed(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    fuzz = Fuzz(tmp_path / "fuzz.model")
    yield fuzz, Model(request.param)
    assert fuzz.slowest < 10
    assert fuzz.peak < 20 * 2**20
    assert len(fuzz.errors) > 5


def test_changed_bytes(fuzzed: tuple[Fuzz, Model]) -> None:
    fuzz, model = fuzzed
    good, rng = pickled(model.tree), np.random.default_rng(4)
    for _ in range(40):
        fuzz(archive_of({**model.entries, "data.pkl": changed(good, rng)}))


def test_changed_values(fuzzed: tuple[Fuzz, Model]) -> None:
    fuzz, model = fuzzed
    rng = np.random.default_rng(5)
    holders = [place for module in model.modules() for place in places_of(module) if place]
    entries = dict(model.entries)
    for _ in range(60):
        holder = holders[rng.integers(len(holders))]
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        key = keys[rng.integers(len(keys))]
        old = holder[key]
        holder[key] = odd_value(model, old, holders, rng)
        fuzz(model.data())
        holder[key], model.entries = old, dict(entries)
    assert fuzz.models > 3
