"""What a step, a frame and an update cost on this machine, measured: some steps of the study's own dynamics.

Steps are timed in calls of a program that is compiled before: `STEPS` of them, and of cheap potentials so many that
they take about a second. The same steps with and without a frame behind them give what a frame costs. Trajectories
begin as the study's do. An update is that of the study's rule, on as many frames as it will have, whose counts are
those of the timed frames with the scatter of independent counts.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from refine.errors import RefineError, SimulationError
from refine.progress import Progress
from refine.refinement.problem import MovingRule, Sample, TrajectoryRule
from refine.results.scores import score
from refine.sampling.frames import Frames
from refine.sampling.jax.device import device_name
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.starts import begin
from refine.tasks.check.plan import Plan
from refine.tasks.forward.tables import Averages, prediction_table
from refine.tasks.run.engines import SETTLING_MOVES, Engines
from refine.units import BOLTZMANN

if TYPE_CHECKING:
    from refine.study.study import Study

T = TypeVar("T")

STEPS = 10
"""Timed at least, and steps between the frames that are timed."""

SECONDS, MOST = 1.0, 200
"""How long steps are timed where they are cheap, and how many times `STEPS` at most."""

COMPILED = 10.0
"""Seconds: an update that took less is timed again, without what it compiles at first."""


@dataclass(frozen=True)
class StateTiming:
    """Seconds of one state.

    Attributes:
        name: of the state.  steps: that were timed.
        start: packing and relaxation of the start structure, compiled.
        compiling: the program of the dynamics.
        step, frame: of all replicas together.
        move_frame: of a frame of atoms that are moved to fit the data; None where none are.
        window: of a window of each replica that is differentiated; None where none is.
    """

    name: str
    steps: int
    start: float
    compiling: float
    step: float
    frame: float
    move_frame: float | None
    window: float | None = None


@dataclass(frozen=True)
class Timing:
    """What a study costs on this machine.

    Attributes:
        device: in words.
        states: of each.
        curves: seconds for all curves of an ordinary sample, their scores and errors.
        update: seconds of an update of the rule on one sample; None where it was not timed, for a reason in `notes`.
        resident: bytes of this process at its largest so far.
        notes: what is not in the numbers.
    """

    device: str
    states: tuple[StateTiming, ...]
    curves: float
    update: float | None
    resident: int
    notes: tuple[str, ...]

    def seconds(self, plan: Plan) -> dict[str, float]:
        """By what they are spent on, at most."""
        pairs = list(zip(plan.states, self.states, strict=True))
        settled = 1.0 + 1.0 / SETTLING_MOVES
        seen = [one.first_frames + (one.all_frames - one.moved_frames) / plan.replicas for one in plan.states]
        return {
            "start structures": sum(cost.start for cost in self.states),
            "compiling": plan.programs * sum(cost.compiling for cost in self.states),
            "steps": sum(one.steps * cost.step for one, cost in pairs),
            "frames": sum(number * cost.frame for number, cost in zip(seen, self.states, strict=True)),
            "moves": sum(settled * one.moved_frames / plan.replicas * (cost.move_frame or 0.0) for one, cost in pairs),
            "windows": sum(one.samples * one.windows * (cost.window or 0.0) for one, cost in pairs),
            "curves": self.curves * plan.states[0].lengths,
            "updates": (self.update or 0.0) * plan.states[0].samples,
        }


def timed(study: Study, *, fitted: bool, progress: Progress) -> Timing:
    """Time the dynamics of a study, its curves and its rule.

    fitted: whether there is a run of several samples.
    Raises what the dynamics raise.
    """
    timed_study = study.with_settings(replace(study.settings, stride=STEPS))
    engines = Engines(timed_study)
    progress.stage("timing the dynamics", 3 * len(engines))
    states, ends, frames = [], [], []
    for s in range(len(engines)):
        cost, end, seen = _state(timed_study, engines, s, fitted, progress)
        states.append(cost)
        ends.append(end)
        frames.append(seen)
    progress.stage("timing curves and updates", 2)
    progress.doing("curves of a whole sample, and an update")
    sample = Sample(study.initial_correction(), tuple(made_up(one, study, s) for s, one in enumerate(frames)))
    if fitted and isinstance(study.rule, TrajectoryRule):
        states, sample = _windows(study, study.rule, states, ends, sample)
    curves = _seconds(lambda: _curves(study, sample))[0]
    progress.advance(1)
    update, notes = _update(study, sample) if fitted else (None, [])
    progress.advance(1)
    return Timing(device_name(), tuple(states), curves, update, resident(), tuple(notes))


def _state(study: Study, engines: Engines, s: int, fitted: bool, progress: Progress) -> tuple[StateTiming, Any, Frames]:
    """Seconds of a state, where its trajectories stand, and a frame of each replica."""
    correction = study.initial_correction()
    temperature = study.stages[0].temperature if study.stages else study.problem.temperatures[s]
    field, sampler = engines.samplers[s]
    params = study.force_field_params(field, s, correction)
    progress.doing("relaxing the start structure")
    start, state = _seconds(lambda: begin(sampler, params, temperature, seed_of_state(study.settings.seed, s)))
    progress.advance(1)

    def run(number: int, *, observe: bool = False) -> tuple[float, Any]:
        return _seconds(lambda: sampler.run(state, params, temperature, number, observe=observe))

    first, one = run(1)[0], run(1)[0]
    number = int(min(max(1.0, SECONDS / one), MOST))
    plain = one if number == 1 else run(number)[0]
    progress.advance(1)
    # each from the same state: a packing that is let go heats up, which a sample is refused for
    try:
        watched, (end, frames) = run(1, observe=True)
    except SimulationError:  # even so soon; what a frame costs does not depend on the time step
        sampler = sampler.changed(timestep=sampler.timestep / 100.0)
        run(1)  # compiled
        one, (watched, (end, frames)) = run(1)[0], run(1, observe=True)
    again = int(min(SECONDS / watched, MOST))
    if again:
        watched = sum(run(1, observe=True)[0] for _ in range(again)) / again
        one = sum(run(1)[0] for _ in range(again)) / again
    progress.advance(1)
    move = None
    if fitted and isinstance(study.rule, MovingRule):
        before = [Sample(correction, tuple(frames for _ in range(len(engines))))]
        mover, weights, moved = engines.of(s, end, correction, None, before)
        mover.run(moved, weights, temperature, 1)  # compiled
        move = _seconds(lambda: mover.run(moved, weights, temperature, 1))[0]
    step = plain / (number * STEPS)
    cost = StateTiming(
        name=study.config.states[s].name,
        steps=number * STEPS,
        start=start,
        compiling=max(0.0, first - STEPS * step),
        step=step,
        frame=max(0.0, watched - one),
        move_frame=move,
    )
    return cost, end, frames


def _windows(
    study: Study, rule: TrajectoryRule, states: list[StateTiming], ends: list[Any], sample: Sample
) -> tuple[list[StateTiming], Sample]:
    """The seconds with those of a window of each replica, and the sample with the gradients of two."""
    costs, gradients = [], []
    for one, adjoint, end, cotangent in zip(
        states, study.adjoints(rule.steps, rule.clip), ends, rule.cotangents(study.problem, sample), strict=True
    ):
        calls = [_seconds(partial(adjoint.gradients, [end], sample.correction, cotangent)) for _ in range(2)]
        costs.append(replace(one, window=calls[1][0]))  # the first is compiled
        gradients.append(np.concatenate([windows.gradients for _, windows in calls]))
    return costs, replace(sample, gradients=tuple(gradients))


def made_up(frames: Frames, study: Study, s: int) -> Frames:
    """As many frames as the study's ordinary samples have, from some: repeated, with Poisson scatter of each count, and
    energies that scatter as those of as many oscillators."""
    rng, number = np.random.default_rng(0), study.settings.frames
    which = np.arange(number) % len(frames)
    bonded = None if frames.bonded is None else frames.bonded[which]
    felt = rng.poisson(np.maximum(frames.felt.counts[which], 0.0)).astype(np.float32)
    spread = np.sqrt(1.5 * frames.n_atoms) * BOLTZMANN * study.problem.temperatures[s]
    each = -(-number // study.settings.replicas)
    return replace(
        frames,
        counts=felt if bonded is None else felt + bonded,
        bonded=bonded,
        energy=frames.energy[which] + spread * rng.normal(size=number),
        virial=frames.virial[which] + spread * rng.normal(size=number),
        temperature=frames.temperature[which],
        replica=np.arange(number) // each,
        positions=None if frames.positions is None else frames.positions[which],
    )


def _curves(study: Study, sample: Sample) -> None:
    """Scores of all measured curves, and predicted curves with their errors."""
    for data in study.datasets:
        score(data, study.targets[data.name], sample.frames[data.state])
    for one in study.predictions:
        prediction_table(Averages(sample.frames[one.state]), one)


def _update(study: Study, sample: Sample) -> tuple[float | None, list[str]]:
    """Seconds of the rule's first update, and what is to be said of it."""

    def update() -> float:
        return _seconds(lambda: study.rule.update(study.rule.start(), study.problem, [sample]))[0]

    try:
        first = update()
        return (update() if first < COMPILED else first), []
    except (RefineError, ArithmeticError, np.linalg.LinAlgError) as error:  # nobody promised it what is made up
        return None, [f"updates are not timed: {error}"]


def _seconds(call: Callable[[], T]) -> tuple[float, T]:
    """How long a call takes, and its result."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def resident() -> int:
    """Bytes of memory of this process at its largest so far."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest
