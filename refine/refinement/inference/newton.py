"""One Gauss-Newton step from responses: posterior mean and covariance, and what is expected of the step.

Noise and prior strength depend on the step, and the step on them; the tangents of responses that are not linear depend
on it too. So the step is found in rounds (docs/theory/gauss-newton.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import plain_chi2
from refine.refinement.fitted import Determination, FittedCurve
from refine.refinement.inference.identifiability import determination
from refine.refinement.inference.linearisation import Linearisation, by_state
from refine.refinement.inference.posterior import SmoothnessPrior, posterior
from refine.refinement.problem import Problem
from refine.refinement.responses.beliefs import Opinion
from refine.refinement.responses.combined import Combined
from refine.refinement.responses.protocol import Curved, Response
from refine.refinement.responses.tangent import reachable, straight
from refine.refinement.steps import step_metric
from refine.sampling.frames import Frames
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

ROUNDS = 4
"""Σ depends on the step and the step on Σ: one round at no step, and three that settle it to a few per cent."""

CURVED_ROUNDS, FARTHEST, SETTLED_STEP = 12, 1.5, 0.02
"""The same of a response that is not linear: at most so many rounds, of at most so many kT in a coefficient, until
none moves by more than this."""


@dataclass(frozen=True)
class Step:
    """A step to the posterior mean, and what the posterior says.

    Attributes:
        correction: to sample next.
        covariance: (len(theta),) * 2 of theta, eV^2.
        mahalanobis: full step' C^-1 full step, with C of sampling and measurement alone.
        determined: directions that the data determine.
        size: rms change of phi over sampled pairs, kT.
        short: why it is short, in words; empty where that is the trust radius or nothing.
        effective_sample_size: independent frames behind it.
        amplitudes, fading, noise_factors, tempering, scales, scale_errors, backgrounds, background_errors: of the
            linearisation (`Linearisation`).
        predicted_decrease: of chi^2.
        determination: what the data determine.
        innermost: (pairs,) Å where each g(r) is expected to begin; None: where it was sampled.
        opinions: what closure and linear response say of the step, by the target's name; empty where one was not asked.
    """

    correction: PairCorrection
    covariance: Array
    mahalanobis: float
    determined: float
    size: float
    short: str
    effective_sample_size: float
    amplitudes: list[float]
    fading: float
    noise_factors: list[float]
    tempering: list[float]
    scales: list[float]
    scale_errors: list[float]
    backgrounds: list[tuple[float, ...]]
    background_errors: list[tuple[float, ...]]
    predicted_decrease: float
    determination: Determination
    innermost: Array | None
    opinions: dict[str, Opinion]

    def curves(self, problem: Problem) -> dict[str, FittedCurve]:
        """What was fitted of each target, by its name."""
        backgrounds, errors = ([list(one) for one in all_] for all_ in (self.backgrounds, self.background_errors))
        columns = (self.scales, self.scale_errors, backgrounds, errors, self.noise_factors)
        rows = zip(problem.targets, *columns, strict=True)
        return {target.name: FittedCurve(*values) for target, *values in rows}


def solve(
    problem: Problem,
    correction: PairCorrection,
    newest: Sequence[Frames],
    responses: Sequence[Response],
    prior: SmoothnessPrior,
    fixed: Array,
    memory: dict[str, Any],
    both: Sequence[Combined] = (),
) -> Step:
    """Posterior mean and covariance about a correction, noise and prior strength by evidence.

    Args:
        newest: frames of every state under the correction.
        responses: of every state that has targets, about the correction.
        fixed: (terms * pairs,) prior amplitudes in kT, NaN where the evidence sets them.
        memory: trust radius, and hyperparameters of the update before.
        both: of the same states, asked what closure and linear response say of the step, whichever is believed.
    """
    theta, states = correction.theta, by_state(problem)
    kts = [problem.kt(s) for s in range(len(newest))]
    kt = float(np.mean(kts))
    fit = Linearisation(problem, states, responses, prior, kt, theta, memory, fixed)

    metrics = [step_metric(correction, frames, k, k / BOLTZMANN) for frames, k in zip(newest, kts, strict=True)]

    def step_to(mean: Array) -> tuple[Array, float]:
        """The way there and its size in kT, before it is shortened to the trust radius."""
        way = mean[: len(theta)] - theta
        return way, max(float(np.sqrt(way @ metric @ way)) for metric in metrics)

    radius = float(memory["trust_radius"])
    delta, short = np.zeros_like(theta), ""
    curved = [cast(Curved, response) for response in responses if not response.linear]
    for _ in range(CURVED_ROUNDS if curved else ROUNDS):
        fit.linearise(delta)
        full, size = step_to(fit.maximise_evidence(delta).mean)
        wanted, here = full * min(1.0, radius / max(size, 1e-12)), delta
        delta, short = reachable(curved, here, wanted, FARTHEST, fit.objective) if curved else straight(both, wanted)
        if curved and step_to(theta + delta - here)[1] < SETTLED_STEP:
            break
    stated = fit.by_fluctuations(delta) if curved else fit
    unbiased_normal = stated.without_noise()
    result = fit.averaged(unbiased_normal)
    full, size = step_to(result.mean)
    shortening = min(1.0, radius / max(size, 1e-12))
    wanted = shortening * full
    if curved:
        delta = reachable(curved, delta, wanted, FARTHEST, fit.objective)[0]
    else:
        delta, short = straight(both, wanted)
    unbiased = posterior(unbiased_normal, fit.root())
    covariance = result.covariance[: len(theta), : len(theta)]
    predicted_decrease = 0.0
    for (_, targets), response in zip(states, responses, strict=True):
        ends = np.cumsum([len(target.y) for target in targets])[:-1]
        before, after = (np.split(y, ends) for y in (response.y, response.predict(delta)[0]))
        for target, now, then in zip(targets, before, after, strict=True):
            predicted_decrease += plain_chi2(target, now) - plain_chi2(target, then)
    scales, backgrounds = fit.nuisances(result.mean)
    errors = fit.nuisances(np.sqrt(np.diag(result.covariance)), departures=True)
    return Step(
        innermost=np.min([response.innermost(delta) for response in curved], axis=0) if curved else None,
        opinions={name: opinion for response in both for name, opinion in response.opinions(delta).items()},
        correction=correction.with_theta(theta + delta),
        covariance=covariance,
        mahalanobis=float(full @ np.linalg.solve(stated.statistical_covariance(), full)),
        determined=unbiased.determined,
        size=step_to(theta + delta)[1],
        short=short,
        effective_sample_size=min(r.effective_sample_size for r in responses),
        amplitudes=fit.amplitudes.tolist(),
        fading=fit.fading,
        noise_factors=fit.noise_factors.tolist(),
        tempering=fit.tempering,
        scales=scales,
        scale_errors=errors[0],
        backgrounds=backgrounds,
        background_errors=errors[1],
        predicted_decrease=predicted_decrease,
        determination=determination(
            correction.with_theta(theta + delta),
            stated.linearised(),
            fit.prior_root(),
            unbiased.covariance[: len(theta), : len(theta)],
            fit.amplitudes * kt,
        ),
    )
