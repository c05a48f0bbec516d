"""Crystals in CIF files: sites that are fully occupied, and all their images under the operations of the space group.

ASE takes the file apart. What it makes of the sites is not used: it takes SI for sulphur, one of two atoms of a mixed
site, and of a group with two origins the first.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.elements import HEAVIEST, Naming, say
from refine.sampling.symmetry import Operations, operations_of
from refine.sites import DEUTERIUM, elements_of_species, set_species

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

MOST_ATOMS = 100_000

SAME_SITE = 1e-3
"""Of the cell's vectors: images of a site that are closer are one."""

NEAR = 0.5
"""Å: images of a site that are closer and not one have been written with too few digits."""

FULL = 1e-3
"""An occupancy that differs from one by less is one."""

_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_NOTHING = (None, ".", "?", "")
_LABEL = re.compile(r"([A-Z][a-z]?)([A-Za-z]?)[^,/]*")
_TYPE = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])|([A-Z][A-Z])(?![A-Za-z])|([a-z]{1,2})(?![A-Za-z])")
_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d*)?|\.\d+)?")


def cif_atoms(text: str, naming: Naming, where: str) -> Atoms:
    """Atoms of the last structure of a CIF.

    Raises:
        InputError: sites that are partly occupied, mixed or no atoms, or that do not say their element; no cell, no
            space group, or one that contradicts the cell or the operations; atoms that are not those of the formula.
    """
    from ase import Atoms
    from ase.geometry import cellpar_to_cell

    block = _block(text, where)
    size = [_number(block.get(f"_cell_{name}"), f"_cell_{name}", where) for name in _CELL]
    cell = np.asarray(cellpar_to_cell(size))
    if not (np.isfinite(cell).all() and min(size) > 0 and np.linalg.det(cell) > 0):
        raise InputError(f"{', '.join(f'{number:g}' for number in size)} (Å and degrees) is no cell", where=where)
    fractional = _coordinates(block, cell, where)
    _refuse_parts(block, len(fractional), where)
    species = _species(block, naming, len(fractional), where)
    operations, more = operations_of(block, cell, where)
    if len(fractional) * len(operations.shifts) > MOST_ATOMS:
        raise InputError(f"{len(operations.shifts)} symmetry operations of {len(fractional)} sites", where=where)
    names = _names(block, len(fractional))
    images = [_images(site, operations, cell, name, where) for name, site in zip(names, fractional, strict=True)]
    _check_named(fractional, images, more, cell, names, where)
    everyone = [name for name, found in zip(species, images, strict=True) for _ in found]
    _check_formula(block, elements_of_species(everyone), where)
    atoms = Atoms(elements_of_species(everyone), scaled_positions=np.concatenate(images), cell=cell, pbc=True)
    return set_species(atoms, everyone)


def _block(text: str, where: str) -> Any:
    from ase.io.cif import parse_cif

    with warnings.catch_warnings(record=True) as doubts:  # of rows that it leaves out
        warnings.simplefilter("always")
        parsed = list(parse_cif(io.StringIO(text)))
    if doubts:
        raise InputError(f"damaged CIF: {str(doubts[0].message)[:100]}", where=where, fix="mend this line")
    blocks = [block for block in parsed if block.get("_atom_site_fract_x") or block.get("_atom_site_cartn_x")]
    if not blocks:
        raise InputError("the CIF has no atom sites", where=where)
    return blocks[-1]


def _column(block: Any, tag: str, count: int) -> list[Any]:
    """Of the sites; None where the file has no such column."""
    found = block.get(f"_atom_site_{tag}")
    if found is None:
        return [None] * count
    return list(found) if isinstance(found, list) else [found]


def _names(block: Any, count: int) -> list[str]:
    """What messages call the sites."""
    labels = _column(block, "label", count)
    return [str(label) if label is not None else f"number {k}" for k, label in enumerate(labels, 1)]


