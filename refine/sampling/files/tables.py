"""Lines of numbers that a program wrote of its frames: a log of LAMMPS, or a table with names above its columns.

Files are read twice, line by line: first for what they say of themselves, then for their numbers. So they may be of any
length; a line may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.lammps.script import FIX, UNITS
from refine.system import System
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]

LONGEST = 100_000
"""Characters of a line."""

NAMES = {
    "step": "step",
    **dict.fromkeys(("energy", "potential_energy"), "energy"),
    "virial": "virial",
    "pressure": "pressure",
    **dict.fromkeys(("temperature", "temp"), "temperature"),
}
"""Of the columns of a table, in small letters. Those of LAMMPS are not among them: their units are not known."""

OF_LAMMPS = frozenset(("PotEng", "Press", f"c_{FIX}", "TotEng"))
"""Columns by which the lines of thermo output are known."""

IN_UNITS = {"step": "", "energy": "eV", "virial": "eV", "pressure": "GPa", "temperature": "K"}
"""What a table has them in, and in which order columns are taken."""


@dataclass(frozen=True)
class Table:
    """A file of lines of numbers.

    columns: names as in `IN_UNITS` that it has, and how all of its numbers (n, m) become one of them in these units.
    step: which of the m numbers is that of the step; None: none.
    rows: its lines, from the first one on; InputError where one is broken.
    """

    columns: Mapping[str, Callable[[Array], Array]]
    step: int | None
    rows: Callable[[], Iterator[list[float]]]
    where: str


def table_of(path: Path, system: System, temperature: float, held: int) -> Table:
    """A log of LAMMPS, or a table; arguments as of `refine.sampling.files.energies.read_energies`.

    Raises InputError for what is neither.
    """
    log = _said_by_log(path)
    return _table(path) if log is None else _log(path, log, system, temperature, held)


def _column(k: int) -> Callable[[Array], Array]:
    return lambda rows: rows[:, k]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            number = 0
            while line := stream.readline(LONGEST):
                number += 1
                if len(line) == LONGEST:
                    raise InputError(f"a line of {LONGEST} characters or more", where=f"{path}, line {number}")
                yield number, line.rstrip("\n")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None


# ---- logs of LAMMPS


@dataclass
class _Log:
    """What a log says of itself. units: the last that are named.  freedom: degrees of freedom that are taken off.
    shared: names of the columns that all runs with lines have, in the order of the first; None: there are no lines."""

    is_one: bool = False
    units: str | None = None
    per_atom: bool = False
    extra: float = 3.0
    shared: list[str] | None = None


def _said_by_log(path: Path) -> _Log | None:
    """None: it is none."""
    found, counted = _Log(), -1
    for _, line in _lines(path):
        words = line.split()
        if words[:1] == ["Step"] and OF_LAMMPS & set(words):
            found.is_one = True
        elif words[:1] == ["units"] and len(words) > 1:
            found.units = words[1]
        elif words[:1] == ["thermo_modify"]:
            found.per_atom |= bool(re.search(r"\bnorm\s+(yes|on|true)\b", line))
        elif words[:2] == ["compute_modify", "thermo_temp"]:
            said = re.search(r"\bextra(?:/dof)?\s+(\d+)", line)
            found.extra = float(said[1]) if said else found.extra
    if not found.is_one:
        return None
    for run, names, _ in _thermo(path):
        if run != counted:
            counted = run
            found.shared = list(names) if found.shared is None else [name for name in found.shared if name in names]
    return found


def _thermo(path: Path) -> Iterator[tuple[int, list[str], list[float]]]:
    """Lines of thermo output: number of the run, names of its columns, and numbers."""
    head: list[str] = []
    run = 0
    for _, line in _lines(path):
        words = line.split()
        if words[:1] == ["Step"]:
            head, run = words, run + 1
        elif words[:1] == ["Loop"]:
            head = []
        elif head and len(words) == len(head) and words[0].isdecimal():
            try:
                numbers = [float(word) for word in words]
            except ValueError:
                continue  # a warning between the lines
            yield run, head, numbers


def _log(path: Path, log: _Log, system: System, temperature: float, held: int) -> Table:
    where = str(path)
    if log.units is None:
        raise InputError(
            "the log does not say its units", where=where, fix="give it whole, with the line units of the input"
        )
    if log.units not in UNITS:
        raise InputError(f"its units are {log.units!r}", where=where, fix=f"use one of {', '.join(UNITS)}")
    if log.per_atom:
        raise InputError("its energies are per atom", where=where, fix="write them with thermo_modify norm no")
    if log.shared is None:
        raise InputError("the log has no lines of thermo output", where=where)
    units, freedom = UNITS[log.units], 3.0 * system.n_atoms - log.extra
    kept = [name for name in ("Step", "PotEng", "Temp", "Press", f"c_{FIX}") if name in log.shared]

    def of(name: str) -> Callable[[Array], Array]:
        return _column(kept.index(name))

    def kelvin(rows: Array) -> Array:
        return of("Temp")(rows) * units.boltzmann / BOLTZMANN

    def virial(rows: Array) -> Array:
        if f"c_{FIX}" in kept:
            found = 3.0 * of(f"c_{FIX}")(rows) * units.pressure * system.volume
        else:
            kinetic = (freedom - held) * units.boltzmann * of("Temp")(rows)
            found = 3.0 * of("Press")(rows) * units.pressure * system.volume - kinetic
        return found - held * BOLTZMANN * (kelvin(rows) if "Temp" in kept else temperature)

    def rows() -> Iterator[list[float]]:
        for _, names, numbers in _thermo(path):
            yield [numbers[names.index(name)] for name in kept]

    columns: dict[str, Callable[[Array], Array]] = {"step": of("Step")}
    if "PotEng" in kept:
        columns["energy"] = lambda rows: of("PotEng")(rows) * units.energy
    if "Temp" in kept:
        columns["temperature"] = kelvin
    if f"c_{FIX}" in kept or {"Press", "Temp"} <= set(kept):
        columns["virial"] = virial
    elif "Press" in kept:
        columns["pressure"] = lambda rows: of("Press")(rows) * units.pressure * PRESSURE_UNIT
    return Table(columns, kept.index("Step"), rows, where)


# ---- tables


def _table(path: Path) -> Table:
    """Of a line of names, and below it numbers, with commas or spaces between them."""
    where, names, begin = str(path), "", 0
    for number, line in _lines(path):
        if _numbers(line) is not None:  # the last line without numbers at first is that of the names
            begin = number
            break
        names = line if line.strip() else names
    if not names and not begin:
        raise InputError("the file is empty", where=where)
    if not names or not begin:
        raise InputError(
            "it is no log of LAMMPS, and no table with names above its columns",
            where=where,
            fix="write a first line such as: step, energy [eV], virial [eV], temperature [K]",
        )
    heads = _heads(names)
    columns: dict[str, Callable[[Array], Array]] = {}
    step = None
    for k, (name, unit) in enumerate(heads):
        known = NAMES.get(name.lower())
        if known is None:
            continue
        if unit and unit.lower() != IN_UNITS[known].lower():
            raise InputError(f"{name} is in {unit}", where=where, fix=f"write it in {IN_UNITS[known]}")
        columns[known] = _column(k)
        step = k if known == "step" else step

    def rows() -> Iterator[list[float]]:
        for number, line in _lines(path):
            if number < begin or not line.strip():
                continue
            values = _numbers(line)
            if values is None or len(values) != len(heads):
                raise InputError(
                    f"should be {len(heads)} numbers", where=f"{where}, line {number}", fix="mend the line"
                )
            yield values

    return Table(columns, step, rows, where)


def _numbers(line: str) -> list[float] | None:
    """None: it has something else, or nothing."""
    try:
        return [float(word) for word in line.replace(",", " ").split()] or None
    except ValueError:
        return None


def _heads(line: str) -> list[tuple[str, str]]:
    """Names of columns and their units, empty where there are none.

    >>> _heads("# step, energy [eV]")
    [('step', ''), ('energy', 'eV')]
    """
    found = re.findall(r"([^\s,\[\]()#]+)\s*(?:[\[(]\s*([^\])]*?)\s*[\])])?", line)
    return [(name, unit) for name, unit in found]
