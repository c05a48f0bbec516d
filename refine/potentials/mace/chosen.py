"""Which weights of a MACE model may change, by name, and a model with some of them changed.

What may change are the arrays of the table in `architecture` but for the isolated atoms, radii and couplings, which
are no weights, and the wave numbers of the Bessel functions, which mace-torch does not train either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.mace.architecture import Checkpoint

Array = NDArray[np.float64]

ALL = "weights"
"""In place of a name: every weight."""

READOUTS = "readouts"
"""The readouts of all layers: of a model with several heads, all that is of one head alone."""

READOUT = re.compile(r"layers\.\d+\.readout(_bias)?\..*")

LEARNT = ", learnt"
"""Behind the name of the model that another one began as."""

FIXED = re.compile(r"energies|covalent_radii|bessel|layers\.\d+\.basis\..*")
"""Arrays that stay as they are."""


def chosen_names(
    checkpoint: Checkpoint, names: Sequence[str], *, where: str, others: Sequence[str] = ()
) -> tuple[str, ...]:
    """The arrays that names stand for, in the order of the model.

    Args:
        checkpoint: the model.
        names: "weights" for all, "readouts" for those of all layers, or arrays and groups of them as they are called in
            `architecture`, such as "layers.1.readout".
        where: the key that has the names.
        others: what else that key may have, for a refusal.

    Raises:
        InputError: the model has no weights of such a name.
    """
    free = [name for name in checkpoint.arrays if not FIXED.fullmatch(name)]
    for wanted in names:
        if not any(_belongs(name, wanted) for name in free):
            groups = dict.fromkeys(re.sub(r"(\.\d+)+$", "", name) for name in free)
            known = ", ".join((*others, ALL, *groups, READOUTS))
            raise InputError(f"the model has no weights '{wanted}'", where=where, fix=f"use {known}")
    return tuple(name for name in free if any(_belongs(name, wanted) for wanted in names))


def moved_heads(checkpoint: Checkpoint, names: Sequence[str], head: str | None) -> tuple[str, ...]:
    """Doubts, in words, where arrays are to change that other heads than one use, too; empty where there are none.

    Readouts have rows and columns for each head, and those of others stay as they are.
    """
    heads = checkpoint.architecture.heads
    others = [one for one in heads if one != head] if len(heads) > 1 else []
    shared = sum(READOUT.fullmatch(name) is None for name in names)
    if not others or not shared:
        return ()
    return (
        f"{shared} of {len(names)} arrays that change are shared by all heads of the model: {', '.join(others)} will "
        f'change with {head}, untested; "{READOUTS}" are weights of this head alone',
    )


def as_filed(checkpoint: Checkpoint, weights: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    """Some of `Checkpoint.weights` as `Checkpoint.arrays` has them, in the precision of the file."""
    return {
        name: (values / checkpoint.factors.get(name, 1.0)).astype(checkpoint.arrays[name].dtype)
        for name, values in weights.items()
    }


def changed(checkpoint: Checkpoint, arrays: Mapping[str, NDArray[Any]]) -> Checkpoint:
    """A model of its own: with some of `Checkpoint.arrays` in place of the former, a hash that follows from both, and a
    name that says so."""
    digest = hashlib.sha256(checkpoint.sha256.encode())
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    origin = checkpoint.origin.removesuffix(LEARNT)[: 255 - len(LEARNT)] + LEARNT
    whole = {**checkpoint.arrays, **arrays}
    return replace(checkpoint, arrays=whole, sha256=digest.hexdigest(), origin=origin)


def _belongs(name: str, wanted: str) -> bool:
    if wanted == READOUTS:
        return READOUT.fullmatch(name) is not None
    return wanted == ALL or name == wanted or name.startswith(f"{wanted}.")
