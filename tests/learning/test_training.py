"""Steps of a training: against Adam and its average written out, what is kept, and when it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refine.errors import SimulationError
from refine.learning.batches import Shapes, graph_of
from refine.learning.frames import species_of
from refine.learning.keys import Learning
from refine.learning.loss import FrameLoss, Terms
from refine.learning.training import State, Trainer
from tests.learning.labelled import atoms_of, noisy, unlabelled
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

CHECKPOINT = random_checkpoint(3, channels=1, max_ell=1, l_hidden=0, layers=1, correlation=1, r_max=4.0)
MOVED = ("layers.0.readout.0", "layers.0.linear.0")


@pytest.fixture(scope="module")
def loss() -> FrameLoss:
    frames = unlabelled([atoms_of("cubic")])
    return FrameLoss(CHECKPOINT, species_of(frames), terms=Terms(0.0, 1.0, 0.0), precision="float64")


def trainer(loss: FrameLoss, **settings: Any) -> Trainer:
    frames = noisy(unlabelled([atoms_of("cubic", seed) for seed in range(7)]), noise=1.0)
    graphs = [graph_of(frame, loss.species, loss.cutoff) for frame in frames]
    shapes = Shapes.of(graphs[:5], graphs, 2)
    start = {name: np.asarray(CHECKPOINT.arrays[name], float) for name in MOVED}
    keys = Learning.model_validate({"batch": 2, "epochs": 3, **settings})
    return Trainer(loss, start, graphs[:5], graphs[5:], shapes, keys)


def after(training: Trainer, steps: int) -> State:
    state = training.begin()
    for _ in range(steps):
        state = training.step(state)
    return state


def test_a_step_of_adam_and_the_moving_average(loss: FrameLoss) -> None:
    """The formulas of Kingma and Ba, clipped; and decay (1 + n)/(10 + n) of the average in step n = 1, 2, ..."""
    training = trainer(loss, optimiser="adam", learning_rate=0.02, clip=0.5, decay=0.5)
    weights = {name: array.copy() for name, array in training.start.items()}
    average, m, v = dict(weights), 0.0, 0.0
    state = training.begin()
    for n in range(4):
        order = np.random.default_rng((0, state.epoch)).permutation(5)
        graphs = [training.training[k] for k in order[2 * state.batch : 2 * state.batch + 2]]
        _, gradient = training.loss_and_gradient(weights, graphs)
        whole = np.concatenate([np.asarray(gradient[name]).ravel() for name in MOVED])
        whole = whole * min(1.0, 0.5 / np.linalg.norm(whole))
        m, v = 0.9 * m + 0.1 * whole, 0.999 * v + 0.001 * whole**2
        change = m / (1 - 0.9 ** (n + 1)) / (np.sqrt(v / (1 - 0.999 ** (n + 1))) + 1e-8)
        ends = np.cumsum([weights[name].size for name in MOVED])[:-1]
        for name, part in zip(MOVED, np.split(change, ends), strict=True):
            weights[name] = weights[name] - 0.02 * 0.5**state.epoch * part.reshape(weights[name].shape)
            decay = min(0.99, (2 + n) / (11 + n))  # the first 2/11, as torch_ema's
            average[name] = decay * average[name] + (1 - decay) * weights[name]
        state = training.step(state)
        for name in MOVED:
            np.testing.assert_allclose(state.weights[name], weights[name], rtol=1e-9)
            np.testing.assert_allclose(state.average[name], average[name], rtol=1e-9)
    assert (state.epoch, state.batch, state.steps) == (1, 1, 4)


def test_the_lowest_validation_is_kept_and_patience_ends_it(loss: FrameLoss) -> None:
    """A step that is far too long makes things worse from the first epoch on."""
    training = trainer(loss, learning_rate=1.0, patience=2, epochs=50)
    state = training.begin()
    while not state.is_over(training.settings):
        state = training.step(state)
    losses = [row.validation.loss for row in state.curve]
    assert state.epoch == int(np.argmin(losses)) + 2
    assert training.errors(state.best, training.validation).loss == min(losses)
    assert losses[0] == training.errors(training.start, training.validation).loss


def test_the_learning_curve(loss: FrameLoss) -> None:
    training = trainer(loss, decay=0.5)
    state = after(training, 6)
    assert [row.epoch for row in state.curve] == [0, 1, 2]
    assert [row.learning_rate for row in state.curve] == [0.001, 0.001, 0.0005]
    first = training.begin()
    total = 0.0
    for _ in range(3):
        order = np.random.default_rng((0, 0)).permutation(5)
        graphs = [training.training[k] for k in order[2 * first.batch : 2 * first.batch + 2]]
        value, _ = training.loss_and_gradient(first.weights, graphs)
        total += float(value) * len(graphs)
        first = training.step(first)
    assert state.curve[1].training == pytest.approx(total / 5, rel=1e-12)


def test_a_loss_that_is_no_number(loss: FrameLoss) -> None:
    training = trainer(loss)
    state = training.begin()
    broken = {name: np.full_like(array, np.nan) for name, array in training.start.items()}
    with pytest.raises(SimulationError, match="no longer a number in epoch 1"):
        training.step(State(**{**vars(state), "weights": broken}))
    with pytest.raises(SimulationError, match="frame 5: the loss of the model is not a number"):
        training.errors(broken, training.validation)
