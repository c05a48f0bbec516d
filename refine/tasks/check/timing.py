"""What a step, a frame and an update cost on this machine, measured: some steps of the study's own dynamics.

Steps are timed in calls of a program that is compiled before: `STEPS` of them, and of cheap potentials so many that
they take about a second. A block costs something before its first step, most of all where a program is started for it:
that is what few steps take longer than their share of many, and comes once in a block. The same steps with and without
frames give what a frame costs. Trajectories begin as the study's do. An update is that of the study's rule, on as many
frames as it will have, whose counts are those of the timed frames with the scatter of independent counts.

States with devices of their own are sampled at the same time. Each is timed alone, and then one of each group of
devices at once: by how much that is slower is what they share, cores of a processor say.

Times are those of the clock, on a machine that may be busy: how much of a core they had is said, too.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from refine.errors import RefineError, SimulationError
from refine.progress import NullProgress, Progress
from refine.refinement.problem import MovingRule, Sample, TrajectoryRule
from refine.results.scores import score
from refine.sampling.frames import Frames
from refine.sampling.jax.device import device_name
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.starts import begin
from refine.tasks.check.cost import StateTiming, Timing
from refine.tasks.forward.tables import Averages, prediction_table
from refine.tasks.lanes import in_lanes, lanes_of
from refine.tasks.run.engines import Engines
from refine.threads import one_thread
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


def timed(study: Study, *, fitted: bool, progress: Progress) -> Timing:
    """Time the dynamics of a study, its curves and its rule.

    fitted: whether there is a run of several samples.
    Raises what the dynamics raise.
    """
    timed_study = study.with_settings(replace(study.settings, stride=STEPS))
    engines = Engines(timed_study)
    progress.stage("timing the dynamics", 3 * len(engines))
    states, begun, ends, frames = [], [], [], []
    for s in range(len(engines)):
        cost, start, end, seen = _state(timed_study, engines, s, fitted, progress)
        states.append(cost)
        begun.append(start)
        ends.append(end)
        frames.append(seen)
    lanes = lanes_of(study, [sampler for _, sampler in engines.samplers])
    slowed = _slowed(timed_study, engines, lanes, begun, states, progress)
    progress.stage("timing curves and updates", 2)
    progress.doing("curves of a whole sample, and an update")
    sample = Sample(study.initial_correction(), tuple(made_up(one, study, s) for s, one in enumerate(frames)))
    if fitted and isinstance(study.rule, TrajectoryRule):
        states, sample = _windows(study, study.rule, states, ends, sample)
    curves = _seconds(lambda: _curves(study, sample))[0]
    progress.advance(1)
    update, notes = _update(study, sample) if fitted else (None, [])
    progress.advance(1)
    return Timing(device_name(), tuple(states), curves, update, resident(), tuple(notes), tuple(lanes), slowed)


def _state(
    study: Study, engines: Engines, s: int, fitted: bool, progress: Progress
) -> tuple[StateTiming, Any, Any, Frames]:
    """Seconds of a state, where its trajectories began and where they stand, and a frame of each replica."""
    correction = study.initial_correction()
    temperature = _temperature(study, s)
    field, sampler = engines.samplers[s]
    params = study.force_field_params(field, s, correction)
    progress.doing("relaxing the start structure")
    start, state = _seconds(lambda: begin(sampler, params, temperature, seed_of_state(study.settings.seed, s)))
    progress.advance(1)

    def run(number: int, *, observe: bool = False) -> tuple[float, Any]:
        return _seconds(lambda: sampler.run(state, params, temperature, number, observe=observe))

    first = run(1)[0]
    used, clock = -processors(), -time.perf_counter()
    one = run(1)[0]
    number, plain, most = 1, one, min(MOST, sampler.frames_per_block)
    # until the steps behind those of the first call take a second, and a third of all where starting it takes most
    while plain < one + (wanted := max(SECONDS, one / 2)) and number < most:
        number = min(most, more(number, plain - one, wanted, dear=one > SECONDS))
        plain = run(number)[0]
    used, clock = used + processors(), clock + time.perf_counter()
    progress.advance(1)
    # each from the same state: a packing that is let go heats up, which a sample is refused for
    try:
        end, frames = run(1, observe=True)[1]
        watched, unwatched, each = run(number, observe=True)[0], plain, number
    except SimulationError:  # even so soon; what a frame costs does not depend on the time step
        sampler = sampler.changed(timestep=sampler.timestep / 100.0)
        end, frames = run(1, observe=True)[1]
        run(1)  # compiled
        again = range(1 + int(min(SECONDS / one, MOST)))
        watched, unwatched = (sum(run(1, observe=seen)[0] for _ in again) for seen in (True, False))
        each = len(again)
    progress.advance(1)
    move = None
    if fitted and isinstance(study.rule, MovingRule):
        before = [Sample(correction, tuple(frames for _ in range(len(engines))))]
        mover, weights, moved = engines.of(s, end, correction, None, before)
        mover.run(moved, weights, temperature, 1)  # compiled
        move = _seconds(lambda: mover.run(moved, weights, temperature, 1))[0]
    cost = StateTiming(
        name=study.config.states[s].name,
        steps=number * STEPS,
        start=start,
        compiling=max(0.0, first - one),
        step=of_a_step(one, plain, number, sampler.frames_per_block),
        share=used / clock,
        frame=max(0.0, watched - unwatched) / each,
        move_frame=move,
    )
    return cost, state, end, frames


def _temperature(study: Study, s: int) -> float:
    """That a state begins with, K."""
    return study.stages[0].temperature if study.stages else study.problem.temperatures[s]


def _slowed(
    study: Study,
    engines: Engines,
    lanes: Sequence[int],
    begun: Sequence[Any],
    states: Sequence[StateTiming],
    progress: Progress,
) -> float:
    """How many times as long the steps of the first state of each lane take at once as the slowest of them alone."""
    firsts = [lanes.index(lane) for lane in sorted(set(lanes))]
    if len(firsts) < 2:
        return 1.0
    progress.doing("timing states at the same time")

    def work(s: int, _: Progress) -> Iterator[Any]:
        field, sampler = engines.samplers[s]
        params = study.force_field_params(field, s, study.initial_correction())
        yield sampler.run(begun[s], params, _temperature(study, s), states[s].steps // STEPS, observe=False)

    alone = max(states[s].step * states[s].steps for s in firsts)
    together = _seconds(lambda: list(in_lanes([partial(work, s) for s in firsts], firsts, NullProgress())))[0]
    return max(1.0, together / alone)


def more(number: int, further: float, wanted: float, *, dear: bool) -> int:
    """How many times `STEPS` to time next, where `number` took so many seconds further than one, for so many wanted;
    dear: whether one took long, for which its steps may be the reason."""
    if number == 1:
        return 2 if dear else 10
    return 10 * number if further < 0.12 * wanted else int(1.2 * number * wanted / further) + 1


def of_a_step(one: float, several: float, number: int, block: int) -> float:
    """Seconds of a step in whole blocks, from those of one call of `STEPS` steps and of one of `number` times as many;
    block: how many times as many a block has.

    >>> round(of_a_step(0.5 + 0.02, 0.5 + 0.8, 40, 100), 9)  # half a second before the first step
    0.0025
    """
    further = (several - one) / (number - 1) if number > 1 and several > one else several / number
    return (further + max(0.0, one - further) / block) / STEPS


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

    @one_thread()
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


def processors() -> float:
    """Seconds of processors that this process and those that it has waited for have taken."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, _WHOSE))


_WHOSE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def resident() -> int:
    """Bytes of memory of this process at its largest so far."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest
