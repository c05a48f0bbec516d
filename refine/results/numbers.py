"""Measured numbers in a finished run, and its pressures, before and after."""

from __future__ import annotations

import math

import numpy as np

from refine.refinement.observables.pressure import Pressure
from refine.refinement.observables.protocol import Observable, linear_response
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
    posterior = _posterior_error(outcome, target.observable, number.state)
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


def _posterior_error(outcome: Outcome, observable: Observable, s: int) -> float:
    """Of a number of a state, by the linear response of the answer's sample, whose noise makes it larger; 0 where no
    covariance is stated."""
    if outcome.stated is None:
        return 0.0
    sample, temperature = outcome.samples[outcome.final], outcome.study.problem.temperatures[s]
    every = np.eye(len(outcome.stated))
    slope = linear_response(observable, sample.frames[s], sample.correction, temperature, every)[0]
    return math.sqrt(float(slope @ outcome.stated @ slope))


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
            left = _posterior_error(outcome, Pressure(study.problem.temperatures[s]), s)
            open_ = f" (the errors of φ leave ± {left:.2g} GPa open)" if left else ""
            found.append(
                f"{state.name}: the fit moved the pressure from {before:.3g} ± {before_error:.1g} to {after:.3g} ± "
                f"{after_error:.1g} GPa{open_}, and curves say little of it: a measured pressure or number density can "
                "be fitted beside them, as [[data]] of that quantity."
            )
    return found
