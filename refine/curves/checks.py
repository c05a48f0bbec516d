"""Does a curve agree with what it is declared to be? Physics that needs no model, as warnings or refusals with numbers.

Some numbers are known of every total or partial pair distribution function, whatever the material:

- far: S(Q) -> 1 and i(Q) -> 0 at high Q, g(r) -> 1 at large r;
- near: g(r) = 0 below the shortest distance, so that D(r) = -4πρ k r there. "near" is 1 - g(r) averaged over small r,
  for a curve in Q after a transform with the Lorch window: 1 if scale, normalisation and density are right;
- floor: the coherent intensity is not negative, so that i(Q) >= -<f^2> at every Q (in units of <f>^2 where it is
  normalised);
- self: an intensity that follows <f^2> at high Q has not had the scattering of the single atoms taken off;
- depths: g(r) >= 0, so that its peaks do not stand between troughs; this tells F(Q) from Q[S(Q)-1], two things that go
  by the first name.

They are computed for the curve as declared and as the things that it may be mistaken for. Where the declaration fails
clearly and another one fits, the curve is refused with the other's name; where it merely looks odd, a warning gives the
number. Good measurements (liquid argon, glasses of SiO2 and GeO2, amorphous Si, heavy water; neutrons and x-rays) have
a near value of 0.85 to 1.09, so a scale is doubted outside `FITTING` and refused only outside `IMPOSSIBLE`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from refine.curves.curve import Curve, why_undefined
from refine.curves.weights import amplitudes, mean_amplitude, mean_square_amplitude
from refine.errors import InputError
from refine.units import BARN_PER_FM2

Array = NDArray[np.float64]

FITTING = (0.8, 1.25)
"""A near or far value inside is as good as absolute scales get; outside it is doubted."""
IMPOSSIBLE = (0.5, 2.0)
"""Outside, the declaration is refused if another one fits."""

SELF_FROM, SELF_FALL, SELF_SCATTER, MOST_ATOMS = 8.0, 1.5, 0.12, 60
"""Self scattering is looked for in curves that reach this Q (1/Å), over whose last half <f^2> falls by this factor; the
ratio to it scatters, and differs from a number of atoms, by less than this share; and this is the largest molecule."""

LEAST_FLOOR = 0.3
"""Of -<b^2>: i(Q) of a condensed sample at low Q is at least so low, [1 - S(0)] <b>^2/<b^2>."""

LIGHT_FLOOR = 1.5
"""Times -<b^2>: data of light hydrogen, whose inelasticity is the largest, stay above."""

TROUGH, TROUGH_SHARE, CLEAN_SHARE = 1.0, 0.2, 0.16
"""How far g(r) falls below 0, and T(r) as a share of its highest peak, in a reading with a factor of Q too many; and
how far T(r) may fall in one that is right. Right ones (argon, silica, GeO2, heavy water, amorphous silicon, synthetic
liquids and networks cut at 0.3 to 1.25 1/Å) have 0.15 and less, wrong ones 0.23 to 0.43."""

SMEARED, RAISED = 0.9, 0.2
"""In a reading with a factor of Q too few D(r) falls below zero by this share of its highest peak or more, or g(r) does
not fall to this number anywhere."""

TELLING = (0.67, 1.5)
"""Near value of a reading that may be the right one: F(Q) that is three or four times too large is no Q[S(Q)-1]."""

DEPTHS_TO = 8.0
"""Å."""

_SHORTEST_BOND = 0.9
"""Å; no two atoms are closer, hydrogen aside."""
_SHORTEST_HYDROGEN_BOND = 0.55
"""Å."""
_HIGHEST_FIRST_PEAK = 12.0
"""1/Å; a strongest peak of S(Q) beyond would be a distance of half an ångström."""
_FARTHEST_Q = 120.0
"""1/Å; total scattering ends at 50, in rare cases at 100."""
USUAL_Q_MAX = 20.0
"""1/Å, of a transform whose range is not known, to say what that means."""

_LARGEST_NOISE = 0.1
"""A near value with a larger standard error (thin gases, noisy data) says nothing."""
_NULL_SCATTERING = 0.05
"""Below this <b>^2/<b^2> the absolute scale is a small difference of large numbers (light water) and is not judged."""


def check_curve(curve: Curve) -> list[str]:
    """Compare high-Q limit, low-r slope, high-r limit and unit of length of a curve with its declaration.

    What needs the number density or the composition is left out where that is unknown.

    Returns:
        Warnings, each a sentence with its numbers; empty where nothing looks odd.

    Raises:
        InputError: the numbers contradict the declaration beyond doubt; says which declaration fits.
    """
    if curve.in_q_space:
        _refuse_other_abscissa(curve)
        _refuse_self_scattering(curve)
        _refuse_square_femtometres(curve)
        _refuse_missing_deuterium(curve)
        warnings = _check_high_q_limit(curve) + _check_factor_of_q(curve)
    else:
        warnings = _check_high_r_limit(curve) + _unknown_q_range(curve)
    return _doubtful_sigma(curve) + warnings + _check_scale(curve)


def _unknown_q_range(curve: Curve) -> list[str]:
    """Says of a partial without a Q range what that may cost: the curve cut at `USUAL_Q_MAX`, against itself."""
    if curve.q_max is not None or curve.pair is None or curve.number_density is None:
        return []
    r = curve.x
    total = _canonical(curve) + 4.0 * math.pi * curve.number_density * r
    d = total - 4.0 * math.pi * curve.number_density * r
    q = np.linspace(0.0, USUAL_Q_MAX, 400)
    sines = np.sin(np.outer(q, r))
    cut = (2.0 / math.pi) * np.trapezoid(sines.T * np.trapezoid(sines * d, r, axis=1), q, axis=1)
    change = float(np.sqrt(np.mean((cut - d) ** 2) / np.mean(total**2)))
    return [
        f"{curve.label}: the Q range of the transform behind it is not known, and the model is compared without one; "
        f"had it ended at {USUAL_Q_MAX:g} 1/Å, the model would differ by an R_chi of about {change:.3f}: give q_range"
    ]


def _doubtful_sigma(curve: Curve) -> list[str]:
    if curve.sigma is None:
        return []
    zeros = np.flatnonzero((curve.sigma == 0) & (curve.x > 0))
    if len(zeros) == 0:
        return []
    return [
        f"{curve.label}: sigma is 0 at {len(zeros)} of {len(curve.x)} points, first at x = {curve.x[zeros[0]]:g}; such "
        "points were usually not measured: leave them out of the fitted range"
    ]


# --- limits that need neither density nor composition -----------------------------------------------------------------


def _refuse_other_abscissa(curve: Curve) -> None:
    """Q in 1/nm, or an angle in place of Q: no structure of atoms has its strongest peak there."""
    distinct = _canonical(curve)
    smooth = uniform_filter1d(distinct, size=max(1, len(distinct) // 100))
    peak = int(np.argmax(smooth))
    noise = float(smooth[_tail(curve, 0.7)].std())
    seen = ""
    if curve.x[peak] > _HIGHEST_FIRST_PEAK and smooth[peak] > 6.0 * noise:
        distance = 2.0 * math.pi / curve.x[peak]
        seen = (
            f"the strongest peak lies at Q = {curve.x[peak]:.3g}, which in 1/Å would be a distance of {distance:.2f} Å"
        )
    elif curve.x[-1] > _FARTHEST_Q:
        seen = f"Q runs to {curve.x[-1]:.4g}, which in 1/Å no instrument measures"
    if seen:
        raise InputError(
            f"{seen}: Q seems to be in 1/nm, or to be the angle 2θ in degrees",
            where=curve.label,
            fix="divide the Q column by 10 if it is in 1/nm; of an angle give Q = 4π sin(θ)/λ",
        )


def _refuse_self_scattering(curve: Curve) -> None:
    """An intensity that follows <f^2> or <b^2> at high Q still has the scattering of each atom by itself in it."""
    if curve.pair is not None or curve.radiation is None or not curve.composition:
        return
    tail = curve.x >= 0.5 * curve.x[-1]
    q, y = curve.x[tail], curve.y[tail]
    if len(q) < 5 or q[-1] < SELF_FROM:
        return
    alone = mean_square_amplitude(curve.fractions, _amplitudes(curve, q))
    if curve.radiation == "neutron":
        if curve.normalisation != "keen":
            return  # a constant: S(Q), which tends to one, and an intensity in any unit look alike
        limit, ripple, amplitude = _settled(curve, 0.7)
        atoms = limit / (BARN_PER_FM2 * float(alone[0]))
        follows = math.isfinite(limit) and abs(limit) > 2.0 * max(ripple, 0.03 * amplitude)
    else:
        ratio = y / alone
        atoms = float(ratio.mean())
        follows = float(ratio.std()) < SELF_SCATTER * abs(atoms) and alone[0] > SELF_FALL * alone[-1]
    nearest = max(1, round(atoms))
    if not follows or abs(atoms / nearest - 1.0) > SELF_SCATTER or nearest > MOST_ATOMS:
        return
    mean = "<f^2>" if curve.radiation == "xray" else "<b^2>"
    per = "atom" if nearest == 1 else f"unit of {nearest} atoms, such as a molecule,"
    times = "" if nearest == 1 else f"{nearest} times "
    raise InputError(
        f"at high Q the curve follows {times}{mean} (mean ratio {atoms:.2f} from {q[0]:.3g} 1/Å on): it is the whole "
        f"intensity, self + distinct scattering, per {per} and not {curve.quantity}, which has the distinct part only",
        where=curve.label,
        fix=f"subtract {times}{mean} at each Q"
        + ("" if nearest == 1 else f", divide by {nearest}")
        + ', and declare quantity = "F(Q)", normalisation = "keen"',
    )


def _refuse_square_femtometres(curve: Curve) -> None:
    """i(Q) in fm^2 where barn is declared: 100 times the number, and below the least that is possible, -<b^2>."""
    if curve.normalisation != "keen" or curve.radiation != "neutron":
        return
    floor = _floor_of_q_curve(curve)
    if floor is None or floor < IMPOSSIBLE[1]:
        return
    least = floor / 100.0
    if not LEAST_FLOOR <= least <= FITTING[1]:
        return
    raise InputError(
        f"{curve.quantity} falls to {floor:.0f} times the lowest value possible in barn, and {least:.2f} times that "
        "in fm^2 (1 barn = 100 fm^2): the curve is in fm^2",
        where=curve.label,
        fix="divide the y column (and its errors) by 100",
    )


def _refuse_missing_deuterium(curve: Curve) -> None:
    """Neutrons of a deuterated sample declared with natural hydrogen."""
    if curve.radiation != "neutron" or "H" not in curve.species or "H" in curve.isotopes or curve.pair is not None:
        return
    if curve.number_density is None or curve.normalisation != "keen":
        return
    heavy = replace(curve, isotopes={**curve.isotopes, "H": 2})
    declared, other = _scale_values(curve), _scale_values(heavy)
    excess = declared.get("floor", 1.0)
    if excess > LIGHT_FLOOR and "near" in other and _within(FITTING, other):
        raise InputError(
            f"as {curve.quantity} of natural hydrogen i(Q) falls to {excess:.1f} times the lowest value possible; "
            f"with deuterium {_words(heavy, other)}",
            where=curve.label,
            fix="declare isotopes = { H = 2 }",
        )


def _check_factor_of_q(curve: Curve) -> list[str]:
    """F(Q) and Q[S(Q)-1] taken for each other: what programs of the PDF community call F(Q) is Q[S(Q)-1].

    A reading with a factor of Q too many makes of every peak of g(r) a peak between two troughs far below zero; one
    with a factor too few smears them out, and D(r) becomes as negative as it is positive. Both need that all pairs
    scatter with one sign. A wrong scale does the like: the curve is refused only where the other reading has the right
    one, as far as that can be judged.
    """
    if curve.number_density is None or not _scatters_with_one_sign(curve):
        return []
    product = curve.quantity == "Q[S(Q)-1]"
    other = replace(curve, quantity="F(Q)" if product else "Q[S(Q)-1]", y=curve.y - (curve.quantity == "S(Q)"))
    here, there = _depths(curve), _depths(other)
    if not product and here.g < -TROUGH and here.share < -TROUGH_SHARE:
        what = f"g(r) falls to {here.g:.1f}, where nothing below 0 is possible; as Q[S(Q)-1] to {there.g:.2f}"
    elif product and here.smeared > SMEARED:
        what = f"D(r) falls below zero by {here.smeared:.2f} of its highest peak; as F(Q) by {there.smeared:.2f} of it"
    elif product and here.g > RAISED:
        what = f"g(r) falls nowhere below {here.g:.2f}; as F(Q) it falls to {there.g:.2f}"
    else:
        return []
    scale = _scale_values(other).get("near")
    if there.share >= -CLEAN_SHARE and (scale is None or TELLING[0] <= scale <= TELLING[1]):
        raise InputError(
            f"as {curve.quantity} {what}: the columns are {other.quantity}",
            where=curve.label,
            fix=f'declare quantity = "{other.quantity}"',
        )
    if product or scale is None or _scale_is_unknowable(curve) or not _within(FITTING, _scale_values(curve)):
        return []  # of no scale, or too noisy for one, or doubted by `_check_scale`
    return [
        f"{curve.label}: as {curve.quantity} {what}: neither name is right at this scale; check units and normalisation"
    ]


def _scatters_with_one_sign(curve: Curve) -> bool:
    """Whether no pair's weight is negative: else g(r) of the total may be."""
    if curve.pair is not None or curve.radiation == "xray":
        return True
    return bool(curve.composition) and bool((_amplitudes(curve, curve.x[:1]) > 0.0).all())


