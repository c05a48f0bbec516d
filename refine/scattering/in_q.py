"""A curve measured in Q: compared in Q through the r range of the box, and in r as T(r) through its Q range."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refine.curves.transforms import q_to_r_matrix, r_to_q_matrix
from refine.scattering.bound import BoundCurve
from refine.scattering.compared import Cut, Fit, Measurement
from refine.scattering.errors import estimated_q_sigma, regular, stated_sigma
from refine.scattering.images import q_as_box_shows
from refine.scattering.operator import CurveOperator
from refine.scattering.points import fitted_q, fitted_r, nyquist_q

Array = NDArray[np.float64]


class InQ:
    """Comparisons of a curve that is a function of Q.

    Args:
        bound: the curve and its box.
        modes: (nq, k) of a background, on the measured Q, in the declared quantity.
    """

    def __init__(self, bound: BoundCurve, modes: Array) -> None:
        self.bound, self.modes = bound, modes

    @cached_property
    def as_box_shows(self) -> Array:
        """(nq, nq): from the measured S(Q) - 1 to what the periodic box would show of the measured system."""
        return q_as_box_shows(self.bound)

    def box_filter(self, q_out: Array) -> Array:
        """(n_out, nq): S(Q) - 1 on the measured Q -> to r, tapered at the box -> back to Q."""
        box = self.bound.box
        per_bin = 4.0 * math.pi * box.number_density * box.centres
        to_r = q_to_r_matrix(self.bound.curve.x, box.centres) / per_bin[:, None]
        return r_to_q_matrix(box.edges, q_out, box.number_density, of="samples") @ (box.taper[:, None] * to_r)

    def operator(self, q: Array) -> tuple[CurveOperator, Array]:
        """The declared quantity at q (n,) through the box filter; and the filter (n, nq)."""
        factor, baseline = self.bound.q_form(q)
        back = self.box_filter(q)
        acts = factor[:, None, None] * np.einsum("ij,jpb->ipb", back, self.bound.distinct, optimize=True)
        return CurveOperator.from_g(q, acts, baseline, baseline, self.bound.box), back

    def total(self, r: Array) -> CurveOperator:
        """T(r), Faber-Ziman, through the curve's Q range and window."""
        factor = np.ones_like(self.bound.factor)
        return self.bound.r_operator(r, factor, np.ones(len(r)), self.bound.ideal(r))

    def measurement(self, r: Array) -> Measurement:
        """All comparisons; r (m,) Å are the points of R_chi."""
        bound = self.bound
        curve, box, q = bound.curve, bound.box, bound.curve.x
        factor, baseline = bound.q_form(q)
        to_r, unit = q_to_r_matrix(q, r, curve.window), bound.unit()
        measured = self.as_box_shows @ bound.measured_distinct()
        modes = unit[:, None] * self.modes  # in S(Q) - 1
        boxed = self.as_box_shows @ modes
        in_box, back = self.operator(q)
        return Measurement(
            curve=curve,
            shown=CurveOperator.from_g(q, factor[:, None, None] * bound.distinct, baseline, baseline, box),
            shown_values=curve.y,
            shown_sigma=curve.sigma,
            cut=Cut(q, factor[:, None] * bound.weights.T, box, curve.resolution),
            in_box=in_box,
            in_box_values=baseline + factor * (back @ measured),
            r=r,
            total=self.total(r),
            total_values=to_r @ measured + bound.ideal(r),
            shown_background=factor[:, None] * modes,
            in_box_background=factor[:, None] * (back @ boxed),
            total_background=to_r @ boxed,
        )

    def fit(self, limits: tuple[float, float]) -> Fit:
        """The declared quantity on points within the limits, 1/Å."""
        bound, (low, high) = self.bound, limits
        points = fitted_q(bound.curve, bound.box, limits, bound.where)
        factor, baseline = bound.q_form(points)
        operator, back = self.operator(points)
        from_distinct = back @ self.as_box_shows
        values = baseline + factor * (from_distinct @ bound.measured_distinct())
        stated = stated_sigma(bound.curve)
        through = factor[:, None] * from_distinct * bound.unit()
        if stated is None:
            covariance = np.diag((factor * estimated_q_sigma(bound)) ** 2)
        else:
            covariance = regular((through * stated**2) @ through.T)
        words = f"{bound.curve.quantity}, Q = {low:g} to {high:g} 1/Å, {len(points)} points"
        return Fit(operator, values, covariance, stated is not None, words, through @ self.modes)

    def fit_in_r(self, limits: tuple[float, float]) -> Fit:
        """T(r) through the Q range and window of the data, on points within the limits, Å."""
        bound, curve = self.bound, self.bound.curve
        r = fitted_r(curve, bound.box, limits, float(curve.x[-1]), bound.where)
        from_distinct = q_to_r_matrix(curve.x, r, curve.window) @ self.as_box_shows
        values = from_distinct @ bound.measured_distinct() + bound.ideal(r)
        stated, unit = stated_sigma(curve), bound.unit()
        if stated is None:
            per_point = estimated_q_sigma(bound) * math.sqrt(nyquist_q(bound.box) / bound.spacing())
            error = np.full(len(unit), per_point)
        else:
            error = unit * stated
        through = from_distinct * error
        words = f"T(r), r = {limits[0]:g} to {limits[1]:g} Å, {len(r)} points"
        background = from_distinct @ (unit[:, None] * self.modes)
        return Fit(self.total(r), values, regular(through @ through.T), stated is not None, words, background)