def _number(value: object, what: str, where: str) -> float:
    if isinstance(value, float | int):
        return float(value)
    shown = "missing" if value is None else f"{str(value)[:30]!r} and no number"
    raise InputError(f"{what} is {shown}", where=where, fix="give a decimal number")


def _coordinates(block: Any, cell: Array, where: str) -> Array:
    """(sites, 3) fractional."""
    fractional = block.get("_atom_site_fract_x") is not None
    tags = [f"_atom_site_{'fract' if fractional else 'cartn'}_{axis}" for axis in "xyz"]
    columns = [block.get(tag) for tag in tags]
    names = _names(block, len(columns[0]) if isinstance(columns[0], list) else 1)
    rows = [
        [_number(value, f"{tag} of site {name}", where) for name, value in zip(names, column, strict=True)]
        for tag, column in (
            (tag, c if isinstance(c, list) else [c] * len(names)) for tag, c in zip(tags, columns, strict=True)
        )
    ]
    found = np.array(rows).T
    return found if fractional else found @ np.linalg.inv(cell)


def _refuse_parts(block: Any, count: int, where: str) -> None:
    """InputError for sites of parts of atoms, of which others are alternatives, and that stand for no atom or more."""
    names = _names(block, count)
    mend = "make a supercell with whole atoms, for instance with a program for disordered crystals"

    def refuse(tag: str, is_part: Any, what: str, fix: str) -> None:
        found = [f"{n} {value}" for n, value in zip(names, _column(block, tag, count), strict=True) if is_part(value)]
        if found:
            shown = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
            raise InputError(f"{what} ({shown}){'' if fix != mend else _NOT_SAID}", where=where, fix=fix)

    def partly(value: object) -> bool:
        return value not in _NOTHING and not (isinstance(value, float | int) and abs(value - 1.0) <= FULL)

    refuse("occupancy", partly, "sites are not fully occupied", mend)
    refuse("disorder_group", lambda value: value not in (*_NOTHING, 0), "sites are alternatives of disorder", mend)
    refuse("calc_flag", lambda value: str(value) == "dum", "sites are dummies and no atoms", "take them out")
    refuse(
        "attached_hydrogens",
        lambda value: value not in (*_NOTHING, 0),
        "sites have hydrogens attached that are not listed",
        "list the hydrogens, and write 0",
    )


_NOT_SAID = ": which of them have an atom, the file does not say"


def _species(block: Any, naming: Naming, count: int, where: str) -> list[str]:
    """Of each site, by what the user says of its label, type or element, else by its type, else by its label."""
    labels, types = (
        [None if v in _NOTHING else str(v) for v in _column(block, tag, count)] for tag in ("label", "type_symbol")
    )
    said = [
        naming.given.get(label or "") or naming.given.get(kind or "") for label, kind in zip(labels, types, strict=True)
    ]
    found = [
        "" if known else _of_type(kind, naming, where) if kind else _of_label(label or "", where)
        for known, label, kind in zip(said, labels, types, strict=True)
    ]
    naming.check({text for text in (*labels, *types, *found) if text}, where)
    return [
        known or naming.given.get(element) or (DEUTERIUM if element == "D" else element)
        for known, element in zip(said, found, strict=True)
    ]


def _is_element(symbol: str) -> bool:
    from ase.data import atomic_numbers

    return 0 < atomic_numbers.get(symbol, 0) <= HEAVIEST or symbol == "D"


def _of_type(kind: str, naming: Naming, where: str) -> str:
    """Si of Si, Si4+, si; of capitals where they are no two elements (FE), or the study names one (SI)."""
    if kind in ("2H", "1H"):
        return "D" if kind == "2H" else "H"
    match = _TYPE.match(kind)
    symbol = match[0].capitalize() if match else ""
    if match and _is_element(symbol):
        letters = match[2]
        if not letters or not all(map(_is_element, letters)) or symbol in naming.stated:
            return symbol
    raise InputError(
        f"the atom type {kind[:30]!r} is not one element",
        where=where,
        fix=say(kind, [symbol if _is_element(symbol) else "O"]),
    )


