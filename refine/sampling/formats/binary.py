"""Binary trajectories, whose atoms have no names: what a frame is, and which formats are not read.

Files are hostile until they are read: by readers of refine that take no count of a file on trust, and not by libraries
in C that do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.errors import InputError

Array = NDArray[np.float64]

ANGSTROMS = 10.0
"""In a nm, the unit of GROMACS."""

NETCDF = "cpptraj -p topology -y {file} -x frames.dcd, or MDAnalysis"

KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"CDF\x01", "a NetCDF trajectory", NETCDF),
    (b"CDF\x02", "a NetCDF trajectory", NETCDF),
    (b"CDF\x05", "a NetCDF trajectory", NETCDF),
    (b"\x89HDF\r\n", "an HDF5 file", "write extended XYZ, a text dump, DCD, XTC or TRR"),
)
"""Beginning, in words, and what to do."""


class BinaryFrame(NamedTuple):
    """positions: (N, 3) Å.  cell: (3, 3) Å, vectors as rows; None: it has none.  step: -1 where nobody says."""

    positions: Array
    cell: Array | None
    step: int


def refuse_binary(head: bytes, file: str) -> None:
    """InputError for one that is not read; head: the first bytes of the file."""
    for begin, words, fix in KNOWN:
        if head.startswith(begin):
            raise InputError(f"{words}, which is not read", where=file, fix=fix.format(file=file))


def left_in(stream: BinaryIO) -> int:
    """Bytes of a file behind where it is read."""
    return os.fstat(stream.fileno()).st_size - stream.tell()


def box_of(vectors: ArrayLike) -> Array | None:
    """A box of GROMACS, (3, 3) nm, in Å; None where all of it is 0: there is none.

    Raises:
        ValueError: a number of it is not finite.
    """
    cell = ANGSTROMS * np.array(vectors, np.float64)
    if not np.isfinite(cell).all():
        raise ValueError("a number of the box is not finite")
    return cell if cell.any() else None


def numbered(frames: Iterator[BinaryFrame]) -> Iterator[BinaryFrame]:
    """The frames, with their steps where these tell them apart: some programs write one number for all, or none."""
    first = next(frames, None)
    if first is None:
        return
    try:
        second = next(frames, None)
    except (ValueError, EOFError):
        yield first._replace(step=-1)
        raise
    known = second is not None and 0 <= first.step != second.step
    for frame in (first, second):
        if frame is not None:
            yield frame if known else frame._replace(step=-1)
    for frame in frames:
        yield frame if known and frame.step >= 0 else frame._replace(step=-1)