@dataclass(frozen=True)
class _Depths:
    """Beyond the shortest bond: lowest g(r), lowest T(r) as a share of the highest, and -D(r) likewise."""

    g: float
    share: float
    smeared: float


def _depths(curve: Curve) -> _Depths:
    """Of a curve in Q.

    With the Lorch window, the mean at high Q taken away, and the first values continued to Q = 0.
    """
    assert curve.number_density is not None
    q, factor = curve.x, curve.distinct_factor(curve.x)
    distinct = _canonical(curve) / np.where(factor == 0.0, 1.0, factor)
    distinct = distinct - distinct[_tail(curve, 0.7)].mean()
    r = np.arange(_forbidden_below(curve), DEPTHS_TO, 0.25 / q[-1] if q[-1] > 5.0 else 0.05)
    steps = np.gradient(q)
    steps[[0, -1]] *= 0.5
    below = np.linspace(0.0, q[0], 20)
    gap = np.trapezoid(np.sin(np.outer(r, below)) * below, below) * distinct[:3].mean()
    d = (2.0 / math.pi) * (np.sin(np.outer(r, q)) @ (q * np.sinc(q / q[-1]) * steps * distinct) + gap)
    uniform = 4.0 * math.pi * curve.number_density * r
    total = d + uniform
    smeared = float(-d.min() / d.max()) if d.max() > 0.0 else math.inf
    return _Depths(float((total / uniform).min()), float(total.min() / total.max()), smeared)


