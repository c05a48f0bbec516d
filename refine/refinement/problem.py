"""What every update rule is handed: targets, samples, and the signature that it answers with.

Notation of the design: h are the partial pair counts of a frame (pairs x bins), a target is an average over frames
(`refine.refinement.observables`), of a curve y = A h + y0, the correction's energy in a frame is theta . N with
N_k = Σ h B_k. Nothing here knows positions, files or the base potential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.fitted import Determination, Fitted
from refine.refinement.observables.curve import CurveObservable
from refine.refinement.observables.protocol import Observable
from refine.sampling.frames import Frames
from refine.scattering.operator import CurveOperator
from refine.units import BOLTZMANN

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """Something measured in one state, as an average over its frames: a curve, or a number as a curve of one point.

    Attributes:
        name: the data set.
        state: index of the thermodynamic state.
        quantity: what y is, for example "S(Q)", "g(r)" or "pressure".
        pair: index of the species pair if the curve is a partial, else None.
        y: (n,) measured values, treated for the box.
        covariance: (n, n) of y from the measurement (up to a common factor if not `sigma_known`).
        sigma_known: whether the measurement states its errors.
        observable: from frames to the model of y, on the same points.
        weight: of the data set in the fit; the covariance is divided by it.
        free_scale: whether y = baseline + s (model - baseline) + background with s free.
        scale_prior: standard deviation of s about one.
        background: (n, k) what an amplitude of one of each mode of the background, in the units of the declared
            quantity, adds to y; k is one of a flat background; None: none is fitted.
        background_prior: (k,) standard deviations of the amplitudes about zero.
    """

    name: str
    state: int
    quantity: str
    pair: int | None
    y: Array
    covariance: Array
    sigma_known: bool
    observable: Observable
    weight: float = 1.0
    free_scale: bool = False
    scale_prior: float = 0.2
    background: Array | None = None
    background_prior: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def is_number(self) -> bool:
        """Whether it is a measured number, and no curve."""
        return not isinstance(self.observable, CurveObservable)

    @property
    def counted(self) -> bool:
        """Whether it is linear in the pair counts and in nothing else, as every curve is."""
        return self.observable.operator is not None

    @property
    def operator(self) -> CurveOperator:
        """From mean counts to the curve; TypeError where it is not `counted`."""
        operator = self.observable.operator
        if operator is None:
            raise TypeError(f"{self.quantity} is no functional of pair counts")
        return operator

    @property
    def x(self) -> Array:
        """(n,) 1/Å or Å, of a curve."""
        return self.operator.x

    @property
    def baseline(self) -> Array:
        """(n,) the part of y that a free scale does not multiply."""
        return self.operator.baseline if self.counted else np.zeros(len(self.y))

    def values(self, frames: Frames) -> Array:
        """The model of y in every frame, (frames, n), scale 1, under the correction that it was sampled with."""
        return self.observable.values(frames)

    def predict(self, counts: Array) -> Array:
        """The curve (..., n) from mean or single-frame counts (..., pairs, bins), scale 1; of what is `counted`."""
        return self.operator.predict(counts)


@dataclass(frozen=True)
class Sample:
    """Frames of every state, sampled with one correction.

    Attributes:
        correction: what was added to the base model; a state has `correction.at(its temperature)`.
        frames: of every state.
        parameters: (k,) of the base model where a rule changes them too, else None.
        gradients: for every state (windows, len(theta)), derivative of the rule's loss by theta along windows of the
            trajectory; empty for rules that do not ask for it (`TrajectoryRule.cotangents`).
        inefficiency: of every state, by the target's name, the factor (n,) on the variance over its frames that makes
            it the variance of one independent frame, as all samples show it (`responses.slow_modes`), of targets that
            are fitted; empty, or of a state nothing: as its own frames do.
    """

    correction: PairCorrection
    frames: tuple[Frames, ...]
    parameters: Array | None = None
    gradients: tuple[Array, ...] = ()
    inefficiency: tuple[Mapping[str, Array], ...] = ()


class BaseEnergy(Protocol):
    """The base model of one state as a function of its own parameters, for frames that are stored.

    units: (k,) a usual size of each parameter: what an optimiser's step is relative to.
    """

    @property
    def units(self) -> Array:
        """(k,) a usual size of each parameter: what an optimiser's step is relative to."""

    def energies(self, parameters: Array, frames: Frames) -> Array:
        """(frames,), eV, up to a constant that does not depend on the parameters."""

    def gradient(self, parameters: Array, frames: Frames, weights: Array) -> Array:
        """Σ_f weights_f dU_f/d parameters, (k,)."""


