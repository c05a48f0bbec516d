"""Shapes of batches: how many there are, and how much of them is padding."""

from __future__ import annotations

import numpy as np

from refine.learning.batches import Graph, Shapes
from refine.learning.frames import LabelledFrame


def graph(of_one: int, of_other: int, most: int) -> Graph:
    """So many atoms of two species, one of which has `most` neighbours."""
    none, atoms = np.zeros(0, np.int64), of_one + of_other
    frame = LabelledFrame(("O",) * atoms, np.zeros((atoms, 3)), np.eye(3), np.ones(3, bool))
    slots, counts = np.array([most - 1]), np.array([of_one, of_other])
    return Graph(frame, np.arange(atoms), counts, none, none, slots, np.zeros((0, 3)))


def padding(graphs: list[Graph], frames: int) -> tuple[int, float]:
    """Number of shapes, and slots of some epochs over those that frames need."""
    shapes, given, needed = Shapes.of(graphs, graphs, frames), 0, 0
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(graphs))
        for k in range(0, len(order), frames):
            some = [graphs[j] for j in order[k : k + frames]]
            given += shapes.fitting(some).cost
            needed += sum(one.size * one.most for one in some)
    costs = [shape.cost for shape in shapes.all]
    assert costs == sorted(costs)
    return len(costs), given / needed


def test_a_huge_frame_among_small_ones_does_not_fill_their_batches_up() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers((2, 1, 20), (8, 5, 40), size=(199, 3)).tolist()
    small = [graph(*some) for some in numbers]
    number, factor = padding(small, 5)
    assert number <= 3
    assert factor < 2
    number, factor = padding([*small, graph(700, 300, 60)], 5)
    assert number <= 8
    assert factor < 2
