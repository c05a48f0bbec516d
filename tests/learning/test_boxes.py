"""Frames with charges and spins of their own in one batch: against each frame by itself, and against differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.learning.batches import Graph, Shapes, graph_of
from refine.learning.boxes import ChargeAndSpin, in_box, inputs_of, not_taken
from refine.learning.features import features_of
from refine.learning.frames import LabelledFrame, species_of
from refine.learning.keys import Learning
from refine.learning.loss import FrameLoss, Terms
from refine.learning.training import Trainer
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.chosen import chosen_names
from tests.learning.labelled import atoms_of, labelled_by, noisy
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

TAKES = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
CHECKPOINT = random_checkpoint(7, channels=2, max_ell=1, layers=1, correlation=1, r_max=4.0, inputs=TAKES)
BOXES = (("a molecule", 0, 1), ("a molecule", -1, 2), ("cubic", 0, 1), ("cubic", 2, 3))
TERMS = Terms(2.0, 30.0, 500.0)


@pytest.fixture(scope="module")
def truth() -> list[LabelledFrame]:
    """Each with the labels of the model's calculator for its charge and spin."""
    found = []
    for seed, (kind, charge, spin) in enumerate(BOXES):
        atoms = atoms_of(kind, seed)
        atoms.info |= {"charge": charge, "spin": spin}
        found += [replace(frame, charge=charge, spin=spin) for frame in labelled_by(CHECKPOINT, [atoms])]
    return found


def trainer(frames: list[LabelledFrame]) -> Trainer:
    loss = FrameLoss(CHECKPOINT, species_of(frames), terms=TERMS, precision="float64")
    graphs = graphs_of(loss, frames)
    names = chosen_names(CHECKPOINT, ("weights",), where="here")
    start = {name: np.asarray(CHECKPOINT.arrays[name], float) for name in names}
    settings = Learning.model_validate({"batch": len(frames), "epochs": 2, "precision": "float64"})
    return Trainer(loss, start, graphs, graphs, Shapes.of(graphs, graphs, len(graphs)), settings)


def graphs_of(loss: FrameLoss, frames: list[LabelledFrame]) -> list[Graph]:
    return [graph_of(frame, loss.species, loss.cutoff, inputs_of(CHECKPOINT, frame)) for frame in frames]


def by_hand(labels: list[LabelledFrame], truth: list[LabelledFrame]) -> float:
    energy = forces = stress = 0.0
    for label, true in zip(labels, truth, strict=True):
        energy += label.weight_of("energy") * ((label.energy - true.energy) / len(label.symbols)) ** 2
        forces += label.weight_of("forces") * np.sum((label.forces - true.forces) ** 2)
        if label.stress is not None:
            stress += label.weight_of("stress") * np.sum((label.stress - true.stress) ** 2)
    atoms, n = sum(len(label.symbols) for label in labels), len(labels)
    return TERMS.energy * energy / n + TERMS.forces * forces / (3 * atoms) + TERMS.stress * stress / (9 * n)


def test_a_mixed_batch_is_each_frame_by_itself(truth: list[LabelledFrame]) -> None:
    """Energies, forces and stresses that the calculator gives each under its own charge and spin; the loss of noisy
    labels with weights of their own is the sum written out."""
    training = trainer(truth)
    found = training.errors(training.start, training.training)
    assert found.energy == pytest.approx(0.0, abs=1e-10)
    assert found.forces == pytest.approx(0.0, abs=1e-9)
    assert found.stress == pytest.approx(0.0, abs=1e-10)
    uncharged = training.errors(training.start, graphs_of(training.loss, [replace(f, charge=0) for f in truth]))
    assert (uncharged.forces or 0.0) > 1e-5, "the charge makes no difference here"

    weights = [{"weight": 0.5}, {"energy_weight": 0.25}, {"forces_weight": 0.0}, {"stress_weight": 3.0}]
    labels = [replace(frame, **one) for frame, one in zip(noisy(truth), weights, strict=True)]
    training = trainer(labels)
    value, _ = training.loss_and_gradient(training.start, training.training)
    assert value == pytest.approx(by_hand(labels, truth), rel=1e-9)
    assert training.errors(training.start, training.training).loss == pytest.approx(value, rel=1e-12)
    off = training.energies_off(training.start, training.training)
    expected = [label.energy - true.energy for label, true in zip(labels, truth, strict=True)]
    np.testing.assert_allclose(off, expected, atol=1e-8)


