"""The loss over labelled frames: against the calculator and a sum written out, its derivative against differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.learning.batches import Graph, Shapes, graph_of, pack
from refine.learning.frames import LabelledFrame, species_of
from refine.learning.loss import FrameLoss, Terms
from refine.potentials.mace.chosen import chosen_names
from tests.learning.labelled import KINDS, atoms_of, labelled_by, noisy, unlabelled
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

CHECKPOINT = random_checkpoint(7, channels=2, max_ell=1, r_max=4.0)
ATOMS = [atoms_of(kind) for kind in KINDS]
SMALLEST = random_checkpoint(3, channels=1, max_ell=1, l_hidden=0, layers=1, correlation=1, r_max=4.0)


@pytest.fixture(scope="module")
def truth() -> list[LabelledFrame]:
    """With the labels of the model itself."""
    return labelled_by(CHECKPOINT, ATOMS)


def graphs_of(frames: list[LabelledFrame], species: tuple[str, ...], cutoff: float) -> list[Graph]:
    return [graph_of(frame, species, cutoff) for frame in frames]


def packed(loss: FrameLoss, frames: list[LabelledFrame]) -> tuple[Any, Any]:
    graphs = graphs_of(frames, loss.species, loss.cutoff)
    shape = Shapes.of(graphs, graphs, len(graphs) + 1).fitting(graphs)
    return pack(graphs, shape, loss.isolated, loss.cutoff, loss.precision), shape


def weights_of(loss: FrameLoss) -> dict[str, np.ndarray]:
    names = chosen_names(loss.checkpoint, ("weights",), where="here")
    return {name: np.asarray(loss.checkpoint.arrays[name], np.float64) for name in names}


def by_hand(labels: list[LabelledFrame], truth: list[LabelledFrame], terms: Terms) -> float:
    """The formula of the module's docstring, frame by frame."""
    energy, forces, stress = 0.0, 0.0, 0.0
    for label, true in zip(labels, truth, strict=True):
        if label.energy is not None:
            energy += label.weight * ((label.energy - true.energy) / len(label.symbols)) ** 2
        if label.forces is not None:
            forces += label.weight * np.sum((label.forces - true.forces) ** 2)
        if label.stress is not None:
            stress += label.weight * np.sum((label.stress - true.stress) ** 2)
    atoms, n = sum(len(label.symbols) for label in labels), len(labels)
    return terms.energy * energy / n + terms.forces * forces / (3 * atoms) + terms.stress * stress / (9 * n)


def test_a_batch_of_unequal_frames_is_that_of_the_calculator(truth: list[LabelledFrame]) -> None:
    """Energies, forces and stresses of every frame, whatever stands beside it, and the loss of noisy labels."""
    labels, terms = noisy(truth), Terms(2.0, 30.0, 500.0)
    loss = FrameLoss(CHECKPOINT, species_of(truth), terms=terms, precision="float64")
    batch, shape = packed(loss, labels)
    params = loss.prepare(weights_of(loss))
    found, score = loss.predict(params, batch, shape), loss.score(params, batch, shape)
    graphs = graphs_of(truth, loss.species, loss.cutoff)
    for b, (graph, true) in enumerate(zip(graphs, truth, strict=True)):
        assert float(found.energy[b]) + graph.counts @ loss.isolated == pytest.approx(true.energy, abs=1e-9)
        forces = np.asarray(found.forces)[np.asarray(batch.frame) == b]
        np.testing.assert_allclose(forces, true.forces[graph.order], atol=1e-9)
        if true.stress is not None:
            np.testing.assert_allclose(np.asarray(found.stress[b]), true.stress, atol=1e-10)
    assert float(score.loss) == pytest.approx(by_hand(labels, truth, terms), rel=1e-9)
    assert float(score.sums.frames) == len(truth)
    assert float(score.sums.components) == 3 * sum(len(true.symbols) for true in truth)
    assert float(score.sums.stresses) == 27


def test_single_precision(truth: list[LabelledFrame]) -> None:
    """The same loss to six digits, its sums in float64."""
    labels = noisy(truth)
    loss = FrameLoss(CHECKPOINT, species_of(truth), precision="float32")
    batch, shape = packed(loss, labels)
    score = loss.score(loss.prepare(weights_of(loss)), batch, shape)
    assert score.loss.dtype == np.float64
    assert float(score.loss) == pytest.approx(by_hand(labels, truth, loss.terms), rel=1e-6)


def test_labels_that_are_missing_and_weights_of_frames(truth: list[LabelledFrame]) -> None:
    changes: list[dict[str, Any]] = [
        {"energy": None},
        {"forces": None},
        {"stress": None, "weight": 3.0},
        {"weight": 0.5},
        {},
    ]
    partial = [replace(frame, **change) for frame, change in zip(noisy(truth), changes, strict=True)]
    loss = FrameLoss(CHECKPOINT, species_of(truth), precision="float64")
    batch, shape = packed(loss, partial)
    score = loss.score(loss.prepare(weights_of(loss)), batch, shape)
    assert float(score.loss) == pytest.approx(by_hand(partial, truth, loss.terms), rel=1e-7)
    assert (float(score.sums.frames), float(score.sums.stresses)) == (4, 18)


