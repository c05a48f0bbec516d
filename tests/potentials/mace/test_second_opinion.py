"""The comparison with mace-jax, with a stand-in: it is not on the package index, so it is not in the test suite."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.mace import second_opinion
from refine.potentials.mace.model import Mace
from refine.potentials.mace.reader.neutral import write_neutral
from refine.potentials.mace.second_opinion import MaceJax, compare
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODEL = random_checkpoint(4, channels=2, max_ell=1, heads=("one", "two"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_neutral(MODEL, tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


def other(change: float) -> Any:
    """mace-jax with a coupling of the second order that is wrong by so much of itself."""

    def model(checkpoint: Any, path: Path, species: Any, counts: Any, **settings: Any) -> Mace:
        name = "layers.0.product.0.2"
        arrays = dict(checkpoint.arrays) | {name: checkpoint.arrays[name] * (1 + change)}
        return Mace(dataclasses.replace(checkpoint, arrays=arrays), species, counts, **settings)

    return model


@pytest.mark.slow
def test_two_that_agree(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_opinion, "MaceJax", other(1e-9))
    comparison = compare(path, seed=1)
    assert comparison.agrees
    assert comparison.largest_force > 0.01
    assert comparison.summary().startswith("random.model: refine and mace-jax agree in 3 random boxes of 12 atoms")


@pytest.mark.slow
def test_a_wrong_coupling_and_a_wrong_number_are_caught(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_opinion, "MaceJax", other(0.05))
    comparison = compare(path)
    assert not comparison.agrees
    assert "DISAGREE" in comparison.summary()
    monkeypatch.setattr(second_opinion, "MaceJax", other(np.nan))
    assert not compare(path).agrees


def test_boxes_follow_from_the_seed() -> None:
    """Positions with room between them, other ones for another seed."""
    boxes = [second_opinion._random_box(MODEL, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(boxes[0][2], boxes[1][2])
    assert np.abs(boxes[0][2] - boxes[2][2]).max() > 0.1
    for species, counts, positions, cell in boxes:
        assert (len(set(species)), sum(counts)) == (3, 12)
        steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
        apart = np.linalg.norm(positions[:, None, None] - positions[None, :, None] - steps, axis=-1)
        assert apart[apart > 0].min() > 1.6


def test_without_mace_jax_the_line_says_how_to_get_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mace_jax", None)  # not there, whatever is installed
    with pytest.raises(
        InputError, match=r"mace-jax cannot be used: .*; install torch, mace-torch and mace-jax"
    ) as caught:
        MaceJax(MODEL, path, ("Ar",), (2,), head="one")
    assert "\n" not in str(caught.value)
