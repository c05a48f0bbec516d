"""Measured numbers in a finished run, and its pressures, before and after."""

from __future__ import annotations

import math

import numpy as np

from refine.refinement.responses.pool import pool
from refine.results.outcome import Outcome
from refine.results.schema import MeasuredNumber
from refine.results.scores import score_number
from refine.sampling.averages import standard_error
from refine.study.datasets import NumberSet

MOVED = 2.0
"""Standard errors by which a pressure must have changed to be said to."""


def measured_number(outcome: Outcome, number: NumberSet) -> MeasuredNumber:
    """A number under the base model and under the answer; the posterior's share by linear response."""
    sample, target = outcome.samples[outcome.final], number.target
    before, after = (score_number(number, s.frames[number.state]) for s in (outcome.samples[0], sample))
    posterior = 0.0
    if outcome.stated is not None:
        slope = pool(outcome.study.problem, [sample], number.state, sample.correction).response([target]).jacobian[0]
        posterior = math.sqrt(float(slope @ outcome.stated @ slope))
    return MeasuredNumber(
        name=number.name,
        quantity=target.quantity,
        state=outcome.study.config.states[number.state].name,
        role=number.role,
        stated=number.entry.value,
        stated_sigma=number.entry.sigma,
        stated_unit=number.entry.unit,
        value=float(target.y[0]),
        sigma=math.sqrt(float(target.covariance[0, 0])),
        unit=target.observable.unit,
        initial=before.value,
        initial_stderr=before.stderr,
        initial_sigmas=before.sigmas,
        final=after.value,
        final_stderr=math.hypot(after.stderr, posterior),
        final_sigmas=after.sigmas,
        posterior_stderr=posterior,
    )


def pressures(outcome: Outcome, s: int) -> list[tuple[float, float]]:
    """(mean, standard error) of the pressure of a state, GPa, under the base model and under the answer."""
    frames = [outcome.samples[number].frames[s] for number in (0, outcome.final)]
    return [(float(f.pressure().mean()), float(standard_error(f.pressure(), f.replica))) for f in frames]


def moved_pressures(outcome: Outcome) -> list[str]:
    """Pressures that the fit moved beyond their errors where none was fitted, in words; they say whether the potential
    still has the material's density."""
    study = outcome.study
    if not study.rule.yields_potential:
        return []
    fitted = {n.state for n in study.numbers if n.role == "fit" and n.target.observable.unit == "GPa"}
    found = []
    for s, state in enumerate(study.config.states):
        (before, before_error), (after, after_error) = pressures(outcome, s)
        error = float(np.hypot(before_error, after_error))
        if s not in fitted and abs(after - before) > MOVED * error:
            found.append(
                f"{state.name}: the fit moved the pressure from {before:.3g} ± {before_error:.1g} to {after:.3g} ± "
                f"{after_error:.1g} GPa, and curves say little of it: a measured pressure or number density can be "
                "fitted beside them, as [[data]] of that quantity."
            )
    return found
