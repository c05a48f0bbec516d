"""How trajectories begin: random packings, relaxation, melting, equilibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError, SimulationError
from refine.sampling.engine import Engine, OnSteps, frames_in, frames_of, unobserved
from refine.sampling.periodic import close_pairs
from refine.sampling.schedule import Stage, follow
from refine.system import System, make_system

Array = NDArray[np.float64]

MELTING = 2.0
"""Temperature of the first half of a melt, in units of that of the state."""


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


def packed_positions(system: System, seed: int, min_distance: float | None = None) -> Array:
    """Random positions (N, 3) in the system's cell, none closer than min_distance (see `random_packing`)."""
    fractional = np.random.default_rng(seed).random((system.n_atoms, 3))
    distance = 0.85 * system.number_density ** (-1 / 3) if min_distance is None else min_distance
    return relax(fractional @ system.cell, system.cell, distance, seed=seed)


def relax(positions: Array, cell: Array, min_distance: float, *, seed: int = 0, iterations: int = 2000) -> Array:
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
    sampler: Engine[Any],
    params: Any,
    temperature: float,
    seed: int,
    picoseconds: float = 10.0,
    *,
    hot: float = MELTING,
    on_steps: OnSteps | None = None,
) -> Any:
    """The default start: random packing (or the system's own positions) -> relaxation -> hot run -> run at
    `temperature`.

    Half of `picoseconds` is spent at `hot` times the temperature (K), half at the temperature itself. Every replica
    has its own packing. With positions given in the system, they are the start of every replica and are still melted.
    Deterministic in `seed`. Raises what `Engine.run` raises.
    """
    state = sampler.start(sampler.minimise(starts(sampler, seed), params, on_steps), temperature, seed)
    frames = max(1, frames_in(picoseconds / 2, sampler))
    state = unobserved(sampler, state, params, hot * temperature, frames, on_steps)
    return unobserved(sampler, state, params, temperature, frames, on_steps)


def begin(sampler: Engine[Any], params: Any, temperature: float, seed: int, on_steps: OnSteps | None = None) -> Any:
    """First state of a trajectory at `temperature` (K): relaxed packings, or the system's own positions as they are."""
    positions = starts(sampler, seed)
    if sampler.system.positions is None:
        return sampler.start(sampler.minimise(positions, params, on_steps), temperature, seed)
    return sampler.start(positions, temperature, seed)


def starts(sampler: Engine[Any], seed: int) -> Array:
    """Where replicas begin, (R, N, 3) Å: each in a packing of its own, or all with the system's own positions."""
    system, seeds = sampler.system, range(seed, seed + sampler.replicas)
    if system.positions is None:
        return np.stack([packed_positions(system, one) for one in seeds])
    return np.stack([system.positions for _ in seeds])


def equilibrate(
    sampler: Engine[Any],
    params: Any,
    temperature: float,
    seed: int,
    picoseconds: float,
    stages: Sequence[Stage] = (),
    on_steps: OnSteps | None = None,
) -> Any:
    """How a run and what is compared with it begin: a melt, or the system's own positions after so long a run at
    `temperature` (K). With stages, each at constant volume, they come first and replace the melt.

    on_steps: called as the work goes on; all together it is told `steps_to_equilibrate`.
    Deterministic in `seed`. Raises what `Engine.run` raises.
    """
    if stages:
        state = begin(sampler, params, stages[0].temperature, seed, on_steps)
        state = follow(sampler, params, state, stages, seed, on_steps).state
        state = sampler.retuned(state, temperature)
    elif sampler.system.positions is None:
        return melt(sampler, params, temperature, seed, picoseconds, on_steps=on_steps)
    else:
        state = begin(sampler, params, temperature, seed, on_steps)
    return wait(sampler, state, params, temperature, picoseconds, on_steps)


def steps_to_equilibrate(sampler: Engine[Any], picoseconds: float, stages: Sequence[Stage] = ()) -> int:
    """Steps of `equilibrate`, those of the relaxation included."""
    packed = sampler.system.positions is None
    steps = steps_of_dynamics(picoseconds, sampler.timestep, sampler.stride, packed=packed, stages=stages)
    return steps + (sampler.relaxation if packed else 0)


def steps_of_dynamics(
    picoseconds: float, timestep: float, stride: int, *, packed: bool, stages: Sequence[Stage] = ()
) -> int:
    """Steps of `equilibrate` behind the relaxation.

    timestep: fs, where a stage has none of its own.  stride: steps between frames.  packed: whether it starts from a
    random packing.

    >>> steps_of_dynamics(1.0, 2.0, 10, packed=False)
    500
    """

    def steps(of: float, step: float) -> int:
        return frames_of(of, step, stride) * stride

    followed = sum(steps(stage.picoseconds, stage.timestep or timestep) for stage in stages)
    if packed and not stages:  # a melt, one half of it hot
        return 2 * max(stride, steps(picoseconds / 2, timestep))
    return followed + steps(picoseconds, timestep)


def wait(
    sampler: Engine[Any],
    state: Any,
    params: Any,
    temperature: float,
    picoseconds: float,
    on_steps: OnSteps | None = None,
) -> Any:
    """The state so much later, at a temperature (K); nothing is observed."""
    frames = frames_in(picoseconds, sampler)
    return unobserved(sampler, state, params, temperature, frames, on_steps) if frames else state


def starts_along(
    sampler: Engine[Any],
    state: Any,
    params: Any,
    temperature: float,
    windows: int,
    frames: int,
    on_steps: OnSteps | None = None,
) -> tuple[list[Any], Any]:
    """Where windows of an adjoint start: states for `windows` of them (every replica starts one), and the last state.

    frames: of the sampler, between two.

    Windows that start closer together than they are long share a part of their trajectory; their gradients are then
    not independent, although the growth of small differences soon makes them so.
    """
    starts: list[Any] = []
    while len(starts) * sampler.replicas < windows:
        state = unobserved(sampler, state, params, temperature, frames, on_steps)
        starts.append(state)
    return starts, state
