"""A small system for every classical base, with which it is tested."""

from __future__ import annotations

import re
from typing import Any

from refine.formula import amounts_of
from refine.potentials.classical.sets import SETS, NamedSet
from refine.potentials.keys import Example

SILICA = {"Si": 8, "O": 16}
IONS = {"Si": 2.4, "O": -1.2}
WALL = {"A": {"Si-O": 18003.7572, "O-O": 1388.773}, "rho": {"Si-O": 0.2052, "O-O": 0.3623}}
WELL = WALL | {"C": {"Si-O": 133.5381, "O-O": 175.0}}
CLOSED = {"A": 20453.6, "rho": 0.1917, "C": 93.5, "D": 29.0}
MORSE = {"D": 0.340554, "a": 2.0067, "r0": 2.1, "C": 1.0}

FORM_EXAMPLES = {
    "lennard-jones": Example(
        {"Ar": 12, "Kr": 12},
        {"parameters": {"epsilon": {"Ar": 0.0103, "Kr": 0.014}, "sigma": {"Ar": 3.4, "Kr": 3.65}}},
        apart=3.0,
    ),
    "born-mayer": Example(SILICA, {"parameters": WALL, "charges": IONS}),
    "buckingham": Example(SILICA, {"parameters": WELL, "charges": IONS}),
    "buckingham-patched": Example(SILICA, {"parameters": WELL, "charges": IONS, "coulomb": "dsf", "damping": 0.2}),
    "buckingham-r24": Example(SILICA, {"parameters": CLOSED}),
    "buckingham-teter": Example(
        SILICA, {"parameters": {"A": 13703.0, "rho": 0.194, "C": 55.0, "r0": 1.168}, "charges": IONS, "coulomb": "dsf"}
    ),
    "born-mayer-huggins": Example(
        {"Na": 12, "Cl": 12},
        {
            "parameters": {"A": 0.21, "sigma": {"Na-Na": 2.34, "Na-Cl": 2.755, "Cl-Cl": 3.17}, "rho": 0.317}
            | {"C": {"Na-Na": 1.05, "Na-Cl": 6.99, "Cl-Cl": 72.4}, "D": {"Na-Cl": 8.68, "Cl-Cl": 145.4}},
            "charges": {"Na": 1.0, "Cl": -1.0},
        },
        apart=2.0,
    ),
    "morse": Example(SILICA, {"parameters": MORSE, "charges": IONS, "coulomb": "none"}),
    "by-pair": Example(
        SILICA,
        {
            "pairs": {
                "Si-Si": {"form": "lennard-jones", "epsilon": 0.02, "sigma": 2.3},
                "Si-O": {"form": "morse", **MORSE},
                "O-O": {"form": "buckingham-r24", **CLOSED},
            },
        },
    ),
}
"""Numbers of the size that silica's have; they are no published set."""


def _of_set(named: NamedSet) -> Example:
    """A neutral box of the set's first two cations, or of its first salt: eight of each cation. A set without numbers
    takes those of its form's example."""
    if named.empty:
        parameters: dict[str, Any] = FORM_EXAMPLES[named.form].keys["parameters"]
        return Example(SILICA, {"parameters": parameters, "charges": IONS})
    ions: dict[str, str] = {}
    for ion in named.charges:
        ions.setdefault(re.sub(r"[0-9]*[+-]$", "", ion), ion)
    if named.salts:
        ions = {element: ions[element] for element in amounts_of(next(iter(named.salts)))}
    charges = {element: named.charges[ion] for element, ion in ions.items()}
    cations = [element for element, q in charges.items() if q > 0][:2]
    (anion,) = (element for element, q in charges.items() if q < 0)
    positive = sum(8 * charges[element] for element in cations)
    atoms = dict.fromkeys(cations, 8) | {anion: round(positive / -charges[anion])}
    return Example(atoms, {"ions": {element: ions[element] for element in atoms if ions[element] != element}})


EXAMPLES = FORM_EXAMPLES | {name: _of_set(named) for name, named in SETS.items()}
"""By the name of the base."""
