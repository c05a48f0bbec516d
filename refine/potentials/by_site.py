"""Parameters by species or pair where a system tells sites of an element apart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeVar

from refine.formula import element_of

T = TypeVar("T")


def for_sites(table: Mapping[str, T], species: Sequence[str]) -> dict[str, T]:
    """A table by species or pair, "A" or "A-B", in which an element also stands for all its sites among the species.

    What the table says of a site goes before what it says of the element. Names that are no species stay, for others to
    refuse.

    >>> for_sites({"H-O": 1.0, "H:a-O": 2.0}, ("H:a", "H:b", "O"))
    {'H:a-O': 2.0, 'H:b-O': 1.0}
    """
    if not any(":" in name for name in species):
        return dict(table)
    entries: list[tuple[int, str, T]] = []
    for key, value in table.items():
        parts = key.split("-")
        candidates = [[name for name in species if part in (name, element_of(name))] or [part] for part in parts]
        for chosen in itertools.product(*candidates):
            entries.append((sum(a != b for a, b in zip(chosen, parts, strict=True)), "-".join(chosen), value))
    found: dict[str, T] = {}
    for _, key, value in sorted(entries, key=lambda entry: entry[0]):
        if not {key, "-".join(reversed(key.split("-")))} & found.keys():
            found[key] = value
    return found
