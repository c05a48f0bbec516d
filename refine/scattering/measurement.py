"""The forward model: a measured curve bound to a simulated box, everything that is compared as one matrix.

The chain, every link linear and float64:

    counts h -> g_p - 1 = h / n_p - 1
             -> S(Q) - 1 = Σ_p w_p(Q) (4 pi rho / Q) ∫ r (g_p - 1) sin(Qr) dr   on the measurement's own Q
             -> the experiment's Q range and window -> the declared quantity

A model's curve is a function of its own counts alone. What a small periodic box does to it is treated in three places:

- The fixed number of atoms is taken off the model (`Box.closure`).
- The periodic images of g beyond r_max, half the box, reach into g below it, and the counts end at r_max. So they are
  put on the measurement, which does know g beyond, and a comparison is of what the box shows with what the box would
  have shown of the measured system (`ForwardModel._as_box_shows`). A prediction keeps them: 0.002 in g(r) near r_max
  for 500 atoms of liquid argon.
- A box knows g(r) up to r_max only. In r space that is no restriction (a point is only compared below it). In Q space
  both sides of a comparison lose the same: the measured curve, and the model on the measured Q points, are transformed
  to r, brought to zero smoothly before r_max, and transformed back. Neither can then show the other ripples of the box,
  and the loss of the experiment's Q range acts on both. The model's own S(Q), for tables and predictions, has g = 1
  beyond r_max and the error of that cut (`Cut`).

The fitted points lie at the Nyquist spacing, pi/r in Q and pi/Q_max in r: n points are n pieces of information.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refine.curves import noise
from refine.curves.curve import Curve
from refine.curves.transforms import extrapolate_low_q, q_to_r_matrix, r_to_q_matrix
from refine.curves.weights import amplitudes, distinct_factor, pair_weights
from refine.errors import ConversionError, InputError
from refine.scattering.metrics import r_chi
from refine.scattering.operator import CurveOperator, bracketing, interpolation
from refine.system import Box, pair_index, taper_width

Array = NDArray[np.float64]

R_CHI_STEP = 0.05
"""Å between the points on which R_chi is summed."""

PHASE_OF_BIN = 2.0
"""Largest Q times the width of a bin: counting into bins takes 29 % off a wave there, which is put back."""

IMAGE_STEP = 0.05
"""Å between the points at which D(r) is integrated over periodic images."""

NUGGET = 1e-4
"""Share of its own variance that is added to each point's: errors grow by 5e-5 of themselves, which nobody would see,
and the condition number of the correlations is below 1e4 times their largest eigenvalue, at most n."""


@dataclass(frozen=True)
class Cut:
    """The error of a Q-space curve from g = 1 beyond r_max: how much it changes as the cut moves inwards.

    The root mean square of y(Q; R) - y(Q; r_max) over cuts R from r_max/2 to r_max, and over Q and its neighbours
    pi/(2 r_max) away, as the difference goes through zero every pi/R where the error need not. g - 1 of a liquid or
    glass decays while it oscillates, so what lies beyond r_max is of the size of the last half, or smaller. In argon,
    against the sum at the box's own wave vectors, rms (experiments/benchmarks/forward.py):

        atoms   r_max    0.3 to 1 1/Å         1 to 4 1/Å, with the first peak
        108      8.6 Å   0.12, stated 0.47    0.18, stated 0.19; 81 % within one stated error, 95 % within two
        256     11.5 Å   0.14, stated 0.26    0.11, stated 0.16; 92 %, 100 %
        2048    22.9 Å   0.010, stated 0.065  0.042 (0.022 of it the sum's), stated 0.050; 77 %, 95 %

    Below the first peak it is cautious. Every cut lowers that peak: where order reaches beyond r_max (63 atoms of a
    damped wave of argon's period and range) the peak is off by twice the error.

    Attributes:
        q: (n,) 1/Å.
        weights: (n, pairs) of the pairs in the declared quantity.
        box: the simulated state.
    """

    q: Array
    weights: Array
    box: Box

    def error(self, counts: Array) -> Array:
        """Standard error (n,) in the declared units, from mean counts (pairs, bins)."""
        ideal = self.box.ideal_counts
        g = np.divide(counts, ideal, out=np.ones_like(ideal), where=ideal > 0.0) - 1.0
        weighted = self.weights @ (g + (g @ self.box.closure)[:, None])
        outer = np.count_nonzero(self.box.centres > 0.5 * self.box.r_max)
        mean = np.zeros(len(self.q))
        for shift in (-1.0, 0.0, 1.0):
            q = np.abs(self.q + shift * 0.5 * math.pi / self.box.r_max)
            by_bin = r_to_q_matrix(self.box.edges, q, self.box.number_density, of="means") * weighted
            mean += np.mean(np.cumsum(by_bin[:, ::-1], axis=1)[:, :outer] ** 2, axis=1) / 3.0
        return np.sqrt(mean)


@dataclass(frozen=True)
class Measurement:
    """A measured curve bound to a simulated box: its comparisons, each an operator with the matching measured values.

    Attributes:
        curve: as read.
        shown: operator on the measured points (those the box can reach): the model's curve, from its counts alone. In Q
            space g = 1 beyond r_max.
        shown_values: (n,) measured there, as read.
        cut: the error of `shown` from that cut; None for curves in r.
        in_box: operator on the same points: the model as it is compared, in Q space through the r range of the box.
        in_box_values: (n,) measured, what `in_box` exactly compares with: with periodic images, in Q space through the
            same r range.
        r: (m,) Å, points of R_chi.
        total: operator giving T(r), Faber-Ziman normalised, on r.
        total_values: (m,) measured T(r), with the periodic images of the box.
        shown_background, in_box_background, total_background: what a flat background of one in the units of the
            declared quantity adds to the measurement in these places, (n,), (n,) and (m,); zero for curves in r.
    """

    curve: Curve
    shown: CurveOperator
    shown_values: Array
    shown_sigma: Array | None
    cut: Cut | None
    in_box: CurveOperator
    in_box_values: Array
    r: Array
    total: CurveOperator
    total_values: Array
    shown_background: Array
    in_box_background: Array
    total_background: Array

    def cut_error(self, counts: Array) -> Array:
        """(n,) standard error of `shown` because g is cut at r_max, from mean counts (pairs, bins); zero in r."""
        return np.zeros(len(self.shown.x)) if self.cut is None else self.cut.error(counts)

    def r_chi(self, counts: Array, scale: float = 1.0, background: float = 0.0) -> float:
        """R_chi of T(r) for mean counts (pairs, bins); scale multiplies the model's D(r), background is in Q."""
        model = self.total.baseline + scale * (self.total.predict(counts) - self.total.baseline)
        return r_chi(self.total_values, model + background * self.total_background)


@dataclass(frozen=True)
class Fit:
    """The fitted part of a measurement.

    Attributes:
        operator: on the fitted points, at the Nyquist spacing.
        values: (n,) measured, box applied.
        covariance: (n, n); up to a factor if not `sigma_known`.
        sigma_known: whether the errors come with the measurement.
        words: the fitted range, for the report.
        background: (n,) what a flat background of one in the units of the declared quantity adds to the values; None
            for curves in r.
    """

    operator: CurveOperator
    values: Array
    covariance: Array
    sigma_known: bool
    words: str
    background: Array | None = None


class ForwardModel:
    """All operators of one measured curve in one box.

    Args:
        curve: the measurement; its number density is ignored, the box decides.
        box: the simulated state.

    Raises:
        InputError: the curve cannot be predicted (r-space x-ray data without a Q range, unknown species, ...).
    """

    def __init__(self, curve: Curve, box: Box) -> None:
        self.curve, self.box = curve, box
        self.where = f"[[data]] {curve.name}"
        self._prepare_q()

    # -- Q space -------------------------------------------------------------------------------------------------------

    def _prepare_q(self) -> None:
        """The Q points of the measurement, the weights of the pairs there, and S(Q) - 1 as a matrix on g - 1."""
        curve, box = self.curve, self.box
        if curve.in_q_space:
            self.q: Array | None = curve.x
        elif curve.q_max is not None:
            step = math.pi / (3.0 * max(box.r_max, float(curve.x[-1])))
            low = curve.q_min or 0.0
            self.q = np.linspace(low, curve.q_max, max(2, math.ceil((curve.q_max - low) / step) + 1))
        else:
            self.q = None
            if curve.pair is None and curve.radiation == "xray" and len(box.species) > 1:
                raise InputError(
                    f"x-ray {curve.quantity} of a mixture depends on the Q range of its transform, which is not given",
                    where=self.where,
                    fix="give q_range = [Q_min, Q_max]",
                )
        probe = self.q if self.q is not None else np.zeros(1)
        self.weights = self._pair_weights(probe)
        self.factor = self._distinct_factor(probe)
        if self.q is not None:
            self._check_bins(float(self.q[-1]))
            self.to_q = r_to_q_matrix(box.edges, self.q, box.number_density, of="means")
            self.distinct = self.weights.T[:, :, None] * self.to_q[:, None, :]  # (nq, pairs, bins)

    def _check_bins(self, q_max: float) -> None:
        """Refuse bins in which a wave of the largest Q turns by more than `PHASE_OF_BIN`."""
        width = float(self.box.edges[1] - self.box.edges[0])
        if width * q_max > PHASE_OF_BIN:
            raise InputError(
                f"bins of {width:g} Å are too wide for Q to {q_max:g} 1/Å",
                where=self.where,
                fix=f"give [sampling] bin_width = {math.floor(1e3 * PHASE_OF_BIN / q_max) / 1e3:g}, or a smaller Q",
            )

    def _pair_weights(self, q: Array) -> Array:
        """Faber-Ziman weights (pairs, nq); one on the pair of a partial."""
        curve, box = self.curve, self.box
        if curve.pair is not None:
            index = pair_index(box.pairs, curve.pair, self.where)
            return np.repeat(np.eye(len(box.pairs))[index][:, None], len(q), axis=1)
        return pair_weights(box.fractions, self._amplitudes(q))

    def _amplitudes(self, q: Array) -> Array:
        curve = self.curve
        assert curve.radiation is not None
        return amplitudes(curve.radiation, self.box.species, q, isotopes=curve.isotopes, charges=curve.charges)

    def _distinct_factor(self, q: Array) -> Array:
        """k(Q) with i(Q) = k [S(Q) - 1] in the declared normalisation."""
        curve = self.curve
        if curve.pair is not None or curve.radiation is None:
            return np.ones(len(q))
        return distinct_factor(curve.normalisation, curve.radiation, self.box.fractions, self._amplitudes(q))

    def _q_factor(self, q: Array) -> Array:
        """The declared Q-space quantity is baseline + factor [S(Q) - 1]."""
        factor = self._distinct_factor(q)
        return q * factor if self.curve.quantity == "Q[S(Q)-1]" else factor

    def _q_baseline(self, q: Array) -> Array:
        return np.ones(len(q)) if self.curve.quantity == "S(Q)" else np.zeros(len(q))

    def _measured_distinct(self) -> Array:
        """Measured S(Q) - 1, Faber-Ziman, on the measured Q."""
        q = self.curve.x
        factor = self._q_factor(q)
        safe = np.where(factor == 0.0, 1.0, factor)  # Q[S(Q)-1] at Q = 0 carries no information on S(0)
        return np.where(factor == 0.0, 0.0, (self.curve.y - self._q_baseline(q)) / safe)

    def _box_filter(self, q_out: Array) -> Array:
        """(n_out, nq): S(Q) - 1 on the measured Q -> to r, tapered at the box -> back to Q."""
        assert self.q is not None
        box = self.box
        per_bin = 4.0 * math.pi * box.number_density * box.centres
        to_r = q_to_r_matrix(self.q, box.centres) / per_bin[:, None]
        return r_to_q_matrix(box.edges, q_out, box.number_density, of="samples") @ (box.taper[:, None] * to_r)

    # -- periodic images -----------------------------------------------------------------------------------------------

    def _images(self, s: Array) -> Array:
        """(bins, points): what periodic images add to g(r) in the box, from D(r) of the infinite system on a grid s.

        A periodic liquid has the S(Q) of the infinite one at the wave vectors that the box allows, so its g - 1 is the
        infinite one repeated on the lattice (Poisson's sum), averaged over directions

            r [g_box(r) - g(r)] = Σ_d (1 / 2d) ∫_(d-r)^(d+r) s [g(s) - 1] ds,     d = |lattice vector| > 0.

        As d >= 2 r_max, that is g beyond r_max alone, for r < r_max: nothing that the counts of a model hold. The grid
        begins at zero with equal steps; D is faded out between 2 and 3 r_max, where it is noise.
        Source: L. R. Pratt and S. W. Haan, J. Chem. Phys. 74, 1864 (1981).
        """
        box, step = self.box, float(s[1] - s[0])
        to_integral = step * (np.tri(len(s)) - 0.5 * np.eye(len(s))) * self._fade(s)  # trapezoid rule, 0 to each s
        to_integral[:, 0] *= 0.5
        r = box.centres
        distances, multiplicity = np.unique(np.round(box.image_distances, 9), return_counts=True)
        windows = np.zeros((len(r), len(s)))
        for d, count in zip(distances, multiplicity, strict=True):
            windows += count / (2.0 * d) * (interpolation(s, d + r) - interpolation(s, d - r))
        images = (windows @ to_integral) / (4.0 * math.pi * box.number_density * r)[:, None]
        # The correction for the closed box, of what is counted, acts on images too.
        return np.asarray(images + box.closure @ images)

    @property
    def _image_grid(self) -> Array:
        return np.arange(0.0, 3.0 * self.box.r_max, IMAGE_STEP)

    @cached_property
    def _as_box_shows(self) -> Array:
        """(nq, nq): from the measured S(Q) - 1 to what the periodic box would show of the measured system."""
        assert self.q is not None
        s = self._image_grid
        # Below the first measured Q a constant is good enough here, and far better than nothing at large r.
        q, continued = extrapolate_low_q(self.curve.x, np.eye(len(self.curve.x)))
        return np.eye(len(self.q)) + self.to_q @ (self._images(s) @ q_to_r_matrix(q, s) @ continued)

    @cached_property
    def _r_as_box_shows(self) -> Array:
        """(n,) an r-space curve, in declared units, as the periodic box would show it: images of its own D(r) added.

        Images are isotropic, so they commute with the transform's Q range and window: those of a broadened D(r) are the
        broadened ones. A straight line through D(r) beyond r_max, fitted with weights r^2, is left out: it says that
        the curve is normalised wrongly, by a per cent or ten, and its images would grow with r.
        """
        curve, box, s = self.curve, self.box, self._image_grid
        scale, offset, _ = self._r_declared(curve.x)
        beyond = curve.x > box.r_max
        if not np.any(beyond):
            return curve.y
        d = np.divide(curve.y - offset, scale, out=np.zeros_like(curve.y), where=scale > 0.0)
        slope = float(curve.x[beyond] ** 3 @ d[beyond]) / float(np.sum(curve.x[beyond] ** 4))
        known = (s > box.r_max) & (s <= curve.x[-1])
        images = self._images(s) @ np.where(known, np.interp(s, curve.x, d) - slope * s, 0.0)
        uniform = 4.0 * math.pi * box.number_density * curve.x
        return np.asarray(curve.y + scale * uniform * np.interp(curve.x, box.centres, images))

    def _fade(self, s: Array) -> Array:
        """1 below 2 r_max, falling smoothly to 0 at 3 r_max, and 0 where the Q spacing no longer resolves r."""
        x = np.clip((3.0 * self.box.r_max - s) / self.box.r_max, 0.0, 1.0)
        resolved = True if not self.curve.in_q_space else s < math.pi / (2.0 * self._spacing())
        return np.where(resolved, x**2 * (3.0 - 2.0 * x), 0.0)

    # -- r space -------------------------------------------------------------------------------------------------------

    def _r_operator(self, r: Array, factor: Array, scale: Array, offset: Array) -> CurveOperator:
        """scale D_k(r) + offset, D made with distinct factor k(Q) = `factor`."""
        return CurveOperator.from_g(r, scale[:, None, None] * self._r_model(r, factor), offset, offset, self.box)

    def _q_operator(self, q: Array) -> tuple[CurveOperator, Array]:
        """The declared Q-space quantity at q through the box filter; and the filter (n, nq)."""
        factor, baseline = self._q_factor(q), self._q_baseline(q)
        back = self._box_filter(q)
        acts = factor[:, None, None] * np.einsum("ij,jpb->ipb", back, self.distinct, optimize=True)
        return CurveOperator.from_g(q, acts, baseline, baseline, self.box), back

    def _r_model(self, r: Array, factor: Array) -> Array:
        """(nr, pairs, bins): D(r) with distinct factor k(Q) (1 for the normalised one), acting on g - 1."""
        if self.q is not None:
            to_r = q_to_r_matrix(self.q, r, self.curve.window) * factor
            return np.einsum("rq,qpb->rpb", to_r, self.distinct, optimize=True)
        box = self.box
        slope = 4.0 * math.pi * box.number_density * r * factor[0]
        return slope[:, None, None] * self.weights.T[0][None, :, None] * interpolation(box.centres, r)[:, None, :]

    def _r_declared(self, r: Array) -> tuple[Array, Array, Array]:
        """scale, offset, k(Q): the declared r-space quantity is scale D_k(r) + offset, D_k made of k [S(Q) - 1]."""
        rho, k = self.box.number_density, self.factor
        uniform = 4.0 * math.pi * rho * r
        level = uniform * k[0]  # only used where k does not depend on Q
        quantity = self.curve.quantity
        one, zero = np.ones(len(r)), np.zeros(len(r))
        if quantity == "D(r)" or (quantity == "G(r)" and self.curve.normalisation != "keen"):
            return one, zero, k
        safe = np.where(r > 0.0, uniform, np.inf)
        if quantity == "G(r)":
            return one / safe, zero, k
        if quantity == "g(r)":
            return one / safe, one, k
        if quantity == "T(r)":
            return one, level, k
        if quantity == "J(r)":
            return r, level * r, k
        raise ConversionError(f"{quantity} is not a function of r", where=self.where)

    # -- what is compared ----------------------------------------------------------------------------------------------

    def measurement(self, score_r: tuple[float, float] | None) -> Measurement:
        """Tables and R_chi; `score_r` is the range of R_chi in Å (None: 1 to 10 Å, cut to the box and the data)."""
        r = self._score_points(score_r)
        box, uniform = self.box, 4.0 * math.pi * self.box.number_density * r
        if self.curve.in_q_space:
            q = self.curve.x
            factor, baseline, to_r = self._q_factor(q), self._q_baseline(q), q_to_r_matrix(q, r, self.curve.window)
            measured, flat = self._as_box_shows @ self._measured_distinct(), self._as_box_shows @ self._unit()
            in_box, back = self._q_operator(q)
            return Measurement(
                curve=self.curve,
                shown=CurveOperator.from_g(q, factor[:, None, None] * self.distinct, baseline, baseline, box),
                shown_values=self.curve.y,
                shown_sigma=self.curve.sigma,
                cut=Cut(q, factor[:, None] * self.weights.T, box),
                in_box=in_box,
                in_box_values=baseline + factor * (back @ measured),
                r=r,
                total=self._r_operator(r, np.ones_like(self.factor), np.ones(len(r)), uniform),
                total_values=to_r @ measured + uniform,
                shown_background=factor * self._unit(),
                in_box_background=factor * (back @ flat),
                total_background=to_r @ flat,
            )
        curve = self.curve.cropped(0.0, box.r_max)
        scale, offset, k = self._r_declared(curve.x)
        shown = self._r_operator(curve.x, k, scale, offset)
        return Measurement(
            curve=self.curve,
            shown=shown,
            shown_values=curve.y,
            shown_sigma=curve.sigma,
            cut=None,
            in_box=shown,
            in_box_values=np.interp(curve.x, self.curve.x, self._r_as_box_shows),
            r=r,
            total=self._declared_total(r),
            total_values=self._measured_total(r),
            shown_background=np.zeros(len(curve.x)),
            in_box_background=np.zeros(len(curve.x)),
            total_background=np.zeros(len(r)),
        )

    def _declared_total(self, r: Array) -> CurveOperator:
        """T(r) of an r-space curve: of its own k(Q), divided by k where k does not depend on Q.

        Between the measured points both sides are interpolated: a line over 0.05 Å misses the crest of a ripple of
        Q_max = 20 1/Å by an eighth.
        """
        nodes = bracketing(self.curve.x, r)
        uniform = 4.0 * math.pi * self.box.number_density * nodes
        level = self.factor[0] if np.ptp(self.factor) == 0.0 else 1.0
        at_measured = self._r_operator(nodes, self.factor / level, np.ones(len(nodes)), uniform)
        return at_measured.interpolated(r)

    def _measured_total(self, r: Array) -> Array:
        """Measured T(r) of an r-space curve on the points r, as the periodic box would show it."""
        scale, offset, _ = self._r_declared(self.curve.x)
        uniform = 4.0 * math.pi * self.box.number_density * r
        level = self.factor[0] if np.ptp(self.factor) == 0.0 else 1.0
        d = np.divide(self._r_as_box_shows - offset, scale, out=np.zeros_like(offset), where=scale > 0.0)
        return np.interp(r, self.curve.x, d / level) + uniform

    def _score_points(self, score_r: tuple[float, float] | None) -> Array:
        low, high = score_r or (1.0, 10.0)
        limit = self.box.r_max
        if not self.curve.in_q_space:
            limit = min(limit, float(self.curve.x[-1]))
            low = max(low, float(self.curve.x[0]))
        if score_r is None:
            high = min(high, limit)
        if high > limit or high <= low:
            raise InputError(
                f"score_r ends at {high:g} Å; the box and the data reach {limit:.2f} Å",
                where=self.where,
                fix="lower score_r or simulate more atoms",
            )
        return low + R_CHI_STEP * np.arange(math.floor((high - low) / R_CHI_STEP + 1e-9) + 1, dtype=np.float64)

    def fit(self, fit_q: tuple[float, float] | None, fit_r: tuple[float, float] | None) -> Fit:
        """The fitted points in Q, in r, or both (then one after the other, treated as independent).

        Args:
            fit_q, fit_r: ranges, 1/Å and Å; at least one (None, None: the whole measured range).
        """
        parts = []
        if self.curve.in_q_space:
            if fit_q is None and fit_r is None:
                fit_q = (float(self.curve.x[0]), float(self.curve.x[-1]))
            if fit_q is not None:
                parts.append(self._fit_q(fit_q))
            if fit_r is not None:
                parts.append(self._fit_r_of_q(fit_r))
        else:
            if fit_q is not None:
                raise InputError(
                    f"{self.curve.quantity} is measured in r and fit_q asks for Q",
                    where=self.where,
                    fix="use fit_r",
                )
            reach = min(self.box.r_max, float(self.curve.x[-1]))
            parts.append(self._fit_r(fit_r or (float(self.curve.x[0]), reach)))
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _fit_q(self, limits: tuple[float, float]) -> Fit:
        """Points k pi / r_eff within the limits, r_eff the middle of the taper.

        Below 2 pi / r_max a box of fixed composition says little about S(Q) (its longest wave is 2 r_max), so there are
        no fitted points there.
        """
        q = self.curve.x
        low, high = limits
        if low < q[0] - 1e-9 or high > q[-1] + 1e-9:
            raise InputError(
                f"fit_q = [{low:g}, {high:g}] reaches beyond the data, {q[0]:g} to {q[-1]:g} 1/Å",
                where=self.where,
                fix="narrow fit_q",
            )
        step = self._nyquist_q()
        points = _multiples(step, max(low, 2.0 * math.pi / self.box.r_max), high)
        _need(points, self.where, "fit_q")
        factor, baseline = self._q_factor(points), self._q_baseline(points)
        operator, back = self._q_operator(points)
        from_distinct = back @ self._as_box_shows
        values = baseline + factor * (from_distinct @ self._measured_distinct())
        raw = self._raw_sigma()
        through = factor[:, None] * from_distinct * self._unit()
        if raw is None:
            covariance = np.diag((factor * self._estimated_sigma()) ** 2)
        else:
            covariance = _regular((through * raw**2) @ through.T)
        words = f"{self.curve.quantity}, Q = {low:g} to {high:g} 1/Å, {len(points)} points"
        return Fit(operator, values, covariance, raw is not None, words, through.sum(axis=1))

    def _fit_r_of_q(self, limits: tuple[float, float]) -> Fit:
        """T(r) from Q-space data through its Q range and window, points at pi/Q_max."""
        r = self._r_points(limits, float(self.curve.x[-1]))
        uniform = 4.0 * math.pi * self.box.number_density * r
        from_distinct = q_to_r_matrix(self.curve.x, r, self.curve.window) @ self._as_box_shows
        operator = self._r_operator(r, np.ones_like(self.factor), np.ones(len(r)), uniform)
        values = from_distinct @ self._measured_distinct() + uniform
        raw, unit = self._raw_sigma(), self._unit()
        if raw is None:
            error = np.full(len(unit), self._estimated_sigma() * math.sqrt(self._nyquist_q() / self._spacing()))
        else:
            error = unit * raw
        through = from_distinct * error
        words = f"T(r), r = {limits[0]:g} to {limits[1]:g} Å, {len(r)} points"
        return Fit(operator, values, _regular(through @ through.T), raw is not None, words, from_distinct @ unit)

    def _fit_r(self, limits: tuple[float, float]) -> Fit:
        """The declared r-space quantity, points at pi/Q_max; 0.1 Å apart or as measured where Q_max is not known."""
        curve = self.curve
        spacing_q = curve.q_max or math.pi / max(0.1, float(np.median(np.diff(curve.x))))
        r = self._r_points(limits, spacing_q)
        nodes = bracketing(curve.x, r)
        scale, offset, k = self._r_declared(nodes)
        operator = self._r_operator(nodes, k, scale, offset).interpolated(r)
        values = np.interp(r, curve.x, self._r_as_box_shows)
        given = self._raw_sigma()
        if given is None:
            covariance = np.eye(len(r)) * self._estimated_r_sigma() ** 2
        else:
            covariance = np.diag(np.interp(r, curve.x, given) ** 2)
        words = f"{curve.quantity}, r = {limits[0]:g} to {limits[1]:g} Å, {len(r)} points"
        return Fit(operator, values, _regular(covariance), given is not None, words)

    def _r_points(self, limits: tuple[float, float], q_max: float) -> Array:
        low, high = limits
        if high > self.box.r_max + 1e-9 or (not self.curve.in_q_space and high > self.curve.x[-1] + 1e-9):
            raise InputError(
                f"fit_r ends at {high:g} Å; the box and the data reach "
                f"{min(self.box.r_max, self.curve.x[-1] if not self.curve.in_q_space else np.inf):.2f} Å",
                where=self.where,
                fix="lower fit_r or simulate more atoms",
            )
        step = math.pi / q_max
        points = _multiples(step, low, high)
        _need(points, self.where, "fit_r")
        return points

    # -- errors of the measurement -------------------------------------------------------------------------------------

    def _raw_sigma(self) -> Array | None:
        """Standard errors on the measured points, zeros as their median; None where the curve has none."""
        if self.curve.sigma is None or not np.any(self.curve.sigma > 0.0):
            return None
        positive = self.curve.sigma[self.curve.sigma > 0.0]
        return np.where(self.curve.sigma > 0.0, self.curve.sigma, np.median(positive))

    def _unit(self) -> Array:
        """(nq,) what one unit of the declared quantity is in S(Q) - 1; zero where it carries no information on it."""
        factor = self._q_factor(self.curve.x)
        return np.divide(1.0, factor, out=np.zeros_like(factor), where=factor != 0.0)

    def _nyquist_q(self) -> float:
        return math.pi / (self.box.r_max - 0.5 * taper_width(self.box.r_max))

    def _spacing(self) -> float:
        return float(np.median(np.diff(self.curve.x)))

    def _estimated_sigma(self) -> float:
        """Error of S(Q) - 1 at the fitted points from the ripple of T(r) where no atoms can be (`noise`).

        White noise sigma on points dq apart gives D(r) the variance (2/pi)^2 dq sigma^2 ∫ Q^2 sin^2(Qr) dQ; the fitted
        points, pi/r_eff apart, average pi/(r_eff dq) measured ones. A rule may scale it by the evidence.
        """
        q, rho = self.curve.x, self.box.number_density
        r = np.arange(0.05, self.box.r_max, 0.05)
        d = q_to_r_matrix(q, r, "none") @ self._measured_distinct()
        _, ripple = noise.ripple(r, d, 4.0 * math.pi * rho, (float(q[0]), float(q[-1])))
        power = float(q[-1] ** 3 - q[0] ** 3) / 6.0
        sigma = _rms(ripple) * math.pi / 2.0 / math.sqrt(power * self._nyquist_q())
        return max(sigma, 1e-3 * _rms(self._measured_distinct()))

    def _estimated_r_sigma(self) -> float:
        """Error of an r-space curve: the ripple below its onset, at least half a per cent of its rms signal."""
        curve = self.curve
        r = curve.x[curve.x > 0.0]
        scale, offset, _ = self._r_declared(r)
        signal = curve.y[curve.x > 0.0] - offset
        slope = 4.0 * math.pi * self.box.number_density * float(self.factor[0])
        seen = None if curve.q_max is None else (curve.q_min or 0.0, curve.q_max)
        quiet, ripple = noise.ripple(r, signal / scale, slope, seen, curve.window)
        return max(_rms(self._r_declared(quiet)[0] * ripple), 5e-3 * _rms(signal))


def _rms(values: Array) -> float:
    """Root mean square, zero of nothing."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def _joined(parts: list[Fit]) -> Fit:
    operators = [p.operator for p in parts]
    n = [len(p.values) for p in parts]
    covariance = np.zeros((sum(n), sum(n)))
    covariance[: n[0], : n[0]], covariance[n[0] :, n[0] :] = parts[0].covariance, parts[1].covariance
    return Fit(
        CurveOperator(
            *(np.concatenate([getattr(o, k) for o in operators]) for k in ("x", "matrix", "constant", "baseline"))
        ),
        np.concatenate([p.values for p in parts]),
        covariance,
        all(p.sigma_known for p in parts),
        "; ".join(p.words for p in parts),
        np.concatenate([p.background for p in parts if p.background is not None]),  # both are of one curve in Q
    )


def _regular(covariance: Array) -> Array:
    """The covariance with each variance enlarged by `NUGGET`: points that the taper makes dependent stay solvable.

    By its own variance, not the mean one: where errors grow a hundredfold along a curve the small ones count, too.
    """
    return np.asarray(covariance + NUGGET * np.diag(np.diag(covariance)))


def _multiples(step: float, low: float, high: float) -> Array:
    """Positive multiples of step within [low, high]."""
    first, last = max(1, math.ceil(low / step - 1e-9)), math.floor(high / step + 1e-9)
    return step * np.arange(first, last + 1, dtype=np.float64)


def _need(points: Array, where: str, key: str) -> None:
    if len(points) < 4:
        raise InputError(f"{key} holds {len(points)} independent points, fewer than 4", where=where, fix=f"widen {key}")
