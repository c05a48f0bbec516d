"""POSCAR and XDATCAR of VASP: one frame and several, of coordinates that are grouped by element."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

import numpy as np

from refine.sampling.elements import Naming
from refine.sampling.formats.lines import ENDS, floats, take
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_FRAME = "Direct configuration="


def split_xdatcar(stream: TextIO) -> Iterator[str]:
    """The text of each frame. The header of seven lines may be repeated before a frame: the cell has changed."""
    header, atoms = "", 0
    while (line := stream.readline()).strip() or (line and not header):  # the title may be empty
        if _FRAME not in line:
            header = line + take(stream, 5)
            count = take(stream, 1)
            if not all(word.isdecimal() for word in count.split()):
                raise ValueError(f"neither a line '{_FRAME}' nor the header of a frame: {line.strip()[:40]!r}")
            header, atoms = header + count, sum(map(int, count.split()))
            line = take(stream, 1)
            if _FRAME not in line:
                raise ValueError(f"{line.strip()[:40]!r} where a frame begins with '{_FRAME}'")
        yield header + line + take(stream, atoms)


def xdatcar_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of one frame."""
    return _named(text, 5, 6, naming, where, "vasp-xdatcar")


def poscar_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of a POSCAR, also of VASP 4, whose title names the elements.

    Raises:
        EOFError: it has fewer atoms than it says.  ValueError: it has more.
    """
    import ase.io

    lines = text.splitlines()
    named = len(lines) > 6 and not lines[5].strip()[:1].isdecimal()
    at = 6 if named else 5
    counts = [int(word) for word in lines[at].split("!")[0].split()] if len(lines) > at else []
    if not counts:
        raise EOFError(ENDS)
    first = at + 2 + "".join(lines[at + 1 : at + 2]).strip().lower().startswith("s")  # selective dynamics
    rows = lines[first : first + sum(counts)]
    if len(rows) < sum(counts) or not all(map(_is_place, rows)):
        raise EOFError(f"{ENDS}: there are fewer positions than the {sum(counts)} atoms that it counts")
    if _is_place("".join(lines[first + sum(counts) : first + sum(counts) + 1])):
        raise ValueError(f"there are more positions than the {sum(counts)} atoms that it counts")
    if named:
        return _named(text, 5, 6, naming, where, "vasp")
    try:
        atoms = cast("Atoms", ase.io.read(io.StringIO(text), 0, "vasp"))
    except (AttributeError, ase.io.ParseError):  # it looks for a POTCAR
        raise ValueError("no line of elements, and the title does not name them") from None
    return set_species(atoms, naming.elements(atoms.get_chemical_symbols(), where, "vasp"))


def _is_place(line: str) -> bool:
    try:
        floats(line, 3)
    except ValueError:
        return False
    return True


def _named(text: str, names: int, numbers: int, naming: Naming, where: str, kind: str) -> Atoms:
    """names, numbers: lines, counted from 0, of the labels and of how many atoms each has."""
    import ase.io

    lines = text.splitlines()
    labels = [label.partition("/")[0] for label in lines[names].split("!")[0].split()]
    species = naming.elements(labels, where, kind)
    text = "\n".join([*lines[:names], " ".join(elements_of_species(species)), *lines[names + 1 :]]) + "\n"
    atoms = cast("Atoms", ase.io.read(io.StringIO(text), 0, kind))
    counts = [int(word) for word in lines[numbers].split("!")[0].split()]
    return set_species(atoms, np.repeat(species, counts).tolist())
