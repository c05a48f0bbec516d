"""Chemical formulas as text: elements, amounts and parentheses."""

from __future__ import annotations

import re

MAX_NESTING = 8
"""Parentheses within parentheses."""

MAX_AMOUNT = 1_000_000
"""Of all atoms of a formula together."""

D_IS_HYDROGEN = "write H with isotopes = { H = 2 } in [[data]], or a mixture, { H = { 1 = 0.5, 2 = 0.5 } }"
"""What to do where D is given and an element is asked for: structures and potentials know elements, measurements know
isotopes, as the curves of one series of substitutions are of one system."""

SHARES_ADD_UP = 1e-3
"""How far the shares of the isotopes of an element may be from adding up to one, as rounded numbers are."""

_TOKEN = re.compile(r"([A-Z][a-z]?|\))(\d{1,6}(?:\.\d{0,9})?|\.\d{1,9})?|\(", re.ASCII)


def amounts_of(formula: str) -> dict[str, float]:
    """The amount of each element in a formula unit, in the order in which they first appear.

    Whether the symbols are elements is not asked.

    Raises:
        ValueError: it is no formula, or too large a one.

    >>> amounts_of("Ca(NO3)2")
    {'Ca': 1.0, 'N': 2.0, 'O': 6.0}
    >>> amounts_of("Fe0.95O")
    {'Fe': 0.95, 'O': 1.0}
    """
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
