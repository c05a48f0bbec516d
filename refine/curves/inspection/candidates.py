"""The readings of a file that its numbers and words are compared with, and their ranking."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from refine.curves.checks.units import (
    refuse_other_abscissa,
    refuse_other_cross_sections,
    refuse_self_scattering,
)
from refine.curves.curve import Curve
from refine.curves.inspection.evidence import Evidence, evidence_of
from refine.curves.quantities import NORMALISATIONS, QUANTITIES, RADIATIONS, quantity_of, why_undefined
from refine.curves.readers import read_table
from refine.curves.readers.columns import Chosen, columns_of
from refine.curves.readers.gudrun import at_points
from refine.curves.readers.header import q_range_of
from refine.curves.readers.table import Table
from refine.curves.weights import Isotopes
from refine.errors import ConversionError, InputError

SAID = 5.0
"""How much likelier a reading is that the file names, in a name's best sense: names collide in this field."""

OTHER_SPACE = 0.01
"""Likelihood of Q where a file says r, and of r where it says Q."""

FITS, CLEAR = 0.2, 3.0
"""Fit of a reading that its numbers do not contradict; and how much better than any other one a clear one is told."""

OTHER_SUFFIX = 1e-4
"""Likewise where its name says so, as no program calls them otherwise."""

SHOWN_SHARE = 0.005
"""Of a reading that is worth its lines."""

RARE = 0.15
"""How common, before anything is seen, x-rays in electron units or over <f^2> are, and totals in r in barn."""

UNCOMMON = 0.6
"""Likewise of other names of curves in the commonest normalisation than S(Q), F(Q), g(r) and G(r)."""

_NORMALISED = {
    "<f^2>": re.compile(r"[<⟨]\s*f\s*\^?[2²]\s*[>⟩]"),
    "keen": re.compile(r"\bbarns?\b|\belectron units?\b|\be\.u\."),
}
"""What a file says of its normalisation."""

LARGEST = 1e30
"""Of y: counts, barn and electron units are far below."""

OTHER_UNIT = 0.1
"""How common Q in 1/nm and r in nm are, before anything is seen."""

_ANGSTROM = re.compile(r"Å|\bA\b|AA|angstrom", re.IGNORECASE)
_IN_R, _IN_Q = re.compile(r"\s*r\b", re.IGNORECASE), re.compile(r"\s*q\b", re.IGNORECASE)
_SUFFIXES = {
    **dict.fromkeys((".gr", ".rdf", ".dofr"), "r"),
    **dict.fromkeys((".sq", ".fq", ".iq", ".soq", ".int01", ".mint01", ".dcs01", ".mdcs01"), "Q"),
}


@dataclass(frozen=True)
class Candidate:
    """A reading of the columns.

    Attributes:
        curve: declared so; without a density where none is known.
        unit: of x in the file where that is neither 1/Å nor Å, in whose place `curve` has it; else empty.
        evidence: lines and their likelihoods, the file's words among them.
        fit: the product of the likelihoods of its numbers: near one where nothing contradicts it.
        told: the same, and by what the file says.
        share: of the likelihoods of all readings, with what the file says and how common each is; they add up to 1.
    """

    curve: Curve
    unit: str
    evidence: tuple[Evidence, ...]
    fit: float
    told: float
    share: float

    @property
    def number_density(self) -> float | None:
        """atoms/Å^3, that the numbers imply."""
        return next((one.number_density for one in self.evidence if one.number_density is not None), None)

    @property
    def name(self) -> str:
        """Quantity and normalisation."""
        other = " (that is D(r))" if (self.curve.quantity, self.curve.normalisation) == ("G(r)", "faber-ziman") else ""
        unit = f", x in {self.unit}" if self.unit else ""
        return f"{self.curve.quantity}, {self.curve.normalisation}{other}{unit}"

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "quantity": self.curve.quantity,
            "normalisation": self.curve.normalisation,
            "x_unit": self.unit or ("1/angstrom" if self.curve.in_q_space else "angstrom"),
            "share": self.share,
            "fit": self.fit,
            "number_density": self.number_density,
            "evidence": [{"words": one.words, "likelihood": one.likelihood} for one in self.evidence],
        }


