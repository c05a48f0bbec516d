"""Iterative Boltzmann inversion: delta phi(r) = alpha kT ln[g(r) / g_target(r)].

Source: D. Reith, M. Pütz and F. Müller-Plathe, J. Comput. Chem. 24, 1624 (2003). Needs the partial g(r) of every
corrected pair as a target, seen through the experiment's Q range like every curve. When not to use it: with a single
total curve of a mixture (not defined: three unknown partials), and where noise matters, because nothing but the spline
basis smooths the update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.pair import PairCorrection
from refine.refinement.problem import Problem, Sample, Target, Update
from refine.refinement.statistics import pool

Array = NDArray[np.float64]

FLOOR = 0.05
"""The logarithm is taken only where model and target both exceed this."""

RIDGE = 1e-3
"""Relative ridge that keeps coefficients without data at zero."""


@dataclass(frozen=True)
class IBI:
    """The classical update for g(r) targets.

    Attributes:
        damping: alpha, 0 to 1.
        final_factor: length of the confirming samples in units of the ordinary ones.
    """

    damping: float = 1.0
    final_factor: float = 2.0

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Every corrected pair needs its g(r)."""
        for pair in correction.active_pairs:
            self._target(problem, correction, pair)

    def start(self) -> dict[str, Any]:
        """Memory before the first call."""
        return {"previous": None, "frames_factor": 1.0}

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """One inversion of the newest sample; converged when chi^2 no longer falls beyond its sampling error."""
        memory = dict(state)
        correction = samples[-1].correction
        theta = correction.theta.reshape(-1, correction.basis.size)
        chi2 = variance = 0.0
        change = np.zeros_like(theta)
        for index, p in enumerate(correction.active_pairs):
            target = self._target(problem, correction, p)
            pooled = pool(problem, samples[-1:], target.state, correction)
            response = pooled.response([target])
            misfit, noise = target.y - response.y, response.noise()
            weight = np.linalg.inv(target.covariance + noise)
            chi2 += float(misfit @ weight @ misfit)
            variance += float(4.0 * (weight @ misfit) @ noise @ (weight @ misfit) + 2.0 * np.sum((weight @ noise) ** 2))
            change[index] = self._inversion(correction, p, target, response.y, problem.kt(target.state))
        decrease = None if memory["previous"] is None else float(memory["previous"]["chi2"]) - chi2
        error = None
        if decrease is not None:
            error = float(np.sqrt(variance + float(memory["previous"]["variance"])))
        settled = decrease is not None and error is not None and decrease <= error
        long_enough = memory["frames_factor"] >= self.final_factor
        if settled:
            memory["frames_factor"] = self.final_factor
        memory["previous"] = {"chi2": chi2, "variance": variance}
        reason = ""
        if settled:
            reason = f"chi^2 fell by {decrease:.1f} ± {error:.1f}, within its sampling error; " + (
                "converged" if long_enough else "sampling longer to confirm"
            )
        counts = pooled.mean_counts()[list(correction.active_pairs)]
        edges = samples[-1].frames[0].edges
        dphi = np.einsum("pbk,pk->pb", correction.binned_basis(edges)[list(correction.active_pairs)], change)
        inside = counts * (edges[1:] < correction.basis.r_cut)
        return Update(
            correction=correction.with_theta((theta + change).ravel()),
            state=memory,
            accepted=True,
            restart=len(samples) - 1,
            converged=settled and long_enough,
            reason=reason,
            frames_factor=float(memory["frames_factor"]),
            diagnostics={
                "effective_sample_size": float(len(samples[-1].frames[0].energy)),
                "actual_decrease": decrease,
                "actual_decrease_error": error,
                "step_kT": float(np.sqrt((inside * dphi**2).sum() / inside.sum()) / problem.kt(0)),
            },
        )

    @staticmethod
    def _target(problem: Problem, correction: PairCorrection, pair: int) -> Target:
        """The g(r) target of one pair; exactly one must exist."""
        name = "-".join(correction.pairs[pair])
        matching = [t for t in problem.targets if t.quantity == "g(r)" and t.pair == pair]
        if len(matching) != 1:
            raise InputError(
                f"ibi needs exactly one fitted g(r) of the pair {name} and found {len(matching)}",
                where="[refinement] method",
                fix="give every corrected pair its partial g(r), or use gauss-newton, which takes any curve",
            )
        return matching[0]

    def _inversion(self, correction: PairCorrection, pair: int, target: Target, g: Array, kt: float) -> Array:
        """Least-squares coefficients of alpha kT ln(g / g_target) on the points where both exceed the floor."""
        inside = (g > FLOOR) & (target.y > FLOOR) & (target.x < correction.basis.r_cut)
        if inside.sum() < 2:
            raise InputError(
                "model and target g(r) share fewer than two points above 0.05 within r_cut",
                where=f"[[data]] {target.name}",
                fix="check fit_r and the units of r",
            )
        r = target.x[inside]
        wish = self.damping * kt * np.log(g[inside] / target.y[inside])
        root = np.sqrt(np.minimum(g, target.y)[inside]) * r
        design = correction.basis_values(r)[pair] * root[:, None]
        gram = design.T @ design
        ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        return np.linalg.solve(gram + ridge, design.T @ (wish * root))
