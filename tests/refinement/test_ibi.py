"""Iterative Boltzmann inversion on the Poisson liquid, where one full step is exact."""

import json

import numpy as np
import pytest

from refine.data.curve import Curve
from refine.errors import InputError
from refine.refinement.ibi import IBI
from refine.refinement.problem import Target
from refine.scattering.measurement import ForwardModel

from .conftest import PoissonLiquid, problem_of


def bump(r, kt):
    return 0.5 * kt * np.exp(-((r - 4.6) ** 2) / 0.5)


def g_target(liquid: PoissonLiquid, pair: int | None = 0) -> Target:
    """The partial g(r) with the bump in the potential."""
    box = liquid.box
    counts = liquid.mean_counts(liquid.basis(), lambda r: bump(r, liquid.kt))
    g = (counts / box.ideal_counts)[0]
    # a closed box: as many pairs as its atoms make, so that target and model share the constant that closure takes off
    curve = Curve(
        x=box.centres,
        y=g,
        quantity="g(r)",
        composition={"Ar": 1.0},
        number_density=liquid.rho,
        name="g",
        radiation="neutron",
    )
    fit = ForwardModel(curve, box).fit(None, (2.9, 8.5), 0.01)
    return Target("g", 0, "g(r)", pair, fit.operator.predict(counts), fit.covariance, True, fit.operator)


def test_one_step_inverts_and_the_run_converges(liquid: PoissonLiquid):
    problem, rule = problem_of(g_target(liquid)), IBI()
    memory, correction, samples = rule.start(), liquid.basis(), []
    for k in range(6):
        samples.append(liquid.sample(correction, 400, k))
        update = rule.update(memory, problem, samples)
        memory, correction = json.loads(json.dumps(update.state)), update.correction
        if k == 0:
            r = np.arange(3.4, 7.5, 0.05)
            np.testing.assert_allclose(correction.energy(r)[0], bump(r, liquid.kt), atol=0.05 * liquid.kt)
        if update.converged:
            break
    assert update.converged
    assert "within its sampling error" in update.reason


def test_damping_takes_that_share(liquid: PoissonLiquid):
    problem, sample = problem_of(g_target(liquid)), liquid.sample(liquid.basis(), 400, 0)
    full, half = (IBI(damping=a).update(IBI().start(), problem, [sample]).correction.theta for a in (1.0, 0.5))
    np.testing.assert_allclose(half, 0.5 * full, rtol=1e-9, atol=1e-15)


def test_a_total_curve_is_not_enough(liquid: PoissonLiquid):
    with pytest.raises(InputError, match="gauss-newton"):
        IBI().update(IBI().start(), problem_of(g_target(liquid, None)), [liquid.sample(liquid.basis(), 20, 0)])
