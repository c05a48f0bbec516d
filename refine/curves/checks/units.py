"""A curve in other units, or of another kind of number, than what is declared: refused with the remedy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from refine.curves.checks.common import FITTING, IMPOSSIBLE, MOST_ATOMS, canonical, settled, tail_of, within
from refine.curves.checks.scale import IN_A_BARN, floor_of_q_curve, in_words, scale_is_unknowable, scale_values
from refine.curves.curve import Curve
from refine.curves.weights import mean_square_amplitude
from refine.errors import InputError
from refine.formula import element_of
from refine.units import BARN_PER_FM2

Array = NDArray[np.float64]

SELF_FROM, SELF_FALL, SELF_SCATTER = 8.0, 1.5, 0.12
"""Self scattering is looked for in curves that reach this Q (1/Å), over whose last half <f^2> falls by this factor; the
ratio to it scatters, and differs from a number of atoms, by less than this share."""

LEAST_FLOOR = 0.3
"""Of -<b^2>: i(Q) of a condensed sample at low Q is at least so low, [1 - S(0)] <b>^2/<b^2>."""

LIGHT_FLOOR = 1.5
"""Times -<b^2>: data of light hydrogen, whose inelasticity is the largest, stay above."""

_HIGHEST_FIRST_PEAK = 12.0
"""1/Å; a strongest peak of S(Q) beyond would be a distance of half an ångström."""

_FARTHEST_Q = 120.0
"""1/Å; total scattering ends at 50, in rare cases at 100."""

_FARTHEST_R = 400.0
"""Å; the resolution of any instrument ends a curve before."""


def refuse_other_abscissa(curve: Curve) -> None:
    """Q in 1/nm, or an angle in place of Q: no structure of atoms has its strongest peak there."""
    distinct = canonical(curve)
    smooth = uniform_filter1d(distinct, size=max(1, len(distinct) // 100))
    peak = int(np.argmax(smooth))
    noise = float(smooth[tail_of(curve, 0.7)].std())
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


def refuse_far_distances(curve: Curve) -> None:
    """r in pm, which nothing else shows: g(r) is zero below 100, too."""
    if curve.x[-1] > _FARTHEST_R:
        raise InputError(
            f"r runs to {curve.x[-1]:.4g}, which in Å no instrument resolves: r seems to be in pm",
            where=curve.label,
            fix="divide the r column by 100 if it is in pm, and D(r) and T(r) by what their unit demands",
        )


def refuse_self_scattering(curve: Curve) -> None:
    """An intensity that follows <f^2> or <b^2> at high Q still has the scattering of each atom by itself in it."""
    if curve.pair is not None or curve.radiation is None or not curve.composition:
        return
    if curve.quantity == "I(Q)":
        return  # which has it; see `check_unit_of_intensity`
    tail = curve.x >= 0.5 * curve.x[-1]
    q, y = curve.x[tail], curve.y[tail]
    if len(q) < 5 or q[-1] < SELF_FROM:
        return
    alone = mean_square_amplitude(curve.fractions, curve.amplitudes(q))
    if not np.all(alone):
        return
    if curve.radiation == "neutron":
        if curve.normalisation != "keen":
            return  # a constant: S(Q), which tends to one, and an intensity in any unit look alike
        limit, ripple, amplitude = settled(curve, 0.7)
        atoms = limit / (BARN_PER_FM2 * float(alone[0]))
        follows = math.isfinite(limit) and abs(limit) > 2.0 * max(ripple, 0.03 * amplitude)
        both = BARN_PER_FM2 * float(curve.fractions @ curve.self_scattering())
        incoherent = both > (1.0 + SELF_SCATTER) * BARN_PER_FM2 * float(alone[0])
        nearer = follows and abs(limit / both - 1.0) < min(SELF_SCATTER, abs(atoms / max(1, round(atoms)) - 1.0))
        if incoherent and nearer:
            raise InputError(
                f"at high Q the curve tends to {limit:.3g}, and the scattering of each atom by itself, coherent and "
                f"incoherent, is {both:.3g} barn/sr: the curve is the whole intensity and not the distinct part",
                where=curve.label,
                fix=f"subtract {both:.4g}, with what inelasticity makes of it, at each Q, or declare quantity = "
                '"I(Q)", incoherent = true',
            )
    else:
        ratio = y / alone
        atoms = float(ratio.mean())
        follows = float(ratio.std()) < SELF_SCATTER * abs(atoms) and alone[0] > SELF_FALL * alone[-1]
    if not follows:  # of a curve that has not settled `atoms` is no number
        return
    nearest = max(1, round(atoms))
    if abs(atoms / nearest - 1.0) > SELF_SCATTER or nearest > MOST_ATOMS:
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
        + ', and declare quantity = "F(Q)", normalisation = "keen"; or declare quantity = "I(Q)" and what it is per',
    )


def check_unit_of_intensity(curve: Curve) -> list[str]:
    """I(Q) against what its atoms scatter by themselves, which it follows at high Q: doubts, or a refusal.

    Refused: an intensity per molecule where one per atom is declared, the other way round, or without its self part.
    Neutrons on hydrogen are only doubted: inelasticity takes more than half off their self part.
    """
    tail = curve.x >= 0.7 * curve.x[-1]
    if curve.quantity != "I(Q)" or curve.x[-1] < SELF_FROM or tail.sum() < 5:
        return []
    ratio = curve.y[tail] / curve.self_intensity(curve.x[tail])
    atoms, scatter = float(ratio.mean()), float(ratio.std())
    if abs(atoms / curve.per - 1.0) <= 2.0 * SELF_SCATTER + scatter / curve.per:
        return []
    seen = (
        f"at high Q the curve is {atoms:.2f} times what an atom scatters by itself, and per {curve.per:g} is declared"
    )
    if curve.radiation == "neutron" and "H" in map(element_of, curve.species):
        return [f"{curve.label}: {seen}; inelasticity of hydrogen, or another unit"]
    if abs(atoms) < 0.2:
        raise InputError(
            f"{seen}: it is the distinct part alone",
            where=curve.label,
            fix='declare quantity = "F(Q)", normalisation = "keen"',
        )
    nearest = max(1, round(atoms))
    if abs(atoms / nearest - 1.0) < SELF_SCATTER and scatter < SELF_SCATTER * atoms and nearest <= MOST_ATOMS:
        per = "atom" if nearest == 1 else f"unit of {nearest} atoms, such as a molecule"
        raise InputError(
            f"{seen}: it is per {per}, or of another scale",
            where=curve.label,
            fix=f"mend per, or divide the y column by {atoms / curve.per:.4g}",
        )
    return [f"{curve.label}: {seen}; check what is subtracted, the scale, and what it is per"]


def refuse_other_cross_sections(curve: Curve) -> None:
    """i(Q) in fm^2 or millibarn where barn is declared: 100 or 1000 times the number, and below the least possible,
    -<b^2>. S(Q) - 1 may be as large: where the density tells, a unit is named only if it gives the right scale."""
    if curve.normalisation != "keen" or curve.radiation != "neutron" or curve.quantity == "I(Q)":
        return
    floor = floor_of_q_curve(curve)
    if floor is None or floor < IMPOSSIBLE[1]:
        return
    near = None
    if curve.number_density is not None and not scale_is_unknowable(curve):
        near = scale_values(curve).get("near")
    fitting = [
        (unit, factor)
        for unit, factor in IN_A_BARN.items()
        if LEAST_FLOOR <= floor / factor <= FITTING[1] and (near is None or within(FITTING, {"near": near / factor}))
    ]
    if not fitting:
        return
    what = " or ".join(
        f"{floor / factor:.2f} times that in {unit} (1 barn = {factor} {unit})" for unit, factor in fitting
    )
    fix = " or ".join(
        f"divide the y column (and its errors) by {factor} if it is in {unit}" for unit, factor in fitting
    )
    seems = ": the curve is in " + " or ".join(unit for unit, _ in fitting)
    normalised = floor_of_q_curve(replace(curve, normalisation="faber-ziman")) if near is None else None
    if normalised is not None and normalised <= FITTING[1]:
        seems = f"{seems}, or is S(Q) - 1"
        fix = f'{fix}, or declare normalisation = "faber-ziman"'
    raise InputError(
        f"{curve.quantity} falls to {floor:.0f} times the lowest value possible in barn, and {what}{seems}",
        where=curve.label,
        fix=fix,
    )


def refuse_missing_deuterium(curve: Curve) -> None:
    """Neutrons of a deuterated sample declared with natural hydrogen."""
    if curve.radiation != "neutron" or curve.pair is not None:
        return
    if "H" not in map(element_of, curve.species) or "H" in map(element_of, curve.isotopes):
        return
    if curve.number_density is None or curve.normalisation != "keen":
        return
    heavy = replace(curve, isotopes={**curve.isotopes, "H": 2})
    declared, other = scale_values(curve), scale_values(heavy)
    excess = declared.get("floor", 1.0)
    if excess > LIGHT_FLOOR and "near" in other and within(FITTING, other):
        raise InputError(
            f"as {curve.quantity} of natural hydrogen i(Q) falls to {excess:.1f} times the lowest value possible; "
            f"with deuterium {in_words(heavy, other)}",
            where=curve.label,
            fix="declare isotopes = { H = 2 }, or the shares of H and D as { H = { 1 = 0.5, 2 = 0.5 } }",
        )
