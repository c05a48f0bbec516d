"""Peaks against closed forms and finite differences."""

import numpy as np
import pytest

from refine.errors import InputError
from refine.scattering.peaks import first_peak_range, peak

X = np.arange(2.0, 7.0, 0.04)


def shell(position=3.763, height=2.913, width=0.3):
    """A skewed first shell with known top: r exp(...) is avoided, so that the top is exactly where it is put."""
    u = (X - position) / width
    return 1.0 + (height - 1.0) * np.exp(-0.5 * u**2 + 0.08 * u**3 / (1.0 + u**2))


@pytest.mark.parametrize("position", [3.763, 3.78, 3.8, 3.81])
def test_top_between_grid_points(position):
    found = peak(X, shell(position), 3.0, 5.0)
    assert found.position == pytest.approx(position, abs=2e-3)
    assert found.height == pytest.approx(2.913, abs=3e-3)


def test_a_quartic_is_exact():
    y = 3.0 - 2.0 * (X - 4.01) ** 2 + 0.3 * (X - 4.01) ** 3 - 0.1 * (X - 4.01) ** 4
    found = peak(X, y, 3.0, 5.0)
    assert found.position == pytest.approx(4.01, abs=1e-9)
    assert found.height == pytest.approx(3.0, abs=1e-9)


def test_derivatives_are_those_of_finite_differences():
    y = shell()
    found = peak(X, y, 3.0, 5.0)
    change = np.random.default_rng(0).normal(size=len(X))
    step = 1e-5
    plus, minus = (peak(X, y + s * step * change, 3.0, 5.0) for s in (1, -1))
    assert found.d_height @ change == pytest.approx((plus.height - minus.height) / (2 * step), rel=1e-6)
    assert found.d_position @ change == pytest.approx((plus.position - minus.position) / (2 * step), rel=1e-5)
    assert found.d_height.sum() == pytest.approx(1.0)  # a constant raises the top by itself
    assert found.d_position.sum() == pytest.approx(0.0, abs=1e-9)  # and moves nothing


def test_errors_are_those_of_noisy_copies():
    y, sigma, rng = shell(), 0.01, np.random.default_rng(1)
    found = peak(X, y, 3.0, 5.0)
    copies = [peak(X, y + sigma * rng.normal(size=len(X)), 3.0, 5.0) for _ in range(400)]
    # 400 copies know a standard deviation to 3.5 %; the cap's points change a little with the noise
    assert np.std([c.height for c in copies]) == pytest.approx(sigma * np.linalg.norm(found.d_height), rel=0.15)
    assert np.std([c.position for c in copies]) == pytest.approx(sigma * np.linalg.norm(found.d_position), rel=0.15)


def test_first_peak_is_not_the_highest_one():
    y = 1.0 + 0.7 * np.exp(-((X - 3.0) ** 2) / 0.02) + np.exp(-((X - 4.5) ** 2) / 0.02) - 0.05
    low, high = first_peak_range(X, y)
    assert 2.5 < low < 3.0 < high < 3.5


def test_no_maximum_is_said():
    with pytest.raises(InputError, match="no maximum"):
        peak(X, X.copy(), 3.0, 5.0)
    with pytest.raises(InputError, match="points between"):
        peak(X, shell(), 3.7, 3.8)
    with pytest.raises(InputError, match="nowhere exceeds"):
        first_peak_range(X, 0.5 + 0.0 * X)
