"""Farthest points: beside the definition, and what weights do."""

from __future__ import annotations

import numpy as np
import pytest

from refine.learning.diversity import farthest, scaled


@pytest.mark.parametrize("atoms", [1, 4])
def test_each_is_the_farthest_of_those_left(atoms: int) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(atoms, 3)) for _ in range(15)]
    known, weights = rng.normal(size=(5, 3)), rng.uniform(0.5, 2.0, 15)
    chosen = farthest(frames, known, 6, weights)
    assert len(set(chosen)) == 6
    points = list(known)
    for pick in chosen:
        merit = [
            -1.0
            if k in chosen[: chosen.index(pick)]
            else weights[k] * max(min(np.linalg.norm(x - y) for y in points) for x in frame)
            for k, frame in enumerate(frames)
        ]
        assert pick == int(np.argmax(merit))
        points += list(frames[pick])


def test_the_same_frames_give_the_same_choice() -> None:
    """Of equals the first; without known points the weights begin; all where there are fewer."""
    same = [np.zeros((1, 2))] * 4
    assert farthest(same, np.empty((0, 2)), 3) == [0, 1, 2]
    assert farthest(same, np.empty((0, 2)), 1, np.array([1.0, 1.0, 3.0, 2.0])) == [2]
    assert farthest(same, np.zeros((1, 2)), 9) == [0, 1, 2, 3]
    line = [np.array([[x]]) for x in (0.0, 1.0, 2.0)]
    assert farthest(line, np.array([[0.0]]), 1, np.array([1.0, 5.0, 1.0])) == [1]


def test_features_are_scaled_by_their_spread() -> None:
    rng = np.random.default_rng(1)
    found = scaled([rng.normal(size=(5, 3)) * [1.0, 100.0, 0.0] + 7.0 for _ in range(3)])
    spread = np.concatenate(found).std(axis=0)
    assert spread == pytest.approx([1.0, 1.0, 0.0])
