"""EPSR .ato: molecules by their centres, the atoms relative to them, and which element each label is.

Format: the EPSR user manual (A. K. Soper, RAL-TR-2011-012), "The .ato file". The first line is molecules, edge of a
cubic cell and temperature; of another cell it leaves out the edge, and lines of three lengths and three angles follow.
Of each atom there is a line of its label, one of its position, and restraints, five on a line; of each molecule, a list
of groups that turn. Behind all molecules each label has a line of its element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from refine.sampling.elements import Naming
from refine.sampling.formats.lines import ENDS, floats
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_LABEL = re.compile(r"\s*(\S+)\s+([A-Z][a-z]?)\s+\d+\s*")


def ato_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of a box; a label that the user does not name is the element that the file says."""
    from ase import Atoms

    lines = iter(text.splitlines())
    first = next(lines).split()
    if len(first) not in (2, 3):
        raise ValueError(f"{' '.join(first)[:40]!r} are not molecules, edge of the cell and temperature")
    try:
        cell = np.diag(floats(next(lines), 3)) if len(first) == 2 else np.eye(3) * float(first[1])
        if len(first) == 2 and not np.allclose(floats(next(lines), 3), (90.0, 0.0, 0.0)):
            raise ValueError("a cell that is not rectangular")
        next(lines)  # steps of the moves
        atoms = [atom for _ in range(int(first[0])) for atom in _molecule(lines)]
    except StopIteration:
        raise EOFError(ENDS) from None
    labels = [label for label, _ in atoms]
    said: dict[str, str] = {}
    while len(said) < len({*labels}):
        match = _LABEL.fullmatch(next(lines, ""))
        if match is None or match[1] not in labels:
            break  # of other programs some files end with the molecules
        said[match[1]] = match[2]
        next(lines, "")  # Lennard-Jones parameters, mass and charge
    symbols = Naming({**said, **naming.given}, naming.stated)
    species = symbols.elements(labels, where, "ato")
    return set_species(Atoms(elements_of_species(species), [r for _, r in atoms], cell=cell, pbc=True), species)


def _molecule(lines: Iterator[str]) -> list[tuple[str, list[float]]]:
    """Labels and positions (Å) of a molecule's atoms; the iterator is left behind the molecule."""
    head = next(lines)
    centre = floats(head, 4)[1:]
    atoms = []
    for _ in range(int(head.split()[0])):
        label = next(lines).split()[0]
        offset = floats(next(lines), 3)
        atoms.append((label, [a + b for a, b in zip(centre, offset, strict=True)]))
        words = next(lines).split()
        count = 1 + 2 * int(words[0])
        while len(words) < count:
            words += next(lines).split()
    for _ in range(int(next(lines).split()[0])):
        kind = next(lines).split()[0]
        next(lines)  # the axis
        if kind.startswith("DIH"):
            for _ in range(int(next(lines).split()[0])):
                next(lines)
        words = next(lines).split()
        while len(words) < 1 + int(words[0]):
            words += next(lines).split()
    return atoms