def _check_high_q_limit(curve: Curve) -> list[str]:
    limit, ripple, amplitude = _settled(curve, 0.7)
    if not math.isfinite(limit):
        return []
    start = curve.x[_tail(curve, 0.7)][0]
    seen = f"{curve.quantity} tends to {limit:.3f} at high Q (mean over {start:.3g} to {curve.x[-1]:.3g} 1/Å)"
    expected = 1.0 if curve.quantity == "S(Q)" else 0.0
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


def _check_high_r_limit(curve: Curve) -> list[str]:
    if curve.quantity not in ("g(r)", "G(r)", "D(r)"):
        return []
    limit, ripple, _ = _settled(curve, 0.6)
    if not math.isfinite(limit):
        return []
    start = curve.x[_tail(curve, 0.6)][0]
    seen = f"{curve.quantity} tends to {limit:.3f} at large r (mean over {start:.3g} to {curve.x[-1]:.3g} Å)"
    expected, other = (1.0, "G(r)") if curve.quantity == "g(r)" else (0.0, "g(r)")
    if abs(limit - (1.0 - expected)) < 0.2:
        raise InputError(
            f"{seen}, but {curve.quantity} tends to {expected:g}: this looks like {other}",
            where=curve.label,
            fix=f'declare quantity = "{other}"' + (" and its normalisation" if other == "G(r)" else ""),
        )
    if abs(limit - expected) > max(0.5 * ripple, 0.05):
        return [f"{curve.label}: {seen}, but {expected:g} is expected"]
    return []


