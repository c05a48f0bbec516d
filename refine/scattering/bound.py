"""A curve bound to a box: the weights of the pairs, and S(Q) - 1 of the infinite system as a matrix on g - 1."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve
from refine.curves.forms import Form, form_of
from refine.curves.quantities import quantity_of
from refine.curves.transforms import q_to_r_matrix, r_to_q_matrix
from refine.curves.weights import (
    amplitudes,
    distinct_factor,
    mean_square_amplitude,
    null_pair_weights,
    pair_weights,
    scatters_null,
    self_intensity,
    square_unit,
)
from refine.errors import InputError
from refine.scattering.operator import CurveOperator, interpolation
from refine.system import Box, pair_index

Array = NDArray[np.float64]

PHASE_OF_BIN = 2.0
"""Largest Q times the width of a bin: counting into bins takes 29 % off a wave there, which is put back."""


class BoundCurve:
    """What both sides of a comparison are made of, on the Q points of a curve.

    Args:
        curve: the measurement; its number density is ignored, the box decides.
        box: the simulated state.

    Attributes:
        curve, box: as given.
        where: what messages call the curve.
        q: (nq,) 1/Å, of the measurement or of the transform behind it; None for a curve in r whose range is not known.
        null: whether the mean scattering length is zero. S(Q) - 1 does not exist then, and i(Q)/<b^2> stands in its
            place wherever this project speaks of S(Q) - 1 of a curve; the weights add up to zero, and T(r) is D(r).
        weights: (pairs, nq) Faber-Ziman weights, on q or at Q = 0; one on the pair of a partial.
        factor: (nq,) k of the declared normalisation there.
        to_q: (nq, bins) from g - 1 of a pair to its S(Q) - 1, with perfect resolution.
        distinct: (nq, pairs, bins) from g - 1 to S(Q) - 1 as the instrument resolves it; this and `to_q` only where q
            is known.

    Raises:
        InputError: the curve cannot be predicted (r-space x-ray data without a Q range, unknown species, a mean
            scattering length of zero in a normalisation by it, ...), or no atom scatters.
    """

    q: Array | None
    to_q: Array
    distinct: Array

    def __init__(self, curve: Curve, box: Box) -> None:
        self.curve, self.box = curve, box
        self.where = f"[[data]] {curve.name}"
        if curve.in_q_space:
            self.q = curve.x
        elif curve.q_max is not None:
            step = math.pi / (3.0 * max(box.r_max, float(curve.x[-1])))
            low = curve.q_min or 0.0
            self.q = np.linspace(low, curve.q_max, max(2, math.ceil((curve.q_max - low) / step) + 1))
        else:
            self.q = None
            if curve.resolution.proportional:
                raise InputError(
                    f"peaks of {curve.quantity} are widened in Q, and the Q range of its transform is not given",
                    where=self.where,
                    fix="give q_range = [Q_min, Q_max]",
                )
            if curve.pair is None and curve.radiation == "xray" and len(box.species) > 1:
                raise InputError(
                    f"x-ray {curve.quantity} of a mixture depends on the Q range of its transform, which is not given",
                    where=self.where,
                    fix="give q_range = [Q_min, Q_max]",
                )
        probe = self.q if self.q is not None else np.zeros(1)
        self.null = self._scatters_null(probe)
        self.weights = self._pair_weights(probe)
        self.factor = self.distinct_factor(probe)
        if self.q is not None:
            self._check_bins(float(self.q[-1]))
            self.to_q = r_to_q_matrix(box.edges, self.q, box.number_density, of="means")
            seen = self.to_q * curve.resolution.factor(self.q, box.centres)
            self.distinct = self.weights.T[:, :, None] * seen[:, None, :]

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
        curve, box = self.curve, self.box
        if curve.pair is not None:
            index = pair_index(box.pairs, curve.pair, self.where)
            return np.repeat(np.eye(len(box.pairs))[index][:, None], len(q), axis=1)
        f = self._amplitudes(q)
        return (null_pair_weights if self.null else pair_weights)(box.fractions, f)

    def _scatters_null(self, q: Array) -> bool:
        curve, fractions = self.curve, self.box.fractions
        if curve.pair is not None:
            return False
        f = self._amplitudes(q)
        if not np.any(f):
            raise InputError(
                "every scattering length is zero: the curve has no coherent scattering",
                where=self.where,
                fix="leave it out",
            )
        # The other normalisations divide by the mean: `pair_weights` says so.
        return curve.normalisation == "keen" and scatters_null(fractions, f)

    def _amplitudes(self, q: Array) -> Array:
        curve = self.curve
        assert curve.radiation is not None
        return amplitudes(curve.radiation, self.box.species, q, isotopes=curve.isotopes, charges=curve.charges)

    def distinct_factor(self, q: Array) -> Array:
        """k(Q), (nq,), with i(Q) = k [S(Q) - 1] in the declared normalisation and the box's composition.

        Where <b> is zero, i(Q) over i(Q)/<b^2>.
        """
        curve = self.curve
        if curve.pair is not None or curve.radiation is None:
            return np.ones(len(q))
        f = self._amplitudes(q)
        if self.null:
            return square_unit(curve.radiation) * mean_square_amplitude(self.box.fractions, f)
        return distinct_factor(curve.normalisation, curve.radiation, self.box.fractions, f)

    def form(self, x: Array) -> Form:
        """The declared quantity on x (n,) as it depends on k [S(Q) - 1], or on D(r) made of it.

        The level that T(r) and J(r) have is only used where k does not depend on Q.
        """
        definition = quantity_of(self.curve.quantity, self.curve.normalisation)
        level = 0.0 if self.null else float(self.factor[0])
        return form_of(
            definition,
            x,
            self.box.number_density,
            lambda: level,
            self.where,
            alone=lambda: self._self_intensity(x),
            atoms=self.curve.per,
        )

    def _self_intensity(self, q: Array) -> Array:
        """(nq,) of the box's atoms, see `refine.curves.weights.self_intensity`."""
        curve, box = self.curve, self.box
        assert curve.radiation is not None
        return self_intensity(
            curve.radiation,
            box.species,
            box.fractions,
            q,
            isotopes=curve.isotopes,
            charges=curve.charges,
            incoherent=curve.incoherent,
        )

    def q_form(self, q: Array) -> tuple[Array, Array]:
        """factor, baseline, (n,): the declared Q-space quantity is baseline + factor [S(Q) - 1]."""
        form = self.form(q)
        return form.scale * self.distinct_factor(q), form.offset

    def uniform(self, r: Array) -> Array:
        """4 pi rho r, (n,) 1/Å^2: what g of a pair is multiplied by."""
        return 4.0 * math.pi * self.box.number_density * r

    def ideal(self, r: Array) -> Array:
        """T(r) of an ideal gas, (n,) 1/Å^2: 4 pi rho r, or zero where the mean scattering length is."""
        return np.zeros_like(r) if self.null else self.uniform(r)

    def measured_distinct(self) -> Array:
        """Measured S(Q) - 1, Faber-Ziman, (nq,), of a curve in Q."""
        factor, baseline = self.q_form(self.curve.x)
        safe = np.where(factor == 0.0, 1.0, factor)  # Q[S(Q)-1] at Q = 0 carries no information on S(0)
        return np.where(factor == 0.0, 0.0, (self.curve.y - baseline) / safe)

    def unit(self) -> Array:
        """(nq,) what one unit of the declared quantity is in S(Q) - 1; zero where it carries no information on it."""
        factor, _ = self.q_form(self.curve.x)
        return np.divide(1.0, factor, out=np.zeros_like(factor), where=factor != 0.0)

    def spacing(self) -> float:
        """Between the measured points, in the unit of x."""
        return float(np.median(np.diff(self.curve.x)))

    def r_operator(self, r: Array, factor: Array, scale: Array, offset: Array) -> CurveOperator:
        """scale D_k(r) + offset on r (n,), D made with distinct factor k(Q) = `factor`."""
        return CurveOperator.from_g(r, scale[:, None, None] * self._d_of_r(r, factor), offset, offset, self.box)

    def _d_of_r(self, r: Array, factor: Array) -> Array:
        """(nr, pairs, bins): D(r) with distinct factor k(Q) (1 for the normalised one), acting on g - 1."""
        if self.q is not None:
            to_r = q_to_r_matrix(self.q, r, self.curve.window) * factor
            return np.asarray(np.einsum("rq,qpb->rpb", to_r, self.distinct, optimize=True))
        slope = self.uniform(r) * factor[0] * self.curve.resolution.factor(np.zeros(1), r)[0]
        at = interpolation(self.box.centres, r)
        return np.asarray(slope[:, None, None] * self.weights.T[0][None, :, None] * at[:, None, :])
