"""Gauss-Newton with the fluctuation-formula Jacobian, a smoothness prior by evidence, and a gain-ratio trust region.

One update, from samples alone (docs/theory/gauss-newton.md):

1. judge the previous step by its gain: actual over predicted decrease of chi^2, with the sampling error of the former
   (`refinement.trust`);
2. linearise about the newest accepted sample: y(theta + delta) = <y> + J delta, all samples carried there
   (`responses.fluctuation`);
3. noise Σ = Σ_measured + Var(<y> + J delta) + Σ_linear;
4. noise of curves that state none, and strength of the prior, one amplitude per species pair: by evidence; mean and
   covariance are averaged over the amplitudes that the evidence leaves possible (docs/theory/errors.md);
5. step to the posterior mean, shortened to the trust radius.

With a response that is not linear (`responses.closure`) steps 3 to 5 are repeated about each other's result.

When not to use it: when the base model is so wrong that the first sample is another phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import confirmed, misfit
from refine.refinement.fitted import Fitted, Forecast
from refine.refinement.inference.linearisation import DECADES, NOISE_FACTORS, NOISE_STEP, by_state
from refine.refinement.inference.newton import Step, solve
from refine.refinement.inference.posterior import SmoothnessPrior
from refine.refinement.inference.statistics import averages
from refine.refinement.keys import Refinement, Shared
from refine.refinement.problem import Problem, Sample, Update
from refine.refinement.responses import RESPONSES
from refine.refinement.responses.beliefs import Record, network
from refine.refinement.responses.combined import Combined
from refine.refinement.responses.protocol import Response
from refine.refinement.responses.tangent import BENT
from refine.refinement.trust import SHRINK_FACTOR, as_known_now, best_of, judge, parent_of
from refine.tables.values import Number, Switch

Array = NDArray[np.float64]

FOLLOWED = "linear response does not hold so far: the step is the closure's"
NEARBY = "a network, of which linear response promises about as much as the closure: it is believed"

NEAR = 0.4
"""Share of what the closure promises that linear response has to promise in a network to be believed before there is
any sample by either. It was 0.5 to 0.9 in four silica melts whose correction was small, where the first step by the
closure made a hole in three. Far from the solution, or where its slopes are noise, linear response promises little."""

SETTLED = 1.0
"""A step is within its error up to this many posterior variances per determined direction: two successive estimates
share the measurement's noise but not the sampling's, so their difference is between zero and two."""

CLOSURE_RADIUS = 10.0
"""The first trust radius of a closure in that of a linear response, which is no guide where g changes by factors."""

FAR_FACTOR = 0.5
"""Length of a sample, in units of the ordinary ones, while the misfit is more than three times the noise of measurement
and sample together."""


class GaussNewtonKeys(Refinement):
    """Any data, with error bars."""

    has_prior: ClassVar[bool] = True

    method: Literal["gauss-newton"] = "gauss-newton"
    trust_radius: Annotated[Number, Field(ge=1e-6, le=100)] = Field(
        0.3, description="First limit on the rms change of φ over sampled pairs, in kT."
    )
    pooling: Switch = Field(True, description="Use the frames of earlier iterations in each update.")
    response: Literal["auto", "fluctuation", "closure"] = Field(
        "auto",
        description="What a step is believed to do. `fluctuation`: the linear response of the sampled frames, right "
        "for small corrections of any material. `closure`: the Ornstein-Zernike relation with the sample's own bridge "
        "functions, for liquids whose g(r) has to change by factors. `auto`: both, each believed as far as it "
        "predicted the samples so far, and mended by what earlier samples said; with a solid among the states, or "
        "molecules, whose sites are not those of a simple liquid, `fluctuation`. With a closure the trust radius "
        "begins ten times as large.",
    )

    @property
    def liquids_only(self) -> bool:
        """The closure is of a homogeneous liquid."""
        return self.response == "closure"

    def rule(self, shared: Shared) -> GaussNewton:
        """The update rule with these settings."""
        return GaussNewton(
            trust_radius=self.trust_radius,
            length=shared.length,
            smoothness=shared.smoothness,
            final_factor=shared.final_factor,
            pooling=self.pooling,
            response="fluctuation" if shared.no_closure and self.response == "auto" else self.response,
        )


@dataclass(frozen=True)
class GaussNewton:
    """The default update rule.

    Attributes:
        trust_radius: first limit on the step, rms of delta phi over sampled pairs, kT.
        length: correlation length of the prior, Å.
        smoothness: "auto" (evidence), or the prior's standard deviation of phi is kT/smoothness; by pair ("Fe-O") where
            it is a table, and by evidence for pairs that are not in it.
        final_factor: length of the confirming samples in units of the ordinary ones.
        pooling: whether earlier samples enter.
        response: what a step is believed to do, one of `RESPONSES`.
    """

    yields_potential: ClassVar[bool] = True
    knows_slow_modes: ClassVar[bool] = True
    trust_radius: float
    length: float
    smoothness: float | str | Mapping[str, float]
    final_factor: float
    pooling: bool
    response: str

    @property
    def reaches_far(self) -> bool:
        """Whether the response follows g(r) where it changes by factors, and predicts pairs that were not sampled."""
        return self.response != "fluctuation"

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Any curve or number and any pairs will do; a table of smoothness names corrected pairs."""
        self._fixed_amplitudes(correction)

    def _fixed_amplitudes(self, correction: PairCorrection) -> Array:
        """(terms * pairs,) prior amplitudes in kT that the study fixes, NaN for those that the evidence sets."""
        active = [correction.pairs[p] for p in correction.active_pairs]
        if self.smoothness == "auto":
            amplitudes = np.full(len(active), np.nan)
        elif isinstance(self.smoothness, Mapping):
            amplitudes = np.full(len(active), np.nan)
            for name, value in self.smoothness.items():
                matching = [k for k, pair in enumerate(active) if sorted(pair) == sorted(name.split("-"))]
                if not matching:
                    raise InputError(
                        f"{name} is no corrected pair",
                        where="[correction] smoothness",
                        fix=f"one of {', '.join('-'.join(pair) for pair in active)}",
                    )
                amplitudes[matching[0]] = 1.0 / value
        else:
            amplitudes = np.full(len(active), 1.0 / float(self.smoothness))
        return np.tile(amplitudes, correction.terms)

    def start(self) -> dict[str, Any]:
        """Memory before the first call."""
        return {
            "trust_radius": self.trust_radius * (CLOSURE_RADIUS if self.reaches_far else 1.0),
            "frames_factor": 1.0,
            "quiet": 0,
            "previous": None,
            "best": None,
            "taken_back": None,
            "noise_factors": None,
            "rising": None,
            "tempering": None,
            "scales": None,
            "backgrounds": None,
            "amplitudes": None,
            "fading": None,
            "responses": None,
            "by_linear": False,
            "withdrawals": 0,
        }

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """Judge the newest sample, then propose the next correction."""
        memory = as_known_now(state, problem, samples)
        verdict = judge(memory, problem, samples, reaches_far=self.reaches_far)
        current = len(samples) - 1 if verdict.back is None else verdict.back
        memory |= {"trust_radius": verdict.trust_radius, "taken_back": verdict.taken_back}
        memory["quiet"] = memory["quiet"] + 1 if verdict.quiet else 0
        record, heard = Record.from_json(memory.get("responses")).after(problem, samples[-1])

        step, record, believed = self._solve(memory, record, problem, samples, current)
        within_error = step.mahalanobis <= SETTLED * max(1.0, step.determined)
        rising = self._rising(memory, step)
        open_noise = self._open_noise(problem, memory, step, rising)
        quiet = memory["quiet"] >= 2 and step.short != BENT  # short steps change little
        settled = verdict.accepted and verdict.steady and not open_noise and (within_error or quiet)
        converged, factor, words = confirmed(settled, memory["frames_factor"], self.final_factor)
        if not settled and factor <= 1.0:
            factor = FAR_FACTOR if self._far(problem, step, samples[current]) else 1.0
        memory |= {
            "frames_factor": factor,
            "noise_factors": step.noise_factors,
            "rising": rising,
            "tempering": step.tempering,
            "scales": step.scales,
            "backgrounds": [list(amplitudes) for amplitudes in step.backgrounds],
            "amplitudes": step.amplitudes,
            "fading": step.fading,
            "responses": replace(record, opinions=step.opinions).to_json() if self.response == "auto" else None,
            "by_linear": memory.get("by_linear", False) or (not record.closure and believed != FOLLOWED),
            "previous": {
                "sample": current,
                "misfit": misfit(samples[current], problem.targets).stored,
                "decrease": step.predicted_decrease,
                "size": step.size,
                "parent": parent_of(state, verdict.back),
            },
            "withdrawals": 0,
        }
        memory["best"] = best_of(memory.get("best"), memory["previous"], lucky=verdict.lucky)
        told, cause = ("",) if settled else (heard, believed), ""
        if settled:
            cause = (
                f"the step is within its error ({step.mahalanobis:.1f} for {step.determined:.1f} determined directions)"
                if within_error
                else "chi^2 changed by less than its sampling error twice"
            )
        return Update(
            correction=step.correction,
            state=memory,
            accepted=verdict.accepted,
            restart=current,
            converged=converged,
            confirmed=verdict.confirmed,
            reason="; ".join(filter(None, (verdict.words, *told, step.short, open_noise, cause, words))),
            frames_factor=float(factor),
            fitted=Fitted(
                effective_sample_size=step.effective_sample_size,
                step=step.size,
                trust_radius=memory["trust_radius"],
                curves=step.curves(problem),
                forecast=Forecast(verdict.predicted, verdict.gain, max(step.amplitudes)),
                numbers={
                    "prior_amplitudes_kT": step.amplitudes,
                    "prior_fading": step.fading,
                    "determined_directions": step.determined,
                },
            ),
            covariance=step.covariance,
            determination=step.determination,
            innermost=step.innermost,
            lucky=verdict.lucky,
        )

    def withdrawn(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """A step as after one that was taken back, where the last one led to what could not be sampled.

        Where a shorter one did, too, it is the sample that both began from which is about to come apart, and the step
        begins where that one had come from.
        """
        memory = as_known_now(state, problem, samples)
        previous = dict(memory["previous"])
        if memory.get("withdrawals") and previous.get("parent"):
            left, previous = previous["sample"], {**previous["parent"], "parent": None}
            memory |= {"trust_radius": float(previous["size"]), "taken_back": None, "quiet": 0}
            memory["best"] = best_of(memory.get("best"), previous, lucky=left)
        current = int(previous["sample"])
        memory["trust_radius"] = SHRINK_FACTOR * min(float(memory["trust_radius"]), float(previous["size"]))
        record = replace(Record.from_json(memory.get("responses")), opinions={})
        step, record, believed = self._solve(memory, record, problem, samples, current)
        previous |= {"decrease": step.predicted_decrease, "size": step.size}
        memory |= {
            "responses": replace(record, opinions=step.opinions).to_json() if self.response == "auto" else None,
            "by_linear": memory.get("by_linear", False) or (not record.closure and believed != FOLLOWED),
            "previous": previous,
            "best": best_of(memory.get("best"), previous),
            "withdrawals": memory.get("withdrawals", 0) + 1,
        }
        return Update(
            correction=step.correction,
            state=memory,
            accepted=True,
            restart=current,
            converged=False,
            reason="",
            fitted=Fitted(step.effective_sample_size, step.size),
            frames_factor=float(memory["frames_factor"]),
            covariance=step.covariance,
            determination=step.determination,
            innermost=step.innermost,
        )

    @staticmethod
    def _rising(memory: dict[str, Any], step: Step) -> list[bool]:
        """Which factors on estimated errors have risen as far as one update may move them."""
        before = memory["noise_factors"] or step.noise_factors
        return [
            bool(np.log10(now / then) > DECADES - NOISE_STEP)
            for now, then in zip(step.noise_factors, before, strict=True)
        ]

    @staticmethod
    def _open_noise(problem: Problem, memory: dict[str, Any], step: Step, rising: list[bool]) -> str:
        """Words where the errors of a curve that states none are not known yet: the factor on their estimate is at the
        end of what is tried, or has risen as far as it may in two updates running. Empty otherwise."""
        again = memory["rising"] or [False] * len(rising)
        for target, factor, now, then in zip(problem.targets, step.noise_factors, rising, again, strict=True):
            if not target.sigma_known and factor >= NOISE_FACTORS[-1]:
                return f"{target.name}: the estimated errors are too small by more than {factor:.0f}"
            if not target.sigma_known and now and then:
                return f"{target.name}: the factor on the estimated errors still rises, to {factor:.2g}"
        return ""

    @staticmethod
    def _far(problem: Problem, step: Step, sample: Sample) -> bool:
        """Whether some curve's misfit is still so large that the linear model, not noise of data or sample, limits the
        next step."""
        for target, variance, factor in zip(problem.targets, step.tempering, step.noise_factors, strict=True):
            _, sampled = averages(sample, target.state, [target])
            if variance > factor**2 * float(np.mean(np.diag(target.covariance))) + float(np.mean(sampled)):
                return True
        return False

    def _solve(
        self, memory: dict[str, Any], record: Record, problem: Problem, samples: Sequence[Sample], current: int
    ) -> tuple[Step, Record, str]:
        """Posterior mean and covariance about the current sample, noise and prior strength by evidence; which response
        is believed, where nothing said so yet; and words."""
        correction = samples[current].correction
        ordered = (
            [*samples[:current], *samples[current + 1 :], samples[current]] if self.pooling else [samples[current]]
        )
        states = by_state(problem)
        fixed, newest = self._fixed_amplitudes(correction), samples[current].frames
        base = samples[0].frames[0]
        g = base.felt.pair_distribution()

        def solved(responses: Sequence[Response], both: Sequence[Combined], *, far: bool) -> Step:
            # A larger correction is likely where the base has few pairs; a response that predicts pairs there needs no
            # such licence, and would use it.
            prior = SmoothnessPrior.build(correction, base.centres, g, self.length, squeezed=not far)
            return solve(problem, correction, newest, responses, prior, fixed, memory, both)

        if self.response != "auto":
            model = RESPONSES[self.response]
            alone = [model(problem, ordered, s, correction, targets) for s, targets in states]
            return solved(alone, [], far=self.reaches_far), record, ""
        both = [Combined(problem, ordered, s, correction, targets, record.beliefs) for s, targets in states]
        linear = None
        if not record.closure or (record.untried and any(map(network, samples[current].frames))):
            linear = solved([one.fluctuations for one in both], both, far=False)
            # what linear response made, where few pairs are, is not what the prior of the closure has in mind
            if not record.closure and (linear.short != BENT or memory.get("by_linear")):
                return linear, record, ""
        closure = solved(both, both, far=True)
        if not record.closure:
            return closure, record, FOLLOWED
        if linear and linear.short != BENT and linear.predicted_decrease > NEAR * closure.predicted_decrease:
            return linear, replace(record, closure=False), NEARBY
        return closure, record, ""
