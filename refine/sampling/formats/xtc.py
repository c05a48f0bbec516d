"""XTC, compressed trajectories of GROMACS: positions in nm as whole multiples of 1/precision, big-endian (XDR).

    head   1995 (2023: counts of 8 bytes), atoms, step, time, box (3, 3), atoms
    then, of up to 9 atoms   positions as float32
    else   precision, lowest and highest integer along x, y and z, an index into `RANGES`, a count of bytes, the bits

The bits are groups. Each begins with an atom by its three integers above the lowest ones: mixed into one number of as
many bits as the product of the three ranges has, or, where a range is wider than 24 bits, one by one. One bit says
whether five more follow; they are three times the number of atoms to come in small numbers, plus 1 more than what is
added to the index behind them, and without them the number is that of the group before and the index stays. An atom in
small numbers is the difference from the one before it, plus half of the range; and the first two atoms of a group are
exchanged, which makes water small: it comes as O, H, H and bits of H, O, H.

A number of several bytes has the lowest first, and within each the highest bit. Formats: the GROMACS reference manual,
"File formats", xtc; F. van Hoesel's xdrf, whose code is not used here. In one pass in Python it is found where the
groups are, and all integers are then read at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refine.sampling.formats.binary import ANGSTROMS, Array, BinaryFrame, box_of, left_in, numbered

Integers = NDArray[np.int64]

SHORT, LONG = 1995, 2023
"""With which frames begin; the second is of systems of more than 300 million atoms."""

HEAD = struct.Struct(">iii4x9fi")
SCALE = struct.Struct(">f3i3iii")

FEW = 9
"""Atoms that are not compressed."""

FIRST = 9
"""Of `RANGES`, the smallest that is used: three numbers of a range have as many bits as its index."""

RANGES = (
    *(0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 101, 128, 161, 203, 256, 322, 406, 512),
    *(645, 812, 1024, 1290, 1625, 2048, 2580, 3250, 4096, 5060, 6501, 8192, 10321, 13003, 16384, 20642, 26007, 32768),
    *(41285, 52015, 65536, 82570, 104031, 131072, 165140, 208063, 262144, 330280, 416127, 524287, 660561, 832255),
    *(1048576, 1321122, 1664510, 2097152, 2642245, 3329021, 4194304, 5284491, 6658042, 8388607, 10568983, 13316085),
    16777216,
)
"""Of small numbers: about 2^(index/3)."""

WIDEST = 0xFFFFFF
"""Of a range that is mixed with others."""

COARSEST = 0.05
"""Å: positions that were rounded to more are none for pair distances, which are counted in bins of about so much."""


class Scale(NamedTuple):
    """Of a compressed frame: 1/nm, lowest integers and their ranges, index of that of small ones, bytes of bits."""

    precision: float
    low: tuple[int, ...]
    ranges: tuple[int, ...]
    small: int
    size: int


def is_xtc(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head[:4] in (struct.pack(">i", SHORT), struct.pack(">i", LONG))


def frames_in(stream: BinaryIO) -> Iterator[BinaryFrame]:
    """The frames, one after the other.

    Raises:
        ValueError: it is no XTC, contradicts itself, or its positions were rounded to more than `COARSEST`.
        EOFError: the file ends within a frame.
    """
    yield from numbered(_frames(stream))


def _frames(stream: BinaryIO) -> Iterator[BinaryFrame]:
    while begin := stream.read(1):
        magic, atoms, step, *box, again = HEAD.unpack(begin + _exactly(stream, HEAD.size - 1))
        if magic not in (SHORT, LONG):
            raise ValueError("a frame does not begin as one of an XTC")
        if atoms < 1 or again != atoms:
            raise ValueError(f"{atoms} atoms, and {again} with positions")
        if atoms <= FEW:
            raw = np.frombuffer(_exactly(stream, 12 * atoms), ">f4")
            with np.errstate(invalid="ignore", over="ignore"):  # what is no number is refused where positions are
                positions = ANGSTROMS * raw.reshape(-1, 3).astype(np.float64)
        else:
            scale = _scale(stream, magic == LONG, atoms)
            bits = _exactly(stream, scale.size)
            _exactly(stream, -scale.size % 4)
            positions = (ANGSTROMS / scale.precision) * decoded(bits, atoms, scale)
        yield BinaryFrame(positions, box_of(np.reshape(box, (3, 3))), step)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    if length > left_in(stream):
        raise EOFError("the file ends in the middle of a frame")
    return stream.read(length)


def _scale(stream: BinaryIO, long: bool, atoms: int) -> Scale:
    precision, *integers, index, size = SCALE.unpack(_exactly(stream, SCALE.size))
    if long:  # of eight bytes these were the higher four
        size = (size << 32) + int(struct.unpack(">I", _exactly(stream, 4))[0])
    low, high = integers[:3], integers[3:]
    ranges = tuple(b - a + 1 for a, b in zip(low, high, strict=True))
    if not 0.0 < precision < np.inf:
        raise ValueError(f"a precision of {precision:g}")
    if ANGSTROMS / precision > COARSEST:
        raise ValueError(
            f"positions are rounded to {ANGSTROMS / precision:.3g} Å, too coarse for distances: write them with "
            "compressed-x-precision = 1000"
        )
    if min(ranges) < 1 or not FIRST <= index < len(RANGES):
        raise ValueError("a range of integers that is none")
    if size < 0 or 8 * size < 2 * atoms:  # an atom takes two bits at the least
        raise ValueError(f"{size} bytes for {atoms} atoms")
    return Scale(precision, tuple(low), ranges, index, size)


def decoded(bits: bytes, atoms: int, scale: Scale) -> Array:
    """The integers of a compressed frame, (atoms, 3).

    Raises:
        ValueError: they are not of so many atoms.
    """
    apart = max(scale.ranges) > WIDEST
    widths = (
        [n.bit_length() for n in scale.ranges] if apart else [int(np.prod(scale.ranges, dtype=object)).bit_length()]
    )
    begin, following, index = _groups(bits, atoms, sum(widths), scale.small)
    padded = np.frombuffer(bits + bytes(2), np.uint8)
    first = np.concatenate([[0], np.cumsum(1 + following)[:-1]])  # atom with which a group begins
    out = np.empty((atoms, 3), np.int64)
    if apart:
        edges = np.cumsum([0, *widths])
        columns = [_plain(padded, begin + at, width) for at, width in zip(edges[:-1], widths, strict=True)]
        out[first] = np.stack(columns, axis=1)
    else:
        out[first] = _mixed(padded, begin, widths[0], scale.ranges)
    out[first] += np.array(scale.low)
    behind = begin + sum(widths) + np.where(_flag(padded, begin + sum(widths)), 6, 1)
    for small in np.unique(index[following > 0]).tolist():
        there = np.flatnonzero((index == small) & (following > 0))
        number = following[there]
        within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        at = np.repeat(behind[there], number) + small * within
        out[np.repeat(first[there], number) + 1 + within] = (
            _mixed(padded, at, small, (RANGES[small],) * 3) - RANGES[small] // 2
        )
    # differences within each group
    total = np.cumsum(out, axis=0)
    out = total - np.repeat(total[first] - out[first], 1 + following, axis=0)
    pairs = first[following > 0]
    out[pairs], out[pairs + 1] = out[pairs + 1], out[pairs]
    return np.asarray(out, np.float64)


def _groups(bits: bytes, atoms: int, width: int, index: int) -> tuple[Integers, Integers, Integers]:
    """Of each group: the bit that it begins with, atoms in small numbers that follow the first, and their index."""
    begin, following, indices = [], [], []
    at = there = number = 0
    last = 8 * len(bits)
    bits += bytes(2)
    while there < atoms:
        begin.append(at)
        at += width
        if at >= last:
            raise ValueError("its bits end before its atoms do")
        byte = at >> 3
        word = ((bits[byte] << 8 | bits[byte + 1]) >> (10 - (at & 7))) & 63
        change = 0
        if word & 32:
            number, change = divmod(word & 31, 3)
            change -= 1
            at += 6
        else:
            at += 1
        following.append(number)
        indices.append(index)
        at += number * index
        there += 1 + number
        index += change
        if not FIRST <= index < len(RANGES) and there < atoms:
            raise ValueError("a range of integers that is none")
    if at > last or there > atoms:
        raise ValueError("its bits are not of so many atoms")
    return np.array(begin), np.array(following), np.array(indices)


def _flag(padded: NDArray[np.uint8], at: Integers) -> NDArray[np.bool_]:
    return np.asarray((padded[at >> 3] >> (7 - (at & 7))) & 1 > 0)


def _byte(padded: NDArray[np.uint8], at: Integers, width: int) -> Integers:
    """The numbers of up to eight bits from each bit `at` on."""
    word = padded[at >> 3].astype(np.int64) << 8 | padded[(at >> 3) + 1]
    return np.asarray((word >> (16 - width - (at & 7))) & ((1 << width) - 1))


def _plain(padded: NDArray[np.uint8], at: Integers, width: int) -> Integers:
    """Numbers with the highest bit first."""
    value = np.zeros(len(at), np.int64)
    for done in range(0, width, 8):
        bits = min(8, width - done)
        value = value << bits | _byte(padded, at + done, bits)
    return value


def _mixed(padded: NDArray[np.uint8], at: Integers, width: int, ranges: Sequence[int]) -> Integers:
    """(n, 3): numbers x, y, z of (x Y + y) Z + z, which has up to 72 bits, by long division."""
    digits = [_byte(padded, at + done, min(8, width - done)) for done in range(0, width, 8)]  # the lowest first
    rest = []
    for by in (ranges[2], ranges[1]):
        left = np.zeros(len(at), np.int64)
        for k in reversed(range(len(digits))):
            digits[k], left = np.divmod(left << 8 | digits[k], by)
        rest.append(left)
    x = sum((digit << 8 * k for k, digit in enumerate(digits[:4])), np.zeros(len(at), np.int64))
    return np.stack([x, rest[1], rest[0]], axis=1)