def _settled(curve: Curve, start: float) -> tuple[float, float, float]:
    """Mean and rms ripple of y beyond `start` times the last x, and the amplitude before; nan where still in motion.

    A curve that is cut before its structure has died away has no limit to be judged by.
    """
    tail = _tail(curve, start)
    limit, ripple = float(curve.y[tail].mean()), float(curve.y[tail].std())
    amplitude = float(np.abs(curve.y[~tail] - limit).max(initial=0.0))
    highest = int(np.argmax(curve.y))
    still_in_motion = curve.x[tail][0] < 1.5 * curve.x[highest]
    if tail.sum() < 3 or still_in_motion or ripple > 0.3 * amplitude or curve.y[highest] - limit < 3.0 * ripple:
        return math.nan, ripple, amplitude
    return limit, ripple, amplitude


# --- scale, by what must happen at small and large r ------------------------------------------------------------------


def _check_scale(curve: Curve) -> list[str]:
    if curve.number_density is None or _scale_is_unknowable(curve):
        return []
    declared = _scale_values(curve)
    if _within(FITTING, declared):
        return []
    seen = (
        f"as {curve.quantity} in {curve.normalisation} at {curve.number_density:g} atoms/Å^3 {_words(curve, declared)}"
    )
    if not _within(IMPOSSIBLE, declared):
        fitting = []
        for fix, other in _mistaken_for(curve):
            values = _scale_values(other)
            if declared.keys() <= values.keys() and _within(FITTING, values):
                fitting.append((fix, _words(other, values)))
        if fitting:
            remedies = " or ".join(fix for fix, _ in fitting)
            raise InputError(f"{seen}; with the remedy {fitting[0][1]}", where=curve.label, fix=remedies)
    return [
        f"{curve.label}: {seen}; check normalisation, number density, composition and isotopes, or let the scale float "
        "(free_scale = true)"
    ]


