"""The first sample of the base model: equilibrated starts, and what the study leaves open decided from it.

    start structure -> hot and cold with a step that is short enough whatever the forces are -> frames, until nothing
    drifts -> periods of vibration, correlation times, innermost pairs -> `refine.study.choices`

The trajectories go on from where it ends, so that it takes the place of an equilibration. It is deterministic in the
study: interrupted, it is made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import SimulationError
from refine.potentials.correction import PairCorrection
from refine.progress import Progress
from refine.refinement.walls import closest, innermost
from refine.sampling.engine import Engine, increments
from refine.sampling.frames import Frames, by_replica
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.starts import equilibrate, steps_to_equilibrate
from refine.sampling.state import State
from refine.study.choices import sampling, splines
from refine.study.choices.choice import Choice
from refine.study.choices.first import MELT, PATH
from refine.study.choices.timestep import STEPS, einstein_periods, flight, tidy, timestep
from refine.tasks.lanes import in_lanes, in_order, lanes_of

if TYPE_CHECKING:
    from refine.study.study import Study

Array = NDArray[np.float64]

BLOCK, FEWEST, LONGEST = 20, 60, 400
"""Frames between two looks, before the first judgement, and at most."""

WIDE = 0.1
"""Å; bins of g(r) that correlation times are taken of where nothing is fitted."""

WITHIN = 4.0
"""Å in which innermost pairs are looked for in a single configuration."""


@dataclass(frozen=True)
class Pilot:
    """What the first sample gave.

    Attributes:
        study: with everything decided.
        starts: of every state, equilibrated at its temperature; None where nothing awaited a sample.
    """

    study: Study
    starts: tuple[State, ...] | None


def equilibrated(
    study: Study,
    s: int,
    sampler: Engine[Any],
    params: Any,
    progress: Progress,
    *,
    seed: int | None = None,
    label: str = "equilibrating",
) -> Any:
    """Where the trajectory of a state of the study begins: its start structure, equilibrated at its temperature.

    params: of the force field that acts.  seed: None: the state's own, as in a run.  label: in the progress.
    Raises what the dynamics raise.
    """
    settings = study.settings
    seed = seed_of_state(settings.seed, s) if seed is None else seed
    temperature, stages = study.problem.temperatures[s], study.stages_at_volume()
    steps = steps_to_equilibrate(sampler, settings.equilibration, stages)
    progress.stage(f"{label}{of_state(study, s)}", steps)
    progress.doing("placing the atoms")
    return equilibrate(sampler, params, temperature, seed, settings.equilibration, stages, progress.advance)


def equilibrated_states(
    study: Study, samplers: Sequence[tuple[Engine[Any], Any]], progress: Progress, *, first: int = 0
) -> Iterator[Any]:
    """As `equilibrated`, of the states from number `first` on, in their order; samplers: of all, and what they take."""

    def work(s: int, told: Progress) -> Iterator[Any]:
        yield equilibrated(study, s, *samplers[s], told)

    engines = [sampler for sampler, _ in samplers]
    steps = [steps_to_equilibrate(one, study.settings.equilibration, study.stages_at_volume()) for one in engines]
    stage = f"equilibrating {len(engines) - first} states", sum(steps[first:])
    works = [partial(work, s) for s in range(first, len(engines))]
    return in_order(in_lanes(works, lanes_of(study, engines)[first:], progress, together=stage))


def of_state(study: Study, s: int) -> str:
    """Behind the name of a piece of work: its state, where there are several."""
    return f" {study.config.states[s].name}" if len(study.config.states) > 1 else ""


def pilot(study: Study, progress: Progress, corrections: Sequence[PairCorrection] | None = None) -> Pilot:
    """Equilibrated starts of every state, and the study with what it leaves open decided; each decision is told.

    Where the study leaves nothing open that a sample decides, there is none.

    Args:
        corrections: of each state, on top of the base; None: none.

    Raises what the dynamics raise, and InputError where splines do not fit.
    """
    if not study.awaits_sample:
        for choice in study.choices:
            progress.message(choice.words())
        return Pilot(study, None)
    looks = bool(study.looked_for)
    looking = looking_at(study) if looks else study
    while True:
        try:
            starts, seen = _first_sample(looking, progress, corrections, looks=looks)
            break
        except SimulationError as error:
            step = looking.settings.timestep
            if "sampling.timestep" not in study.open_keys or "timestep" not in (error.fix or "") or step <= STEPS[0]:
                raise
            shorter = tidy(0.5 * step)
            progress.message(
                f"the first sample failed with {step:g} fs, and is taken again with {shorter:g}: {error.what}"
            )
            looking = looking_at(study, shorter)
    progress.doing("choosing what the study leaves open")
    found_out = _begin_of_splines(study, starts, seen) + (_of_times(study, looking, seen) if looks else [])
    decided = study.decided([choice for choice in found_out if choice.key in study.open_keys])
    for choice in decided.choices:
        progress.message(choice.words())
    if looks:
        samplers = zip(starts, decided.samplers(), study.problem.temperatures, strict=True)
        starts = [sampler.retuned(start, temperature) for start, (_, sampler), temperature in samplers]
    return Pilot(decided, tuple(starts))


def _first_sample(
    study: Study, progress: Progress, corrections: Sequence[PairCorrection] | None, *, looks: bool
) -> tuple[list[State], list[_Seen]]:
    """Where the trajectories of all states stand, and what was seen of them, or nothing where nobody looks."""
    samplers: list[tuple[Engine[Any], Any]] = []
    for s, (field, sampler) in enumerate(study.samplers()):
        correction = study.initial_correction() if corrections is None else corrections[s]
        samplers.append((sampler, field.params(correction.at(study.problem.temperatures[s]))))
    starts: list[State] = list(equilibrated_states(study, samplers, progress))
    if not looks:
        return starts, []

    def work(s: int, told: Progress) -> Iterator[tuple[State, _Seen]]:
        told.stage(f"looking at the base model{of_state(study, s)}", LONGEST)
        yield _look(study, s, *samplers[s], starts[s], told)

    works = [partial(work, s) for s in range(len(samplers))]
    lanes, stage = lanes_of(study, [one for one, _ in samplers]), ("looking at the base model", LONGEST * len(samplers))
    looked = list(in_order(in_lanes(works, lanes, progress, together=stage)))
    return [state for state, _ in looked], [seen for _, seen in looked]


@dataclass(frozen=True)
class _Seen:
    """Of a state: frames, forces (n, N, 3) now and then among them, and what they say of the equilibration."""

    frames: Frames
    forces: Array
    settled: sampling.Settled

    def behind(self) -> Frames:
        """The frames behind the equilibration, replica after replica."""
        each = len(self.frames) // len(np.unique(self.frames.replica))
        behind = np.arange(len(self.frames)) % each >= self.settled.start
        return replace(self.frames, **{name: getattr(self.frames, name)[behind] for name in self.frames.per_frame})


def looking_at(study: Study, step: float | None = None) -> Study:
    """The study as it is looked at: frames that are close in time, and a start that is melted and no more.

    step: fs; None: that of the study, given or first chosen.
    """
    settings, temperature = study.settings, max(study.problem.temperatures)
    settings = settings if step is None else replace(settings, timestep=step)
    apart = flight(float(study.systems[0].masses.mean()), temperature, PATH)
    stride = max(1, round(apart / settings.timestep))
    wait = settings.equilibration
    if "sampling.equilibration" in study.open_keys:
        wait = MELT * stride * settings.timestep / 1000.0
    return study.with_settings(replace(settings, stride=stride, equilibration=wait))


def _look(
    study: Study, s: int, sampler: Engine[Any], params: Any, start: State, progress: Progress
) -> tuple[State, _Seen]:
    """Frames of a state until nothing drifts, and the state behind them."""
    temperature, state = study.problem.temperatures[s], start
    parts: list[Frames] = []
    forces: list[Array] = []
    while True:
        state, piece = sampler.run(state, params, temperature, BLOCK, on_block=increments(progress.advance))
        parts.append(piece)
        forces.extend(sampler.forces(state, params))
        number = BLOCK * len(parts)
        if number < FEWEST:
            continue
        frames = by_replica(parts)
        series = series_of(study, s, frames)
        found = sampling.settled(series.reshape(sampler.replicas, number, -1).mean(axis=0))
        if found.done or number >= LONGEST:
            return state, _Seen(frames, np.array(forces), found)


def series_of(study: Study, s: int, frames: Frames) -> Array:
    """(frames, n): energy, virial, and how far each fitted curve or number is on its way to the measured one."""
    columns = [frames.energy, frames.virial]
    for target in study.problem.targets:
        if target.state == s:
            y = target.values(frames)
            columns.append(y @ ((target.y - y.mean(axis=0)) / np.diag(target.covariance)))
    return np.stack(columns, axis=1)


def _begin_of_splines(study: Study, starts: Sequence[State], seen: Sequence[_Seen]) -> list[Choice]:
    """r_min, from the innermost pairs of all frames and starts (frames alone where some of a start's are bonds); none
    where no pair was met."""
    active = list(study.initial_correction().active_pairs)
    nearest = [
        closest(positions, system.cell, system.n_per_species, min(WITHIN, system.r_box))
        for start, system in zip(starts, study.systems, strict=True)
        for positions in (() if study.config.model.has_molecules else start.positions)
    ]
    nearest += [innermost([one.behind()]) for one in seen]
    inner, onsets = np.min(nearest, axis=0)[active], study.onsets()[active]
    return [splines.r_min(inner, onsets)] if np.isfinite(min(inner.min(), onsets.min())) else []


def _of_times(study: Study, looking: Study, seen: Sequence[_Seen]) -> list[Choice]:
    """Time step, equilibration, stride, frames and reequilibration."""
    opened, temperatures, system = study.open_keys, study.problem.temperatures, study.systems[0]
    interval = looking.settings.stride * looking.settings.timestep / 1000.0
    step, strides = study.settings.timestep, study.settings.stride
    found = []
    if "sampling.timestep" in opened:
        periods = np.min([_periods(study, s, one) for s, one in enumerate(seen)], axis=0)
        masses = system.masses[np.cumsum(system.n_per_species) - 1]
        by_element = [dict(zip(system.species, values.tolist(), strict=True)) for values in (periods, masses)]
        most = looking.settings.timestep if looking.settings.timestep < step else None  # the first choice failed
        found.append(timestep(by_element[0], by_element[1], max(temperatures), most))
        step = found[0].value
    longest = max(len(one.frames) for one in seen) // looking.settings.replicas
    worst = min((one.settled for one in seen), key=lambda one: (one.done, one.independent))
    found.append(sampling.equilibration(looking.settings.equilibration + longest * interval, worst))

    fitted = [_curves(study, s, one.behind(), interval) for s, one in enumerate(seen)]
    if "sampling.stride" in opened:
        found.append(sampling.stride(min(one.time for one in fitted), step))
        strides = int(found[-1].value)
    stated = all(target.sigma_known for target in study.problem.targets)
    apart = strides * step / 1000.0
    allowed = [sampling.allowed_variance(one.chi2, stated=stated) for one in fitted]
    needs = [sampling.frames(one.noise, most, apart, one.time) for one, most in zip(fitted, allowed, strict=True)]
    found.append(max(needs, key=lambda choice: choice.value))
    if "sampling.equilibration" in opened:
        found.append(sampling.reequilibration(max(one.slowest for one in fitted), interval))
    return found


def _periods(study: Study, s: int, seen: _Seen) -> Array:
    """fs of every species in a state, from forces of the later half."""
    system = study.systems[s]
    of_atom = np.repeat(np.arange(len(system.species)), system.n_per_species)
    late = seen.forces[len(seen.forces) // 2 :]
    return einstein_periods(late, system.masses, of_atom.tolist(), study.problem.temperatures[s])


@dataclass(frozen=True)
class _Curves:
    """Of the fitted curves of a state: 2 tau (ps), the variance of a frame and the misfit over the variance of the
    measurement's errors, means over points; and 2 tau of the slowest of all series."""

    time: float
    noise: float
    chi2: float
    slowest: float


def _curves(study: Study, s: int, frames: Frames, interval: float) -> _Curves:
    """From frames behind the equilibration, `interval` ps apart."""
    scalars = np.stack([frames.energy, frames.virial], axis=1)
    slow = [sampling.correlation_time(column[:, None], frames.replica, interval, np.ones(1)) for column in scalars.T]
    parts = [
        (y.var(axis=0) / np.diag(target.covariance), (target.y - y.mean(axis=0)) ** 2 / np.diag(target.covariance), y)
        for target in study.problem.targets
        if target.state == s
        for y in [target.values(frames)]
    ]
    if not parts:  # nothing is fitted: g(r) itself, its bins weighted as counts that know nothing of each other
        wide = frames.merged(max(1, round(WIDE / (frames.r_max / frames.counts.shape[2]))))
        counts = wide.counts.reshape(len(frames), -1).astype(np.float64)
        mean = counts.mean(axis=0)
        weights = np.divide(counts.var(axis=0), mean, out=np.zeros_like(mean), where=mean > 0.0)
        time = sampling.correlation_time(counts, frames.replica, interval, weights)
        return _Curves(time, 0.0, 0.0, max(time, *slow))
    noise, misfit = np.concatenate([one[0] for one in parts]), np.concatenate([one[1] for one in parts])
    time = sampling.correlation_time(np.hstack([one[2] for one in parts]), frames.replica, interval, noise)
    return _Curves(time, float(noise.mean()), float(misfit.mean()), max(time, *slow))
