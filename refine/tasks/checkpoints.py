"""Checkpoints as HDF5 files: swapped in atomically, read as what may be missing, damaged or of another format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from refine.errors import CheckpointError
from refine.files import replacing


@contextmanager
def written(path: Path, version: int) -> Iterator[h5py.File]:
    """The file that will stand there when the block is over, its attribute `format` written.

    It is made in memory and then written as bytes: where the disk is full HDF5 ends the whole process.

    Raises:
        CheckpointError: it cannot be written; the file that was there is untouched.
    """
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = version
        yield file
        file.flush()
        content = file.id.get_file_image()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def opened(path: Path, version: int, what: str) -> Iterator[h5py.File]:
    """The file, to be read within the block. what: it is of, such as "run".

    Raises:
        CheckpointError: missing, of another format, or what the block reads is not there or not what it should be.
    """
    if not path.exists():
        raise CheckpointError(f"there is no {what} to resume", where=str(path), fix="start it without --resume")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != version:
                raise CheckpointError(
                    f"checkpoint format {file.attrs.get('format')} is not {version}",
                    where=str(path),
                    fix="resume with the version of refine that wrote it, or start again with --overwrite",
                )
            yield file
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, how: str, fix: str = "restore a copy, or start again with --overwrite") -> CheckpointError:
    """What is said of such a file."""
    return CheckpointError(f"the checkpoint is damaged ({' '.join(how.split())[:120]})", where=str(path), fix=fix)


def put_text(file: h5py.File, name: str, text: str) -> None:
    """As bytes, with a checksum."""
    file.create_dataset(name, data=np.frombuffer(text.encode(), np.uint8), fletcher32=True)


def text_of(file: h5py.File, name: str) -> str:
    """The inverse of `put_text`."""
    return bytes(file[name][()]).decode()
