"""Where the splines of the correction begin and end, and how fine they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.study.choices.choice import Choice
from refine.study.schema import StudyConfig
from refine.system import System

Array = NDArray[np.float64]

BELOW, STEP, LEAST = 0.5, 0.1, 0.3
"""Å: r_min is so much below the innermost pairs seen so far (later frames, and a corrected model, come nearer), rounded
down to a multiple of the step, and not smaller than the last."""

UNSEEN = 0.35
"""In number_density^(-1/3): r_min before anything was sampled or measured."""

FINEST, COARSEST = 0.3, 0.4
"""Spacing of knots in units of the prior's length: it lets phi change over its length and no faster."""


def first_r_min(onsets: Array, number_density: float) -> Choice:
    """Before any sample.  onsets: (pairs,) Å of measured g(r), inf where none is.  number_density: atoms/Å^3."""
    guess = UNSEEN * number_density ** (-1.0 / 3.0)
    low = min(guess, float(np.min(onsets)) - BELOW)
    return Choice("correction.r_min", _down(low), "Å", "below all pairs that are likely at this density")


def r_min(nearest: Array, onsets: Array) -> Choice:
    """From a sample of the base model.

    Args:
        nearest: (pairs,) Å, innermost distances of corrected pairs; inf where there was none.
        onsets: (pairs,) Å, where the measured g(r) of each begins; inf where none tells.

    >>> r_min(np.array([2.83, 3.9]), np.array([3.0, 2.72])).value
    2.2
    """
    sampled, measured = float(np.min(nearest)), float(np.min(onsets))
    reason = f"the innermost pairs of the base model are {sampled:.2f} Å apart"
    if measured < sampled:
        reason = f"the measured g(r) begins at {measured:.2f} Å, and the base model's at {sampled:.2f} Å"
    return Choice("correction.r_min", _down(min(sampled, measured) - BELOW), "Å", reason)


def r_cut(config: StudyConfig, systems: Sequence[System]) -> Choice | None:
    """Half of the smallest box, where the usual cutoff is beyond it; None where it is not, or the study gives one."""
    usual, smallest = config.correction.r_cut, min(systems, key=lambda system: system.r_box)
    if "r_cut" in config.correction.model_fields_set or usual <= smallest.r_box:
        return None
    reason = f"half of the box of {smallest.n_atoms} atoms; {usual:g} Å where there is room"
    follows = getattr(config.model, "r_cut", usual) is None  # of a classical base
    if follows:
        reason += ". The base model ends there, too: give [model] r_cut if it has one of its own"
    return Choice("correction.r_cut", _down(smallest.r_box), "Å", reason, doubted=follows)


def knots(r_min: float, r_cut: float, length: float, q_max: float | None) -> Choice:
    """Coefficients for each pair: a spacing of pi/Q_max, between `FINEST` and `COARSEST` of the prior's length (Å).

    Args:
        r_min, r_cut: Å, where the splines begin and end.
        length: Å, correlation length of the prior.
        q_max: 1/Å, the largest that is fitted; None: nothing says.

    >>> knots(2.8, 8.4, 0.5, 30.0).value, knots(2.8, 8.4, 0.5, None).value
    (38.0, 28.0)
    """
    resolved = math.inf if q_max is None else math.pi / q_max
    spacing = min(max(resolved, FINEST * length), COARSEST * length)
    reason = f"{spacing:.2f} Å apart: the prior's length is {length:g} Å"
    if resolved < math.inf:
        reason += f", and Q to {q_max:.3g} 1/Å resolves {resolved:.2f} Å"
    number = min(max(4, math.ceil((r_cut - r_min) / spacing - 1e-9)), 512)
    return Choice("correction.knots", float(number), "", reason)


def _down(r: float) -> float:
    return round(max(LEAST, STEP * math.floor(r / STEP + 1e-9)), 10)
