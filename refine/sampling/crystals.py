"""Crystals in CIF and PDB files: sites with occupancies, space groups, and by the file's own operations, their images.

ASE expands the sites of a CIF by the space group that it knows under the file's name for it. Older files have names
that it does not know ('F m 3 m' for 'F m -3 m'); nearly all of them hold the operations as well, which say the same.
A file without name, number and operations is not taken for P 1 in silence. Of a PDB file nothing is expanded: its group
must be P 1.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refine.errors import InputError
from refine.sites import DEUTERIUM, set_species

if TYPE_CHECKING:
    from ase import Atoms

OPERATIONS = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz")
"""Tags under which a CIF lists its operations."""

NAMES = (
    *("_symmetry_space_group_name_h-m", "_space_group_name_h-m_alt", "_space_group.name_h-m_full"),
    *("_symmetry_int_tables_number", "_space_group_it_number", "_space_group.it_number"),
)
"""Tags of the space group's Hermann-Mauguin symbol or number."""

HALL = ("_symmetry_space_group_name_hall", "_space_group_name_hall", "_space_group.name_hall")

MOST_OPERATIONS, MOST_SITES = 192, 100_000

SAME_SITE = 1e-3
"""Of the cell's vectors: images of a site that are closer are one."""

HEAVY = 1.5
"""amu, above which hydrogen is deuterium."""

FULL = 1e-3
"""An occupancy that differs from one by less is one."""

_LABEL = re.compile(r"([A-Z][a-z]?)([A-Za-z]?)[^,/]*")
_TERM = re.compile(r"([+-]?)(?:([xyz])|(\d+(?:\.\d*)?|\.\d+)(?:/(\d+))?)")


def read_crystal(path: Path) -> Atoms:
    """The last structure of a CIF, all its sites fully occupied.

    Raises:
        InputError: partly occupied or mixed sites, no known space group and no operations, or no crystal at all.
    """
    from ase.io.cif import parse_cif
    from ase.spacegroup.spacegroup import SpacegroupError

    where = str(path)
    with path.open(encoding="utf-8", errors="replace") as stream:
        parsed = list(parse_cif(stream))
    blocks = [block for block in parsed if block.get("_atom_site_fract_x") or block.get("_atom_site_cartn_x")]
    if not blocks:
        raise InputError("the CIF has no atom sites", where=where)
    block = blocks[-1]
    _refuse_occupancies(block, where)
    _refuse_labels(block, where)
    _refuse_no_symmetry(block, where)
    try:
        atoms: Atoms = block.get_atoms(store_tags=False)
    except SpacegroupError:
        atoms = _expanded(block, where)
    return set_species(atoms, _species(atoms))


def _refuse_occupancies(block: Any, where: str) -> None:
    occupancies = block.get("_atom_site_occupancy")
    if occupancies is None:
        return
    labels = block.get("_atom_site_label") or [str(k) for k in range(1, len(occupancies) + 1)]
    partly = [
        f"{label} {occupancy}"
        for label, occupancy in zip(labels, occupancies, strict=True)
        if occupancy not in (".", "?") and (not isinstance(occupancy, float | int) or not abs(occupancy - 1.0) <= FULL)
    ]
    if partly:
        shown = ", ".join(partly[:6]) + (", ..." if len(partly) > 6 else "")
        raise InputError(
            f"sites are not fully occupied ({shown}): which of them have an atom, the file does not say",
            where=where,
            fix="make a supercell with whole atoms, for instance with a program for disordered crystals",
        )


def _refuse_labels(block: Any, where: str) -> None:
    """ASE takes a capital of a label and a small letter behind it: S of 'SI1', Mg of '(Mg,Fe)1', W of 'Wat1'."""
    from ase.data import atomic_numbers

    if block.get("_atom_site_type_symbol") is not None:
        return

    def clear(label: str) -> bool:
        match = _LABEL.fullmatch(label)
        if match is None or (match[1] not in atomic_numbers and match[1] != "D") or match[2].islower():
            return False
        return len(match[1]) == 2 or match[1] + match[2].lower() not in atomic_numbers or not match[2]

    odd = [label for label in map(str, block.get("_atom_site_label") or ()) if not clear(label)]
    if odd:
        raise InputError(
            f"the atom site {odd[0][:30]!r} is not called by one element",
            where=where,
            fix="call sites Mg1, O2, ..., or give them in _atom_site_type_symbol",
        )


def _refuse_no_symmetry(block: Any, where: str) -> None:
    """Without its space group a list of sites may be the whole cell, or the smallest part of it."""
    if any(block.get(tag) not in (None, "?", ".", "") for tag in (*NAMES, *OPERATIONS)):
        return
    hall = next((block.get(tag) for tag in HALL if block.get(tag) is not None), None)
    said = "no space group" if hall is None else f"its space group by the Hall symbol {str(hall)[:30]!r} alone"
    raise InputError(
        f"the CIF gives {said}, and no symmetry operations",
        where=where,
        fix="list the operations, or give _symmetry_space_group_name_H-M, 'P 1' if all atoms of the cell are listed",
    )


