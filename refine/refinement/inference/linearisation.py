"""One linearisation of all curves about the newest sample: noise, the prior by evidence, posterior.

    t = J x + noise,    x = (theta, free scales - 1, free backgrounds),    t = residual + J x_now

`GaussNewton` says which samples and judges what comes of the step; everything here is a function of them. Noise is
Σ_measured + Var(<y> + J delta) + Σ_linear; a hyperparameter moves at most `DECADES`, and the rate at which corrections
fade one step of its grid, from where the last update left it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, solve_triangular

from refine.refinement.inference import nuisance
from refine.refinement.inference.identifiability import Linearised
from refine.refinement.inference.posterior import (
    AMPLITUDE,
    FADINGS,
    Evidence,
    NormalEquations,
    Posterior,
    SmoothnessPrior,
    log_amplitude_prior,
    posterior,
)
from refine.refinement.inference.rows import Rows
from refine.refinement.problem import Problem, Target
from refine.refinement.responses.protocol import Curved, Response
from refine.refinement.responses.tangent import Tangent, about

Array = NDArray[np.float64]

AMPLITUDES = 10.0 ** np.arange(-2.0, 1.01, 0.25)
"""Prior amplitudes tried, kT."""

DRAWS = 400
"""Evaluations of the evidence for each amplitude that the evidence sets, in the average over amplitudes."""

NOISE_STEP = 0.125
"""Decades between them."""

NOISE_FACTORS = 10.0 ** np.arange(0.0, 1.51, NOISE_STEP)
"""Factors tried on the estimated sigma of curves that state none: the estimate sees only part of their errors."""

TEMPERING = 0.1
"""Variance of the linear model's error, as a share of the squared misfit that noise does not explain."""

TELLING = 2.0
"""By how much the logarithm of the evidence must grow for another rate of fading: rates that come and go with the noise
of samples keep a run from settling."""

DECADES = 0.26
"""How far (a quarter of a decade) a hyperparameter may move in one update once it has a value: a single sample's
evidence is noisy, and jumping between 'all noise' and 'all signal' would keep the run from settling."""


def by_state(problem: Problem) -> list[tuple[int, list[Target]]]:
    """Targets grouped by state, both in order."""
    states = sorted({t.state for t in problem.targets})
    return [(s, [t for t in problem.targets if t.state == s]) for s in states]


