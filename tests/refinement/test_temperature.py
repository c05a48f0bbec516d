"""A correction that changes with temperature: exact energies, and a fit of two states that predicts a third."""

from dataclasses import replace

import numpy as np
import pytest

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.posterior import band
from refine.refinement.inference.statistics import coefficient_counts
from refine.refinement.problem import Problem, Sample
from refine.refinement.responses.pool import pool
from refine.refinement.rules.gauss_newton import GaussNewtonKeys
from refine.scattering.metrics import chi_squared
from refine.units import BOLTZMANN

from .conftest import PoissonLiquid, rule_of

COLD, WARM, HOT = 85.0, 115.0, 145.0
"""K; WARM is never fitted."""


def changing(liquid: PoissonLiquid, knots: int = 24) -> PairCorrection:
    flat = liquid.basis(knots)
    return PairCorrection.zero(
        flat.pairs, flat.basis, stiffness=flat.stiffness, temperatures=(0.5 * (COLD + HOT), HOT - COLD)
    )


def at(liquid: PoissonLiquid, temperature: float) -> PoissonLiquid:
    """The same base liquid with phi divided by another kT."""
    return replace(liquid, kt=BOLTZMANN * temperature)


def sample(liquid: PoissonLiquid, correction: PairCorrection, temperatures, frames: int, seed: int, hidden=None):
    """Independent frames of every state under the correction at its temperature."""
    made = [
        at(liquid, t).sample(correction.at(t), frames, 10 * seed + s, None if hidden is None else hidden(t)).frames[0]
        for s, t in enumerate(temperatures)
    ]
    return Sample(
        correction,
        tuple(replace(f, temperature=np.full(frames, t)) for f, t in zip(made, temperatures, strict=True)),
    )


def constant(r):
    return 0.5 * BOLTZMANN * COLD * np.exp(-((r - 4.6) ** 2) / 0.5)


def change(r):
    """eV over HOT - COLD."""
    return -0.4 * BOLTZMANN * COLD * np.exp(-((r - 5.4) ** 2) / 0.5)


def hidden(temperature: float):
    """The true correction at a temperature (K)."""
    return lambda r: constant(r) + (temperature - 0.5 * (COLD + HOT)) / (HOT - COLD) * change(r)


def target(liquid: PoissonLiquid, temperature: float, state: int, sigma: float, seed: int):
    here = at(liquid, temperature)
    counts = here.mean_counts(liquid.basis(), hidden(temperature))
    return replace(here.target(counts, sigma, seed), name=f"{temperature:g} K", state=state)


@pytest.mark.parametrize("temperature", [COLD, HOT])
def test_coefficient_counts_give_the_energy_at_any_temperature(temperature):
    """theta . N of every frame against the sum over bins of counts times the bin's phi of `at(T)`; no wall is touched
    where the core is at r_min and the bins below it are empty."""
    liquid = PoissonLiquid(species=("A", "B"), n=100)
    correction = changing(liquid, 10)
    correction = correction.with_theta(0.01 * np.random.default_rng(5).normal(size=correction.theta.size))
    frames = sample(liquid, correction, (temperature,), 4, 0).frames[0]
    n = coefficient_counts([frames], correction, temperature)
    assert n.shape == (4, len(correction.theta))
    now = correction.at(temperature)
    phi = np.einsum("pbk,pk->pb", now.binned_basis(frames.edges), now.coefficients)
    by_hand = [float(np.sum(frames.counts[f].astype(float) * phi)) for f in range(4)]
    np.testing.assert_allclose(n @ correction.theta, by_hand, rtol=1e-10)


def test_two_states_give_the_correction_and_its_change_and_predict_a_third(liquid: PoissonLiquid):
    """S(Q) with sigma 0.01 at 85 and 145 K. Both terms come back to 0.1 kT rms, with 85 % of the points within two
    standard errors; chi^2 of data at 115 K, which are not fitted, is within five of its standard deviations."""
    temperatures = (COLD, HOT)
    problem = Problem(tuple(target(liquid, t, s, 0.01, s) for s, t in enumerate(temperatures)), temperatures)
    rule, correction = rule_of(GaussNewtonKeys), changing(liquid, 16)
    memory, samples = rule.start(), []
    for k in range(9):
        samples.append(sample(liquid, correction, temperatures, 300, k))
        update = rule.update(memory, problem, samples)
        memory, correction = update.state, update.correction
        if update.converged:
            break
    assert update.converged

    r = np.arange(3.4, 7.8, 0.1)
    found = update.correction
    kt = BOLTZMANN * COLD
    terms = (found.energy(r)[0], found.at(HOT).energy(r)[0] - found.at(COLD).energy(r)[0])
    covariance = update.covariance
    half = len(found.theta) // 2
    values = found.basis_values(r)[0]
    errors = [np.sqrt(np.einsum("nk,kl,nl->n", values, covariance[p, p], values)) for p in _halves(half)]
    for term, truth, error in zip(terms, (constant(r), change(r)), errors, strict=True):
        assert np.sqrt(np.mean((term - truth) ** 2)) < 0.1 * kt
        assert np.mean(np.abs(term - truth) < 2.0 * error) > 0.85
        assert error.mean() < 0.2 * kt  # the band says something
    np.testing.assert_allclose(band(found, covariance, r, 0.5 * (COLD + HOT))[0], errors[0], rtol=1e-8)

    third = Problem((target(liquid, WARM, 0, 0.01, 7),), (WARM,))
    fresh = sample(liquid, found, (WARM,), 2000, 77)
    response = pool(third, [fresh], 0, found).response(third.targets)
    (unseen,) = third.targets
    chi2 = chi_squared(unseen.y - response.y, unseen.covariance + response.noise())
    base = at(liquid, WARM).mean_counts(liquid.basis())
    before = chi_squared(unseen.y - unseen.predict(base), unseen.covariance)
    points = len(unseen.y)
    assert before > 3.0 * points
    assert chi2 < points + 5.0 * np.sqrt(2.0 * points)


def _halves(half: int) -> tuple[slice, slice]:
    """Places of the two terms in theta."""
    return slice(0, half), slice(half, 2 * half)


def test_a_changing_correction_with_nothing_that_changes_stays_constant(liquid: PoissonLiquid):
    """The same truth at both temperatures: phi_1 is within its error, chi^2 per coefficient of its band below 2."""
    temperatures = (COLD, HOT)
    targets = []
    for s, t in enumerate(temperatures):
        here = at(liquid, t)
        made = here.target(here.mean_counts(liquid.basis(), constant), 0.01, s)
        targets.append(replace(made, name=f"{t:g} K", state=s))
    problem = Problem(tuple(targets), temperatures)
    rule, correction = rule_of(GaussNewtonKeys), changing(liquid, 16)
    memory, samples = rule.start(), []
    for k in range(3):
        samples.append(sample(liquid, correction, temperatures, 200, 50 + k))
        update = rule.update(memory, problem, samples)
        memory, correction = update.state, update.correction
    half = len(correction.theta) // 2
    r = np.arange(3.4, 7.8, 0.1)
    values = correction.basis_values(r)[0]
    slope = values @ correction.theta[half:]
    error = np.sqrt(np.einsum("nk,kl,nl->n", values, update.covariance[half:, half:], values))
    assert np.mean((slope / error) ** 2) < 2.0
    assert np.sqrt(np.mean(slope**2)) < 0.1 * BOLTZMANN * COLD
