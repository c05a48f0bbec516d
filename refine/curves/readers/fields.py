"""A line of text as fields, and a field as a number with, where it says so, its standard error.

1.234(12) is 1.234 with a standard error of 0.012, and so are 1.234(0.012), 1.234±0.012 and 1.234+/-0.012 (Guide to the
expression of uncertainty in measurement, JCGM 100:2008, 7.2.2).
"""

from __future__ import annotations

import math
import re

from refine.errors import InputError

MAX_COLUMNS = 64
MAX_NUMBER_WIDTH = 100
"""Characters; longer ones are not looked at, which would take quadratic time."""

_SEPARATOR = re.compile(r"\s*[,;|]\s*|\s+")
_DIGITS = r"(?:\d+\.?\d*|\.\d+)"
_NUMBER = re.compile(rf"[+-]?{_DIGITS}(?:[eEdD][+-]?\d+)?")
_UNCERTAIN = re.compile(rf"([+-]?{_DIGITS})\(({_DIGITS})\)([eEdD][+-]?\d+)?")
_PLUS_MINUS = re.compile(r"(?:±|\+/-|\+-)")
_AROUND_PLUS_MINUS = re.compile(r"(?<=[\d.])[ \t]?(±|\+/-)[ \t]?(?=[\d.])")
_WHOLE = re.compile(r"\d+")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)|\*+|-?1\.#\w+", re.IGNORECASE)
_WITH_COMMA = r"[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?"
_DECIMAL_COMMA = re.compile(rf"{_WITH_COMMA}(?:[\s;|]+{_WITH_COMMA})+")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_COMMA_IN_QUOTES = re.compile(r"[+-]?[\d.]*\d,\d[\d.,]*(?:[eE][+-]?\d+)?")


def split(line: str, at: str) -> list[str]:
    """The fields of a line, separated by blanks, tabs, commas, semicolons or bars; numbers come out of their quotes.

    Args:
        line: without blanks around it.
        at: file and line, for the error.

    Raises:
        InputError: decimal commas.

    >>> split('"0.30","1.21(3)",,', "a.csv, line 2")
    ['0.30', '1.21(3)', '', '']
    """
    if '"' in line or "'" in line:
        line = _QUOTED.sub(lambda quoted: _unquoted(quoted, at), line)
    if "," in line and _DECIMAL_COMMA.fullmatch(line):
        raise InputError("decimal commas", where=at, fix="write decimal points")
    if "±" in line or "+/-" in line:
        line = _AROUND_PLUS_MINUS.sub(r"\1", line)
    return _SEPARATOR.split(line, maxsplit=MAX_COLUMNS)


def _unquoted(quoted: re.Match[str], at: str) -> str:
    text = (quoted[1] if quoted[1] is not None else quoted[2]).strip()
    if len(text) <= MAX_NUMBER_WIDTH and _COMMA_IN_QUOTES.fullmatch(text):
        raise InputError(f"a comma in the number {quoted[0]}", where=at, fix="write decimal points, and no thousands")
    return text if not text or is_number(text) or _NOT_FINITE.fullmatch(text) else quoted[0]


def without_empty_end(fields: list[str], width: int) -> list[str]:
    """The fields without the empty ones at the end (spreadsheets pad their rows), but no fewer than `width`."""
    end = len(fields)
    while end > width and fields[end - 1] == "":
        end -= 1
    return fields[:end]


def is_number(field: str) -> bool:
    """Whether a field is a finite number, with or without a standard error."""
    return len(field) <= MAX_NUMBER_WIDTH and (_NUMBER.fullmatch(field) is not None or _error_of(field) is not None)


def is_whole(field: str) -> bool:
    """Whether a field is a whole number without a sign."""
    return len(field) <= MAX_NUMBER_WIDTH and _WHOLE.fullmatch(field) is not None


def is_row(fields: list[str]) -> bool:
    """Two or more numbers; a lone one is the count of points that some formats begin with."""
    return len(fields) > 1 and all(is_number(field) or _NOT_FINITE.fullmatch(field) for field in fields[:MAX_COLUMNS])


def is_nearly_row(fields: list[str]) -> bool:
    """Two or more fields of which half or more are numbers: what a row with a typo looks like."""
    return len(fields) > 1 and 2 * sum(map(is_number, fields)) >= len(fields)


def row(fields: list[str], at: str) -> list[tuple[float, float]]:
    """Value and standard error (NaN: not stated) of each field of a row.

    Raises:
        InputError: a field that is no finite number, or too many of them.

    >>> row(["0.30", "1.213(12)", "-2.5(1)E-2"], "a.txt, line 2")
    [(0.3, nan), (1.213, 0.012), (-0.025, 0.001)]
    """
    if len(fields) > MAX_COLUMNS:
        raise InputError(f"more than {MAX_COLUMNS} columns", where=at, fix="give columns x, y[, sigma]")
    return [_number(field, column, at) for column, field in enumerate(fields, start=1)]


def _number(field: str, column: int, at: str) -> tuple[float, float]:
    if _NOT_FINITE.fullmatch(field):
        raise InputError(f"{field} in column {column}", where=at, fix="remove the row or mend its number")
    if not is_number(field):
        shown = field if len(field) <= 40 else field[:37] + "..."
        what = f"{shown!r} in column {column} is not a number" if field else f"column {column} is empty"
        raise InputError(what, where=at, fix="remove the text, or put # before a comment")
    if _NUMBER.fullmatch(field):
        value, error = _float(field), math.nan
    else:
        value, error = _error_of(field) or (math.nan, math.nan)
    if not math.isfinite(value) or math.isinf(error):
        raise InputError(f"{field} in column {column} is too large", where=at, fix="mend the number")
    return value, error


def _error_of(field: str) -> tuple[float, float] | None:
    """Value and standard error of a field that states both, else None."""
    match = _UNCERTAIN.fullmatch(field)
    if match is None:
        parts = _PLUS_MINUS.split(field)
        if len(parts) != 2 or not all(_NUMBER.fullmatch(part) for part in parts) or parts[1][0] in "+-":
            return None
        return _float(parts[0]), _float(parts[1])
    digits, error, exponent = match[1], match[2], match[3] or ""
    value = _float(digits + exponent)
    if "." in error:
        return value, _float(error + exponent)
    return value, _float(f"{error}e{-len(digits.partition('.')[2])}") * _float("1" + exponent)


def _float(text: str) -> float:
    return float(text.translate(str.maketrans("dD", "ee")))
