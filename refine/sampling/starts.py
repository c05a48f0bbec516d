"""How trajectories begin: random packings, relaxation, melting, equilibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from refine.errors import InputError, SimulationError

if TYPE_CHECKING:
    from refine.sampling.jax.sampler import Sampler
    from refine.sampling.schedule import Stage
    from refine.sampling.state import MDState
from refine.sampling.periodic import close_pairs
from refine.system import System, make_system


def random_packing(
    species_counts: dict[str, int], number_density: float, seed: int, min_distance: float | None = None
) -> System:
    """A cubic box of randomly placed atoms, none closer than min_distance.

    number_density: atoms/Å^3.  min_distance: Å; None: 0.85 number_density^(-1/3), a packing fraction of 0.32.
    Atoms of different species are placed alike: a hot run afterwards (`melt`) makes the chemistry.
    Raises InputError for a density out of reason and SimulationError when such a packing is not found.
    """
    if not 0 < number_density < 1:
        raise InputError(
            f"number_density is {number_density} atoms/Å^3; condensed matter has 0.001 to 0.2", fix="give atoms per Å^3"
        )
    edge = (sum(species_counts.values()) / number_density) ** (1 / 3)
    system = make_system(species_counts, np.eye(3) * edge)
    return replace(system, positions=packed_positions(system, seed, min_distance))


def packed_positions(system: System, seed: int, min_distance: float | None = None) -> np.ndarray:
    """Random positions (N, 3) in the system's cell, none closer than min_distance (see `random_packing`)."""
    fractional = np.random.default_rng(seed).random((system.n_atoms, 3))
    distance = 0.85 * system.number_density ** (-1 / 3) if min_distance is None else min_distance
    return relax(fractional @ system.cell, system.cell, distance, seed=seed)


def relax(
    positions: np.ndarray, cell: np.ndarray, min_distance: float, *, seed: int = 0, iterations: int = 2000
) -> np.ndarray:
    """Push atoms apart until no two are closer than min_distance (Å): (N, 3) -> (N, 3).

    Every overlapping pair moves apart symmetrically by half of what it lacks and 2 % more, all pairs at once, again
    and again: the steepest descent of soft spheres. Packing fractions up to 0.5 are found quickly; random close
    packing is 0.64. Raises SimulationError when overlaps remain.
    """
    positions = np.array(positions, dtype=np.float64)
    rng = np.random.default_rng(seed)
    for _ in range(iterations):
        i, j, separation = close_pairs(positions, cell, min_distance)
        if len(i) == 0:
            return positions
        distance = np.linalg.norm(separation, axis=1)
        # two atoms on one spot have no direction: give them one
        direction = np.where(distance[:, None] > 1e-9, separation, rng.normal(size=separation.shape))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        push = (1.02 * min_distance - distance)[:, None] / 2 * direction
        np.add.at(positions, i, push)
        np.add.at(positions, j, -push)
    raise SimulationError(
        f"{len(i)} pairs of atoms are still closer than {min_distance:.3f} Å after {iterations} relaxation steps",
        fix="lower min_distance or the number density",
    )


def melt(
    sampler: Sampler,
    params: object,
    temperature: float,
    seed: int,
    picoseconds: float = 10.0,
    *,
    hot: float = 2.0,
) -> MDState:
    """The default start: random packing (or the system's own positions) -> relaxation -> hot run -> run at
    `temperature`.

    Half of `picoseconds` is spent at `hot` times the temperature (K), half at the temperature itself. Every replica
    has its own packing. With positions given in the system, they are the start of every replica and are still melted.
    Deterministic in `seed`. Raises what `Sampler.run` raises.
    """
    state = sampler.start(sampler.minimise(starts(sampler, seed), params), temperature, seed)
    frames = max(1, math.ceil(picoseconds * 1000 / 2 / (sampler.timestep * sampler.stride)))
    state, _ = sampler.run(state, params, hot * temperature, frames, observe=False)
    state, _ = sampler.run(state, params, temperature, frames, observe=False)
    return state


def begin(sampler: Sampler, params: object, temperature: float, seed: int) -> MDState:
    """First state of a trajectory at `temperature` (K): relaxed packings, or the system's own positions as they are."""
    positions = starts(sampler, seed)
    if sampler.system.positions is None:
        positions = sampler.minimise(positions, params)
    return sampler.start(positions, temperature, seed)


def starts(sampler: Sampler, seed: int) -> np.ndarray:
    """Where replicas begin, (R, N, 3) Å: each in a packing of its own, or all with the system's own positions."""
    system, seeds = sampler.system, range(seed, seed + sampler.replicas)
    if system.positions is None:
        return np.stack([packed_positions(system, one) for one in seeds])
    return np.stack([system.positions for _ in seeds])


def equilibrate(
    sampler: Sampler,
    params: object,
    temperature: float,
    seed: int,
    picoseconds: float,
    stages: Sequence[Stage] = (),
) -> MDState:
    """How a run and what is compared with it begin: a melt, or the system's own positions after so long a run at
    `temperature` (K). With stages, each at constant volume, they come first and replace the melt.

    Deterministic in `seed`. Raises what `Sampler.run` raises.
    """
    if stages:
        from refine.sampling.schedule import follow

        state = follow(sampler, params, begin(sampler, params, stages[0].temperature, seed), stages, seed).state
        state = sampler.retuned(state, temperature)
    elif sampler.system.positions is None:
        return melt(sampler, params, temperature, seed, picoseconds)
    else:
        state = begin(sampler, params, temperature, seed)
    frames = math.ceil(picoseconds * 1000 / (sampler.timestep * sampler.stride))
    if frames:
        state, _ = sampler.run(state, params, temperature, frames, observe=False)
    return state
