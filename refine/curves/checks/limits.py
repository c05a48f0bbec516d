"""What a curve tends to, and what is not known of it; needs neither density nor composition."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refine.curves.checks.common import canonical, settled, tail_of
from refine.curves.curve import Curve
from refine.curves.quantities import quantity_of
from refine.errors import InputError

Array = NDArray[np.float64]

FEWEST_TO_VARY = 20
"""Points of a curve that says how much it varies; an excerpt may be flat."""

USUAL_Q_MAX = 20.0
"""1/Å, of a transform whose range is not known, to say what that means."""


def check_high_q_limit(curve: Curve) -> list[str]:
    """The mean at high Q against the limit of the quantity: doubts, or a refusal where another name fits."""
    limit, ripple, amplitude = settled(curve, 0.7)
    expected = quantity_of(curve.quantity).limit
    if expected is None or not math.isfinite(limit):
        return []
    start = curve.x[tail_of(curve, 0.7)][0]
    seen = f"{curve.quantity} tends to {limit:.3f} at high Q (mean over {start:.3g} to {curve.x[-1]:.3g} 1/Å)"
    if expected == 1.0 and abs(limit) < 0.2:
        raise InputError(
            f"{seen}, but S(Q) tends to 1: this looks like distinct scattering, such as S(Q) - 1",
            where=curve.label,
            fix='declare quantity = "F(Q)" and its normalisation',
        )
    if expected == 0.0 and abs(limit - 1.0) < 0.2 and amplitude < 4.0:
        raise InputError(
            f"{seen}, but {curve.quantity} tends to 0: this looks like S(Q)",
            where=curve.label,
            fix='declare quantity = "S(Q)" and normalisation = "faber-ziman"',
        )
    if abs(limit - expected) > max(0.5 * ripple, 0.03 * amplitude):
        return [f"{curve.label}: {seen}, but {expected:g} is expected"]
    return []


def check_high_r_limit(curve: Curve) -> list[str]:
    """The mean at large r likewise."""
    expected = quantity_of(curve.quantity).limit
    if expected is None:
        return []
    limit, ripple, _ = settled(curve, 0.6)
    if not math.isfinite(limit):
        return []
    start = curve.x[tail_of(curve, 0.6)][0]
    seen = f"{curve.quantity} tends to {limit:.3f} at large r (mean over {start:.3g} to {curve.x[-1]:.3g} Å)"
    other = "G(r)" if curve.quantity == "g(r)" else "g(r)"
    if abs(limit - (1.0 - expected)) < 0.2:
        raise InputError(
            f"{seen}, but {curve.quantity} tends to {expected:g}: this looks like {other}",
            where=curve.label,
            fix=f'declare quantity = "{other}"' + (" and its normalisation" if other == "G(r)" else ""),
        )
    if abs(limit - expected) > max(0.5 * ripple, 0.05):
        return [f"{curve.label}: {seen}, but {expected:g} is expected"]
    return []


def unknown_q_range(curve: Curve) -> list[str]:
    """Says of a partial without a Q range what that may cost: the curve cut at `USUAL_Q_MAX`, against itself."""
    if curve.q_max is not None or curve.pair is None or curve.number_density is None:
        return []
    r = curve.x
    total = canonical(curve) + 4.0 * math.pi * curve.number_density * r
    d = total - 4.0 * math.pi * curve.number_density * r
    q = np.linspace(0.0, USUAL_Q_MAX, 400)
    sines = np.sin(np.outer(q, r))
    cut = (2.0 / math.pi) * np.trapezoid(sines.T * np.trapezoid(sines * d, r, axis=1), q, axis=1)
    change = float(np.sqrt(np.mean((cut - d) ** 2) / np.mean(total**2)))
    return [
        f"{curve.label}: the Q range of the transform behind it is not known, and the model is compared without one; "
        f"had it ended at {USUAL_Q_MAX:g} 1/Å, the model would differ by an R_chi of about {change:.3f}: give q_range"
    ]


def doubtful_sigma(curve: Curve) -> list[str]:
    """Says where standard errors are zero, and that they are larger than all that the curve does."""
    if curve.sigma is None:
        return []
    typical, spread = float(np.median(curve.sigma)), float(curve.y.std())
    doubts = []
    if typical > spread and len(curve.x) >= FEWEST_TO_VARY:
        doubts.append(
            f"{curve.label}: sigma is {typical:.3g} (median), more than the curve itself varies, {spread:.3g} (rms): "
            "any model agrees with it; if these are weights or widths of bins, choose columns = [x, y]"
        )
    zeros = np.flatnonzero((curve.sigma == 0) & (curve.x > 0))
    if len(zeros):
        doubts.append(
            f"{curve.label}: sigma is 0 at {len(zeros)} of {len(curve.x)} points, first at x = {curve.x[zeros[0]]:g}; "
            "such points were usually not measured: leave them out of the fitted range"
        )
    return doubts
