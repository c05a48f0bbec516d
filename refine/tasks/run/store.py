"""run.h5: everything that a run needs to go on bit for bit, rewritten as a whole and swapped in atomically.

    /            attributes: format, digest (of study and data)
    /began       JSON text: the study, and digests of its files (`refine.tasks.run.began`)
    /record      JSON text (`refine.tasks.run.record`)
    /samples/K/  coefficients, core, wall, parameters, and frames/S/, dynamics/S/ (the state after them), gradients/S/
    /current/S/  dynamics' state (and the frames so far, and notes, JSON text) of the sample that is being taken

Counts are stored as the smallest unsigned integers that hold them, compressed, with a checksum on every chunk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from refine.errors import CheckpointError
from refine.potentials.correction import PairCorrection
from refine.refinement.problem import Sample
from refine.sampling.frames import Frames, by_replica
from refine.sampling.state import Arrays, State, stored_state
from refine.tasks.checkpoints import damaged, opened, put_text, text_of, written
from refine.tasks.run.began import Began
from refine.tasks.run.record import Potential, Record

FORMAT = 3
"""Version of the layout."""

CHECKPOINT = "run.h5"
"""Name of the file."""


@dataclass(frozen=True)
class Unfinished:
    """How far the sample of one state has come, or its start structure.

    Attributes:
        state: where the trajectory stands.
        parts: frames so far.
        done: frames of each replica, those of the equilibration included that no part holds.
        notes: what the engine noted of this trajectory, in words.
        written: bytes of the file of its frames (`refine.tasks.run.kept`).
    """

    state: State
    parts: tuple[Frames, ...] = ()
    done: int = 0
    notes: tuple[str, ...] = ()
    written: int = 0

    def extended(
        self, state: State, frames: Frames | None, count: int, notes: tuple[str, ...], written: int = 0
    ) -> Self:
        """One piece of `count` frames further.  frames: those that count; None: none of them do.  notes, written: as of
        now."""
        parts = self.parts if frames is None else (*self.parts, frames)
        return replace(self, state=state, parts=parts, done=self.done + count, notes=notes, written=written)

    def to_arrays(self) -> Arrays:
        """For /current/S; a start is its state alone."""
        if not self.done:
            return self.state.to_arrays()
        arrays = {f"dynamics.{name}": value for name, value in self.state.to_arrays().items()}
        if self.parts:
            arrays |= {f"frames.{name}": value for name, value in by_replica(self.parts).to_arrays().items()}
        if self.notes:
            arrays["notes"] = np.frombuffer(json.dumps(self.notes).encode(), np.uint8)
        return arrays | {"done": np.asarray(self.done), "written": np.asarray(self.written)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of `to_arrays`, with the parts in one."""
        if "done" not in arrays:
            return cls(stored_state(arrays))
        frames = _below(arrays, "frames")
        parts = (Frames.from_arrays(frames),) if frames else ()
        notes = tuple(json.loads(bytes(arrays["notes"]))) if "notes" in arrays else ()
        written = int(arrays.get("written", 0))
        return cls(stored_state(_below(arrays, "dynamics")), parts, int(arrays["done"]), notes, written)


@dataclass
class StoredRun:
    """The content of run.h5.

    Attributes:
        digest: of the study and its data.
        record: where the run stands.
        samples: of each finished sample what `sample_arrays` gives.
        current: per state, of the unfinished sample.
        began: what it is a run of; None: an earlier version did not write it.
    """

    digest: str
    record: Record
    samples: list[dict[str, Any]] = field(default_factory=list)
    current: list[Arrays] = field(default_factory=list)
    began: Began | None = None


def sample_arrays(sample: Sample, ends: list[State]) -> dict[str, Any]:
    """A finished sample as nested arrays.  ends: of every state, that of the dynamics behind the frames."""
    potential = Potential.of(sample.correction, sample.parameters)
    return {
        "coefficients": potential.coefficients,
        "core": potential.core,
        "wall": potential.wall,
        "parameters": np.zeros(0) if potential.parameters is None else potential.parameters,
        "gradients": {f"{s:04d}": windows for s, windows in enumerate(sample.gradients)},
        "frames": {f"{s:04d}": frames.to_arrays() for s, frames in enumerate(sample.frames)},
        "dynamics": {f"{s:04d}": state.to_arrays() for s, state in enumerate(ends)},
    }


