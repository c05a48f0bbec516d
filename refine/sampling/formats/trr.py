"""TRR, trajectories of GROMACS in full precision: positions in nm as float32 or float64, big-endian (XDR).

    head     1993; 13, 12, "GMX_trn_file"; counts of bytes of ir, e, box, vir, pres, top, sym, x, v, f; atoms, step, nre
    numbers  time, lambda, and what there is of box (3, 3), vir, pres, x, v, f, all of one precision

Frames may have velocities or forces and no positions: GROMACS writes each at an interval of its own. Format:
`src/gromacs/fileio/trrio.cpp` of GROMACS. All counts are compared with each other and with the size of the file before
anything is read by them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from refine.sampling.formats.binary import ANGSTROMS, BinaryFrame, box_of, left_in, numbered

BEGIN = struct.pack(">iii", 1993, 13, 12) + b"GMX_trn_file"
HEAD = struct.Struct(f">{len(BEGIN)}s13i")


def is_trr(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head.startswith(BEGIN[:4])


def frames_in(stream: BinaryIO) -> Iterator[BinaryFrame]:
    """The frames that have positions, one after the other.

    Raises:
        ValueError: it is no TRR, or contradicts itself.
        EOFError: the file ends within a frame.
    """
    yield from numbered(_frames(stream))


def _frames(stream: BinaryIO) -> Iterator[BinaryFrame]:
    while head := stream.read(HEAD.size):
        if len(head) < HEAD.size:
            raise EOFError("the file ends in the middle of a frame")
        begin, *counts, atoms, step, _ = HEAD.unpack(head)
        if begin != BEGIN:
            raise ValueError("a frame does not begin as one of a TRR")
        names = ("ir", "e", "box", "vir", "pres", "top", "sym", "x", "v", "f")
        sizes = dict(zip(names, counts, strict=True))
        foreign = [name for name in ("ir", "e", "top", "sym") if sizes.pop(name)]
        if foreign:
            raise ValueError(f"a frame has {', '.join(foreign)}, which no program writes there")
        if atoms < 1:
            raise ValueError(f"{atoms} atoms")
        numbers = {name: 9 if name in ("box", "vir", "pres") else 3 * atoms for name in sizes}
        widths = {size / numbers[name] for name, size in sizes.items() if size}
        if widths not in ({4.0}, {8.0}):
            raise ValueError(f"{atoms} atoms, and counts of bytes that are not of so many")
        width = int(widths.pop())
        length = 2 * width + sum(sizes.values())
        if length > left_in(stream):
            raise EOFError("the file ends in the middle of a frame")
        content, at, found = stream.read(length), 2 * width, {}
        for name, size in sizes.items():
            if size:
                found[name] = np.frombuffer(content, f">f{width}", numbers[name], at).reshape(-1, 3)
            at += size
        if "x" in found:
            with np.errstate(invalid="ignore", over="ignore"):  # what is no number is refused where positions are
                positions = ANGSTROMS * found["x"].astype(np.float64)
            yield BinaryFrame(positions, box_of(found["box"]) if "box" in found else None, step)
