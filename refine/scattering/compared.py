"""What comes of a curve bound to a box: operators on the model's counts, and the measured values they compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve
from refine.curves.resolution import Resolution
from refine.curves.transforms import r_to_q_matrix
from refine.scattering.instrument import added, seen
from refine.scattering.metrics import r_chi
from refine.scattering.operator import CurveOperator
from refine.system import Box

Array = NDArray[np.float64]


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
        resolution: of the instrument.
    """

    q: Array
    weights: Array
    box: Box
    resolution: Resolution = field(default_factory=Resolution)

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
            by_bin *= self.resolution.factor(q, self.box.centres)
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
        total: operator giving T(r), Faber-Ziman normalised, on r; its baseline is 4πρ r. Where the mean scattering
            length is zero, T(r) is D(r) of i(Q)/<b^2>, and the baseline is zero.
        total_values: (m,) measured T(r), with the periodic images of the box.
        shown_background, in_box_background, total_background: what each mode of the background, in the units of the
            declared quantity, adds to the measurement in these places, (n, k), (n, k) and (m, k); k is zero for curves
            in r.
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

    def reported_total(self, counts: Array, scale: float = 1.0, background: Sequence[float] = ()) -> Array:
        """T(r) (m,) for mean counts (pairs, bins); scale multiplies the model's D(r), background (k,) is in Q."""
        total = self.total.predict(counts)
        return seen(total, self.total.baseline, scale, added(self.total_background, background))

    def r_chi(self, counts: Array, scale: float = 1.0, background: Sequence[float] = ()) -> float:
        """R_chi of T(r) for mean counts (pairs, bins), at a scale and background as `reported_total` has them."""
        return r_chi(self.total_values, self.reported_total(counts, scale, background))


@dataclass(frozen=True)
class Fit:
    """The fitted part of a measurement.

    Attributes:
        operator: on the fitted points, at the Nyquist spacing.
        values: (n,) measured, box applied.
        covariance: (n, n); up to a factor if not `sigma_known`.
        sigma_known: whether the errors come with the measurement.
        words: the fitted range, for the report.
        background: (n, k) what each mode of the background, in the units of the declared quantity, adds to the values;
            None for curves in r.
    """

    operator: CurveOperator
    values: Array
    covariance: Array
    sigma_known: bool
    words: str
    background: Array | None = None