class Replay(Protocol):
    """Frames that the base model should still describe, as a term of a loss."""

    def gradient(self, parameters: Array, sampled: Sequence[Frames]) -> tuple[float, Array]:
        """The term and its derivative by the base parameters, (k,); sampled: the first sample, of every state."""


@dataclass(frozen=True)
class Problem:
    """The fixed part of a refinement.

    Attributes:
        targets: what is fitted.
        temperatures: (states,), K.
        base: for every state, where the base model's own parameters are refined; else empty.
        parameters: (k,) those parameters at the start; None likewise.
        solids: states that are no liquids.
        replay: what the base model should not forget while its parameters are refined; None: nothing.
    """

    targets: tuple[Target, ...]
    temperatures: tuple[float, ...]
    base: tuple[BaseEnergy, ...] = ()
    parameters: Array | None = None
    solids: frozenset[int] = frozenset()
    replay: Replay | None = None

    def kt(self, state: int) -> float:
        """Thermal energy of a state, eV."""
        return BOLTZMANN * self.temperatures[state]

    @property
    def points(self) -> int:
        """Number of fitted points, all targets together."""
        return sum(len(t.y) for t in self.targets)


@dataclass(frozen=True)
class Update:
    """A rule's answer to the newest sample.

    Attributes:
        correction: to sample next (or to report, when converged).
        state: the rule's memory, handed back to it at the next call; JSON numbers, lists and None only.
        accepted: False sends configuration and coefficients back to sample `restart`.
        restart: index of the sample whose final configuration the next one starts from.
        converged: no significant change is left.
        confirmed: whether the newest sample came out as a linear prediction of the rule said; what follows from the
            linearisation (covariance, determination) is only reported of a sample that did.
        reason: in words, for the user.
        frames_factor: the next sample's length in units of the study's `frames`.
        fitted: what the rule found beside the correction.
        covariance: posterior covariance of theta, eV^2; None for rules that know none.
        determination: what the data determine; None likewise.
        parameters: (k,) of the base model, to sample next; None where they stay as they are.
        innermost: (pairs,) Å, where pairs are expected to begin under the correction, for rules that predict pairs
            which were not sampled: phi is the rule's down to there.
        lucky: index of an accepted sample whose chi^2 was found to be low by chance, and is no longer a yardstick.
    """

    correction: PairCorrection
    state: dict[str, Any]
    accepted: bool
    restart: int
    converged: bool
    reason: str
    fitted: Fitted
    confirmed: bool = False
    frames_factor: float = 1.0
    covariance: Array | None = None
    determination: Determination | None = None
    parameters: Array | None = None
    innermost: Array | None = None
    lucky: int | None = None


class Rule(Protocol):
    """An update rule: a pure function of what has been sampled so far.

    yields_potential: whether the correction that comes out is a potential to be used.
    knows_slow_modes: whether it is handed samples that say what each other's errors are (`responses.slow_modes`), and
        compares chi^2 of all of them as it is known then; others judge each sample by itself.
    """

    yields_potential: ClassVar[bool]
    knows_slow_modes: ClassVar[bool]

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Raise InputError, before any dynamics, for a problem that the rule cannot solve."""

    def start(self) -> dict[str, Any]:
        """The memory before the first call."""

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """The next correction, from all samples so far (the newest last)."""


@runtime_checkable
class WithdrawingRule(Rule, Protocol):
    """A rule that has something nearer to propose where its last proposal could not be sampled."""

    def withdrawn(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """A shorter step than that of the last update, which `state` is of, from the same samples."""


@runtime_checkable
class MovingRule(Rule, Protocol):
    """A rule whose samples, after the first, come from atoms that are moved to fit the data; no dynamics.

    moves: attempted moves of every atom between frames.
    """

    moves: int

    def distances(self, pairs: Sequence[tuple[str, str]]) -> Array:
        """(pairs,) Å: how near the atoms of each species pair may come."""

    def nuisances(self, problem: Problem, state: int, frames: Frames) -> tuple[Array, Array]:
        """Scales (curves,), amplitudes of backgrounds (curves, k) of a state for the next moves; frames: its newest."""


@runtime_checkable
class TrajectoryRule(Rule, Protocol):
    """A rule that differentiates through the dynamics: `Sample.gradients` is made for it.

    windows, steps: how many windows of how many steps are taken from each state's sample.
    clip: largest norm of a window's gradient, in units of the median; None: any.
    """

    windows: int
    steps: int
    clip: float | None

    def cotangents(self, problem: Problem, sample: Sample) -> tuple[Array, ...]:
        """For every state d loss/d<h>, (pairs, bins): what the windows are differentiated for."""
