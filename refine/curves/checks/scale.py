"""The scale of a curve, by what must happen at small and large r, and what it may be mistaken for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from refine.curves.checks.common import FITTING, IMPOSSIBLE, MOST_ATOMS, canonical, forbidden_below, tail_of, within
from refine.curves.checks.troughs import troubled
from refine.curves.curve import Curve
from refine.curves.quantities import Q_QUANTITIES, QUANTITIES, R_QUANTITIES, quantity_of, why_undefined
from refine.curves.weights import mean_amplitude, mean_square_amplitude, scatters_null, square_unit
from refine.errors import InputError

Array = NDArray[np.float64]

_LARGEST_NOISE = 0.1
"""A near value with a larger standard error (thin gases, noisy data) says nothing."""

_LARGEST_RIPPLE = 0.25
"""Likewise of a curve in r, that another declaration is believed for; from the ripple of the transform, each half wave
of which counts as independent. Two of it are what tells half of the scale from all."""

_NULL_SCATTERING = 0.05
"""Below this <b>^2/<b^2> the absolute scale is a small difference of large numbers (light water) and is not judged."""

ALIKE = 1.1
"""<Z^2>/<Z>^2 below which a scale does not tell one from the other."""

IN_A_BARN = {"fm^2": 100, "mb": 1000}
"""Units of cross sections that curves are also written in."""


def check_scale(curve: Curve) -> list[str]:
    """The near, far and floor values: doubts, or a refusal where another declaration fits."""
    if curve.number_density is None or scale_is_unknowable(curve):
        return []
    declared = scale_values(curve)
    if within(FITTING, declared):
        return []
    convention = f"{curve.quantity} in {curve.normalisation} at {curve.number_density:g} atoms/Å^3"
    seen = f"as {convention} {in_words(curve, declared)}"
    if not within(IMPOSSIBLE, declared):
        fitting = []
        for fix, other in _mistaken_for(curve):
            values = scale_values(other)
            told = values.keys() - {"floor"} and (not troubled(other) if other.in_q_space else smooth_near(other))
            if told and declared.keys() <= values.keys() and within(FITTING, values):
                fitting.append((fix, in_words(other, values)))
        if fitting:
            remedies = " or ".join(fix for fix, _ in fitting)
            raise InputError(f"{seen}; with the remedy {fitting[0][1]}", where=curve.label, fix=remedies)
    return [
        f"{curve.label}: {seen}; check normalisation, number density, composition and isotopes, or let the scale float "
        "(free_scale = true)"
    ]


def in_words(curve: Curve, values: dict[str, float]) -> str:
    """What the values mean, for a message."""
    parts = []
    if "near" in values and curve.in_q_space:
        parts.append(f"the low-r slope of D(r) is {values['near']:.2f} of the one that the density demands")
    elif "near" in values:
        parts.append(
            f"g(r) averages {1.0 - values['near']:.2f} up to {forbidden_below(curve):.2f} Å where 0 is expected"
        )
    if "far" in values:
        parts.append(f"g(r) tends to {values['far']:.2f} at large r where 1 is expected")
    if values.get("floor", 0.0) > FITTING[1]:
        parts.append(f"i(Q) falls to {values['floor']:.1f} times the lowest value possible")
    return " and ".join(parts)


LIKELIEST = ("F(Q)", "g(r)", "D(r)")
"""What columns are most often, before the others in the order of the table."""


def _rarity(quantity: str) -> int:
    return LIKELIEST.index(quantity) if quantity in LIKELIEST else len(LIKELIEST)


def _mistaken_for(curve: Curve) -> Iterator[tuple[str, Curve]]:
    """What else the columns may be, as (remedy, re-declared curve), the likeliest first."""
    if curve.in_q_space:
        yield "divide the Q column by 10", replace(curve, x=curve.x / 10.0)
    else:
        factor = 0.1 ** -quantity_of(curve.quantity, curve.normalisation).power_of_length
        yield "multiply the r column by 10", replace(curve, x=curve.x * 10.0, y=curve.y * factor)
    yield from _other_units(curve)
    over_square = curve.radiation == "xray" and curve.pair is None and len(curve.composition) > 1
    for normalisation in ("faber-ziman", "keen", *(["<f^2>"] if over_square else [])):
        if normalisation == "keen" and not curve.composition:
            continue
        for quantity in sorted(Q_QUANTITIES if curve.in_q_space else R_QUANTITIES, key=_rarity):
            if QUANTITIES[quantity].same_as is not None or QUANTITIES[quantity].offset == "self":
                continue
            if (quantity, normalisation) == (curve.quantity, curve.normalisation):
                continue
            if why_undefined(quantity, normalisation, curve.radiation, curve.pair) is None:
                fix = f'declare quantity = "{quantity}" and normalisation = "{normalisation}"'
                yield fix, replace(curve, quantity=quantity, normalisation=normalisation)
    yield from _by_electrons(curve)


def _by_electrons(curve: Curve) -> Iterator[tuple[str, Curve]]:
    """i(Q) of x-rays in electron units over the square of the electrons, which are f(0), or S(Q) - 1 times that."""
    quantity = QUANTITIES[curve.quantity]
    if curve.radiation != "xray" or not curve.composition or not curve.in_q_space or quantity.offset != "zero":
        return
    f = curve.amplitudes(np.zeros(1))
    square = float(mean_amplitude(curve.fractions, f)[0]) ** 2
    electrons = replace(curve, normalisation="keen")
    plain = within(FITTING, scale_values(electrons)) and not troubled(electrons)  # no factor is needed
    for name, value in (("<Z>^2", square), ("<Z^2>", float(mean_square_amplitude(curve.fractions, f)[0]))):
        if name == "<Z^2>" and value < ALIKE * square:
            continue  # of one element they are the same
        yield (
            f'multiply the y column by {value:.4g} and declare normalisation = "keen" if it is in electron units over '
            f"{name}",
            replace(curve, y=curve.y * value, normalisation="keen"),
        )
        if plain:
            continue
        yield (
            f'divide the y column by {value:.4g} and declare normalisation = "faber-ziman" if it is S(Q) - 1 times '
            f"{name}",
            replace(curve, y=curve.y / value, normalisation="faber-ziman"),
        )


def _other_units(curve: Curve) -> Iterator[tuple[str, Curve]]:
    """Cross sections per formula unit, of the whole sphere and in other units, for barn per atom and steradian."""
    if curve.normalisation != "keen":
        return
    units = (
        n
        for n in range(1, MOST_ATOMS + 1)
        if np.allclose(n * curve.fractions, np.round(n * curve.fractions), atol=0.01)
    )
    atoms = next(units, 1)
    if atoms > 1:
        yield f"divide the y column by {atoms} if it is per formula unit", replace(curve, y=curve.y / atoms)
    yield "divide the y column by 4π if it is of the whole sphere", replace(curve, y=curve.y / (4.0 * math.pi))
    for unit, factor in IN_A_BARN.items() if curve.radiation == "neutron" else ():
        yield f"divide the y column by {factor} if it is in {unit}", replace(curve, y=curve.y / factor)


def scale_values(curve: Curve) -> dict[str, float]:
    """The near, far and floor values of `refine.curves.checks`, as far as the curve's range gives them; 1 is right."""
    if curve.in_q_space:
        values = {"near": _near_of_q_curve(curve), "floor": floor_of_q_curve(curve)}
    else:
        values = {"near": _near_of_r_curve(curve), "far": _far_of_r_curve(curve)}
    return {name: value for name, value in values.items() if value is not None}


