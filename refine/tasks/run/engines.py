"""What makes the frames of a run in each of its states: dynamics, moves of atoms, and gradients along trajectories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
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
from refine.tasks.pilot import equilibrated

if TYPE_CHECKING:
    from refine.sampling.engine import FrameMaker
    from refine.sampling.files.sampler import FilesSampler, Returned
    from refine.sampling.jax.adjoint import Adjoint
    from refine.sampling.moves.reverse_monte_carlo import ReverseMonteCarlo
    from refine.study.study import Study

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

    def start(self, s: int, progress: Progress) -> State:
        """The start structure of a state, equilibrated under the base model unless others do that."""
        field, sampler = self.samplers[s]
        if self.study.engine.elsewhere:  # where it is to be equilibrated, too
            begin: State = cast("FilesSampler", sampler).where_from(
                starts(sampler, seed_of_state(self.study.settings.seed, s))
            )
            return begin
        params = self.study.force_field_params(field, s, self.study.initial_correction())
        state: State = equilibrated(self.study, s, sampler, params, progress)
        return state

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
