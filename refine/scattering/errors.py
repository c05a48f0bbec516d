"""Standard errors of the measured points: as they come with the curve, or estimated from its ripple.

docs/theory/forward-model.md, "Errors of the measurement", derives both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refine.curves import noise
from refine.curves.curve import Curve
from refine.curves.transforms import q_to_r_matrix
from refine.scattering.bound import BoundCurve
from refine.scattering.points import nyquist_q

Array = NDArray[np.float64]

NUGGET = 1e-4
"""Share of its own variance that is added to each point's: errors grow by 5e-5 of themselves, which nobody would see,
and the condition number of the correlations is below 1e4 times their largest eigenvalue, at most n."""


LEAST = 5e-3
"""Least error of a curve in r, of its rms signal."""


def stated_sigma(curve: Curve) -> Array | None:
    """Standard errors on the measured points, zeros as their median; None where the curve has none.

    >>> x = np.arange(1.0, 6.0)
    >>> stated_sigma(Curve(x, np.ones(5), sigma=np.array([0.1, 0.0, 0.2, 0.1, 0.1])))
    array([0.1, 0.1, 0.2, 0.1, 0.1])
    """
    if curve.sigma is None or not np.any(curve.sigma > 0.0):
        return None
    positive = curve.sigma[curve.sigma > 0.0]
    return np.where(curve.sigma > 0.0, curve.sigma, np.median(positive))


def estimated_q_sigma(bound: BoundCurve) -> float:
    """Error of S(Q) - 1 at the fitted points from the ripple of T(r) where no atoms can be (`refine.curves.noise`).

    White noise sigma on points dq apart gives D(r) the variance (2/pi)^2 dq sigma^2 ∫ Q^2 sin^2(Qr) dQ; the fitted
    points, pi/r_eff apart, average pi/(r_eff dq) measured ones. A rule may scale it by the evidence.
    """
    q, rho = bound.curve.x, bound.box.number_density
    r = np.arange(0.05, bound.box.r_max, 0.05)
    d = q_to_r_matrix(q, r, "none") @ bound.measured_distinct()
    slope = 0.0 if bound.null else 4.0 * math.pi * rho
    _, ripple = noise.ripple(r, d, slope, (float(q[0]), float(q[-1])))
    power = float(q[-1] ** 3 - q[0] ** 3) / 6.0
    sigma = _rms(ripple) * math.pi / 2.0 / math.sqrt(power * nyquist_q(bound.box))
    measured = bound.measured_distinct()
    return max(sigma, 1e-3 * _rms(measured), noise.digitised_error(q, measured))


def estimated_r_sigma(bound: BoundCurve) -> float:
    """Error of an r-space curve: the ripple below its onset, at least half a per cent of its rms signal, and what was
    lost where it was read off a figure.

    A curve that was set to zero below its onset, or begins there, has no ripple: the scatter of its points is taken.
    """
    curve = bound.curve
    r = curve.x[curve.x > 0.0]
    form = bound.form(r)
    signal = curve.y[curve.x > 0.0] - form.offset
    slope = 0.0 if bound.null else 4.0 * math.pi * bound.box.number_density * float(bound.factor[0])
    seen = None if curve.q_max is None else (curve.q_min or 0.0, curve.q_max)
    quiet, ripple = noise.ripple(r, signal / form.scale, slope, seen, curve.window)
    sigma, least = _rms(bound.form(quiet).scale * ripple), LEAST * _rms(signal)
    if sigma < least:
        of_atoms = signal + form.scale * slope * r  # zero where there are none
        seen_there = r >= r[int(np.argmax(np.abs(of_atoms) > least))]
        sigma = noise.roughness(r[seen_there], signal[seen_there])
    return max(sigma, least, noise.digitised_error(r, signal))


def regular(covariance: Array) -> Array:
    """The covariance with each variance enlarged by `NUGGET`: points that the taper makes dependent stay solvable.

    By its own variance, not the mean one: where errors grow a hundredfold along a curve the small ones count, too.

    >>> np.diag(regular(np.diag([1.0, 100.0]))).tolist()
    [1.0001, 100.01]
    """
    return np.asarray(covariance + NUGGET * np.diag(np.diag(covariance)))


def _rms(values: Array) -> float:
    """Root mean square, zero of nothing."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
