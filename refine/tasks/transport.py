"""Diffusion coefficients and viscosity of a state under a potential, from trajectories without a thermostat.

Segments at constant energy start from sampled frames (`refine.sampling.segments`). They are made twice as long as
long as a mean square displacement is not linear in time, or the viscosity that D is corrected with is not sharp, up to
`LONGEST` times their first length.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from refine.errors import InputError, SimulationError
from refine.potentials.correction import PairCorrection
from refine.progress import Progress
from refine.sampling.diffusion import FEWEST_POINTS, SETTLED, Diffusion, diffusion, finite_size_correction
from refine.sampling.frames import Frames
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.segments import Segments, starts
from refine.sampling.viscosity import Viscosity, green_kubo
from refine.system import is_cubic

if TYPE_CHECKING:
    from refine.study.schema import State
    from refine.study.study import Study
    from refine.system import System

SI = 10.0
"""Å^2/ps in 1e-9 m^2/s."""

SAMPLED = 2.0
"""Default length of all segments together, in that of the sampled trajectories: what is spent follows from what the
user spends on sampling."""

POINTS = 100
"""Positions stored in the first length of a segment."""

LONGEST = 4
"""Lengths that a segment may grow to, in its first."""

SHARP = 0.25
"""Largest relative error of a viscosity that D is corrected with."""


@dataclass(frozen=True)
class Transport:
    """What the segments of a state gave, as `compare.json` has it.

    Attributes:
        diffusion: of each species whose mean square displacement is linear in time.
        viscosity: of the model in this box; None: a solid, or not determined.
        notes: what could not be said, in words.
    """

    diffusion: list[dict[str, Any]]
    viscosity: dict[str, Any] | None
    notes: list[str]


def transport(study: Study, s: int, frames: Frames, correction: PairCorrection, progress: Progress) -> Transport:
    """Of a state, from frames of it that were sampled with this potential and keep positions.

    Raises:
        InputError: fewer frames than segments.
        SimulationError: the dynamics fail, or energy is not conserved.
    """
    system, state, config = study.systems[s], study.config.states[s], study.config
    count, length = config.compare.segments, config.compare.segment_length
    if length is None:
        length = SAMPLED * len(frames) * study.settings.stride * study.settings.timestep / 1000 / count
    if len(frames) < count:
        raise InputError(f"{len(frames)} frames for {count} segments", where="[compare] segments", fix="use fewer")
    seed = seed_of_state(config.sampling.seed, s)
    runner = study.constant_energy(s, correction, starts(frames, count), seed, length / POINTS)
    first = total = runner.points_in(length)
    if first < FEWEST_POINTS:
        raise InputError(
            f"segments of {length:g} ps are too short to see a slope in",
            where="[compare] segment_length",
            fix=f"use {FEWEST_POINTS * runner.interval:.3g} or more, better ten times as much",
        )
    points = first
    while True:
        progress.stage(f"{state.name} at constant energy, {total * runner.interval:.3g} ps", count * points)
        segments = runner.lengthen(points, progress.advance)
        temperature = float(segments.temperature.mean())
        diffusions = diffusion(
            segments.positions, system.cell, system.species, system.n_per_species, system.masses, segments.interval
        )
        viscosity, term = _box_term(system, state, segments, temperature)
        least = _least(system, state, diffusions[0])
        straight = [d for d in diffusions if d.linear(least)]
        if (len(straight) == len(diffusions) and term.final) or 2 * total > LONGEST * first:
            break
        points, total = total, 2 * total
    notes = [
        f"No diffusion coefficient of {d.species} in state {state.name}: its mean square displacement is not linear in "
        f"time up to {d.lags[1]:.3g} ps, where the slope changes by {SI * d.change:.2g} ± {SI * d.change_stderr:.1g} "
        "e-9 m^2/s."
        for d in diffusions
        if d not in straight
    ]
    rows = [
        {
            "species": d.species,
            "value": SI * (d.value + term.value),
            "stderr": SI * math.hypot(d.stderr, term.stderr),
            "uncorrected": SI * d.value,
            "uncorrected_stderr": SI * d.stderr,
            "lags_ps": d.lags,
            "segments": d.segments,
            "temperature": temperature,
            "finite_size": term.words,
        }
        for d in straight
    ]
    return Transport(rows, None if viscosity is None else asdict(viscosity), notes)


@dataclass(frozen=True)
class _BoxTerm:
    """What is added to D for the finite box, Å^2/ps, in words too. final: longer segments would not sharpen it."""

    value: float
    stderr: float
    words: str
    final: bool


def _box_term(
    system: System, state: State, segments: Segments, temperature: float
) -> tuple[Viscosity | None, _BoxTerm]:
    """The model's viscosity, where it has one, and the term of the box, with that of the state where it gives one."""
    if state.phase == "solid":
        return None, _BoxTerm(0.0, 0.0, "a solid: no term for the box, no viscosity", True)
    viscosity, reason = None, ""
    try:
        viscosity = green_kubo(segments.stress, segments.stress_interval, system.volume, temperature)
    except SimulationError as error:
        reason = error.what
    if not is_cubic(system.cell):
        return viscosity, _BoxTerm(0.0, 0.0, "not corrected: the box is not cubic", True)
    edge = float(system.cell[0, 0])
    if state.viscosity is not None:
        shift = finite_size_correction(temperature, state.viscosity, edge)
        return viscosity, _BoxTerm(shift, 0.0, "corrected with the viscosity of the state, not of the model", True)
    if viscosity is None or viscosity.stderr > SHARP * viscosity.value:
        if viscosity is not None:
            reason = f"the model's viscosity, {viscosity.value:.2g} ± {viscosity.stderr:.1g} mPa s, is too uncertain"
        return viscosity, _BoxTerm(0.0, 0.0, f"not corrected: {reason}", False)
    shift = finite_size_correction(temperature, viscosity.value, edge)
    return viscosity, _BoxTerm(
        shift, shift * viscosity.stderr / viscosity.value, "corrected with the model's viscosity", True
    )


def _least(system: System, state: State, motion: Diffusion) -> float:
    """Difference of slopes without meaning, Å^2/ps: in a solid, of a displacement far below the distance of atoms."""
    if state.phase != "solid":
        return 0.0
    return float(SETTLED * system.number_density ** (-2 / 3) / (6 * motion.lags[1]))