class Linearisation:
    """Evidence over prior amplitudes and noise factors, and the posterior that follows."""

    sampling: list[Array]
    normal: NormalEquations
    evidence: Evidence

    def __init__(
        self,
        problem: Problem,
        states: list[tuple[int, list[Target]]],
        responses: Sequence[Response],
        prior: SmoothnessPrior,
        kt: float,
        theta: Array,
        memory: dict[str, Any],
        fixed: Array,
    ) -> None:
        self.problem, self.states, self.given = problem, states, responses
        self.responses = responses
        self.kt, self.theta = kt, theta
        self.open: list[int] = np.flatnonzero(np.isnan(fixed)).tolist()  # amplitudes that the evidence sets
        self.priors = {rate: prior.faded(rate, np.isnan(fixed)) for rate in FADINGS}
        self.fading = FADINGS[int(np.argmin(np.abs(np.subtract(FADINGS, memory.get("fading") or 0.0))))]
        self.alike = [term[np.isnan(fixed[term])] for term in np.split(np.arange(len(fixed)), prior.terms)]
        targets = len(problem.targets)
        self.amplitudes = np.where(np.isnan(fixed), AMPLITUDE, fixed)  # the evidence moves it
        self.fresh = bool(len(self.open)) and not memory["amplitudes"]
        if memory["amplitudes"]:
            self.amplitudes[self.open] = np.array(memory["amplitudes"])[self.open]
        self.noise_factors = np.array(memory["noise_factors"] or np.ones(targets))
        self.scales = memory["scales"] or [1.0] * targets
        self.backgrounds = [_amplitudes(b) for b in memory["backgrounds"] or [()] * targets]
        self.unknown = _of_one_experiment(problem.targets)
        self.tempering = [0.0] * targets
        self.tempering = self._tempering()
        self.decades = DECADES if memory["noise_factors"] else np.inf
        self.before = self.noise_factors.copy(), self.amplitudes.copy(), self.fading

    def linearise(self, delta: Array) -> None:
        """Linear from here on about a change of theta, where the responses are not: their tangents there."""
        self.responses = [about(response, delta) for response in self.given]

    def by_fluctuations(self, delta: Array) -> Linearisation:
        """The same about a change of theta, but that slopes are those of fluctuations: what is stated of theta, and of
        what data determine, rests on no closure."""
        other = copy(self)
        other.responses = [r if r.linear else Tangent(r, delta, cast(Curved, r).fluctuations) for r in self.given]
        other.normal = other._normal()
        return other

    def objective(self, delta: Array) -> float:
        """Minus twice the logarithm of the posterior at a change of theta, but for a constant; noise as it is now."""
        z = solve_triangular(self.prior_root(), self.theta + delta, lower=True)
        total = float(z @ z)
        for index, response in enumerate(self.given):
            rows, _, _, noise = self._stacked(index)
            e = solve_triangular(np.linalg.cholesky(noise), rows.residual(response.curves(delta)), lower=True)
            total += float(e @ e)
        return total

    def _tempering(self) -> list[float]:
        """Variance of the linear model's error for each target, in the units of its curve squared."""
        variances = [0.0] * len(self.problem.targets)
        for (_, targets), response in zip(self.states, self.responses, strict=True):
            rows = Rows.build(targets, self.memory(), self.problem)
            noise = np.diag(rows.measured + rows.scale_covariance(response.noise()))
            excess = rows.residual(response.y) ** 2 - noise
            for target, part in zip(targets, rows.split(excess), strict=True):
                variances[self.problem.targets.index(target)] = TEMPERING * max(0.0, float(part.mean()))
        return variances

    def memory(self) -> dict[str, Any]:
        """Scales, backgrounds and noise factors in the form `Rows.build` takes."""
        return {
            "scales": self.scales,
            "backgrounds": self.backgrounds,
            "noise_factors": self.noise_factors.tolist(),
            "tempering": self.tempering,
        }

    def nuisances(self, values: Array, departures: bool = False) -> tuple[list[float], list[tuple[float, ...]]]:
        """Scales and backgrounds of all targets from a vector of all parameters; `departures`: scales less one."""
        rest, scales, backgrounds = values[len(self.theta) :], [], []
        for target in self.problem.targets:
            free, rest = np.split(rest, [nuisance.count(target)])
            scale, background = nuisance.values(target, free)
            scales.append(scale - 1.0 if departures else scale)
            backgrounds.append(background)
        return scales, backgrounds

    def maximise_evidence(self, delta: Array) -> Posterior:
        """The posterior where the evidence is largest on the grids of amplitudes, rates of fading and noise factors.

        delta: the step that Σ is of.
        """
        self.sampling = [r.noise(delta) for r in self.responses]
        self._renew()
        first = self.fresh
        if first:  # from nothing: one common amplitude first, then each by itself
            self.fresh = False
            self.amplitudes = self._common()
        best = self._climb(self._evidence_at(self.amplitudes))
        for rate in self._near():
            best = self._with_fading(rate, best, common=first)
        return posterior(self.normal, self._root(self.amplitudes))

    def _common(self) -> Array:
        """The best amplitudes that are one for all that are open."""
        return max(map(self._with_common, AMPLITUDES), key=self._evidence_at)

    def _near(self) -> list[float]:
        """Other rates of fading, next to the last update's; none where the study states all amplitudes."""
        place = FADINGS.index(self.before[2])
        near = FADINGS[max(place - 1, 0) : place + 2] if np.isfinite(self.decades) else FADINGS
        return [rate for rate in near if self.open and rate != self.fading]

    def _with_fading(self, rate: float, best: float, *, common: bool) -> float:
        """Let corrections fade at a rate where the evidence, at amplitudes that suit it, says so; the best evidence.

        common: whether these are sought from one for all of them.
        """
        before = self.fading, self.amplitudes.copy(), self.noise_factors.copy(), self.normal, self.evidence
        self.fading = rate
        self._weigh()
        if common:
            self.amplitudes = self._common()
        found = self._climb(self._evidence_at(self.amplitudes))
        if found <= best + TELLING:
            self.fading, self.amplitudes, self.noise_factors, self.normal, self.evidence = before
            return best
        return found

    def _climb(self, best: float) -> float:
        """Move amplitudes and factors on errors along their grids while the evidence grows; the best evidence."""
        improved = True
        while improved:
            improved = False
            climbs = [partial(self._climb_noise, together) for together in self.unknown]
            climbs += [partial(self._climb_amplitude, p) for p in self.open]
            for climb in climbs:
                climbed = climb(best)
                improved, best = improved or climbed > best, climbed
        return best

    @property
    def prior(self) -> SmoothnessPrior:
        """At the present rate of fading."""
        return self.priors[self.fading]

    def _with_common(self, amplitude: float) -> Array:
        changed = self.amplitudes.copy()
        changed[self.open] = amplitude
        return changed

    def _renew(self) -> None:
        """The normal equations at the present noise, and their evidence."""
        self.normal = self._normal()
        self._weigh()

    def _weigh(self) -> None:
        """The evidence of the normal equations as a function of amplitudes, at the present rate of fading."""
        unit = self.normal.in_units_of(self._root(np.ones_like(self.amplitudes)))
        self.evidence = Evidence(unit, self.prior.correlation.shape[1])

    def _climb_noise(self, together: list[int], best: float) -> float:
        """Move one factor on errors along its grid, near its start, while the evidence grows; the best evidence."""
        factors, first = self.noise_factors, together[0]
        for direction in (1, -1):
            while True:
                there = _nearest(NOISE_FACTORS, factors[first]) + direction
                if not 0 <= there < len(NOISE_FACTORS):
                    break
                if abs(np.log10(NOISE_FACTORS[there] / self.before[0][first])) > self.decades:
                    break
                before, normal, evidence = factors[first], self.normal, self.evidence
                factors[together] = NOISE_FACTORS[there]
                self._renew()
                found = self._evidence_at(self.amplitudes)
                if found <= best:
                    factors[together], self.normal, self.evidence = before, normal, evidence
                    break
                best = found
        return best

    def _climb_amplitude(self, index: int, best: float) -> float:
        """The same of one amplitude."""
        found = self._evidence_along(self.amplitudes, index)
        for direction in (1, -1):
            while True:
                there = _nearest(AMPLITUDES, self.amplitudes[index]) + direction
                if not 0 <= there < len(AMPLITUDES):
                    break
                if abs(np.log10(AMPLITUDES[there] / self.before[1][index])) > self.decades or found[there] <= best:
                    break
                self.amplitudes[index], best = AMPLITUDES[there], float(found[there])
        return best

    def _evidence_at(self, amplitudes: Array) -> float:
        return self._log_prior(amplitudes) + float(self.evidence.along(amplitudes, 0, amplitudes[:1])[0])

    def _evidence_along(self, amplitudes: Array, index: int) -> Array:
        """With one amplitude at all values that are tried, (n,)."""
        tried = np.repeat(amplitudes[None], len(AMPLITUDES), axis=0)
        tried[:, index] = AMPLITUDES
        return self.evidence.along(amplitudes, index, AMPLITUDES) + [self._log_prior(one) for one in tried]

    def _log_prior(self, amplitudes: Array) -> float:
        return sum(log_amplitude_prior(amplitudes[alike]) for alike in self.alike)

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

    def _stacked(self, index: int) -> tuple[Rows, Array, Array, Array]:
        """Of the state at `index` of `states`: rows, columns of all parameters, their present values, and noise."""
        (_, targets), response, sampling = self.states[index], self.responses[index], self.sampling[index]
        rows = Rows.build(targets, self.memory(), self.problem)
        blocks, now = [rows.scale[:, None] * response.jacobian], [self.theta]
        parts = rows.split(response.y)
        for i, target in enumerate(self.problem.targets):
            place = next((k for k, t in enumerate(targets) if t is target), None)
            derivatives, _ = nuisance.columns(target, target.y if place is None else parts[place])
            column = np.zeros((len(rows.y), derivatives.shape[1]))
            if place is not None:
                start = sum(rows.lengths[:place])
                column[start : start + len(derivatives)] = derivatives
            blocks.append(column)
            amplitudes = self.backgrounds[i] or np.zeros(0 if target.background is None else target.background.shape[1])
            now.append(np.array([*[self.scales[i] - 1.0] * target.free_scale, *amplitudes]))
        noise = rows.measured + rows.scale_covariance(sampling)
        return rows, np.hstack(blocks), np.concatenate(now), noise

    def _gram_noise(self, index: int, part: slice, noise: Array, size: int) -> Array:
        """What the noise of the Jacobian adds to the Gram matrix (size, size) of the rows `part` of a state."""
        scales = Rows.build(self.states[index][1], self.memory(), self.problem).scale
        lower, scale = np.linalg.cholesky(noise), scales[part][:, None]

        def whiten(values: Array) -> Array:
            return np.asarray(solve_triangular(lower, scale * values, lower=True, check_finite=False))

        added, k = np.zeros((size, size)), len(self.theta)
        added[:k, :k] = self.responses[index].gram_noise(whiten, part)
        return added

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
        covariance = posterior(self.without_noise(), self.root()).covariance
        self.tempering, self.normal = tempering, normal
        return covariance[: len(self.theta), : len(self.theta)]

    def averaged(self, unbiased: NormalEquations) -> Posterior:
        """Mean and covariance of all parameters when the amplitudes are as uncertain as the evidence leaves them.

        The most probable amplitude alone is too small where the data say little, and the mean at it stays too near to
        the base model. Gibbs sampling on the grid of amplitudes, always with the same random numbers; the covariance is
        the mean of those of the kept draws and the covariance of their means.

        unbiased: normal equations that the covariance follows from (`without_noise`).
        """
        amplitudes, rng = self.amplitudes.copy(), np.random.default_rng(0)
        means: list[Array] = []
        covariance, determined = np.zeros_like(unbiased.gram), 0.0
        sweeps = max(2, DRAWS // len(AMPLITUDES)) if self.open else 1
        for sweep in range(sweeps):
            for p in self.open:
                evidence = self._evidence_along(amplitudes, p)
                chances = np.exp(evidence - evidence.max())
                amplitudes[p] = AMPLITUDES[rng.choice(len(AMPLITUDES), p=chances / chances.sum())]
            if 5 * sweep < sweeps and sweeps > 1:  # forget the start
                continue
            root = self._root(amplitudes)
            one = posterior(unbiased, root)
            means.append(posterior(self.normal, root).mean)
            covariance, determined = covariance + one.covariance, determined + one.determined
        kept, mean = len(means), np.mean(means, axis=0)
        off = np.array(means) - mean
        return Posterior(mean, (covariance + off.T @ off) / kept, determined / kept)

    def _slope_variance(self, index: int, part: slice, scale: Array, delta: Array) -> Array:
        return np.asarray(scale**2 * self.responses[index].slope_variance(delta)[part])

    def linearised(self) -> list[Linearised]:
        """Every target by itself, linear in theta, its own scale and background marginalised into its noise."""
        curves: list[Linearised] = []
        for index, (_, targets) in enumerate(self.states):
            rows, columns, now, noise = self._stacked(index)
            residual = rows.residual(self.responses[index].y)
            starts = np.cumsum([0, *rows.lengths])
            k = len(self.theta)
            spread = self._root(self.amplitudes)[k:, k:] ** 2
            for target, low, high in zip(targets, starts[:-1], starts[1:], strict=True):
                part = slice(int(low), int(high))
                nuisances = columns[part, k:]
                widened = noise[part, part] + nuisances @ spread @ nuisances.T
                jacobian = columns[part, :k]
                goal = residual[part] + columns[part] @ now
                normal = NormalEquations.build(jacobian, goal, widened)
                unbiased = normal.unbiased(self._gram_noise(index, part, widened, k), self.prior_root())
                # J theta_now in the goal has the noise of J too: what is known of theta there is as much as of a step
                projection = normal.projection + (unbiased.gram - normal.gram) @ self.theta
                unbiased = replace(unbiased, projection=projection)
                spread_of = partial(self._slope_variance, index, part, rows.scale[part])
                curves.append(Linearised(target, jacobian, goal, widened, unbiased, self.theta, spread_of))
        return sorted(curves, key=lambda curve: self.problem.targets.index(curve.target))


def _amplitudes(stored: float | Sequence[float]) -> tuple[float, ...]:
    """Those of a background; a record of before has the one of a flat background as a number, 0 where there is none."""
    if isinstance(stored, int | float):
        return (float(stored),) if stored else ()
    return tuple(stored)


def _of_one_experiment(targets: Sequence[Target]) -> list[list[int]]:
    """Indices of the targets that state no errors, those together whose errors are one experiment's.

    Partials of one quantity are solutions of one set of linear equations, of the same few measured totals, so what is
    wrong with one of them is wrong with all. Were each asked for itself, the evidence would have the curve measured
    badly that a fit of the others makes worse.
    """
    groups: dict[object, list[int]] = {}
    for i, target in enumerate(targets):
        if not target.sigma_known:
            groups.setdefault(i if target.pair is None else (target.state, target.quantity), []).append(i)
    return list(groups.values())


def _nearest(grid: Array, value: float) -> int:
    """Index of the grid point nearest to a value, on the logarithmic scale."""
    return int(np.argmin(np.abs(np.log(grid / value))))
