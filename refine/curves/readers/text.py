"""Files of measured curves in; a `Curve` or a clear error out.

Accepted is any text file of two columns x, y, of three, x, y, sigma, or of four, x, y, sigma_x, sigma_y (the .gr files
of PDFgetN and PDFgui), separated by blanks, tabs, commas, semicolons or bars: plain columns, CSV, and .sq .fq .gr
.int01 .mint01 as PDFgetX3, Gudrun and others write them. Comments begin with # ! ; % ' " or //; text above the first
row of numbers is header, and so is all above a line `##### start data`, where there is one (PDFgetX2, PDFgetX3,
PDFgetN, PDFgui, Mantid); `key = value` and `key: value` there are kept (`Curve.header`). Numbers may have Fortran's D
exponent. Everything else is refused with the number of the line: nothing is skipped, sorted, averaged or guessed.

The first column of Gudrun's files (`LEFT_EDGES`) holds the left edges of bins, which are shifted to their centres:
Gudrun merges its data into bins and writes their boundaries (A. K. Soper, GudrunN and GudrunX, Rutherford Appleton
Laboratory technical report RAL-TR-2011-013 (2011)); EPSR's .t01 and .u01 have the centres of the same bins.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.curves.checks import check_curve
from refine.curves.curve import Curve
from refine.curves.quantities import ABSCISSAE, QUANTITIES, is_q_space, same_quantity
from refine.errors import InputError

__all__ = ["CurveWarning", "Table", "check_curve", "read_curve", "read_table"]

Array = NDArray[np.float64]

MAX_BYTES = 8 * 2**20
"""Some 300,000 points, read in a few seconds; anything larger is another kind of file."""
MAX_HEADER_LINES = 1000
"""Header beyond is passed over, and of each line no more than `MAX_HEADER_WIDTH` characters are looked at."""
MAX_HEADER_WIDTH = 400
MAX_COLUMNS = 64

LEFT_EDGES = re.compile(r"\.(?:mint|mdcs|dcs|int)\d\d", re.IGNORECASE)
"""Endings of files whose x are left edges of bins: those of GudrunN and GudrunX."""

LEAST_Q_MAX = 2.0
"""1/Å."""

_COMMENT = ("#", "!", ";", "%", "'", '"', "//")
_SEPARATOR = re.compile(r"\s*[,;|]\s*|\s+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)|\*+|-?1\.#\w+", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?(?:[\s;|]+[+-]?\d+,\d+(?:[eE][+-]?\d+)?)+")
_KEY = re.compile(r"([A-Za-z_][\w .\-]{0,40}?)\s*[:=]\s*(\S.*)")
_INVERSE_NANOMETRE = re.compile(
    r"(?<![a-z])nm[\s$^{(]*[-−–]\s*1|\b1\s*/\s*nm\b|\b(?:per|inverse|reciprocal) (?:nm|nanomet)|nm⁻¹", re.IGNORECASE
)
_ANGLE = re.compile(r"(?<![a-z0-9])(?:2[\s_*-]*th(?:eta)?|two[\s_-]*theta|tth)(?![a-z])|2\s*[θΘ]", re.IGNORECASE)
_INVERSE_ANGSTROM = re.compile(r"(?:Å|angstrom|AA|\bA)[\s$^{(]*[-−–]\s*1|1\s*/\s*(?:Å|A\b)|Å⁻¹", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[\w ]*(?:file|path|wavelength)", re.IGNORECASE)
_NANOMETRE = re.compile(r"\br\s*[\[(/]\s*nm\b", re.IGNORECASE)
_START_OF_DATA = re.compile(r"\s*#+\s*start\s+data\s*", re.IGNORECASE)
_FLOAT = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)"
_UNIT = r"\s*(nm\b|1\s*/\s*nm\b)?"
_LIMIT = r"(?<![A-Za-z0-9_])q_?{}['\"]?(?:\s*[\[(][^\])]*[\])])?(?:\s*[=:]\s*|\s+)" + _FLOAT + _UNIT
_Q_LIMITS = tuple(re.compile(_LIMIT.format(end), re.IGNORECASE) for end in ("min", "max"))
_BOTH_LIMITS = re.compile(
    rf"(?<![A-Za-z0-9_])q_?min\s*(?:[,/&-]|and)\s*q_?max\s*[=:]\s*{_FLOAT}(?:\s*(?:[,/&-]|to|and)\s*|\s+){_FLOAT}{_UNIT}",
    re.IGNORECASE,
)
_GUDRUN = re.compile(r"\b\S*\.(?:mint|mdcs|dcs|int)\d\d\b", re.IGNORECASE)
_FUNCTION_LABEL = re.compile(r"(?:[SFiITJDG]|g)\w*\([QqRr]\).*")


class CurveWarning(UserWarning):
    """A measured curve that looks odd for what it is declared to be."""


@dataclass(frozen=True)
class Table:
    """The numbers of a file and what stood above them.

    Attributes:
        values: (rows, columns).
        lines: (rows,) line numbers, from 1.
        header: `key = value` and `key: value` pairs, keys in lower case.
        comments: header and comment lines, without their comment signs.
        labels: column labels, where a line directly above the numbers has one for each column; else empty.
    """

    values: Array
    lines: NDArray[np.int64]
    header: Mapping[str, str]
    comments: tuple[str, ...]
    labels: tuple[str, ...]


def read_curve(
    path: str | Path,
    *,
    quantity: str,
    normalisation: str = "faber-ziman",
    radiation: str | None = "neutron",
    number_density: float | None = None,
    composition: Mapping[str, float] | None = None,
    isotopes: Mapping[str, int] | None = None,
    charges: Mapping[str, int] | None = None,
    pair: tuple[str, str] | None = None,
    window: str = "none",
    q_range: tuple[float, float] | None = None,
    columns: Sequence[int] | None = None,
    abscissa: str = "auto",
    name: str | None = None,
    check: bool = True,
) -> Curve:
    """Read a measured curve; its convention is declared by the caller (`refine.curves.curve`), never guessed.

    Args:
        path: the file.
        quantity, normalisation, radiation, number_density, composition, isotopes, charges, pair, window: see `Curve`.
        q_range: (q_min, q_max) in 1/Å. A curve in Q is cut to it; of a curve in r it is the range of the transform that
            made it. Where None, Qmin and Qmax of the file's header are taken for a curve in r (`_header_q_range`).
        columns: which columns, counted from 1, are x, y[, sigma]; needed where the file has others beside them.
        abscissa: what the first column is, one of `ABSCISSAE`; left edges are shifted to the centres of their bins.
        name: what messages and reports call the curve; the file's name when None.
        check: compare the numbers with the declaration (`check_curve`); doubts are issued as `CurveWarning`. With False
            the caller does so.

    Raises:
        InputError: the file cannot be read, holds anything but numbers below its header, or contradicts what is
            declared.
    """
    file = Path(path)
    in_q = is_q_space(quantity)
    table = read_table(file)
    _refuse_nanometre_header(table, in_q, str(file))
    _refuse_contradicting_header(table, quantity, radiation if pair is None else None, str(file))
    x, y, sigma = _columns(table, columns, file)
    x = _at_points(x, abscissa, table, file)
    limits = (None, None) if in_q else (q_range or _header_q_range(table, str(file)))
    curve = Curve(
        x=x,
        y=y,
        sigma=sigma,
        quantity=quantity,
        normalisation=normalisation,
        radiation=radiation,
        window=window,
        q_min=limits[0],
        q_max=limits[1],
        number_density=number_density,
        composition=dict(composition or {}),
        isotopes=dict(isotopes or {}),
        charges=dict(charges or {}),
        pair=pair,
        name=file.stem if name is None else name,
        source=str(file),
        header=dict(table.header),
    )
    if in_q and q_range is not None:
        curve = curve.cropped(*q_range)
    if check:
        for message in check_curve(curve):
            warnings.warn(message, CurveWarning, stacklevel=2)
    return curve


def read_table(path: str | Path) -> Table:
    """The numbers of a text file with the line each came from, and its header.

    Raises:
        InputError: not a readable text file, or the first line that is not what the lines before it promise.
    """
    file = Path(path)
    where = str(file)
    comments: list[str] = []
    rows: list[list[float]] = []
    numbers: list[int] = []
    last_text: tuple[int, list[str]] | None = None
    label_line = ""
    lines = _lines(file)
    data_begin = next((k for k, line in enumerate(lines) if _START_OF_DATA.fullmatch(line)), 0)
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line:
            continue
        if number <= data_begin:  # tables of a header have rows of numbers too
            comments.append(line[:MAX_HEADER_WIDTH].lstrip("#!;%'\"/ \t"))
            continue
        at = f"{where}, line {number}"
        if line.startswith(_COMMENT):
            comment = line[:MAX_HEADER_WIDTH].lstrip("#!;%'\"/ \t")
            comments.append(comment)
            label_line = label_line if rows else comment
            continue
        tokens = _split(line, at)
        if rows or _is_row(tokens):
            if not rows and last_text is not None:
                _refuse_row_taken_for_header(last_text, tokens, where)
            row = _row(tokens, at)
            if rows and len(row) != len(rows[0]):
                raise InputError(
                    f"{len(row)} columns where the first row (line {numbers[0]}) has {len(rows[0])}",
                    where=at,
                    fix="give every row the same columns",
                )
            rows.append(row)
            numbers.append(number)
        else:
            comments.append(line[:MAX_HEADER_WIDTH])
            label_line, last_text = comments[-1], (number, tokens)
    if not rows:
        raise InputError("no rows of numbers", where=where, fix="give columns x, y[, sigma], one point a line")
    values = np.array(rows, dtype=np.float64)
    comments = comments[:MAX_HEADER_LINES]
    return Table(
        values=values,
        lines=np.array(numbers),
        header=_header(comments),
        comments=tuple(comments),
        labels=_labels(label_line, values.shape[1]),
    )


# --- text -------------------------------------------------------------------------------------------------------------


def _lines(file: Path) -> list[str]:
    where = str(file)
    try:
        if not file.exists():
            raise InputError("no such file", where=where, fix="paths in a study are relative to the study file")
        if not file.is_file():
            raise InputError("not a regular file", where=where, fix="give the path of a text file")
        if file.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{file.stat().st_size / 2**20:.0f} MiB is too large for a curve (limit {MAX_BYTES // 2**20} MiB)",
                where=where,
                fix="give a text file of columns x, y[, sigma]",
            )
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error})", where=where) from None
    if not data.strip():
        raise InputError("the file is empty", where=where)
    return re.split(r"\r\n|\r|\n", _decoded(data, where))


def _decoded(data: bytes, where: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\x00" in data:
        raise InputError("not a text file (it holds null bytes)", where=where, fix="export the columns as text")
    else:
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-16":
            raise InputError("not a text file (broken UTF-16)", where=where, fix="save it as UTF-8") from None
        text = data.decode("latin-1")  # old instruments write Å and ° this way; numbers are ASCII in any case
    control = sum(text.count(chr(code)) for code in range(32) if chr(code) not in "\t\n\r\f\v\x1a")
    if control:
        raise InputError(
            f"not a text file (it holds {control} control characters)", where=where, fix="export the columns as text"
        )
    return text.replace("\x1a", "")  # DOS end of file


def _split(line: str, at: str) -> list[str]:
    if _DECIMAL_COMMA.fullmatch(line):
        raise InputError("decimal commas", where=at, fix="write decimal points")
    tokens = _SEPARATOR.split(line, maxsplit=MAX_COLUMNS)
    return tokens[:-1] if tokens[-1] == "" else tokens


def _is_row(tokens: list[str]) -> bool:
    """Two or more numbers; a lone one is the count of points that some formats begin with."""
    return len(tokens) > 1 and all(
        _NUMBER.fullmatch(token) or _NOT_FINITE.fullmatch(token) for token in tokens[:MAX_COLUMNS]
    )


def _row(tokens: list[str], at: str) -> list[float]:
    if len(tokens) > MAX_COLUMNS:
        raise InputError(f"more than {MAX_COLUMNS} columns", where=at, fix="give columns x, y[, sigma]")
    return [_number(token, column, at) for column, token in enumerate(tokens, start=1)]


def _number(token: str, column: int, at: str) -> float:
    if _NOT_FINITE.fullmatch(token):
        raise InputError(f"{token} in column {column}", where=at, fix="remove the row or mend its number")
    if not _NUMBER.fullmatch(token):
        shown = token if len(token) <= 40 else token[:37] + "..."
        what = f"{shown!r} in column {column} is not a number" if token else f"column {column} is empty"
        raise InputError(what, where=at, fix="remove the text, or put # before a comment")
    value = float(token.translate(str.maketrans("dD", "ee")))
    if not math.isfinite(value):
        raise InputError(f"{token} in column {column} is too large", where=at, fix="mend the number")
    return value


def _refuse_row_taken_for_header(header: tuple[int, list[str]], first_row: list[str], where: str) -> None:
    """A first row with a typo looks like header text: as many fields as the rows, half of them numbers."""
    number, tokens = header
    numeric = sum(bool(_NUMBER.fullmatch(token)) for token in tokens)
    if len(tokens) == len(first_row) and 2 * numeric >= len(tokens):
        _row(tokens, f"{where}, line {number}")


def _header(comments: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for comment in comments:
        match = _KEY.fullmatch(comment)
        if match:
            found.setdefault(match[1].strip().lower(), match[2].strip())
    return found


def _labels(line: str, columns: int) -> tuple[str, ...]:
    text = re.sub(r"^(?:columns\s*:|[lL]\s)\s*", "", line)
    for field in (r"[^,;\t|]+", r"(?:[^\s\[\]]|\[[^\]]*\])+"):  # by separators, or by blanks outside of brackets
        labels = tuple(label.strip() for label in re.findall(field, text))
        if len(labels) == columns and not any(_NUMBER.fullmatch(label) for label in labels):
            return labels
    return ()


# --- meaning ----------------------------------------------------------------------------------------------------------


def _columns(table: Table, columns: Sequence[int] | None, file: Path) -> tuple[Array, Array, Array | None]:
    where, width = str(file), table.values.shape[1]
    if columns is None:
        columns = _default_columns(table, file)
    if len(columns) not in (2, 3) or not all(1 <= column <= width for column in columns):
        raise InputError(
            f"columns {list(columns)} were asked for and the file has {width}", where=where, fix="give x, y[, sigma]"
        )
    picked = [table.values[:, column - 1] for column in columns]
    _refuse_disorder(picked[0], table, where)
    sigma = picked[2] if len(picked) == 3 else None
    if sigma is not None and not sigma.any():
        sigma = None  # a column of zeros is how programs write that they do not know
    return picked[0], picked[1], sigma


def _at_points(x: Array, abscissa: str, table: Table, file: Path) -> Array:
    """Where y is known: x itself, or the centres of the bins whose left edges x are.

    A bin ends where the next one begins; the last one is as wide as the one before.
    """
    if abscissa not in ABSCISSAE:
        raise InputError(f"unknown abscissa {abscissa!r}", where=str(file), fix=f"use one of {', '.join(ABSCISSAE)}")
    edges = abscissa == "left-edges" or (abscissa == "auto" and LEFT_EDGES.fullmatch(file.suffix) is not None)
    if abscissa == "auto" and not edges:
        source = next((match[0] for comment in table.comments if (match := _GUDRUN.search(comment))), None)
        if source is not None:
            raise InputError(
                f"the header names {source[-40:]!r}: in files of Gudrun Q is the left edge of each bin; is it here?",
                where=str(file),
                fix='say abscissa = "left-edges", or "points" where Q has been shifted to the centres',
            )
    if not edges or len(x) < 2:
        return x
    widths = np.diff(x)
    return x + 0.5 * np.append(widths, widths[-1])


def _default_columns(table: Table, file: Path) -> Sequence[int]:
    width, labels = table.values.shape[1], table.labels
    if width == 2:
        return (1, 2)
    if width == 3:
        if labels and _FUNCTION_LABEL.fullmatch(labels[2]):
            raise InputError(
                f"the third column is {labels[2]!r}, which is not a standard error",
                where=str(file),
                fix="keep the columns x, y[, sigma]",
            )
        return (1, 2, 3)
    if width == 4 and (file.suffix.lower() == ".gr" or (labels and labels[2].lower().startswith(("d", "e", "sig")))):
        return (1, 2, 4)
    raise InputError(f"{width} columns; which of them are x, y[, sigma]?", where=str(file), fix="keep only those")


def _refuse_disorder(x: Array, table: Table, where: str) -> None:
    """As `Curve` does, but with the number of the line."""
    wrong = np.flatnonzero(np.diff(x) <= 0)
    if len(wrong) == 0:
        return
    at = int(wrong[0]) + 1
    if x[at] == x[at - 1]:
        what, fix = f"x = {x[at]:g} appears twice", "keep one of the two rows"
    else:
        what, fix = f"x = {x[at]:g} follows {x[at - 1]:g}; x must increase", "sort the rows"
    raise InputError(what, where=f"{where}, line {table.lines[at]}", fix=fix)


def _refuse_nanometre_header(table: Table, in_q: bool, where: str) -> None:
    pattern = _INVERSE_NANOMETRE if in_q else _NANOMETRE
    angles = [label for label in table.labels[:1] if in_q and _ANGLE.search(label)]
    if angles:
        raise InputError(
            f"the first column is called {angles[0][:30]!r}, an angle and not Q",
            where=where,
            fix="give Q = 4π sin(θ)/λ in 1/Å",
        )
    for comment in table.comments:
        if _ELSEWHERE.match(comment) or (in_q and _INVERSE_ANGSTROM.search(comment)):
            continue
        if pattern.search(comment):
            raise InputError(
                f"the header says that {'Q is in 1/nm' if in_q else 'r is in nm'} ({comment[:60]!r})",
                where=where,
                fix=f"{'divide' if in_q else 'multiply'} the first column by 10 and mend the header",
            )


def _refuse_contradicting_header(table: Table, quantity: str, radiation: str | None, where: str) -> None:
    """What the file says about itself, where it says it in refine's or PDFgetX3's own words."""
    header = table.header
    stated = header.get("quantity", "")
    if stated in QUANTITIES and not same_quantity(stated, quantity):
        raise InputError(
            f"the header says {stated} and {quantity} is declared", where=where, fix=f'declare quantity = "{stated}"'
        )
    if same_quantity(quantity, "F(Q)") and "pdfgetx" in header.get("version", "").lower() and _is_fq(table, where):
        raise InputError("what PDFgetX3 calls F(Q) is Q[S(Q)-1]", where=where, fix='declare quantity = "Q[S(Q)-1]"')
    stated = {"xray": "xray", "x-ray": "xray", "neutron": "neutron"}.get(
        header.get("radiation", header.get("mode", "")).lower(), ""
    )
    if radiation is not None and stated and stated != radiation:
        raise InputError(
            f"the header says {stated} and radiation = {radiation!r} is declared",
            where=where,
            fix=f'declare radiation = "{stated}"',
        )


def _is_fq(table: Table, where: str) -> bool:
    return where.lower().endswith(".fq") or bool(table.labels and table.labels[-1].startswith("F"))


def _in_inverse_angstrom(number: str, nanometres: str | None) -> float:
    return float(number.translate(str.maketrans("dD", "ee"))) * (0.1 if nanometres else 1.0)


def _header_q_range(table: Table, where: str) -> tuple[float | None, float | None]:
    """Qmin and Qmax (1/Å) of the transform that made a curve in r, as the header states them, else None.

    Written as `qmin = ` and `qmax = ` by PDFgetX3, xPDFsuite, PDFgui and GSAS-II, each on a line of its own; in one
    line by PDFgetN (`## Damp  Qmin=0.30  Qmax=20.0`), PDFgetX2 (`## S(q)  qmin=1.0  qmax=40.0`) and Mantid's SavePDFGui
    (`#Comment: neutron, Qmin=0.3, Qmax=20.0`). A range of blending or of an instrument (blendQmax, qmaxinst) is none.

    Raises:
        InputError: there are two ranges that differ.
    """
    single: tuple[list[float], list[float]] = ([], [])
    ranges: list[tuple[float, float]] = []
    for comment in table.comments:
        both = _BOTH_LIMITS.search(comment)
        if both:
            texts = [(both[1], both[3]), (both[2], both[3])]
        else:
            texts = [(m[1], m[2]) if (m := pattern.search(comment)) else ("", None) for pattern in _Q_LIMITS]
        numbers = [_in_inverse_angstrom(*text) if text[0] else None for text in texts]
        if numbers[0] is not None and numbers[1] is not None:
            ranges.append((numbers[0], numbers[1]))
        else:
            for values, number in zip(single, numbers, strict=True):
                values += [] if number is None else [number]
    highest = [high for _, high in ranges] + single[1]
    if highest and min(highest) < LEAST_Q_MAX:
        raise InputError(
            f"the header says Qmax = {min(highest):g} 1/Å, from which no transform is made",
            where=where,
            fix="give q_range",
        )
    ranges = list(dict.fromkeys(ranges))
    if not ranges and single[0] and single[1]:
        ranges = list(dict.fromkeys((low, high) for low in single[0] for high in single[1]))
    if len(ranges) > 1:
        stated = " and ".join(f"{low:g} to {high:g}" for low, high in ranges[:3])
        raise InputError(f"the header names several Q ranges, {stated} 1/Å", where=where, fix="give q_range")
    if ranges:
        return ranges[0]
    return (single[0][0] if single[0] else None), (single[1][0] if single[1] else None)
