"""Empirical potential structure refinement: the misfit in Q space, fed back as a potential.

    delta phi_p(r) = -feedback kT Δg_p(r),          Δg_p(r) = Σ_k C_pk p_k(r),

p_k the Poisson functions below, whose transform P_k(Q) is analytic. What the data count beside the simulated partials,
by the confidence f, is in docs/theory/rules.md; at every Q that is the pseudo-inverse of the weight matrix, its rows of
unit length, extended by (1 - f) times the identity. The accumulated potential is limited to `cap` kT, rms over the
sampled pairs of atoms, and projected onto the splines of the correction.

Sources: A. K. Soper, Chem. Phys. 202, 295 (1996) and Phys. Rev. B 72, 104204 (2005), whose p_n and P_n these are. What
differs: one step per sample of many frames, where the original moves on after few; a step that raised chi^2 beyond its
sampling error is taken back and the feedback halved, because at a peak of S(Q) a liquid answers S^2 times as strongly
as the rule assumes; the weights of x-rays keep their dependence on Q; several states share one phi, each with its kT.

When not to use it: when error bars are wanted or the errors of the data are known (there are none, and these are not
used except to stop), because cap, feedback and confidence decide how far it goes; with few data sets for many pairs,
because 1 - f then decides what the pairs share; with r-space curves (it is defined in Q).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.special import gammaln

from refine.curves.quantities import is_q_space
from refine.curves.transforms import r_to_q_matrix, trapezoid_weights
from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import confirmed, misfit, refuse_numbers, refuse_temperature_dependence
from refine.refinement.fitted import Fitted
from refine.refinement.inference.nuisance import best
from refine.refinement.keys import Refinement, Shared
from refine.refinement.problem import Problem, Sample, Target, Update
from refine.refinement.steps import step_sizes
from refine.sampling.frames import Frames
from refine.system import taper_width
from refine.tables.values import Number

Array = NDArray[np.float64]

SIGMA = 0.02
"""Å, decay length of the Poisson functions: that with its maximum at r has the standard deviation sqrt(sigma r), 0.28 Å
at 4 Å."""

SMALLEST = 1e-3
"""Singular values of the Poisson expansion below this share of the largest are left out: sums of overlapping functions
that no curve shows."""

PLAIN_R = 1.5
"""Å; nearer than this, bins are so thin in volume that they say nothing on a curve's weights."""


def poisson_functions(r: ArrayLike, n: ArrayLike, sigma: float, number_density: float) -> Array:
    """p_n(r) = (r/σ)^n exp(-r/σ) / [4πρσ^3 (n + 2)!]: (orders, points), dimensionless; maximum at r = nσ.

    Args:
        r: (points,) Å, above zero.  n: (orders,) at least zero.  sigma: Å.  number_density: ρ, atoms/Å^3.

    >>> r = np.arange(0.01, 10.0, 0.01)
    >>> p = poisson_functions(r, [100], 0.03, number_density=0.02)
    >>> float(r[np.argmax(p[0])].round(2)), float((4.0 * np.pi * 0.02 * r**2 @ p[0] * 0.01).round(6))
    (3.0, 1.0)
    """
    x, order = np.asarray(r, float) / sigma, np.asarray(n, float)[:, None]
    # the logarithm: n reaches hundreds
    exponent = order * np.log(x) - x - gammaln(order + 3.0)
    return np.asarray(np.exp(exponent) / (4.0 * math.pi * number_density * sigma**3))


def poisson_transforms(q: ArrayLike, n: ArrayLike, sigma: float) -> Array:
    """P_n(Q) = (4πρ/Q) ∫ r p_n(r) sin(Qr) dr = (1 + x^2)^-(n+2)/2 sin[(n + 2) α] / [(n + 2) x]: (orders, points).

    x = Qσ, α = arctan x; 1 at Q = 0. The ρ of p_n cancels.

    Args:
        q: (points,) 1/Å.  n: (orders,).  sigma: Å.

    >>> poisson_transforms([0.0, 1.0], [200], 0.02).round(3)
    array([[ 1.   , -0.186]])
    """
    x, order = np.asarray(q, float) * sigma, np.asarray(n, float)[:, None] + 2.0
    angle = np.arctan(x)
    # np.sinc(y/π) is sin(y)/y; angle/x is 1 at x = 0
    ratio = np.divide(angle, x, out=np.ones_like(x), where=x != 0.0)
    return (1.0 + x**2) ** (-0.5 * order) * np.sinc(order * angle / math.pi) * ratio


