"""Transforms and windows on the absolute scale: dimer, ideal gas, exact bins, low-r slope, published widths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from refine.curves.transforms import (
    extrapolate_low_q,
    lorch,
    q_to_r_matrix,
    r_to_q_matrix,
    sampled_r_to_q_matrix,
    trapezoid_weights,
    window_values,
)
from refine.errors import InputError

RHO = 0.0213


def test_trapezoid_weights_integrate_a_line_on_any_grid() -> None:
    x = np.array([0.0, 0.1, 0.5, 0.6, 2.0])
    assert trapezoid_weights(x) @ (3.0 * x + 1.0) == pytest.approx(1.5 * 2.0**2 + 2.0)


@settings(max_examples=50, deadline=None)
@given(low=st.floats(0.0, 20.0), width=st.floats(1e-3, 1.0), q=st.floats(1e-6, 60.0))
def test_each_bin_is_integrated_exactly(low: float, width: float, q: float) -> None:
    exact, _ = quad(lambda r: r * math.sin(q * r) / q, low, low + width, epsabs=1e-14, epsrel=1e-12, limit=200)
    matrix = r_to_q_matrix([low, low + width], [q], RHO)
    assert matrix[0, 0] == pytest.approx(4.0 * math.pi * RHO * exact, rel=1e-9, abs=1e-13)


def test_at_q_zero_a_bin_counts_the_atoms_in_its_shell() -> None:
    edges = np.array([0.0, 0.02, 3.0, 10.0])
    shells = 4.0 / 3.0 * math.pi * np.diff(edges**3)
    np.testing.assert_allclose(r_to_q_matrix(edges, [0.0, 1e-9, 1e-6], RHO), np.tile(RHO * shells, (3, 1)), rtol=1e-9)


def test_dimer() -> None:
    """Two like atoms at distance d: S(Q) = 1 + sin(Qd)/(Qd), absolutely: one pair is two neighbours for two atoms."""
    d, q = 1.5005, np.linspace(0.0, 30.0, 301)  # the middle of a bin
    edges = np.arange(0.0, 3.0, 1e-3)
    counts, _ = np.histogram([d], edges)
    neighbours = 2.0 * counts / 2.0
    g = neighbours / (RHO * 4.0 / 3.0 * math.pi * np.diff(edges**3))
    np.testing.assert_allclose(r_to_q_matrix(edges, q, RHO) @ g, np.sinc(q * d / math.pi), atol=5e-5)
    assert (r_to_q_matrix(edges, [0.0], RHO) @ g)[0] == pytest.approx(1.0)


def test_ideal_gas_is_one_everywhere() -> None:
    edges, q, r = np.linspace(0.0, 10.0, 501), np.linspace(0.1, 20.0, 200), np.linspace(0.1, 9.0, 50)
    s_minus_1 = r_to_q_matrix(edges, q, RHO) @ np.zeros(500)
    np.testing.assert_array_equal(s_minus_1, 0.0)
    np.testing.assert_array_equal(q_to_r_matrix(q, r) @ s_minus_1, 0.0)


def test_a_step_in_g_is_known_in_closed_form() -> None:
    """g = 0 inside R, 1 outside: S(Q) - 1 = -4πρ [sin(QR) - QR cos(QR)]/Q^3; and low-r D(r) = -4πρ r."""
    radius, q = 3.4, np.arange(0.01, 400.0, 0.02)
    edges = np.linspace(0.0, 6.8, 69)
    g = np.where(edges[:-1] < radius - 1e-9, 0.0, 1.0)
    s_minus_1 = r_to_q_matrix(edges, q, RHO) @ (g - 1.0)
    x = q * radius
    np.testing.assert_allclose(s_minus_1, -4.0 * math.pi * RHO * (np.sin(x) - x * np.cos(x)) / q**3, atol=1e-11)
    r = np.linspace(0.2, 2.5, 24)
    np.testing.assert_allclose(q_to_r_matrix(q, r, "lorch") @ s_minus_1, -4.0 * math.pi * RHO * r, rtol=1e-3)


def test_there_and_back_is_exact_on_conjugate_grids() -> None:
    """With ΔQ = π/r_max and Δr = π/Q_max the two transforms are a sine transform and its inverse."""
    n, r_max = 200, 20.0
    r, q = np.arange(1, n) * r_max / n, np.arange(1, n) * math.pi / r_max
    rng = np.random.default_rng(1)
    s_minus_1 = rng.normal(size=n - 1)
    ends = np.array([0.0, n * math.pi / r_max]), np.array([0.0, r_max])
    q_full, r_full = np.r_[ends[0][0], q, ends[0][1]], np.r_[ends[1][0], r, ends[1][1]]
    d = q_to_r_matrix(q_full, r_full) @ np.r_[0.0, s_minus_1, 0.0]
    np.testing.assert_allclose(sampled_r_to_q_matrix(r_full, q) @ d, s_minus_1, atol=1e-11)


def _width_of_a_sharp_distance(window: str, q_max: float) -> float:
    """FWHM in r of the image of one distance; there Q [S(Q) - 1] = sin(Q d)."""
    d, q = 40.0, np.linspace(1e-6, q_max, 1001)
    r = np.linspace(d - 0.4, d + 0.4, 2001)
    peak = q_to_r_matrix(q, r, window) @ (np.sin(q * d) / q)
    above = r[peak > 0.5 * peak.max()]
    return float(above[-1] - above[0])


@pytest.mark.parametrize(("window", "product"), [("none", 3.791), ("lorch", 5.437)])
def test_truncation_broadens_as_published(window: str, product: float) -> None:
    for q_max in (10.0, 20.0):
        assert _width_of_a_sharp_distance(window, q_max) * q_max == pytest.approx(product, rel=4e-3)


def test_lorch_window_carries_pi_once() -> None:
    assert lorch(10.0, 20.0) == pytest.approx(2.0 / math.pi)  # sin(π/2)/(π/2)
    np.testing.assert_allclose(lorch([0.0, 20.0, 21.0], 20.0), [1.0, 0.0, 0.0], atol=1e-15)
    np.testing.assert_array_equal(window_values("none", [0.0, 5.0, 10.0, 10.1], 10.0), [1.0, 1.0, 1.0, 0.0])
    with pytest.raises(InputError, match="unknown window 'hann'"):
        window_values("hann", [1.0], 1.0)


def test_nothing_is_invented_below_the_first_q() -> None:
    q, r = np.linspace(2.0, 10.0, 81), np.linspace(0.5, 5.0, 10)
    full = np.linspace(0.0, 10.0, 101)
    y = np.where(full >= 2.0, np.cos(full), 0.0)
    # The trapezoid from the last zero to the first point is half a step of the first value.
    edge = (2.0 / math.pi) * 0.05 * 2.0 * math.cos(2.0) * np.sin(2.0 * r)
    np.testing.assert_allclose(q_to_r_matrix(q, r) @ np.cos(q) + edge, q_to_r_matrix(full, r) @ y, atol=1e-12)


def test_low_q_is_extrapolated_when_asked() -> None:
    q = np.array([0.5, 0.6, 0.7, 0.8])
    values = np.array([-0.9, -0.8, -0.7, 0.0])
    grid, extended = extrapolate_low_q(q, values)
    np.testing.assert_allclose(grid, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], atol=1e-12)
    np.testing.assert_allclose(extended, [-0.8] * 5 + [-0.9, -0.8, -0.7, 0.0])
    _, parabola = extrapolate_low_q(q, values, limit=-1.0)
    np.testing.assert_allclose(parabola[:5], -1.0 + 0.1 * (grid[:5] / 0.5) ** 2)
    _, operator = extrapolate_low_q(q, np.eye(4))
    np.testing.assert_allclose(operator @ values, extended)
    assert extrapolate_low_q([0.0, 0.1], [1.0, 2.0])[0].tolist() == [0.0, 0.1]


@pytest.mark.parametrize("width", [0.02, 0.05])
def test_counting_into_bins_takes_nothing_off(width: float) -> None:
    """A smooth g(r) of Gaussian shells, its S(Q) by quadrature, from its means over bins and from its samples."""
    r = np.arange(0.0005, 20.0, 0.001)

    def g(r: np.ndarray) -> np.ndarray:
        return sum(a * np.exp(-((r - d) ** 2) / (2 * 0.06**2)) for a, d in ((3.0, 1.6), (1.5, 2.6), (0.4, 5.1)))

    q = np.arange(0.5, 30.0, 0.5)
    exact = 4 * math.pi * RHO * 0.001 * (np.sinc(np.outer(q, r) / math.pi) * r**2 * g(r)).sum(axis=1)
    edges = width * np.arange(round(12.0 / width) + 1)
    shells = np.diff(edges**3) / 3.0
    means = np.histogram(r, edges, weights=0.001 * r**2 * g(r))[0] / shells
    centres = 0.5 * (edges[1:] + edges[:-1])
    size = np.abs(exact).max()
    np.testing.assert_allclose(r_to_q_matrix(edges, q, RHO, of="means") @ means, exact, atol=2e-4 * size)
    np.testing.assert_allclose(r_to_q_matrix(edges, q, RHO, of="samples") @ g(centres), exact, atol=2e-4 * size)
    lost = r_to_q_matrix(edges, q, RHO) @ means
    np.testing.assert_allclose(lost, exact * np.sinc(q * width / (2 * math.pi)) ** 2, atol=2e-4 * size)
