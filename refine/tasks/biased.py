"""What `refine enrich` has sampled so far: its checkpoint, and a file for each piece of frames, each written once.

    enrich.h5             where the trajectories stand, with the hills, and how many pieces there are
    enrich-frames/000.h5  frames without a bias
    enrich-frames/001.h5  ... with it, piece after piece

A piece is written before the checkpoint that counts it: what a killed process left behind is written again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from refine.errors import CheckpointError
from refine.files import make_folder
from refine.sampling.frames import Frames
from refine.sampling.state import Arrays, MDState
from refine.study.choices.choice import Choice
from refine.tasks import checkpoints

CHECKPOINT, PIECES = "enrich.h5", "enrich-frames"
"""The checkpoint, and the folder of the pieces."""

FORMAT = 2
"""Of both."""


@dataclass(frozen=True)
class Sampled:
    """A sample as far as it has come.

    digest: of all that it follows from.  choices: that a first look at the base model made.
    state: behind the last piece.  plain: frames without a bias.  parts: with it.
    """

    digest: str
    choices: tuple[Choice, ...]
    state: MDState
    plain: Frames
    parts: tuple[Frames, ...] = ()


def save(folder: Path, sampled: Sampled, *, written: int = 0) -> None:
    """Write the pieces beyond the first `written`, which are there, and then the checkpoint.

    Raises:
        CheckpointError: it cannot be written; what was there is untouched.
    """
    pieces = (sampled.plain, *sampled.parts)
    make_folder(folder / PIECES)
    for number in range(written, len(pieces)):
        with checkpoints.written(_piece(folder, number), FORMAT) as file:
            checkpoints.put_text(file, "digest", sampled.digest)
            _put(file, "frames", pieces[number].to_arrays())
    with checkpoints.written(folder / CHECKPOINT, FORMAT) as file:
        checkpoints.put_text(file, "digest", sampled.digest)
        checkpoints.put_text(file, "choices", json.dumps([asdict(choice) for choice in sampled.choices]))
        file.create_dataset("pieces", data=len(pieces))
        _put(file, "state", sampled.state.to_arrays())


def load(folder: Path, digest: str) -> Sampled:
    """What was saved.

    Raises:
        CheckpointError: nothing is there, it is of another sample than `digest` says, or damaged.
    """
    with checkpoints.opened(folder / CHECKPOINT, FORMAT, "sample") as file:
        found = checkpoints.text_of(file, "digest")
        choices = tuple(Choice(**one) for one in json.loads(checkpoints.text_of(file, "choices")))
        state, count = MDState.from_arrays(_arrays(file["state"])), int(file["pieces"][()])
        if count < 1:
            raise ValueError(f"it counts {count} pieces")
    if found != digest:
        raise CheckpointError(
            "this sample is of another study, or of other data",
            where=str(folder / CHECKPOINT),
            fix="resume with the study that it was started with, or start again with --overwrite",
        )
    plain, *parts = (_read(_piece(folder, number), digest) for number in range(count))
    return Sampled(found, choices, state, plain, tuple(parts))


def _piece(folder: Path, number: int) -> Path:
    return folder / PIECES / f"{number:03d}.h5"


def _read(path: Path, digest: str) -> Frames:
    if not path.exists():
        raise checkpoints.damaged(path, "a piece of the frames is not there", "put it back, or use --overwrite")
    with checkpoints.opened(path, FORMAT, "sample") as file:
        if checkpoints.text_of(file, "digest") != digest:
            raise ValueError("it is of another sample")
        return Frames.from_arrays(_arrays(file["frames"]))


def _put(file: h5py.File, group: str, arrays: Arrays) -> None:
    for name, value in arrays.items():
        file.create_dataset(f"{group}/{name}", data=value)


def _arrays(group: h5py.Group) -> Arrays:
    return {name: np.asarray(value[()]) for name, value in group.items()}
