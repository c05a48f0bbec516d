"""What the header of a labelled frame says beside its labels: weights in the loss, and charge and spin of the box.

Names of weights are those of mace-torch 0.3 (`config_from_atoms` in mace/data/utils.py); "config_" may be left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from refine.errors import InputError

LARGEST = 1e9
"""Weight of a frame."""

NAMES = {
    "weight": ("config_weight",),
    "energy": ("config_energy_weight", "energy_weight"),
    "forces": ("config_forces_weight", "forces_weight"),
    "stress": ("config_stress_weight", "stress_weight", "config_virials_weight", "virials_weight"),
}
"""What the weight of a frame and of each of its labels may be called."""

OTHERS = tuple(
    f"config_{name}_weight"
    for name in ("dipole", "charges", "polarizability", "elec_temp", "total_charge", "total_spin")
)
"""Of what mace-torch learns, too, and nothing here: passed over."""


class FrameWeights(NamedTuple):
    """Of a frame, and of its labels, by which it is multiplied; each 1 where the header says nothing."""

    weight: float = 1.0
    energy: float = 1.0
    forces: float = 1.0
    stress: float = 1.0


def weights_in(info: Mapping[str, Any], where: str) -> FrameWeights:
    """The weights that a header states.

    Raises:
        InputError: a weight that is no number from 0 to `LARGEST`, two that differ, or one that nothing goes by.

    >>> weights_in({"config_weight": 0.5, "config_stress_weight": 0}, "frame 1")
    FrameWeights(weight=0.5, energy=1.0, forces=1.0, stress=0.0)
    """
    known = [name for names in NAMES.values() for name in names]
    for key in info:
        if re.fullmatch(r"config_\w*weight", key) and key not in (*known, *OTHERS):
            raise InputError(f"{key} is no weight that is known", where=where, fix=f"the names are {', '.join(known)}")
    stated = {word: _stated(info, names, where) for word, names in NAMES.items()}
    for word, value in stated.items():
        if value is not None and not 0 <= value <= LARGEST:
            key = next(name for name in NAMES[word] if name in info)
            raise InputError(f"{key} is {value:g}", where=where, fix=f"a weight is a number from 0 to {LARGEST:g}")
    return FrameWeights(**{word: 1.0 if value is None else value for word, value in stated.items()})


def of_box(info: Mapping[str, Any], name: str, where: str) -> float | None:
    """A number that a header states of the box, "charge" or "spin"; "total_charge" and "total_spin", as mace-torch's
    training sets have them, do as well. None: it states nothing.

    Raises:
        InputError: no finite number, or two that differ.
    """
    return _stated(info, (name, f"total_{name}"), where)


def _stated(info: Mapping[str, Any], names: Iterable[str], where: str) -> float | None:
    """The number that is called by any of some names."""
    found = {name: _number(name, info[name], where) for name in names if name in info}
    if len(set(found.values())) > 1:
        said = " and ".join(f"{name} is {value:g}" for name, value in found.items())
        raise InputError(said, where=where, fix="give one of them")
    return next(iter(found.values()), None)


def _number(name: str, value: Any, where: str) -> float:
    value = value.item() if isinstance(value, np.generic) else value
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r:.40}, which is no finite number", where=where) from None
    return number
