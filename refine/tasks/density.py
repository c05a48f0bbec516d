"""The density that a potential gives a state at its pressure, from a stage at constant pressure.

The stage starts from the last frame of what was sampled at the study's density. In a first part the moves of the volume
are tuned, and what the volume does there is thrown away. The rest is made twice as long as long as volume or energy
still drifts, up to `LONGEST` times its first length; what drifts even then has no density that could be printed.

The volume of a liquid forgets itself within some 50 moves. In a few hundred it rests often enough to look settled:
errors are too small there, and most of all behind the start that makes most moves look independent, which the first
sample of a study takes. Hence `FEWEST`, and few starts to choose from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError, SimulationError
from refine.potentials.correction import PairCorrection
from refine.progress import Progress
from refine.sampling.averages import inefficiency, standard_error
from refine.sampling.frames import Frames
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.volumes import Volumes, joined
from refine.study.choices.sampling import DRIFT, INDEPENDENT, drift
from refine.study.samplers import sampler_of
from refine.study.schema import NO_CORRECTION
from refine.system import bins_within, is_cubic, number_density_from_mass

if TYPE_CHECKING:
    from refine.study.schema import State
    from refine.study.study import Study
    from refine.system import System

Array = NDArray[np.float64]

FEWEST = 800
"""Moves of the volume that a stage has at least where no length is asked for."""

SHORTEST = 8
"""Moves that a length that is asked for has at least."""

STARTS = (0.0, 0.25, 0.5)
"""Shares of a stage that may be thrown away as equilibration."""

TUNED, PIECES = 0.25, 10
"""Moves that are tuned, in those of the first length, and after how many pieces of them."""

LONGEST = 4
"""Lengths that a stage may grow to, in its first."""

GAS = 0.5
"""Of the study's density: what is below is called a gas, or a liquid with a hole."""


def pressure_of(study: Study, s: int) -> float:
    """Of a state, GPa: the one that was measured, or none."""
    measured = [n for n in study.numbers if n.state == s and n.target.quantity == "pressure"]
    return float(measured[0].target.y[0]) if measured else 0.0


def density_at_pressure(
    study: Study, s: int, frames: Frames, correction: PairCorrection | None, progress: Progress
) -> tuple[dict[str, Any], list[str]]:
    """Number and mass density of a state under a potential, at `pressure_of` it, as `compare.json` has them; and what
    is to be said of them.

    Args:
        frames: sampled with this potential, with positions.
        correction: on top of the base; None: none, and the box may shrink as far as the base allows.

    Raises:
        SimulationError: the box evaporates or shrinks below what its cutoff needs, the volume does not settle, or the
            dynamics fail.
        InputError: the potential does not fit into the box, or the length that is asked for is none.
    """
    assert frames.positions is not None
    system, state, settings = study.systems[s], study.config.states[s], study.settings
    temperature, pressure = study.problem.temperatures[s], pressure_of(study, s)
    r_max = system.r_box / 2
    field, engine = sampler_of(
        study.base_kind,
        study.config.model,
        study.base,
        system,
        settings,
        cutoff=NO_CORRECTION if correction is None else study.config.correction.r_cut,
        n_bins=max(1, bins_within(r_max, settings.bin_width)),  # nobody looks at them
        r_max=r_max,
        phase=state.phase,
    )
    params = field.params(None) if correction is None else study.force_field_params(field, s, correction)
    seed = seed_of_state(settings.seed, s)
    now, cell = engine.start(frames.positions[-1], temperature, seed), system.cell
    barostat = engine.at_pressure(pressure, seed)
    length = study.config.compare.density_length
    if length is None:
        length = len(frames) * settings.stride * settings.timestep / 1000
        first = max(FEWEST, barostat.moves_in(length))
    else:
        first = barostat.moves_in(length)
    if first < SHORTEST:
        raise InputError(
            f"{length:g} ps have {first} moves of the volume, and {SHORTEST} are needed to see anything of it",
            where="[compare] density_length",
            fix=f"use {1000.0 * FEWEST / barostat.moves_in(1000.0):.3g}, or leave it out",
        )
    piece = max(1, round(TUNED * first / PIECES))

    progress.stage(f"{state.name} at {pressure:g} GPa", PIECES * piece + first)
    for _ in range(PIECES):
        now, cell, _ = barostat.run(now, cell, params, temperature, piece, tune=True)
        progress.advance(piece)
    seen: list[Volumes] = []
    count, total = first, 0
    while True:
        done = 0
        while done < count:
            moves = min(barostat.moves_per_block, count - done)
            now, cell, volumes = barostat.run(now, cell, params, temperature, moves)
            seen.append(volumes)
            done += moves
            progress.advance(moves)
        total += count
        volumes = joined(seen)
        start = equilibrated(np.stack([volumes.volume, volumes.energy], axis=1))
        if start is not None:
            break
        if 2 * total > LONGEST * first:
            raise SimulationError(_unsettled(volumes, system), fix="raise [compare] density_length")
        count = total
        progress.stage(f"{state.name} at {pressure:g} GPa goes on", count)
    volume = volumes.volume[start:]
    moves = barostat.moves_in(1000.0)
    known = _found(system, volume, pressure) | {"length_ps": 1000.0 * len(volume) / moves, "moves": len(volume)}
    return known, remarks(system, state, known["ratio_to_study"], len(volume))


