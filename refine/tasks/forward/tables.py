"""The curves of a trajectory as CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refine.curves.transforms import r_to_q_matrix
from refine.curves.weights import amplitudes, pair_weights, scatters_null
from refine.refinement.inference.nuisance import Nuisance
from refine.results.derived import Propagation
from refine.results.tables import Q, R, background_column, csv_text, curve_header
from refine.sampling.averages import FRAMES_FOR_ERRORS
from refine.sampling.frames import Frames
from refine.scattering.compared import Cut
from refine.scattering.instrument import added, seen
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator
from refine.scattering.points import R_CHI_STEP
from refine.study.datasets import Prediction
from refine.system import Box
from refine.tasks.forward.compared import Compared

Array = NDArray[np.float64]

Q_STEP, Q_MAX = 0.05, 25.0
"""1/Å: grid of the table of partial structure factors, which ends where the data end, and where none says so."""


@dataclass(frozen=True)
class Averages:
    """Averages over the frames of a trajectory.

    Their standard errors are those of correlated frames; of fewer than `FRAMES_FOR_ERRORS` none is given.
    """

    frames: Frames

    @property
    def enough(self) -> bool:
        """Whether there are errors."""
        return len(self.frames) >= FRAMES_FOR_ERRORS

    @cached_property
    def mean(self) -> Array:
        """(pairs, bins) counts."""
        return np.asarray(self.frames.counts.mean(axis=0, dtype=np.float64))

    def errors(self, matrix: Array) -> Array:
        """Standard errors (n,) of matrix @ <h>; NaN with too few frames."""
        return propagation(self.frames).errors(matrix)[1] if self.enough else np.full(len(matrix), np.nan)


def propagation(frames: Frames) -> Propagation:
    """Errors of sampling alone."""
    return Propagation(frames, np.zeros((0, 0)), None)


def curve_table(averages: Averages, compared: Compared) -> str:
    """Measured and model as they are, then as they are compared (`Measurement.in_box`)."""
    measurement, scale = compared.data.measurement, abs(compared.free.scale)
    shown, in_box, sigma = measurement.shown, measurement.in_box, measurement.shown_sigma
    columns = [
        shown.x,
        measurement.shown_values,
        np.full(len(shown.x), np.nan) if sigma is None else sigma,
        _reported(shown, averages.mean, compared.free, measurement.shown_background),
        scale * np.hypot(averages.errors(shown.matrix), measurement.cut_error(averages.mean)),
        measurement.in_box_values,
        _reported(in_box, averages.mean, compared.free, measurement.in_box_background),
        scale * averages.errors(in_box.matrix),
    ]
    names, boxed = ("measured", "sigma", "model", "model_stderr"), ("measured_box", "model_box", "model_box_stderr")
    taken_header, taken = background_column(measurement, compared.free)
    return csv_text([*curve_header(measurement.curve, names, boxed), *taken_header], [*columns, *taken])


def prediction_table(averages: Averages, one: Prediction) -> str:
    """The standard error is that of sampling and of the cut of g(r) at half the box together."""
    shown, cut = one.measurement.shown, one.measurement.cut_error(averages.mean)
    columns = [shown.x, shown.predict(averages.mean), np.hypot(averages.errors(shown.matrix), cut)]
    return csv_text(curve_header(one.measurement.curve, ("model", "model_stderr")), columns)


def total_table(averages: Averages, compared: Compared, box: Box) -> str:
    """D(r) and T(r), Faber-Ziman, through the data set's Q range and window, over all r that both sides know.

    The measured ones as R_chi takes them, with the periodic images of the box.
    """
    curve = compared.data.measurement.curve
    reach = box.r_max if curve.in_q_space else min(box.r_max, float(curve.x[-1]))
    whole = ForwardModel(curve, box, compared.data.background).measurement((R_CHI_STEP, reach))
    model = _reported(whole.total, averages.mean, compared.free, whole.total_background)
    uniform = whole.total.baseline
    columns = [
        whole.r,
        whole.total_values - uniform,
        model - uniform,
        whole.total_values,
        model,
        abs(compared.free.scale) * averages.errors(whole.total.matrix),
    ]
    unit = "faber-ziman 1/angstrom^2"
    names = ("D measured", "D model", "T measured", "T model", "model_stderr")
    return csv_text([R, *(f"{name} [{unit}]" for name in names)], columns)


def g_table(averages: Averages, pairs: Sequence[tuple[str, str]]) -> str:
    """g(r) of all pairs, with standard errors."""
    frames = averages.frames
    header, columns = [R], [frames.centres]
    ideal = frames.ideal_counts()
    per_count = np.divide(1.0, ideal, out=np.zeros_like(ideal), where=ideal > 0.0)
    errors = np.full(ideal.size, np.nan)
    if averages.enough:
        errors = propagation(frames).errors_of_counts()[1]
    g, stderr = frames.pair_distribution(), errors.reshape(ideal.shape) * per_count
    for p, (a, b) in enumerate(pairs):
        header += [f"{a}-{b} [g(r)]", f"{a}-{b} stderr [g(r)]"]
        columns += [g[p], stderr[p]]
    return csv_text(header, columns)


def s_table(averages: Averages, scores: Sequence[Compared], box: Box) -> str:
    """Faber-Ziman A_ij(Q), and S(Q) with the weights of every data set that is a total; g = 1 beyond r_max.

    Standard errors of sampling and of that cut.
    """
    q = _q_points(scores, box)
    pairs = box.pairs
    to_q = r_to_q_matrix(box.edges, q, box.number_density, of="means")
    header, columns = [Q], [q]

    def add(name: str, weights: Array) -> None:
        """weights: (pairs, nq)."""
        one = np.ones(len(q))
        operator = CurveOperator.from_g(q, weights.T[:, :, None] * to_q[:, None, :], one, one, box)
        header.extend([f"{name} [S(Q) faber-ziman]", f"{name} stderr [S(Q) faber-ziman]"])
        error = np.hypot(averages.errors(operator.matrix), Cut(q, weights.T, box).error(averages.mean))
        columns.extend([operator.predict(averages.mean), error])

    for p, (a, b) in enumerate(pairs):
        add(f"{a}-{b}", np.repeat(np.eye(len(pairs))[p][:, None], len(q), axis=1))
    for score in scores:
        curve = score.data.measurement.curve
        if curve.pair is None and curve.radiation is not None:
            f = amplitudes(curve.radiation, box.species, q, isotopes=curve.isotopes, charges=curve.charges)
            if not scatters_null(box.fractions, f):  # else there is no S(Q)
                add(score.data.name, pair_weights(box.fractions, f))
    return csv_text(header, columns)


def _q_points(scores: Sequence[Compared], box: Box) -> Array:
    """From the box's longest wave, 2 r_max."""
    curves = [score.data.measurement.curve for score in scores]
    last = max((float(c.q_max) for c in curves if c.q_max is not None), default=Q_MAX)
    first = math.ceil(math.pi / box.r_max / Q_STEP)
    return Q_STEP * np.arange(first, max(first + 1, math.floor(last / Q_STEP + 1e-9)) + 1, dtype=np.float64)


def _reported(operator: CurveOperator, counts: Array, free: Nuisance, background: Array) -> Array:
    """The model as the instrument would report it."""
    return seen(operator.predict(counts), operator.baseline, free.scale, added(background, free.background))
