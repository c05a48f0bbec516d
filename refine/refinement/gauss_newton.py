"""Gauss-Newton with the fluctuation-formula Jacobian, a smoothness prior by evidence, and a gain-ratio trust region.

One update, from samples alone:

1. judge the previous step by its gain: actual over predicted decrease of chi^2, with the sampling error of the former;
2. linearise about the newest accepted sample: y(theta + delta) = <y> + J delta, frames of all samples pooled by MBAR;
3. noise Σ = Σ_measured + Var(<y> + J delta) + Σ_linear: the Jacobian is itself an estimate, and without its noise the
   prior is chosen too weak and ripples at the knot spacing appear; Σ_linear, a tenth of the mean squared misfit beyond
   noise, says that a linear model is not to be trusted better than to a third of the present misfit, and is gone at the
   solution;
4. strength of the prior, one amplitude per species pair, and the noise of curves that state none: maximum evidence;
   the covariance that is reported is averaged over the amplitudes that the evidence leaves possible, and the sampling
   noise of the Jacobian does not count as information in it;
5. step to the posterior mean, shortened to the trust radius.

Not steered by effective sample size: that falls exponentially with the number of atoms, while the linear response of
intensive curves stays good. When not to use it: when the base model is so wrong that the first sample is another phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, solve_triangular

from refine.errors import InputError
from refine.potentials.pair import PairCorrection
from refine.refinement import nuisance
from refine.refinement.identifiability import Linearised, determination
from refine.refinement.posterior import NormalEquations, Posterior, SmoothnessPrior, log_evidence, posterior
from refine.refinement.problem import Problem, Sample, Target, Update
from refine.refinement.statistics import Pool, Response, pool
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

AMPLITUDES = 10.0 ** np.arange(-2.0, 1.01, 0.25)
"""Prior amplitudes tried, kT."""

AMPLITUDE_PRIOR = 0.2, 0.5
"""Prior on an amplitude: median in kT and width in decades. A base model worth correcting is off by tenths of kT; where
the data say little, the evidence alone would let an amplitude, and the error bars with it, collapse to nothing."""

DRAWS = 400
"""Evaluations of the evidence for each amplitude that the evidence sets, in the average over amplitudes."""

NOISE_FACTORS = 10.0 ** np.arange(0.0, 1.51, 0.125)
"""Factors tried on the estimated sigma of curves that state none: the estimate sees only part of their errors."""

TEMPERING = 0.1
"""Variance of the linear model's error, as a share of the squared misfit that noise does not explain."""

DECADES = 0.26
"""How far (a quarter of a decade) a hyperparameter may move in one update once it has a value: a single sample's
evidence is noisy, and jumping between 'all noise' and 'all signal' would keep the run from settling."""

GROW, SHRINK, REJECT = 0.6, 0.2, -0.3
"""Gain above which the trust radius doubles, below which it shrinks, below which the step is taken back."""

SHRINK_FACTOR = 0.4

SETTLED = 1.5
"""A step is within its error up to this many posterior variances per determined direction: two successive estimates
share the measurement's noise but not the sampling's, so their difference is between zero and two."""

FAR_FACTOR = 0.5
"""Length of a sample, in units of the ordinary ones, while the misfit is more than three times the noise."""