def floor_of_q_curve(curve: Curve) -> float | None:
    """The largest -i(Q), over five points, by its upper bound <f^2>, but at least 1: only an excess says something.

    Of the lower half of the range: at high Q that of x-rays is noise over a small number.
    """
    if curve.pair is not None or curve.radiation is None or not curve.composition:
        return None
    lower = curve.x <= max(0.5 * curve.x[-1], curve.x[min(4, len(curve.x) - 1)])
    q = curve.x[lower]
    f = curve.amplitudes(q)
    square = mean_square_amplitude(curve.fractions, f)
    if not np.all(square) or (curve.normalisation != "keen" and scatters_null(curve.fractions, f)):
        return None
    if curve.normalisation == "keen":
        bound = square * square_unit(curve.radiation)  # also where <f> is zero
    else:
        bound = square / mean_amplitude(curve.fractions, f) ** 2 * curve.distinct_factor(q)
    share = canonical(curve)[lower] / bound
    noise = float(np.diff(share, 2).std()) / math.sqrt(6.0 * 5.0) if len(share) > 4 else 0.0
    lowest = float(uniform_filter1d(share, size=5)[2:-2].min(initial=float(share[:5].mean())))
    return max(1.0, -lowest - 3.0 * noise)  # the lowest of hundreds of points is low by that much


