"""Copies of a box that is small: each begins in a packing of its own, so that together they are a larger sample."""

from __future__ import annotations

import math

from refine.study.choices.choice import Choice

KEY = "sampling.replicas"

SMALL, TOGETHER, MOST = 300, 600, 4
"""Atoms below which a box is small; atoms that its copies have together; copies at most. A step of an atom in copies
costs 2.2 to 2.8 times what it costs in a single box (99 and 192 ions with an Ewald sum, one thread), and each copy has
to be equilibrated: they are for what a small box does slowly, and no cheaper way to as many frames."""


def replicas(atoms: int, *, cheap: bool, packed: bool, together: bool = True) -> Choice:
    """How many copies.

    Args:
        atoms: in the box.
        cheap: whether the base model is a sum of pair functions: each copy has to be equilibrated.
        packed: whether starts are random packings; copies of one structure know of each other.
        together: whether the engine moves them side by side.

    >>> replicas(99, cheap=True, packed=True).value, replicas(600, cheap=True, packed=True).value
    (4.0, 1.0)
    """
    if atoms >= SMALL:
        return Choice(KEY, 1.0, "", f"{atoms} atoms are no small box")
    if not packed:
        return Choice(KEY, 1.0, "", "all would begin with the same structure")
    if not cheap:
        return Choice(KEY, 1.0, "", "each would have to be equilibrated, and forces are costly")
    if not together:
        return Choice(KEY, 1.0, "", "each would have to be equilibrated, and this engine moves one after the other")
    number = min(MOST, math.ceil(TOGETHER / atoms))
    return Choice(
        KEY, float(number), "", f"of {atoms} atoms each, {number * atoms} together, from independent packings"
    )
