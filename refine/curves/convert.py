"""Conversions among S(Q), F(Q) = i(Q), Q[S(Q)-1], g(r), G(r), D(r), T(r), J(r) and the three normalisations.

Every quantity is an affine function, point by point, of one canonical quantity of its space: the distinct scattering
i(Q) = k [S(Q) - 1] in Q, and D(r), its sine transform, in r (definitions: `refine.curves.quantities`). A conversion is:
to the canonical quantity, across by a matrix of `refine.curves.transforms` where the space changes, to the target.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.curves.curve import Curve
from refine.curves.forms import Form
from refine.curves.quantities import is_q_space, same_quantity, why_undefined
from refine.curves.transforms import extrapolate_low_q, q_to_r_matrix, sampled_r_to_q_matrix, window_values
from refine.curves.weights import scatters_null
from refine.errors import ConversionError

Array = NDArray[np.float64]

DEFAULT_R_STEP = 0.02
"""Å; grid of r when none is given."""
DEFAULT_R_MAX = 20.0
"""Å."""
DEFAULT_Q_MAX = 25.0
"""1/Å; where a transform to Q ends when neither x nor the curve says so."""
_SMALLEST_WINDOW = 0.05
"""Below this a window cannot be divided out again: the error bars grow twentyfold."""


def convert(
    curve: Curve,
    quantity: str,
    *,
    normalisation: str | None = None,
    x: ArrayLike | None = None,
    q_range: tuple[float, float] | None = None,
    window: str | None = None,
    extrapolate: bool = False,
) -> Curve:
    """The same measurement as another quantity, in another normalisation, or in the other space.

    A point at x = 0 where the target is 0/0 (g(r) from D(r), S(Q) from Q[S(Q)-1]) is left out. Standard errors are
    propagated as independent from point to point; the correlations that a transform creates are not kept.

    From Q to r only what was measured is transformed; nothing below the first Q is invented unless `extrapolate`.
    From r to Q the window is divided out; where the curve begins beyond r = 0 it is continued by g(r) = 0.

    Args:
        curve: what is to be converted.
        quantity: one of `refine.curves.quantities.QUANTITIES`.
        normalisation: of the result; that of the curve when None.
        x: grid of the result, only where the space changes: r in Å (default 0.02 Å apart to 20 Å or π/ΔQ) or Q in
            1/Å (default π/r_max apart, over the Q range of the curve, or to 25 1/Å where that is unknown).
        q_range: (q_min, q_max) in 1/Å of a transform to r; the whole curve when None.
        window: "none" or "lorch" of a transform to r; the curve's own when None. It ends at q_max.
        extrapolate: continue a transform to r from the first Q to 0 by the mean of the first three values.

    Raises:
        ConversionError: the target is not defined, or the density, composition or Q range that it needs is unknown.
        InputError: an unknown quantity, normalisation or window.

    The broad peak of a liquid at 2 1/Å becomes a shell at 3.7 Å:

    >>> q = np.arange(0.02, 12.0, 0.02)
    >>> s = Curve(q, 1.0 + np.exp(-8.0 * (q - 2.0) ** 2), number_density=0.021)
    >>> g = convert(s, "g(r)", x=np.arange(0.1, 10.0, 0.1))
    >>> g.quantity, (g.q_min, g.q_max), float(g.x[30 + np.argmax(g.y[30:])].round(1))
    ('g(r)', (0.02, 11.98), 3.7)
    """
    to_q_space = is_q_space(quantity)
    norm = curve.normalisation if normalisation is None else normalisation
    objection = why_undefined(quantity, norm, curve.radiation, curve.pair)
    if objection is not None:
        raise ConversionError(objection[0], where=curve.label, fix=f"convert to {objection[1]}")
    if to_q_space == curve.in_q_space:
        if x is not None or q_range is not None or window is not None:
            raise ConversionError(
                f"from {curve.quantity} to {quantity} the grid, Q range and window stay as they are",
                where=curve.label,
                fix="convert to the other space and back with the new range or window, or use cropped()",
            )
        return _within_space(curve, quantity, norm)
    if to_q_space:
        if q_range is not None or window is not None or extrapolate:
            raise ConversionError("q_range, window and extrapolate belong to a transform to r", where=curve.label)
        return _to_q(curve, quantity, norm, x)
    return _to_r(curve, quantity, norm, x, q_range, window, extrapolate)


def _within_space(curve: Curve, quantity: str, normalisation: str) -> Curve:
    if normalisation == curve.normalisation and same_quantity(quantity, curve.quantity):
        return replace(curve, quantity=quantity)
    ratio = _ratio_of_factors(curve, normalisation, curve.x if curve.in_q_space else None)
    before, after = _own_form(curve), curve.form(quantity, normalisation, curve.x)
    scale, keep = _chain(before.gain, ratio, after.gain)
    y = (curve.y - before.offset)[keep] * scale + after.offset[keep]
    sigma = None if curve.sigma is None else curve.sigma[keep] * np.abs(scale)
    return replace(curve, quantity=quantity, normalisation=normalisation, x=curve.x[keep], y=y, sigma=sigma)


def _to_r(
    curve: Curve,
    quantity: str,
    normalisation: str,
    x: ArrayLike | None,
    q_range: tuple[float, float] | None,
    window: str | None,
    extrapolate: bool,
) -> Curve:
    measured = curve if q_range is None else _cut(curve, q_range)
    if measured.quantity == "Q[S(Q)-1]" and measured.x[0] == 0.0:
        measured = measured.cropped(float(measured.x[1]), math.inf)  # i(0) is 0/0, and the integrand is zero there
    q, window = measured.x, measured.window if window is None else window
    r = _r_grid(measured, x)
    if extrapolate:
        grid, extension = extrapolate_low_q(q, np.eye(len(q)))
        matrix = q_to_r_matrix(grid, r, window) @ extension
    else:
        matrix = q_to_r_matrix(q, r, window)
    matrix *= _ratio_of_factors(measured, normalisation, q)
    before, after = _own_form(measured), curve.form(quantity, normalisation, r)
    keep = after.gain != 0.0
    operator = (matrix * before.gain)[keep] / after.gain[keep, None]
    y = operator @ (measured.y - before.offset) + after.offset[keep]
    return replace(
        curve,
        quantity=quantity,
        normalisation=normalisation,
        x=r[keep],
        y=y,
        sigma=_propagated(operator, measured.sigma),
        window=window,
        q_min=0.0 if extrapolate else float(q[0]),
        q_max=float(q[-1]),
    )


def _to_q(curve: Curve, quantity: str, normalisation: str, x: ArrayLike | None) -> Curve:
    before = _own_form(curve)
    finite = np.isfinite(before.gain)  # J(r) at r = 0 is 0/0
    r, gain = curve.x[finite], before.gain[finite]
    q = _q_grid(curve, x)
    after = curve.form(quantity, normalisation, q)
    front, below = _below_first(curve, r)
    matrix = sampled_r_to_q_matrix(np.concatenate([front, r]), q)
    scale = _ratio_of_factors(curve, normalisation, q) / after.gain
    if curve.window != "none":
        assert curve.q_max is not None  # Curve refuses a window without it
        scale = scale / window_values(curve.window, q, curve.q_max)
    matrix *= scale[:, None]
    operator = matrix[:, len(front) :] * gain
    y = operator @ (curve.y - before.offset)[finite] + matrix[:, : len(front)] @ below + after.offset
    sigma = None if curve.sigma is None else _propagated(operator, curve.sigma[finite])
    return replace(curve, quantity=quantity, normalisation=normalisation, x=q, y=y, sigma=sigma, window="none")


def _own_form(curve: Curve) -> Form:
    return curve.form(curve.quantity, curve.normalisation, curve.x)


def _chain(gain_before: Array, ratio: Array, gain_after: Array) -> tuple[Array, NDArray[np.bool_]]:
    """gain_before * ratio / gain_after at the points where it exists, and which these are."""
    keep = np.isfinite(gain_before) & (gain_after != 0.0)
    scale = gain_before[keep] * np.broadcast_to(ratio, keep.shape)[keep] / gain_after[keep]
    return np.asarray(scale, dtype=np.float64), keep


def _ratio_of_factors(curve: Curve, normalisation: str, q: Array | None) -> Array:
    """k(Q) of the target over k(Q) of the curve; q None means in r space, where it must be a constant."""
    if normalisation == curve.normalisation:
        return np.ones(1 if q is None else len(q))
    if q is None and curve.radiation == "xray":
        raise ConversionError(
            f"the factor between {curve.normalisation} and {normalisation} depends on Q for x-rays",
            where=curve.label,
            fix='convert to "F(Q)" first, and from there to r',
        )
    grid = np.zeros(1) if q is None else q
    if curve.pair is None and curve.composition and scatters_null(curve.fractions, curve.amplitudes(grid)):
        raise ConversionError(
            "the mean scattering amplitude Σ c b is zero, so nothing is normalised by it",
            where=curve.label,
            fix='keep normalisation = "keen"',
        )
    return np.asarray(curve.distinct_factor(grid, normalisation) / curve.distinct_factor(grid), dtype=np.float64)


def _below_first(curve: Curve, r: Array) -> tuple[Array, Array]:
    """r and D(r) between 0 and the first point, where g(r) = 0 and so D = -4πρ k r; empty if the curve begins at 0."""
    step = float(r[1] - r[0])
    if r[0] <= 1.5 * step:
        return np.empty(0), np.empty(0)
    if curve.radiation == "xray" and curve.normalisation != "faber-ziman":
        raise ConversionError(
            f"{curve.quantity} begins at r = {r[0]:g} Å and cannot be continued to 0 as {curve.normalisation}",
            where=curve.label,
            fix="give the curve from r = 0, or as faber-ziman",
        )
    front = np.linspace(0.0, r[0], max(2, round(r[0] / step)), endpoint=False)
    if curve.number_density is None:
        raise ConversionError(
            f"{curve.quantity} begins at r = {r[0]:g} Å; its continuation to 0 by g(r) = 0 needs the number density",
            where=curve.label,
            fix="give number_density in atoms/Å^3, or the curve from r = 0",
        )
    # Where g(r) = 0, T(r) = 0: the offset of T(r) is -D(r) there.
    return front, -curve.form("T(r)", curve.normalisation, front).offset


def _cut(curve: Curve, q_range: tuple[float, float]) -> Curve:
    low, high = q_range
    tolerance = 1e-6 * curve.x[-1]
    if high > curve.x[-1] + tolerance:
        raise ConversionError(
            f"Q up to {high:g} was asked for and the curve ends at {curve.x[-1]:g} 1/Å",
            where=curve.label,
            fix="lower q_range",
        )
    return curve.cropped(low - tolerance, high + tolerance)


def _r_grid(curve: Curve, x: ArrayLike | None) -> Array:
    longest = math.pi / float(np.median(np.diff(curve.x)))
    if x is None:
        return (
            np.arange(1, math.floor(min(DEFAULT_R_MAX, longest) / DEFAULT_R_STEP) + 1, dtype=np.float64)
            * DEFAULT_R_STEP
        )
    r = np.asarray(x, dtype=np.float64)
    if r.max() > longest * (1 + 1e-6):
        raise ConversionError(
            f"steps of {math.pi / longest:.3g} 1/Å in Q reach r = π/ΔQ = {longest:.3g} Å, not {r.max():g} Å",
            where=curve.label,
            fix="ask for a shorter r range",
        )
    return r


def _q_grid(curve: Curve, x: ArrayLike | None) -> Array:
    finest = math.pi / float(np.median(np.diff(curve.x)))
    low, high = curve.q_min or 0.0, curve.q_max or finest
    if curve.window == "lorch":
        inside = np.linspace(0.0, high, 1001)
        high = float(inside[window_values("lorch", inside, high) >= _SMALLEST_WINDOW][-1])
    if x is None:
        step = math.pi / float(curve.x[-1])
        high = min(high, finest) if curve.q_max else min(DEFAULT_Q_MAX, finest)
        first, last = max(1, math.ceil(low / step - 1e-9)), math.floor(high / step + 1e-9)
        return np.arange(first, last + 1, dtype=np.float64) * step
    q = np.asarray(x, dtype=np.float64)
    slack = 1e-6 * high
    if q.min() < low - slack or q.max() > min(high, finest) + slack:
        reason = (
            "its window has gone to zero beyond" if curve.window == "lorch" else "it was made from or resolves that"
        )
        raise ConversionError(
            f"Q from {q.min():g} to {q.max():g} 1/Å was asked for; the curve holds {low:g} to {min(high, finest):.4g} "
            f"({reason})",
            where=curve.label,
            fix="ask for Q within that range",
        )
    return q


def _propagated(operator: Array, sigma: Array | None) -> Array | None:
    if sigma is None:
        return None
    return np.asarray(np.sqrt(operator**2 @ sigma**2), dtype=np.float64)
