"""Energies of frames beside a trajectory: a log of LAMMPS, or a table with names above its columns.

The virial of a frame is W = Σ r·f, without the kinetic part: of a pressure p it is 3 (p V - N k T), and of one that
LAMMPS writes 3 p V - f k T with the f degrees of freedom that it counts. A length that is held has no kinetic
energy, and takes kT off W, so that p V = N k T + W/3 of N atoms all the same.

Files are read line by line, and of their lines those are kept that belong to frames: a log of every step takes no more
memory than the trajectory.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.files.tables import IN_UNITS, Table, table_of
from refine.system import System
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Energies:
    """Potential energy and virial (eV) and kinetic temperature (K) of lines, (n,) each; NaN where there is none.

    steps: (n,) of the lines; None where they have none.  lines: that there are, kept or not.  where: the files, for
    errors.
    """

    steps: NDArray[np.int64] | None
    energy: Array
    virial: Array
    temperature: Array
    lines: int
    where: str

    def __len__(self) -> int:
        return len(self.energy)


def read_energies(
    paths: Sequence[Path],
    system: System,
    temperature: float,
    held: int = 0,
    *,
    steps: NDArray[np.int64] | None = None,
    most: int | None = None,
) -> Energies:
    """The lines of files, one after the other.

    Args:
        temperature: K, of the state: where a pressure has no temperature beside it, its kinetic part is of this one.
        held: degrees of freedom that are, as in rigid molecules.
        steps: of the frames, -1 where nobody says: of lines with steps those of other steps are not kept, and of one
            step twice the later line of a file is. None: all are.
        most: lines that are kept where nobody says the steps of frames or lines; None: all.

    Raises:
        InputError: a file is neither a log of LAMMPS nor a table with names, is broken, or has no energies.
    """
    where = ", ".join(map(str, paths))
    tables = [table_of(path, system, temperature, held) for path in paths]
    names = [name for name in IN_UNITS if all(name in table.columns for table in tables)]
    if not {"energy", "virial", "pressure"} & set(names):
        raise InputError(
            "there is no energy and no pressure in it",
            where=where,
            fix="name the columns: step, energy (eV), virial (eV) or pressure (GPa), temperature (K)",
        )
    wanted = None
    if steps is not None and "step" in names and (steps >= 0).all():
        wanted, most = frozenset(map(float, steps.tolist())), None
    lines, read = 0, []
    for table in tables:
        there, kept = _kept(table, wanted, None if most is None else max(0, most - lines))
        lines += there
        read.append({name: table.columns[name](kept) for name in names})
        if not all(np.isfinite(values).all() for values in read[-1].values()):
            raise InputError("a number of it is not finite", where=table.where)
    columns = {name: np.concatenate([one[name] for one in read]) for name in names}
    unknown = np.full(len(columns[names[-1]]), np.nan)
    kelvin = columns.get("temperature", unknown)
    virial = columns.get("virial", unknown)
    if "virial" not in columns and "pressure" in columns:
        kinetic = system.n_atoms * BOLTZMANN * np.where(np.isfinite(kelvin), kelvin, temperature)
        virial = 3.0 * (columns["pressure"] / PRESSURE_UNIT * system.volume - kinetic)
    numbers = columns["step"].astype(np.int64) if "step" in columns else None
    return Energies(numbers, columns.get("energy", unknown), virial, kelvin, lines, where)


def _kept(table: Table, wanted: frozenset[float] | None, most: int | None) -> tuple[int, Array]:
    """How many lines a table has, and the numbers of those that are kept, (n, m)."""
    lines = width = 0
    every, of_step = array("d"), dict[float, list[float]]()
    for row in table.rows():
        lines, width = lines + 1, len(row)
        if wanted is None:
            if most is None or lines <= most:
                every.extend(row)
        elif table.step is not None and row[table.step] in wanted:
            of_step[row[table.step]] = row
    for row in of_step.values():
        every.extend(row)
    return lines, np.array(every, np.float64).reshape(-1, width)