def refuse_disorder(path: Path) -> None:
    """InputError for a PDB file whose first model is not all atoms of its cell, each in one place.

    An occupancy of zero is what many programs write where they know of none.
    """
    where = str(path)
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if line.startswith(("ENDMDL", "END ")) or line.rstrip() == "END":
                return
            if line.startswith("CRYST1") and "".join(line[55:66].split()).upper() not in ("", "P1"):
                raise InputError(
                    f"the space group is {line[55:66].strip()!r}: the file may hold one of the cell's asymmetric units",
                    where=where,
                    fix="write all atoms of the cell, and the space group P 1",
                )
            if not line.startswith(("ATOM", "HETATM")):
                continue
            if line[16:17].strip():
                raise InputError(
                    f"line {number}: atom {line[12:16].strip()!r} has alternate locations ({line[16]})",
                    where=where,
                    fix="keep one of them",
                )
            try:
                occupancy = float(line[54:60].strip() or 1.0)
            except ValueError:
                continue
            if abs(occupancy) > FULL and not abs(occupancy - 1.0) <= FULL:
                raise InputError(
                    f"line {number}: atom {line[12:16].strip()!r} has an occupancy of {occupancy:g}: which of "
                    "such sites have an atom, the file does not say",
                    where=where,
                    fix="make a supercell with whole atoms, for instance with a program for disordered crystals",
                )


def _expanded(block: Any, where: str) -> Atoms:
    """All images of the sites under the operations of the file."""
    from ase import Atoms

    texts = next((found for tag in OPERATIONS if (found := block.get(tag)) is not None), None)
    name = block.get("_symmetry_space_group_name_h-m") or block.get("_space_group_name_h-m_alt") or "none"
    if texts is None:
        raise InputError(
            f"the space group {str(name)[:30]!r} is not known, and the file lists no symmetry operations",
            where=where,
            fix="write the name as in the International Tables, such as 'F m -3 m', or list the operations",
        )
    texts = [texts] if isinstance(texts, str) else list(texts)
    sites = block.get_unsymmetrized_structure()
    fractional, symbols = sites.get_scaled_positions(wrap=False), sites.get_chemical_symbols()
    if len(texts) > MOST_OPERATIONS or len(symbols) * len(texts) > MOST_SITES:
        raise InputError(f"{len(texts)} symmetry operations of {len(symbols)} sites", where=where)
    operations = [operation(text, where) for text in texts]
    positions: list[np.ndarray] = []
    elements, masses = list[str](), list[float]()
    for symbol, mass, site in zip(symbols, sites.get_masses(), fractional, strict=True):
        images: list[np.ndarray] = []
        for rotation, shift in operations:
            image = (rotation @ site + shift) % 1.0
            off = np.array([image - other for other in images]).reshape(-1, 3)
            if not np.any(np.abs(off - np.round(off)).max(axis=1, initial=0.0) < SAME_SITE):
                images.append(image)
        positions += images
        elements += [symbol] * len(images)
        masses += [mass] * len(images)
    return Atoms(elements, scaled_positions=np.array(positions), cell=sites.cell, pbc=True, masses=masses)


def _species(atoms: Atoms) -> list[str]:
    """ASE makes D of a CIF hydrogen with the mass of deuterium."""
    pairs = zip(atoms.get_chemical_symbols(), atoms.get_masses(), strict=True)
    return [DEUTERIUM if symbol == "H" and mass > HEAVY else symbol for symbol, mass in pairs]


def operation(text: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and shift (3,) of '1/2+x, -y, z'.

    Raises:
        InputError: not of this form.

    >>> rotation, shift = operation("1/2+x, -y, z", "quartz.cif")
    >>> rotation.diagonal().tolist(), shift.tolist()
    ([1.0, -1.0, 1.0], [0.5, 0.0, 0.0])
    """
    rotation, shift = np.zeros((3, 3)), np.zeros(3)
    rows = re.sub(r"\s+", "", text.lower()).split(",")
    for row, terms in enumerate(rows if len(rows) == 3 else ()):
        at = 0
        while match := _TERM.match(terms, at):
            sign = -1.0 if match[1] == "-" else 1.0
            if match[2]:
                rotation[row, "xyz".index(match[2])] += sign
            elif match[4] is None or int(match[4]):
                shift[row] += sign * float(Fraction(match[3]) / int(match[4] or 1))
            else:
                break
            at = match.end()
        if at != len(terms) or not terms:
            break
    else:
        if len(rows) == 3 and math.isclose(abs(np.linalg.det(rotation)), 1.0, abs_tol=1e-9):
            return rotation, shift
    raise InputError(f"{text[:40]!r} is no symmetry operation", where=where, fix="write them as in 1/2+x,-y,z")
