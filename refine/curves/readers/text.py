"""Text columns x, y[, sigma]: the numbers and the lines that they stand on.

Accepted is any text file of columns separated by blanks, tabs, commas, semicolons or bars: plain columns, CSV, and what
PDFgetX3, Gudrun, EPSR, RMCProfile, PyStoG, PDFgui and LAMMPS write. Comments begin with # ! ; % @ ' " or //; text above
the first row of numbers is header, and so is all above a line `##### start data`, where there is one (PDFgetX2,
PDFgetX3, PDFgetN, PDFgui, Mantid). Numbers may stand in quotes, have Fortran's D exponent, and say their standard error
(`fields`). Everything else is refused with the number of the line: nothing is skipped, sorted, averaged or guessed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from refine.curves.readers import fields
from refine.curves.readers.table import Example, Reader, Table, bytes_of
from refine.errors import InputError

MAX_BYTES = 8 * 2**20
"""Some 300,000 points, read in a few seconds; anything larger is another kind of file."""
MAX_HEADER_LINES = 1000
"""Header beyond is passed over, and of each line no more than `MAX_HEADER_WIDTH` characters are looked at."""
MAX_HEADER_WIDTH = 400
MOST_MISSING = 2
"""A number above the rows that is larger by more is no count of them."""
_QUOTES = ('"', "'")
_COMMENT = ("#", "!", ";", "%", "@", "//", *_QUOTES)
_ONE_POINT_A_LINE = "give columns x, y[, sigma], one point a line"
_EPSR = re.compile(r"\.[tu]\d\d", re.IGNORECASE)
_START_OF_DATA = re.compile(r"\s*#[#\s]*start\s+data\s*", re.IGNORECASE)


def read(path: Path) -> Table:
    """The numbers of a text file with the line each came from, and its header.

    Raises:
        InputError: not a readable text file, or the first line that is not what the lines before it promise.
    """
    where = str(path)
    lines = _lines(path)
    begin = next((k for k, line in enumerate(lines) if _START_OF_DATA.fullmatch(line)), 0)
    # tables of a header have rows of numbers too
    comments = [_words(line) for line in lines[:begin] if line.strip()]
    rows = _Rows(where)
    label_line, quoted = "", False
    for number, raw in enumerate(lines[begin:], start=begin + 1):
        line = raw.strip()
        if not line:
            continue
        at, begun = f"{where}, line {number}", rows.begun
        in_quotes = line.startswith(_QUOTES) and (quoted or not begun or _is_quoted_row(line, at))
        if not line.startswith(_COMMENT) or in_quotes:
            found = fields.split(line, at)
            if not any(found):
                continue  # a row that a spreadsheet left empty
            if rows.add(number, found):
                quoted = quoted or (not begun and any(quote in line for quote in _QUOTES))
                continue
        comments.append(_words(line))
        label_line = label_line if begun else raw[:MAX_HEADER_WIDTH]
    table = rows.table(tuple(comments[:MAX_HEADER_LINES]))
    width = table.values.shape[1]
    labels = _labels(label_line, width)
    if not labels and _EPSR.fullmatch(path.suffix) and (names := _labels(label_line, (width + 1) // 2)) and width % 2:
        labels = (names[0], *(label for name in names[1:] for label in (name, f"{name} error")))
    return replace(table, labels=labels)


def _words(line: str) -> str:
    return line.strip()[:MAX_HEADER_WIDTH].lstrip("#!;%@'\"/ \t")


def _is_quoted_row(line: str, at: str) -> bool:
    """Numbers in quotes, and not a comment that begins with one."""
    return fields.is_row(fields.without_empty_end(fields.split(line, at), 0))


class _Rows:
    """Rows of numbers as they come, and between them what announces another curve.

    That is a line of one whole number (Mantid's SaveAscii writes that of the spectrum, others the number of points),
    which a title may follow; an ampersand (Grace); and LAMMPS's line of step and number of rows.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._rows: list[list[tuple[float, float]]] = []
        self._lines: list[int] = []
        self._breaks: list[int] = []
        self._text: tuple[int, list[str]] | None = None
        """The last line that was no row, above the rows of a curve."""
        self._alone: tuple[int, list[str]] | None = None
        self._ragged: InputError | None = None
        """The line of a whole number below rows; what follows is another curve."""
        self._step: tuple[int, list[str]] | None = None
        """A line of two whole numbers that is LAMMPS's, or a row: the next one tells."""
        self._stated: int | None = None
        """The first line, where it is a whole number above rows: their count, as RMCProfile and others write it."""
        self._first = True
        self._near: tuple[int, list[str]] | None = None
        """The first line that is nearly a row."""

    @property
    def begun(self) -> bool:
        """Whether there were rows."""
        return bool(self._rows) or self._step is not None

    def add(self, number: int, found: list[str]) -> bool:
        """Takes the fields of a line, or says False: they are words above the rows of a curve.

        Raises:
            InputError: a line among rows that is none of them.
        """
        width = len(self._rows[0]) if self._rows else 0
        found = fields.without_empty_end(found, width)
        if self._step is not None:
            step, self._step = self._step, None
            if found[:1] == ["1"] and len(found) > 2 and width in (0, len(found)):
                self._breaks += [len(self._rows)] if self._rows else []
            else:
                self._append(*step)
                width = len(self._rows[0])
        if len(found) == 2 and all(map(fields.is_whole, found)) and width != 2:
            self._step = number, found
            return True
        if self._first and len(found) == 1 and fields.is_whole(found[0]) and len(found[0]) < 9:
            self._stated = int(found[0])
        self._first = False
        between = not self._rows or self._alone is not None
        if self._rows and len(found) == 1 and fields.is_whole(found[0]):
            self._alone = number, found
            return True
        if self._rows and found == ["&"]:
            self._breaks.append(len(self._rows))
            return True
        if between and not fields.is_row(found):
            self._text = number, found
            if self._near is None and fields.is_nearly_row(found):
                self._near = number, found
            return False
        if between and self._text is not None:
            self._refuse_row_taken_for_header(found)
        if self._alone is not None:
            self._breaks.append(len(self._rows))
        self._text = self._alone = None
        self._append(number, found)
        return True

    def _append(self, number: int, found: list[str]) -> None:
        at = f"{self._where}, line {number}"
        row = fields.row(found, at)
        if self._rows and len(row) != len(self._rows[0]) and self._ragged is None:
            self._ragged = InputError(
                f"{len(row)} columns where the first row (line {self._lines[0]}) has {len(self._rows[0])}",
                where=at,
                fix="give every row the same columns, or choose those that all rows have, as in columns = [1, 2]",
            )
        self._rows.append(row)
        self._lines.append(number)

    def _refuse_row_taken_for_header(self, first_row: list[str]) -> None:
        """A first row with a typo looks like header text: as many fields as the rows, half of them numbers.

        So does one with a remark behind it.
        """
        assert self._text is not None
        number, text = self._text
        width = len(first_row)
        remark = len(text) > width and fields.is_row(text[:width]) and text[width].startswith(_COMMENT)
        if remark or (len(text) == width and fields.is_nearly_row(text)):
            fields.row(text, f"{self._where}, line {number}")

    def table(self, comments: tuple[str, ...]) -> Table:
        """What was found, when all lines have been seen; columns have no names yet.

        Raises:
            InputError: no rows, or a last line that announces a curve that does not come.
        """
        if self._step is not None:
            self._append(*self._step)
        if self._alone is not None:
            self._append(*self._alone)
        if not self._rows:
            self._refuse_for_no_rows()
        rows = len(self._rows)
        if self._stated is not None and not self._breaks and rows < self._stated <= MOST_MISSING * rows:
            raise InputError(
                f"the file says that it has {self._stated} points, and {rows} follow: it seems to be cut short",
                where=self._where,
                fix="give the whole file, or mend the number in its first line",
            )
        width = min(map(len, self._rows))
        both = np.array([row[:width] for row in self._rows], dtype=np.float64)
        values, errors = both[..., 0], both[..., 1]
        return Table(
            values=values,
            lines=np.array(self._lines),
            comments=comments,
            errors=None if np.isnan(errors).all() else errors,
            breaks=tuple(at for at in self._breaks if at < len(values)),
            ragged=self._ragged,
        )

    def _refuse_for_no_rows(self) -> NoReturn:
        if self._near is None:
            raise InputError("no rows of numbers", where=self._where, fix=_ONE_POINT_A_LINE)
        number, text = self._near
        at = f"{self._where}, line {number}"
        try:
            fields.row(text, at)
        except InputError as error:
            raise InputError(f"no rows of numbers; here {error.what}", where=at, fix=error.fix) from None
        raise InputError("no rows of numbers", where=at, fix=_ONE_POINT_A_LINE)


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


def _labels(line: str, columns: int) -> tuple[str, ...]:
    """Names of the columns, where a line has as many: by separators, or by blanks outside of brackets."""
    text = re.sub(r"^[\s#!%@/]*(?:columns\s*:|[lL]\s)?", "", line)
    apart = text.rstrip("\r\n,;\t| ")
    for found in (re.split(r"[,;\t|]", apart), re.findall(r"(?:[^\s\[\]]|\[[^\]]*\])+", text)):
        labels = tuple(label.strip().strip("\"'").strip() for label in found)
        if len(labels) == columns and not any(map(fields.is_number, labels)):
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
