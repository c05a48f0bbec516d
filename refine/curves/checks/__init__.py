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

from refine.curves.checks.depths import check_factor_of_q
from refine.curves.checks.limits import check_high_q_limit, check_high_r_limit, doubtful_sigma, unknown_q_range
from refine.curves.checks.scale import check_scale
from refine.curves.checks.units import (
    check_unit_of_intensity,
    refuse_far_distances,
    refuse_missing_deuterium,
    refuse_other_abscissa,
    refuse_other_cross_sections,
    refuse_self_scattering,
)
from refine.curves.curve import Curve


def check_curve(curve: Curve) -> list[str]:
    """Compare high-Q limit, low-r slope, high-r limit and unit of length of a curve with its declaration.

    What needs the number density or the composition is left out where that is unknown.

    Returns:
        Warnings, each a sentence with its numbers; empty where nothing looks odd.

    Raises:
        InputError: the numbers contradict the declaration beyond doubt; says which declaration fits.
    """
    if curve.in_q_space:
        refuse_other_abscissa(curve)
        refuse_self_scattering(curve)
        refuse_other_cross_sections(curve)
        refuse_missing_deuterium(curve)
        warnings = check_high_q_limit(curve) + check_unit_of_intensity(curve)
        if curve.quantity != "I(Q)":
            warnings += check_factor_of_q(curve)
    else:
        refuse_far_distances(curve)
        warnings = check_high_r_limit(curve) + unknown_q_range(curve)
    return doubtful_sigma(curve) + warnings + check_scale(curve)
