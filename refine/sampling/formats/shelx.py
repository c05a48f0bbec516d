"""SHELX .res, as programs of structure prediction write it: all atoms of the cell.

Format: G. M. Sheldrick, Acta Cryst. A 64, 112 (2008). An atom is a line of label, number in SFAC, three fractional
coordinates and, by 10 too much where it is fixed, the occupancy. Symmetry is refused, and is there unless LATT says -1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from refine.errors import InputError
from refine.sampling.elements import Naming
from refine.sampling.formats.lines import floats
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

FULL = 1e-3
"""An occupancy that differs from one by less is one."""

_ATOM = re.compile(r"([A-Za-z]{1,2}\S{0,6})\s+(\d{1,3})((?:\s+[-+.\d]+){3,})\s*")


def res_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of a structure.

    Raises:
        InputError: symmetry, or partly occupied sites.
    """
    from ase import Atoms
    from ase.geometry import cellpar_to_cell

    lines = [line for line in re.sub(r"=[ \t]*\r?\n", " ", text).splitlines() if line.strip()]
    words: dict[str, list[list[str]]] = {}
    for line in lines:
        words.setdefault(line.split()[0].upper(), []).append(line.split()[1:])
    if "CELL" not in words or "SFAC" not in words:
        raise ValueError("no CELL or no SFAC")
    lattice = words.get("LATT", [["1"]])[-1][:1]
    if lattice != ["-1"] or "SYMM" in words:
        raise InputError(
            f"the structure has symmetry (LATT {lattice[0] if lattice else ''}"
            f"{', SYMM' if 'SYMM' in words else ''}): its atoms are one of the cell's asymmetric units",
            where=where,
            fix="write all atoms of the cell, with LATT -1 and no SYMM, or give it as CIF",
        )
    kinds = [kind for row in words["SFAC"] for kind in row]
    behind = next(k for k, line in enumerate(lines) if line.split()[0].upper() == "SFAC")
    found = [match for line in lines[behind + 1 :] if (match := _ATOM.fullmatch(line)) is not None]
    labels, places = [], []
    for match in found:
        if not 1 <= int(match[2]) <= len(kinds):
            raise ValueError(f"atom {match[1]} is of kind {match[2]}, and SFAC names {len(kinds)}")
        numbers = floats(match[3], len(match[3].split()))
        occupancy = numbers[3] if len(numbers) > 3 else 1.0
        if not min(abs(occupancy - 1.0), abs(occupancy - 11.0)) <= FULL:
            raise InputError(
                f"sites are not fully occupied ({match[1]} {occupancy:g})", where=where, fix="give whole atoms"
            )
        labels.append(kinds[int(match[2]) - 1])
        places.append([number - 10.0 if number > 5.0 else number for number in numbers[:3]])
    cell = cellpar_to_cell(floats(" ".join(words["CELL"][-1][1:]), 6))
    species = naming.elements(labels, where, "res")
    atoms = Atoms(elements_of_species(species), scaled_positions=np.array(places).reshape(-1, 3), cell=cell, pbc=True)
    return set_species(atoms, species)
