"""XDATCAR of VASP: frames of fractional coordinates, grouped by element."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

import numpy as np

from refine.sampling.elements import Naming
from refine.sampling.formats.lines import take
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms


def split_xdatcar(stream: TextIO) -> Iterator[str]:
    """The text of each frame. The header of seven lines may be repeated before a frame: the cell has changed."""
    header, atoms = "", 0
    while (line := stream.readline()).strip() or (line and not header):  # the title may be empty
        if "Direct configuration=" not in line:
            header = line + take(stream, 5)
            count = take(stream, 1)
            header, atoms = header + count, sum(map(int, count.split()))
            line = take(stream, 1)
        yield header + line + take(stream, atoms)


def xdatcar_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of one frame."""
    import ase.io

    lines = text.splitlines()
    labels = lines[5].split()
    species = naming.elements(labels, where, "vasp-xdatcar")
    elements = elements_of_species(species)
    if elements != labels:
        text = "\n".join([*lines[:5], " ".join(elements), *lines[6:]]) + "\n"
    atoms = cast("Atoms", ase.io.read(io.StringIO(text), 0, "vasp-xdatcar"))
    return set_species(atoms, np.repeat(species, [int(word) for word in lines[6].split()]).tolist())
