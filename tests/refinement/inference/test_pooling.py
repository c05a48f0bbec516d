"""Pooling: frames of earlier iterations save dynamics at equal error.

Neighbouring ensembles of the Poisson liquid, each 100 frames; the question is how many fresh frames of the last one
alone give its mean curves and its Jacobian the error that all give together.
"""

from dataclasses import replace

import numpy as np
import pytest

from refine.refinement.responses.fluctuation import Extrapolation
from refine.refinement.responses.pool import pool
from tests.refinement.conftest import PoissonLiquid, problem_of

FRAMES, REPEATS = 100, 60


@pytest.mark.parametrize("kind", ["reweighted", "carried"])
def test_earlier_iterations_save_frames(liquid: PoissonLiquid, kind: str):
    """Observed variances over 60 repeats: pooling is worth at least 1.6 times the newest frames alone (3 at the most),
    for curves and for the Jacobian, and the stated variance of the curves is the observed one to 30 %."""
    steps = [0.01 * liquid.kt * np.cos((k + 1) * np.arange(24)) for k in range(2)]
    found = repeated(liquid, kind, steps)
    assert 1.6 < found["curves"] < 3.5
    assert 1.6 < found["Jacobian"] < 3.5
    assert 0.7 < found["stated"] < 1.5


@pytest.mark.slow
def test_far_ensembles_are_carried_where_reweighting_leaves_nothing(liquid: PoissonLiquid):
    """Steps of 0.1 kT: all frames count for the Jacobian and the curves are no worse than of the newest alone, without
    a bias that the stated error does not hold."""
    steps = [0.1 * liquid.kt * np.cos((k + 1) * np.arange(24)) for k in range(2)]
    reweighted, carried = (repeated(liquid, kind, steps) for kind in ("reweighted", "carried"))
    assert reweighted["Jacobian"] < 1.3
    assert carried["curves"] > 1.0
    assert carried["Jacobian"] > 2.0
    assert 0.7 < carried["stated"] < 1.6
    assert carried["bias"] < 0.5


def test_an_ensemble_that_fluctuates_wildly_counts_for_little(liquid: PoissonLiquid):
    """Two samples of one potential, of equal length; in one all deviations from the mean are three times as large, so
    that its slope has 3^4 times the variance, and that share of the weight of the other one, to a third."""
    here = liquid.basis()
    target = liquid.target(liquid.mean_counts(here), 0.01)
    wild, calm = (liquid.sample(here, 400, seed) for seed in (1, 2))
    frames = wild.frames[0]
    mean = frames.counts.mean(axis=0)
    wild = replace(wild, frames=(replace(frames, counts=mean + 3.0 * (frames.counts - mean)),))
    response = Extrapolation.build(problem_of(target), [wild, calm], 0, here).response([target])
    of_wild, of_calm = np.split(response.slope_weights, 2)
    assert 1.5**-1 < of_calm.sum() / of_wild.sum() / 81.0 < 1.5


@pytest.mark.parametrize("size", [0.0, 1.0 / 3.0])
def test_an_ensemble_that_hardly_fluctuates_is_not_known_better(liquid: PoissonLiquid, size: float):
    """The older of two samples has deviations from the mean of a third of those of the newest, and a slope of a ninth;
    or none. It counts by its frames, and the slope is the mean of both."""
    here = liquid.basis()
    target = liquid.target(liquid.mean_counts(here), 0.01)
    problem = problem_of(target)
    older, newest = (liquid.sample(here, 400, seed) for seed in (1, 2))
    frames = older.frames[0]
    mean = frames.counts.mean(axis=0)
    older = replace(older, frames=(replace(frames, counts=mean + size * (frames.counts - mean)),))
    response = Extrapolation.build(problem, [older, newest], 0, here).response([target])
    of_older, of_newest = np.split(response.slope_weights, 2)
    assert of_older.sum() == pytest.approx(of_newest.sum())
    alone = Extrapolation.build(problem, [newest], 0, here).response([target])
    ratio = np.linalg.norm(response.jacobian) / np.linalg.norm(alone.jacobian)
    assert 0.4 < ratio < 0.65


def repeated(liquid: PoissonLiquid, kind: str, steps: list[np.ndarray]) -> dict[str, float]:
    """Gains of pooling, stated over observed variance, and mean squared bias over the stated variance of one answer."""
    here = liquid.basis()
    there = [here.with_theta(step) for step in steps]
    exact = liquid.target(liquid.mean_counts(here), 0.0)
    target = liquid.target(liquid.mean_counts(here), 0.01)
    problem = problem_of(target)
    curves, slopes, stated = {1: [], 3: []}, {1: [], 3: []}, []
    for repeat in range(REPEATS):
        samples = [liquid.sample(c, FRAMES, 10 * repeat + k) for k, c in enumerate([*there, here])]
        for used in (1, 3):
            chosen = samples[-used:]
            pooled = pool(problem, chosen, 0, here) if kind == "reweighted" or used == 1 else None
            response = (pooled or Extrapolation.build(problem, chosen, 0, here)).response([target])
            curves[used].append(response.y)
            slopes[used].append(response.jacobian)
        stated.append(np.diag(response.noise()).mean())
    gains = {
        name: np.var(found[1], axis=0).sum() / np.var(found[3], axis=0).sum()
        for name, found in (("curves", curves), ("Jacobian", slopes))
    }
    variance = np.var(curves[3], axis=0).mean()
    bias = np.mean((np.mean(curves[3], axis=0) - exact.y) ** 2) - variance / REPEATS
    found = {**gains, "stated": np.mean(stated) / variance, "bias": bias / np.mean(stated)}
    print(kind, {name: f"{value:.2f}" for name, value in found.items()})
    return found
