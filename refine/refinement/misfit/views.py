"""A curve of one state as what is needed to differentiate it: operators made again for another box or Q_max."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve
from refine.refinement.problem import Target
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator
from refine.system import Box

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """One curve of one state: what is needed to differentiate it.

    Attributes:
        operator: from mean counts to the curve.
        rebuild: operator and measured values, on the same points, for another box with the same edges.
        background: (n,) response to a flat background, or None.
        truncated: the operator with Q_max times a factor, on the same points; None where no Q_max is stated.
        q_max: 1/Å, likewise.
    """

    operator: CurveOperator
    rebuild: Callable[[Box], tuple[CurveOperator, Array]]
    background: Array | None = None
    truncated: Callable[[float], CurveOperator] | None = None
    q_max: float | None = None


@dataclass(frozen=True)
class Datum:
    """One fitted data set with what its operators are made of."""

    target: Target
    curve: Curve
    box: Box
    fit_q: tuple[float, float] | None = None
    fit_r: tuple[float, float] | None = None

    @cached_property
    def view(self) -> View:
        """The fitted points."""

        def rebuild(box: Box) -> tuple[CurveOperator, Array]:
            fit = ForwardModel(self.curve, box).fit(self.fit_q, self.fit_r)
            return fit.operator, fit.values

        def truncated(factor: float) -> CurveOperator:
            # The fitted points move with Q_max, the measured ones do not: interpolated, as the values are.
            shown = ForwardModel(truncated_curve(self.curve, factor), self.box).measurement(None).shown
            return shown.interpolated(self.target.x)

        in_q = self.curve.in_q_space
        flat = ForwardModel(self.curve, self.box).fit(self.fit_q, self.fit_r).background if in_q else None
        background = None if flat is None else flat[:, 0]
        q_max = None if in_q else self.curve.q_max
        return View(self.target.operator, rebuild, background, truncated if q_max else None, q_max)


def truncated_curve(curve: Curve, factor: float) -> Curve:
    """The curve with another Q_max of its transform.

    >>> r = np.arange(0.1, 10.0, 0.1)
    >>> curve = Curve(r, np.zeros_like(r), quantity="D(r)", q_min=0.5, q_max=20.0)
    >>> truncated_curve(curve, 0.9).q_max
    18.0
    """
    assert curve.q_max is not None
    return replace(curve, q_max=factor * curve.q_max)
