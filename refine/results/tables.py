"""The tables of a finished run as comma-separated text: curves, predictions, g(r)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve
from refine.curves.quantities import units
from refine.refinement.inference.nuisance import Nuisance
from refine.results.derived import Propagation
from refine.results.outcome import Outcome
from refine.scattering.compared import Measurement
from refine.scattering.instrument import added, seen
from refine.scattering.operator import CurveOperator
from refine.study.datasets import DataSet, Prediction

Array = NDArray[np.float64]


def curve_table(outcome: Outcome, data: DataSet, propagation: Propagation, free: Nuisance) -> str:
    """Measured and modelled curves, as they are and as they are compared (`Measurement.in_box`).

    Errors of the final ones: posterior and sampling together, and of the curve as it is, that of the cut of g(r).
    Where a background is free its column is what measurement and models have on top of their structure.
    """
    measurement = data.measurement
    shown, sigma = measurement.shown, measurement.shown_sigma
    counts = [outcome.samples[k].frames[data.state].counts.mean(axis=0, dtype=np.float64) for k in (0, outcome.final)]

    def as_reported(operator: CurveOperator, background: Array) -> list[Array]:
        curves = (operator.predict(c) for c in counts)
        return [seen(y, operator.baseline, free.scale, added(background, free.background)) for y in curves]

    def error(operator: CurveOperator) -> Array:
        return np.asarray(free.scale * np.hypot(*propagation.errors(operator.matrix)))

    columns = [
        shown.x,
        measurement.shown_values,
        sigma if sigma is not None else np.full(len(shown.x), np.nan),
        *as_reported(shown, measurement.shown_background),
        np.hypot(error(shown), free.scale * measurement.cut_error(counts[1])),
        measurement.in_box_values,
        *as_reported(measurement.in_box, measurement.in_box_background),
        error(measurement.in_box),
    ]
    names = ("measured", "sigma", "initial", "final", "final_stderr")
    boxed = ("measured_box", "initial_box", "final_box", "final_box_stderr")
    taken_header, taken = background_column(measurement, free)
    return csv_text([*curve_header(measurement.curve, names, boxed), *taken_header], [*columns, *taken])


def background_column(measurement: Measurement, free: Nuisance) -> tuple[list[str], list[Array]]:
    """Header and values on the measured points of what a background adds to the curve; empty where none is free."""
    if not free.background:
        return [], []
    return curve_header(measurement.curve, ["background"])[1:], [added(measurement.shown_background, free.background)]


def prediction_table(outcome: Outcome, prediction: Prediction, propagation: Propagation) -> str:
    """Predicted curve before and after; the final one with its standard error.

    Of posterior, sampling and the cut of g(r) at half the box together.
    """
    shown = prediction.measurement.shown
    frames = [outcome.samples[k].frames[prediction.state] for k in (0, outcome.final)]
    counts = [f.counts.mean(axis=0, dtype=np.float64) for f in frames]
    error = np.hypot(np.hypot(*propagation.errors(shown.matrix)), prediction.measurement.cut_error(counts[1]))
    columns = [shown.x, *(shown.predict(c) for c in counts), error]
    return csv_text(curve_header(prediction.measurement.curve, ("initial", "final", "final_stderr")), columns)


def g_table(outcome: Outcome, s: int, propagation: Propagation) -> str:
    """Partial g(r); the final ones with their standard errors, posterior and sampling together. With molecules also the
    part between them."""
    box = outcome.study.boxes[s]
    header, columns = [R], [box.centres]
    g = [outcome.samples[k].frames[s].pair_distribution() for k in (0, outcome.final)]
    per_count = np.divide(1.0, box.ideal_counts, out=np.zeros_like(box.ideal_counts), where=box.ideal_counts > 0.0)
    error = np.hypot(*propagation.errors_of_counts()).reshape(per_count.shape) * per_count
    for p, (a, b) in enumerate(outcome.study.pairs):
        header += [f"{a}-{b} {name} [g(r)]" for name in ("initial", "final", "final stderr")]
        columns += [g[0][p], g[1][p], error[p]]
    frames = [outcome.samples[k].frames[s] for k in (0, outcome.final)]
    if frames[1].bonded is not None:
        between = [one.felt.pair_distribution() for one in frames]
        for p, (a, b) in enumerate(outcome.study.pairs):
            header += [f"{a}-{b} {name} between molecules [g(r)]" for name in ("initial", "final")]
            columns += [between[0][p], between[1][p]]
    return csv_text(header, columns)


Q, R = "Q [1/angstrom]", "r [angstrom]"
"""Headers of the first column. A header is a name and, in brackets, what the numbers are: their unit and convention."""


def curve_header(curve: Curve, names: Sequence[str], boxed: Sequence[str] = ()) -> list[str]:
    """Headers of x and of columns that are a curve, and of those that are one as the simulation box shows it.

    >>> facts = {"normalisation": "keen", "number_density": 0.1, "composition": {"Si": 1, "O": 2}, "q_max": 20.0}
    >>> curve = Curve(np.arange(1.0, 9.0), np.zeros(8), quantity="D(r)", radiation="neutron", **facts)
    >>> curve_header(curve, ["measured"])
    ['r [angstrom]', 'measured [D(r) keen barn/sr/angstrom^2]']
    """
    scattering, power = units(curve.quantity, curve.normalisation, curve.radiation)
    length = f"{scattering or '1'}/angstrom" + (f"^{-power}" if power < -1 else "") if power else scattering
    what = curve.quantity if curve.pair is None else f"{curve.quantity} {'-'.join(curve.pair)}"
    what = f"{what} {curve.normalisation} {length}".rstrip()
    return [
        Q if curve.in_q_space else R,
        *(f"{name} [{what}]" for name in names),
        *(f"{name} [{what}; as the box shows it]" for name in boxed),
    ]


def csv_text(header: Sequence[str], columns: Sequence[Array]) -> str:
    """Comma-separated text; what is not known is an empty field, and a column without a single number is left out.

    >>> unknown = np.array([np.nan, np.nan])
    >>> print(csv_text(["r [angstrom]", "g", "stderr"], [np.array([1.0, 2.0]), np.array([0.5, np.nan]), unknown]))
    r [angstrom],g
    1,0.5
    2,
    <BLANKLINE>
    """
    return csv_rows(header, zip(*columns, strict=True))


def csv_rows(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The same of rows, which may hold text, too.

    >>> print(csv_rows(["method", "value"], [["backprop", 0.5], ["fluctuation", None]]), end="")
    method,value
    backprop,0.5
    fluctuation,
    """

    def cell(value: Any) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        return f"{value:.8g}" if math.isfinite(value) else ""

    cells = [[cell(value) for value in row] for row in rows]
    known = [k for k in range(len(header)) if not cells or any(row[k] for row in cells)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([row[k] for k in known] for row in (header, *cells))
    return stream.getvalue()


def plain(value: Any) -> Any:
    """JSON values: arrays as lists, what is not finite as null.

    >>> plain({"g": np.array([1.0, np.inf]), "frames": np.int64(3)})
    {'g': [1.0, None], 'frames': 3}
    """
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
