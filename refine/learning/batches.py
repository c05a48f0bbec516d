"""Frames side by side in arrays of a few fixed shapes, so that nothing is compiled again along a training.

A MACE model knows atoms among neighbours and no frames, so the atoms of several frames are one system, sorted by
species, in which nobody has a neighbour in another frame. What a shape has room for and a batch does not need is
filled up with atoms that have no neighbours and belong to no frame.

Positions are fixed, so neighbours are found once for each frame, in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from refine.learning.frames import LabelledFrame, edges_of

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

DRAWS = 200
"""Random batches that tell."""

WASTE = 4.0
"""Cost of a shape in that of a batch, up to which no other one is compiled for it."""

STEP = 4
"""Slots for neighbours are multiples of it."""


@dataclass(frozen=True)
class Graph:
    """A frame with its neighbours, atoms sorted by species.

    Attributes:
        frame: what it was made from.
        order: (N,) atoms of the frame in the order of these arrays.
        counts: (S,) atoms of each species.
        receivers, senders: (E,) atoms of each edge, receivers in ascending order.
        slots: (E,) number of each edge among those of its receiver.
        vectors: (E, 3) Å, r_receiver - r_sender.
        inputs: of its charge and spin, what the model takes (`refine.learning.boxes.inputs_of`).
    """

    frame: LabelledFrame
    order: Integers
    counts: Integers
    receivers: Integers
    senders: Integers
    slots: Integers
    vectors: NDArray[np.float32] | Array
    inputs: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Atoms."""
        return len(self.order)

    @property
    def most(self) -> int:
        """Neighbours of the atom that has most of them."""
        return int(self.slots.max(initial=-1)) + 1


class Shape(NamedTuple):
    """Room of a batch: atoms of each species, slots for the neighbours of each atom, frames."""

    n_per_species: tuple[int, ...]
    slots: int
    frames: int

    @property
    def cost(self) -> int:
        """Slots of all atoms, which time and memory go by."""
        return sum(self.n_per_species) * self.slots


class Batch(NamedTuple):
    """Frames in the arrays of a shape, with N atoms, K slots, B frames. Weights are 0 where there is no label.

    vectors: (N, K, 3) Å, of the precision. senders: (N, K) int32. See `refine.potentials.mace.model.Mace`.
    frame: (N,) int32, number of the frame; B where there is no atom.
    atoms: (B,) atoms of each frame, 1 where there is none. volume: (B,) Å^3, 1 where there is none.
    energy: (B,) eV without the isolated atoms. forces: (N, 3) eV/Å. stress: (B, 3, 3) eV/Å^3.
    energy_weight, stress_weight: (B,). forces_weight: (N,).
    n_frames, n_atoms: () how many there are.
    """

    vectors: Any
    senders: Any
    frame: Any
    atoms: Array
    volume: Array
    energy: Array
    forces: Array
    stress: Array
    energy_weight: Array
    forces_weight: Array
    stress_weight: Array
    n_frames: Array
    n_atoms: Array


def graph_of(frame: LabelledFrame, species: Sequence[str], cutoff: float, inputs: tuple[int, ...] = ()) -> Graph:
    """A frame with its neighbours within the cutoff (Å).

    species: all that any frame has, in the order of the model's. inputs: see `Graph`.

    Raises:
        InputError: as `refine.learning.frames.edges_of`.
    """
    kinds = np.array([species.index(symbol) for symbol in frame.symbols])
    order = np.argsort(kinds, kind="stable")
    place = np.argsort(order)
    receivers, senders, vectors = edges_of(frame, cutoff)
    receivers, senders = place[receivers], place[senders]
    sorting = np.argsort(receivers, kind="stable")
    receivers, senders, vectors = receivers[sorting], senders[sorting], vectors[sorting]
    first = np.searchsorted(receivers, np.arange(len(order)))
    slots = np.arange(len(receivers)) - first[receivers]
    return Graph(frame, order, np.bincount(kinds, minlength=len(species)), receivers, senders, slots, vectors, inputs)


