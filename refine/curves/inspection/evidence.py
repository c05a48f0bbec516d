"""What the numbers of a curve say for or against one reading of them: a line, and how likely it is if that is right."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from refine.curves.checks import check_curve
from refine.curves.checks.common import forbidden_below, settled, tail_of
from refine.curves.checks.scale import pair_distribution, scale_is_unknowable, scale_values, smooth_near
from refine.curves.curve import Curve
from refine.curves.quantities import quantity_of
from refine.curves.weights import pair_weights
from refine.errors import InputError

Array = NDArray[np.float64]

LEAST = 1e-3
"""Of a likelihood: no single number excludes a reading, as every one may be spoilt by something else."""

SCALE = 0.15
"""Relative error of absolute scales and densities: good measurements have low-r slopes of 0.85 to 1.09."""

SPIKE = 0.3
"""Likelihood of a point below what is possible, at least: single points at low Q are often spoilt."""

LIMIT = 0.02
"""How far a limit may be off by a sloppy background, at least."""

REFUSED = 0.02
"""Likelihood of a reading that a study would refuse."""

DENSITIES = (0.004, 0.2)
"""atoms/Å^3: of condensed matter, and some more."""

TRIAL = 0.05
"""atoms/Å^3, at which low-r slopes are taken where no density is known."""

Q_PEAKS = (0.5, 10.0), (0.3, 12.0)
R_PEAKS = (0.6, 5.0), (0.4, 12.0)
"""1/Å and Å: where the highest peaks of curves of condensed matter are, and where they may be."""

ODD = 0.05
"""Likelihood of what is seldom seen."""

STRAIGHT = 0.2
"""Relative departure from a straight line through zero."""

PROMINENCE = 0.3
"""Of a peak of g(r) that is none of noise or ripple."""

STEADY = 0.2
"""Relative scatter of T(r)/r or J(r)/r^2 over the last third of a curve."""


@dataclass(frozen=True)
class Evidence:
    """One number.

    words: a line for the reader.  likelihood: of it, were the reading right, in units of the best that it could be.
    number_density: that it implies, atoms/Å^3; None where it implies none.
    """

    words: str
    likelihood: float
    number_density: float | None = None


def evidence_of(curve: Curve) -> list[Evidence]:
    """All that the numbers say about a curve as it is declared, the header apart."""
    found = [_limit(curve), *_slope(curve), *_growth(curve), _single_atoms(curve), _highest(curve), _straight(curve)]
    first = first_peak(curve)
    return [*(one for one in found if one is not None), *([] if first is None else [first]), *_refusal(curve)]


def _off(distance: float, tolerance: float) -> float:
    off = distance / tolerance if tolerance > 0.0 else math.inf
    return max(LEAST, math.exp(-0.5 * min(off * off, 1e3))) if abs(off) < 1e100 else LEAST


def _limit(curve: Curve) -> Evidence | None:
    """What it tends to at large x."""
    expected = quantity_of(curve.quantity, curve.normalisation).limit
    if expected is None:
        return None
    limit, ripple, amplitude = settled(curve, 0.7)
    start, unit = curve.x[tail_of(curve, 0.7)][0], "1/Å" if curve.in_q_space else "Å"
    if not math.isfinite(limit):
        tail = curve.y[tail_of(curve, 0.7)]
        words = f"has not settled: {tail.mean():.3g} ± {tail.std():.2g} beyond {start:.3g} {unit}"
        return Evidence(f"{words}, where {expected:g} is expected", _off(float(tail.mean()) - expected, 1.0))
    tolerance = max(0.5 * ripple, 0.03 * amplitude, LIMIT)
    words = f"tends to {limit:.3f} ± {tolerance:.2g} (mean beyond {start:.3g} {unit}), {expected:g} is expected"
    return Evidence(words, _off(limit - expected, tolerance))


def _slope(curve: Curve) -> list[Evidence]:
    """D(r) = -4πρ k r below the shortest distance, and so the density; what falls below what is possible."""
    if scale_is_unknowable(curve):
        return []
    known = curve.number_density
    values = scale_values(curve if known is not None else replace(curve, number_density=TRIAL))
    found = []
    form = quantity_of(curve.quantity, curve.normalisation)
    if "near" in values and (curve.in_q_space or smooth_near(curve if known else replace(curve, number_density=TRIAL))):
        near = values["near"]
        free = form.offset == "zero" or form.in_q_space  # else the numbers there are zero, whatever the density
        implied = near * (TRIAL if known is None else known) if free and not form.per_uniform else None
        if known is not None:
            words = f"at low r D(r) has {near:.2f} of the slope that {known:g} atoms/Å^3 demand"
            said = f"{words}; it implies {implied:.4f}" if implied is not None and implied > 0 else words
            found.append(Evidence(said, _off(near - 1.0, SCALE), implied))
        elif implied is not None:
            possible = DENSITIES[0] <= implied <= DENSITIES[1]
            words = f"the slope of D(r) at low r implies {implied:.4f} atoms/Å^3"
            found.append(Evidence(words, 1.0 if possible else 10 * LEAST, implied if possible else None))
        else:
            r = forbidden_below(curve if known else replace(curve, number_density=TRIAL))
            found.append(Evidence(f"g(r) averages {1.0 - near:.2f} below {r:.2f} Å", _off(near - 1.0, SCALE)))
    if values.get("floor", 1.0) > 1.0 + SCALE:
        words = f"falls to {values['floor']:.1f} times the lowest value possible"
        found.append(Evidence(words, max(SPIKE, _off(values["floor"] - 1.0, SCALE))))
    return found


def _single_atoms(curve: Curve) -> Evidence | None:
    """I(Q) goes to what the atoms scatter by themselves."""
    if curve.quantity != "I(Q)" or not curve.composition:
        return None
    tail = tail_of(curve, 0.6)
    ratio = float(np.mean(curve.y[tail] / curve.self_intensity(curve.x[tail])))
    words = f"at high Q is {ratio:.3g} times what an atom scatters by itself"
    return Evidence(words, _off(ratio - 1.0, SCALE))


def _highest(curve: Curve) -> Evidence | None:
    """Where its highest peak is: distances between neighbours are those of atoms."""
    form, symbol, unit = quantity_of(curve.quantity, curve.normalisation), "r", "Å"
    usual, possible, begin = R_PEAKS[0], R_PEAKS[1], 1.0 if form.offset == "uniform" else 0.5
    if form.in_q_space:
        usual, possible, begin, symbol, unit = Q_PEAKS[0], Q_PEAKS[1], Q_PEAKS[1][0], "Q", "1/Å"
    if form.offset == "self":
        return None
    seen = curve.x >= begin
    if seen.sum() < 5:
        return Evidence(f"ends at {symbol} = {curve.x[-1]:.3g} {unit}, before there is any structure", 10 * LEAST)
    y = curve.y[seen] / (curve.x[seen] ** (1 + form.times_x) if form.offset == "uniform" else 1.0)
    top = float(curve.x[seen][int(np.argmax(y))])
    words = f"highest at {symbol} = {top:.3g} {unit}"
    if usual[0] <= top <= usual[1]:
        return Evidence(words, 1.0)
    likelihood = ODD if possible[0] <= top <= possible[1] else 10 * LEAST
    return Evidence(f"{words}, where structure of atoms seldom has it", likelihood)


def _straight(curve: Curve) -> Evidence | None:
    """D(r) and G(r) begin as straight lines through zero."""
    form = quantity_of(curve.quantity, curve.normalisation)
    if curve.in_q_space or form.offset != "zero" or form.per_uniform:
        return None
    r_high = forbidden_below(curve if curve.number_density else replace(curve, number_density=TRIAL))
    inside = (curve.x >= 0.2 * r_high) & (curve.x <= r_high)
    if inside.sum() < 6:
        return None
    r, y = curve.x[inside], curve.y[inside]
    through_zero, free = y - r * (r @ y) / (r @ r), np.polyval(np.polyfit(r, y, 1), r) - y
    if float(free.std()) > 0.2 * float(np.abs(y).mean()) or float(np.abs(y).mean()) == 0.0:
        return None  # ripple, which tells nothing
    if not float(y @ y) > 0.0:
        return None
    off = float(np.sqrt(through_zero @ through_zero / (y @ y)))
    if off < STRAIGHT:
        return Evidence("begins as a straight line through zero", 1.0)
    return Evidence("does not begin as a straight line through zero", ODD)


def _growth(curve: Curve) -> list[Evidence]:
    """T(r) and J(r) grow as 4πρ k r and 4πρ k r^2."""
    form = quantity_of(curve.quantity, curve.normalisation)
    if form.offset != "uniform":
        return []
    tail = (curve.x >= 0.67 * curve.x[-1]) & (curve.x > 0.0)
    ratio = curve.y[tail] / curve.x[tail] ** (1 + form.times_x)
    mean, power = float(ratio.mean()), "r" if form.times_x == 0 else "r^2"
    flat = float(np.std(curve.y[tail])) / abs(float(np.mean(curve.y[tail])) or 1.0)
    if not mean > 0.0 or not float(ratio.std()) < min(STEADY * mean, flat * mean):
        return [Evidence(f"does not grow as {power} at large r", 10 * LEAST)]
    words = f"grows as {mean:.4g} {power} at large r"
    if scale_is_unknowable(curve):
        return [Evidence(words, 1.0)]
    implied = mean / (4.0 * math.pi * float(curve.distinct_factor(0.0)[0]))
    words += f", which implies {implied:.4f} atoms/Å^3"
    if curve.number_density is not None:
        return [Evidence(words, _off(implied / curve.number_density - 1.0, SCALE), implied)]
    possible = DENSITIES[0] <= implied <= DENSITIES[1]
    return [Evidence(words, 1.0 if possible else 10 * LEAST, implied if possible else None)]


def _refusal(curve: Curve) -> list[Evidence]:
    """What a study that declares it so would be told."""
    try:
        check_curve(curve)
    except InputError as error:
        return [Evidence(f"a study would refuse it: {error.what}; {error.fix}", REFUSED)]
    return []


def first_peak(curve: Curve) -> Evidence | None:
    """Of a curve in r where the first peak of g(r) is, and its area as a number of neighbours where that is clear."""
    if curve.in_q_space or curve.number_density is None or scale_is_unknowable(curve):
        return None
    g = pair_distribution(curve)
    peaks = find_peaks(np.where(curve.x > forbidden_below(curve), g, 0.0), height=1.0, prominence=PROMINENCE)[0]
    if not len(peaks):
        return None
    start = stop = peak = int(peaks[0])
    while start > 0 and g[start] > 0.0 and g[start - 1] < g[start]:
        start -= 1
    while stop + 1 < len(g) and g[stop + 1] < g[stop]:
        stop += 1
    r = curve.x[start : stop + 1]
    area = float(np.trapezoid(4.0 * math.pi * curve.number_density * r**2 * np.maximum(g[start : stop + 1], 0.0), r))
    words = f"first peak at {curve.x[peak]:.2f} Å"
    pair = _unlike(curve)
    if len(curve.species) == 1 or curve.pair is not None:
        words += f", {area:.1f} neighbours to {r[-1]:.2f} Å"
    elif pair is not None:
        a, b, weight, share = pair
        words += f"; if it is {a}-{b}, {area * share / weight:.1f} {b} around {a} to {r[-1]:.2f} Å"
    return Evidence(words, 1.0)


def _unlike(curve: Curve) -> tuple[str, str, float, float] | None:
    """Of two elements the unlike pair, its weight at Q = 0 and the fraction of the second; None of others."""
    if len(curve.species) != 2 or curve.radiation is None:
        return None
    weights = pair_weights(curve.fractions, curve.amplitudes(np.zeros(1)))[:, 0]
    return curve.species[0], curve.species[1], float(weights[1]), float(curve.fractions[1])