def _within(limits: tuple[float, float], values: dict[str, float]) -> bool:
    return all(limits[0] <= value <= limits[1] for value in values.values())


def _words(curve: Curve, values: dict[str, float]) -> str:
    parts = []
    if "near" in values and curve.in_q_space:
        parts.append(f"the low-r slope of D(r) is {values['near']:.2f} of the one that the density demands")
    elif "near" in values:
        parts.append(
            f"g(r) averages {1.0 - values['near']:.2f} up to {_forbidden_below(curve):.2f} Å where 0 is expected"
        )
    if "far" in values:
        parts.append(f"g(r) tends to {values['far']:.2f} at large r where 1 is expected")
    if values.get("floor", 0.0) > FITTING[1]:
        parts.append(f"i(Q) falls to {values['floor']:.1f} times the lowest value possible")
    return " and ".join(parts)


def _mistaken_for(curve: Curve) -> Iterator[tuple[str, Curve]]:
    """What else the columns may be, as (remedy, re-declared curve), the likeliest first."""
    if curve.in_q_space:
        quantities: tuple[str, ...] = ("F(Q)", "S(Q)", "Q[S(Q)-1]")
        yield "divide the Q column by 10", replace(curve, x=curve.x / 10.0)
    else:
        quantities = ("g(r)", "D(r)", "G(r)", "T(r)", "J(r)")
        # 1/length^2 for D and T, 1/length for J; g(r) and Keen's G(r) have no length in them.
        inverse_lengths = {"D(r)": 2, "T(r)": 2, "J(r)": 1, "G(r)": 0 if curve.normalisation == "keen" else 2}
        factor = 0.1 ** inverse_lengths.get(curve.quantity, 0)
        yield "multiply the r column by 10", replace(curve, x=curve.x * 10.0, y=curve.y * factor)
    yield from _other_units(curve)
    for normalisation in ("faber-ziman", "keen"):
        if normalisation == "keen" and not curve.composition:
            continue
        for quantity in quantities:
            if (quantity, normalisation) == (curve.quantity, curve.normalisation):
                continue
            if why_undefined(quantity, normalisation, curve.radiation, curve.pair) is None:
                fix = f'declare quantity = "{quantity}" and normalisation = "{normalisation}"'
                yield fix, replace(curve, quantity=quantity, normalisation=normalisation)


def _other_units(curve: Curve) -> Iterator[tuple[str, Curve]]:
    """Cross sections per formula unit and of the whole sphere, for those per atom and steradian."""
    if curve.normalisation != "keen" or curve.quantity not in ("F(Q)", "i(Q)", "Q[S(Q)-1]"):
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


def _scale_values(curve: Curve) -> dict[str, float]:
    """The near, far and floor values of the module docstring, as far as the curve's range gives them; 1 is right."""
    if curve.in_q_space:
        values = {"near": _near_of_q_curve(curve), "floor": _floor_of_q_curve(curve)}
    else:
        values = {"near": _near_of_r_curve(curve), "far": _far_of_r_curve(curve)}
    return {name: value for name, value in values.items() if value is not None}


