"""Which columns of a file are x, y and sigma, and which of several curves in it is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.curves.readers.table import Table
from refine.errors import InputError

Array = NDArray[np.float64]

_FUNCTION_LABEL = re.compile(r"(?:[SFiITJDG]|g)\w*\([QqRr]\).*")
_OTHER_CURVE = re.compile(r"calc|rmc|fit|model|diff|resid|obs|exp", re.IGNORECASE)
_ERROR_LABEL = re.compile(r"(?i:err|sigma|sig$|std|esd|(?<![a-z])unc)|[±σδΔ]|^d[_ ]?[A-Z(]")
_ERROR_OF_X = re.compile(r"(?:d|e|err|sig(?:ma)?)[_ ]?[xqr]", re.IGNORECASE)
_SOME_ERROR = re.compile(r"(?:d|e|sig|std).*", re.IGNORECASE)
_SHOWN_LABELS = 12
LEAST_COUNTED = 5
"""Rows; a first column 1, 2, 3, ... of so many is no Q or r."""


@dataclass(frozen=True)
class Chosen:
    """The columns of one curve of a file.

    Attributes:
        x, y: (n,) the numbers.
        sigma: (n,) standard errors of y; None where the file has none.
        x_label, y_label: what the file calls the columns; empty where it has no names.
    """

    x: Array
    y: Array
    sigma: Array | None
    x_label: str
    y_label: str


def columns_of(table: Table, columns: Sequence[int | str] | None, block: int | None, file: Path) -> Chosen:
    """x, y and sigma of one curve.

    A curve begins where the file says so (`Table.breaks`), and where x falls back below its last three values and rises
    again. sigma is the third of `columns`, else what stands beside y in brackets, as in 1.234(12).

    Args:
        table: the file.
        columns: which are x, y[, sigma], counted from 1 or by the file's own names; None where it has no others.
        block: which of several curves one below the other, counted from 1; None where there is one.
        file: its path.

    Raises:
        InputError: there are other columns or other curves, none of that name or number, or x does not increase.
    """
    where, width = str(file), table.values.shape[1]
    if table.ragged is not None and (columns is None or width < 2):
        raise table.ragged
    if columns is None:
        numbers = list(_default_columns(table, file))
    else:
        numbers = [_number_of(column, table, where) for column in columns]
    if table.ragged is not None and max(numbers) > width:
        raise table.ragged
    if len(numbers) not in (2, 3) or not all(1 <= number <= width for number in numbers):
        asked = list(numbers if columns is None else columns)
        raise InputError(
            f"columns {asked} were asked for and the file has {width}", where=where, fix="give x, y[, sigma]"
        )
    if len(set(numbers)) < len(numbers):
        raise InputError(f"columns {list(columns or ())} name one column twice", where=where, fix="give x, y[, sigma]")
    rows = _rows_of(table, numbers[0] - 1, block, where)
    x, y = (table.values[rows, number - 1] for number in numbers[:2])
    _refuse_disorder(x, table, rows.start, where)
    if len(numbers) == 3:
        sigma: Array | None = table.values[rows, numbers[2] - 1]
    else:
        sigma = _errors_beside(table, rows, numbers[1] - 1, where)
    if sigma is not None and not sigma.any():
        sigma = None  # a column of zeros is how programs write that they do not know
    x_label, y_label = (table.labels[number - 1] if table.labels else "" for number in numbers[:2])
    return Chosen(x, y, sigma, x_label, y_label)


def _number_of(column: int | str, table: Table, where: str) -> int:
    """Of a column by its number or its name, counted from 1."""
    if isinstance(column, int):
        return column
    if not table.labels:
        raise InputError(
            f"column {column!r} was asked for and the file does not name its columns, of which it has "
            f"{table.values.shape[1]}",
            where=where,
            fix="count them from 1, as in columns = [1, 2]",
        )
    for same in (str.strip, _plain):
        found = [k for k, label in enumerate(table.labels, start=1) if same(label) == same(column)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"columns {found} are called {column!r}",
                where=where,
                fix="count columns from 1, as in columns = [1, 2]",
            )
    names = ", ".join(repr(label[:40]) for label in table.labels[:_SHOWN_LABELS])
    more = ", ..." if len(table.labels) > _SHOWN_LABELS else ""
    raise InputError(
        f"no column is called {column!r}", where=where, fix=f"the names are {names}{more}; or count columns from 1"
    )


def _plain(label: str) -> str:
    return "".join(label.split()).casefold()


def _default_columns(table: Table, file: Path) -> Sequence[int]:
    width, labels, where = table.values.shape[1], table.labels, str(file)
    if width == 2:
        return (1, 2)
    first = table.values[:, 0]
    if len(first) >= LEAST_COUNTED and np.array_equal(np.diff(first), np.ones(len(first) - 1)) and first[0] in (0, 1):
        raise InputError(
            f"{width} columns, of which the first counts the rows", where=where, fix="choose, as in columns = [2, 3]"
        )
    if width == 3:
        third = labels[2] if labels else ""
        other = _FUNCTION_LABEL.fullmatch(third) or _OTHER_CURVE.search(third)
        if other and not _ERROR_LABEL.search(third):
            raise InputError(
                f"the third column is {third!r}, which is not a standard error",
                where=where,
                fix="choose with columns = [x, y] or [x, y, sigma]",
            )
        if table.errors is not None and not np.isnan(table.errors[:, 1]).all():
            raise InputError(
                "y has standard errors in brackets, and there is a third column",
                where=where,
                fix="choose with columns = [1, 2] or [1, 2, 3]",
            )
        return (1, 2, 3)
    if width in (4, 7) and labels and _SOME_ERROR.fullmatch(labels[2]) and _SOME_ERROR.fullmatch(labels[3]):
        # seven: PDFgetN with a number density, r G(r) dr dG(r) rho(r) drho(r) N(r); the other order: Mantid's X Y E DX
        return (1, 2, 3) if _ERROR_OF_X.fullmatch(labels[3]) else (1, 2, 4)
    if width == 4 and file.suffix.lower() == ".gr" and not any(map(_OTHER_CURVE.search, labels[2:])):
        return (1, 2, 4)
    raise InputError(
        f"{width} columns; which of them are x, y[, sigma]?", where=where, fix="say it, as in columns = [1, 2]"
    )


def _rows_of(table: Table, x_column: int, block: int | None, where: str) -> slice:
    """The rows of one curve."""
    x = table.values[:, x_column]
    begins = sorted({0, *table.breaks, *_restarts(x)})
    if len(begins) > 1 and block is None:
        at = begins[1]
        raise InputError(
            f"a second curve seems to begin here (x = {x[at]:g} follows {x[at - 1]:g})",
            where=f"{where}, {table.place(at)}",
            fix=f"choose one of the {len(begins)} with block = 1 to {len(begins)}",
        )
    number = 1 if block is None else block
    if not 1 <= number <= len(begins):
        found = f"{len(begins)} curves, one below the other" if len(begins) > 1 else "one curve"
        raise InputError(f"block {block} was asked for and the file has {found}", where=where)
    return slice(begins[number - 1], begins[number] if number < len(begins) else len(x))


def _restarts(x: Array) -> list[int]:
    """Where x falls back below three values that rose, and rises again: two rows in the wrong order do not."""
    falls = (int(fall) + 1 for fall in np.flatnonzero(np.diff(x) < 0))
    return [
        k
        for k in falls
        if 3 <= k < len(x) - 2 and x[k] <= x[k - 3] < x[k - 2] < x[k - 1] and x[k] < x[k + 1] < x[k + 2]
    ]


def _refuse_disorder(x: Array, table: Table, first: int, where: str) -> None:
    """As `Curve` does, but with the number of the line."""
    wrong = np.flatnonzero(np.diff(x) <= 0)
    if len(wrong) == 0:
        return
    at = int(wrong[0]) + 1
    if x[at] == x[at - 1]:
        what, fix = f"x = {x[at]:g} appears twice", "keep one of the two rows"
    else:
        what, fix = f"x = {x[at]:g} follows {x[at - 1]:g}; x must increase", "sort the rows"
        if table.values.shape[1] == 2 and (np.diff(table.values[:, 1]) > 0).all():
            fix = "the second column does: choose them the other way round, as in columns = [2, 1]"
    raise InputError(what, where=f"{where}, {table.place(first + at)}", fix=fix)


def _errors_beside(table: Table, rows: slice, column: int, where: str) -> Array | None:
    """Standard errors that stand with y, in all rows or in none."""
    if table.errors is None:
        return None
    sigma = table.errors[rows, column]
    without = np.isnan(sigma)
    if without.all():
        return None
    if without.any():
        raise InputError(
            "y has no standard error here, and has one in other rows, as in 1.234(12)",
            where=f"{where}, {table.place(rows.start + int(np.argmax(without)))}",
            fix="give every row one, or none",
        )
    return sigma
