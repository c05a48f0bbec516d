"""Temperature schedules: a start structure is melted, cooled and, where asked, brought to the density of a pressure.

A ramp is a staircase of at least `PIECES` short runs at constant temperature; temperature is an argument of the
compiled program, so a ramp compiles nothing. Frames are not judged on the way: what freezes while it is cooled down is
meant to. numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.engine import Engine, OnSteps, frames_in, unobserved
from refine.sampling.volumes import Volumes, joined

PIECES = 100
"""Fewest steps of the staircase, as far as there are frames for them."""

MEASURED = 0.5
"""Last share of a stage at constant pressure whose density is reported; before, the moves are tuned."""


@dataclass(frozen=True)
class Stage:
    """A stage: constant temperature, or a linear ramp.

    temperature: K, at the beginning.  picoseconds: length.  to: K at the end; None: constant.
    timestep: fs; None: the sampler's.  pressure: GPa; None: constant volume.
    """

    temperature: float
    picoseconds: float
    to: float | None = None
    timestep: float | None = None
    pressure: float | None = None

    @property
    def end(self) -> float:
        """Temperature at the end, K."""
        return self.temperature if self.to is None else self.to

    @property
    def rate(self) -> float:
        """Heating rate, K/ps; negative on cooling."""
        return (self.end - self.temperature) / self.picoseconds

    def words(self) -> str:
        """The stage in words.

        >>> Stage(4000.0, 50.0, to=300.0).words()
        '4000 to 300 K in 50 ps (-74 K/ps)'
        """
        at = "" if self.pressure is None else f" at {self.pressure:g} GPa"
        if self.rate == 0:
            return f"{self.temperature:g} K for {self.picoseconds:g} ps{at}"
        return f"{self.temperature:g} to {self.end:g} K in {self.picoseconds:g} ps ({self.rate:+.4g} K/ps){at}"

    def to_json(self) -> dict[str, Any]:
        """What a result keeps of it."""
        return {
            "temperature": self.temperature,
            "to": self.end,
            "picoseconds": self.picoseconds,
            "rate_K_per_ps": self.rate,
            "pressure_GPa": self.pressure,
        }


@dataclass(frozen=True)
class Followed:
    """Where a schedule ended.

    state: with the list of the hottest stage; see `Engine.retuned`.
    sampler: in the cell at the end, with the timestep it came with.  volumes: for each stage, what the volume did in
    its measured part; None at constant volume. The cell after a stage at constant temperature and pressure has the mean
    volume of that part.
    """

    sampler: Engine[Any]
    state: Any
    volumes: tuple[Volumes | None, ...]


def hottest(stages: Sequence[Stage]) -> float:
    """The highest temperature of a schedule, K."""
    return max(max(stage.temperature, stage.end) for stage in stages)


def steps_of(stage: Stage, sampler: Engine[Any]) -> int:
    """Steps that a stage takes; those of moves of the volume are not counted."""
    sampler = sampler.changed(timestep=stage.timestep)
    return frames_in(stage.picoseconds, sampler) * sampler.stride


def follow(
    sampler: Engine[Any],
    params: Any,
    state: Any,
    stages: Sequence[Stage],
    seed: int,
    on_steps: OnSteps | None = None,
) -> Followed:
    """Take a state through the stages one after the other.

    state: at the temperature of the first stage.  seed: of the moves of the volume.
    on_steps: called as the work goes on; of each stage it is told `steps_of`.
    Deterministic in the state and the seed. Raises what `Engine.run` and `Barostat.run` raise, and InputError
    when a stage with a pressure meets several replicas.
    """
    others: dict[float, Engine[Any]] = {sampler.timestep: sampler}
    volumes: list[Volumes | None] = []
    cell, before = sampler.system.cell, math.nan
    for number, stage in enumerate(stages):
        timestep = sampler.timestep if stage.timestep is None else stage.timestep
        if timestep not in others:
            others[timestep] = sampler.changed(timestep=timestep)
        now = others[timestep].changed(cell=cell)
        if timestep != before:
            # one list for the whole schedule: another one at every temperature would compile again
            state, before = now.retuned(state, hottest(stages)), timestep
        if stage.pressure is None:
            state = _at_volume(now, params, state, stage, on_steps)
            volumes.append(None)
        else:
            state, cell, seen = _at_pressure(now, params, state, stage, seed + number, on_steps)
            volumes.append(seen)
    return Followed(sampler.changed(cell=cell), state, tuple(volumes))


def _at_volume(sampler: Engine[Any], params: Any, state: Any, stage: Stage, on_steps: OnSteps | None) -> Any:
    frames = frames_in(stage.picoseconds, sampler)
    for temperature, count in staircase(stage, frames, sampler.frames_per_block):
        state = unobserved(sampler, state, params, temperature, count, on_steps)
    return state


def _at_pressure(
    sampler: Engine[Any], params: Any, state: Any, stage: Stage, seed: int, on_steps: OnSteps | None
) -> tuple[Any, NDArray[np.float64], Volumes]:
    if sampler.replicas > 1:
        raise InputError("a stage with a pressure has one box", where="[[schedule]] pressure", fix="use one replica")
    assert stage.pressure is not None
    barostat = sampler.at_pressure(stage.pressure, seed)
    cell, moves, steps = sampler.system.cell, barostat.moves_in(stage.picoseconds), steps_of(stage, sampler)
    tuned = int((1 - MEASURED) * moves)
    measured: list[Volumes] = []
    done = 0
    for temperature, count in _with_a_cut_at(tuned, stage, moves, barostat.moves_per_block):
        state, cell, seen = barostat.run(state, cell, params, temperature, count, tune=done < tuned)
        if done >= tuned:
            measured.append(seen)
        if on_steps is not None:
            on_steps(steps * (done + count) // moves - steps * done // moves)
        done += count
    seen = joined(measured)
    if stage.rate == 0:
        # the volume of one moment is no density: go on with the mean
        factor = float(seen.volume.mean() / abs(np.linalg.det(cell))) ** (1 / 3)
        state, cell = replace(state, positions=(state.positions * factor).astype(sampler.dtype)), cell * factor
    return state, cell, seen


def _with_a_cut_at(cut: int, stage: Stage, total: int, most: int) -> list[tuple[float, int]]:
    """The staircase; at a constant temperature, where pieces may be long, one of them ends at `cut`."""
    if stage.rate != 0 or not 0 < cut < total:
        return staircase(stage, total, most)
    return [*staircase(stage, cut, most), *staircase(stage, total - cut, most)]


def staircase(stage: Stage, total: int, most: int) -> list[tuple[float, int]]:
    """Temperature (K) and length of the pieces that `total` frames or moves of a stage are done in.

    Pieces have at most `most`; on a ramp there are `PIECES` or more, as far as `total` goes, each at the temperature
    of its middle, so that their mean is that of the ramp.

    >>> staircase(Stage(200.0, 1.0, to=100.0), 4, 100)
    [(187.5, 1), (162.5, 1), (137.5, 1), (112.5, 1)]
    """
    pieces = max(math.ceil(total / most), 1 if stage.rate == 0 else min(total, PIECES))
    bounds = np.linspace(0, total, pieces + 1).round().astype(int)
    middles = (bounds[1:] + bounds[:-1]) / (2 * total)
    temperatures = stage.temperature + (stage.end - stage.temperature) * middles
    return [(float(t), int(n)) for t, n in zip(temperatures, np.diff(bounds), strict=True)]