def ends_of(stored: dict[str, Any]) -> list[State]:
    """Of every state of a stored sample, where the trajectories stand behind its frames."""
    return [stored_state(stored["dynamics"][s]) for s in sorted(stored["dynamics"])]


def sample_of(stored: dict[str, Any], initial: PairCorrection) -> tuple[Sample, list[State]]:
    """The inverse of `sample_arrays`.  initial: the study's correction before anything is fitted."""
    parameters = stored["parameters"] if len(stored["parameters"]) else None
    potential = Potential(np.asarray(stored["coefficients"], float), stored["core"], stored["wall"], parameters)
    frames = tuple(Frames.from_arrays(stored["frames"][s]) for s in sorted(stored["frames"]))
    gradients = tuple(stored["gradients"][s] for s in sorted(stored.get("gradients", ())))
    return Sample(potential.correction(initial), frames, parameters, gradients), ends_of(stored)


def save(path: Path, checkpoint: StoredRun) -> None:
    """Write run.h5 atomically.

    Raises:
        CheckpointError: it cannot be written; the file that was there is untouched.
    """
    with written(path, FORMAT) as file:
        file.attrs["digest"] = checkpoint.digest
        put_text(file, "record", json.dumps(checkpoint.record.to_json()))
        if checkpoint.began is not None:
            put_text(file, "began", checkpoint.began.to_json())
        for k, sample in enumerate(checkpoint.samples):
            _write(file.create_group(f"samples/{k:04d}"), sample)
        for s, arrays in enumerate(checkpoint.current):
            _write(file.create_group(f"current/{s:04d}"), arrays)


def load(path: Path) -> StoredRun:
    """Read run.h5.

    Raises:
        CheckpointError: missing, damaged, or of another format.
    """
    with opened(path, FORMAT, "run") as file:
        digest, record = str(file.attrs["digest"]), _record(file)
        began = Began.from_json(text_of(file, "began")) if "began" in file else None
        samples = [_read(file["samples"][name]) for name in sorted(file.get("samples", ()))]
        current = [_read(file["current"][name]) for name in sorted(file.get("current", ()))]
    return StoredRun(digest, record, samples, current, began)


def read_record(path: Path) -> Record | None:
    """The record alone, of whatever study; None where the file is of an earlier format, which is read no more.

    Raises:
        CheckpointError: damaged, or of a later format.
    """
    try:
        with h5py.File(path, "r") as file:
            version = int(file.attrs["format"])
            if version > FORMAT:
                raise CheckpointError(
                    f"checkpoint format {version} is not known here, only those to {FORMAT}",
                    where=str(path),
                    fix="read it with the version of refine that wrote it",
                )
            return _record(file) if version == FORMAT else None
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        fix = "restore a copy, or move it away: the results beside it are read without"
        raise damaged(path, str(error), fix) from error


def _record(file: h5py.File) -> Record:
    tree = json.loads(text_of(file, "record"))
    if not isinstance(tree, dict):
        raise ValueError("the record is no table")
    return Record.from_json(tree)


def _write(group: h5py.Group, tree: dict[str, Any]) -> None:
    """Nested dictionaries of arrays as nested groups of datasets."""
    for name, value in tree.items():
        if isinstance(value, dict):
            _write(group.create_group(name), value)
            continue
        array = np.asarray(value)
        stored = _compact(array) if name.endswith("counts") else array
        options = {"fletcher32": True, "compression": "gzip", "compression_opts": 1} if array.size > 1024 else {}
        group.create_dataset(name, data=stored, **options)


def _read(group: h5py.Group) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            tree[name] = _read(item)
        else:
            tree[name] = item[()].astype(np.float32) if name.endswith("counts") else np.asarray(item[()])
    return tree


def _compact(counts: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in fewer bytes: counts are whole, but within molecules that scattering sees otherwise."""
    if (counts != np.floor(counts)).any():
        return counts
    largest = counts.max(initial=0.0)
    return counts.astype(np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32)


def _below(arrays: Arrays, prefix: str) -> Arrays:
    """Entries whose name begins with the prefix and a dot, without it."""
    return {name.removeprefix(f"{prefix}."): v for name, v in arrays.items() if name.startswith(f"{prefix}.")}
