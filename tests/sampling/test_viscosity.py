"""Viscosity from synthetic stress whose viscosity is known."""

import math

import numpy as np
import pytest

from refine.errors import SimulationError
from refine.sampling.viscosity import MILLIPASCAL_SECOND, green_kubo, stress_correlation

VOLUME, TEMPERATURE = 20000.0, 90.0  # Å^3, K


def autoregressive(rng, segments, moments, decay):
    """Symmetric traceless tensors (segments, moments, 3, 3), isotropic, of unit variance off the diagonal, with
    correlation exp(-moment / decay)."""
    a = math.exp(-1.0 / decay)
    noise = rng.normal(size=(segments, moments, 3, 3))
    series = np.empty_like(noise)
    series[:, 0] = noise[:, 0]
    for k in range(1, moments):
        series[:, k] = a * series[:, k - 1] + math.sqrt(1 - a * a) * noise[:, k]
    symmetric = (series + series.swapaxes(2, 3)) / math.sqrt(2)
    return symmetric - np.trace(symmetric, axis1=2, axis2=3)[..., None, None] / 3 * np.eye(3)


def exact(decay, interval, amplitude):
    """V / kT times the trapezoidal sum of <P_xy(0) P_xy(t)>, worked out in SI units, mPa s."""
    a = math.exp(-1.0 / decay)
    pressure = amplitude * 1.602176634e-19 / (VOLUME * 1e-30)  # Pa
    total = pressure**2 * interval * 1e-12 * (1 / (1 - a) - 0.5)
    return 1e3 * VOLUME * 1e-30 / (1.380649e-23 * TEMPERATURE) * total


def test_an_exponential_correlation_has_its_viscosity_in_si_units():
    """Within 4 sigma, and sigma below 4 %; a pressure and a rotation on top do not count."""
    rng, interval, decay, amplitude = np.random.default_rng(1), 0.01, 20.0, 3.0
    stress = amplitude * autoregressive(rng, 8, 8000, decay) + 50.0 * np.eye(3)
    stress[..., 0, 1] += 0.7
    stress[..., 1, 0] -= 0.7
    found = green_kubo(stress, interval, VOLUME, TEMPERATURE)
    value = exact(decay, interval, amplitude)
    assert found.segments == 8
    assert found.window == pytest.approx(10 * decay * interval, rel=0.2)
    assert 0.01 * value < found.stderr < 0.04 * value
    assert abs(found.value - value) < 4 * found.stderr


def test_the_stated_error_is_the_scatter():
    """100 repetitions: the scatter of estimates over the stated error is 1 within 15 % (their rms is known to 7 %)."""
    rng = np.random.default_rng(2)
    found = [green_kubo(autoregressive(rng, 8, 1000, 5.0), 0.01, VOLUME, TEMPERATURE) for _ in range(100)]
    values = np.array([f.value for f in found])
    stated = math.sqrt(np.mean([f.stderr**2 for f in found]))
    assert values.std() / stated == pytest.approx(1.0, abs=0.15)
    assert abs(values.mean() - exact(5.0, 0.01, 1.0)) < 4 * values.std() / 10


def test_a_constant_stress_that_never_relaxes_is_no_viscosity():
    stress = np.broadcast_to(np.diag([1.0, -1.0, 0.0]), (3, 200, 3, 3))
    with pytest.raises(SimulationError, match="still correlated after"):
        green_kubo(np.array(stress), 0.01, VOLUME, TEMPERATURE)


def test_the_correlation_is_the_plain_sum():
    q = autoregressive(np.random.default_rng(3), 2, 40, 5.0)
    plain = [[(q[s, : 40 - k] * q[s, k:]).sum() / (40 - k) for k in range(20)] for s in range(2)]
    np.testing.assert_allclose(stress_correlation(q, 20), plain, atol=1e-12)


def test_the_unit():
    """eV/Å^3 ps in mPa s, by scipy's CODATA."""
    from scipy import constants

    si = constants.e / constants.angstrom**3 * constants.pico / constants.milli
    assert pytest.approx(si, rel=1e-9) == MILLIPASCAL_SECOND
