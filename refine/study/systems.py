"""The atoms that a study speaks of: one system for each state, and how their start structures are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase.data import atomic_numbers

from refine.errors import InputError
from refine.formula import element_of
from refine.sampling.schedule import Stage
from refine.sampling.structure_files import read_structure
from refine.study.schema import State, StudyConfig
from refine.system import System, make_system, number_density_from_mass


def read_systems(config: StudyConfig) -> list[System]:
    """One system per state, all with the same species in the same order; packings are still to be made."""
    systems: list[System] = []
    for state in config.states:
        order = systems[0].species if systems else None
        system = read_system(config, state, order)
        if order is not None and system.species != order:
            raise InputError(
                f"state '{state.name}' holds {', '.join(system.species)}, the first state {', '.join(order)}",
                where="[[states]]",
                fix="give all states the same elements",
            )
        systems.append(system)
    return systems


def read_system(config: StudyConfig, state: State, order: tuple[str, ...] | None = None) -> System:
    """The system of one state; order: of its elements in a structure file, None: as they appear there."""
    density, mass_density = config.number_density_of(state), config.mass_density_of(state)
    path = config.structure_of(state)
    if path is not None:
        types = config.system.structure_species
        stated = stated_elements(config)
        return read_structure(
            path,
            density,
            species=order,
            mass_density=mass_density,
            types=types,
            elements=config.system.structure_elements,
            stated=stated,
        )
    counts = config.system.counts
    assert counts is not None  # the config refuses a study without
    if mass_density is not None:
        density = number_density_from_mass(counts, mass_density, config.system.isotopes)
    assert density is not None
    system = make_system(counts, np.eye(3) * (sum(counts.values()) / density) ** (1 / 3))
    return replace(system, isotopes=config.system.isotopes)


def stated_elements(config: StudyConfig) -> set[str]:
    """Elements that the study names anywhere: in its data, its model and its correction."""
    names = [*config.model.elements]
    for data in config.data:
        names += [name for elements in data.elements.values() for name in elements]
    if config.correction.pairs != "all":
        names += [name for pair in config.correction.pairs for name in pair]
    return {element for element in map(element_of, names) if element in atomic_numbers and element != "X"}


def notes_of(systems: Sequence[System]) -> tuple[str, ...]:
    """What was done to what structure files say, each once."""
    return tuple(dict.fromkeys(note for system in systems for note in system.notes))


def check_radii(config: StudyConfig, pairs: Sequence[tuple[str, str]], r_max: float | None = None) -> None:
    """InputError for a radius of [coordination] of a pair that the system has not, or beyond g(r), which ends at r_max
    (Å); None: where it ends is not known yet."""
    names = [sorted(pair) for pair in pairs]
    where = "[coordination] radii"
    for name, radius in config.coordination.radii.items():
        if sorted(name.split("-")) not in names:
            fix = f"the pairs are {', '.join('-'.join(pair) for pair in pairs)}"
            raise InputError(f"{name} is no pair of the system", where=where, fix=fix)
        if r_max is not None and not radius <= r_max:
            raise InputError(
                f"the radius of {name}, {radius:g} Å, lies beyond g(r), which ends at {r_max:.2f} Å",
                where=where,
                fix="lower it, or use a larger box",
            )


def stages_of(config: StudyConfig) -> tuple[Stage, ...]:
    """The schedule that makes the start structures; empty for the default."""
    return tuple(
        Stage(stage.temperature, stage.picoseconds, to=stage.to, timestep=stage.timestep, pressure=stage.pressure)
        for stage in config.schedule
    )
