"""Sampled frames of one state, and the derivative of a curve along every direction, from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import coefficient_counts
from refine.refinement.misfit.changes import broadened, damped, scaled_box, scaled_counts
from refine.refinement.misfit.views import View
from refine.sampling.frames import Frames
from refine.scattering.instrument import by_scale
from refine.system import Box
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

EPSILON = 1e-3
"""Scaling of positions for the central difference by density."""

CUT = 0.1
"""Share of Q_max by which it is lowered for the difference: at points pi/Q_max apart the derivative itself vanishes, as
sin(Q_max r) = 0 there."""


@dataclass(frozen=True)
class Ensemble:
    """Sampled frames of one state with the variables whose covariance with a curve is its derivative.

    Attributes:
        frames: equally weighted.
        temperature: K.
        number: (frames, k) N of the correction's coefficients.
    """

    frames: Frames
    box: Box
    temperature: float
    number: Array

    @classmethod
    def build(cls, frames: Frames, box: Box, temperature: float, correction: PairCorrection) -> Ensemble:
        """With the correction's basis."""
        return cls(frames, box, temperature, coefficient_counts((frames,), correction, temperature))

    @cached_property
    def counts(self) -> Array:
        """<h>, (pairs, bins)."""
        return np.asarray(self.frames.counts.mean(axis=0, dtype=np.float64))

    @cached_property
    def variables(self) -> dict[str, Array]:
        """V (frames, m) with d<y> = Cov(y, V) for the kinds that change the ensemble."""
        kt = BOLTZMANN * self.temperature
        return {
            "temperature": column(self.frames.energy / (kt * self.temperature)),
            "density": column(-self.frames.virial / (3.0 * kt)),
            "pair": -self.number / kt,
        }

    def columns(self, view: View) -> tuple[dict[str, Array], Array]:
        """d(predicted)/dx of every kind that applies, {kind: (n, m)}, and d(measured)/d(density), (n,)."""
        y = view.operator.predict(self.frames.counts)
        mean = y.mean(axis=0)
        columns = {kind: (y - mean).T @ (v - v.mean(axis=0)) / len(y) for kind, v in self.variables.items()}
        geometry, measured = self._geometry(view)
        columns["density"] = columns["density"] + column(geometry)
        columns["scale"] = column(by_scale(mean, view.operator.baseline))
        columns["damping"] = column(damped(self.counts, self.box).ravel() @ view.operator.matrix.T)
        columns["broadening"] = column(broadened(self.counts, self.box).ravel() @ view.operator.matrix.T)
        if view.background is not None and np.any(view.background):
            columns["background"] = column(view.background)
        if view.truncated is not None and view.q_max is not None:
            lost = mean - view.truncated(1.0 - CUT).predict(self.counts)
            columns["truncation"] = column(lost / (CUT * view.q_max))
        return columns, measured

    def _geometry(self, view: View) -> tuple[Array, Array]:
        """Scaling alone, weights kept: d predicted and d measured, (n,) each, per relative change of density."""
        ends = []
        for epsilon in (EPSILON, -EPSILON):
            operator, values = view.rebuild(scaled_box(self.box, epsilon))
            ends.append((operator.predict(scaled_counts(self.counts, self.box, epsilon)), values))
        (plus, plus_values), (minus, minus_values) = ends
        return (plus - minus) / (-6.0 * EPSILON), (plus_values - minus_values) / (-6.0 * EPSILON)


def column(values: Array) -> Array:
    """(n,) values as one column, (n, 1).

    >>> column(np.array([1.0, 2.0])).shape
    (2, 1)
    """
    return np.asarray(values, float)[:, None]
