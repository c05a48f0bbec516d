"""Chemical formulas as text: elements, amounts, parentheses, and mixtures of components, as in 0.49FeO-0.51SiO2.

Components are separated by `-`, `+`, `*`, a raised dot or a full stop, and each may begin with its amount. A full stop
may as well be a decimal point. It separates components where all that it leaves are compounds whose last element is an
anion, or that end in OH: Na2O.2SiO2 and CaSO4.2H2O are mixtures, Fe0.95O and Li2.5PS4.5Cl1.5 are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

N = TypeVar("N", int, float)

MAX_NESTING = 8
"""Parentheses within parentheses."""

MAX_AMOUNT = 1_000_000
"""Of all atoms of a formula together."""

MAX_LENGTH = 1000
"""Characters of a formula."""

D_IS_HYDROGEN = "write H with isotopes = { H = 2 } in [[data]], or a mixture, { H = { 1 = 0.5, 2 = 0.5 } }"
"""What to do where D is given and an element is asked for: structures and potentials know elements, measurements know
isotopes, as the curves of one series of substitutions are of one system."""

SHARES_ADD_UP = 1e-3
"""How far the shares of the isotopes of an element may be from adding up to one, as rounded numbers are."""

SITE = re.compile(r"[A-Z][a-z]?:[A-Za-z0-9_]{1,20}", re.ASCII)
"""A species that is an element in one of its places, as H:methyl."""

_TOKEN = re.compile(r"([A-Z][a-z]?|\))(\d{1,6}(?:\.\d{0,9})?|\.\d{1,9})?|\(", re.ASCII)
_SEPARATOR = re.compile(r"[-+*·•∙⋅–]")
_COEFFICIENT = re.compile(r"\d{1,6}(?:\.\d{0,9})?|\.\d{1,9}", re.ASCII)
_ELEMENT = re.compile(r"[A-Z][a-z]?", re.ASCII)
_ANIONS = frozenset(("O", "S", "Se", "Te", "F", "Cl", "Br", "I", "N"))


def element_of(species: str) -> str:
    """The element of a species, which is an element, or one in some of its places.

    >>> element_of("H:methyl"), element_of("H")
    ('H', 'H')
    """
    return species.partition(":")[0]


def with_hydrogen(amounts: Mapping[str, N]) -> tuple[dict[str, N], int | dict[int, float] | None]:
    """Amounts by element, D counted as hydrogen, and the isotopes of that hydrogen; None: there is no D.

    D is of mass number 2. Beside H, which is then mass number 1, it is a mixture at random.

    >>> with_hydrogen({"H": 1, "D": 3, "O": 2})
    ({'H': 4, 'O': 2}, {1: 0.25, 2: 0.75})
    """
    if "D" not in amounts:
        return dict(amounts), None
    elements: dict[str, N] = {}
    for name, amount in amounts.items():
        element = "H" if name == "D" else name
        elements[element] = elements[element] + amount if element in elements else amount
    share = amounts["D"] / elements["H"]
    return elements, {1: 1.0 - share, 2: share} if "H" in amounts else 2


def components_of(formula: str) -> list[tuple[float, str]]:
    """How much of each component, and its formula, which has neither; of a formula that is no mixture, the one.

    Raises:
        ValueError: it is no formula.

    >>> components_of("Na2O.2SiO2")
    [(1.0, 'Na2O'), (2.0, 'SiO2')]
    >>> components_of("0.49FeO-0.51SiO2")
    [(0.49, 'FeO'), (0.51, 'SiO2')]
    """
    if len(formula) > MAX_LENGTH:
        raise ValueError("no formula")
    parts: list[str] = []
    for part in _SEPARATOR.split(formula):
        compounds = _split_at_stops(part)
        parts += compounds if all(_is_compound(_amount_first(text)[1]) for text in compounds) else [part]
    found = [_amount_first(part) for part in parts]
    if len(found) > 1 and all(amount == 1.0 and len(_ELEMENT.findall(text)) == 1 for amount, text in found):
        raise ValueError("no formula")  # Si-O is a pair of elements
    return found


def _split_at_stops(part: str) -> list[str]:
    """At every full stop that is not the decimal point of the number that a component begins with."""
    compounds = [""]
    for character in part:
        if character == "." and compounds[-1].strip("0123456789"):
            compounds.append("")
        else:
            compounds[-1] += character
    return compounds


def _amount_first(part: str) -> tuple[float, str]:
    match = _COEFFICIENT.match(part)
    return (float(match[0]), part[match.end() :]) if match else (1.0, part)


def _is_compound(text: str) -> bool:
    """Of two elements or more, the last one an anion or the H of OH, without decimals."""
    try:
        several = len(_amounts(text)) > 1
    except ValueError:
        return False
    last = _ELEMENT.findall(text)[-1]
    return several and "." not in text and (last in _ANIONS or re.search(r"OH(\)\d*)?$", text) is not None)


def amounts_of(formula: str) -> dict[str, float]:
    """The amount of each element in a formula unit, in the order in which they first appear.

    Of a mixture, the sum over its components, each times how much there is of it. Whether the symbols are elements is
    not asked.

    Raises:
        ValueError: it is no formula, or too large a one.

    >>> amounts_of("Ca(NO3)2")
    {'Ca': 1.0, 'N': 2.0, 'O': 6.0}
    >>> amounts_of("Fe0.95O")
    {'Fe': 0.95, 'O': 1.0}
    >>> amounts_of("Na2O.2SiO2")
    {'Na': 2.0, 'O': 5.0, 'Si': 2.0}
    """
    total: dict[str, float] = {}
    for coefficient, component in components_of(formula):
        if coefficient == 0.0:
            raise ValueError("no formula")
        for element, n in _amounts(component).items():
            total[element] = total.get(element, 0.0) + coefficient * n
    if sum(total.values()) > MAX_AMOUNT:
        raise ValueError("no formula")
    return total


SAME_SHARES = 0.01
"""Atomic fractions of one material differ by no more."""


def atoms_in(unit: str, composition: Mapping[str, float]) -> float | None:
    """How many atoms a molecule or formula unit of a material has; None of a formula of another material.

    Args:
        unit: its formula; D is hydrogen.
        composition: any amounts by species; empty where it is not known, and nothing is compared.

    Raises:
        ValueError: it is no formula.

    >>> atoms_in("H2O", {"H:a": 1, "H:b": 1, "O": 1}), atoms_in("D2O", {}), atoms_in("H2O2", {"H": 2, "O": 1})
    (3.0, 3.0, None)
    """
    amounts, _ = with_hydrogen(amounts_of(unit))
    atoms, all_atoms = sum(amounts.values()), sum(composition.values())
    shares: dict[str, float] = {}
    for species, amount in composition.items():
        shares[element_of(species)] = shares.get(element_of(species), 0.0) + amount / all_atoms
    if shares and (
        shares.keys() != amounts.keys() or any(abs(amounts[e] / atoms - shares[e]) > SAME_SHARES for e in amounts)
    ):
        return None
    return atoms


def _amounts(formula: str) -> dict[str, float]:
    groups: list[dict[str, float]] = [{}]
    end = 0
    for token in _TOKEN.finditer(formula):
        if token.start() != end:
            break
        end = token.end()
        if token[0] == "(":
            groups.append({})
            continue
        number = float(token[2] or 1)
        if number == 0.0 or len(groups) > MAX_NESTING or (token[1] == ")" and len(groups) == 1):
            raise ValueError("no formula")
        inner = groups.pop() if token[1] == ")" else {token[1]: 1.0}
        for element, n in inner.items():
            groups[-1][element] = groups[-1].get(element, 0.0) + n * number
    if end != len(formula) or len(groups) != 1 or not groups[0] or sum(groups[0].values()) > MAX_AMOUNT:
        raise ValueError("no formula")
    return groups[0]
