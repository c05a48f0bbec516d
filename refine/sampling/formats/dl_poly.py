"""DL_POLY CONFIG (and REVCON), and HISTORY with several frames; lengths in Å, the origin in the middle of the cell.

Formats: the DL_POLY 4 user manual, "The CONFIG file", "The HISTORY file". A HISTORY has its frames with or without the
two lines above all of them. ASE takes CL for carbon and finds frames by the length of the first line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import numpy as np

from refine.sampling.elements import Naming
from refine.sampling.formats.lines import ENDS, floats, take
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_PERIODIC = {0: (False, False, False), 1: (True, True, True), 2: (True, True, True), 3: (True, True, True)}
_PERIODIC[6] = (True, True, False)
"""Directions in which a cell repeats, by imcon; 4, 5 and 7 are no parallelepipeds."""

_HEADER = re.compile(r"[^\n]*\n\s*[0-3]\s+[0-7](?:\s+\d+){0,3}(?:\s+[-+.\dEe]+)?\s*\n\s*(\S+)[^\n]*", re.ASCII)
_TIMESTEP = re.compile(r"(?:[^\n]*\n){0,2}?\s*timestep(?:\s+\d+){4}\b", re.ASCII)


def is_history(head: str) -> bool:
    """Whether a text begins as a HISTORY does."""
    return _TIMESTEP.match(head) is not None


def is_config(head: str) -> bool:
    """Whether a text begins as a CONFIG does: a title, two to six numbers, and the cell or, without one, an atom."""
    found = _HEADER.match(head)
    if found is None or is_history(head):
        return False
    try:
        floats(head.splitlines()[2], 3)
    except ValueError:
        return head.split("\n")[1].split()[1] == "0" and found[1][:1].isalpha()
    return True


def split_history(stream: TextIO) -> Iterator[str]:
    """The text of each frame, from its line `timestep`."""
    above = 0
    while line := stream.readline():
        words = line.split()
        if not words or words[0] != "timestep":
            above += 1
            if above > 2 and words:
                raise ValueError(f"a line that is no timestep: {line.strip()[:40]!r}")
            continue
        above = max(above, 2)
        atoms, level, boundary = (int(word) for word in words[2:5])
        if not 0 <= level <= 2:
            raise ValueError(f"frames of trajectory key {level}; 0, 1 and 2 are read")
        cell = _cell_lines(stream, boundary)
        yield line + cell + take(stream, atoms * (level + 2))


def _cell_lines(stream: TextIO, boundary: int) -> str:
    """Without periodicity some versions leave the cell out."""
    if boundary:
        return take(stream, 3)
    at = stream.tell()
    lines = take(stream, 3)
    try:
        return "".join(lines) if floats(lines, 3) else ""
    except ValueError:
        stream.seek(at)
        return ""


def history_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of one frame of a HISTORY."""
    lines = text.splitlines()
    atoms, level, boundary = (int(word) for word in lines[0].split()[2:5])
    cell = lines[1 : len(lines) - atoms * (level + 2)]
    return _atoms(cell, boundary, lines[len(cell) + 1 :], level, naming, where, "dlp-history")


def config_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of a CONFIG."""
    lines = text.rstrip().splitlines()
    if len(lines) < 2:
        raise EOFError(ENDS)
    level, boundary, *stated = (int(word) for word in lines[1].split()[:3])
    if not 0 <= level <= 2:
        raise ValueError(f"a file of key {level}; 0, 1 and 2 are read")
    cell = lines[2:5] if boundary else []
    rows = lines[2 + len(cell) :]
    number, left = divmod(len(rows), level + 2)
    if left or (stated and 0 < number < stated[0]):
        raise EOFError(ENDS)
    return _atoms(cell, boundary, rows, level, naming, where, "dlp4")


def _atoms(cell: list[str], boundary: int, rows: list[str], level: int, naming: Naming, where: str, kind: str) -> Atoms:
    """rows: of each atom its label, its position, and for levels 1 and 2 its velocity and force."""
    from ase import Atoms

    if boundary not in _PERIODIC:
        raise ValueError(f"a cell of shape imcon = {boundary} is no parallelepiped")
    heads, positions = rows[:: level + 2], rows[1 :: level + 2]
    labels = [(row.split() or [""])[0] for row in heads]
    species = naming.elements(labels, where, kind)
    atoms = Atoms(
        elements_of_species(species),
        np.array([floats(row, 3) for row in positions]).reshape(-1, 3),
        cell=np.array([floats(row, 3) for row in cell]) if cell else None,
        pbc=_PERIODIC[boundary],
    )
    return set_species(atoms, species)
