"""Gradient descent on averages reweighted from stored frames: differentiable trajectory reweighting.

The gradient goes through the weights of the frames, not through the dynamics (docs/theory/rules.md). dL/dU_f is by
automatic differentiation; dU_f/d theta = N_f for the correction, and the base model's own parameters are asked of
`BaseEnergy`. A target that depends on theta at fixed atoms, such as the pressure, has the value that theta gives it in
each frame. Scale and background are constants in it: at their optimum their own change adds nothing to first order. An
optimiser of optax takes steps on one sample until the effective sample size, 1/Σ w^2, is below `threshold` of the
frames; then the liquid is sampled again. Source: S. Thaler and J. Zavadlav, Nat. Commun. 12, 6884 (2021). Two things
are assumed and were not checked in the paper: that the step which goes below the threshold is kept, and that 0.9 is its
usual value. No prior is added to the loss; frames that the base model should still describe add their errors to it
(`refine.learning.replay`), so that weights do not forget what no curve shows.

When not to use it: for a pair correction alone, whose linear response is at hand: a Gauss-Newton step uses the same
frames and goes as far as they can tell at once, where a first-order optimiser needs tens of samples. The effective
share of frames falls as exp(-Var[U(p) - U(p0)]/kT^2), and that variance grows with the number of atoms times the
square of the change: a step on a large box must be small. Coefficients that nothing sampled determines keep whatever
the optimiser gave them, and without a prior noisy data are fitted down to their noise. What it is for is parameters in
which the model is not linear: epsilon, sigma, or the weights of a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement import optimisers
from refine.refinement.convergence import REPLAYED, confirmed, misfit
from refine.refinement.fitted import Fitted
from refine.refinement.inference.nuisance import best
from refine.refinement.inference.reweighting import effective_sample_size
from refine.refinement.inference.statistics import coefficient_counts
from refine.refinement.keys import Descent, Shared
from refine.refinement.problem import Problem, Sample, Target, Update
from refine.refinement.steps import step_sizes
from refine.tables.values import Integer, Kind, Line, Number

Array = NDArray[np.float64]

FEWEST_SHARE = 0.05
"""Effective share of the frames below which their averages cannot be trusted."""

QUIET = 2
"""Times in a row that chi^2 must not have changed beyond its sampling error."""


class DiffTReKeys(Descent):
    """Gradient of reweighted averages."""

    method: Literal["difftre"] = "difftre"
    inner_steps: Annotated[Integer, Field(ge=1, le=10_000)] = Field(
        20, description="At most so many steps of the optimiser on one sample."
    )
    threshold: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.9, description="A new sample is taken below this effective share of the frames."
    )
    parameters: Annotated[tuple[Line, ...], Field(min_length=1), Kind("list of names")] = Field(
        ("correction",),
        description="What is fitted: `correction`, parameters of a classical base (`epsilon`, `sigma`), those of a "
        "MACE base (`weights` for all, or a part by its name, such as `layers.1.readout`), low-rank changes of a MACE "
        "base's matrices (`lora:8:layers.1` for those of a part with rank 8, `lora:8` for all that are not named "
        "otherwise), or several.",
    )

    @property
    def base_parameters(self) -> tuple[str, ...]:
        """Parameters of the base model that are refined, too, by name."""
        return tuple(name for name in self.parameters if name != "correction")

    @property
    def replays(self) -> bool:
        """With parameters of the base."""
        return bool(self.base_parameters)

    def rule(self, shared: Shared) -> DiffTRe:
        """The update rule with these settings."""
        return DiffTRe(
            optimiser=self.optimiser,
            learning_rate=self.learning_rate,
            threshold=self.threshold,
            inner_steps=self.inner_steps,
            final_factor=shared.final_factor,
            parameters=self.parameters,
        )


@dataclass(frozen=True)
class Curves:
    """One target seen by the frames of its state.

    Attributes:
        y: (frames, n) of each, under the sample's theta.
        whitening: L^-1 (n, n), L L' = Σ/weight.
        explicit: dy/d theta of each at fixed atoms, (frames, n, len(theta)); None where there is none.
    """

    target: Target
    y: Array
    whitening: Array
    explicit: Array | None


@dataclass(frozen=True)
class Loss:
    """L as a function of (theta, base parameters), from the frames of one sample.

    Attributes:
        problem, sample: what is fitted, and where the weights are all equal.
        numbers: for every state N, (frames, len(theta)).
        base: for every state the base model's energies under the sample's parameters, (frames,), eV; empty where those
            stay as they are.
        curves: for every state, its targets.
    """

    problem: Problem
    sample: Sample
    numbers: tuple[Array, ...]
    base: tuple[Array, ...]
    curves: tuple[tuple[Curves, ...], ...]

    @classmethod
    def of(cls, problem: Problem, sample: Sample, base: bool = False) -> Loss:
        """base: whether the base model's parameters change too."""
        numbers = tuple(
            coefficient_counts([frames], sample.correction, temperature)
            for frames, temperature in zip(sample.frames, problem.temperatures, strict=True)
        )
        sampled = _sampled(problem, sample)
        energies = (
            tuple(model.energies(sampled, f) for model, f in zip(problem.base, sample.frames, strict=True))
            if base
            else ()
        )
        curves = tuple(
            tuple(
                Curves(
                    t,
                    np.asarray(t.values(frames), float),
                    np.linalg.inv(np.linalg.cholesky(t.covariance / t.weight)),
                    t.observable.explicit(frames, sample.correction),
                )
                for t in problem.targets
                if t.state == state
            )
            for state, frames in enumerate(sample.frames)
        )
        return cls(problem, sample, numbers, energies, curves)

    def energies(self, theta: Array, parameters: Array) -> list[Array]:
        """For every state U_f(p) - U_f(p0), (frames,), eV."""
        change = [n @ (theta - self.sample.correction.theta) for n in self.numbers]
        if not self.base:
            return change
        return [
            du + model.energies(parameters, frames) - start
            for du, model, frames, start in zip(change, self.problem.base, self.sample.frames, self.base, strict=True)
        ]

    def share(self, theta: Array, parameters: Array) -> float:
        """Effective share of the frames, the smallest of all states."""
        return min(
            effective_sample_size(softmax(-du / self.problem.kt(state))) / len(du)
            for state, du in enumerate(self.energies(theta, parameters))
        )

    def gradient(self, theta: Array, parameters: Array) -> tuple[float, Array, Array]:
        """L, dL/d theta (1/eV) and dL/d base parameters (empty where those stay as they are)."""
        moved = theta - self.sample.correction.theta
        loss, to_theta, to_base = 0.0, np.zeros_like(theta), np.zeros_like(parameters if self.base else theta[:0])
        for state, du in enumerate(self.energies(theta, parameters)):
            if not self.curves[state]:
                continue
            value, slope, at_fixed_atoms = self._of_energies(state, du, moved)
            loss += value
            to_theta = to_theta + self.numbers[state].T @ slope + at_fixed_atoms
            if self.base:
                frames = self.sample.frames[state]
                to_base = to_base + self.problem.base[state].gradient(parameters, frames, slope)
        return loss, to_theta, to_base

    def _of_energies(self, state: int, du: Array, moved: Array) -> tuple[float, Array, Array]:
        """A state's share of L, and its derivatives by each frame's energy, (frames,), and by theta at fixed atoms and
        weights, (len(theta),), 1/eV. moved: theta less the sample's."""
        kt, curves = self.problem.kt(state), self.curves[state]
        weights = softmax(-du / kt)
        y = [c.y if c.explicit is None else c.y + c.explicit @ moved for c in curves]
        free = [best(c.target, weights @ values) for c, values in zip(curves, y, strict=True)]

        def share_of_loss(energies: jax.Array, means: list[jax.Array]) -> jax.Array:
            w = jax.nn.softmax(-energies / kt)
            total = jnp.zeros(())
            for curve, values, mean, nuisance in zip(curves, y, means, free, strict=True):
                model = nuisance.apply(curve.target, w @ values + mean)
                total = total + 0.5 * jnp.sum((curve.whitening @ (curve.target.y - model)) ** 2)
            return total / self.problem.points

        with jax.enable_x64(True):
            nothing = [jnp.zeros(len(c.target.y)) for c in curves]
            value, (slope, by_means) = jax.value_and_grad(share_of_loss, argnums=(0, 1))(jnp.asarray(du), nothing)
        at_fixed_atoms = np.zeros_like(moved)
        for curve, by_mean in zip(curves, by_means, strict=True):
            if curve.explicit is not None:
                at_fixed_atoms += np.asarray(by_mean, float) @ np.tensordot(weights, curve.explicit, axes=1)
        return float(value), np.asarray(slope, float), at_fixed_atoms


