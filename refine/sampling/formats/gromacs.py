"""GROMACS .gro, one frame or several: fixed columns, lengths in nm, as many decimals as the file has.

Format: the GROMACS reference manual, "File formats", gro.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import numpy as np

from refine.sampling.elements import Naming, elements_of
from refine.sampling.formats.lines import take
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms


def split_gro(stream: TextIO) -> Iterator[str]:
    """The text of each frame: a title, the number of atoms, so many lines, and the box."""
    while title := stream.readline():
        if not title.strip():  # a title may be empty; lines behind the last frame are no title
            count = stream.readline()
            if not count.strip():
                return
        else:
            count = take(stream, 1)
        yield title + count + take(stream, int(count) + 1)


def gro_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of one frame; elements by the names of atoms and residues."""
    from ase import Atoms

    rows = text.splitlines()[2:]
    atoms, box = rows[:-1], np.array([float(word) for word in rows[-1].split()]) * 10.0
    names = [row[10:15].strip() for row in atoms]
    naming.check(names, where)
    species = elements_of(
        names,
        [row[5:10].strip() for row in atoms],
        [int(row[:5]) for row in atoms],
        naming.stated,
        where,
        given=naming.given,
    )
    if len(box) not in (3, 9):
        raise ValueError(f"a box of {len(box)} numbers")
    cell = np.diag(box[:3])
    if len(box) == 9:  # xx yy zz xy xz yx yz zx zy
        cell.flat[[1, 2, 3, 5, 6, 7]] = box[3:]
    positions = [_position(row) for row in atoms]
    return set_species(Atoms(elements_of_species(species), positions, cell=cell, pbc=bool(cell.any())), species)


def _position(row: str) -> list[float]:
    """Å. A column is as wide as its decimal points are apart: 8 for three decimals, 12 for seven."""
    first = row.find(".", 20)
    width = row.find(".", first + 1) - first
    if first < 0 or width < 6:
        raise ValueError(f"{row[20:44]!r} are not three coordinates")
    return [10.0 * float(row[20 + k * width : 20 + (k + 1) * width]) for k in range(3)]