def pair_weights(target: Target, frames: Frames) -> Array:
    """w_p(Q), (pairs, n): the factors with which the partial S_p(Q) - 1 enter a Q-space curve at its points.

    Row i of the operator, taken to g_p, is w_p(Q_i) times the Fourier transform as far as the box is not faded out: the
    least-squares factor between the two, over the bins from `PLAIN_R` to there. Zero for a pair that is not in the box.
    Good to a few per cent (worst at the ends of the measured Q range); only the balance between data sets and simulated
    partials depends on it.
    """
    edges, n = frames.edges, len(target.y)
    rows = target.operator.matrix.reshape(n, *frames.counts.shape[1:]) * frames.ideal_counts()
    plain = (edges[:-1] > PLAIN_R) & (edges[1:] < frames.r_max - taper_width(frames.r_max))
    transform = r_to_q_matrix(edges, target.x, frames.n_atoms / frames.volume, of="means")[:, plain]
    return np.asarray(np.einsum("npb,nb->pn", rows[:, :, plain], transform) / (transform**2).sum(axis=1))


class EPSRKeys(Refinement):
    """Empirical potential structure refinement, Q-space data."""

    method: Literal["epsr"] = "epsr"
    feedback: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.8, description="Share of the difference that enters the empirical potential at each update."
    )
    confidence: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.9, description="Weight of the data against the simulated partials when data sets are combined."
    )
    cap: Annotated[Number, Field(gt=0, le=1000)] = Field(
        1.0, description="Largest rms of the empirical potential over sampled pairs, in kT."
    )

    def rule(self, shared: Shared) -> EPSR:
        """The update rule with these settings."""
        return EPSR(
            feedback=self.feedback,
            confidence=self.confidence,
            cap=self.cap,
            final_factor=shared.final_factor,
        )


