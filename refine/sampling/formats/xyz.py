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
    check_columns(comment, len(rows[0].split()) if rows else 0)
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


def check_columns(header: str, columns: int) -> None:
    """ValueError where a header has more columns than the first row of atoms, for which ASE would make arrays of any
    size, or one of them twice."""
    from ase.io.extxyz import REV_PROPERTY_NAME_MAP, key_val_str_to_dict

    stated = key_val_str_to_dict(header.strip()).get("Properties") if header.strip() else None
    if stated is None:
        return
    words = str(stated).split(":")
    numbers = words[2::3]
    if len(words) % 3 or not all(word.isdecimal() and len(word) < 9 and int(word) for word in numbers):
        raise ValueError(f"Properties is {str(stated)[:60]!r}, not name:type:number of columns, and so on")
    names = [REV_PROPERTY_NAME_MAP.get(name, name) for name in words[::3]]
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise ValueError(f"Properties has {twice[:40]!r} twice")
    if sum(map(int, numbers)) > columns:
        raise ValueError(f"Properties has {sum(map(int, numbers))} columns, and the first atom has {columns}")


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
