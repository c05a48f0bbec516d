"""PDB files: models that end in ENDMDL, as the standard has it, in END, as CP2K and VMD write them, or in both."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from refine.sampling.elements import Naming, elements_of
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_ATOM, _OF_ALL = ("ATOM", "HETATM"), ("CRYST1", "ORIGX1", "ORIGX2", "ORIGX3")


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