def test_the_derivative_by_the_weights_of_charge_and_spin(truth: list[LabelledFrame]) -> None:
    """Against central differences of the loss, for the rows of every charge and spin that is there, and none else."""
    training = trainer(noisy(truth))
    _, gradient = training.loss_and_gradient(training.start, training.training)
    rng, step = np.random.default_rng(0), 1e-5
    for name in ("inputs.0", "inputs.1", "project", "embedding"):
        array = training.start[name]
        direction = rng.normal(size=array.shape)
        up, down = (
            training.errors({**training.start, name: array + s * step * direction}, training.training).loss
            for s in (1, -1)
        )
        slope = float(np.sum(np.asarray(gradient[name]) * direction))
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-6), name
    moved = np.abs(np.asarray(gradient["inputs.0"])).sum(axis=1) > 0
    assert moved.tolist() == [charge in (0, -1, 2) for charge in range(-2, len(moved) - 2)]


def test_a_step_with_several_charges_compiles_once(truth: list[LabelledFrame]) -> None:
    """For the shapes of the parts, whatever the charges."""
    training = trainer(noisy(truth))
    state = training.step(training.begin())
    programs = training.loss.compilations
    other = {(0, 1): (1, 2), (-1, 2): (0, 3), (2, 3): (-1, 1)}
    boxes = [other[charge, spin] for _, charge, spin in BOXES]
    others = [replace(frame, charge=box[0], spin=box[1]) for frame, box in zip(truth, boxes, strict=True)]
    training.training = graphs_of(training.loss, others)
    training.step(state)
    assert training.loss.compilations == programs


def test_features_are_of_the_charge(truth: list[LabelledFrame]) -> None:
    """The energy is linear in the last maps: features of frames in one call are those of each under its own charge."""
    together = features_of(CHECKPOINT, truth)
    for frame, last in zip(truth, together.last, strict=True):
        np.testing.assert_allclose(features_of(CHECKPOINT, [frame]).last[0], last, atol=1e-12)
    charged = features_of(CHECKPOINT, [replace(truth[0], charge=2)]).last[0]
    assert np.abs(charged - together.last[0]).max() > 1e-6


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"charge": 7}, "frame 0: charge = 7 is not known to the model"),
        ({"spin": 1.5}, "frame 0: spin is 1.5, which is no whole number"),
    ],
)
def test_charges_that_the_model_does_not_know(truth: list[LabelledFrame], changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        inputs_of(CHECKPOINT, replace(truth[0], **changes))


def test_models_that_take_less(truth: list[LabelledFrame]) -> None:
    """Whatever the frame says then makes no difference, and is told of."""
    plain = random_checkpoint(3, channels=1, max_ell=1)
    odd = replace(truth[1], charge=0.5, where="a.extxyz frame 2")
    assert inputs_of(plain, odd) == ()
    said = not_taken(plain, [truth[0], odd])
    assert said[0].startswith("1 of 2 frames have a charge (a.extxyz frame 2: charge = 0.5), which the model does not")
    assert said[1].startswith("1 of 2 frames have unpaired spins (a.extxyz frame 2: spin = 2), which")
    assert not_taken(CHECKPOINT, [odd]) == not_taken(plain, [truth[0]]) == ()
    silent = in_box(replace(truth[0], charge=None, spin=3), ChargeAndSpin(-1, 2))
    assert (silent.charge, silent.spin) == (-1, 3)