def _sampled(problem: Problem, sample: Sample) -> Array:
    """The base parameters of a sample; empty where the problem has none."""
    parameters = problem.parameters if sample.parameters is None else sample.parameters
    return np.zeros(0) if parameters is None else np.asarray(parameters, float)


@dataclass(frozen=True)
class DiffTRe:
    """The rule. A study names it as `difftre`.

    Attributes:
        optimiser: any of optax that is made from a learning rate.
        learning_rate: of theta in kT; of a base parameter relative to its value at the start.
        threshold: effective share of the frames below which the liquid is sampled again.
        inner_steps: at most so many steps of the optimiser on one sample.
        final_factor: length of the confirming samples in units of the ordinary ones.
        parameters: what is moved: "correction", and any other name for `Problem.parameters`, as a whole.
    """

    yields_potential: ClassVar[bool] = True
    knows_slow_modes: ClassVar[bool] = False
    optimiser: str
    learning_rate: float
    threshold: float
    inner_steps: int
    final_factor: float
    parameters: tuple[str, ...]

    @property
    def moves_correction(self) -> bool:
        """Whether theta is moved."""
        return "correction" in self.parameters

    @property
    def moves_base(self) -> bool:
        """Whether the base model's parameters are moved."""
        return any(name != "correction" for name in self.parameters)

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Any curve or number will do where the correction alone is moved, with the base only what follows from pair
        counts; the optimiser must exist, and what is to be moved must be there."""
        optimisers.make(self.optimiser, self.learning_rate)
        if self.moves_base and (problem.parameters is None or len(problem.base) != len(problem.temperatures)):
            raise InputError(
                f"the base model has no parameters {', '.join(n for n in self.parameters if n != 'correction')}",
                where="[refinement] parameters",
                fix="choose a base whose parameters can be refined, or refine the correction alone",
            )
        fixed = [target for target in problem.targets if not target.counted]
        if self.moves_base and fixed:
            raise InputError(
                f"how the {fixed[0].quantity} follows parameters of the base is not known",
                where=f"[[data]] {fixed[0].name}",
                fix='give it role = "score", or refine the correction alone',
            )
        if problem.replay is not None and not self.moves_base:
            raise InputError(
                "frames are replayed, but no weights of the base model are refined",
                where="[replay]",
                fix="name some in [refinement] parameters",
            )
        if not self.moves_base and problem.parameters is not None:
            raise InputError(
                "base parameters are given, but only the correction is refined",
                where="[refinement] parameters",
                fix="name them there too",
            )

    def start(self) -> dict[str, Any]:
        """Memory before the first call."""
        return {"optimiser": None, "previous": None, "lowest": None, "quiet": 0, "frames_factor": 1.0}

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """Steps of the optimiser on the newest sample; converged when chi^2, with what replayed frames add to it, no
        longer changes beyond its error twice.

        The step that takes the effective share below the threshold is kept, and is the last. One that would leave less
        than `FEWEST_SHARE` of the frames is halved until it does not, because averages of so few say nothing about the
        liquid there; the optimiser's memory is that of the whole step.
        """
        memory, sample = dict(state), samples[-1]
        loss = Loss.of(problem, sample, self.moves_base)
        scale = self._scale(problem, sample)
        optimiser = optimisers.make(self.optimiser, self.learning_rate)
        theta, parameters = sample.correction.theta, _sampled(problem, sample)
        losses: list[float] = []
        replays: list[float] = []
        share, untrusted, halvings = 1.0, 1.0, 0
        while len(losses) < self.inner_steps and share >= self.threshold:
            value, to_theta, to_base = loss.gradient(theta, parameters)
            if problem.replay is not None:
                replayed, slope = problem.replay.gradient(parameters, samples[0].frames)
                value, to_base = value + replayed, to_base + slope
                replays.append(replayed)
            losses.append(value)
            x = self._joined(theta, parameters) / scale
            change, memory["optimiser"] = optimisers.step(
                optimiser, memory["optimiser"], x, self._joined(to_theta, to_base) * scale
            )
            wished = share = loss.share(*self._parted((x + change) * scale, theta, parameters))
            # share >= threshold where the step begins, so halving ends
            while share < min(FEWEST_SHARE, self.threshold):
                change, halvings = change / 2, halvings + 1
                share = loss.share(*self._parted((x + change) * scale, theta, parameters))
            untrusted = min(untrusted, wished)
            theta, parameters = self._parted((x + change) * scale, theta, parameters)

        change_of_theta = theta - sample.correction.theta
        # the first step begins from the sample's own parameters
        term = {"replay": replays[0]} if replays else {}
        present = misfit(sample, problem.targets).with_replay(term.get("replay", 0.0), problem.points)
        stored = present.stored | term
        if term and memory["previous"] is not None and "replay" not in memory["previous"]:
            memory |= {"previous": None, "lowest": None}  # of an earlier version, which looked at the curves alone
        since = present.since(memory["previous"])
        memory["previous"] = stored
        # too large a learning rate circles the minimum without a significant change from one sample to the next
        above = present.since(memory["lowest"]).rose
        if memory["lowest"] is None or present.chi2 < memory["lowest"]["chi2"]:
            memory["lowest"] = stored
        counted = REPLAYED if term else ""
        memory["quiet"] = memory["quiet"] + 1 if since.settled and not above else 0
        settled = memory["quiet"] >= QUIET
        reason = ""
        if above:
            reason = f"chi^2 is above its lowest beyond sampling error{counted}: the learning rate may be too large"
        if halvings:
            reason = (
                f"a step of the optimiser left {untrusted:.1%} of the frames, too few to trust, and was halved "
                f"{'once' if halvings == 1 else f'{halvings} times'}: the learning rate is too large for this box"
            )
        converged, memory["frames_factor"], words = confirmed(settled, memory["frames_factor"], self.final_factor)
        if settled:
            reason = f"{since}{counted}, within its sampling error twice; {words}"
        return Update(
            correction=sample.correction.with_theta(theta),
            state=memory,
            accepted=True,
            restart=len(samples) - 1,
            converged=converged,
            reason=reason,
            frames_factor=float(memory["frames_factor"]),
            fitted=Fitted(
                effective_sample_size=share * min(len(f) for f in sample.frames),
                step=float(step_sizes(sample.correction, change_of_theta, sample.frames[0], problem.kt(0)).max()),
                numbers={"loss": losses[0], "inner_steps": len(losses)} | term,
            ),
            parameters=parameters if self.moves_base else None,
        )

    def _scale(self, problem: Problem, sample: Sample) -> Array:
        """Units of what is moved: kT (of the hottest state) for theta, the base's own for its parameters."""
        kt = max(problem.kt(s) for s in range(len(problem.temperatures)))
        base = problem.base[0].units if problem.base else np.zeros(0)
        return self._joined(np.full(len(sample.correction.theta), kt), base)

    def _joined(self, theta: Array, parameters: Array) -> Array:
        """One vector of all that is moved."""
        parts = [theta] if self.moves_correction else []
        return np.concatenate([*parts, parameters] if self.moves_base else parts)

    def _parted(self, joined: Array, theta: Array, parameters: Array) -> tuple[Array, Array]:
        """(theta, base parameters) after a step, those that are not moved as they were."""
        split = len(theta) if self.moves_correction else 0
        return joined[:split] if self.moves_correction else theta, joined[split:] if self.moves_base else parameters
