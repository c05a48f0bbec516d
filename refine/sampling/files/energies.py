"""Energies of frames beside a trajectory: a log of LAMMPS, or a table with names above its columns.

The virial of a frame is W = Σ r·f, without the kinetic part: of a pressure p it is 3 (p V - N k T), and of one that
LAMMPS writes 3 p V - f k T with the f degrees of freedom that it counts. A length that is held has no kinetic
energy, and takes kT off W, so that p V = N k T + W/3 of N atoms all the same.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.lammps.script import FIX, UNITS
from refine.system import System
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]

MAX_BYTES = 200_000_000
"""Of a file that is read as a whole."""

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
"""What a table has them in."""


@dataclass(frozen=True)
class Energies:
    """Potential energy and virial (eV) and kinetic temperature (K) of lines, (n,) each; NaN where there is none.

    steps: (n,) of the lines; None where they have none.  where: the files, for errors.
    """

    steps: NDArray[np.int64] | None
    energy: Array
    virial: Array
    temperature: Array
    where: str

    def __len__(self) -> int:
        return len(self.energy)


def read_energies(paths: Sequence[Path], system: System, temperature: float, held: int = 0) -> Energies:
    """The lines of files, one after the other.

    temperature: K, of the state: where a pressure has no temperature beside it, its kinetic part is of this one.
    held: degrees of freedom that are, as in rigid molecules.
    Raises InputError for what is neither a log of LAMMPS nor a table with names, or has no energies.
    """
    where = ", ".join(map(str, paths))
    read = [_columns_of(path, system, temperature, held) for path in paths]
    names = [name for name in ("step", "energy", "virial", "pressure", "temperature") if all(name in r for r in read)]
    if not {"energy", "virial", "pressure"} & set(names):
        raise InputError(
            "there is no energy and no pressure in it",
            where=where,
            fix="name the columns: step, energy (eV), virial (eV) or pressure (GPa), temperature (K)",
        )
    columns = {name: np.concatenate([one[name] for one in read]) for name in names}
    unknown = np.full(len(columns[names[-1]]), np.nan)
    kelvin = columns.get("temperature", unknown)
    virial = columns.get("virial", unknown)
    if "virial" not in columns and "pressure" in columns:
        kinetic = system.n_atoms * BOLTZMANN * np.where(np.isfinite(kelvin), kelvin, temperature)
        virial = 3.0 * (columns["pressure"] / PRESSURE_UNIT * system.volume - kinetic)
    steps = columns["step"].astype(np.int64) if "step" in columns else None
    return Energies(steps, columns.get("energy", unknown), virial, kelvin, where)


def _columns_of(path: Path, system: System, temperature: float, held: int) -> dict[str, Array]:
    """Columns by the words of `IN_UNITS` and in these units."""
    where = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"a table of {path.stat().st_size / 1e6:.0f} MB", where=where, fix="keep what is needed")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None
    lines = text.splitlines()
    is_log = any(line.split()[:1] == ["Step"] and OF_LAMMPS & set(line.split()) for line in lines)
    columns = _log(lines, system, temperature, held, where) if is_log else _table(lines, where)
    if not all(np.isfinite(values).all() for values in columns.values()):
        raise InputError("a number of it is not finite", where=where)
    return columns


def _log(lines: Sequence[str], system: System, temperature: float, held: int, where: str) -> dict[str, Array]:
    """Of a log of LAMMPS."""
    named = [line.split()[1] for line in lines if re.match(r"\s*units\s+\S+", line)]
    if not named:
        raise InputError(
            "the log does not say its units", where=where, fix="give it whole, with the line units of the input"
        )
    if named[-1] not in UNITS:
        raise InputError(f"its units are {named[-1]!r}", where=where, fix=f"use one of {', '.join(UNITS)}")
    if any(re.match(r"\s*thermo_modify\s.*\bnorm\s+(yes|on|true)\b", line) for line in lines):
        raise InputError("its energies are per atom", where=where, fix="write them with thermo_modify norm no")
    units = UNITS[named[-1]]
    head: list[str] = []
    runs: list[tuple[list[str], array[float]]] = []
    for line in lines:
        words = line.split()
        if words[:1] == ["Step"]:
            head = words
            runs.append((head, array("d")))
        elif words[:1] == ["Loop"]:
            head = []
        elif head and len(words) == len(head) and words[0].isdecimal():
            try:
                runs[-1][1].extend([float(word) for word in words])
            except ValueError:
                continue  # a warning between the lines
    tables = [(names, np.array(values).reshape(-1, len(names))) for names, values in runs if values]
    if not tables:
        raise InputError("the log has no lines of thermo output", where=where)
    shared = [name for name in tables[0][0] if all(name in names for names, _ in tables)]
    every = {name: np.concatenate([rows[:, names.index(name)] for names, rows in tables]) for name in shared}
    columns = {"step": every["Step"]}
    if "PotEng" in every:
        columns["energy"] = every["PotEng"] * units.energy
    if "Temp" in every:
        columns["temperature"] = every["Temp"] * units.boltzmann / BOLTZMANN
    if f"c_{FIX}" in every:
        columns["virial"] = 3.0 * every[f"c_{FIX}"] * units.pressure * system.volume
    elif "Press" in every and "Temp" in every:
        kinetic = (_freedom(lines, system) - held) * units.boltzmann * every["Temp"]
        columns["virial"] = 3.0 * every["Press"] * units.pressure * system.volume - kinetic
    elif "Press" in every:
        columns["pressure"] = every["Press"] * units.pressure * PRESSURE_UNIT
    if held and "virial" in columns:
        columns["virial"] = columns["virial"] - held * BOLTZMANN * columns.get("temperature", temperature)
    return columns


def _freedom(lines: Sequence[str], system: System) -> float:
    """Degrees of freedom that LAMMPS counts, in temperatures and pressures alike."""
    said = [re.match(r"\s*compute_modify\s+thermo_temp\s.*\bextra(?:/dof)?\s+(\d+)", line) for line in lines]
    return 3.0 * system.n_atoms - next((float(one[1]) for one in reversed(said) if one), 3.0)


def _table(lines: Sequence[str], where: str) -> dict[str, Array]:
    """Of a table: a line of names, and below it numbers, with commas or spaces between them."""
    kept = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not kept:
        raise InputError("the file is empty", where=where)
    # the last line without numbers at first is that of the names
    begin = next((k for k, (_, line) in enumerate(kept) if _numbers(line) is not None), len(kept))
    if begin == 0 or begin == len(kept):
        raise InputError(
            "it is no log of LAMMPS, and no table with names above its columns",
            where=where,
            fix="write a first line such as: step, energy [eV], virial [eV], temperature [K]",
        )
    heads = _heads(kept[begin - 1][1])
    rows = []
    for number, line in kept[begin:]:
        values = _numbers(line)
        if values is None or len(values) != len(heads):
            raise InputError(f"should be {len(heads)} numbers", where=f"{where}, line {number}", fix="mend the line")
        rows.append(values)
    columns: dict[str, Array] = {}
    for (name, unit), values in zip(heads, np.array(rows, np.float64).T, strict=True):
        known = NAMES.get(name.lower())
        if known is None:
            continue
        if unit and unit.lower() != IN_UNITS[known].lower():
            raise InputError(f"{name} is in {unit}", where=where, fix=f"write it in {IN_UNITS[known]}")
        columns[known] = values
    return columns


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        return None


def _heads(line: str) -> list[tuple[str, str]]:
    """Names of columns and their units, empty where there are none.

    >>> _heads("# step, energy [eV]")
    [('step', ''), ('energy', 'eV')]
    """
    found = re.findall(r"([^\s,\[\]()#]+)\s*(?:[\[(]\s*([^\])]*?)\s*[\])])?", line)
    return [(name, unit) for name, unit in found]
