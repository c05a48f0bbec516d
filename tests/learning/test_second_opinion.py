"""A training beside mace-torch's own: the same losses step by step, and the same model at the end.

tests/goldens/learning was written by a torch interpreter (tests/torch/training.py): frames with charges, spins and
weights of their own in batches of two, AMSGrad, a clipped gradient, a learning rate that decays, a moving average.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refine.learning.batches import Shapes, graph_of
from refine.learning.boxes import inputs_of
from refine.learning.frames import read_labelled, species_of
from refine.learning.keys import Labels, Learning
from refine.learning.loss import FrameLoss, Terms
from refine.learning.training import Trainer
from refine.potentials.mace.chosen import chosen_names
from refine.potentials.mace.reader import load

GOLDENS = Path(__file__).parents[1] / "goldens"
SETTINGS = {"learning_rate": 0.02, "decay": 0.9, "average": 0.95, "clip": 20.0, "seed": 3, "batch": 2, "epochs": 4}
TERMS = Terms(energy=2.0, forces=30.0, stress=200.0)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
def test_losses_and_weights_are_those_of_mace_torch() -> None:
    checkpoint = load(GOLDENS / "mace" / "nonlinear-one.model")
    expected = np.load(GOLDENS / "learning" / "training.npz")
    frames = read_labelled(GOLDENS / "learning" / "training.extxyz", Labels(train=("training.extxyz",)))
    loss = FrameLoss(checkpoint, species_of(frames), terms=TERMS, precision="float64")
    graphs = [graph_of(frame, loss.species, loss.cutoff, inputs_of(checkpoint, frame)) for frame in frames]
    names = chosen_names(checkpoint, ("weights",), where="here")
    start = {name: np.asarray(checkpoint.arrays[name], float) for name in names}
    settings = Learning.model_validate({**SETTINGS, "precision": "float64", "patience": 100})
    training = Trainer(loss, start, graphs, graphs, Shapes.of(graphs, graphs, settings.batch), settings)

    state, losses = training.begin(), []
    while not state.is_over(settings):
        before = state.total if state.batch else 0.0
        after = training.step(state)
        size = min(settings.batch, len(graphs) - settings.batch * state.batch)
        total = after.total if after.batch else len(graphs) * float(after.curve[-1].training or 0.0)
        losses.append((total - before) / size)
        state = after
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-7)
    for name, weights in (("last", state.weights), ("average", state.average)):
        off = training.energies_off(weights, graphs)
        found = np.array([frame.energy for frame in frames]) - off
        np.testing.assert_allclose(found, expected[f"{name}.energy"], atol=1e-6)
