"""Extended XYZ, taken apart into frames that ASE reads one by one.

Left alone ASE ends at the first blank line, takes a part of a file's name for the choice of frames, and makes arrays of
any size that a header names.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from refine.errors import InputError
from refine.sampling.formats.xyz import check_columns
from refine.sampling.structure_files import UNREADABLE, reason_of

if TYPE_CHECKING:
    from ase import Atoms

MOST_BYTES = 4 * 2**30
MOST_FRAMES = 1_000_000
MOST_ATOMS = 10_000_000
"""Of a frame."""

MOST_LINE = 2**24
"""Bytes."""

COMPRESSED = (".gz", ".bz2", ".xz")
BOM = b"\xef\xbb\xbf"


def atoms_in(path: Path) -> Iterator[Atoms]:
    """The frames of a file; blank lines between them are passed over.

    Raises:
        InputError: no such file, too large, compressed, not extended XYZ, or the end of the file within a frame.
    """
    where, number = str(path), 0
    if not path.is_file():
        raise InputError("no such file of labelled frames", where=where)
    if path.suffix in COMPRESSED:
        raise InputError("a compressed file of labelled frames", where=where, fix="decompress it")
    if not 0 < path.stat().st_size <= MOST_BYTES:
        raise InputError(f"a file of {path.stat().st_size} bytes", where=where, fix="1 byte to 4 GiB are read")
    try:
        with path.open("rb") as stream:
            while (count := _count(stream, number + 1)) is not None:
                number += 1
                if number > MOST_FRAMES:
                    raise InputError(f"more than {MOST_FRAMES} frames", where=where, fix="give a part of them")
                yield _atoms(stream, count, number)
    except InputError:
        raise
    except _Faulty as error:
        raise InputError(str(error), where=where, fix="labelled frames are read from .extxyz files") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None


class _Faulty(Exception):
    """A fault of the text, in words."""


def _line(stream: BinaryIO, number: int) -> bytes:
    line = stream.readline(MOST_LINE)
    if len(line) == MOST_LINE:
        raise _Faulty(f"frame {number} has a line of more than {MOST_LINE} bytes")
    return line


def _count(stream: BinaryIO, number: int) -> int | None:
    """Atoms of the next frame; None at the end of the file."""
    start = stream.tell() == 0
    while line := _line(stream, number):
        word = (line.removeprefix(BOM) if start else line).strip()
        start = False
        if not word:
            continue
        if not word.isdigit():
            shown = word[:40].decode("utf-8", errors="replace")
            raise _Faulty(f"frame {number} is not readable as extended XYZ: {shown!r} is no number of atoms")
        if not (len(word) <= len(str(MOST_ATOMS)) and 0 < int(word) <= MOST_ATOMS):
            raise _Faulty(f"frame {number} has {word[:20].decode()} atoms, and 1 to {MOST_ATOMS} are read")
        return int(word)
    return None


def _atoms(stream: BinaryIO, count: int, number: int) -> Atoms:
    from ase.io import ParseError
    from ase.io.extxyz import read_xyz

    lines = []
    for _ in range(count + 1):
        line = _line(stream, number)
        if not line:
            raise _Faulty(f"the file ends in the middle of frame {number}")
        lines.append(line)
    try:
        text = b"".join(lines).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Faulty(f"frame {number} is not UTF-8 text: {error.object[error.start : error.end]!r}") from None
    try:
        check_columns(lines[0].decode("utf-8"), len(lines[1].split()))
        atoms: Atoms = next(read_xyz(io.StringIO(f"{count}\n{text}"), 0))
        return atoms
    except (ParseError, EOFError, *UNREADABLE) as error:
        raise _Faulty(f"frame {number} is not readable as extended XYZ: {reason_of(error)}") from None
