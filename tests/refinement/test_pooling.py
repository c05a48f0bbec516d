"""Pooling: frames of earlier iterations save dynamics at equal error.

Three neighbouring ensembles of the Poisson liquid, each 100 frames; the question is how many fresh frames of the last
one alone give its mean curves and its Jacobian the error that all three give together.
"""

import numpy as np

from refine.refinement.statistics import pool

from .conftest import PoissonLiquid, problem_of

FRAMES, REPEATS = 100, 60


def test_earlier_iterations_save_frames(liquid: PoissonLiquid):
    """Observed variances over 60 repeats: pooling is worth at least 1.6 times the newest frames alone (3 at the most),
    for curves and for the Jacobian, and the stated variance of the curves is the observed one to 30 %."""
    here = liquid.basis()
    steps = [0.01 * liquid.kt * np.cos((k + 1) * np.arange(len(here.theta))) for k in range(2)]
    there = [here.with_theta(step) for step in steps]
    target = liquid.target(liquid.mean_counts(here), 0.01)
    problem = problem_of(target)
    curves, slopes, stated = {1: [], 3: []}, {1: [], 3: []}, []
    for repeat in range(REPEATS):
        samples = [liquid.sample(c, FRAMES, 10 * repeat + k) for k, c in enumerate([*there, here])]
        for used in (1, 3):
            response = pool(problem, samples[-used:], 0, here).response([target])
            curves[used].append(response.y)
            slopes[used].append(response.jacobian)
        stated.append(np.diag(response.noise()).mean())
    gains = {
        name: np.var(found[1], axis=0).sum() / np.var(found[3], axis=0).sum()
        for name, found in (("curves", curves), ("Jacobian", slopes))
    }
    print({name: f"{gain:.2f} times fewer new frames" for name, gain in gains.items()})
    assert 1.6 < gains["curves"] < 3.5
    assert 1.6 < gains["Jacobian"] < 3.5
    assert 0.7 < np.mean(stated) / np.var(curves[3], axis=0).mean() < 1.5