SLOW = [{"nonlinear": True, "edge_channels": 3}, {"agnesi": True, "density": True}]


@pytest.mark.parametrize("options", [{}, *(pytest.param(one, marks=pytest.mark.slow) for one in SLOW)])
def test_the_derivative_by_every_array(options: dict[str, Any]) -> None:
    """Against central differences of the loss, one direction in each array."""
    checkpoint = random_checkpoint(7, channels=2, max_ell=1, r_max=4.0, **options)
    labels = noisy(unlabelled(ATOMS[:4]), noise=1.0)
    loss = FrameLoss(checkpoint, species_of(labels), terms=Terms(1.0, 10.0, 1e4), precision="float64")
    batch, shape = packed(loss, labels)
    batch = batch._replace(energy=np.random.default_rng(2).normal(size=batch.energy.shape))  # E0 would take the digits
    weights = weights_of(loss)
    value, gradient = loss.loss_and_gradient(weights, batch, shape)
    assert float(value) == pytest.approx(float(loss.score(loss.prepare(weights), batch, shape).loss), rel=1e-12)
    rng = np.random.default_rng(0)
    for name, array in weights.items():
        direction, step = rng.normal(size=array.shape), 1e-5
        up, down = (
            float(loss.score(loss.prepare({**weights, name: array + s * step * direction}), batch, shape).loss)
            for s in (1, -1)
        )
        slope = float(np.sum(np.asarray(gradient[name]) * direction))
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6), name


def test_forces_and_stresses_are_derivatives_of_the_energy() -> None:
    """Against central differences of the same function's energies by positions and strain."""
    (label,) = unlabelled([atoms_of("triclinic")])
    loss = FrameLoss(CHECKPOINT, species_of([label]), precision="float64")
    params = loss.prepare(weights_of(loss))

    def energy(positions: np.ndarray, cell: np.ndarray) -> float:
        moved = replace(label, positions=positions, cell=cell)
        return float(loss.predict(params, *packed(loss, [moved])).energy[0])

    rng, step = np.random.default_rng(0), 1e-4
    batch, shape = packed(loss, [label])
    found = loss.predict(params, batch, shape)
    direction, strain = rng.normal(size=label.positions.shape), rng.normal(size=(3, 3))
    strain = strain + strain.T
    slope = (
        energy(label.positions + step * direction, label.cell) - energy(label.positions - step * direction, label.cell)
    ) / (2 * step)
    order = graphs_of([label], loss.species, loss.cutoff)[0].order
    forces = np.asarray(found.forces)[np.asarray(batch.frame) == 0]
    assert np.sum(forces * direction[order]) == pytest.approx(-slope, rel=1e-6)
    ends = []
    for sign in (1, -1):
        stretch = np.eye(3) + sign * step * strain
        ends.append(energy(label.positions @ stretch, label.cell @ stretch))
    assert label.volume is not None
    expected = (ends[0] - ends[1]) / (2 * step) / label.volume
    assert np.sum(np.asarray(found.stress[0]) * strain) == pytest.approx(expected, rel=1e-6)


def test_a_shape_compiles_once() -> None:
    """Batches of all kinds and orders, and other weights, in the shapes that the training set asked for."""
    labels = noisy(unlabelled([atoms_of(kind, seed) for seed in range(3) for kind in KINDS]))
    loss = FrameLoss(SMALLEST, species_of(labels))
    graphs = graphs_of(labels, loss.species, loss.cutoff)
    shapes = Shapes.of(graphs, graphs, 3)
    assert len(shapes.all) <= 4
    weights, rng = weights_of(loss), np.random.default_rng(0)

    def step(factor: float) -> None:
        some = [graphs[k] for k in rng.choice(len(graphs), rng.integers(1, 4), replace=False)]
        shape = shapes.fitting(some)
        batch = pack(some, shape, loss.isolated, loss.cutoff, "float32")
        loss.loss_and_gradient({name: factor * array for name, array in weights.items()}, batch, shape)

    for k in range(40):
        step(1.0 + 0.01 * k)
    programs = loss.compilations
    assert programs <= len(shapes.all) + 3  # and the weights with their derivative
    for k in range(40):
        step(1.0 - 0.01 * k)
    assert loss.compilations == programs


def test_any_batch_finds_room() -> None:
    labels = unlabelled([atoms_of(kind, seed) for seed in range(2) for kind in KINDS])
    graphs = graphs_of(labels, species_of(labels), 4.0)
    shapes = Shapes.of(graphs[:3], graphs, 4)
    largest = sorted(graphs, key=lambda graph: -graph.size)[:4]
    shape = shapes.fitting(largest)
    assert np.all(np.array(shape.n_per_species) >= sum(graph.counts for graph in largest))


def test_a_species_that_the_model_does_not_know() -> None:
    with pytest.raises(InputError, match="the model does not know Si"):
        FrameLoss(CHECKPOINT, ("O", "Si"))