@dataclass(frozen=True)
class Inspection:
    """A file, and its readings in the order of their shares.

    Attributes:
        path: of the file.  columns: names of its columns, empty where it has none.  width: how many there are.
        x_label, y_label: of the columns that were looked at.
        x: smallest and largest, and the number of points.
        header: what the file says as `key = value`.
        q_range: 1/Å, of the transform behind a curve in r, as the header has it.
        abscissa: what the first column is taken for, as of `refine.curves.readers.read_curve`.
        radiation: given, or as the header has it; None: neither.
        candidates: the likeliest first.
        notes: what would tell more, and what is odd.
    """

    path: Path
    columns: tuple[str, ...]
    width: int
    x_label: str
    y_label: str
    x: tuple[float, float, int]
    header: Mapping[str, str]
    q_range: tuple[float | None, float | None]
    abscissa: str
    radiation: str | None
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]

    @property
    def clear(self) -> bool:
        """Whether the numbers allow the first reading, and they and the file's words any other far less."""
        first, *rest = self.candidates
        return first.fit >= FITS and all(first.told >= CLEAR * other.told for other in rest)

    def lines(self, most: int) -> list[str]:
        """For a terminal: what the file is, and at most so many readings with their evidence."""
        low, high, points = self.x
        head = f"{self.path}: {points} points, x = {low:.4g} to {high:.4g}"
        if self.columns:
            head += f"; columns {', '.join(repr(name) for name in self.columns)}"
        elif self.width > 2:
            head += f"; {self.width} columns without names"
        limits = [f"{end:g}" if end is not None else "?" for end in self.q_range]
        found = [head]
        if self.q_range != (None, None):
            found.append(f"the header says that it is transformed from Q = {limits[0]} to {limits[1]} 1/Å")
        if self.radiation is not None:
            found.append(f"radiation: {self.radiation}")
        for number, one in enumerate(self.candidates[:most], start=1):
            if number > 1 and one.share < SHOWN_SHARE:
                break
            found += ["", f"{number}. {one.name}: {one.share:.0%} of all that is said for any"]
            found += [f"   {'-' if evidence.likelihood < FITS else '+'} {evidence.words}" for evidence in one.evidence]
        verdict = "The first reading is clear." if self.clear else "No reading is clear: look at the evidence."
        return [*found, "", verdict, *(f"note: {note}" for note in self.notes)]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "file": str(self.path),
            "columns": list(self.columns),
            "x": dict(zip(("first", "last", "points"), self.x, strict=True)),
            "q_range": list(self.q_range),
            "abscissa": self.abscissa,
            "radiation": self.radiation,
            "clear": self.clear,
            "candidates": [one.to_json() for one in self.candidates],
            "notes": list(self.notes),
        }


