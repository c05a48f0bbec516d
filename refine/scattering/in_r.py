"""A curve measured in r: compared as it is, on points that the box can reach."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refine.scattering.bound import BoundCurve
from refine.scattering.compared import Fit, Measurement
from refine.scattering.errors import estimated_r_sigma, regular, stated_sigma
from refine.scattering.images import r_as_box_shows
from refine.scattering.operator import CurveOperator, bracketing
from refine.scattering.points import fitted_r

Array = NDArray[np.float64]


class InR:
    """Comparisons of a curve that is a function of r.

    Args:
        bound: the curve and its box.
    """

    def __init__(self, bound: BoundCurve) -> None:
        self.bound = bound

    @cached_property
    def as_box_shows(self) -> Array:
        """(n,) the curve, in declared units, with the periodic images of the box."""
        return r_as_box_shows(self.bound)

    def operator(self, r: Array) -> CurveOperator:
        """The declared quantity on r (n,)."""
        form = self.bound.form(r)
        return self.bound.r_operator(r, self.bound.factor, form.scale, form.offset)

    @property
    def level(self) -> float:
        """What T(r) of the declared normalisation is divided by to be Faber-Ziman: k, where it does not depend on Q."""
        factor = self.bound.factor
        return float(factor[0]) if np.ptp(factor) == 0.0 else 1.0

    def total(self, r: Array) -> CurveOperator:
        """T(r) on r (n,): of the curve's own k(Q), divided by k where k does not depend on Q.

        Between the measured points both sides are interpolated: a line over 0.05 Å misses the crest of a ripple of
        Q_max = 20 1/Å by an eighth.
        """
        nodes = bracketing(self.bound.curve.x, r)
        factor, ideal = self.bound.factor / self.level, self.bound.ideal(nodes)
        return self.bound.r_operator(nodes, factor, np.ones(len(nodes)), ideal).interpolated(r)

    def total_values(self, r: Array) -> Array:
        """Measured T(r) on the points r (n,), as the periodic box would show it."""
        form = self.bound.form(self.bound.curve.x)
        d = np.divide(
            self.as_box_shows - form.offset, form.scale, out=np.zeros_like(form.offset), where=form.scale > 0.0
        )
        return np.interp(r, self.bound.curve.x, d / self.level) + self.bound.ideal(r)

    def measurement(self, r: Array) -> Measurement:
        """All comparisons; r (m,) Å are the points of R_chi."""
        whole = self.bound.curve
        curve = whole.cropped(0.0, self.bound.box.r_max)
        shown = self.operator(curve.x)
        return Measurement(
            curve=whole,
            shown=shown,
            shown_values=curve.y,
            shown_sigma=curve.sigma,
            cut=None,
            in_box=shown,
            in_box_values=np.interp(curve.x, whole.x, self.as_box_shows),
            r=r,
            total=self.total(r),
            total_values=self.total_values(r),
            shown_background=np.zeros((len(curve.x), 0)),
            in_box_background=np.zeros((len(curve.x), 0)),
            total_background=np.zeros((len(r), 0)),
        )

    def fit(self, limits: tuple[float, float]) -> Fit:
        """The declared quantity within the limits, Å; 0.1 Å apart or as measured where Q_max is not known."""
        bound, curve = self.bound, self.bound.curve
        q_max = curve.q_max or math.pi / max(0.1, bound.spacing())
        r = fitted_r(curve, bound.box, limits, q_max, bound.where)
        operator = self.operator(bracketing(curve.x, r)).interpolated(r)
        values = np.interp(r, curve.x, self.as_box_shows)
        stated = stated_sigma(curve)
        if stated is None:
            covariance = np.eye(len(r)) * estimated_r_sigma(bound) ** 2
        else:
            covariance = np.diag(np.interp(r, curve.x, stated) ** 2)
        words = f"{curve.quantity}, r = {limits[0]:g} to {limits[1]:g} Å, {len(r)} points"
        return Fit(operator, values, regular(covariance), stated is not None, words)
