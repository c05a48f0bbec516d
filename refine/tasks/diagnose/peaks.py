"""First peaks of measurement and base model, and what the model's depend on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.curves.transforms import q_to_r_matrix
from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.misfit.decomposition import KINDS
from refine.refinement.misfit.ensemble import Ensemble
from refine.refinement.misfit.views import View, truncated_curve
from refine.sampling.averages import standard_error
from refine.sampling.frames import Frames
from refine.scattering.bound import BoundCurve
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator, interpolation
from refine.scattering.peaks import Peak, first_peak_range, peak
from refine.study.datasets import DataSet
from refine.system import Box
from refine.tasks.diagnose.directions import coefficient, shown_unit
from refine.tasks.diagnose.findings import PeakComparison, PeakSlope
from refine.units import BOLTZMANN

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PeakedCurve:
    """A curve whose first peak is compared.

    Attributes:
        data: name of the data set.
        label: of the curve.
        unit: of its x.
        view: of the model.
        measured: (n,) values on the points of the view.
        root: (n, m) L with the covariance L L^T of the measured values; None where no errors are stated.
    """

    data: str
    label: str
    unit: str
    view: View
    measured: Array
    root: Array | None


def peaked_curves(data: DataSet, box: Box) -> Iterator[PeakedCurve]:
    """The curves of a data set whose first peak is compared.

    In r: T(r)/(4 pi rho0 r), which is g(r) as the measurement's Q range shows it. In Q, of Q-space data: the declared
    quantity within the box. Errors of r-space data other than g(r) are left out.
    """
    measurement, curve = data.measurement, data.measurement.curve
    sigma = curve.sigma
    limits = (float(measurement.r[0]), float(measurement.r[-1]))

    def as_g(operator: CurveOperator, density: float) -> CurveOperator:
        level = 4.0 * math.pi * density * operator.x
        return CurveOperator(
            operator.x, operator.matrix / level[:, None], operator.constant / level, operator.baseline / level
        )

    def rebuilt_r(other: Box) -> tuple[CurveOperator, Array]:
        made = ForwardModel(curve, other).measurement(limits)
        level = 4.0 * math.pi * other.number_density * made.r
        return as_g(made.total, other.number_density), made.total_values / level

    def truncated(factor: float) -> CurveOperator:
        made = ForwardModel(truncated_curve(curve, factor), box).measurement(limits)
        return as_g(made.total, box.number_density)

    level = 4.0 * math.pi * box.number_density * measurement.r
    smooth = data.background is not None and data.background.below is not None
    flat = ForwardModel(curve, box).measurement(limits) if smooth else measurement
    q_max = None if curve.in_q_space else curve.q_max
    view = View(
        as_g(measurement.total, box.number_density),
        rebuilt_r,
        flat.total_background[:, 0] / level if curve.in_q_space else None,
        truncated if q_max else None,
        q_max,
    )
    root: Array | None = None
    if sigma is not None and curve.quantity == "g(r)":
        root = interpolation(curve.x, measurement.r) * sigma
    elif sigma is not None and curve.in_q_space:
        unit = sigma * BoundCurve(curve, box).unit()
        root = q_to_r_matrix(curve.x, measurement.r, curve.window) * unit / level[:, None]
    yield PeakedCurve(data.name, "T(r)/(4 pi rho0 r)", "Å", view, measurement.total_values / level, root)

    if curve.in_q_space:

        def rebuilt_q(other: Box) -> tuple[CurveOperator, Array]:
            made = ForwardModel(curve, other).measurement(limits)
            return made.in_box, made.in_box_values

        view = View(measurement.in_box, rebuilt_q, flat.in_box_background[:, 0])
        root = None if sigma is None else np.diag(sigma)
        yield PeakedCurve(data.name, curve.quantity, "1/Å", view, measurement.in_box_values, root)


def compared(curve: PeakedCurve, ensemble: Ensemble, state: str, correction: PairCorrection) -> PeakComparison:
    """First peaks of measurement and model, errors, and what the model's depends on.

    ensemble: frames of the data set's state, whose name is `state`.
    Raises InputError where one of them has no first peak, or both stand at different places.
    """
    view, unit, measured, root = curve.view, curve.unit, curve.measured, curve.root
    x, where = view.operator.x, f"{curve.label} of {curve.data}"
    level = float(np.median(view.operator.baseline))
    window = first_peak_range(x, measured, level, where)
    seen = peak(x, measured, *window, f"measured {where}")
    y = view.operator.predict(ensemble.frames.counts)
    mean = y.mean(axis=0)
    # The model's own window: in the measured one its peak may be cut off.
    model_window = first_peak_range(x, mean, level, where)
    if model_window[0] >= window[1] or model_window[1] <= window[0]:
        spans = (f"{low:.3g} to {high:.3g} {unit}" for low, high in (window, model_window))
        raise InputError("the measured one stands at {}, the model's at {}".format(*spans), where=where)
    top = peak(x, mean, *model_window, f"model's {where}")
    columns, _ = ensemble.columns(view)
    height_error, position_error = (_mean_error(y @ d, ensemble.frames) for d in (top.d_height, top.d_position))
    of_data = (None, None) if root is None else tuple(float(np.linalg.norm(d @ root)) for d in _slopes(seen))
    error = math.hypot(height_error, of_data[0] or 0.0)
    sensitivities = []
    for kind in (k for k in KINDS if k in columns):
        column = columns[kind]
        if kind == "pair":
            by_height, by_position = (column.T @ d * BOLTZMANN * ensemble.temperature for d in _slopes(top))
            index = int(np.argmax(np.abs(by_height)))
            member, per, size = coefficient(correction, index), "kT", 1.0
        else:
            by_height, by_position = (column.T @ d for d in _slopes(top))
            factor, per = shown_unit(kind)
            index, size = 0, 1.0 / factor
            member = state if kind in ("temperature", "density") else curve.data
        slope = PeakSlope(kind, member, per, float(by_height[index] * size), float(by_position[index] * size))
        sensitivities.append(slope)
    return PeakComparison(
        data=curve.data,
        curve=curve.label,
        unit=unit,
        measured_height=seen.height,
        measured_height_stderr=of_data[0],
        measured_position=seen.position,
        measured_position_stderr=of_data[1],
        model_height=top.height,
        model_height_stderr=height_error,
        model_position=top.position,
        model_position_stderr=position_error,
        sigmas=(top.height - seen.height) / error,
        sensitivities=tuple(sensitivities),
    )


def _slopes(top: Peak) -> tuple[Array, Array]:
    """Derivatives of height and position by the curve."""
    return top.d_height, top.d_position


def _mean_error(series: Array, frames: Frames) -> float:
    """Standard error of the mean of one number a frame, (frames,)."""
    return float(standard_error(series, frames.replica))
