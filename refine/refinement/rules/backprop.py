"""Gradient descent with derivatives through the trajectory.

Loss: L = 1/2 Σ_targets e' Σ^-1 e / points, e the misfit after the best scale and background. The chain rule is cut at
the mean pair counts (docs/theory/rules.md): this rule hands out v = dL/d<h> (`cotangents`), the sampler's adjoint
differentiates along windows of the trajectory (`refine.sampling.jax.adjoint`), and an optimiser of optax takes the
step.

The step is made in x with theta = a R x, R R' the correlation of `SmoothnessPrior` and a = `amplitude` kT, and the loss
has the prior's |x|^2 / 2 points on top. As a preconditioner R makes a noisy gradient move phi smoothly: an optimiser
that scales coordinates one by one, as Adam does, gives noise and signal steps of the same size, and in the coefficients
themselves that grows ripples at the knot spacing and steps where nothing is sampled. As a regulariser the prior keeps
directions that no curve determines from wandering off with that noise; it is the one that Gauss-Newton has with this
amplitude fixed.

When not to use it: for averages of a liquid. There the fluctuation formula gives the same derivative without the
window's bias (a window shorter than the relaxation time) and without the scatter that grows as exp(2 lambda t) in a
longer one, from frames that are there anyway; every gradient here costs windows x steps of dynamics six times over.
Its place is what has no such formula: observables of a path, or of states that are not in equilibrium. Sources:
J. G. Greener and D. T. Jones, PLoS ONE 16, e0256990 (2021); J. Ingraham et al., ICLR (2019); W. Wang, Z. Wu, J. C. B.
Dietschreit and R. Gómez-Bombarelli, J. Chem. Phys. 158, 044113 (2023); and on the limit of it L. Metz et al.,
arXiv:2111.05803 (2021). The checkpointing is A. Griewank and A. Walther's, see `refine.sampling.jax.adjoint`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement import optimisers
from refine.refinement.convergence import confirmed, refuse_numbers
from refine.refinement.fitted import Fitted
from refine.refinement.inference import nuisance
from refine.refinement.inference.posterior import SmoothnessPrior
from refine.refinement.keys import Descent, Shared
from refine.refinement.problem import Problem, Sample, Update
from refine.refinement.steps import step_size
from refine.tables.values import Integer, Number

Array = NDArray[np.float64]

FEWEST_WINDOWS = 4
"""Windows a state, below which the scatter of the gradient is not known."""

CARRIED_BY_FEW = 0.25
"""Share of the windows that must at least carry the gradient's variance for its error to mean something."""

QUIET = 2
"""Times in a row that the gradient must be within its error."""


class BackpropKeys(Descent):
    """Gradient through the trajectory."""

    method: Literal["backprop"] = "backprop"
    windows: Annotated[Integer, Field(ge=FEWEST_WINDOWS, le=4096)] = Field(
        32, description="Windows of the trajectory that are differentiated in each state."
    )
    window_steps: Annotated[Integer, Field(ge=1, le=100_000)] = Field(
        200, description="Steps of a window; the gradient's variance grows exponentially with it."
    )
    clip: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="Largest norm of a window's gradient, in units of the median. Default: none."
    )

    def rule(self, shared: Shared) -> Backprop:
        """The update rule with these settings."""
        return Backprop(
            windows=self.windows,
            steps=self.window_steps,
            clip=self.clip,
            optimiser=self.optimiser,
            learning_rate=self.learning_rate,
            length=shared.length,
            final_factor=shared.final_factor,
        )


