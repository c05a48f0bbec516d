"""DCD, binary trajectories of CHARMM, X-PLOR, NAMD, OpenMM and LAMMPS (`dump dcd`): positions in float32, and cells.

Records of Fortran: a count of bytes before and behind each, of 4 bytes or 8, in either order of bytes.

    header   "CORD", 20 integers: [1] first step, [2] steps between frames, [8] atoms that do not move, [10] cells are
             there, [11] a fourth coordinate is there, [19] version of CHARMM, 0 of X-PLOR
    title    lines of 80 characters
    number   of atoms
    frame    6 doubles of the cell, if there; x, y, z of all atoms

A cell is A, γ, B, β, α, C with the angles in degrees or as their cosines; or, of CHARMM since version 25, the triangle
xx, xy, yy, xz, yz, zz of its symmetric shape matrix. Which one it is nobody says: three numbers of at most 1 are
cosines (in Å they would be a shape that is all but orthogonal), three from `FLATTEST` degrees on are angles, others a
shape.

All that is taken from a header is compared with the size of the file before anything is read by it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from refine.sampling.formats.binary import Array, BinaryFrame

HEADER = 84
"""Bytes of the first record."""

MOST_TITLE = 2**20
"""Bytes of the second; larger ones are no title."""

FLATTEST = 15.0
"""Degrees between two vectors of a cell, and from 180: no program would simulate a flatter one."""

OF_LAMMPS = b"Written by LAMMPS"
"""In the title: then the first step is that of the first frame. NAMD has the one before it, others write 0."""


@dataclass(frozen=True)
class Layout:
    """Where what is in a file.

    order: "<" or ">", of bytes.  marker: bytes of the counts around a record.  atoms: N.
    cell, fourth: whether a frame has these records.  begin: of the first frame, bytes.
    first, every: number of the first step, and steps between frames; -1, 0 where nobody says.
    """

    order: str
    marker: int
    atoms: int
    cell: bool
    fourth: bool
    begin: int
    first: int
    every: int

    @property
    def records(self) -> list[int]:
        """Bytes of each record of a frame, without the counts around it."""
        return [48] * self.cell + [4 * self.atoms] * (4 if self.fourth else 3)

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        return sum(self.records) + 2 * self.marker * len(self.records)


WORDS = (b"CORD", b"VELD")
"""Of positions, and of velocities."""


def is_dcd(head: bytes) -> bool:
    """Whether a file that begins so is one, of positions or velocities."""
    return _begun(head) is not None


def _begun(head: bytes) -> tuple[str, int] | None:
    """Order of bytes, and bytes of a count, by which a file begins with one and a word of a DCD."""
    for order in "<>":
        for marker, count in ((4, "i"), (8, "q")):
            if head[:marker] == struct.pack(order + count, HEADER) and head[marker : marker + 4] in WORDS:
                return order, marker
    return None


def layout_of(stream: BinaryIO) -> Layout:
    """Read what comes before the first frame.

    Raises:
        ValueError: it is no DCD, has velocities or atoms that do not move, or contradicts itself.
        EOFError: the file ends before the first frame does.
    """
    begun = _begun(stream.read(12))
    if begun is None:
        raise ValueError("it does not begin with the header of a DCD")
    order, marker = begun
    stream.seek(0)
    header = _record(stream, order, marker, HEADER)
    if header[:4] != WORDS[0]:
        raise ValueError("velocities, and no positions")
    numbers = struct.unpack(f"{order}20i", header[4:])
    charmm = numbers[19] != 0
    if numbers[8]:
        raise ValueError(f"{numbers[8]} atoms do not move, and are in the first frame alone; write all of them")
    title = _record(stream, order, marker, None)
    (atoms,) = struct.unpack(order + "i", _record(stream, order, marker, 4))
    if atoms < 1:
        raise ValueError(f"{atoms} atoms")
    known = OF_LAMMPS in title and numbers[1] >= 0 and numbers[2] > 0
    found = Layout(
        order,
        marker,
        atoms,
        charmm and numbers[10] != 0,
        charmm and numbers[11] != 0,
        stream.tell(),
        numbers[1] if known else -1,
        numbers[2] if known else 0,
    )
    if os.fstat(stream.fileno()).st_size < found.begin + found.size:
        raise EOFError(f"it ends before the first frame of {atoms} atoms does")
    return found


def _record(stream: BinaryIO, order: str, marker: int, length: int | None) -> bytes:
    """The next record; length: its bytes, None: as it says itself."""
    word = order + "iq"[marker == 8]

    def count() -> int:
        read = stream.read(marker)
        if len(read) < marker:
            raise EOFError("it ends before the first frame")
        return int(struct.unpack(word, read)[0])

    stated = count()
    if stated != length and (length is not None or not 0 <= stated <= MOST_TITLE):
        raise ValueError(f"a record of {stated} bytes" + ("" if length is None else f" in the place of {length}"))
    content = stream.read(stated)
    if len(content) < stated:
        raise EOFError("it ends before the first frame")
    if count() != stated:
        raise ValueError("the counts before and behind a record are not the same")
    return content


def frames_in(stream: BinaryIO) -> Iterator[BinaryFrame]:
    """The frames, one after the other, as many as there are whatever the header says: a program that was killed has
    not counted them.

    Raises:
        ValueError, EOFError: as `layout_of`; of a frame, where its records are not of their size, its cell is none, or
            it is not whole.
    """
    layout = layout_of(stream)
    word, number = np.dtype(f"{layout.order}i{layout.marker}"), np.dtype(f"{layout.order}f4")
    whole = (os.fstat(stream.fileno()).st_size - layout.begin) // layout.size
    for k in range(whole):
        content = stream.read(layout.size)
        if len(content) < layout.size:  # it was cut since
            break
        at, parts = 0, []
        for length in layout.records:
            begin = at + layout.marker
            ends = (at, begin + length)
            if any(int(np.frombuffer(content, word, 1, end)[0]) != length for end in ends):
                raise ValueError(f"a record that should have {length} bytes has others")
            parts.append(content[begin : begin + length])
            at = begin + length + layout.marker
        cell = cell_of(struct.unpack(f"{layout.order}6d", parts.pop(0))) if layout.cell else None
        with np.errstate(invalid="ignore"):  # what is no number is refused where positions are
            positions = np.stack([np.frombuffer(part, number) for part in parts[:3]], axis=1).astype(np.float64)
        yield BinaryFrame(positions, cell, layout.first + k * layout.every if layout.every else -1)
    if stream.read(1) or os.fstat(stream.fileno()).st_size != layout.begin + whole * layout.size:
        raise EOFError("the file ends in the middle of a frame")


def cell_of(record: tuple[float, ...]) -> Array | None:
    """Vectors (3, 3) Å as rows, of the six numbers of a frame; None: there is no cell.

    With angles, the first vector lies along x and the second in the xy plane; a shape is as CHARMM turns it.

    Raises:
        ValueError: they are no cell.

    >>> cell_of((10.0, 0.0, 20.0, 0.0, 0.0, 30.0)).tolist() == cell_of((10.0, 90.0, 20.0, 90.0, 90.0, 30.0)).tolist()
    True
    """
    values = np.array(record, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a number of the cell is not finite")
    lengths, angles = values[[0, 2, 5]], values[[4, 3, 1]]
    if not lengths.any():
        return None
    if np.abs(angles).max() <= 1.0:
        cosines = angles
    elif (np.abs(angles - 90.0) <= 90.0 - FLATTEST).all():
        cosines = np.where(angles == 90.0, 0.0, np.cos(np.radians(angles)))
    else:
        xx, xy, yy, xz, yz, zz = values.tolist()
        shape = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        if not np.linalg.eigvalsh(shape).min() > 0.0:
            raise ValueError("its cell is none, neither by angles nor by its shape")
        return shape
    alpha, beta, gamma = cosines.tolist()
    sine = np.sqrt(max(1.0 - gamma**2, 0.0))
    along = (alpha - beta * gamma) / sine if sine > 0.0 else np.inf
    rest = 1.0 - beta**2 - along**2
    if (lengths <= 0.0).any() or not rest > 0.0:
        raise ValueError("its cell has lengths or angles that no box has")
    a, b, c = lengths.tolist()
    return np.array([[a, 0, 0], [b * gamma, b * sine, 0], [c * beta, c * along, c * np.sqrt(rest)]])
