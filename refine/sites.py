"""Species of ASE's atoms: elements, or sites of them, as H:methyl, for which ASE has no word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from refine.formula import element_of

if TYPE_CHECKING:
    from ase import Atoms

ARRAY = "site"
"""Of ASE's atoms: what stands behind the colon, empty where an atom is an element and no more."""


def elements_of_species(species: Sequence[str]) -> list[str]:
    """Of every atom, for ASE."""
    return [element_of(name) for name in species]


def set_species(atoms: Atoms, species: Sequence[str]) -> Atoms:
    """The atoms, their elements and sites made those of species (N,).

    >>> from ase import Atoms
    >>> species_of_atoms(set_species(Atoms("X3"), ["C", "H:methyl", "O"]))
    ['C', 'H:methyl', 'O']
    """
    atoms.set_chemical_symbols(elements_of_species(species))
    sites = [name.partition(":")[2] for name in species]
    atoms.set_array(ARRAY, np.array(sites) if any(sites) else None)
    return atoms


def species_of_atoms(atoms: Atoms) -> list[str]:
    """Of every atom, (N,); the inverse of `set_species`."""
    symbols: list[str] = atoms.get_chemical_symbols()
    if not atoms.has(ARRAY):
        return symbols
    sites = atoms.get_array(ARRAY).tolist()
    return [f"{symbol}:{site}" if site else symbol for symbol, site in zip(symbols, sites, strict=True)]
