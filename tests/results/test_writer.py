"""Refined models beside result.json, which they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refine.potentials.mace.weights import MaceWeights
from refine.results.writer import MODELS, write_refined
from tests.potentials.mace.models import random_checkpoint
from tests.potentials.mace.test_weights import CELLS, system_of


def test_models_of_an_earlier_end_do_not_outlive_it(tmp_path: Path) -> None:
    """A run that went on may end with the base model as its answer."""
    weights = MaceWeights(random_checkpoint(7, channels=2, max_ell=1), ("lora:1",), system_of(CELLS["cubic"]))
    write_refined([weights], weights.start + 0.1 * np.ones_like(weights.start), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(MODELS)
    write_refined([], None, tmp_path)  # of a run that moves no parameters they are not
    assert len(list(tmp_path.iterdir())) == 2
    write_refined([weights], None, tmp_path)
    assert not list(tmp_path.iterdir())