@dataclass(frozen=True)
class Shapes:
    """The shapes of a training, smallest first."""

    all: tuple[Shape, ...]

    @classmethod
    def of(cls, training: Sequence[Graph], every: Sequence[Graph], frames: int) -> Self:
        """Shapes for batches of so many frames, by what the parts (`by_box`) of random ones of the training set need:
        one for the cheaper half of them, one for those of up to twice the median cost, and so on, each with room for
        those below it; and one in which any batch of any frames finds room, compiled where it is needed."""
        rng = np.random.default_rng(0)
        some = min(frames, len(training))
        batches = ([training[k] for k in rng.choice(len(training), some, replace=False)] for _ in range(DRAWS))
        draws = np.array([_need(part) for batch in batches for part in by_box(batch)])
        costs = np.array([_shape(need, frames).cost for need in draws])
        needs, bound = [], np.median(costs)
        while True:
            needs.append(draws[costs <= bound].max(axis=0))
            if bound >= costs.max():
                break
            bound *= 2
        counts = np.array([graph.counts for graph in every])
        largest = np.sort(counts, axis=0)[::-1][:frames].sum(axis=0)
        needs.append(np.append(largest, max(graph.most for graph in every)))
        shapes = dict.fromkeys(_shape(need, frames) for need in needs)
        return cls(tuple(shapes))

    @classmethod
    def sharing(cls, batches: Sequence[Sequence[Graph]], frames: int) -> Self:
        """Shapes for given batches of at most so many frames, as few as waste at most `WASTE` of a batch's cost."""
        shapes: list[Shape] = []
        for own in sorted((_shape(_need(graphs), frames) for graphs in batches), key=lambda s: s.cost, reverse=True):
            if not any(_holds(shape, own) and shape.cost <= WASTE * own.cost for shape in shapes):
                shapes.append(own)
        return cls(tuple(reversed(shapes)))

    def fitting(self, graphs: Sequence[Graph]) -> Shape:
        """The smallest shape that holds some frames."""
        need = _shape(_need(graphs), len(graphs))
        for shape in self.all:
            if _holds(shape, need):
                return shape
        raise ValueError(f"a batch of {need} is larger than any of {self.all}")


def by_box(graphs: Sequence[Graph]) -> list[list[Graph]]:
    """Frames in parts that have one charge and spin."""
    parts: dict[tuple[int, ...], list[Graph]] = {}
    for graph in graphs:
        parts.setdefault(graph.inputs, []).append(graph)
    return list(parts.values())


def by_size(graphs: Sequence[Graph], atoms: int, frames: int) -> list[list[Graph]]:
    """Frames in batches of much of one size, of at most so many atoms, or one frame, and so many frames."""
    batches: list[list[Graph]] = []
    for graph in sorted(graphs, key=lambda graph: graph.size):
        last = batches[-1] if batches else []
        if last and len(last) < frames and sum(one.size for one in last) + graph.size <= atoms:
            last.append(graph)
        else:
            batches.append([graph])
    return batches


def _holds(shape: Shape, need: Shape) -> bool:
    return shape.slots >= need.slots and bool(np.all(np.array(shape.n_per_species) >= need.n_per_species))


def _need(graphs: Sequence[Graph]) -> Integers:
    """(S + 1,) atoms of each species, and slots."""
    return np.append(sum(graph.counts for graph in graphs), max(graph.most for graph in graphs))


def _shape(need: NDArray[Any], frames: int) -> Shape:
    *counts, most = need.astype(int).tolist()
    return Shape(tuple(max(1, count) for count in counts), STEP * max(1, -(-most // STEP)), frames)


def pack(graphs: Sequence[Graph], shape: Shape, isolated: Array, cutoff: float, dtype: str) -> Batch:
    """Frames in the arrays of a shape.

    isolated: (S,) eV, energies of the isolated atoms, which are taken off the energies. cutoff: Å, of the model.
    dtype: of the vectors.
    """
    total, number = sum(shape.n_per_species), shape.frames
    starts = np.cumsum([0, *shape.n_per_species[:-1]])
    vectors = np.zeros((total, shape.slots, 3), dtype)
    vectors[..., 0] = 2 * cutoff  # an unused slot: beyond the cutoff, and its own atom as sender
    senders = np.repeat(np.arange(total, dtype=np.int32)[:, None], shape.slots, axis=1)
    frame = np.full(total, number, np.int32)
    atoms, volume, energy = np.ones(number), np.ones(number), np.zeros(number)
    forces, stress = np.zeros((total, 3)), np.zeros((number, 3, 3))
    energy_weight, stress_weight, forces_weight = np.zeros(number), np.zeros(number), np.zeros(total)
    used = np.zeros(len(starts), np.int64)
    for b, graph in enumerate(graphs):
        labelled = graph.frame
        rows = np.concatenate([np.arange(n) + starts[s] + used[s] for s, n in enumerate(graph.counts.tolist())])
        used += graph.counts
        vectors[rows[graph.receivers], graph.slots] = graph.vectors
        senders[rows[graph.receivers], graph.slots] = rows[graph.senders]
        frame[rows], atoms[b] = b, graph.size
        if labelled.energy is not None:
            energy[b], energy_weight[b] = labelled.energy - graph.counts @ isolated, labelled.weight_of("energy")
        if labelled.forces is not None:
            forces[rows], forces_weight[rows] = labelled.forces[graph.order], labelled.weight_of("forces")
        if labelled.volume is not None:
            volume[b] = labelled.volume
        if labelled.stress is not None:
            stress[b], stress_weight[b] = labelled.stress, labelled.weight_of("stress")
    return Batch(
        vectors,
        senders,
        frame,
        atoms,
        volume,
        energy,
        forces,
        stress,
        energy_weight,
        forces_weight,
        stress_weight,
        np.asarray(len(graphs), np.float64),
        np.asarray(sum(graph.size for graph in graphs), np.float64),
    )
