"""What a file says of its columns: units, the quantity, the radiation, the Q range of a transform, what is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.curves.quantities import QUANTITIES, same_quantity
from refine.curves.readers.table import Table
from refine.errors import InputError

Array = NDArray[np.float64]

LEAST_Q_MAX = 2.0
"""1/Å."""

_INVERSE_NANOMETRE = re.compile(
    r"(?<![a-z])nm[\s$^{(]*[-−–]\s*1|\b1\s*/\s*nm\b|\b(?:per|inverse|reciprocal) (?:nm|nanomet)|nm⁻¹", re.IGNORECASE
)
_ANGLE = re.compile(r"(?<![a-z0-9])(?:2[\s_*-]*th(?:eta)?|two[\s_-]*theta|tth)(?![a-z])|2\s*[θΘ]", re.IGNORECASE)
_INVERSE_ANGSTROM = re.compile(r"(?:Å|angstrom|AA|\bA)[\s$^{(]*[-−–]\s*1|1\s*/\s*(?:Å|A\b)|Å⁻¹", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[\w ]*(?:file|path|wavelength)", re.IGNORECASE)
_NANOMETRE = re.compile(r"\br\s*[\[(/]\s*nm\b", re.IGNORECASE)
_FLOAT = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)"
_UNIT = r"\s*(nm\b|1\s*/\s*nm\b)?"
_LIMIT = r"(?<![A-Za-z0-9_])q_?{}['\"]?(?:\s*[\[(][^\])]*[\])])?(?:\s*[=:]\s*|\s+)" + _FLOAT + _UNIT
_Q_LIMITS = tuple(re.compile(_LIMIT.format(end), re.IGNORECASE) for end in ("min", "max"))
_BOTH_LIMITS = re.compile(
    rf"(?<![A-Za-z0-9_])q_?min\s*(?:[,/&-]|and)\s*q_?max\s*[=:]\s*{_FLOAT}(?:\s*(?:[,/&-]|to|and)\s*|\s+){_FLOAT}{_UNIT}",
    re.IGNORECASE,
)
_FUNCTION_LABEL = re.compile(r"(?:[SFiITJDG]|g)\w*\([QqRr]\).*")


def columns_of(table: Table, columns: Sequence[int] | None, file: Path) -> tuple[Array, Array, Array | None]:
    """x, y and sigma (None: not known), (rows,) each.

    Args:
        table: the file.
        columns: which columns these are, counted from 1; None where it has no others.
        file: its path.

    Raises:
        InputError: there are other columns, or x does not increase.
    """
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


def refuse_other_units(table: Table, in_q: bool, where: str) -> None:
    """InputError where the file says that x is in 1/nm, in nm, or an angle."""
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


def refuse_contradiction(table: Table, quantity: str, radiation: str | None, where: str) -> None:
    """InputError where the file says another quantity or radiation, in refine's or PDFgetX3's own words."""
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


def q_range_of(table: Table, where: str) -> tuple[float | None, float | None]:
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


def _in_inverse_angstrom(number: str, nanometres: str | None) -> float:
    return float(number.translate(str.maketrans("dD", "ee"))) * (0.1 if nanometres else 1.0)
