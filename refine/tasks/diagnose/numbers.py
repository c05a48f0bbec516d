"""Measured numbers beside those of the base model, and what would mend them."""

from __future__ import annotations

import math

import numpy as np

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.posterior import SmoothnessPrior
from refine.refinement.misfit.ensemble import Ensemble
from refine.refinement.observables.protocol import linear_response
from refine.results.scores import score_number
from refine.study.datasets import NumberSet
from refine.tasks.diagnose.directions import coefficient
from refine.tasks.diagnose.findings import NumberComparison
from refine.units import BOLTZMANN


def compared_number(
    number: NumberSet, ensemble: Ensemble, state: str, correction: PairCorrection, length: float
) -> NumberComparison:
    """A number against frames of its state, whose name is `state`.

    With J the linear response and R R' the prior covariance of theta, the most probable correction that changes the
    number by d is R R' J d / (J' R R' J). The temperature's slope is Cov(A, U)/kT^2 and what A itself depends on it.

    Args:
        length: Å, of the smoothness prior.
    """
    frames, observable, temperature = ensemble.frames, number.target.observable, ensemble.temperature
    score, kt = score_number(number, frames), BOLTZMANN * temperature
    gap = float(number.target.y[0]) - score.value
    values, energy = observable.values(frames)[:, 0], frames.energy - frames.energy.mean()
    warmer = number.entry.observable(ensemble.box, temperature + 1.0).values(frames)[:, 0]
    by_temperature = float(np.mean((values - values.mean()) * energy) / (kt * temperature) + np.mean(warmer - values))
    prior = SmoothnessPrior.build(correction, frames.centres, frames.felt.pair_distribution(), length)
    root = prior.scaled_root(np.full(correction.terms * len(correction.active_pairs), kt))
    slope = np.array([linear_response(observable, frames, correction, temperature, k)[0] for k in root.T])
    theta = root @ slope * gap / float(slope @ slope)
    largest = int(np.argmax(np.abs(theta)))
    return NumberComparison(
        name=number.name,
        quantity=number.target.quantity,
        state=state,
        role=number.role,
        unit=observable.unit,
        measured=float(number.target.y[0]),
        measured_stderr=math.sqrt(float(number.target.covariance[0, 0])),
        model=score.value,
        model_stderr=score.stderr,
        sigmas=score.sigmas,
        temperature=gap / by_temperature,
        correction=float(theta[largest]) / kt,
        at=coefficient(correction, largest),
    )
