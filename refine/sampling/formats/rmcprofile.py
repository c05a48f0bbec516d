"""RMCProfile .rmc6f: a header, the vectors of the whole configuration, and fractional coordinates.

Format: the RMCProfile 6.7 user manual, "RMC v6f configuration files". An atom is a line of number, label, perhaps a
label of its site in brackets, three coordinates, and what is not read: its site and unit cell, or a spin.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from refine.sampling.elements import Naming
from refine.sampling.formats.lines import ENDS, floats
from refine.sites import elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

_ATOM = re.compile(r"\s*\d+\s+(\S+)\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s+(\S+)(?:\s|$)")

SAME_VOLUME = 1e-3
"""Relative difference of the volumes of the two ways in which a file gives its cell."""


def is_rmc6f(head: str) -> bool:
    """Whether a text begins as such a file does."""
    return "Version 6f format configuration file" in head[:200]


def rmc6f_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of a configuration."""
    from ase import Atoms
    from ase.geometry import cellpar_to_cell

    lines = text.splitlines()
    start = next((k for k, line in enumerate(lines) if line.strip().lower().startswith("atoms")), len(lines))
    header = {line.partition(":")[0].strip().lower(): k for k, line in enumerate(lines[:start]) if ":" in line}

    def at(key: str) -> int | None:
        return next((k for name, k in header.items() if name.startswith(key)), None)

    def value(k: int) -> str:
        return lines[k].partition(":")[2]

    stated, vectors, lengths = at("number of atoms"), at("lattice vectors"), at("cell (")
    cell = None if lengths is None else cellpar_to_cell(floats(value(lengths), 6))
    if vectors is not None:
        rows = np.array([floats(line, 3) for line in lines[vectors + 1 : vectors + 4]])
        if cell is not None and not abs(np.linalg.det(rows) / np.linalg.det(cell) - 1) <= SAME_VOLUME:
            raise ValueError("the lattice vectors and the cell lengths contradict each other")
        cell = rows
    if cell is None:
        raise ValueError("no lattice vectors and no cell")
    atoms = [_ATOM.match(line) for line in lines[start + 1 :] if line.strip()]
    found = [match for match in atoms if match is not None]
    if len(found) < len(atoms):
        raise ValueError(f"the line of atom {atoms.index(None) + 1} is none of number, label and coordinates")
    if stated is not None and int(value(stated)) != len(found):
        raise EOFError(f"{ENDS}: {len(found)} atoms of {value(stated).strip()[:20]}")
    labels = [match[1] for match in found]
    fractional = np.array([[float(match[k]) for k in (2, 3, 4)] for match in found]).reshape(-1, 3)
    species = naming.elements(labels, where, "rmc6f")
    return set_species(Atoms(elements_of_species(species), fractional @ cell, cell=cell, pbc=True), species)
