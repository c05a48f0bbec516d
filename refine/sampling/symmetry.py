"""Space groups of CIF files as lists of operations: those that the file lists, else those of the group it names.

A name says which group it is and often not in which cell. Twenty-four groups have two origins, seven two cells
(hexagonal and rhombohedral); between origins a file must choose, the cell tells which of the others it is. Operations
are checked before they are used: they are a group, they keep the lengths and angles of the cell, and have the
centrings and as many rotations as the name says.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError

if TYPE_CHECKING:
    from ase.spacegroup import Spacegroup

Array = NDArray[np.float64]

OPERATIONS = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz")
"""Tags under which a CIF lists its operations."""

NAMES = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group.name_h-m_full")
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number", "_space_group.it_number")
HALL = ("_symmetry_space_group_name_hall", "_space_group_name_hall", "_space_group.name_hall")
SETTING = "_symmetry_space_group_setting"
"""Tags of the space group's Hermann-Mauguin symbol, its number, its Hall symbol; of a setting, as ASE has it."""

MOST_OPERATIONS = 192

SAME_SHIFT = 2e-3
"""Of the cell's vectors: shifts that differ by less are one, 0.333 and 1/3."""

SAME_METRIC = 0.01
"""Relative: by so much an operation may change a length of the cell, which a file gives rounded."""

