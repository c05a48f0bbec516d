"""Elements of atoms that a file names instead: CA of GROMACS and PDB files is calcium, or a carbon of a protein.

What the user says of a name (`Naming.given`) goes before all rules, and may be a site of an element, "H:methyl". So may
a label that stands alone.

A label that stands alone (XYZ, dumps of LAMMPS, RMCProfile, DL_POLY) is decided in this order, or refused:

1. an element's symbol, also before a charge, a number or a sign: Fe2+, O2-, Fe1, Si_pv; or its English name;
2. D is a site of hydrogen, H:D (`refine.sites.deuterium_in`);
3. of at most three letters, the first or the first two, whichever is an element: OW, HW1; where both are (CA, NA), the
   one that the study names.

Names of atoms in residues, in this order, or refused:

1. ions by the names of CHARMM: SOD is sodium, POT potassium;
2. the elements that the study names: the one of the readings that is among them;
3. a name of which only one reading is an element (OW, HW1, ...);
4. residues: in an amino acid or water the first letter is the element; an atom that is a residue by itself, or whose
   residue is called like it (NA in NA) or like it and its neighbours (SI in SIO), has both letters;
5. in PDB files the columns: an element of one letter begins in the second column of the name. Names of four characters
   fill all columns: only those of hydrogen are clear.

Elements beyond plutonium are no reading unless the study names them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from refine.errors import InputError
from refine.formula import SITE, element_of
from refine.sites import DEUTERIUM

FIRST_LETTER = frozenset(
    (
        *("ALA", "ARG", "ASN", "ASP", "ASX", "CYS", "CYX", "GLN", "GLU", "GLX", "GLY"),
        *("HIS", "HID", "HIE", "HIP", "HSD", "HSE", "HSP", "ILE", "LEU", "LYS", "MET"),
        *("PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "ACE", "NME"),
        *("HOH", "SOL", "WAT", "TIP", "TIP3", "TIP4", "SPC", "SPCE", "H2O", "DOD", "D2O"),
    )
)
"""Residues of proteins and of water, as GROMACS, AMBER and CHARMM call them: elements of one letter."""

IONS = {
    **{"SOD": "Na", "POT": "K", "CES": "Cs", "RUB": "Rb", "CAD": "Cd"},
    **{"LIT": "Li", "BAR": "Ba", "CAL": "Ca", "CLA": "Cl"},
}
"""Names of ions in CHARMM, each a residue by itself."""

HEAVIEST = 94
"""Plutonium."""

NO_ATOMS = frozenset(("VA", "VAC", "SHL"))
"""Labels of vacancies and of the shells of shell models."""

_SYMBOL = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])", re.ASCII)
_LETTERS = re.compile(r"[A-Za-z]+", re.ASCII)
_NAME = re.compile(r"[0-9'\"+*-]*([A-Za-z]{1,2})")
_DEUTERIUM = re.compile(r"[0-9]*DW?[0-9]*")


@dataclass(frozen=True)
class Naming:
    """What is known of the elements of a file before it is read.

    given: the element of a label or name, or a site of it, as the user says, {"OW": "O", "HM": "H:methyl"}.
    stated: elements that the study names; empty: it names none.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    stated: Collection[str] = ()

    @classmethod
    def of(cls, given: Mapping[str, str] | None, species: Collection[str]) -> Naming:
        """species: what the study names, sites of elements among them."""
        return cls(given or {}, {element_of(name) for name in species})

    def elements(self, labels: Sequence[str], where: str, kind: str) -> list[str]:
        """Symbols of atoms, or sites of them, by labels that stand alone.

        Raises:
            InputError: a label that does not say its element, or one in `given` that the file does not have.

        >>> Naming({"CA": "Ca"}).elements(["CA", "Si4+", "O2-", "OW", "D"], "melt.xyz", "extxyz")
        ['Ca', 'Si', 'O', 'O', 'H:D']
        """
        present = dict.fromkeys(labels)
        self.check(present, where)
        found = {label: self.given.get(label) or self._element(label, where, kind) for label in present}
        return [found[label] for label in labels]

    def check(self, present: Collection[str], where: str) -> None:
        """InputError for a label in `given` that the file does not have."""
        for label in self.given:
            if label not in present:
                shown = ", ".join(list(dict.fromkeys(present))[:12])
                raise InputError(f"no atom is labelled {label!r}", where=where, fix=f"the labels are {shown}")

    def _element(self, label: str, where: str, kind: str) -> str:
        from ase.data import atomic_names, atomic_numbers

        if SITE.fullmatch(label) and atomic_numbers.get(element_of(label), 0):
            return label
        symbol = _SYMBOL.match(label)
        if symbol is not None and atomic_numbers.get(symbol[1], 0):
            return symbol[1]
        if label.capitalize() in atomic_names[1:]:
            return str(next(s for s, z in atomic_numbers.items() if z and atomic_names[z] == label.capitalize()))
        letters = _LETTERS.search(label)
        readings = _readings(label, self.stated) if letters is not None and len(letters[0]) <= 3 else []
        if label.upper() in IONS:
            readings = list(dict.fromkeys([*readings, IONS[label.upper()]]))
        among = [reading for reading in readings if element_of(reading) in self.stated]
        if label.upper() not in NO_ATOMS and len(among or readings) == 1:
            return (among or readings)[0]
        said = f"may be {' or '.join(readings)}" if len(readings) > 1 else "does not say which element it is"
        raise InputError(
            f"not readable as {kind}: the label {label[:40]!r} {said}", where=where, fix=say(label, readings or ["O"])
        )


