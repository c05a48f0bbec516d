"""PDB files: models that end in ENDMDL, as the standard has it, in END, as CP2K and VMD write them, or in both."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from refine.errors import InputError
from refine.sampling.elements import Naming, elements_of
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_ATOM, _OF_ALL = ("ATOM", "HETATM"), ("CRYST1", "ORIGX1", "ORIGX2", "ORIGX3")


FULL = 1e-3
"""An occupancy that differs from one by less is one."""


def split_pdb(stream: TextIO) -> Iterator[str]:
    """The text of each model, with the cell, which may stand once above all of them. No atoms are no model."""
    header: dict[str, str] = {}
    atoms: list[str] = []
    for line in stream:
        if line.startswith(_ATOM):
            atoms.append(line)
        elif line.startswith(_OF_ALL):
            header[line[:6]] = line
        elif line.startswith(("ENDMDL", "END ")) or line.rstrip() == "END":
            if atoms:
                yield "".join([*header.values(), *atoms])
            atoms = []
    if atoms:
        yield "".join([*header.values(), *atoms])


def pdb_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of one model: elements by columns 77 and 78 where all atoms have them, else by their names."""
    import ase.io

    lines = text.splitlines()
    rows = [line for line in lines if line.startswith(_ATOM)]
    names, columns = [row[12:16].strip() for row in rows], [row[76:78].strip() for row in rows]
    if all(column.isalpha() for column in columns):
        naming.check({*names, *columns}, where)
        symbols = [column.capitalize() for column in columns]
        elements = Naming().elements(symbols, where, "proteindatabank")
        given = naming.given
        rows_of = zip(names, columns, elements, strict=True)
        elements = [given.get(name) or given.get(column) or element for name, column, element in rows_of]
    else:
        naming.check(names, where)
        numbers = [int((row[22:26].split() or ["1"])[0]) for row in rows]
        residues = [row[17:21].strip() for row in rows]
        shown = [row[12:16] for row in rows]
        elements = elements_of(names, residues, numbers, naming.stated, where, shown, naming.given)
    symbols = elements_of_species(elements)
    marked = [f"{row[:76]:76}{symbol:>2}" for row, symbol in zip(rows, symbols, strict=True)]
    header = [line for line in lines if line.startswith(_OF_ALL)]
    text = "\n".join([*header, *marked, "END"]) + "\n"
    return set_species(cast("Atoms", ase.io.read(io.StringIO(text), 0, "proteindatabank")), elements)


def refuse_disorder(path: Path) -> None:
    """InputError for a PDB file whose first model is not all atoms of its cell, each in one place.

    An occupancy of zero is what many programs write where they know of none.
    """
    where = str(path)
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if line.startswith(("ENDMDL", "END ")) or line.rstrip() == "END":
                return
            if line.startswith("CRYST1") and "".join(line[55:66].split()).upper() not in ("", "P1"):
                raise InputError(
                    f"the space group is {line[55:66].strip()!r}: the file may hold one of the cell's asymmetric units",
                    where=where,
                    fix="write all atoms of the cell, and the space group P 1",
                )
            if not line.startswith(("ATOM", "HETATM")):
                continue
            if line[16:17].strip():
                raise InputError(
                    f"line {number}: atom {line[12:16].strip()!r} has alternate locations ({line[16]})",
                    where=where,
                    fix="keep one of them",
                )
            try:
                occupancy = float(line[54:60].strip() or 1.0)
            except ValueError:
                continue
            if abs(occupancy) > FULL and not abs(occupancy - 1.0) <= FULL:
                raise InputError(
                    f"line {number}: atom {line[12:16].strip()!r} has an occupancy of {occupancy:g}: which of "
                    "such sites have an atom, the file does not say",
                    where=where,
                    fix="make a supercell with whole atoms, for instance with a program for disordered crystals",
                )