@dataclass(frozen=True)
class GaussNewton:
    """The default update rule.

    Attributes:
        trust_radius: first limit on the step, rms of delta phi over sampled pairs, kT.
        length: correlation length of the prior, Å.
        smoothness: "auto" (evidence), or the prior's standard deviation of phi is kT/smoothness; by pair ("Fe-O") where
            it is a table, and by evidence for pairs that are not in it.
        final_factor: length of the confirming samples in units of the ordinary ones.
        pooling: whether the frames of earlier samples enter, reweighted by MBAR.
    """

    trust_radius: float = 0.3
    length: float = 0.5
    smoothness: float | str | Mapping[str, float] = "auto"
    final_factor: float = 2.0
    pooling: bool = True

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Any curve and any pairs will do; a table of smoothness names corrected pairs."""
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
            "trust_radius": self.trust_radius,
            "frames_factor": 1.0,
            "quiet": 0,
            "previous": None,
            "noise_factors": None,
            "tempering": None,
            "scales": None,
            "backgrounds": None,
            "amplitudes": None,
        }

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """Judge the newest sample, then propose the next correction."""
        memory = dict(state)
        verdict = self._judge(memory, problem, samples)
        current = len(samples) - 1 if verdict.accepted else int(memory["previous"]["sample"])
        memory["trust_radius"] = verdict.trust_radius
        memory["quiet"] = memory["quiet"] + 1 if verdict.quiet else 0

        step = self._solve(memory, problem, samples, current)
        within_error = step.mahalanobis <= SETTLED * max(1.0, step.determined)
        settled = verdict.accepted and (within_error or memory["quiet"] >= 2)
        long_enough = memory["frames_factor"] >= self.final_factor
        if settled:
            memory["frames_factor"] = self.final_factor
        elif memory["frames_factor"] <= 1.0:
            memory["frames_factor"] = FAR_FACTOR if self._far(problem, step) else 1.0
        memory |= {
            "noise_factors": step.noise_factors,
            "tempering": step.tempering,
            "scales": step.scales,
            "backgrounds": step.backgrounds,
            "amplitudes": step.amplitudes,
            "previous": {"sample": current, "predicted": [y.tolist() for y in step.predicted]},
        }
        reason = verdict.words
        if settled:
            cause = (
                f"the step is within its error ({step.mahalanobis:.1f} for {step.determined:.1f} determined directions)"
                if within_error
                else "chi^2 changed by less than its sampling error twice"
            )
            reason = f"{reason}{cause}; " + ("converged" if long_enough else "sampling longer to confirm")
        return Update(
            correction=step.correction,
            state=memory,
            accepted=verdict.accepted,
            restart=current,
            converged=settled and long_enough,
            reason=reason,
            frames_factor=float(memory["frames_factor"]),
            diagnostics={
                "effective_sample_size": step.effective_sample_size,
                "predicted_decrease": verdict.predicted,
                "actual_decrease": verdict.actual,
                "actual_decrease_error": verdict.error,
                "gain": verdict.gain,
                "trust_radius": memory["trust_radius"],
                "step_kT": step.size,
                "prior_amplitude_kT": max(step.amplitudes),
                "prior_amplitudes_kT": step.amplitudes,
                "noise_factor": max(step.noise_factors),
                "noise_factors": {t.name: f for t, f in zip(problem.targets, step.noise_factors, strict=True)},
                "scales": {t.name: f for t, f in zip(problem.targets, step.scales, strict=True)},
                "scales_stderr": {t.name: f for t, f in zip(problem.targets, step.scale_errors, strict=True)},
                "backgrounds": {t.name: f for t, f in zip(problem.targets, step.backgrounds, strict=True)},
                "backgrounds_stderr": {t.name: f for t, f in zip(problem.targets, step.background_errors, strict=True)},
                "determined_directions": step.determined,
            },
            covariance=step.covariance,
            determination=step.determination,
        )

    @staticmethod
    def _far(problem: Problem, step: _Step) -> bool:
        """Whether some curve's misfit is still so large that the linear model, not noise, limits the next step."""
        return any(
            variance > factor**2 * float(np.mean(np.diag(target.covariance)))
            for target, variance, factor in zip(problem.targets, step.tempering, step.noise_factors, strict=True)
        )

    def _judge(self, memory: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> _Verdict:
        """Compare the newest sample with what the previous step promised."""
        radius = float(memory["trust_radius"])
        if memory["previous"] is None:
            return _Verdict(True, False, radius, None, None, None, None, "")
        old, new = samples[int(memory["previous"]["sample"])], samples[-1]
        predicted, actual, variance = 0.0, 0.0, 0.0
        for s, targets in _by_state(problem):
            rows = _Rows.build(targets, memory, problem)
            before, after = (pool(problem, [x], s, x.correction).response(targets) for x in (old, new))
            v0, v1 = (rows.scale_covariance(r.noise()) for r in (before, after))
            weight = np.linalg.inv(rows.measured + v0 + v1)
            promise = np.concatenate([memory["previous"]["predicted"][problem.targets.index(t)] for t in targets])
            e0, e1, promised = rows.residual(before.y), rows.residual(after.y), rows.y - promise
            predicted += float(e0 @ weight @ e0 - promised @ weight @ promised)
            actual += float(e0 @ weight @ e0 - e1 @ weight @ e1)
            for e, v in ((e0, v0), (e1, v1)):
                wv = weight @ v
                variance += float(4.0 * (weight @ e) @ v @ (weight @ e) + 2.0 * np.trace(wv @ wv))
        error = float(np.sqrt(variance))
        gain = actual / predicted if predicted > 0.0 else float(np.sign(actual))
        quiet = abs(actual) <= error
        if gain < REJECT and actual < -2.0 * error:
            words = f"step taken back (chi^2 rose by {-actual:.0f} ± {error:.0f}); "
            return _Verdict(False, False, radius * SHRINK_FACTOR, predicted, actual, error, gain, words)
        if gain > GROW:
            radius *= 2.0
        elif gain < SHRINK and not quiet:
            radius *= SHRINK_FACTOR
        return _Verdict(True, quiet, radius, predicted, actual, error, gain, "")

    def _solve(self, memory: dict[str, Any], problem: Problem, samples: Sequence[Sample], current: int) -> _Step:
        """Posterior mean and covariance about the current sample, noise and prior strength by evidence."""
        correction = samples[current].correction
        theta = correction.theta
        ordered = (
            [*samples[:current], *samples[current + 1 :], samples[current]] if self.pooling else [samples[current]]
        )
        pools = [pool(problem, ordered, s, correction) for s in range(len(problem.temperatures))]
        base = samples[0].frames[0]
        prior = SmoothnessPrior.build(correction, base.centres, base.pair_distribution(), self.length)
        states = _by_state(problem)
        responses = [pools[s].response(targets) for s, targets in states]
        kt = float(np.mean([problem.kt(s) for s in range(len(pools))]))
        fit = _Fit(problem, states, responses, prior, kt, theta, memory, self._fixed_amplitudes(correction))

        delta = np.zeros_like(theta)
        shortening = 1.0
        for _ in range(4):  # Σ depends on the step and the step on Σ; three rounds settle it to a few per cent
            result = fit.maximise_evidence(delta)
            delta = result.mean[: len(theta)] - theta
            size = max(step_size(correction, delta, p) for p in pools)
            shortening = min(1.0, float(memory["trust_radius"]) / size) if size > 0.0 else 1.0
            delta = shortening * delta
        full = result.mean[: len(theta)] - theta
        unbiased = fit.without_noise()
        known = posterior(unbiased, fit.root())
        everything = fit.averaged_covariance(unbiased, result.mean)
        covariance = everything[: len(theta), : len(theta)]
        predicted: list[Array] = [np.empty(0)] * len(problem.targets)
        for (_, targets), response in zip(states, responses, strict=True):
            rows = _Rows.build(targets, fit.memory(), problem)
            curve = rows.model(response.y + response.jacobian @ delta)
            for target, part in zip(targets, rows.split(curve), strict=True):
                predicted[problem.targets.index(target)] = part
        scales, backgrounds = fit.nuisances(result.mean)
        errors = fit.nuisances(np.sqrt(np.diag(everything)), departures=True)
        return _Step(
            correction=correction.with_theta(theta + delta),
            covariance=covariance,
            mahalanobis=float(full @ np.linalg.solve(fit.statistical_covariance(), full)),
            determined=known.determined,
            size=float(shortening * size),
            effective_sample_size=min(p.effective_sample_size for p in pools),
            amplitudes=fit.amplitudes.tolist(),
            noise_factors=fit.noise_factors.tolist(),
            tempering=fit.tempering,
            scales=scales,
            scale_errors=errors[0],
            backgrounds=backgrounds,
            background_errors=errors[1],
            predicted=predicted,
            determination=determination(
                correction.with_theta(theta + delta),
                fit.linearised(),
                fit.prior_root(),
                known.covariance[: len(theta), : len(theta)],
                fit.amplitudes * kt,
            ),
        )


def step_size(correction: PairCorrection, delta: Array, pooled: Pool) -> float:
    """rms of delta phi over the sampled pairs within r_cut, kT."""
    edges = pooled.counts[-1].edges
    centres = 0.5 * (edges[1:] + edges[:-1])
    change = correction.with_theta(delta).at(pooled.kt / BOLTZMANN)
    counts = pooled.mean_counts()
    pairs = list(correction.active_pairs)
    dphi = np.einsum("pbk,pk->pb", change.binned_basis(edges), change.coefficients)[pairs]
    h = counts[pairs] * (centres < correction.basis.r_cut)
    return float(np.sqrt((h * dphi**2).sum() / h.sum()) / pooled.kt)


def _by_state(problem: Problem) -> list[tuple[int, list[Target]]]:
    """Targets grouped by state, both in order."""
    states = sorted({t.state for t in problem.targets})
    return [(s, [t for t in problem.targets if t.state == s]) for s in states]


@dataclass(frozen=True)
class _Verdict:
    accepted: bool
    quiet: bool
    trust_radius: float
    predicted: float | None
    actual: float | None
    error: float | None
    gain: float | None
    words: str


@dataclass(frozen=True)
class _Step:
    correction: PairCorrection
    covariance: Array
    mahalanobis: float
    determined: float
    size: float
    effective_sample_size: float
    amplitudes: list[float]
    noise_factors: list[float]
    tempering: list[float]
    scales: list[float]
    scale_errors: list[float]
    backgrounds: list[float]
    background_errors: list[float]
    predicted: list[Array]
    determination: dict[str, Any]


@dataclass(frozen=True)
class _Rows:
    """Several targets of one state stacked, at the present scales, backgrounds and noise factors."""

    y: Array
    baseline: Array
    scale: Array
    background: Array
    measured: Array
    lengths: tuple[int, ...]

    @classmethod
    def build(cls, targets: Sequence[Target], memory: dict[str, Any], problem: Problem) -> _Rows:
        indices = [problem.targets.index(t) for t in targets]
        scales = memory["scales"] or [1.0] * len(problem.targets)
        factors = memory["noise_factors"] or [1.0] * len(problem.targets)
        tempering = memory["tempering"] or [0.0] * len(problem.targets)
        backgrounds = memory["backgrounds"] or [0.0] * len(problem.targets)
        covariances = [
            t.covariance * factors[i] ** 2 / t.weight + tempering[i] * np.eye(len(t.y))
            for i, t in zip(indices, targets, strict=True)
        ]
        return cls(
            np.concatenate([t.y for t in targets]),
            np.concatenate([t.baseline for t in targets]),
            np.concatenate([np.full(len(t.y), scales[i]) for i, t in zip(indices, targets, strict=True)]),
            np.concatenate(
                [
                    np.zeros(len(t.y)) if t.background is None else backgrounds[i] * t.background
                    for i, t in zip(indices, targets, strict=True)
                ]
            ),
            block_diag(*covariances),
            tuple(len(t.y) for t in targets),
        )

    def model(self, y: Array) -> Array:
        """The model as the instrument would report it, free scales and backgrounds applied."""
        return self.baseline + self.scale * (y - self.baseline) + self.background

    def residual(self, y: Array) -> Array:
        return self.y - self.model(y)

    def scale_covariance(self, covariance: Array) -> Array:
        return covariance * self.scale[:, None] * self.scale

    def split(self, values: Array) -> list[Array]:
        return np.split(values, np.cumsum(self.lengths)[:-1])


class _Fit:
    """Evidence over prior amplitudes and noise factors for one linearisation."""

    def __init__(
        self,
        problem: Problem,
        states: list[tuple[int, list[Target]]],
        responses: list[Response],
        prior: SmoothnessPrior,
        kt: float,
        theta: Array,
        memory: dict[str, Any],
        fixed: Array,
    ) -> None:
        self.problem, self.states, self.responses = problem, states, responses
        self.prior, self.kt, self.theta = prior, kt, theta
        self.open: list[int] = np.flatnonzero(np.isnan(fixed)).tolist()  # amplitudes that the evidence sets
        targets = len(problem.targets)
        self.amplitudes = np.where(np.isnan(fixed), 0.3, fixed)
        self.fresh = bool(len(self.open)) and not memory["amplitudes"]
        if memory["amplitudes"]:
            self.amplitudes[self.open] = np.array(memory["amplitudes"])[self.open]
        self.noise_factors = np.array(memory["noise_factors"] or np.ones(targets))
        self.scales = memory["scales"] or [1.0] * targets
        self.backgrounds = memory["backgrounds"] or [0.0] * targets
        self.unknown = [i for i, t in enumerate(problem.targets) if not t.sigma_known]
        self.tempering = [0.0] * targets
        self.tempering = self._tempering()
        self.decades = DECADES if memory["noise_factors"] else np.inf
        self.before = self.noise_factors.copy(), self.amplitudes.copy()

    def _tempering(self) -> list[float]:
        """Variance of the linear model's error for each target, in the units of its curve squared."""
        variances = [0.0] * len(self.problem.targets)
        for (_, targets), response in zip(self.states, self.responses, strict=True):
            rows = _Rows.build(targets, self.memory(), self.problem)
            noise = np.diag(rows.measured + rows.scale_covariance(response.noise()))
            excess = rows.residual(response.y) ** 2 - noise
            for target, part in zip(targets, rows.split(excess), strict=True):
                variances[self.problem.targets.index(target)] = TEMPERING * max(0.0, float(part.mean()))
        return variances

    def memory(self) -> dict[str, Any]:
        """Scales, backgrounds and noise factors in the form `_Rows.build` takes."""
        return {
            "scales": self.scales,
            "backgrounds": self.backgrounds,
            "noise_factors": self.noise_factors.tolist(),
            "tempering": self.tempering,
        }

    def nuisances(self, values: Array, departures: bool = False) -> tuple[list[float], list[float]]:
        """Scales and backgrounds of all targets from a vector of all parameters; `departures`: scales less one."""
        rest, scales, backgrounds = list(values[len(self.theta) :]), [], []
        for target in self.problem.targets:
            free = [rest.pop(0) for _ in range(target.free_scale + (target.background is not None))]
            scale, background = nuisance.values(target, np.array(free))
            scales.append(scale - 1.0 if departures else scale)
            backgrounds.append(background)
        return scales, backgrounds

    def maximise_evidence(self, delta: Array) -> Posterior:
        """Climb the evidence over the grids of amplitudes and noise factors, Σ taken for the step delta."""
        self.sampling = [r.noise(delta) for r in self.responses]
        self.normal = self._normal()
        if self.fresh:  # from nothing: one common amplitude first, then each by itself
            self.fresh = False
            common = [self._evidence_at(self._with_common(a)) for a in AMPLITUDES]
            self.amplitudes = self._with_common(AMPLITUDES[int(np.argmax(common))])
        best = self._evidence_at(self.amplitudes)
        improved = True
        while improved:
            improved = False
            moves = [(self.noise_factors, self.before[0], i, NOISE_FACTORS) for i in self.unknown]
            moves += [(self.amplitudes, self.before[1], p, AMPLITUDES) for p in self.open]
            for move in moves:
                climbed = self._climb(*move, best)
                improved, best = improved or climbed > best, climbed
        return posterior(self.normal, self._root(self.amplitudes))

    def _with_common(self, amplitude: float) -> Array:
        changed = self.amplitudes.copy()
        changed[self.open] = amplitude
        return changed

    def _climb(self, values: Array, start: Array, index: int, grid: Array, best: float) -> float:
        """Move one hyperparameter along its grid, near its start, while the evidence grows; the best evidence."""
        for direction in (1, -1):
            while True:
                there = _nearest(grid, values[index]) + direction
                if not 0 <= there < len(grid):
                    break
                if abs(np.log10(grid[there] / start[index])) > self.decades:
                    break
                before, normal = values[index], self.normal
                values[index] = grid[there]
                if values is self.noise_factors:
                    self.normal = self._normal()
                evidence = self._evidence_at(self.amplitudes)
                if evidence <= best:
                    values[index], self.normal = before, normal
                    break
                best = evidence
        return best

    def _evidence_at(self, amplitudes: Array) -> float:
        return self._log_prior(amplitudes) + log_evidence(self.normal, self._root(amplitudes))

    def _log_prior(self, amplitudes: Array) -> float:
        median, decades = AMPLITUDE_PRIOR
        off = np.log10(amplitudes[self.open] / median) / decades
        return -0.5 * float(off @ off)

    def _scales_of(self, amplitudes: Array) -> Array:
        """Diagonal matrix that makes the root at these amplitudes of the one at amplitude one."""
        size = self.prior.correlation.shape[1]
        return np.diag(np.concatenate([np.repeat(amplitudes, size), np.ones(len(self.normal.gram) - len(self.theta))]))

    def root(self) -> Array:
        """Root of the prior covariance of all parameters at the present amplitudes."""
        return self._root(self.amplitudes)

    def _root(self, amplitudes: Array) -> Array:
        """Root of the prior covariance of all parameters: the correction's, then scales and backgrounds."""
        priors = [nuisance.columns(t, t.y)[1] for t in self.problem.targets]
        return np.asarray(block_diag(self.prior.scaled_root(amplitudes * self.kt), np.diag(np.concatenate(priors))))

    def prior_root(self) -> Array:
        """Root of the prior covariance of theta alone."""
        return self.prior.scaled_root(self.amplitudes * self.kt)

    def _stacked(self, index: int) -> tuple[_Rows, Array, Array, Array]:
        """Of the state at `index` of `states`: rows, columns of all parameters, their present values, and noise."""
        (_, targets), response, sampling = self.states[index], self.responses[index], self.sampling[index]
        rows = _Rows.build(targets, self.memory(), self.problem)
        blocks, now = [rows.scale[:, None] * response.jacobian], [self.theta]
        parts = rows.split(response.y)
        for i, target in enumerate(self.problem.targets):
            own = next((k for k, t in enumerate(targets) if t is target), None)
            found, _ = nuisance.columns(target, target.y if own is None else parts[own])
            column = np.zeros((len(rows.y), found.shape[1]))
            if own is not None:
                start = sum(rows.lengths[:own])
                column[start : start + len(found)] = found
            blocks.append(column)
            free = [self.scales[i] - 1.0] * target.free_scale
            now.append(np.array(free + [self.backgrounds[i]] * (target.background is not None)))
        noise = rows.measured + rows.scale_covariance(sampling)
        return rows, np.hstack(blocks), np.concatenate(now), noise

    def _gram_noise(self, index: int, part: slice, noise: Array, size: int) -> Array:
        """What the noise of the Jacobian adds to the Gram matrix (size, size) of the rows `part` of a state."""
        response, rows = self.responses[index], self._stacked(index)[0]
        response = replace(response, jacobian=response.jacobian[part], deviations_y=response.deviations_y[:, part])
        lower, scale = np.linalg.cholesky(noise), rows.scale[part][:, None]
        found, k = np.zeros((size, size)), len(self.theta)
        found[:k, :k] = response.gram_noise(
            lambda values: solve_triangular(lower, scale * values, lower=True, check_finite=False)
        )
        return found

    def _normal(self) -> NormalEquations:
        """The normal equations of all states at the present noise factors; scales and backgrounds are extra columns."""
        total: NormalEquations | None = None
        for index in range(len(self.states)):
            rows, columns, now, noise = self._stacked(index)
            goal = rows.residual(self.responses[index].y) + columns @ now
            part = NormalEquations.build(columns, goal, noise)
            total = part if total is None else total + part
        assert total is not None
        return total

    def without_noise(self) -> NormalEquations:
        """The normal equations for covariances: the noise of the Jacobian does not count as information."""
        root = self._root(self.amplitudes)
        spread = np.zeros_like(root)
        for index in range(len(self.states)):
            spread += self._gram_noise(index, slice(None), self._stacked(index)[3], len(root))
        return self.normal.unbiased(spread, root)

    def statistical_covariance(self) -> Array:
        """Of theta, from noise alone: what a step is compared with, however little the linear model is trusted yet."""
        tempering, normal = self.tempering, self.normal
        self.tempering = [0.0] * len(tempering)
        self.normal = self._normal()
        found = posterior(self.without_noise(), self.root()).covariance
        self.tempering, self.normal = tempering, normal
        return found[: len(self.theta), : len(self.theta)]

    def averaged_covariance(self, unbiased: NormalEquations, mean: Array) -> Array:
        """Covariance about `mean` of all parameters when the amplitudes are as uncertain as the evidence leaves them.

        Gibbs sampling on the grid of amplitudes, always with the same random numbers: every kept draw a adds its own
        covariance and the square of (its mean - `mean`).
        """
        amplitudes, rng = self.amplitudes.copy(), np.random.default_rng(0)
        unit = self.normal.in_units_of(self._root(np.ones_like(amplitudes)))
        total, kept = np.zeros_like(unbiased.gram), 0
        sweeps = max(2, DRAWS // len(AMPLITUDES)) if self.open else 1
        for sweep in range(sweeps):
            for p in self.open:
                tried = np.repeat(amplitudes[None], len(AMPLITUDES), axis=0)
                tried[:, p] = AMPLITUDES
                evidence = np.array([self._log_prior(a) + log_evidence(unit, self._scales_of(a)) for a in tried])
                chances = np.exp(evidence - evidence.max())
                amplitudes = tried[rng.choice(len(AMPLITUDES), p=chances / chances.sum())]
            if 5 * sweep < sweeps and sweeps > 1:  # forget the start
                continue
            root = self._root(amplitudes)
            shift = posterior(self.normal, root).mean - mean
            total += posterior(unbiased, root).covariance + np.outer(shift, shift)
            kept += 1
        return total / kept

    def linearised(self) -> list[Linearised]:
        """Every target by itself, linear in theta, its own scale and background marginalised into its noise."""
        found: list[Linearised] = []
        for index, (_, targets) in enumerate(self.states):
            rows, columns, now, noise = self._stacked(index)
            residual = rows.residual(self.responses[index].y)
            starts = np.cumsum([0, *rows.lengths])
            k = len(self.theta)
            spread = self._root(self.amplitudes)[k:, k:] ** 2
            for target, low, high in zip(targets, starts[:-1], starts[1:], strict=True):
                part = slice(int(low), int(high))
                own = columns[part, k:]
                widened = noise[part, part] + own @ spread @ own.T
                jacobian = columns[part, :k]
                goal = residual[part] + columns[part] @ now
                normal = NormalEquations.build(jacobian, goal, widened)
                normal = normal.unbiased(self._gram_noise(index, part, widened, k), self.prior_root())
                found.append(Linearised(target, jacobian, goal, widened, normal))
        return sorted(found, key=lambda one: self.problem.targets.index(one.target))


def _nearest(grid: Array, value: float) -> int:
    """Index of the grid point nearest to a value, on the logarithmic scale."""
    return int(np.argmin(np.abs(np.log(grid / value))))
