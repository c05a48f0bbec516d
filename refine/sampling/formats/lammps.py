"""Text dumps of LAMMPS, with elements, type labels or atom types."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from refine.sampling.elements import Naming
from refine.sampling.formats.lines import ENDS, MOST_HEADER, take
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_HEADING = "ITEM: ATOMS"
_ROW = "c_row"
"""Of a column that ASE keeps, as a compute's."""


STEP = "lammps-step"
"""In `Atoms.info`, the number of the step."""


def split_dump(stream: TextIO) -> Iterator[str]:
    """The text of each frame."""
    text, atoms = "", 0
    while line := stream.readline():
        text += line
        if line.startswith("ITEM: NUMBER OF ATOMS"):
            text += (count := take(stream, 1))
            atoms = int(count)
        elif line.startswith(_HEADING):
            yield text + take(stream, atoms)
            text = ""
        elif line.startswith("ITEM: UNITS") and (units := take(stream, 1).strip()) not in ("metal", "real"):
            raise ValueError(f"lengths in {units!r} units; those of metal and real are Å")
        elif len(text) > MOST_HEADER:
            raise ValueError("no line ITEM: ATOMS")
    if text.strip():
        raise EOFError(ENDS)


def label_column(heading: str, first: str, numbered: bool = False) -> int | None:
    """Of the elements, or of the type labels; None: there are none.

    heading, first: the line ITEM: ATOMS, and that of the first atom.  numbered: atom types count as labels.
    """
    names, words = heading.split()[2:], first.split()
    for name in ("element", "typelabel", "type"):
        if name not in names:
            continue
        column = names.index(name)
        if name != "type" or numbered or (column < len(words) and not words[column].isdigit()):
            return column
    return None


def dump_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of one frame; ASE is given elements in the place of labels."""
    import ase.io

    lines = text.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith(_HEADING))
    heading, rows = lines[at], lines[at + 1 :]
    column, species = label_column(heading, rows[0] if rows else "", numbered=bool(naming.given)), list[str]()
    if column is not None:
        words = [row.split() for row in rows]
        species = naming.elements([row[column] for row in words], where, "lammps-dump-text")
        names = heading.split()[2:]
        kept = [k for k, name in enumerate(names) if name not in ("element", "typelabel", "type")]
        head = " ".join([_HEADING, *(names[k] for k in kept), _ROW, "element"])
        symbols = elements_of_species(species)
        body = [" ".join([*(row[k] for k in kept), str(n), symbols[n]]) for n, row in enumerate(words)]
        text = "\n".join([*lines[:at], head, *body]) + "\n"
    atoms = cast("Atoms", ase.io.read(io.StringIO(text), 0, "lammps-dump-text"))
    if species:  # ASE sorts atoms by their numbers
        rows_read = atoms.get_array(_ROW).astype(int).ravel().tolist()
        atoms.set_array(_ROW, None)
        set_species(atoms, [species[row] for row in rows_read])
    if "ITEM: TIMESTEP" in lines[:at]:
        atoms.info[STEP] = int(lines[lines.index("ITEM: TIMESTEP") + 1])
    return atoms
