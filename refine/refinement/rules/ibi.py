"""Iterative Boltzmann inversion: delta phi(r) = alpha kT ln[g(r) / g_target(r)], with a pressure held if asked for.

Source: D. Reith, M. Pütz and F. Müller-Plathe, J. Comput. Chem. 24, 1624 (2003). Needs the partial g(r) of every
corrected pair as a target, seen through the experiment's Q range like every curve; other curves are not used. A pair
with targets in several states gets the one phi(r) that comes nearest to all of their inversions, each at its own kT,
by weighted least squares: multistate IBI (T. C. Moore, C. R. Iacovella and C. McCabe, J. Chem. Phys. 140, 224104
(2014)).

The pressure constraint adds delta phi = A (1 - r/r_cut) to every corrected pair, as far as the splines can follow it
(they make its kink at r_cut smooth), with A = (p_target - p)/(dp/dA), at most 0.1 kT a step as in the source. Instead
of its empirical factor, or the explicit part alone (H. Wang, C. Junghans and K. Kremer, Eur. Phys. J. E 28, 221
(2009)), dp/dA is the whole response, from stored frames (`refine.refinement.observables.pressure`).

When not to use it: with a single total curve of a mixture (not defined: three unknown partials), where noise matters,
because nothing but the spline basis smooths the update, and with a pressure whose natural fluctuation in a box so
small is not averaged out: A then follows noise.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from refine.refinement.observables.pressure import Pressure
from refine.refinement.observables.protocol import linear_response
from refine.refinement.problem import Problem, Sample, Target, Update
from refine.refinement.steps import step_sizes
from refine.sampling.averages import standard_error
from refine.tables.values import Number

Array = NDArray[np.float64]

FLOOR = 0.05
"""The logarithm is taken only where model and target both exceed this."""

RIDGE = 1e-3
"""Relative ridge that keeps coefficients without data at zero."""

PRESSURE_STEP = 0.1
"""Largest |A| of one pressure correction, kT."""


class IBIKeys(Refinement):
    """Iterative Boltzmann inversion of partial g(r)."""

    method: Literal["ibi"] = "ibi"
    damping: Annotated[Number, Field(gt=0, le=1)] = Field(1.0, description="Share of each update that is made.")
    pressure: Annotated[Number, Field(ge=-100, le=1000)] | None = Field(
        None, description="Pressure in GPa that the correction is held to. Default: no constraint."
    )

    def rule(self, shared: Shared) -> IBI:
        """The update rule with these settings."""
        return IBI(damping=self.damping, final_factor=shared.final_factor, pressure=self.pressure)


@dataclass(frozen=True)
class IBI:
    """The classical update for g(r) targets.

    Attributes:
        damping: alpha, 0 to 1.
        final_factor: length of the confirming samples in units of the ordinary ones.
        pressure: GPa that the sample is brought to; None: no constraint.
    """

    yields_potential: ClassVar[bool] = True
    knows_slow_modes: ClassVar[bool] = False
    damping: float
    final_factor: float
    pressure: float | None

    def check(self, problem: Problem, correction: PairCorrection) -> None:
        """Every corrected pair needs its g(r); a pressure belongs to one state."""
        refuse_temperature_dependence(correction, "ibi")
        refuse_numbers(problem, "ibi")
        for pair in correction.active_pairs:
            self._targets(problem, correction, pair)
        if self.pressure is not None and len(problem.temperatures) > 1:
            raise InputError(
                f"one pressure cannot hold for {len(problem.temperatures)} states",
                where="[refinement] pressure",
                fix="leave one state, or drop the pressure",
            )

    def start(self) -> dict[str, Any]:
        """Memory before the first call."""
        return {"previous": None, "frames_factor": 1.0}

    def update(self, state: dict[str, Any], problem: Problem, samples: Sequence[Sample]) -> Update:
        """One inversion of the newest sample.

        Converged when chi^2 no longer changes beyond its sampling error (`Change.settled`), and the pressure, where one
        is asked for, is within two standard errors of it.
        """
        memory = dict(state)
        sample = samples[-1]
        correction = sample.correction
        targets = [self._targets(problem, correction, p) for p in correction.active_pairs]
        pairs = zip(correction.active_pairs, targets, strict=True)
        change = np.concatenate([self._inversion(problem, sample, p, same_pair) for p, same_pair in pairs])
        present = misfit(sample, [t for same_pair in targets for t in same_pair])
        since = present.since(memory["previous"])
        settled = since.settled
        reasons = [f"{since}, within its sampling error"] if settled else []
        pressure: dict[str, float] = {}
        if self.pressure is not None:
            held = pressure_correction(problem, sample, self.pressure)
            change = change + held.theta
            pressure = {"pressure_GPa": held.pressure, "pressure_error_GPa": held.error}
            if settled and abs(held.pressure - self.pressure) > 2.0 * held.error:
                settled = False
                reasons.append(
                    f"the pressure, {held.pressure:.4f} ± {held.error:.4f} GPa, is not yet {self.pressure:g} GPa"
                )
        converged, memory["frames_factor"], words = confirmed(settled, memory["frames_factor"], self.final_factor)
        memory["previous"] = present.stored
        return Update(
            correction=correction.with_theta(correction.theta + change),
            state=memory,
            accepted=True,
            restart=len(samples) - 1,
            converged=converged,
            reason="; ".join(filter(None, (*reasons, words))),
            frames_factor=float(memory["frames_factor"]),
            fitted=Fitted(
                effective_sample_size=float(min(len(f) for f in sample.frames)),
                step=float(step_sizes(correction, change, sample.frames[0], problem.kt(0)).max()),
                numbers=pressure,
            ),
        )

    @staticmethod
    def _targets(problem: Problem, correction: PairCorrection, pair: int) -> list[Target]:
        """The g(r) targets of one pair: one or more, no two of one state."""
        matching = [t for t in problem.targets if t.quantity == "g(r)" and t.pair == pair]
        if not matching or len({t.state for t in matching}) < len(matching):
            raise InputError(
                f"ibi needs exactly one fitted g(r) of the pair {'-'.join(correction.pairs[pair])} in a state "
                f"and found {len(matching)}",
                where="[refinement] method",
                fix="give every corrected pair its partial g(r), or use gauss-newton, which takes any curve",
            )
        return matching

    def _inversion(self, problem: Problem, sample: Sample, pair: int, targets: Sequence[Target]) -> Array:
        """Coefficients (size,) nearest to alpha kT ln(g / g_target) of all targets of one pair, where both exceed the
        floor."""
        correction = sample.correction
        size = correction.basis.size
        gram, right = np.zeros((size, size)), np.zeros(size)
        for target in targets:
            frames = sample.frames[target.state]
            y = target.predict(frames.counts.mean(axis=0, dtype=np.float64))
            g = best(target, y).apply(target, y)
            # pairs that phi does not act on are taken out of both, as the model has them
            between = target.predict(frames.felt.counts.mean(axis=0, dtype=np.float64))
            g, aim = g - (y - between), target.y - (y - between)
            inside = (g > FLOOR) & (aim > FLOOR) & (target.x < correction.basis.r_cut)
            if inside.sum() < 2:
                raise InputError(
                    "model and target g(r) share fewer than two points above 0.05 within r_cut",
                    where=f"[[data]] {target.name}",
                    fix="check fit_r and the units of r",
                )
            r = target.x[inside]
            wish = self.damping * problem.kt(target.state) * np.log(g[inside] / aim[inside])
            importance = target.weight * np.minimum(g, aim)[inside] * r**2
            design = correction.basis_values(r)[pair]
            gram += design.T @ (importance[:, None] * design)
            right += design.T @ (importance * wish)
        return np.linalg.solve(gram + RIDGE * np.trace(gram) / size * np.eye(size), right)


@dataclass(frozen=True)
class HeldPressure:
    """A pressure correction, and what it was derived from.

    Attributes:
        ramp: (len(theta),), 1 - r/r_cut of every corrected pair, dimensionless.
        amplitude: A, eV.
        pressure, error: of the sample, and its standard error, GPa.
        response: dp/dA, GPa/eV.
    """

    ramp: Array
    amplitude: float
    pressure: float
    error: float
    response: float

    @property
    def theta(self) -> Array:
        """(len(theta),) to be added, eV."""
        return self.amplitude * self.ramp


def pressure_correction(problem: Problem, sample: Sample, pressure: float) -> HeldPressure:
    """The ramp A (1 - r/r_cut) of every corrected pair that brings state 0 to a pressure (GPa) in linear response.

    At most `PRESSURE_STEP` kT; that, with the sign of the pressure's error, where frames are so few that the response
    does not come out positive.
    """
    correction, frames, kt = sample.correction, sample.frames[0], problem.kt(0)
    basis, temperature = correction.basis, problem.temperatures[0]
    observable = Pressure(temperature)
    r = np.linspace(basis.r_min, basis.r_cut, 20 * basis.size)
    ramp = np.tile(np.linalg.lstsq(basis.values(r), 1.0 - r / basis.r_cut, rcond=None)[0], len(correction.active_pairs))
    response = float(linear_response(observable, frames, correction, temperature, ramp)[0])

    pressures = observable.values(frames)[:, 0]
    error = float(standard_error(pressures, frames.replica))
    missing, limit = pressure - float(pressures.mean()), PRESSURE_STEP * kt
    amplitude = np.clip(missing / response, -limit, limit) if response > 0.0 else np.sign(missing) * limit
    return HeldPressure(ramp, float(amplitude), float(pressures.mean()), error, response)
