"""Elements of atoms that a file names instead: CA of GROMACS and PDB files is calcium, or a carbon of a protein.

Decided in this order, or refused:

1. a name of which only one reading is an element (OW, HW1, CL2 where the study has Cl and no C, ...);
2. the elements that the study names: the one of the readings that is among them;
3. residues: in an amino acid the first letter is the element; an atom that is a residue by itself, or whose residue is
   called like it (NA in NA, CL in CLA, SI in SIO), has both letters;
4. in PDB files the columns: an element of one letter begins in the second column of the name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from refine.errors import InputError

AMINO_ACIDS = frozenset(
    (
        *("ALA", "ARG", "ASN", "ASP", "ASX", "CYS", "CYX", "GLN", "GLU", "GLX", "GLY", "HIS", "HID", "HIE", "HIP"),
        *(
            "HSD",
            "HSE",
            "HSP",
            "ILE",
            "LEU",
            "LYS",
            "MET",
            "PHE",
            "PRO",
            "SER",
            "THR",
            "TRP",
            "TYR",
            "VAL",
            "ACE",
            "NME",
        ),
    )
)
"""Residues of proteins, as GROMACS, AMBER and CHARMM call them."""

_NAME = re.compile(r"[0-9'\"+*-]*([A-Za-z]{1,2})")


def elements_of(
    names: Sequence[str],
    residues: Sequence[str],
    numbers: Sequence[int],
    stated: Collection[str],
    where: str,
    columns: Sequence[str] | None = None,
) -> list[str]:
    """Symbols of atoms by their names.

    Args:
        names, residues, numbers: of every atom: its name, and name and number of its residue.
        stated: elements that the study names; empty: it names none.
        where: the file, for errors.
        columns: of a PDB file, the four characters of each name as they stand.

    Raises:
        InputError: a name that is no element's, or could be that of two.
    """
    alone = _alone(numbers)
    known: dict[tuple[str, str, bool, str], str] = {}
    symbols = []
    for k, (name, residue) in enumerate(zip(names, residues, strict=True)):
        key = (name, residue, alone[k], "" if columns is None else columns[k])
        if key not in known:
            known[key] = _element(*key, stated=stated, where=where)
        symbols.append(known[key])
    return symbols


def _alone(numbers: Sequence[int]) -> list[bool]:
    """Whether an atom's residue has no other atom; numbers begin anew after 99999, so neighbours decide."""
    total = len(numbers)
    before = [k > 0 and numbers[k] == numbers[k - 1] for k in range(total)]
    return [not before[k] and not (k + 1 < total and before[k + 1]) for k in range(total)]


def _element(name: str, residue: str, alone: bool, columns: str, *, stated: Collection[str], where: str) -> str:
    from ase.data import atomic_numbers

    match = _NAME.match(name.strip())
    letters = match[1].capitalize() if match else ""
    readings = [symbol for symbol in dict.fromkeys((letters[:1], letters)) if atomic_numbers.get(symbol, 0) > 0]
    if letters[:1] == "D":
        readings = [*readings, "H"]  # deuterium is no element of its own
    if not readings:
        raise InputError(
            f"atom {name!r} of residue {residue!r} is called like no element",
            where=where,
            fix="give the structure as extended XYZ, which has elements",
        )
    among = [symbol for symbol in readings if symbol in stated]
    if len(among) == 1:
        return among[0]
    if len(readings) == 1:
        return readings[0]
    one, two = readings[0], readings[1]
    upper = residue.strip().upper()
    if upper in AMINO_ACIDS:
        return one
    if alone or upper.startswith(two.upper()):
        return two
    if columns:
        return one if columns[0] == " " or columns[0].isdigit() else two
    raise InputError(
        f"atom {name!r} of residue {residue!r} may be {' or '.join(readings)}",
        where=where,
        fix="give the structure as extended XYZ, or name the element in the study, as in charges = { ... }",
    )
