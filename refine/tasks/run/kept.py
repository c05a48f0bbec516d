"""Frames of a run as extended XYZ, `[sampling] keep`: a file for each sample and state, written as they are made.

A file only grows. How far it does is in run.h5: what a killed process wrote behind the last checkpoint is cut off when
the run goes on, so that the file of an interrupted run is that of one that was not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refine.errors import CheckpointError
from refine.files import make_folder
from refine.sampling.extended_xyz import frame_text
from refine.sampling.frames import Frames

if TYPE_CHECKING:
    from refine.study.study import Study

FOLDER = "frames"
"""In the folder of a run."""


def kept_path(folder: Path, sample: int, state: str) -> Path:
    """The frames of a sample of a state in the folder of a run.

    >>> kept_path(Path("runs/argon"), 3, "85K").as_posix()
    'runs/argon/frames/3-85K.extxyz'
    """
    return folder / FOLDER / f"{sample}-{state}.extxyz"


@dataclass(frozen=True)
class Kept:
    """Every n-th frame of the samples of a run.

    study: the run's.  folder: of the run.  every: n.
    """

    study: Study
    folder: Path
    every: int

    def append(self, sample: int, s: int, frames: Frames, *, first: int, written: int) -> int:
        """Add a piece of the sample `sample` of state number `s`; how many bytes the file has then.

        frames: with positions, of each replica in order of time.  first: how many of each replica came before.
        written: bytes of the file so far; what there is beyond is cut off.

        Raises:
            CheckpointError: it cannot be written, or holds less than it should.
        """
        state, system = self.study.config.states[s], self.study.systems[s]
        path = kept_path(self.folder, sample, state.name)
        assert frames.positions is not None
        texts = []
        begins = np.searchsorted(frames.replica, frames.replica)  # the first frame of the same replica
        for k in range(len(frames)):
            number = first + k - int(begins[k]) + 1
            if number % self.every == 0:
                about: dict[str, str | float] = {
                    "energy": float(frames.energy[k]),
                    "temperature": float(frames.temperature[k]),
                }
                about |= {"state": state.name, "sample": sample, "replica": int(frames.replica[k]), "frame": number}
                texts.append(frame_text(system, frames.positions[k], about))
        make_folder(path.parent)
        try:
            with path.open("r+b" if path.exists() else "w+b") as stream:
                if stream.seek(0, os.SEEK_END) < written:
                    raise CheckpointError(
                        "frames of this run were taken out of it",
                        where=str(path),
                        fix="put the file back, or go on with --set sampling.keep='\"final\"'",
                    )
                stream.truncate(written)
                stream.seek(written)
                stream.write("".join(texts).encode())
                stream.flush()
                os.fsync(stream.fileno())
                return stream.tell()
        except OSError as error:
            raise CheckpointError(f"cannot write: {error.strerror}", where=str(path)) from error
