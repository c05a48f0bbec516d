"""chi^2 of a finite sample: its value, its scatter, what counts as a change of it; the size of a step."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import Misfit, misfit, refuse_temperature_dependence, rms_in_kt
from refine.refinement.problem import Problem

from .conftest import PoissonLiquid, problem_of


def problem_with_a_bump(liquid: PoissonLiquid, sigma: float = 0.02) -> Problem:
    """S(Q) of the liquid with 0.02 kT more at 4.6 Å."""
    counts = liquid.mean_counts(liquid.basis(), lambda r: 0.02 * np.exp(-((r - 4.6) ** 2) / 0.5) * liquid.kt)
    return problem_of(liquid.target(counts, sigma))


def test_the_variance_is_that_of_repeated_samples(liquid: PoissonLiquid):
    """chi^2 of 60 independent samples of 100 frames scatters as it is said to: within 4 sigma of sqrt(2/59)."""
    problem = problem_with_a_bump(liquid)
    found = [misfit(s, problem.targets) for s in (liquid.sample(liquid.basis(), 100, k) for k in range(60))]
    scatter = np.var([f.chi2 for f in found], ddof=1)
    assert abs(scatter / np.mean([f.variance for f in found]) - 1) < 4 * np.sqrt(2 / 59)


def test_chi2_is_that_of_the_exact_mean(liquid: PoissonLiquid):
    """With many frames the sampling noise is out of it."""
    problem = problem_with_a_bump(liquid)
    (target,) = problem.targets
    error = target.y - target.predict(liquid.mean_counts(liquid.basis()))
    exact = error @ np.linalg.solve(target.covariance, error)
    found = misfit(liquid.sample(liquid.basis(), 3000, 1), problem.targets)
    assert abs(found.chi2 - exact) < 4 * np.sqrt(found.variance) + 0.03 * exact


def test_a_rise_of_chi2_is_not_convergence(liquid: PoissonLiquid):
    """Two samples of the same potential, chi^2 put apart by hand: within one error down or three up it settles."""
    problem, sample = problem_with_a_bump(liquid), liquid.sample(liquid.basis(), 100, 0)
    found = misfit(sample, problem.targets)
    error = np.sqrt(2 * found.variance)
    for fall, settled, rose in ((1.1, False, False), (0.9, True, False), (-2.9, True, False), (-3.1, False, True)):
        since = found.since({"chi2": found.chi2 + fall * error, "variance": found.variance, "frames": 100})
        assert (since.settled, since.rose) == (settled, rose)
        assert str(since).startswith("chi^2 fell" if fall > 0 else "chi^2 rose")
    assert not found.since(None).settled


@pytest.mark.parametrize("sigma", [0.003, 0.02])
def test_a_longer_sample_of_the_same_potential_never_looks_worse(liquid: PoissonLiquid, sigma: float):
    """Twice the frames, 12 of 12 times, and on average chi^2 is that of the exact mean: within 4 standard errors."""
    problem = problem_with_a_bump(liquid, sigma)
    (target,) = problem.targets
    error = target.y - target.predict(liquid.mean_counts(liquid.basis()))
    exact = error @ np.linalg.solve(target.covariance, error)
    for frames in (60, 120):
        chi2 = [
            misfit(liquid.sample(liquid.basis(), frames, k), problem.targets).chi2 for k in range(frames, frames + 30)
        ]
        assert abs(np.mean(chi2) - exact) < 4 * np.std(chi2, ddof=1) / np.sqrt(30)
    for k in range(12):
        short, long = (liquid.sample(liquid.basis(), n, 1000 * n + k) for n in (60, 120))
        since = misfit(long, problem.targets).since(misfit(short, problem.targets).stored)
        assert not since.rose


def test_a_sample_is_not_excused_by_an_error_that_its_own_misfit_makes():
    """Argon on its way to a hole: 5500 ± 1333, then 37326 ± 27493 of as many frames, or of fewer."""
    before = Misfit(5500.0, 1333.0**2, 200).stored
    for frames, rose in ((200, True), (50, True), (2, False)):
        assert Misfit(37326.0, 27493.0**2, frames).since(before).rose is rose
    assert not Misfit(6562.0, 3981.0**2, 200).since(Misfit(-281.0, 2682.0**2, 200).stored).rose


def test_curves_of_one_sample_share_its_noise(liquid: PoissonLiquid):
    """The same curve twice is the same chi^2 twice: its variance is four times that of one, not two."""
    problem, sample = problem_with_a_bump(liquid), liquid.sample(liquid.basis(), 100, 0)
    one, two = (misfit(sample, problem.targets * n) for n in (1, 2))
    assert two.chi2 == pytest.approx(2 * one.chi2)
    assert two.variance == pytest.approx(4 * one.variance)


def test_the_size_of_a_step(liquid: PoissonLiquid):
    """Against phi(r) at the bins' centres, in kT."""
    basis = liquid.basis()
    problem = problem_with_a_bump(liquid)
    sample = liquid.sample(basis, 5, 0)
    r, h = sample.frames[0].centres, sample.frames[0].counts.mean(axis=0, dtype=float)[0]
    theta = liquid.kt * np.random.default_rng(0).normal(size=len(basis.theta))
    phi = basis.with_theta(theta).energy(r)[0] - basis.energy(r)[0]
    inside = r < basis.basis.r_cut
    expected = np.sqrt(np.sum((h * phi**2)[inside]) / h[inside].sum()) / liquid.kt
    assert rms_in_kt(problem, sample, theta) == pytest.approx([expected], rel=0.01)
    assert rms_in_kt(problem, sample, 3 * theta) == pytest.approx(3 * rms_in_kt(problem, sample, theta))


def test_a_phi_that_changes_with_temperature_is_refused(liquid: PoissonLiquid):
    basis = liquid.basis()
    refuse_temperature_dependence(basis, "epsr")
    changing = PairCorrection.zero(basis.pairs, basis.basis, stiffness=1.0, temperatures=(85.0, 10.0))
    with pytest.raises(InputError, match="epsr cannot refine a correction that changes with temperature"):
        refuse_temperature_dependence(changing, "epsr")