@dataclass(frozen=True)
class EPSR:
    """The rule of empirical potential structure refinement.

    Attributes:
        feedback: share of the difference that one update adds to the potential, 0 to 1.
        confidence: f, of the data against the simulated partials, between 0 and 1, which has no part of them left.
        cap: largest rms of phi over the sampled pairs of atoms of a species pair, kT.
        final_factor: length of the confirming samples in units of the ordinary ones.
    """

    yields_potential: ClassVar[bool] = True
    knows_slow_modes: ClassVar[bool] = False
    feedback: float
    confidence: float
    cap: float
    final_factor: float

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Curves in Q space only."""
        refuse_temperature_dependence(correction, "epsr")
        refuse_numbers(problem, "epsr")
        if not problem.targets:
            raise InputError("epsr needs a curve to fit", where="[[data]]", fix='give a curve the role "fit"')
        for target in problem.targets:
            if not is_q_space(target.quantity):
                raise InputError(
                    f"epsr is defined in Q space and {target.quantity} is a function of r",
                    where=f"[[data]] {target.name}",
                    fix="fit the measured S(Q) with fit_q alone, or use gauss-newton, which takes any curve",
                )

    def start(self) -> dict[str, Any]:
        """Memory before the first call."""
        return {"previous": None, "current": 0, "feedback": self.feedback, "frames_factor": 1.0}

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """Judge the newest sample and feed its difference back.

        Converged when chi^2 no longer changes beyond its sampling error (`Change.settled`).
        """
        memory = dict(state)
        present = misfit(samples[-1], problem.targets)
        since = present.since(memory["previous"])
        reason = ""
        if since.rose:
            memory["feedback"] *= 0.5
            reason = f"step taken back ({since}); feedback now {memory['feedback']:g}"
        else:
            memory |= {"current": len(samples) - 1, "previous": present.stored}
        converged, memory["frames_factor"], words = confirmed(since.settled, memory["frames_factor"], self.final_factor)
        if since.settled:
            reason = f"{since}, within its sampling error; {words}"
        sample = samples[int(memory["current"])]
        old = sample.correction.theta
        new, capped = self._capped(
            problem, sample, old + float(memory["feedback"]) * full_step(problem, sample, self.confidence)
        )
        if capped:
            reason = "; ".join(filter(None, (reason, f"cap of {self.cap:g} kT reached for {', '.join(capped)}")))
        return Update(
            correction=sample.correction.with_theta(new),
            state=memory,
            accepted=not since.rose,
            restart=int(memory["current"]),
            converged=converged,
            reason=reason,
            frames_factor=float(memory["frames_factor"]),
            fitted=Fitted(
                effective_sample_size=float(min(len(f) for f in samples[-1].frames)),
                step=float(_sizes(problem, sample, new - old).max()),
                numbers={
                    "feedback": float(memory["feedback"]),
                    "potential_kT": _sizes(problem, sample, new).tolist(),
                },
            ),
        )

    def _capped(self, problem: Problem, sample: Sample, theta: Array) -> tuple[Array, list[str]]:
        """theta with every species pair scaled down to the cap, and the names of those that had to be."""
        correction = sample.correction
        sizes = _sizes(problem, sample, theta)
        shares = np.minimum(1.0, self.cap / np.maximum(sizes, self.cap))
        names = ["-".join(correction.pairs[p]) for p in correction.active_pairs]
        capped = [name for name, size in zip(names, sizes, strict=True) if size > self.cap]
        return (theta.reshape(len(names), -1) * shares[:, None]).ravel(), capped


def _sizes(problem: Problem, sample: Sample, theta: Array) -> Array:
    """(active pairs,) kT, in state 0."""
    return step_sizes(sample.correction, theta, sample.frames[0], problem.kt(0))


def full_step(problem: Problem, sample: Sample, confidence: float) -> Array:
    """Coefficients (len(theta),) eV of -kT Δg at feedback 1, from the differences of one sample.

    Unknown are the changes of phi themselves, amplitudes (eV Å^3) of Poisson functions of unit integral over space
    whose maxima lie a knot spacing apart: with -1/kT they are changes of g in every state. What a data set sees of them
    is its operator's answer, its own Q range and the box included; what the simulated partials see is P_k(Q).
    """
    correction = sample.correction
    basis, pairs = correction.basis, correction.active_pairs
    orders = np.round(np.maximum(basis.knots[:-1], basis.spacing) / SIGMA)
    rows, right = [], []
    for state in sorted({t.state for t in problem.targets}):
        frames, kt = sample.frames[state], problem.kt(state)
        density = frames.n_atoms / frames.volume
        mean = frames.counts.mean(axis=0, dtype=np.float64)
        # what is added to g, and from there to the counts, for an amplitude of one
        shape = -poisson_functions(frames.centres, orders, SIGMA, 1.0) / kt
        counts = frames.ideal_counts()[list(pairs), None, :] * shape
        targets = [t for t in problem.targets if t.state == state]
        for target in targets:
            y = target.predict(mean)
            free = best(target, y)
            matrix = target.operator.matrix.reshape(len(y), *mean.shape)[:, list(pairs)]
            design = free.scale * np.einsum("npb,pkb->npk", matrix, counts).reshape(len(y), -1)
            length = np.linalg.norm(pair_weights(target, frames), axis=0)
            if not (length > 0.0).all():
                raise InputError(
                    "the curve does not depend on the structure at some of its points",
                    where=f"[[data]] {target.name}",
                    fix="start fit_q above 0",
                )
            share = confidence * np.sqrt(target.weight * trapezoid_weights(target.x)) / length
            rows.append(share[:, None] * design)
            right.append(share * (target.y - free.apply(target, y)))
        # the simulated partials, on the points of the widest curve
        q = max((t.x for t in targets), key=np.ptp)
        partial = poisson_transforms(q, orders, SIGMA).T * (density / kt)
        block = ((1.0 - confidence) * np.sqrt(trapezoid_weights(q)))[:, None] * partial
        rows.append(np.kron(np.eye(len(pairs)), block))
        right.append(np.zeros(len(pairs) * len(q)))
    amplitudes = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=SMALLEST)[0]

    r = np.linspace(basis.r_min, basis.r_cut, 10 * basis.size)
    phi = amplitudes.reshape(len(pairs), -1) @ poisson_functions(r, orders, SIGMA, 1.0)
    return np.asarray(np.linalg.lstsq(basis.values(r), phi.T, rcond=None)[0].T.ravel())