_CENTRINGS: dict[str, list[tuple[float, float, float]]] = {
    "P": [(0, 0, 0)],
    "A": [(0, 0, 0), (0, 0.5, 0.5)],
    "B": [(0, 0, 0), (0.5, 0, 0.5)],
    "C": [(0, 0, 0), (0.5, 0.5, 0)],
    "I": [(0, 0, 0), (0.5, 0.5, 0.5)],
    "F": [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
}
_TWO_CELLS = frozenset((146, 148, 155, 160, 161, 166, 167))
"""Numbers of the groups R, whose cell is hexagonal or rhombohedral."""
_FIRST_WITH_TWO_ORIGINS = 48
"""Of lower numbers the second settings of ASE's table are other axes, with other names."""
_OTHER_NAMES = {"Abm2": "Aem2", "Aba2": "Aea2", "Cmca": "Cmce", "Cmma": "Cmme", "Ccca": "Ccce"}
"""Names of before 1992 that the table has as they are now."""
_TERM = re.compile(r"([+-]?)(?:([xyz])|(\d+(?:\.\d*)?|\.\d+)(?:/(\d+))?)")


class Operations(NamedTuple):
    """Rotations (n, 3, 3) and shifts (n, 3), of fractional coordinates."""

    rotations: Array
    shifts: Array


def operations_of(block: Any, cell: Array, where: str) -> tuple[Operations, list[Operations]]:
    """All operations of a CIF's space group; and those of the group that it names, where the file lists fewer.

    The second are of each setting that may be meant. Some files list what their sites need and no more: they are right
    if all operations make the same atoms.

    block: tags and their values, in lower case.  cell: (3, 3) Å, its rows are the lattice vectors.

    Raises:
        InputError: the file does not say which group it is or in which setting, or contradicts itself.
    """
    name = _first(block, NAMES)
    settings = _named(name, _first(block, NUMBERS), block.get(SETTING), cell)
    shown = name or (settings[0].symbol if settings else "given")
    texts = next((found for tag in OPERATIONS if (found := block.get(tag)) is not None), None)
    named = [_all_of(group) for group in settings]
    if texts is not None:
        texts = [texts] if isinstance(texts, str) else list(map(str, texts))
        if len(texts) > MOST_OPERATIONS:
            raise InputError(
                f"{len(texts)} symmetry operations", where=where, fix=f"groups have up to {MOST_OPERATIONS}"
            )
        found = [operation(text, where) for text in texts]
        listed = Operations(np.array([rotation for rotation, _ in found]), np.array([shift for _, shift in found]))
        listed = _with_centrings(_without_twins(listed), name)
        _check_group(listed, name, where)
        more = [group for group in named if len(_rotations(group)) != len(_rotations(listed))]
    elif not named:
        _refuse_unknown(name, _first(block, HALL), where)
    elif len(named) > 1:
        raise InputError(
            f"the space group {shown[:30]!r} has two origins, and the CIF does not say which it has, nor lists "
            "symmetry operations",
            where=where,
            fix=f"list the operations, or write the name as '{settings[0].symbol} :1' or '{settings[0].symbol} :2'",
        )
    else:
        listed, more = named[0], []
    _check_metric(listed, cell, shown, where)
    return listed, more


def _all_of(group: Spacegroup) -> Operations:
    rotations, shifts = zip(*group.get_symop(), strict=True)
    return Operations(np.array(rotations, np.float64), np.array(shifts, np.float64))


def _rotations(operations: Operations) -> Array:
    """Each once."""
    return np.unique(operations.rotations, axis=0)


def _first(block: Any, tags: tuple[str, ...]) -> str | None:
    """What the file says under the first of the tags that it has."""
    said = (str(block.get(tag)).strip() for tag in tags if block.get(tag) is not None)
    return next((text for text in said if text not in ("", "?", ".")), None)


def _named(name: str | None, number: str | None, setting: object, cell: Array) -> list[Spacegroup]:
    """The group of ASE's table by its name, else number: in one setting, in both where it has two origins and none is
    said, or none."""
    from ase.spacegroup import Spacegroup
    from ase.spacegroup.spacegroup import SpacegroupError

    said = {"1": 1, "2": 2}.get(str(setting).strip())
    symbol = name
    if symbol is not None:
        choice = re.fullmatch(r"(.*?)(?:\s*:\s*([12HRSZhrsz])|\s+([HRSZ]))", symbol)
        if choice is not None:
            symbol, letter = choice[1], (choice[2] or choice[3]).upper()
            said = 1 if letter in "1HS" else 2
        symbol = _modern(symbol)
    if symbol is None and (number is None or not number.isdecimal() or not 1 <= int(number) <= 230):
        return []
    try:
        first = Spacegroup(symbol if symbol is not None else int(str(number)), 1)
    except SpacegroupError:
        return []
    if first.no in _TWO_CELLS:
        hexagonal = said == 1 if said is not None else not _rhombohedral(cell)
        return [first if hexagonal else Spacegroup(first.no, 2)]
    try:
        second = Spacegroup(first.no, 2) if first.no >= _FIRST_WITH_TWO_ORIGINS else None
    except SpacegroupError:
        second = None
    if second is None or said == 1:
        return [first]
    return [second] if said == 2 else [first, second]


def _modern(symbol: str) -> str:
    """As in the table: 'F m 3 m' is 'Fm-3m', and 'P 1 21/c 1' 'P21/c'."""
    words = symbol.replace("_", " ").split()
    if len(words) == 4 and words[1] == words[3] == "1" and words[2][0] in "2mcnad-":
        words = [words[0], words[2]]
    compact = "".join(words)
    compact = compact[:1].upper() + compact[1:].lower()
    compact = re.sub(r"^([PFI][mnda])3", r"\1-3", compact)
    return _OTHER_NAMES.get(compact, compact)


def _rhombohedral(cell: Array) -> bool:
    """Whether a = b = c and α = β = γ, rather than the hexagonal a = b and γ = 120°."""
    metric = cell @ cell.T
    across = metric[[0, 0, 1], [1, 2, 2]]
    return bool(np.ptp(metric.diagonal()) + np.ptp(across) < SAME_METRIC * metric.max())


def _refuse_unknown(name: str | None, hall: str | None, where: str) -> None:
    if name is not None:
        raise InputError(
            f"the space group {name[:30]!r} is not known, and the file lists no symmetry operations",
            where=where,
            fix="write the name as in the International Tables, such as 'F m -3 m', or list the operations",
        )
    said = "no space group" if hall is None else f"its space group by the Hall symbol {hall[:30]!r} alone"
    raise InputError(
        f"the CIF gives {said}, and no symmetry operations",
        where=where,
        fix="list the operations, or give _symmetry_space_group_name_H-M, 'P 1' if all atoms of the cell are listed",
    )


def _apart(shifts: Array) -> Array:
    """Of shifts (..., 3) the distance to the nearest lattice point, (...,)."""
    farthest: Array = np.abs(shifts - np.round(shifts)).max(axis=-1)
    return farthest


def _without_twins(listed: Operations) -> Operations:
    kept: list[int] = []
    for k, (rotation, shift) in enumerate(zip(*listed, strict=True)):
        same = (listed.rotations[kept] == rotation).all(axis=(1, 2)) & (
            _apart(listed.shifts[kept] - shift) < SAME_SHIFT
        )
        kept += [] if same.any() else [k]
    return Operations(listed.rotations[kept], listed.shifts[kept])


def _with_centrings(listed: Operations, name: str | None) -> Operations:
    """Some files leave out what the lattice's letter says, and list the operations of one lattice point."""
    pure = (listed.rotations == np.eye(3)).all(axis=(1, 2))
    letters = "" if name is None else name[:1].upper()
    if letters not in _CENTRINGS or pure.sum() > 1:
        return listed
    centrings = np.array(_CENTRINGS[letters], np.float64)
    shifts = (listed.shifts[None] + centrings[:, None]).reshape(-1, 3)
    return _without_twins(Operations(np.tile(listed.rotations, (len(centrings), 1, 1)), shifts))


def _check_group(listed: Operations, name: str | None, where: str) -> None:
    """InputError where operations are missing, or have other centrings than the named group."""
    fix = "list all operations of the group, or leave them out and give its name"
    if not _is_group(listed):
        what = f"the {len(listed.shifts)} symmetry operations are not a group: the product of two of them is missing"
        raise InputError(what, where=where, fix=fix)
    expected = _CENTRINGS.get("" if name is None else name[:1].upper())
    pure = _pure(listed)
    if expected is not None and (len(pure) != len(expected) or not all(_among(np.array(c), pure) for c in expected)):
        shown = "; ".join(", ".join(f"{number:.3g}" for number in shift) for shift in pure)
        what = f"the centrings of the operations are not those of {str(name)[:30]!r}: {shown}"
        raise InputError(what, where=where, fix=fix)


def _pure(listed: Operations) -> Array:
    """Shifts of the operations that do not rotate."""
    shifts: Array = listed.shifts[(listed.rotations == np.eye(3)).all(axis=(1, 2))]
    return shifts


def _among(shift: Array, shifts: Array) -> bool:
    return bool((_apart(shifts - shift) < 2.0 * SAME_SHIFT).any())


def _is_group(listed: Operations) -> bool:
    """Whether the product of any two operations is one of them: of their rotations, and of one shift of each, which the
    others differ from by the centrings."""
    pure = _pure(listed)
    rotations, first, which = np.unique(listed.rotations, axis=0, return_index=True, return_inverse=True)
    shifts, which = listed.shifts[first], which.reshape(-1)
    if len(pure) == 0 or len(listed.shifts) != len(pure) * len(rotations):
        return False
    if not all(_among(shift - shifts[k], pure) for shift, k in zip(listed.shifts, which, strict=True)):
        return False
    if not all(_among(rotation @ shift, pure) for rotation in rotations for shift in pure):
        return False
    numbers = {rotation.tobytes(): k for k, rotation in enumerate(rotations)}
    for rotation, shift in zip(rotations, shifts, strict=True):
        for k, other in enumerate(rotations):
            product = numbers.get((rotation @ other + 0.0).tobytes())
            if product is None or not _among(rotation @ shifts[k] + shift - shifts[product], pure):
                return False
    return True


def _check_metric(listed: Operations, cell: Array, name: str, where: str) -> None:
    """InputError where an operation would change lengths or angles of the cell: it belongs to another cell."""
    metric = cell @ cell.T
    for rotation in np.unique(listed.rotations, axis=0):
        if np.abs(rotation.T @ metric @ rotation - metric).max() > SAME_METRIC * metric.max():
            raise InputError(
                f"the cell does not have the symmetry of its space group ({name[:30]})",
                where=where,
                fix="give the cell, and the operations or the name, of one setting",
            )


def operation(text: str, where: str) -> tuple[Array, Array]:
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
