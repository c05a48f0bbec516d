"""Text columns x, y[, sigma]: the numbers and the lines that they stand on.

Accepted is any text file of two columns x, y, of three, x, y, sigma, or of four, x, y, sigma_x, sigma_y (the .gr files
of PDFgetN and PDFgui), separated by blanks, tabs, commas, semicolons or bars: plain columns, CSV, and .sq .fq .gr
.int01 .mint01 as PDFgetX3, Gudrun and others write them. Comments begin with # ! ; % ' " or //; text above the first
row of numbers is header, and so is all above a line `##### start data`, where there is one (PDFgetX2, PDFgetX3,
PDFgetN, PDFgui, Mantid). Numbers may have Fortran's D exponent. Everything else is refused with the number of the line:
nothing is skipped, sorted, averaged or guessed.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from refine.curves.readers.table import Example, Reader, Table, bytes_of
from refine.errors import InputError

MAX_BYTES = 8 * 2**20
"""Some 300,000 points, read in a few seconds; anything larger is another kind of file."""
MAX_HEADER_LINES = 1000
"""Header beyond is passed over, and of each line no more than `MAX_HEADER_WIDTH` characters are looked at."""
MAX_HEADER_WIDTH = 400
MAX_COLUMNS = 64
MAX_NUMBER_WIDTH = 100
"""Characters; longer ones are not looked at, which would take quadratic time."""

_COMMENT = ("#", "!", ";", "%", "'", '"', "//")
_SEPARATOR = re.compile(r"\s*[,;|]\s*|\s+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)|\*+|-?1\.#\w+", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?(?:[\s;|]+[+-]?\d+,\d+(?:[eE][+-]?\d+)?)+")
_START_OF_DATA = re.compile(r"\s*#+\s*start\s+data\s*", re.IGNORECASE)


def read(path: Path) -> Table:
    """The numbers of a text file with the line each came from, and its header.

    Raises:
        InputError: not a readable text file, or the first line that is not what the lines before it promise.
    """
    where = str(path)
    comments: list[str] = []
    rows: list[list[float]] = []
    numbers: list[int] = []
    last_text: tuple[int, list[str]] | None = None
    label_line = ""
    lines = _lines(path)
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
        comments=tuple(comments),
        labels=_labels(label_line, values.shape[1]),
    )


def _lines(file: Path) -> list[str]:
    data = bytes_of(file, MAX_BYTES)
    if not data.strip():
        raise InputError("the file is empty", where=str(file))
    return re.split(r"\r\n|\r|\n", _decoded(data, str(file)))


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


def _is_number(token: str) -> bool:
    return len(token) <= MAX_NUMBER_WIDTH and _NUMBER.fullmatch(token) is not None


def _is_row(tokens: list[str]) -> bool:
    """Two or more numbers; a lone one is the count of points that some formats begin with."""
    return len(tokens) > 1 and all(_is_number(token) or _NOT_FINITE.fullmatch(token) for token in tokens[:MAX_COLUMNS])


def _row(tokens: list[str], at: str) -> list[float]:
    if len(tokens) > MAX_COLUMNS:
        raise InputError(f"more than {MAX_COLUMNS} columns", where=at, fix="give columns x, y[, sigma]")
    return [_number(token, column, at) for column, token in enumerate(tokens, start=1)]


def _number(token: str, column: int, at: str) -> float:
    if _NOT_FINITE.fullmatch(token):
        raise InputError(f"{token} in column {column}", where=at, fix="remove the row or mend its number")
    if not _is_number(token):
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
    numeric = sum(_is_number(token) for token in tokens)
    if len(tokens) == len(first_row) and 2 * numeric >= len(tokens):
        _row(tokens, f"{where}, line {number}")


def _labels(line: str, columns: int) -> tuple[str, ...]:
    text = re.sub(r"^(?:columns\s*:|[lL]\s)\s*", "", line)
    for field in (r"[^,;\t|]+", r"(?:[^\s\[\]]|\[[^\]]*\])+"):  # by separators, or by blanks outside of brackets
        labels = tuple(label.strip() for label in re.findall(field, text))
        if len(labels) == columns and not any(_is_number(label) for label in labels):
            return labels
    return ()


TEXT = Reader(
    "text columns",
    lambda path, head: True,
    read,
    Example(
        name="silica.dat",
        content=b"""# quantity = D(r)
# qmin: 0.5
# qmax = 20.0
# columns: r [A], D(r), sigma
0.5 -0.40 0.01
0.6, -0.50, 0.01
0.7\t-0.60\t0.02
0.8 ; -0.70 ; 2D-2
  0.9 | -.75 | 2E-02
1.0 -0.8 0.03
""",
        quantity="D(r)",
        x=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        y=(-0.4, -0.5, -0.6, -0.7, -0.75, -0.8),
        sigma=(0.01, 0.01, 0.02, 0.02, 0.02, 0.03),
        header={"quantity": "D(r)", "qmin": "0.5", "qmax": "20.0"},
    ),
)
