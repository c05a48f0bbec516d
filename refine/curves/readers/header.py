"""What a file says of its columns: units, the quantity, the radiation, the Q range of a transform."""

from __future__ import annotations

import re
from collections.abc import Mapping

from refine.curves.quantities import NORMALISATIONS, QUANTITIES, WINDOWS, same_quantity
from refine.curves.readers.table import Table
from refine.curves.weights import Isotopes
from refine.curves.writers import isotopes_text
from refine.errors import InputError
from refine.formula import amounts_of, element_of, with_hydrogen

LEAST_Q_MAX = 2.0
"""1/Å."""

SAME_FRACTION = 0.02
"""Atomic fractions that differ by less are one: dopants and rounded amounts."""

_OWN_COMPOSITION = re.compile(r"[A-Z][a-z]?(?::\w+)?=[\d.eE+-]+(?: [A-Z][a-z]?(?::\w+)?=[\d.eE+-]+){0,50}", re.ASCII)
"""As `refine.curves.writers` writes it."""

_POWER = r"[\s$^{(]*[-−–]\s*1"
_INVERSE_UNITS = {
    "1/nm": (
        rf"(?<![a-z])nm{_POWER}|\b1\s*/\s*nm\b|\b(?:per|inverse|reciprocal) (?:nm|nanomet)|nm⁻¹",
        "divide the first column by 10",
    ),
    "1/pm": (
        rf"(?<![a-z])pm{_POWER}|\b1\s*/\s*pm\b|\b(?:per|inverse) (?:pm|picomet)|pm⁻¹",
        "multiply the first column by 100",
    ),
    "1/bohr": (
        rf"\bbohr{_POWER}|\b1\s*/\s*bohr\b|\b(?:per|inverse) bohr|bohr⁻¹|\ba_?0{_POWER}",
        "multiply the first column by 1.8897",
    ),
}
_ROW_OF_UNITS = r"^[\[(]?{}[\])]?(?=[\s,;|]|$)(?:[\s,;|]+\S*){{0,2}}$"
"""A line of units below that of names, as Origin writes it."""
_UNITS_OF_R = {
    "nm": (r"\br\s*[\[(/]\s*nm\b|" + _ROW_OF_UNITS.format("nm"), "multiply the first column by 10"),
    "pm": (r"\br\s*[\[(/]\s*pm\b|" + _ROW_OF_UNITS.format("pm"), "divide the first column by 100"),
    "bohr": (r"\br\s*[\[(/]\s*(?:bohr|a_?0)\b|" + _ROW_OF_UNITS.format("bohr"), "multiply the first column by 0.52918"),
}
_OTHER_UNITS = {
    "Q": {unit: (re.compile(pattern, re.IGNORECASE), fix) for unit, (pattern, fix) in _INVERSE_UNITS.items()},
    "r": {unit: (re.compile(pattern, re.IGNORECASE), fix) for unit, (pattern, fix) in _UNITS_OF_R.items()},
}
"""Of x, by what a header says: how it is written, and what makes Å of it."""
_ANGLE = re.compile(r"(?<![a-z0-9])(?:2[\s_*-]*th(?:eta)?|two[\s_-]*theta|tth)(?![a-z])|2\s*[θΘ]", re.IGNORECASE)
_INVERSE_ANGSTROM = re.compile(r"(?:Å|angstrom|AA|\bA)[\s$^{(]*[-−–]\s*1|1\s*/\s*(?:Å|A\b)|Å⁻¹", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[\w ]*(?:file|path|wavelength)", re.IGNORECASE)
_ANGLE_ALONE = re.compile(r"(?:2[\s_*-]*theta|two[\s_-]*theta)\b[^=:]{0,30}\b(?:deg|rad)\w*\W*", re.IGNORECASE)
"""A line that is the title of an axis, as in files of Fit2D."""
_CALLED_R = re.compile(r"r(?:\s*[\[(].*)?")
_CALLED_Q = re.compile(r"[Qq](?:\s*[\[(].*)?")
_FLOAT = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)"
_UNIT = r"\s*(nm\b|1\s*/\s*nm\b)?"
_LIMIT = r"(?<![A-Za-z0-9_])q_?{}['\"]?(?:\s*[\[(][^\])]*[\])])?(?:\s*[=:]\s*|\s+)" + _FLOAT + _UNIT
_Q_LIMITS = tuple(re.compile(_LIMIT.format(end), re.IGNORECASE) for end in ("min", "max"))
_BOTH_LIMITS = re.compile(
    rf"(?<![A-Za-z0-9_])q_?min\s*(?:[,/&-]|and)\s*q_?max\s*[=:]\s*{_FLOAT}(?:\s*(?:[,/&-]|to|and)\s*|\s+){_FLOAT}{_UNIT}",
    re.IGNORECASE,
)


