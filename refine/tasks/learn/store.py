"""learn.h5: everything that a training needs to go on bit for bit, rewritten as a whole and swapped in atomically.

/            attribute: format
/about       JSON text: what the training began with (settings, digests of files), errors of the start model,
             shifts of the isolated atoms, seconds
/state       JSON text: epoch, batch, steps, total, the learning curve
/weights/, /average/, /best/   arrays by name
/memory/K    leaves of the optimiser's state
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refine.learning.errors import Errors, Row
from refine.learning.training import State, Trainer
from refine.tasks.checkpoints import damaged, opened, put_text, text_of, written

CHECKPOINT = "learn.h5"
FORMAT = 1

_WEIGHTS = ("weights", "average", "best")
_COUNTS = ("epoch", "batch", "steps", "total")


@dataclass(frozen=True)
class Stored:
    """The content of learn.h5.

    Attributes:
        state: of the training.
        began: settings and digests that no later part may have otherwise.
        before: errors of the start model by part.
        isolated: by element, eV.
        seconds: so far.
    """

    state: State
    began: dict[str, Any]
    before: dict[str, Errors]
    isolated: dict[str, float]
    seconds: float


def save(path: Path, stored: Stored) -> None:
    """Write it atomically.

    Raises:
        CheckpointError: it cannot be written; the file that was there is untouched.
    """
    state = stored.state
    about = {
        "began": stored.began,
        "before": {part: asdict(errors) for part, errors in stored.before.items()},
        "isolated": stored.isolated,
        "seconds": stored.seconds,
    }
    position = {name: getattr(state, name) for name in _COUNTS} | {"curve": [asdict(row) for row in state.curve]}
    with written(path, FORMAT) as file:
        for name, tree in (("about", about), ("state", position)):
            put_text(file, name, json.dumps(tree))
        for group in _WEIGHTS:
            for name, array in getattr(state, group).items():
                _put(file, f"{group}/{name}", np.asarray(array))
        for k, leaf in enumerate(state.memory):
            _put(file, f"memory/{k:06d}", np.asarray(leaf))


def load(path: Path) -> Stored:
    """Read it.

    Raises:
        CheckpointError: missing, damaged, or of another format.
    """
    with opened(path, FORMAT, "training") as file:
        about, position = (json.loads(text_of(file, name)) for name in ("about", "state"))
        weights = {group: {name: np.asarray(a[()]) for name, a in file[group].items()} for group in _WEIGHTS}
        memory = tuple(np.asarray(file["memory"][name][()]) for name in sorted(file["memory"]))
        if not position["curve"]:
            raise ValueError("the learning curve is empty")
        curve = tuple(Row(**{**row, "validation": Errors(**row["validation"])}) for row in position["curve"])
        return Stored(
            State(**{**{name: position[name] for name in _COUNTS}, **weights, "memory": memory, "curve": curve}),
            dict(about["began"]),
            {part: Errors(**errors) for part, errors in about["before"].items()},
            dict(about["isolated"]),
            float(about["seconds"]),
        )


def check(stored: Stored, trainer: Trainer, path: Path) -> None:
    """CheckpointError where what was read from a path is not a state of a training: arrays or a place of another."""
    state = stored.state
    shapes = {name: array.shape for name, array in trainer.start.items()}
    for group in _WEIGHTS:
        arrays = getattr(state, group)
        for name in shapes.keys() ^ arrays.keys():
            raise damaged(path, f"{group}/{name} is {'missing' if name in shapes else 'unknown'}")
        for name, array in arrays.items():
            _check_array(path, f"{group}/{name}", array, shapes[name], "f")
    blank = trainer.blank_memory()
    if len(state.memory) != len(blank):
        raise damaged(path, f"{len(state.memory)} arrays in memory, not {len(blank)}")
    for k, (leaf, one) in enumerate(zip(state.memory, blank, strict=True)):
        _check_array(path, f"memory/{k:06d}", leaf, one.shape, one.dtype.kind)
    counts = [state.epoch, state.batch, state.steps]
    if not all(type(count) is int and count >= 0 for count in counts) or state.batch >= trainer.batches:
        raise damaged(path, f"epoch, batch, steps = {counts}")


def _check_array(path: Path, name: str, array: NDArray[Any], shape: tuple[int, ...], kind: str) -> None:
    if array.shape != shape or array.dtype.kind != kind:
        raise damaged(path, f"{name} is {array.dtype} of the shape {array.shape}, which should be {shape}")


def _put(file: h5py.File, name: str, array: NDArray[Any]) -> None:
    """With a checksum, which HDF5 has for arrays alone."""
    file.create_dataset(name, data=array, fletcher32=array.ndim > 0 and array.size > 0)