def say(label: str, readings: Sequence[str]) -> str:
    """How a user says the element of a label."""
    name, element = label[:40], readings[-1]
    return f'say it: --elements {name}={element}, or in a study structure_elements = {{ {name} = "{element}" }}'


def elements_of(
    names: Sequence[str],
    residues: Sequence[str],
    numbers: Sequence[int],
    stated: Collection[str],
    where: str,
    columns: Sequence[str] | None = None,
    given: Mapping[str, str] | None = None,
) -> list[str]:
    """Symbols of atoms by their names.

    Args:
        names, residues, numbers: of every atom: its name, and name and number of its residue.
        stated: elements that the study names; empty: it names none.
        where: the file, for errors.
        columns: of a PDB file, the four characters of each name as they stand.
        given: elements that the user says, by name.

    Raises:
        InputError: a name that is no element's, or could be that of two.

    >>> elements_of(["OW", "HW1", "HW2"], ["SOL"] * 3, [1, 1, 1], {"O", "H"}, "water.gro")
    ['O', 'H', 'H']
    """
    alone = _alone(numbers)
    partners: dict[str, set[str]] = {}
    for name, residue in set(zip(names, residues, strict=True)):
        partners.setdefault(residue, set()).update(element_of(one).upper() for one in _readings(name, stated))
    elements: dict[tuple[str, str, bool, str], str] = {}
    symbols = []
    for k, (name, residue) in enumerate(zip(names, residues, strict=True)):
        if given and name.strip() in given:
            symbols.append(given[name.strip()])
            continue
        key = (name, residue, alone[k], "" if columns is None else columns[k])
        if key not in elements:
            elements[key] = _element(*key, partners=partners[residue], stated=stated, where=where)
        symbols.append(elements[key])
    return symbols


def _alone(numbers: Sequence[int]) -> list[bool]:
    """Whether an atom's residue has no other atom; numbers begin anew after 99999, so neighbours decide."""
    total = len(numbers)
    before = [k > 0 and numbers[k] == numbers[k - 1] for k in range(total)]
    return [not before[k] and not (k + 1 < total and before[k + 1]) for k in range(total)]


def _readings(name: str, stated: Collection[str]) -> list[str]:
    """Elements that a name may begin with, that of one letter first."""
    from ase.data import atomic_numbers

    match = _NAME.match(name.strip())
    letters = match[1].capitalize() if match else ""
    readings = [
        symbol
        for symbol in dict.fromkeys((letters[:1], letters))
        if 0 < atomic_numbers.get(symbol, 0) <= HEAVIEST or symbol in stated
    ]
    if _DEUTERIUM.fullmatch(name.strip()):
        readings = [*readings, DEUTERIUM]  # no element of its own
    return readings


def _element(
    name: str,
    residue: str,
    alone: bool,
    columns: str,
    *,
    partners: Collection[str],
    stated: Collection[str],
    where: str,
) -> str:
    """partners: in capitals, the elements that names in residues of this name may be."""
    upper = residue.strip().upper()
    if alone and name.strip().upper() in IONS and upper in (name.strip().upper(), "ION", "IONS"):
        return IONS[name.strip().upper()]
    readings = _readings(name, stated)
    if not readings:
        raise InputError(
            f"atom {name!r} of residue {residue!r} is called like no element",
            where=where,
            fix=f"{say(name, ['O'])}; leave out sites that are no atoms",
        )
    among = [symbol for symbol in readings if element_of(symbol) in stated]
    if len(among) == 1:
        return among[0]
    if len(readings) == 1:
        return readings[0]
    one, two = readings[0], readings[1]
    if upper in FIRST_LETTER:
        return one
    letters = re.sub(r"[^A-Z]", "", upper)
    rest = letters.removeprefix(two.upper())
    if alone or (rest != letters and (not rest or rest in partners)):
        return two
    if columns and len(columns.strip()) < 4:
        return one if columns[0] == " " or columns[0].isdigit() else two
    if columns and one == "H":
        return one
    raise InputError(
        f"atom {name!r} of residue {residue!r} may be {' or '.join(readings)}",
        where=where,
        fix=f"{say(name, readings)}, or give the structure as extended XYZ",
    )
