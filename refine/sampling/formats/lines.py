"""Lines of a text file of frames."""

from __future__ import annotations

from itertools import islice
from typing import TextIO

ENDS = "the file ends in the middle of a frame"

MOST_HEADER = 65536
"""Characters of a frame before its atoms; a file that has more is of no format that is read."""


def take(stream: TextIO, count: int) -> str:
    """So many lines; of a wrong number that a file states, no more than there are.

    Raises:
        EOFError: the file has fewer.
    """
    lines = list(islice(iter(stream.readline, ""), max(count, 0)))
    if len(lines) < count:
        raise EOFError(ENDS)
    return "".join(lines)


def floats(line: str, count: int) -> list[float]:
    """The numbers that a line begins with, also with a Fortran exponent.

    Raises:
        ValueError: it has fewer.
    """
    words = line.split()[:count]
    if len(words) < count:
        raise ValueError(f"{line.strip()[:40]!r} has not {count} numbers")
    return [float(word.replace("D", "E").replace("d", "e")) for word in words]
