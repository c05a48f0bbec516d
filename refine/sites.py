"""Species of ASE's atoms: elements, or sites of them, as H:methyl, for which ASE has no word."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from refine.formula import element_of

if TYPE_CHECKING:
    from ase import Atoms

DEUTERIUM = "H:D"
"""What atoms are read as that a file calls D."""

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


def deuterium_in(species: Sequence[str], wanted: Collection[str] | None = None) -> tuple[list[str], dict[str, int]]:
    """Species of every atom (N,) of a file, and mass numbers of those whose isotope it says.

    Atoms that a file calls D are hydrogen, of mass number 2; where it has others that it calls H, they are a site, H:D.

    wanted: the species that a system is to have; where H:D is none of them, D is hydrogen of whatever isotope.

    >>> deuterium_in(["H:D", "O"]), deuterium_in(["H:D", "H", "O"])
    ((['H', 'O'], {'H': 2}), (['H:D', 'H', 'O'], {'H:D': 2}))
    >>> deuterium_in(["H:D", "H", "O"], ("O", "H"))
    (['H', 'H', 'O'], {})
    """
    if DEUTERIUM not in species:
        return list(species), {}
    apart = "H" in species if wanted is None else DEUTERIUM in wanted
    if apart:
        return list(species), {DEUTERIUM: 2}
    whole = ["H" if name == DEUTERIUM else name for name in species]
    return whole, {} if "H" in species else {"H": 2}
