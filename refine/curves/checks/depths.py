"""F(Q) and Q[S(Q)-1] taken for each other, told apart by the troughs of g(r)."""

from __future__ import annotations

from dataclasses import replace

from refine.curves.checks.common import FITTING, within
from refine.curves.checks.scale import scale_is_unknowable, scale_values
from refine.curves.checks.troughs import CLEAN_SHARE, RAISED, SMEARED, depths, scatters_with_one_sign
from refine.curves.curve import Curve
from refine.curves.quantities import QUANTITIES
from refine.errors import InputError

TELLING = (0.67, 1.5)
"""Near value of a reading that may be the right one: F(Q) that is three or four times too large is no Q[S(Q)-1]."""


def check_factor_of_q(curve: Curve) -> list[str]:
    """F(Q) and Q[S(Q)-1] taken for each other: what programs of the PDF community call F(Q) is Q[S(Q)-1].

    A reading with a factor of Q too many makes of every peak of g(r) a peak between two troughs far below zero; one
    with a factor too few smears them out, and D(r) becomes as negative as it is positive. Both need that all pairs
    scatter with one sign. A wrong scale does the like: the curve is refused only where the other reading has the right
    one, as far as that can be judged.
    """
    if curve.number_density is None or not scatters_with_one_sign(curve):
        return []
    product = QUANTITIES[curve.quantity].times_x == 1
    other = replace(curve, quantity="F(Q)" if product else "Q[S(Q)-1]", y=curve.y - (curve.quantity == "S(Q)"))
    here, there = depths(curve), depths(other)
    if not product and here.too_many:
        what = f"g(r) falls to {here.g:.1f}, where nothing below 0 is possible; as Q[S(Q)-1] to {there.g:.2f}"
    elif product and here.smeared > SMEARED:
        what = f"D(r) falls below zero by {here.smeared:.2f} of its highest peak; as F(Q) by {there.smeared:.2f} of it"
    elif product and here.g > RAISED:
        what = f"g(r) falls nowhere below {here.g:.2f}; as F(Q) it falls to {there.g:.2f}"
    else:
        return []
    scale = scale_values(other).get("near")
    if there.share >= -CLEAN_SHARE and (scale is None or TELLING[0] <= scale <= TELLING[1]):
        raise InputError(
            f"as {curve.quantity} {what}: the columns are {other.quantity}",
            where=curve.label,
            fix=f'declare quantity = "{other.quantity}"',
        )
    if product or scale is None or scale_is_unknowable(curve) or not within(FITTING, scale_values(curve)):
        return []  # of no scale, or too noisy for one, or doubted by `check_scale`
    return [
        f"{curve.label}: as {curve.quantity} {what}: neither name is right at this scale; check units and normalisation"
    ]
