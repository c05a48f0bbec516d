"""A scalar of a curve as a function of mean pair counts, f(<h>), and its derivative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.scattering.peaks import peak
from refine.study.datasets import DataSet
from refine.tasks.sensitivity.asked import Quantity

Array = NDArray[np.float64]


class ScalarOfCurve:
    """f and df/d<h> of a quantity: a point of a curve, a peak, or R_chi of T(r)."""

    def __init__(self, of: Quantity, data: DataSet) -> None:
        self.of = of
        self.measurement = measurement = data.measurement
        if of.kind == "R_chi":
            return
        quantity = measurement.curve.quantity
        if of.curve not in (quantity, "T(r)"):
            raise InputError(f"'{of.curve}' is no curve of data set '{of.data}'", fix=f"use {quantity} or T(r)")
        self.operator = measurement.shown if of.curve == quantity else measurement.total
        x = self.operator.x
        for limit in (of.x,) if of.limits is None else of.limits:
            assert limit is not None
            if not x[0] <= limit <= x[-1]:
                raise InputError(
                    f"{of.curve} of '{of.data}' is known from {x[0]:g} to {x[-1]:g}, not at {limit:g}",
                    fix="choose a point in that range",
                )

    def __call__(self, counts: Array) -> tuple[float, Array]:
        """f and df/d<h> (pairs, bins) at mean counts (pairs, bins)."""
        if self.of.kind == "R_chi":
            m = self.measurement
            misfit = m.total_values - m.total.predict(counts)
            value = m.r_chi(counts)
            by_y = -misfit / (value * np.sum(m.total_values**2))
            return value, (by_y @ m.total.matrix).reshape(counts.shape)
        y, x = self.operator.predict(counts), self.operator.x
        if self.of.kind == "point":
            assert self.of.x is not None
            by_y = np.array([np.interp(self.of.x, x, row) for row in np.eye(len(x))])
            return float(by_y @ y), (by_y @ self.operator.matrix).reshape(counts.shape)
        assert self.of.limits is not None
        top = peak(x, y, *self.of.limits, where=str(self.of))
        value, by_y = (top.height, top.d_height) if self.of.kind == "height" else (top.position, top.d_position)
        return value, (by_y @ self.operator.matrix).reshape(counts.shape)