def refuse_other_units(table: Table, x_label: str, in_q: bool, where: str) -> None:
    """InputError where the file says that x, called so, is in other units than Å, an angle, or r for Q and Q for r."""
    axis = "Q" if in_q else "r"
    angle = x_label if _ANGLE.search(x_label) else next(filter(_ANGLE_ALONE.fullmatch, table.comments), None)
    if in_q and angle is not None:
        raise InputError(
            f"the x column is called {angle[:30]!r}, an angle and not Q",
            where=where,
            fix="give Q = 4π sin(θ)/λ in 1/Å",
        )
    if (_CALLED_R if in_q else _CALLED_Q).fullmatch(x_label):
        raise InputError(
            f"the x column is called {x_label[:30]!r} and a quantity in {axis} is declared",
            where=where,
            fix="declare what the file holds, or choose other columns",
        )
    for comment in table.comments:
        if _ELSEWHERE.match(comment) or (in_q and _INVERSE_ANGSTROM.search(comment)):
            continue
        for unit, (pattern, fix) in _OTHER_UNITS[axis].items():
            if pattern.search(comment):
                raise InputError(
                    f"the header says that {axis} is in {unit} ({comment[:60]!r})",
                    where=where,
                    fix=f"{fix} and mend the header",
                )


def refuse_contradiction(table: Table, y_label: str, quantity: str, radiation: str | None, where: str) -> None:
    """InputError where the file says another quantity or radiation, in refine's or PDFgetX3's own words."""
    header = table.header
    stated = header.get("quantity", "")
    if stated in QUANTITIES and not same_quantity(stated, quantity):
        raise InputError(
            f"the header says {stated} and {quantity} is declared", where=where, fix=f'declare quantity = "{stated}"'
        )
    if (
        same_quantity(quantity, "F(Q)")
        and "pdfgetx" in header.get("version", "").lower()
        and (where.lower().endswith(".fq") or y_label.startswith("F"))
    ):
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


def refuse_other_window(table: Table, window: str, where: str) -> None:
    """InputError where the file of a curve in r says another window of its transform, in refine's own words."""
    stated = table.header.get("window", "")
    if stated in WINDOWS and stated != window:
        raise InputError(
            f"the header says window = {stated} and {window} is declared",
            where=where,
            fix=f'declare window = "{stated}"',
        )


def refuse_other_sample(
    table: Table,
    normalisation: str,
    composition: Mapping[str, float],
    isotopes: Isotopes,
    pair: tuple[str, str] | None,
    where: str,
) -> None:
    """InputError where the file says another normalisation, pair or sample, in refine's or PDFgetX3's own words."""
    header = table.header
    stated = header.get("normalisation", header.get("normalization", ""))
    if stated in NORMALISATIONS and stated != normalisation:
        raise InputError(
            f"the header says normalisation = {stated} and {normalisation} is declared",
            where=where,
            fix=f'declare normalisation = "{stated}"',
        )
    atoms = header.get("pair", "").split("-")
    if pair is not None:
        if len(atoms) == 2 and sorted(atoms) != sorted(pair):
            what = f"the header says pair = {'-'.join(atoms)[:30]} and {'-'.join(pair)} is declared"
            raise InputError(what, where=where, fix="declare the pair of the file")
        return
    stated = header.get("composition", "")
    said, here = _fractions(stated), _by_element(composition)
    if not said or not here:
        return
    if max(abs(said.get(element, 0.0) - here.get(element, 0.0)) for element in {*said, *here}) > SAME_FRACTION:
        amounts = " ".join(f"{element} {fraction:.3g}" for element, fraction in here.items())
        raise InputError(
            f"the header says composition = {stated[:40]} and the sample is declared as {amounts} (atomic fractions)",
            where=where,
            fix="declare the composition of the measured sample, or mend the header",
        )
    if header.get("radiation") == "neutron" and _OWN_COMPOSITION.fullmatch(stated):
        _refuse_other_isotopes(header.get("isotopes", ""), composition, isotopes, where)


def _refuse_other_isotopes(stated: str, composition: Mapping[str, float], isotopes: Isotopes, where: str) -> None:
    """Of a file that refine wrote: what it does not name is natural."""
    said = {element_of(name): given for name, _, given in (word.partition("=") for word in stated.split())}
    for species in composition if not any(":" in name for name in composition) else ():  # sites have their own
        declared = isotopes.get(species)
        here = "natural" if declared is None else isotopes_text(declared)
        if said.get(species, "natural") != here:
            raise InputError(
                f"the header says that {species} is {said.get(species, 'natural')[:40]}, and {here} is declared",
                where=where,
                fix="declare the isotopes of the measured sample, or mend the header",
            )


def _by_element(composition: Mapping[str, float]) -> dict[str, float]:
    """Atomic fractions, sites of an element together."""
    total = sum(composition.values())
    fractions: dict[str, float] = {}
    for species, amount in composition.items():
        fractions[element_of(species)] = fractions.get(element_of(species), 0.0) + amount / total
    return fractions


def _fractions(text: str) -> dict[str, float]:
    """Of 'NaCl', as PDFgetX3 writes it, or 'Na=0.5 Cl=0.5', as refine does; empty where it is neither."""
    try:
        if _OWN_COMPOSITION.fullmatch(text):
            amounts = {name: float(amount) for name, _, amount in (word.partition("=") for word in text.split())}
        else:
            amounts = with_hydrogen(amounts_of("".join(text.split())))[0]
    except ValueError:
        return {}
    return _by_element(amounts) if sum(amounts.values()) > 0.0 else {}


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
