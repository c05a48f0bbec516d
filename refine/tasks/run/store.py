"""run.h5: everything that a run needs to go on bit for bit, rewritten as a whole and swapped in atomically.

    /            attributes: format, digest (of study and data), versions
    /record      JSON text: the loop's position, the rule's memory, the iteration table
    /samples/K/  coefficients, core, wall, parameters, and frames/S/, dynamics/S/ (the state after them), gradients/S/
    /current/S/  dynamics' state (and the frames so far) of the sample that is being taken

Counts are stored as the smallest unsigned integers that hold them, compressed, with a checksum on every chunk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refine.errors import CheckpointError
from refine.files import replacing

FORMAT = 3
"""Version of the layout."""

CHECKPOINT = "run.h5"
"""Name of the file."""

Arrays = dict[str, np.ndarray]


@dataclass
class Checkpoint:
    """The content of run.h5.

    Attributes:
        digest: of the study and its data.
        record: JSON values only.
        samples: of each finished sample "coefficients", "core", "wall", "parameters", and per state the arrays of
            "frames", "dynamics" and "gradients".
        current: per state, of the unfinished sample.
    """

    digest: str
    record: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    current: list[Arrays] = field(default_factory=list)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write run.h5 atomically.

    It is made in memory and then written as bytes: where the disk is full HDF5 ends the whole process.

    Raises:
        CheckpointError: it cannot be written; the file that was there is untouched.
    """
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = FORMAT
        file.attrs["digest"] = checkpoint.digest
        file.create_dataset(
            "record", data=np.frombuffer(json.dumps(checkpoint.record).encode(), np.uint8), fletcher32=True
        )
        for k, sample in enumerate(checkpoint.samples):
            _write(file.create_group(f"samples/{k:04d}"), sample)
        for s, arrays in enumerate(checkpoint.current):
            _write(file.create_group(f"current/{s:04d}"), arrays)
        file.flush()
        content = file.id.get_file_image()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(path: Path, digest: str) -> Checkpoint:
    """Read run.h5.

    Raises:
        CheckpointError: missing, damaged, of another format, or of another study.
    """
    if not path.exists():
        raise CheckpointError("there is no run to resume", where=str(path), fix="start it without --resume")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise CheckpointError(
                    f"checkpoint format {file.attrs.get('format')} is not {FORMAT}",
                    where=str(path),
                    fix="resume with the version of refine that wrote it, or start again with --overwrite",
                )
            if file.attrs["digest"] != digest:
                raise CheckpointError(
                    "the study or its data changed since this run began",
                    where=str(path),
                    fix="restore them to resume, or start again with --overwrite",
                )
            record = json.loads(bytes(file["record"][()]).decode())
            samples = [_read(file["samples"][name]) for name in sorted(file.get("samples", ()))]
            current = [_read(file["current"][name]) for name in sorted(file.get("current", ()))]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint is damaged ({' '.join(str(error).split())[:120]})",
            where=str(path),
            fix="restore a copy, or start again with --overwrite",
        ) from error
    return Checkpoint(digest, record, samples, current)


def read_record(path: Path) -> dict[str, Any]:
    """The record alone, of whatever study; CheckpointError where there is none that can be read."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise CheckpointError(f"checkpoint format {file.attrs.get('format')} is not {FORMAT}", where=str(path))
            record = json.loads(bytes(file["record"][()]).decode())
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"no record can be read ({' '.join(str(error).split())[:120]})", where=str(path)
        ) from error
    if not isinstance(record, dict):
        raise CheckpointError("the record is no table", where=str(path))
    return record


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


def _compact(counts: np.ndarray) -> np.ndarray:
    largest = counts.max(initial=0.0)
    return counts.astype(np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32)