def inspect(
    path: str | Path,
    *,
    composition: Mapping[str, float] | None = None,
    radiation: str | None = None,
    number_density: float | None = None,
    isotopes: Isotopes | None = None,
    columns: Sequence[int | str] | None = None,
    block: int | None = None,
    q_range: tuple[float, float] | None = None,
) -> Inspection:
    """Look at a measured curve.

    Args:
        path: the file.
        composition: amounts of its elements; without, normalisations by scattering lengths cannot be told.
        radiation: "neutron" or "xray"; None: as the header says, else neutrons.
        number_density: atoms/Å^3; without, the numbers imply one.
        isotopes, columns, block: as of `refine.curves.readers.read_curve`.
        q_range: 1/Å, of the transform behind a curve in r; None: as the header says.

    Raises:
        InputError: the file cannot be read, or has several columns or curves of which none was chosen.
    """
    file = Path(path)
    table = read_table(file)
    chosen = columns_of(table, columns, block, file)
    stated = re.match(r"(x-?ray)|neutron", table.header.get("radiation", table.header.get("mode", "")), re.IGNORECASE)
    said = None if stated is None else "xray" if stated[1] else "neutron"
    known, notes = radiation or said, list[str]()
    if radiation is not None and said is not None and radiation != said:
        notes.append(f"the header says {said}, and {radiation} was given")
    limits = q_range or q_range_of(table, str(file))
    abscissa = "auto"
    try:
        x = at_points(chosen.x, abscissa, table, file)
    except InputError as error:
        abscissa = "left-edges"
        notes.append(f"{error.what}; taken for left edges, of bins as in the file that it names")
        x = at_points(chosen.x, abscissa, table, file)
    if number_density is not None and not 0.0 < number_density <= 1.0:  # as of a study
        raise InputError(f"{number_density:g} atoms/Å^3 is no density", where="--number-density")
    if known not in (None, *RADIATIONS):
        raise InputError(f"unknown radiation {known!r}", where="--radiation", fix=f"one of {', '.join(RADIATIONS)}")
    if not np.ptp(chosen.y) > 0.0:
        raise InputError(f"y is {chosen.y[0]:g} everywhere: no curve", where=str(file), fix="choose other columns")
    if np.abs(chosen.y).max() > LARGEST:
        raise InputError(f"y as large as {np.abs(chosen.y).max():.3g} is no curve", where=str(file))
    if isotopes and not composition:
        notes.append("isotopes say nothing without --composition")
    weighed: list[tuple[Candidate, float]] = []
    refused: list[InputError | ConversionError] = []
    for (quantity, normalisation), other in itertools.product(_readings(known, bool(composition)), (False, True)):
        if other and _ANGSTROM.search(chosen.x_label):
            continue
        in_q = QUANTITIES[quantity].in_q_space
        ends = (None, None) if in_q else limits
        stretch = (0.1 if in_q else 10.0) if other else 1.0
        power = quantity_of(quantity, normalisation).power_of_length
        try:
            curve = Curve(
                x * stretch,
                chosen.y * stretch ** (power if not in_q else -power),
                None if other else chosen.sigma,
                quantity=quantity,
                normalisation=normalisation,
                radiation=known or "neutron",
                q_min=ends[0],
                q_max=ends[1],
                number_density=number_density,
                composition=dict(composition or {}),
                isotopes=dict(isotopes or {}) if known != "xray" else {},
                name=file.stem,
                source=str(file),
            )
            numbers = evidence_of(curve)
        except (InputError, ConversionError) as error:
            refused.append(error)
            continue
        words, factor = _words(quantity, normalisation, chosen, table, file)
        fit = math.prod(one.likelihood for one in numbers)
        factor *= OTHER_UNIT if other else 1.0
        common = _commonness(quantity, normalisation, known)
        unit = ("1/nm" if in_q else "nm") if other else ""
        one = Candidate(curve, unit, (*words, *numbers), fit, fit * factor, 0.0)
        weighed.append((one, fit * factor * common))
        if (quantity, normalisation, other) == ("F(Q)", "faber-ziman", False):
            notes += _doubts(curve, "a function of Q", refuse_other_abscissa, refuse_self_scattering)
        if (quantity, normalisation, other) == ("F(Q)", "keen", False):
            notes += _doubts(curve, f"{quantity}, {normalisation}", refuse_other_cross_sections)
    total = sum(weight for _, weight in weighed)
    if not weighed or not total > 0.0:
        raise refused[0] if refused else InputError("no reading of its numbers is possible", where=str(file))
    ranked = sorted(weighed, key=lambda pair: -pair[1])
    candidates = tuple(replace(one, share=weight / total) for one, weight in ranked)
    notes += _notes(candidates, known, composition, number_density)
    return Inspection(
        file,
        table.labels,
        table.values.shape[1],
        chosen.x_label,
        chosen.y_label,
        (float(x[0]), float(x[-1]), len(x)),
        table.header,
        limits,
        abscissa,
        known,
        candidates,
        tuple(notes),
    )