def _of_label(label: str, where: str) -> str:
    """Not of 'SI1', '(Mg,Fe)1' or 'Wat1'."""
    match = _LABEL.fullmatch(label)
    if match and _is_element(match[1]) and not match[2].islower():
        both = match[1] + match[2].lower()
        if len(match[1]) == 2 or both == match[1] or not _is_element(both):
            return match[1]
    raise InputError(
        f"the atom site {label[:30]!r} is not called by one element",
        where=where,
        fix="call sites Mg1, O2, ..., or give them in _atom_site_type_symbol",
    )


def _images(site: Array, operations: Operations, cell: Array, name: str, where: str) -> Array:
    """Of a site, (images, 3) fractional, each once."""
    images = np.einsum("nij,j->ni", operations.rotations, site) + operations.shifts
    kept: list[Array] = []
    for image in images % 1.0:
        off = np.array([image - other for other in kept]).reshape(-1, 3)
        off -= np.round(off)
        if (np.abs(off).max(axis=1, initial=0.0) < SAME_SITE).any():
            continue
        distance = np.linalg.norm(off @ cell, axis=1).min(initial=np.inf)
        if distance < NEAR:
            raise InputError(
                f"the site {name[:30]} at {', '.join(f'{x:g}' for x in site)} is {distance:.2g} Å from its own image",
                where=where,
                fix="give special positions with four digits, as in 0.3333",
            )
        kept.append(image)
    return np.array(kept)


def _check_named(
    sites: Array, images: list[Array], more: list[Operations], cell: Array, names: list[str], where: str
) -> None:
    """InputError where the file lists fewer operations than the group that it names has, and these make other atoms."""
    counts = [len(found) for found in images]
    for operations in more:
        if len(sites) * len(operations.shifts) > MOST_ATOMS:
            continue
        whole = [_images(site, operations, cell, name, where) for name, site in zip(names, sites, strict=True)]
        if [len(found) for found in whole] == counts:
            return
    if more:
        raise InputError(
            f"the operations that the CIF lists make {sum(counts)} atoms, and those of its space group others",
            where=where,
            fix="list all operations of the group, or leave them out and give its name",
        )


def _check_formula(block: Any, elements: list[str], where: str) -> None:
    """InputError where the atoms of the cell are not those of the formula that the file gives."""
    formula = _amounts(str(block.get("_chemical_formula_sum", "")))
    if not formula:
        return
    found = {element: elements.count(element) for element in dict.fromkeys(elements)}
    units = len(elements) / sum(formula.values())
    other = set(found) != set(formula) or any(abs(found[e] / (units * n) - 1) > FULL for e, n in formula.items())
    stated = block.get("_cell_formula_units_z")
    if not other and (not isinstance(stated, float | int) or abs(units / stated - 1) <= FULL):
        return
    atoms = " ".join(f"{element}{n}" for element, n in found.items())
    times = "" if other else f", Z = {stated:g}"
    raise InputError(
        f"the sites make {atoms} in the cell, and the file says {block['_chemical_formula_sum']}{times}",
        where=where,
        fix="list all atoms, hydrogen too, and the operations of this setting, or mend the formula",
    )


def _amounts(formula: str) -> dict[str, float]:
    """Of 'Al2 O3'; empty where it is no such formula. D counts as hydrogen."""
    amounts: dict[str, float] = {}
    for word in formula.split():
        match = _AMOUNT.fullmatch(word)
        if match is None or not _is_element(match[1]):
            return {}
        element = "H" if match[1] == "D" else match[1]
        amounts[element] = amounts.get(element, 0.0) + float(match[2] or 1)
    return amounts if min(amounts.values(), default=0.0) > 0 else {}
