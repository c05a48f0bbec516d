"""Topologies out of LAMMPS data files, atom_style full.

The file is a stranger's: nothing of it but numbers reaches LAMMPS, for which the topology is written anew with every
box. Coefficients do not belong here but into [model] commands, where they are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.topology import WHERE, Topology

MAX_FILE = 200_000_000
"""Bytes."""

MAX_KINDS = 1000
"""Types of bonds, angles and so on: LAMMPS makes room for as many as the header says."""

MAX_WAYS = 30_000_000
"""Ways along three bonds, of all atoms: more than molecules have, and what a file may make of the memory."""

LINKS = {"Bonds": 2, "Angles": 3, "Dihedrals": 4, "Impropers": 4}
"""Sections, and the atoms of a line."""

LABELS = {f"{kind} Type Labels": kind for kind in ("Atom", "Bond", "Angle", "Dihedral", "Improper")}

PASSED_OVER = ("Velocities",)

SECTION = re.compile(r"[A-Z][A-Za-z]*( [A-Z][A-Za-z]*)*")

COUNTS = re.compile(r"(\d{1,9}) (atoms|bonds|angles|dihedrals|impropers|(?:atom|bond|angle|dihedral|improper) types)")

EXTRA = re.compile(r"\d{1,9} extra [a-z ]+")

Rows = dict[str, list[list[str]]]


def read_topology(path: Path) -> Topology:
    """The topology of a data file, sorted by type and number of atoms. InputError for a file that has none, or in
    which something is missing or contradicts itself."""
    where = f"{WHERE}: {path.name}"
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_FILE:
            raise InputError(f"a file of {size} bytes", where=where, fix="1 byte to 200 MB are read")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", where=where, fix="give it relative to the study"
        ) from None
    try:
        return _read(text, path.name)
    except _Wrong as error:
        raise InputError(
            str(error), where=where, fix="write it with write_data FILE nocoeff, of atom_style full"
        ) from None
    except (ValueError, LookupError, OverflowError):
        raise InputError("a line has other words than a data file of atom_style full", where=where) from None


class _Wrong(Exception):
    """What is wrong, in words."""


def _read(text: str, name: str) -> Topology:
    counts, bounds, tilt, rows = _taken_apart(text)
    for section in ("Masses", "Atoms", "Bonds"):
        if section not in rows:
            raise _Wrong(f"there is no section {section}")
    for section, key in (("Atoms", "atoms"), ("Masses", "atom types"), *((s, s.lower()) for s in LINKS)):
        if len(rows.get(section, ())) != counts.get(key, 0):
            raise _Wrong(f"the header has {counts.get(key, 0)} {key}, and {section} {len(rows.get(section, ()))} lines")
    types = {kind: _numbering(rows.get(f"{kind} Type Labels", [])) for kind in LABELS.values()}
    masses = np.full(counts["atom types"], np.nan)
    for kind, mass in rows["Masses"]:
        masses[types["Atom"](kind) - 1] = float(mass)
    table = [
        (int(number), types["Atom"](kind), float(charge), *map(float, rest[:3]))
        for number, _, kind, charge, *rest in rows["Atoms"]
    ]
    if any(len(row) not in (7, 10) for row in rows["Atoms"]):
        raise _Wrong("an atom has other than 7 columns, or 10 with those of its image")
    table.sort(key=lambda row: (row[1], row[0]))
    index = {row[0]: k for k, row in enumerate(table)}
    if len(index) != len(table):
        raise _Wrong("two atoms have one number")
    _limited("atom", [int(row[1]) for row in table], counts["atom types"])
    links, kinds = {}, []
    for section, atoms in LINKS.items():
        kind = section[:-1]
        found = [
            (types[kind](row[1]), *(index[int(one)] for one in row[2 : 2 + atoms])) for row in rows.get(section, [])
        ]
        if any(len(row) != 2 + atoms for row in rows.get(section, [])) or any(len(set(x[1:])) < atoms for x in found):
            raise _Wrong(f"a line of {section} does not name {atoms} different atoms")
        kinds.append(counts.get(f"{kind.lower()} types", 0))
        if kinds[-1] > MAX_KINDS:
            raise _Wrong(f"the header has {kinds[-1]} {kind.lower()} types, and at most {MAX_KINDS} are read")
        _limited(kind.lower(), [row[0] for row in found], kinds[-1])
        links[section] = np.array(found, np.int64).reshape(-1, 1 + atoms)
    if len(np.unique(np.sort(links["Bonds"][:, 1:], axis=1), axis=0)) < len(links["Bonds"]):
        raise _Wrong("two atoms are bonded twice")
    bonded = np.bincount(links["Bonds"][:, 1:].ravel(), minlength=len(table)).astype(float)
    if 2.0 * (bonded[links["Bonds"][:, 1]] * bonded[links["Bonds"][:, 2]]).sum() + (bonded**2).sum() > MAX_WAYS:
        raise _Wrong(f"an atom has {bonded.max():.0f} bonds, and there are too many pairs that two or three bonds join")
    lo = np.array([bounds[axis][0] for axis in "xyz"])
    lengths = [bounds[axis][1] - bounds[axis][0] for axis in "xyz"]
    cell = np.diag(lengths)
    cell[1, 0], cell[2, 0], cell[2, 1] = tilt
    numbers = np.array([row[2:] for row in table], np.float64)
    if not (
        np.isfinite(numbers).all() and np.isfinite(masses).all() and min(lengths) > 0.0 and np.isfinite(cell).all()
    ):
        raise _Wrong("a number is not finite, or the box has no volume")
    return Topology(
        masses,
        np.array([row[1] for row in table], np.int64),
        numbers[:, 0],
        numbers[:, 1:] - lo,
        cell,
        links["Bonds"],
        links["Angles"],
        links["Dihedrals"],
        links["Impropers"],
        kinds=(kinds[0], kinds[1], kinds[2], kinds[3]),
        name=name,
    )


def _taken_apart(text: str) -> tuple[dict[str, int], dict[str, tuple[float, float]], NDArray[np.float64], Rows]:
    """Numbers of the header, bounds of the box, its tilt, and the words of each section."""
    counts: dict[str, int] = {}
    bounds: dict[str, tuple[float, float]] = {}
    tilt, rows = np.zeros(3), Rows()
    section: str | None = None
    for line in text.splitlines()[1:]:
        data, _, comment = line.partition("#")
        words = data.split()
        joined = " ".join(words)
        if not words:
            continue
        if SECTION.fullmatch(joined):
            section = joined
            if section not in ("Masses", "Atoms", *LINKS, *LABELS, *PASSED_OVER):
                hint = ": coefficients belong into [model] commands" if "Coeffs" in section else ""
                raise _Wrong(f"section {section[:40]!r} is not read{hint}")
            if section in rows:
                raise _Wrong(f"section {section} is there twice")
            if section == "Atoms" and comment.strip() not in ("", "full"):
                raise _Wrong(f"atom_style {comment.strip()[:20]!r} in place of full")
            rows[section] = []
        elif section is not None:
            rows[section].append(words)
        elif matched := COUNTS.fullmatch(joined):
            counts[matched[2]] = int(matched[1])
        elif len(words) == 4 and words[2:] in (["xlo", "xhi"], ["ylo", "yhi"], ["zlo", "zhi"]):
            bounds[words[2][0]] = float(words[0]), float(words[1])
        elif len(words) == 6 and words[3:] == ["xy", "xz", "yz"]:
            tilt = np.array(words[:3], np.float64)
        elif not EXTRA.fullmatch(joined):
            raise _Wrong(f"{joined[:40]!r} is nothing of a header")
    if set(bounds) != set("xyz"):
        raise _Wrong("the box has not three pairs of bounds")
    return counts, bounds, tilt, rows


def _numbering(labels: list[list[str]]) -> Callable[[str], int]:
    """What makes a number of a type, which may be one of the labels."""
    numbers: Mapping[str, int] = {label: int(number) for number, label in labels}
    return lambda word: numbers[word] if word in numbers else int(word)


def _limited(what: str, types: list[int], number: int) -> None:
    if types and not (min(types) >= 1 and max(types) <= number):
        raise _Wrong(f"{what} types run from {min(types)} to {max(types)}, and the header has {number}")
