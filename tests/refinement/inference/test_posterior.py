"""Linear-Gaussian algebra against brute force, the prior against its definition, the band against samples."""

import numpy as np
from scipy.stats import multivariate_normal

from refine.potentials.correction import PairCorrection, SplineBasis
from refine.refinement.inference.posterior import (
    Evidence,
    NormalEquations,
    SmoothnessPrior,
    band,
    log_evidence,
    posterior,
)


def test_posterior_and_evidence_by_brute_force():
    rng = np.random.default_rng(0)
    j, t = rng.normal(size=(7, 4)), rng.normal(size=7)
    a, b = rng.normal(size=(7, 7)), rng.normal(size=(4, 4))
    noise, prior = a @ a.T + np.eye(7), b @ b.T + np.eye(4)
    normal, root = NormalEquations.build(j, t, noise), np.linalg.cholesky(prior)
    result = posterior(normal, root)
    marginal = multivariate_normal(np.zeros(7), j @ prior @ j.T + noise)
    np.testing.assert_allclose(log_evidence(normal, root), marginal.logpdf(t) + 3.5 * np.log(2 * np.pi), rtol=1e-10)
    gain = prior @ j.T @ np.linalg.inv(j @ prior @ j.T + noise)
    np.testing.assert_allclose(result.mean, gain @ t, rtol=1e-9)
    np.testing.assert_allclose(result.covariance, prior - gain @ j @ prior, rtol=1e-8, atol=1e-12)
    s = np.linalg.svd(np.linalg.solve(np.linalg.cholesky(noise), j @ root), compute_uv=False)
    np.testing.assert_allclose(result.determined, np.sum(s**2 / (1 + s**2)), rtol=1e-9)


def test_evidence_along_one_amplitude():
    """Three blocks of two parameters and one that has no amplitude, of ways that data know and do not know."""
    rng = np.random.default_rng(3)
    normal = NormalEquations.build(rng.normal(size=(5, 7)), rng.normal(size=5), 0.1 * np.eye(5))
    amplitudes, grid = np.array([0.3, 2.0, 0.01]), np.array([1e-3, 0.5, 30.0])
    for index in range(3):
        expected = []
        for one in grid:
            tried = amplitudes.copy()
            tried[index] = one
            expected.append(log_evidence(normal, np.diag([*np.repeat(tried, 2), 1.0])))
        np.testing.assert_allclose(Evidence(normal, 2).along(amplitudes, index, grid), expected, rtol=1e-10)


def test_independent_data_add():
    rng = np.random.default_rng(1)
    j, t = rng.normal(size=(9, 3)), rng.normal(size=9)
    whole = NormalEquations.build(j, t, np.eye(9))
    parts = NormalEquations.build(j[:4], t[:4], np.eye(4)) + NormalEquations.build(j[4:], t[4:], np.eye(5))
    for name in ("gram", "projection", "square", "log_noise"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-12)


def correction() -> PairCorrection:
    pairs = (("A", "A"), ("A", "B"), ("B", "B"))
    return PairCorrection.zero(pairs, SplineBasis(2.5, 8.0, 22), active=(True, False, True), stiffness=1.0)


def test_prior_is_wide_where_atoms_are_squeezed_and_smooth_everywhere():
    centres = np.arange(0.01, 10, 0.02)
    g = np.tile(1 / (1 + np.exp(-(centres - 3.3) / 0.05)), (3, 1)) * 1.05
    prior = SmoothnessPrior.build(correction(), centres, g, 0.5)
    assert prior.correlation.shape == (2, 22, 22)
    sigma = np.sqrt(np.diag(prior.correlation[0]))
    r = correction().basis.centres
    np.testing.assert_allclose(sigma[r > 3.6], 1.0, rtol=1e-3)
    assert np.all(sigma[r < 3.0] > 4.0)
    assert sigma.max() < 31.1
    far = r > 3.6
    expected = np.exp(-((r[far][:, None] - r[far]) ** 2) / (2 * 0.5**2))
    np.testing.assert_allclose(prior.correlation[0][np.ix_(far, far)], expected, rtol=1e-3, atol=1e-3)
    root = prior.scaled_root(np.array([0.1, 0.2]))
    np.testing.assert_allclose((root @ root.T)[22:, 22:], 0.04 * prior.correlation[1], rtol=1e-9, atol=1e-12)


def test_band_is_the_spread_of_posterior_samples():
    rng = np.random.default_rng(2)
    c = correction()
    root = rng.normal(size=(44, 44)) / 10
    covariance = root @ root.T
    r = np.linspace(2.2, 8.0, 30)
    draws = [c.with_theta(root @ rng.normal(size=44)).energy(r)[[0, 2]] for _ in range(4000)]
    np.testing.assert_allclose(band(c, covariance, r), np.std(draws, axis=0), rtol=0.06, atol=1e-9)