def _floor_of_q_curve(curve: Curve) -> float | None:
    """The largest -i(Q), over five points, by its upper bound <f^2>, but at least 1: only an excess says something.

    Of the lower half of the range: at high Q that of x-rays is noise over a small number.
    """
    if curve.pair is not None or curve.radiation is None or not curve.composition:
        return None
    lower = curve.x <= max(0.5 * curve.x[-1], curve.x[min(4, len(curve.x) - 1)])
    q = curve.x[lower]
    f = _amplitudes(curve, q)
    bound = mean_square_amplitude(curve.fractions, f) / mean_amplitude(curve.fractions, f) ** 2
    factor = curve.distinct_factor(q)
    share = _canonical(curve)[lower] / np.where(factor == 0.0, 1.0, factor) / bound
    noise = float(np.diff(share, 2).std()) / math.sqrt(6.0 * 5.0) if len(share) > 4 else 0.0
    lowest = float(uniform_filter1d(share, size=5)[2:-2].min(initial=float(share[:5].mean())))
    return max(1.0, -lowest - 3.0 * noise)  # the lowest of hundreds of points is low by that much


def _near_of_q_curve(curve: Curve) -> float | None:
    """Least squares of D(r) against -4πρ r over small r; None where the Q range is too short or the noise too large.

    The mean of S(Q) - 1 at high Q is taken away first: a small offset, which is the other check's business, would be
    magnified at low r. Below the first Q the mean of the first three values is continued.
    """
    assert curve.number_density is not None
    q, r_high = curve.x, _forbidden_below(curve)
    if q[-1] < 5.5 / r_high or q[0] > 2.5 * curve.number_density ** (1.0 / 3.0):
        return None
    factor = curve.distinct_factor(q)
    distinct = _canonical(curve) / np.where(factor == 0.0, 1.0, factor)
    tail = _tail(curve, 0.7)
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
    r_high = _forbidden_below(curve)
    inside = (curve.x >= 0.5 * r_high) & (curve.x <= r_high)
    if inside.sum() < 3:
        return None
    r = curve.x[inside]
    return float(((1.0 - _pair_distribution(curve)[inside]) @ r**2) / (r @ r))


def _far_of_r_curve(curve: Curve) -> float | None:
    assert curve.number_density is not None
    if curve.x[-1] < 3.0 * curve.number_density ** (-1.0 / 3.0):
        return None
    return float(_pair_distribution(curve)[_tail(curve, 0.6)].mean())


def _pair_distribution(curve: Curve) -> Array:
    """g(r) = 1 + D(r)/(4πρ k r); one at r = 0, where it is 0/0."""
    assert curve.number_density is not None
    uniform = 4.0 * math.pi * curve.number_density * curve.x * curve.distinct_factor(0.0)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(curve.x > 0.0, 1.0 + _canonical(curve) / uniform, 1.0)


def _canonical(curve: Curve) -> Array:
    """i(Q) or D(r) in the curve's normalisation, (n,); zero at x = 0 where the quantity does not tell."""
    form = curve.form(curve.quantity, curve.normalisation, curve.x)
    with np.errstate(invalid="ignore"):
        values = (curve.y - form.offset) * form.gain
    return np.where(np.isfinite(values), values, 0.0)


def _scale_is_unknowable(curve: Curve) -> bool:
    """Whether the factor of the declared normalisation is unknown, depends on Q in r space, or nearly vanishes."""
    depends_on_q = curve.radiation == "xray" and not curve.in_q_space
    if curve.normalisation != "faber-ziman" and (depends_on_q or not curve.composition):
        return True
    if curve.radiation != "neutron" or curve.pair is not None or not curve.composition:
        return False
    lengths = _amplitudes(curve, curve.x[:1])
    mean, square = mean_amplitude(curve.fractions, lengths)[0], mean_square_amplitude(curve.fractions, lengths)[0]
    return bool(mean**2 < _NULL_SCATTERING * square)


def _amplitudes(curve: Curve, q: Array) -> Array:
    assert curve.radiation is not None
    isotopes = {element: number for element, number in curve.isotopes.items() if element in curve.species}
    charges = {element: charge for element, charge in curve.charges.items() if element in curve.species}
    return amplitudes(curve.radiation, curve.species, q, isotopes=isotopes, charges=charges)


def _forbidden_below(curve: Curve) -> float:
    """Å; no two atoms come closer: a bond length, or less than half the mean distance of a dense material."""
    assert curve.number_density is not None
    species = curve.pair or curve.species
    bond = _SHORTEST_HYDROGEN_BOND if "H" in species or not species else _SHORTEST_BOND
    return min(bond, 0.45 * curve.number_density ** (-1.0 / 3.0))


def _tail(curve: Curve, start: float) -> NDArray[np.bool_]:
    return np.asarray(curve.x >= start * curve.x[-1])
