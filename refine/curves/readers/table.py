"""What every reader of a format gives: numbers in columns and what the file says of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError

Array = NDArray[np.float64]

HEAD_BYTES = 4096
"""The beginning of a file that its format is told by."""

_KEY = re.compile(r"([A-Za-z_][\w .\-]{0,40}?)\s*[:=]\s*(\S.*)")


@dataclass(frozen=True)
class Table:
    """The numbers of a file and what it says of them.

    Attributes:
        values: (rows, columns).
        lines: (rows,) where each row stands in the file, counted from 1.
        comments: what the file says, a line each, without comment signs; facts as `key = value`. A binary format writes
            its attributes this way: "qmax = 20", "quantity = D(r)", "Q unit: 1/nm".
        labels: names of the columns, where the file gives one for each; else empty.
        left_edges: whether the first column is known to hold the left edges of bins that the others are means over.
        errors: (rows, columns) standard errors that stand with the numbers, as in 1.234(12), NaN where none does; None
            where there are none at all.
        breaks: rows, counted from 0, at which the file says that another curve begins.
        unit: what `lines` counts.
        ragged: the complaint where not all rows have as many columns; `values` has those that all have.

    >>> Table(np.zeros((1, 2)), np.array([4]), comments=("Qmax = 20", "made by hand")).header
    {'qmax': '20'}
    """

    values: Array
    lines: NDArray[np.int64]
    comments: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    left_edges: bool = False
    errors: Array | None = None
    breaks: tuple[int, ...] = ()
    unit: str = "line"
    ragged: InputError | None = None

    def place(self, row: int) -> str:
        """Where a row, counted from 0, stands in the file."""
        return f"{self.unit} {self.lines[row]}"

    @cached_property
    def header(self) -> Mapping[str, str]:
        """`key = value` and `key: value` of the comments, keys in lower case; of several the first."""
        header: dict[str, str] = {}
        for comment in self.comments:
            match = _KEY.fullmatch(comment)
            if match:
                header.setdefault(match[1].strip().lower(), match[2].strip())
        return header


@dataclass(frozen=True)
class Example:
    """A small file of a format, and what is in it: what the conformance test reads, cuts short and damages.

    Attributes:
        name: of the file, as the format names it.
        content: its bytes.
        quantity: what y is.
        x, y, sigma: (n,) as they are to be read; sigma None where there is none.
        header: some keys of the header and their values.
    """

    name: str
    content: bytes
    quantity: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    sigma: tuple[float, ...] | None = None
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """A format of files.

    Attributes:
        name: of the format.
        recognises: whether a file is one, from its path and its first `HEAD_BYTES` bytes; of any bytes, without error.
        read: the file as a table; InputError for one that is broken or too large.
        example: a file of the format.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path], Table]
    example: Example


def head_of(file: Path) -> bytes:
    """The first `HEAD_BYTES` bytes of a regular file.

    Raises:
        InputError: there is no such file, it is something else, or it cannot be read.
    """
    where = str(file)
    try:
        if not file.exists():
            raise InputError(
                "no such file", where=where, fix="check the path; in a study it is relative to the study file"
            )
        if not file.is_file():
            raise InputError("not a regular file", where=where, fix="give the path of a text file")
        with file.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"cannot be read ({error})", where=where) from None


def bytes_of(file: Path, most: int) -> bytes:
    """All bytes of a file that has no more than `most`.

    Raises:
        InputError: it has more, or cannot be read.
    """
    where = str(file)
    try:
        if file.stat().st_size > most:
            raise InputError(
                f"{file.stat().st_size / 2**20:.0f} MiB is too large for a curve (limit {most // 2**20} MiB)",
                where=where,
                fix="give a text file of columns x, y[, sigma]",
            )
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error})", where=where) from None