@dataclass(frozen=True)
class Backprop:
    """The rule. A study names it as `backprop`.

    Attributes:
        windows, steps: how many windows of how many steps are differentiated in each state's sample.
        clip: see `refine.sampling.jax.adjoint.Adjoint`; for whoever makes the windows.
        optimiser: any of optax that is made from a learning rate.
        learning_rate: kT that phi may change by in a step, for optimisers that normalise the gradient, as Adam does.
        length: correlation length of the prior on phi, Å.
        final_factor: length of the confirming samples in units of the ordinary ones.
        amplitude: prior standard deviation of phi, kT.
    """

    yields_potential: ClassVar[bool] = True
    knows_slow_modes: ClassVar[bool] = False
    windows: int
    steps: int
    clip: float | None
    optimiser: str
    learning_rate: float
    length: float
    final_factor: float
    amplitude: float = 1.0

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Any curve will do; the optimiser must exist."""
        optimisers.make(self.optimiser, self.learning_rate)
        refuse_numbers(problem, "backprop")
        if problem.parameters is not None:
            raise InputError(
                "backprop refines the correction only",
                where="[refinement] method",
                fix="use difftre for parameters of the base model",
            )

    def start(self) -> dict[str, Any]:
        """Memory before the first call."""
        return {"optimiser": None, "quiet": 0, "frames_factor": 1.0}

    def cotangents(self, problem: Problem, sample: Sample) -> tuple[Array, ...]:
        """dL/d<h> of every state, (pairs, bins), at the sample's mean counts.

        Scale and background are at their optimum, so their own change adds nothing to first order.
        """
        return tuple(self._loss(problem, frames.counts, s)[1] for s, frames in enumerate(sample.frames))

    @staticmethod
    def _loss(problem: Problem, counts: Array, state: int) -> tuple[float, Array]:
        """A state's share of chi^2, and dL/d<h> of it."""
        mean = counts.mean(axis=0, dtype=np.float64)
        chi2, cotangent = 0.0, np.zeros_like(mean)
        for target in (t for t in problem.targets if t.state == state):
            y = target.predict(mean)
            best = nuisance.best(target, y)
            misfit = target.y - best.apply(target, y)
            weighted = cho_solve(cho_factor(target.covariance / target.weight), misfit)
            chi2 += float(misfit @ weighted)
            cotangent -= best.scale * (weighted @ target.operator.matrix).reshape(mean.shape) / problem.points
        return chi2, cotangent

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """One step of the optimiser; converged when the gradient is within its error over windows twice."""
        memory, sample = dict(state), samples[-1]
        if len(sample.gradients) != len(sample.frames):
            raise ValueError("backprop needs the gradients of every state's windows")
        kt = max(problem.kt(s) for s in range(len(problem.temperatures)))
        root: Array = self.amplitude * kt * self._prior(samples[0]).root
        theta = sample.correction.theta
        x: Array = np.linalg.solve(root, theta).astype(np.float64)
        means, covariance, carrying = [], np.zeros((len(x), len(x))), 1.0
        for gradients in sample.gradients:
            in_x = gradients @ root
            means.append(in_x.mean(axis=0))
            deviations = in_x - means[-1]
            covariance += deviations.T @ deviations / (len(in_x) - 1) / len(in_x)
            squares = np.sum(deviations**2, axis=1)
            if squares.any():
                carrying = min(carrying, float(squares.sum() ** 2 / np.sum(squares**2) / len(squares)))
        gradient: Array = np.sum(means, axis=0, dtype=np.float64) + x / problem.points
        norm, error = float(np.linalg.norm(gradient)), float(np.sqrt(np.trace(covariance)))
        trusted = carrying >= CARRIED_BY_FEW
        memory["quiet"] = memory["quiet"] + 1 if trusted and norm <= error else 0
        settled = memory["quiet"] >= QUIET
        converged, memory["frames_factor"], words = confirmed(settled, memory["frames_factor"], self.final_factor)
        # x is in units of the prior's amplitude
        optimiser = optimisers.make(self.optimiser, self.learning_rate / self.amplitude)
        change, memory["optimiser"] = optimisers.step(optimiser, memory["optimiser"], x, gradient)
        correction = sample.correction.with_theta(root @ (x + change))
        chi2 = sum(self._loss(problem, frames.counts, s)[0] for s, frames in enumerate(sample.frames))
        return Update(
            correction=correction,
            state=memory,
            accepted=True,
            restart=len(samples) - 1,
            converged=converged,
            reason="; ".join(filter(None, (self._words(norm, error, carrying, settled), words))),
            frames_factor=float(memory["frames_factor"]),
            fitted=Fitted(
                effective_sample_size=float(sum(len(frames) for frames in sample.frames)),
                step=step_size(correction, correction.theta - theta, sample.frames[0], kt),
                numbers={
                    "chi2_per_point": chi2 / problem.points,
                    "gradient_norm": norm,
                    "gradient_error": error,
                    "windows_carrying": carrying,
                },
            ),
        )

    def _prior(self, base: Sample) -> SmoothnessPrior:
        """From the first sample's g(r) in the first state, so that it is the same at every call."""
        frames = base.frames[0]
        return SmoothnessPrior.build(base.correction, frames.centres, frames.pair_distribution(), self.length)

    @staticmethod
    def _words(norm: float, error: float, carrying: float, settled: bool) -> str:
        text = f"the gradient is {norm:.2g} ± {error:.2g}"
        if carrying < CARRIED_BY_FEW:
            return f"{text}, its scatter carried by {carrying:.0%} of the windows: use shorter ones, or clip"
        return f"{text}, within its error twice" if settled else text
