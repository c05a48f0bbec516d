"""Kinds of base model, a file each; the study file's `base` is looked up here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from refine.potentials.keys import Model
from refine.tables.choice import Choice

if TYPE_CHECKING:
    from refine.potentials.protocols import Base

FORMER: dict[str, Any] = {
    "parameters": {},
    "r_cut": None,
    "truncation": "switch",
    "charges": {},
    "ions": {},
    "coulomb": None,
    "damping": None,
    "pairs": {},
    "path": None,
    "name": None,
    "head": None,
    "backend": "refine",
}
"""Keys that [model] had with every base until each kind got its own table, see `refine.refinement.rules.FORMER`. It is
closed: keys of new bases do not belong here."""

LATER: dict[str, Any] = {
    **{"charge": 0, "spin": 1, "change": None},
    **{"topology": None, "rigid": "none", "shake": None, "intramolecular": {}},
}
"""Keys of bases that came after run folders were written, at what those were run with: at these values a key is left
out of the digest of a study, so that such runs go on."""

FORM_NAMES = (
    *("lennard-jones", "born-mayer", "born-mayer-huggins", "buckingham", "buckingham-patched", "buckingham-r24"),
    *("buckingham-teter", "morse", "by-pair"),
)
SET_NAMES = tuple(sorted(path.stem for path in (Path(__file__).parent / "classical" / "sets").glob("*.toml")))
"""Published sets of parameters of a form: a file each."""

BASES = Choice(
    "base",
    {
        **dict.fromkeys((*FORM_NAMES, *SET_NAMES), "refine.potentials.classical.base:ClassicalModel"),
        **dict.fromkeys(("stillinger-weber", "tersoff"), "refine.potentials.many_body.base:ManyBodyModel"),
        "mace": "refine.potentials.mace.base:MaceModel",
        "lammps": "refine.potentials.lammps_base:LammpsModel",
        "ase": "refine.potentials.ase:AseModel",
    },
    former=FORMER,
)
"""The table of each base: `Model` with its keys; `kind` is what it means, a `refine.potentials.protocols.Base`."""


def base_of(name: str, dispersion: str = "none") -> Base:
    """The kind of base that `[model] base` and `dispersion` name; KeyError for a name that is none of `BASES`.

    >>> type(base_of("lennard-jones")).__name__, type(base_of("lennard-jones", "d3-bj")).__name__
    ('ClassicalBase', 'Dispersed')
    """
    table = BASES.table(name)
    assert issubclass(table, Model)
    kind = table.kind
    if dispersion == "none":
        return kind
    from refine.potentials.dispersion import Dispersed

    return Dispersed(kind)