def equilibrated(series: Array) -> int | None:
    """The first of `STARTS` behind which series (moves, n) do not drift and are worth enough independent moves
    (`refine.study.choices.sampling`); None where there is none.

    >>> noise = np.random.default_rng(1).normal(size=(200, 1))
    >>> equilibrated(noise), equilibrated(noise + 50.0 * np.exp(-np.arange(200) / 10.0)[:, None])
    (0, 50)
    >>> equilibrated(np.cumsum(noise, axis=0)) is None
    True
    """
    for share in STARTS:
        start = int(share * len(series))
        rest = series[start:]
        if len(rest) / float(np.max(inefficiency(rest))) >= INDEPENDENT and drift(rest) <= DRIFT:
            return start
    return None


def _found(system: System, volume: Array, pressure: float) -> dict[str, Any]:
    """The densities of a mean volume, and their errors."""
    mean = float(volume.mean())
    error = float(standard_error(volume)) / mean
    number = system.n_atoms / mean
    counts = dict(zip(system.species, system.n_per_species, strict=True))
    mass = number / number_density_from_mass(counts, 1.0, system.isotopes)
    ratio = number / system.number_density
    return {
        "pressure_GPa": pressure,
        "number_density_atoms_per_A3": number,
        "number_density_atoms_per_A3_stderr": number * error,
        "mass_density_g_per_cm3": mass,
        "mass_density_g_per_cm3_stderr": mass * error,
        "ratio_to_study": ratio,
        "ratio_to_study_stderr": ratio * error,
    }


def remarks(system: System, state: State, ratio: float, moves: int) -> list[str]:
    """What a density, as a ratio to the study's and of so many moves of the volume, does not say by itself."""
    said = []
    if moves < FEWEST // 4:
        said.append(f"The density of state {state.name} is of {moves} moves of the volume: its error may be too small.")
    if ratio < GAS:
        said.append(f"At its pressure state {state.name} is a gas, or a liquid with a hole, and no dense liquid.")
    if state.phase == "solid" and not is_cubic(system.cell):
        said.append(f"At its pressure the cell of state {state.name} changes its volume and keeps its shape.")
    return said


def _unsettled(volumes: Volumes, system: System) -> str:
    """What the volume did that did not settle."""
    quarter = max(1, len(volumes.volume) // 4)
    begin, end = (system.n_atoms / float(part.mean()) for part in (volumes.volume[:quarter], volumes.volume[-quarter:]))
    return f"the volume did not equilibrate: {begin:.5f} atoms/Å^3 at first, {end:.5f} at last"
