"""What is no sample of the study's material: another composition or density, particles and slabs."""

from __future__ import annotations

import numpy as np

from refine.errors import InputError
from refine.sampling.periodic import distances_to_atoms
from refine.sampling.structure_files import DENSITY_TOLERANCE
from refine.sampling.trajectories import CountedTrajectory
from refine.study.schema import StudyConfig

FRACTION_TOLERANCE = 0.005
"""Difference of an atomic fraction beyond which trajectory and study are of two materials."""

LARGEST_RESCALING = 0.03
"""Of lengths: more is another density, and not an inaccurate one."""

HOLLOW_SPACINGS, HOLLOW_SHARE, GAP_SPACINGS = 1.6, 0.05, 1.2
"""A box is hollow when more than this share of it is farther from every atom than so many density^(-1/3) of the study:
in an ideal gas of that density a share exp(-4 pi 1.6^3/3) = 4e-8 is. It is, too, when a whole plane of the lattice is
farther than the last number of them, at the smaller density; that is a gap of twice as much. A framework with wide
pores has no such plane."""


def check_composition(counted: CountedTrajectory, fractions: dict[str, float], where: str) -> None:
    """InputError for a trajectory of another composition; fractions: atomic ones of the study."""
    composition = counted.system.composition
    if any(abs(composition[name] - fraction) > FRACTION_TOLERANCE for name, fraction in fractions.items()):
        theirs, ours = (", ".join(f"{100 * f:.1f} % {name}" for name, f in c.items()) for c in (composition, fractions))
        raise InputError(
            f"the trajectory is {theirs}, the study {ours}", where=where, fix="give the study of this material"
        )


def check_density(counted: CountedTrajectory, density: float, config: StudyConfig, name: str, where: str) -> None:
    """InputError for another density, atoms/Å^3, which would draw the measured T(r) wrongly; name: of the state."""
    present = counted.system.number_density
    if abs(present / density - 1) <= DENSITY_TOLERANCE:
        return
    change = (present / density) ** (1 / 3) - 1
    fix = f"--rescale brings the trajectory to the study's density, its lengths changed by {100 * change:+.1f} %"
    if abs(change) > LARGEST_RESCALING:
        fix = "check which of them is right"
    index = [state.name for state in config.states].index(name)
    state = config.states[index]
    if config.structure_of(state) is None and config.number_density_of(state) is not None:
        table = "system" if state.number_density is None else f"states.{index}"
        fix += f", --set {table}.number_density={present:.6f} compares both at its own"
    raise InputError(f"the trajectory has {present:.5f} atoms/Å^3, the study {density:.5f}", where=where, fix=fix)


def check_rescaling(counted: CountedTrajectory, density: float, factor: float, by_more: bool, where: str) -> None:
    """InputError for lengths that would change a lot by `factor`, unless that is wanted (`by_more`)."""
    if abs(factor - 1) > LARGEST_RESCALING and not by_more:
        raise InputError(
            f"the trajectory has {counted.system.number_density:.5f} atoms/Å^3, the study {density:.5f}: --rescale "
            f"would multiply every length, bonds included, by {factor:.4f}",
            where=where,
            fix="check which density is right; --rescale-by-more does it all the same",
        )


def refuse_vacuum(counted: CountedTrajectory, density: float, where: str) -> None:
    """InputError for particles and slabs: their density is that of a box, and g(r) there does not tend to one."""
    wide = HOLLOW_SPACINGS * density ** (-1 / 3)
    reach = GAP_SPACINGS * min(density, counted.system.number_density) ** (-1 / 3)
    nearest = distances_to_atoms(*counted.first, max(wide, reach))
    share, beyond = float(np.mean(nearest > wide)), nearest > reach
    gap = any(np.any(beyond.all(axis=plane)) for plane in ((0, 1), (0, 2), (1, 2)))
    dense = abs(counted.system.number_density / density - 1) <= DENSITY_TOLERANCE
    if gap or (share > HOLLOW_SHARE and not dense):
        empty, far = (float(np.mean(beyond)), reach) if gap else (share, wide)
        raise InputError(
            f"{100 * empty:.0f} % of the box is farther than {far:.1f} Å from every atom: a "
            "particle or a slab in vacuum, of which there is no g(r) of the bulk",
            where=where,
            fix="give a periodic sample of the material",
        )
