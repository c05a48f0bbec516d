"""The pair correction: linearity, continuity, the wall, and binned sums against sums over pairs."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.correction import PairCorrection, SplineBasis

KT = 0.00732


def make(core: float = 3.2, pairs=(("Ar", "Ar"),), seed: int = 0) -> PairCorrection:
    rng = np.random.default_rng(seed)
    correction = PairCorrection.zero(pairs, SplineBasis(2.8, 8.5, 32), stiffness=1000 * KT)
    theta = KT * rng.normal(size=correction.theta.size)
    return correction.with_theta(theta).with_core([core] * len(pairs))


def test_derivative_is_the_slope_of_the_energy_everywhere():
    correction, step = make(), 1e-5
    r = np.linspace(2.0, 9.0, 700)
    slope = (correction.energy(r + step) - correction.energy(r - step)) / (2 * step)
    np.testing.assert_allclose(correction.derivative(r), slope, atol=2e-6 * KT / step)


def test_both_at_once_are_what_they_are_one_by_one():
    """Within the splines, at knots, below the core and its wall, at r_min and beyond the cutoff, pair by pair."""
    pairs = (("A", "A"), ("A", "B"), ("B", "B"))
    correction = make(pairs=pairs).with_core([2.8, 3.2, 3.5], [0.0, 3.0, 3.5])
    r = np.sort(np.concatenate([np.linspace(0.0, 10.0, 701), correction.basis.knots, [2.8, 3.2, 8.5]]))
    energy, derivative = correction.continued(r)
    np.testing.assert_allclose(energy, correction.energy(r), rtol=1e-12, atol=1e-14 * KT)
    np.testing.assert_allclose(derivative, correction.derivative(r), rtol=1e-12, atol=1e-13 * KT)
    rng = np.random.default_rng(1)
    basis, theta, far = correction.basis, rng.normal(size=32), np.linspace(-5.0, 20.0, 999)
    np.testing.assert_allclose(basis.sums(theta, far)[0], basis.values(far) @ theta, atol=1e-13)
    np.testing.assert_allclose(basis.sums(theta, far)[1], basis.derivatives(far) @ theta, atol=1e-12)


def test_zero_with_zero_slope_and_curvature_at_the_cutoff():
    correction = make()
    r = np.array([8.5 - 1e-3, 8.5, 9.0])
    assert np.abs(correction.energy(r)).max() < 1e-8 * KT * 1e3
    assert np.abs(correction.derivative(r)).max() < 1e-3 * KT


def test_linear_in_the_coefficients_above_a_fixed_wall():
    a, b = make(seed=1), make(seed=2)
    r = np.linspace(2.0, 8.4, 100)
    wall = a.with_theta(0 * a.theta).energy(r)
    both = a.with_theta(a.theta + b.theta).energy(r)
    np.testing.assert_allclose(both, a.energy(r) + b.energy(r) - wall, atol=1e-12)


@pytest.mark.parametrize("attraction", [1.0, 30.0])
def test_no_coefficients_open_a_hole_below_the_core(attraction):
    """Slope of `attraction` kT/Å inwards at the core: it gains at most slope^2/(2 stiffness), then it repels."""
    correction = make()
    r = np.linspace(0.1, 3.2, 400)
    basis = correction.basis
    slope = np.linalg.pinv(basis.derivatives(np.array([3.2])))[:, 0] * attraction * KT
    correction = correction.with_theta(slope)
    gain = correction.energy([3.2])[0, 0] - correction.energy(r)[0].min()
    assert gain <= (attraction * KT) ** 2 / (2 * 1000 * KT) * (1 + 1e-6)
    assert correction.energy([1.0])[0, 0] > 500 * KT


def test_binned_basis_gives_the_integral_over_a_uniform_density():
    """Σ_bins shell B against ∫ 4 pi r^2 B(r) dr on a fine grid, below the core and through every spline."""
    correction = make()
    edges = np.linspace(0, 14.0, 701)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    r = np.linspace(0, 14.0, 700_001)
    integrand = 4 * np.pi * r[:, None] ** 2 * correction.basis_values(r)[0]
    exact = ((integrand[1:] + integrand[:-1]) / 2 * np.diff(r)[:, None]).sum(axis=0)
    np.testing.assert_allclose(shells @ correction.binned_basis(edges)[0], exact, rtol=1e-6, atol=1e-4)


def test_inactive_pairs_have_neither_correction_nor_wall():
    pairs = (("A", "A"), ("A", "B"), ("B", "B"))
    basis = SplineBasis(2.0, 6.0, 8)
    correction = PairCorrection.zero(pairs, basis, active=(True, False, True), stiffness=1.0)
    correction = correction.with_theta(np.ones(16)).with_core([2.5] * 3)
    r = np.linspace(1.0, 6.0, 50)
    assert np.all(correction.energy(r)[1] == 0.0)
    assert np.any(correction.energy(r)[2] != 0.0)
    np.testing.assert_array_equal(correction.theta, np.ones(16))


@pytest.mark.parametrize(("r_min", "r_cut", "size"), [(3.0, 3.0, 8), (4.0, 3.0, 8), (2.0, 8.0, 3)])
def test_impossible_bases_are_refused(r_min, r_cut, size):
    with pytest.raises(InputError):
        SplineBasis(r_min, r_cut, size)


PAIRS = (("A", "A"), ("A", "B"), ("B", "B"))


def changing(active=(True, True, True), seed: int = 3) -> PairCorrection:
    """phi at 300 K plus (T - 300)/200 times another, both random."""
    correction = PairCorrection.zero(
        PAIRS, SplineBasis(2.0, 7.0, 12), active=active, stiffness=1.0, temperatures=(300.0, 200.0)
    )
    theta = KT * np.random.default_rng(seed).normal(size=correction.theta.size)
    return correction.with_theta(theta).with_core([2.4, 2.5, 2.6])


def test_theta_of_a_changing_correction_goes_round():
    correction = changing()
    assert correction.terms == 2
    assert correction.theta.shape == (2 * 3 * 12,)
    again = correction.with_theta(correction.theta)
    np.testing.assert_array_equal(again.coefficients, correction.coefficients)
    np.testing.assert_array_equal(again.slope, correction.slope)
    assert (again.reference, again.span) == (300.0, 200.0)
    # term after term, pair after pair
    np.testing.assert_array_equal(correction.theta[:12], correction.coefficients[0])
    np.testing.assert_array_equal(correction.theta[36 + 12 : 36 + 24], correction.slope[1])


def test_a_correction_that_does_not_change_has_one_term():
    correction = make()
    assert correction.terms == 1
    assert correction.at(1234.0) is correction
    np.testing.assert_array_equal(correction.factors(1234.0), [1.0])


@pytest.mark.parametrize(("temperature", "factor"), [(300.0, 0.0), (500.0, 1.0), (200.0, -0.5)])
def test_factors_are_one_and_the_reduced_temperature(temperature, factor):
    np.testing.assert_allclose(changing().factors(temperature), [1.0, factor])


def test_a_changing_correction_is_linear_in_temperature():
    """phi(r; T) lies on the straight line through its values at 200 K and 400 K, below the core and above it."""
    correction, r = changing(), np.linspace(1.8, 7.0, 60)
    low, high = (correction.at(t).energy(r) for t in (200.0, 400.0))
    for temperature in (250.0, 300.0, 900.0):
        here = correction.at(temperature)
        assert here.slope is None
        assert here.terms == 1
        assert here.at(50.0) is here
        expected = low + (temperature - 200.0) / 200.0 * (high - low)
        np.testing.assert_allclose(here.energy(r), expected, atol=1e-12)
    np.testing.assert_allclose(correction.at(300.0).energy(r), correction.energy(r), atol=1e-15)


def test_the_wall_does_not_change_with_temperature():
    correction = changing()
    flat = correction.with_theta(0.0 * correction.theta)
    r = np.linspace(1.0, 3.0, 21)
    np.testing.assert_array_equal(flat.at(900.0).energy(r), flat.at(100.0).energy(r))
    assert flat.at(900.0).energy([1.4])[0, 0] == pytest.approx(0.5)  # 1 eV/Å^2 (1 Å)^2 / 2


def test_fixed_pairs_stay_zero_in_both_terms():
    correction = changing(active=(False, True, False))
    assert correction.theta.shape == (2 * 12,)
    for part in (correction.coefficients, correction.slope):
        np.testing.assert_array_equal(part[[0, 2]], 0.0)
        assert np.all(part[1] != 0.0)
    r = np.linspace(1.0, 7.0, 40)
    assert np.all(correction.at(750.0).energy(r)[[0, 2]] == 0.0)


def test_moving_the_core_keeps_the_change_with_temperature():
    correction = changing()
    moved = correction.with_core([2.2, 2.2, 2.2])
    np.testing.assert_array_equal(moved.theta, correction.theta)
    assert (moved.reference, moved.span) == (300.0, 200.0)
