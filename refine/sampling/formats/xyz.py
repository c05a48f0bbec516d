"""XYZ and extended XYZ: frames of atoms with a label and a position each."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from refine.sampling.elements import Naming
from refine.sampling.formats.lines import take
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_PROPERTIES = re.compile(r"\bproperties\s*=\s*[\"']?([A-Za-z0-9_:]+)", re.IGNORECASE)


def split_xyz(stream: TextIO) -> Iterator[str]:
    """The text of each frame, to the end of the file; blank lines between frames are passed over."""
    while line := stream.readline():
        if line.strip():
            yield line + take(stream, int(line) + 1)


def xyz_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of one frame, whose labels are made elements before ASE reads it."""
    import ase.io

    count, comment, *rows = text.splitlines()
    species = None
    column = _species_column(comment)
    if column is not None:
        words = [row.split() for row in rows]
        labels = [row[column] for row in words]
        species = naming.elements(labels, where, "extxyz")
        elements = elements_of_species(species)
        if elements != labels:
            for row, element in zip(words, elements, strict=True):
                row[column] = element
            text = "\n".join([count, comment, *map(" ".join, words)]) + "\n"
    atoms = cast("Atoms", ase.io.read(io.StringIO(text), 0, "extxyz"))
    return atoms if species is None else set_species(atoms, species)


def _species_column(comment: str) -> int | None:
    """Of the labels; None where there are atomic numbers instead."""
    properties = _PROPERTIES.search(comment)
    if properties is None:
        return 0
    words = properties[1].split(":")
    column = 0
    for name, number in zip(words[::3], words[2::3], strict=False):
        if name in ("species", "symbols"):
            return column
        column += int(number)
    return None
