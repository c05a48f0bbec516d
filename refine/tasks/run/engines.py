"""What makes the frames of a run in each of its states: dynamics, moves of atoms, and gradients along trajectories."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.progress import Progress
from refine.refinement.problem import MovingRule, Sample, TrajectoryRule
from refine.sampling.engine import frames_in
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.starts import starts, starts_along
from refine.sampling.state import State
from refine.tasks.lanes import in_lanes, lanes_of
from refine.tasks.pilot import equilibrated_states
from refine.tasks.sample import Piece, pieces

if TYPE_CHECKING:
    from refine.sampling.engine import FrameMaker
    from refine.sampling.files.sampler import FilesSampler, Returned
    from refine.sampling.jax.adjoint import Adjoint
    from refine.sampling.moves.reverse_monte_carlo import ReverseMonteCarlo
    from refine.study.study import Study
    from refine.tasks.run.record import Potential
    from refine.tasks.run.store import Unfinished

Array = NDArray[np.float64]

SETTLING_MOVES = 4
"""After a change atoms that are moved to fit the data settle for this part of the frames that count."""


class Engines:
    """Of all states of a study; what is slow to make is made when it is first asked for."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.samplers = study.samplers(positions=study.config.sampling.keep != "final")
        self.movers: list[ReverseMonteCarlo] | None = None
        self.adjoints: list[Adjoint] | None = None

    def __len__(self) -> int:
        return len(self.samplers)

    def lenient(self) -> None:
        """From now on nothing that is found in a trajectory ends a run: it is said beside its results."""
        self.samplers = [(field, sampler.lenient()) for field, sampler in self.samplers]

    def starts(self, first: int, progress: Progress) -> Iterator[State]:
        """The start structures of the states from number `first` on, in their order, equilibrated under the base model
        unless others do that."""
        study = self.study
        if study.engine.elsewhere:  # where it is to be equilibrated, too
            for s, (_, sampler) in list(enumerate(self.samplers))[first:]:
                yield cast("FilesSampler", sampler).where_from(starts(sampler, seed_of_state(study.settings.seed, s)))
            return
        correction = study.initial_correction()
        acting = [study.force_field_params(field, s, correction) for s, (field, _) in enumerate(self.samplers)]
        samplers = [(sampler, params) for (_, sampler), params in zip(self.samplers, acting, strict=True)]
        yield from equilibrated_states(study, samplers, progress, first=first)

    @property
    def lanes(self) -> list[int]:
        """Of each state, see `refine.tasks.lanes`. Atoms that are moved to fit the data are moved state by state."""
        if isinstance(self.study.rule, MovingRule):
            return [0] * len(self)
        return lanes_of(self.study, [sampler for _, sampler in self.samplers])

    def pieces(
        self,
        current: Sequence[Unfinished],
        potential: Potential,
        correction: PairCorrection,
        samples: Sequence[Sample],
        returned: Sequence[Returned],
        frames: int,
        settle: int,
        progress: Progress,
    ) -> Iterator[tuple[int, tuple[Piece, tuple[str, ...]]]]:
        """What is still missing of a sample, piece by piece: the state's number, a piece of it, and notes of its
        trajectory until there.

        current: how far each state is.  frames, settle: of each replica, that count, and before them.  The others are
        those of `of`.
        """

        def work(s: int, _: Progress) -> Iterator[tuple[Piece, tuple[str, ...]]]:
            stored, given = current[s], returned[s] if returned else None
            engine, params, start = self.of(s, stored.state, correction, potential.parameters, samples, given)
            temperature = self.study.problem.temperatures[s]
            for piece in pieces(engine, start, params, temperature, frames, settle=settle, done=stored.done):
                yield piece, tuple(engine.notes)

        return in_lanes([partial(work, s) for s in range(len(self))], self.lanes, progress)

    def settling(self, frames: int) -> int:
        """Frames that do not count behind a change, before so many that do: picoseconds of dynamics, or moves."""
        if isinstance(self.study.rule, MovingRule):
            return frames // SETTLING_MOVES
        if self.study.engine.elsewhere:
            return 0
        return frames_in(self.study.settings.reequilibration, self.samplers[0][1])

    def of(
        self,
        s: int,
        state: State,
        correction: PairCorrection,
        parameters: Array | None,
        samples: Sequence[Sample],
        returned: Returned | None = None,
    ) -> tuple[FrameMaker[Any], Any, State]:
        """What makes the frames of a state under a potential, its parameters, and the state as it takes it.

        state: where the trajectory stands.  parameters: (k,) of the base; None: its own.  samples: those before.
        returned: what others have made, where they do.
        """
        study, rule = self.study, self.study.rule
        if not (isinstance(rule, MovingRule) and samples):
            field, sampler = self.samplers[s]
            if returned is not None:
                sampler = cast("FilesSampler", sampler).giving(returned)
            return sampler, study.force_field_params(field, s, correction, parameters), state
        if self.movers is None:
            self.movers = study.movers(rule)
        seed = seed_of_state(study.config.sampling.seed, s)
        state = self.movers[s].adopted(state, study.problem.temperatures[s], seed)
        return self.movers[s], rule.nuisances(study.problem, s, samples[-1].frames[s]), state

    def differentiated(
        self, rule: TrajectoryRule, sample: Sample, ends: Sequence[State], progress: Progress
    ) -> tuple[Sample, list[State]]:
        """The sample with gradients of windows that start one after the other behind it, and where that ended."""
        if self.adjoints is None:
            self.adjoints = self.study.adjoints(rule.steps, rule.clip)
        # windows overlap by half
        apart = max(1, rule.steps // (2 * self.study.settings.stride))
        cotangents, gradients, begun, after = rule.cotangents(self.study.problem, sample), [], [], []
        steps = sum(math.ceil(rule.windows / one.replicas) * apart * one.stride for _, one in self.samplers)
        progress.stage("where windows start", steps)
        for s, (field, sampler) in enumerate(self.samplers):
            params = self.study.force_field_params(field, s, sample.correction)
            temperature = self.study.problem.temperatures[s]
            starts, end = starts_along(sampler, ends[s], params, temperature, rule.windows, apart, progress.advance)
            begun.append(starts)
            after.append(end)
        progress.stage(
            "differentiating",
            sum(len(starts) * one.replicas for starts, (_, one) in zip(begun, self.samplers, strict=True)),
        )
        for adjoint, starts, cotangent in zip(self.adjoints, begun, cotangents, strict=True):
            windows = adjoint.gradients(starts, sample.correction, cotangent, on_window=lambda _: progress.advance(1))
            gradients.append(windows.gradients)
        return replace(sample, gradients=tuple(gradients)), after
