"""Reverse Monte Carlo: the sampler moves atoms to fit the data, and this rule only watches it.

Source: R. L. McGreevy and L. Pusztai, Mol. Simul. 1, 359 (1988); the moves are those of
`refine.sampling.moves.reverse_monte_carlo`. No potential comes out (`RMC.yields_potential`): the correction stays as it
is, zero, and what is found are structures, from which g(r) and coordination numbers follow. They are as disordered as
the data and the minimum distances allow; the base model has no say in them but for the start.

When not to use it: when a potential, energies or dynamics are wanted; with few curves for many pairs, where the most
disordered partials that fit are not the true ones; with errors much smaller than the fluctuations of the box, because
every single configuration is then made to reproduce the mean, noise included. There are no constraints on coordination.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import confirmed, misfit, refuse_numbers, refuse_temperature_dependence
from refine.refinement.fitted import Fitted
from refine.refinement.inference.nuisance import best
from refine.refinement.keys import Refinement, Shared
from refine.refinement.problem import Problem, Sample, Update
from refine.sampling.frames import Frames
from refine.tables.species import ByPair
from refine.tables.values import Integer

Array = NDArray[np.float64]


class RMCKeys(Refinement):
    """Reverse Monte Carlo; no potential comes out."""

    method: Literal["rmc"] = "rmc"
    moves: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(
        5, description="Attempted moves of every atom between frames."
    )
    minimum_distances: ByPair = Field(
        default_factory=dict, description="Closest approach in Å by pair, as in `{ Si-O = 1.4 }`."
    )

    def rule(self, shared: Shared) -> RMC:
        """The update rule with these settings."""
        return RMC(minimum_distances=self.minimum_distances, moves=self.moves, final_factor=shared.final_factor)


@dataclass(frozen=True)
class RMC:
    """Watches chi^2 of the mean curves fall.

    Attributes:
        minimum_distances: Å, of species pairs such as "Fe-O", in either order; pairs that are not named have
            none.
        moves: attempted moves of every atom between frames.
        final_factor: length of the confirming samples in units of the ordinary ones.
        yields_potential: no.
    """

    yields_potential: ClassVar[bool] = False
    knows_slow_modes: ClassVar[bool] = False
    minimum_distances: Mapping[str, float]
    moves: int
    final_factor: float

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Any curves will do, in any space; the distances must be those of pairs of the system."""
        refuse_temperature_dependence(correction, "rmc")
        refuse_numbers(problem, "rmc")
        if not problem.targets:
            raise InputError("rmc needs a curve to fit", where="[[data]]", fix='give a curve the role "fit"')
        self.distances(correction.pairs)

    def distances(self, pairs: Sequence[tuple[str, str]]) -> Array:
        """Minimum distances (pairs,) Å in the order of `pairs`, zero where there is none."""
        minimum = np.zeros(len(pairs))
        for name, distance in self.minimum_distances.items():
            matching = [i for i, (a, b) in enumerate(pairs) if name in (f"{a}-{b}", f"{b}-{a}")]
            if not matching:
                raise InputError(
                    f"{name} is no pair of the system",
                    where="[refinement] minimum_distances",
                    fix=f"use {', '.join('-'.join(pair) for pair in pairs)}",
                )
            minimum[matching[0]] = distance
        return minimum

    def nuisances(self, problem: Problem, state: int, frames: Frames) -> tuple[Array, Array]:
        """Best scales (curves,) and amplitudes of backgrounds (curves, k) of a state, at the mean counts of frames.

        What the sampler takes as its parameters for the next moves; zero where a curve has fewer modes than others.
        """
        targets = [t for t in problem.targets if t.state == state]
        mean = frames.counts.mean(axis=0, dtype=np.float64)
        free = [best(t, t.predict(mean)) for t in targets]
        amplitudes = np.zeros((len(free), max((len(f.background) for f in free), default=0)))
        for row, f in zip(amplitudes, free, strict=True):
            row[: len(f.background)] = f.background
        return np.array([f.scale for f in free]), amplitudes

    def start(self) -> dict[str, Any]:
        """Memory before the first call."""
        return {"previous": None, "frames_factor": 1.0}

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """The correction as it was; converged when chi^2 no longer changes beyond its sampling error."""
        memory = dict(state)
        present = misfit(samples[-1], problem.targets)
        since = present.since(memory["previous"])
        converged, memory["frames_factor"], words = confirmed(since.settled, memory["frames_factor"], self.final_factor)
        reason = f"{since}, within its sampling error; {words}" if since.settled else ""
        if converged:
            reason += " (structures, no potential)"
        memory["previous"] = present.stored
        return Update(
            correction=samples[-1].correction,
            state=memory,
            accepted=True,
            restart=len(samples) - 1,
            converged=converged,
            reason=reason,
            frames_factor=float(memory["frames_factor"]),
            fitted=Fitted(
                effective_sample_size=float(min(len(f) for f in samples[-1].frames)),
                step=0.0,
            ),
        )
