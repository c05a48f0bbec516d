"""Training: one step after the other, with everything that the next one depends on in a `State`.

A step draws the next frames of the epoch, whose order follows from the seed and the epoch's number, and moves the
weights by AMSGrad or Adam (`refine.learning.optimisers`) along the loss' gradient, clipped by its norm. The moving
average over steps has the decay min(average, (1 + n) / (10 + n)) at step n = 1, 2, ..., as in mace-torch (torch_ema),
so that it forgets the start. After each epoch it is the average that is validated, and the one with the lowest loss is
kept.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from refine.errors import SimulationError
from refine.learning.batches import Batch, Graph, Shape, Shapes, by_box, pack
from refine.learning.errors import Errors, Row
from refine.learning.keys import Learning
from refine.learning.loss import FrameLoss, Sums, Weights
from refine.learning.optimisers import OPTIMISERS

Array = NDArray[np.float64]


class _Part(NamedTuple):
    """The frames of a batch that have one charge and spin, in the arrays of a shape, with how many frames and atoms the
    whole batch has: losses of parts add up to that of the batch."""

    graphs: Sequence[Graph]
    batch: Batch
    shape: Shape

    @property
    def inputs(self) -> tuple[int, ...]:
        """What the model takes of them."""
        return self.graphs[0].inputs


@dataclass(frozen=True)
class State:
    """Where a training stands, between two steps.

    Attributes:
        epoch, batch: of the next step, from 0. steps: done. total: sum of the losses of this epoch's frames.
        weights: what is moved, by name; average: its moving average; best: the average of the epoch with the lowest
            validation loss.
        memory: leaves of the optimiser's state.
        curve: a row for every epoch that is over, first one for the start.
    """

    epoch: int
    batch: int
    steps: int
    total: float
    weights: Weights
    average: Weights
    best: Weights
    memory: tuple[Any, ...]
    curve: tuple[Row, ...]

    @property
    def best_row(self) -> Row:
        """The epoch that `best` is of."""
        return min(self.curve, key=lambda row: row.validation.loss)

    def is_over(self, settings: Learning) -> bool:
        """Whether the last epoch is done, or patience is at its end."""
        waited = self.epoch - self.best_row.epoch
        return self.batch == 0 and (self.epoch >= settings.epochs or waited >= settings.patience)


class Trainer:
    """Steps of a training.

    Args:
        loss: of the start model.
        start: what is moved, by name: weights as in the model's file, or what these follow from.
        training, validation: frames.
        shapes: that hold batches of both.
        settings: of the file.
        weights: of what is moved, the weights as in the model's file (traced); None: they are moved themselves.

    Attributes:
        start: as given, float64.
    """

    def __init__(
        self,
        loss: FrameLoss,
        start: Weights,
        training: Sequence[Graph],
        validation: Sequence[Graph],
        shapes: Shapes,
        settings: Learning,
        weights: Callable[[Weights], Weights] | None = None,
    ) -> None:
        self.loss, self.training, self.validation = loss, training, validation
        self.shapes, self.settings = shapes, settings
        self.start = {name: np.asarray(array, np.float64) for name, array in start.items()}
        self._optimiser = OPTIMISERS[settings.optimiser](1.0)
        self._apply = jax.jit(self._applied)
        self._weights = None if weights is None else jax.jit(weights)
        self._pull = None if weights is None else jax.jit(lambda at, slopes: jax.vjp(weights, at)[1](slopes)[0])

    @property
    def batches(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.training) / self.settings.batch)

    def begin(self) -> State:
        """Before the first step, the start model validated."""
        with jax.enable_x64(True):
            start = {name: jnp.asarray(array) for name, array in self.start.items()}
        memory = self.blank_memory()
        first = Row(0, self.rate(0), None, self.errors(self.weights(start), self.validation))
        return State(0, 0, 0, 0.0, start, start, start, memory, (first,))

    def blank_memory(self) -> tuple[Any, ...]:
        """Leaves of the optimiser's state before the first step."""
        with jax.enable_x64(True):
            start = {name: jnp.asarray(array) for name, array in self.start.items()}
            return tuple(jax.tree.leaves(self._optimiser.init(start)))

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch."""
        return self.settings.learning_rate * self.settings.decay**epoch

    def step(self, state: State) -> State:
        """After the next batch, and where it ends an epoch, after its validation.

        Raises:
            SimulationError: the loss or its gradient is no longer a number.
        """
        order = np.random.default_rng((self.settings.seed, state.epoch)).permutation(len(self.training))
        size = self.settings.batch
        graphs = [self.training[k] for k in order[state.batch * size : (state.batch + 1) * size]]
        loss, gradient = self.loss_and_gradient(state.weights, graphs)
        with jax.enable_x64(True):
            weights, average, memory, norm = self._apply(
                state.weights, state.average, state.memory, gradient, self.rate(state.epoch), float(state.steps)
            )
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise SimulationError(
                f"the loss is no longer a number in epoch {state.epoch + 1}",
                where="[learn]",
                fix="lower learning_rate or clip, and look for frames with enormous forces",
            )
        state = replace(
            state,
            batch=state.batch + 1,
            steps=state.steps + 1,
            total=state.total + float(loss) * len(graphs),
            weights=weights,
            average=average,
            memory=memory,
        )
        return self._validated(state) if state.batch == self.batches else state

    def loss_and_gradient(self, moved: Weights, graphs: Sequence[Graph]) -> tuple[float, Weights]:
        """The loss of a batch of frames, and its derivative by what is moved."""
        weights, loss, gradient = self.weights(moved), 0.0, dict[str, Any]()
        for part in self._parts(graphs):
            value, slopes = self.loss.loss_and_gradient(weights, part.batch, part.shape, part.inputs)
            loss += float(value)
            with jax.enable_x64(True):
                gradient = {name: gradient[name] + a if gradient else a for name, a in slopes.items()}
        if self._pull is None:
            return loss, gradient
        with jax.enable_x64(True):
            return loss, self._pull(moved, gradient)

    def weights(self, moved: Weights) -> Weights:
        """As in the model's file, of what is moved."""
        if self._weights is None:
            return moved
        with jax.enable_x64(True):
            found: Weights = self._weights({name: jnp.asarray(array) for name, array in moved.items()})
            return found

    def errors(self, weights: Weights, graphs: Sequence[Graph]) -> Errors:
        """Of weights on frames."""
        params = self._prepared(weights)
        total, sums = 0.0, Sums(*[0.0] * len(Sums._fields))
        for some in self._by_size(graphs):
            for part in self._parts(some):
                found = self.loss.score(params(part.inputs), part.batch, part.shape)
                total += float(found.loss) * len(some)
                sums = Sums(*(a + float(b) for a, b in zip(sums, found.sums, strict=True)))

        if not math.isfinite(total):
            raise SimulationError("the loss of the model is not a number", where=graphs[0].frame.where)

        def rms(squares: float, number: float) -> float | None:
            return math.sqrt(squares / number) if number else None

        return Errors(
            total / len(graphs),
            rms(sums.energy, sums.frames),
            rms(sums.forces, sums.components),
            rms(sums.stress, sums.stresses),
        )

    def energies_off(self, weights: Weights, graphs: Sequence[Graph]) -> Array:
        """Label less model's energy of frames, (n,) eV; NaN where there is no label."""
        params, off = self._prepared(weights), {}
        for part in itertools.chain.from_iterable(map(self._parts, self._by_size(graphs))):
            score = self.loss.score(params(part.inputs), part.batch, part.shape)
            apart = part.batch.energy - np.asarray(score.energy)
            for graph, value in zip(part.graphs, apart, strict=False):
                off[id(graph)] = float(value) if graph.frame.energy is not None else math.nan
        return np.array([off[id(graph)] for graph in graphs])

    def _by_size(self, graphs: Sequence[Graph]) -> Iterator[Sequence[Graph]]:
        """In batches of frames that are much of one size."""
        ordered = sorted(graphs, key=lambda graph: graph.size)
        for first in range(0, len(ordered), self.settings.batch):
            yield ordered[first : first + self.settings.batch]

    def _prepared(self, weights: Weights) -> Callable[[tuple[int, ...]], Any]:
        """Parameters of weights by what the model takes of frames, each made once."""
        return functools.cache(lambda inputs: self.loss.prepare(weights, inputs))

    def _parts(self, graphs: Sequence[Graph]) -> list[_Part]:
        """A batch, by charge and spin."""
        found, loss = [], self.loss
        whole = {"n_frames": np.asarray(len(graphs), np.float64)}
        whole["n_atoms"] = np.asarray(sum(graph.size for graph in graphs), np.float64)
        for part in by_box(graphs):
            shape = self.shapes.fitting(part)
            batch = pack(part, shape, loss.isolated, loss.cutoff, loss.precision)
            found.append(_Part(part, batch._replace(**whole), shape))
        return found

    def _validated(self, state: State) -> State:
        found = self.errors(self.weights(state.average), self.validation)
        row = Row(state.epoch + 1, self.rate(state.epoch), state.total / len(self.training), found)
        better = found.loss < state.best_row.validation.loss
        return replace(
            state,
            epoch=state.epoch + 1,
            batch=0,
            total=0.0,
            best=state.average if better else state.best,
            curve=(*state.curve, row),
        )

    def _applied(
        self, weights: Weights, average: Weights, memory: tuple[Any, ...], gradient: Weights, rate: Any, steps: Any
    ) -> tuple[Weights, Weights, tuple[Any, ...], Any]:
        """Weights, their average and the optimiser's memory after a step, and the norm of the gradient."""
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in gradient.values()))
        clipped = jax.tree.map(lambda g: g * jnp.minimum(1.0, self.settings.clip / jnp.maximum(norm, 1e-300)), gradient)
        tree = jax.tree.structure(self._optimiser.init(weights))
        change, after = self._optimiser.update(clipped, jax.tree.unflatten(tree, memory), weights)
        moved = jax.tree.map(lambda w, c: w + rate * c, weights, change)
        decay = jnp.minimum(self.settings.average, (2.0 + steps) / (11.0 + steps))  # steps: before this one
        mean = jax.tree.map(lambda a, w: decay * a + (1.0 - decay) * w, average, moved)
        return moved, mean, tuple(jax.tree.leaves(after)), norm
