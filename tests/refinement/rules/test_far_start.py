"""Gauss-Newton with the closure on a liquid whose g(r) has to change by factors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.problem import Sample
from refine.refinement.responses.closure import Closure
from refine.refinement.responses.ornstein_zernike import OrnsteinZernike
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of

HEIGHT = 3.0
"""kT of what is hidden: a shoulder that takes the first shell further out."""

R = np.arange(3.3, 7.5, 0.05)


class Atoms(PoissonLiquid):
    """Frames are independent, as those of any Poisson liquid; g(r) is that of inverse ninth powers and the correction,
    by the Ornstein-Zernike relation with bridge functions of zero."""

    def mean_counts(self, correction: PairCorrection, extra: Any = None) -> np.ndarray:
        r, width = self.box.centres, self.width
        phi = np.einsum("pbk,pk->pb", correction.binned_basis(self.box.edges), correction.coefficients) / self.kt
        phi = phi + np.minimum((3.3 / r) ** 9, 60.0) + (0.0 if extra is None else extra(r) / self.kt)
        gas = OrnsteinZernike(np.ones((1, len(r))), width, [self.n / self.box.volume])
        return self.box.ideal_counts * gas.solve(phi).g


def shoulder(r: np.ndarray) -> np.ndarray:
    return HEIGHT * LIQUID.kt * np.exp(-((r - 3.6) ** 2) / 0.3)


LIQUID = Atoms(n=300)


def refined(response: str, updates: int) -> list[float]:
    """rms misfit of S(Q) of each sample's potential without its noise, in that of the base's."""
    measured = LIQUID.mean_counts(LIQUID.basis(), shoulder)
    target = LIQUID.target(measured, 0.005)
    problem, rule = problem_of(target), rule_of(GaussNewtonKeys, response=response)
    exact = target.predict(measured)
    correction, memory, samples, misfits = LIQUID.basis(), rule.start(), [], []
    for number in range(updates + 1):
        misfits.append(float(np.std(target.predict(LIQUID.mean_counts(correction)) - exact)))
        samples.append(LIQUID.sample(correction, 200, number))
        update = rule.update(memory, problem, samples)
        memory, correction = json.loads(json.dumps(update.state)), update.correction
    return [misfit / misfits[0] for misfit in misfits]


def test_two_updates_are_enough() -> None:
    """And the linear response leaves five times as much."""
    closure, fluctuation = refined("closure", 2), refined("fluctuation", 2)
    assert closure[2] < 0.03
    assert fluctuation[2] > 5.0 * closure[2]


@pytest.mark.parametrize("smoothness", ["auto", 1.0])
def test_what_it_promises_comes(smoothness: Any) -> None:
    """The first step: the next sample's chi^2 is what was predicted, to a tenth of the decrease."""
    target = LIQUID.target(LIQUID.mean_counts(LIQUID.basis(), shoulder), 0.005)
    problem = problem_of(target)
    rule = rule_of(GaussNewtonKeys, response="closure", smoothness=smoothness)
    first = LIQUID.sample(LIQUID.basis(), 200, 0)
    update = rule.update(rule.start(), problem, [first])
    second = rule.update(update.state, problem, [first, LIQUID.sample(update.correction, 200, 1)])
    assert second.accepted
    assert second.fitted.forecast is not None
    assert second.fitted.forecast.gain == pytest.approx(1.0, abs=0.1)
    assert update.innermost is not None
    assert 2.5 < update.innermost[0] < 4.0


def test_the_derivative_of_a_mixture_at_two_temperatures() -> None:
    """Of its curves by theta, against central differences, for a potential that changes with temperature; in a state
    that is not the one at the mean."""
    liquid = PoissonLiquid(species=("Ar", "Kr"), n=150)
    zero = liquid.basis(12)
    phi = PairCorrection.zero(
        zero.pairs, zero.basis, stiffness=zero.stiffness, active=(True, False, True), temperatures=(60.0, 40.0)
    )
    target = liquid.target(liquid.mean_counts(zero), 0.01)
    sample = liquid.sample(zero, 400, 0)
    frames = sample.frames[0]
    response = Closure(problem_of(target), [Sample(phi, (frames,))], 0, phi, [target])
    rng = np.random.default_rng(1)
    at, direction = (scale * liquid.kt * rng.normal(size=len(phi.theta)) for scale in (0.02, 0.1))
    assert len(direction) == 2 * 2 * 12
    slope = response.predict(at)[1] @ direction
    numbers = (response.curves(at + 1e-4 * direction) - response.curves(at - 1e-4 * direction)) / 2e-4
    np.testing.assert_allclose(slope, numbers, atol=1e-6 * np.abs(numbers).max())