def _readings(radiation: str | None, composed: bool) -> Iterator[tuple[str, str]]:
    """Quantity and normalisation, of two names for one thing the commoner."""
    for normalisation in NORMALISATIONS:
        if normalisation != "faber-ziman" and not composed:
            continue
        if normalisation == "<f^2>" and radiation == "neutron":
            continue
        for quantity in QUANTITIES:
            twin = quantity == "D(r)" and normalisation == "faber-ziman"  # of G(r)
            undefined = why_undefined(quantity, normalisation, radiation or "neutron", None)
            if QUANTITIES[quantity].same_as is None and not twin and undefined is None:
                yield quantity, normalisation


def _commonness(quantity: str, normalisation: str, radiation: str | None) -> float:
    """Of a reading, before anything is seen, in units of the commonest."""
    if normalisation != "faber-ziman" and (radiation == "xray" or not QUANTITIES[quantity].in_q_space):
        return RARE
    form = QUANTITIES[quantity]
    return 1.0 if form.times_x == 0 and form.limit is not None else UNCOMMON  # S(Q), F(Q), g(r), G(r)


def _words(quantity: str, normalisation: str, chosen: Chosen, table: Table, file: Path) -> tuple[list[Evidence], float]:
    """What the file says of a reading, and how much likelier that makes it."""
    found, factor = list[Evidence](), 1.0
    in_q = QUANTITIES[quantity].in_q_space
    space = _SUFFIXES.get(file.suffix.lower())
    label = chosen.x_label
    if _IN_R.match(label) or _IN_Q.match(label):
        space = "r" if _IN_R.match(label) else "Q"
        if in_q == (space == "Q"):
            found.append(Evidence(f"the first column is called {label[:20]!r}", 1.0))
    elif space is not None and in_q == (space == "Q"):
        found.append(Evidence(f"{file.suffix} files hold functions of {space}", 1.0))
    if space is not None and in_q != (space == "Q"):
        factor *= OTHER_SUFFIX if file.suffix.lower() in _SUFFIXES else OTHER_SPACE
    texts = [chosen.y_label, table.header.get("quantity", "")]
    if not table.labels:
        texts += table.comments[-3:]
    names = {one.name for one in QUANTITIES.values() for text in texts if one.called and re.search(one.called, text)}
    if "Q[S(Q)-1]" in names:
        names -= {"S(Q)", "F(Q)"}
    pdf = "pdfgetx" in table.header.get("version", "").lower() or file.suffix.lower() == ".fq"
    if pdf and "F(Q)" in names:
        names = names - {"F(Q)"} | {"Q[S(Q)-1]"}  # as the programs of the PDF community call it
    same = names | ({"G(r)"} if "D(r)" in names and normalisation == "faber-ziman" else set())
    said = [name for name, pattern in _NORMALISED.items() if any(pattern.search(text) for text in table.comments)]
    stated = table.header.get("normalisation", said[0] if len(said) == 1 else "")
    if normalisation == stated:
        found.append(Evidence(f"the header speaks of {stated}", 1.0))
        factor *= SAID
    if quantity in same:
        found.append(Evidence(f"the file calls it {next(iter(sorted(names)))}", 1.0))
        factor *= SAID
    return found, factor


def _doubts(curve: Curve, as_what: str, *checks: Callable[[Curve], None]) -> list[str]:
    """What a study would refuse a reading for that is not refused by all: self scattering left in, Q in 1/nm, an angle,
    fm^2 in place of barn."""
    found = []
    for check in checks:
        try:
            check(curve)
        except InputError as error:
            found.append(f"if it is {as_what}: {error.what}; {error.fix}")
    return found


def _notes(
    candidates: Sequence[Candidate],
    radiation: str | None,
    composition: Mapping[str, float] | None,
    number_density: float | None,
) -> list[str]:
    notes = []
    best = max((one.fit for one in candidates), default=0.0)
    if best < FITS:
        notes.append(
            "no reading fits its own limits: counts or an intensity that was not normalised, another unit "
            "(1/nm, 2θ), a column too many, or a curve that was cut too early"
        )
    if not composition:
        notes.append("with --composition, normalisations by scattering lengths and form factors are tried as well")
    if number_density is None:
        notes.append("with --number-density, the slope of D(r) at low r decides more")
    if radiation is None:
        notes.append("with --radiation, the scattering of the elements is that of x-rays or neutrons; here neutrons")
    return notes
