"""The wrong-weights trap: constant Z in place of f(Q) makes a bias that looks like a wrong potential.

For FeO the Fe-Fe, Fe-O and O-O weights are .585, .360 and .055 at Q = 0 and .681, .288 and .031 at Q = 20 1/Å. The
measurement here is that of the base liquid itself, so the right answer is no correction at all.
"""

from dataclasses import replace

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from refine.scattering import bound
from tests.refinement.conftest import PoissonLiquid, problem_of, rule_of

Z = {"Fe": 26.0, "O": 8.0}


def constant_z(radiation, species, q, **_):
    """What a program without form factors takes for f(Q): (species, n)."""
    return np.array([np.full(len(q), Z[s]) for s in species])


def ordered(r):
    """Energies that make the partials differ, (3, n) eV: unlike neighbours first, like ones behind them."""
    near, far = (np.exp(-((r - x) ** 2) / 0.18) for x in (3.7, 4.6))
    kt = PoissonLiquid().kt
    return kt * np.array([0.8 * near - 0.5 * far, -0.8 * near + 0.4 * far, 0.7 * near - 0.4 * far])


def fitted(liquid: PoissonLiquid, target) -> tuple[PairCorrection, np.ndarray]:
    """The correction after three updates from fresh samples."""
    rule, correction, samples = rule_of(GaussNewtonKeys), liquid.basis(), []
    state = rule.start()
    for k in range(3):
        samples.append(liquid.sample(correction, 300, k + 1, ordered))
        update = rule.update(state, problem_of(target), samples)
        state, correction = update.state, update.correction
    return correction, update.covariance


def size(correction: PairCorrection, liquid: PoissonLiquid) -> float:
    """rms of phi where atoms are, all pairs, kT."""
    return float(np.sqrt(np.mean(correction.energy(np.arange(3.4, 7.5, 0.1)) ** 2)) / liquid.kt)


def significance(correction: PairCorrection, covariance: np.ndarray) -> float:
    """How many standard errors theta is away from zero, in the metric of its covariance."""
    return float(np.sqrt(correction.theta @ np.linalg.solve(covariance, correction.theta)))


@pytest.mark.slow
def test_constant_z_is_a_bias_that_the_engine_avoids(monkeypatch: pytest.MonkeyPatch):
    """phi stays within its errors of zero with f(Q); with constant Z it does not, and the fit still cannot match."""
    liquid = PoissonLiquid(species=("Fe", "O"), n=250)
    counts, curve = liquid.mean_counts(liquid.basis(), ordered), {"radiation": "xray"}
    right = liquid.target(counts, 0.004, **curve)
    with monkeypatch.context() as patched:
        patched.setattr(bound, "amplitudes", constant_z)
        blind = liquid.target(counts, 0.004, **curve)
    # what was measured is the same; only the model's weights differ
    wrong = replace(right, observable=blind.observable)
    off = np.abs(wrong.predict(counts) - right.predict(counts)).max()
    assert off > 5 * np.sqrt(right.covariance[0, 0])
    honest, misled = fitted(liquid, right), fitted(liquid, wrong)
    assert significance(*honest) < 6.0  # about fifteen directions of unit variance: four
    assert significance(*misled) > 3 * significance(*honest)
    assert size(misled[0], liquid) > 1.5 * size(honest[0], liquid)