def _near_of_q_curve(curve: Curve) -> float | None:
    """Least squares of D(r) against -4πρ r over small r; None where the Q range is too short or the noise too large.

    The mean of S(Q) - 1 at high Q is taken away first: a small offset, which is the other check's business, would be
    magnified at low r. Below the first Q the mean of the first three values is continued.
    """
    assert curve.number_density is not None
    q, r_high = curve.x, forbidden_below(curve)
    if q[-1] < 5.5 / r_high or q[0] > 2.5 * curve.number_density ** (1.0 / 3.0):
        return None
    factor = curve.distinct_factor(q)
    distinct = canonical(curve) / np.where(factor == 0.0, 1.0, factor)
    tail = tail_of(curve, 0.7)
    distinct = distinct - distinct[tail].mean()
    r = np.linspace(0.5, 1.0, 11) * r_high
    # near = weights @ distinct: the sine transform with the Lorch window, projected on -4πρ r
    projected = r @ np.sin(np.outer(r, q)) * q * np.sinc(q / q[-1])
    scale = -(2.0 / math.pi) / (4.0 * math.pi * curve.number_density * (r @ r))
    steps = np.gradient(q)
    steps[[0, -1]] *= 0.5
    weights = scale * projected * steps
    noise = float(np.diff(distinct[tail], 2).std()) / math.sqrt(6.0) if tail.sum() > 4 else math.inf
    if noise * float(np.sqrt(weights @ weights)) > _LARGEST_NOISE:
        return None
    below = np.linspace(0.0, q[0], 20)
    gap = np.trapezoid(r @ np.sin(np.outer(r, below)) * below, below) * distinct[:3].mean()
    return float(weights @ distinct + scale * gap)


def _near_of_r_curve(curve: Curve) -> float | None:
    r_high = forbidden_below(curve)
    inside = (curve.x >= 0.5 * r_high) & (curve.x <= r_high)
    if inside.sum() < 3:
        return None
    r = curve.x[inside]
    return float(((1.0 - pair_distribution(curve)[inside]) @ r**2) / (r @ r))


def smooth_near(curve: Curve) -> bool:
    """Whether the near value of a curve in r is told by its points, and is no accident of the transform's ripple."""
    near, r_high = _near_of_r_curve(curve), forbidden_below(curve)
    if near is None:
        return True
    inside = (curve.x >= 0.5 * r_high) & (curve.x <= r_high)
    r = curve.x[inside]
    ripple = (1.0 - pair_distribution(curve)[inside] - near) * r  # of D(r), over 4πρ
    waves = 1 + int(np.count_nonzero(np.diff(np.sign(ripple))))
    return bool(np.sqrt(ripple @ ripple / (r @ r) / waves) <= _LARGEST_RIPPLE)


def _far_of_r_curve(curve: Curve) -> float | None:
    assert curve.number_density is not None
    if curve.x[-1] < 3.0 * curve.number_density ** (-1.0 / 3.0):
        return None
    return float(pair_distribution(curve)[tail_of(curve, 0.6)].mean())


def pair_distribution(curve: Curve) -> Array:
    """g(r) = 1 + D(r)/(4πρ k r); one at r = 0, where it is 0/0."""
    assert curve.number_density is not None
    uniform = 4.0 * math.pi * curve.number_density * curve.x * curve.distinct_factor(0.0)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(curve.x > 0.0, 1.0 + canonical(curve) / uniform, 1.0)


def scale_is_unknowable(curve: Curve) -> bool:
    """Whether the factor of the declared normalisation is unknown, depends on Q in r space, or nearly vanishes."""
    depends_on_q = curve.radiation == "xray" and not curve.in_q_space
    if curve.normalisation != "faber-ziman" and (depends_on_q or not curve.composition):
        return True
    if curve.radiation != "neutron" or curve.pair is not None or not curve.composition:
        return False
    lengths = curve.amplitudes(curve.x[:1])
    mean, square = mean_amplitude(curve.fractions, lengths)[0], mean_square_amplitude(curve.fractions, lengths)[0]
    return bool(mean**2 < _NULL_SCATTERING * square)
