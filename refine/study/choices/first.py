"""Decisions before any dynamics: some are final, the others are what the first sample is taken with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.study.choices import sampling, splines
from refine.study.choices.choice import Choice
from refine.study.choices.replicas import replicas
from refine.study.choices.timestep import first_timestep, flight
from refine.study.schema import StudyConfig
from refine.system import System

Array = NDArray[np.float64]

SEEN = frozenset({"sampling.timestep", "sampling.equilibration", "sampling.frames", "sampling.stride"})
"""Keys of [sampling] that a sample of the base model decides, together with reequilibration."""

PATH = 0.2
"""Å that atoms of the mean mass fly between frames of the first sample."""

MELT = 120
"""Frames of the first sample that pass before it is looked at: half of a melt is hot."""

LONGEST = 20.0
"""ps of equilibration where nothing is measured, such as in `refine prepare`."""


def open_keys(config: StudyConfig) -> frozenset[str]:
    """Keys, "table.key", that the study leaves to refine.

    >>> from refine.study.schema import Sampling
    >>> sorted(key for key, value in Sampling(timestep=1.0, stride=20).model_dump().items() if value == "auto")
    ['equilibration', 'frames', 'reequilibration', 'replicas']
    """
    tables = {"sampling": config.sampling, "correction": config.correction}
    splines = {"correction": ("r_min", "knots"), "sampling": tuple(type(config.sampling).model_fields)}
    return frozenset(
        f"{name}.{key}" for name, table in tables.items() for key in splines[name] if getattr(table, key) == "auto"
    )


def first_choices(
    config: StudyConfig,
    systems: Sequence[System],
    onsets: Array,
    *,
    q_max: float | None = None,
    cheap: bool = False,
    together: bool = True,
) -> tuple[Choice, ...]:
    """Of the keys that a study leaves open.

    Args:
        config: the study.
        systems: of each of its states.
        onsets: (pairs,) Å, where measured g(r) of corrected pairs begin; inf where none tells.
        q_max: 1/Å, the largest that is fitted.
        cheap: whether the base model is a sum of pair functions.
        together: whether the engine moves replicas side by side.
    """
    opened = open_keys(config)
    if not opened:
        return ()
    hottest, system = max(state.temperature for state in config.states), systems[0]
    masses = dict(zip(system.species, system.masses[np.cumsum(system.n_per_species) - 1].tolist(), strict=True))
    step = _given(config.sampling.timestep) or first_timestep(masses, hottest).value
    apart = flight(float(system.masses.mean()), hottest, PATH)
    strides = max(1, round(apart / step))
    settle = _given(config.sampling.equilibration)
    packed = all(one.positions is None for one in systems)
    r_min = splines.first_r_min(onsets, max(one.number_density for one in systems))
    begin = _given(config.correction.r_min) or r_min.value
    again = sampling.MOST
    found = (
        first_timestep(masses, hottest),
        Choice(
            "sampling.equilibration",
            float(f"{min(LONGEST, 2 * MELT * apart / 1000.0):.3g}"),
            "ps",
            "the usual one for atoms of this speed",
        ),
        sampling.usual_reequilibration(settle)
        if settle is not None
        else Choice("sampling.reequilibration", again, "ps", "the usual one"),
        Choice("sampling.frames", float(sampling.FRAMES[0]), "", "the usual number"),
        Choice("sampling.stride", float(strides), "", f"atoms fly {PATH:g} Å in {apart:.0f} fs"),
        replicas(min(one.n_atoms for one in systems), cheap=cheap, packed=packed, together=together),
        r_min,
        splines.knots(begin, config.correction.r_cut, config.correction.length, q_max),
    )
    return tuple(choice for choice in found if choice.key in opened)


def _given(value: float | str) -> float | None:
    return None if isinstance(value, str) else float(value)
