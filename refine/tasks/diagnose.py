"""`refine diagnose STUDY`: why the base model's curves are not the measured ones, before anything is fitted.

Each state is sampled once with the base model. `refinement.misfit` then says what the misfit looks like - another
temperature or density, resolution, scale, background, or a pair correction - and `scattering.peaks` whether the model
is over-structured and what its first peaks depend on. Everything is linear about the base model: shifts of more than a
few per cent of T or of the density are directions rather than numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refine.curves.transforms import q_to_r_matrix
from refine.errors import InputError
from refine.files import make_folder, write_text
from refine.potentials.correction import PairCorrection
from refine.progress import NullProgress, Progress
from refine.refinement.convergence import misfit as sample_misfit
from refine.refinement.misfit.decomposition import KINDS, Decomposition, Solution
from refine.refinement.misfit.ensemble import Ensemble
from refine.refinement.misfit.linear import linearise
from refine.refinement.misfit.views import Datum, View, truncated_curve
from refine.refinement.problem import Sample
from refine.sampling.averages import FRAMES_FOR_COVARIANCES, standard_error
from refine.sampling.frames import Frames, by_replica
from refine.sampling.jax.random_numbers import seed_of_state
from refine.scattering.measurement import ForwardModel
from refine.scattering.operator import CurveOperator, interpolation
from refine.scattering.peaks import Peak, first_peak_range, peak
from refine.system import Box
from refine.units import BOLTZMANN

if TYPE_CHECKING:
    from refine.study.datasets import DataSet
    from refine.study.study import Study

Array = NDArray[np.float64]

CLEAR = 3.0
"""Standard deviations of chi^2 above which there is a misfit to take apart, and of a peak that counts as different."""

COLLINEAR = 0.9
"""Correlation above which two directions cannot be told apart."""

NAMES = {
    "temperature": "temperature shift",
    "density": "density shift",
    "scale": "scale error",
    "background": "flat background",
    "damping": "Q resolution (Qdamp^2)",
    "broadening": "broadening in r (s^2)",
    "truncation": "change of Q_max",
    "pair": "pair correction",
}


@dataclass(frozen=True)
class Estimate:
    """One parameter, alone and with all the others.

    Attributes:
        member: the state or data set.
        alone, alone_stderr, together, together_stderr: in `unit`.
    """

    member: str
    unit: str
    alone: float
    alone_stderr: float
    together: float
    together_stderr: float


@dataclass(frozen=True)
class Explanation:
    """One kind of direction (`refine.refinement.misfit`).

    Attributes:
        share, share_stderr: of the excess chi^2 that it explains alone; None where there is no excess.
        last, last_stderr: that it adds when all the others are in; likewise.
        chi2: left when it acts alone.
        estimates: for each state or data set; for the pair correction phi where it is largest.
        overlaps: correlation with every other kind.
    """

    kind: str
    share: float | None
    share_stderr: float | None
    last: float | None
    last_stderr: float | None
    chi2: float
    estimates: tuple[Estimate, ...]
    overlaps: dict[str, float]


@dataclass(frozen=True)
class Sensitivity:
    """d(peak)/d(parameter): `per` one `unit` of it."""

    kind: str
    member: str
    unit: str
    height: float
    position: float


@dataclass(frozen=True)
class PeakComparison:
    """The first peak of one curve, measured and of the base model.

    Attributes:
        curve: "T(r)/(4 pi rho0 r)", or the measured Q-space quantity.
        unit: of the position.
        measured_height, ...: of the measurement; its errors are None where it states none.
        model_height, ...: of the base model, errors of its sampling.
        sigmas: (model - measured height)/error; positive: over-structured.
        sensitivities: of the model's peak.
    """

    data: str
    curve: str
    unit: str
    measured_height: float
    measured_height_stderr: float | None
    measured_position: float
    measured_position_stderr: float | None
    model_height: float
    model_height_stderr: float
    model_position: float
    model_position_stderr: float
    sigmas: float
    sensitivities: tuple[Sensitivity, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What `refine diagnose` found.

    Attributes:
        data: names of the data sets taken together.
        frames: of each state.
        points: fitted.
        chi2, chi2_stderr: of the base model as `refine run` has it (`refine.refinement.convergence`): in units of the
            errors that are stated or estimated, the sampling noise taken off.
        weighed: the sum of squares that is taken apart, in units of all noise: the sampling's, and estimated errors
            times their `noise_factors`; excess and significance (in standard deviations) beyond noise.
        weighed_together: with all directions.
        expected_together: what it would be for noise alone.
        noise_factors: of data that state no errors, {name: factor on the estimated error}.
        best: the kind that explains most per parameter; None where there is no misfit to explain.
        warnings: peaks that could not be compared, in words.
    """

    data: tuple[str, ...]
    frames: dict[str, int]
    points: int
    chi2: float
    chi2_stderr: float
    weighed: float
    excess: float
    significance: float
    weighed_together: float
    expected_together: float
    noise_factors: dict[str, float]
    best: str | None
    explanations: tuple[Explanation, ...]
    peaks: tuple[PeakComparison, ...]
    warnings: tuple[str, ...]

    @property
    def clear(self) -> bool:
        """Whether there is a misfit beyond noise."""
        return self.significance > CLEAR

    def explanation(self, kind: str) -> Explanation:
        """Of one kind.

        Raises:
            KeyError: it does not apply to these data.
        """
        for found in self.explanations:
            if found.kind == kind:
                return found
        raise KeyError(kind)

    def to_json(self) -> str:
        """Everything, indented; numbers in the units that go with them."""
        return json.dumps(asdict(self) | {"words": self.words()}, indent=1, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """Plain text for a terminal."""
        head = ["direction", "of", "alone", "together", "explains alone", "adds last"]
        rows = []
        for found in self.explanations:
            shares = [_share(found.share, found.share_stderr), _share(found.last, found.last_stderr)]
            for i, one in enumerate(found.estimates):
                values = [_value(one.alone, one.alone_stderr, one.unit)]
                values += [_value(one.together, one.together_stderr, one.unit)]
                rows.append(
                    [NAMES[found.kind] if i == 0 else "", one.member, *values, *(shares if i == 0 else ["", ""])]
                )
        lines = [
            f"chi^2 {self.chi2:.0f} ± {self.chi2_stderr:.0f} on {self.points} points; "
            f"{self.weighed:.0f} in units of all noise, {self.weighed_together:.0f} with all directions together",
            "",
            *_aligned(head, rows),
        ]
        if self.peaks:
            head = ["first peak of", "data", "height measured", "model", "position measured", "model", "sigma"]
            rows = [
                [
                    p.curve,
                    p.data,
                    _value(p.measured_height, p.measured_height_stderr, ""),
                    _value(p.model_height, p.model_height_stderr, ""),
                    _value(p.measured_position, p.measured_position_stderr, p.unit),
                    _value(p.model_position, p.model_position_stderr, p.unit),
                    f"{p.sigmas:+.1f}",
                ]
                for p in self.peaks
            ]
            lines += ["", *_aligned(head, rows)]
            head = ["d(peak)", "data", "by", "of", "d height", "d position"]
            rows = [
                [
                    p.curve,
                    p.data,
                    NAMES[s.kind],
                    s.member,
                    f"{s.height:+.3g} / {s.unit or 'unit'}",
                    f"{s.position:+.3g} {p.unit}",
                ]
                for p in self.peaks
                for s in p.sensitivities
            ]
            lines += ["", *_aligned(head, rows)]
        return "\n".join(lines) + "\n"

    def words(self) -> list[str]:
        """The findings as sentences."""
        subject = " and ".join(self.data)
        said = []
        if not self.clear:
            said.append(
                f"The base model agrees with {subject} within the errors ({self.weighed:.0f} squares of the noise for "
                f"{self.points} points): there is no misfit to take apart."
            )
        else:
            said.append(
                f"The misfit of {subject} is {self.weighed:.0f} squares of the noise, that of the sampling included, "
                f"on {self.points} points, {self.significance:.0f} standard deviations beyond noise; all directions "
                f"together leave {self.weighed_together:.0f} (noise alone: {self.expected_together:.0f})."
            )
            ordered = sorted(self.explanations, key=lambda e: -(e.share or 0.0))
            said += [_sentence(found, subject) for found in ordered]
            assert self.best is not None
            said.append(f"The best single explanation for its number of parameters is a {NAMES[self.best]}.")
            said += list(self._collinear())
        for name, factor in self.noise_factors.items():
            said.append(
                f"{name} states no errors: they were estimated from its ripple and multiplied by {factor:.2f}, so that "
                "all directions together leave about one square a point; what is left cannot judge the model."
            )
        said += [_structure(p) for p in self.peaks]
        return said + list(self.warnings)

    def _collinear(self) -> Iterator[str]:
        """Pairs of directions that do nearly the same to the curves."""
        kinds = [e.kind for e in self.explanations]
        for found in self.explanations:
            for other, value in found.overlaps.items():
                if abs(value) >= COLLINEAR and kinds.index(other) > kinds.index(found.kind):
                    yield (
                        f"A {NAMES[found.kind]} and a {NAMES[other]} cannot be told apart by these data: correlation "
                        f"{value:.2f}."
                    )


def diagnose(
    study: Study,
    *,
    out: Path | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Sample the base model of a study and take its misfit apart.

    Args:
        study: a checked study; its fitted data sets are used.
        out: folder for diagnosis.json, written atomically; None: nothing is written.
        frames: of each state, all replicas together; default: the study's `sampling.frames`.
        progress: told what happens.

    Raises:
        InputError: nothing is fitted, or too few frames for covariances.
        RefineError: what the dynamics raise.
    """
    if not study.problem.targets:
        raise InputError("no data set is fitted", where="[[data]]", fix='give one role = "fit"')
    wanted = frames if frames is not None else study.config.sampling.frames
    if wanted < FRAMES_FOR_COVARIANCES:
        raise InputError(
            f"{wanted} frames are too few for covariances", where="frames", fix=f"use {FRAMES_FOR_COVARIANCES} or more"
        )
    found = examine(study, sample_base(study, wanted, progress or NullProgress()))
    if out is not None:
        make_folder(out)
        write_text(out / "diagnosis.json", found.to_json())
    return found


def sample_base(
    study: Study,
    frames: int,
    progress: Progress,
    *,
    positions: bool = False,
    corrections: Sequence[PairCorrection] | None = None,
) -> tuple[Frames, ...]:
    """Frames of every state under the base model, started as a run starts. positions: whether they keep them.
    corrections: of each state, on top of the base."""
    from refine.sampling.starts import equilibrate

    config = study.config.sampling
    stages = study.stages_at_volume()
    samplers = study.samplers(positions=positions)
    per_replica = max(4, math.ceil(frames / config.replicas))
    progress.stage(f"sampling the {'base' if corrections is None else 'refined'} model", len(samplers) * per_replica)
    sampled = []
    for s, (field, sampler) in enumerate(samplers):
        temperature = study.problem.temperatures[s]
        correction = study.initial_correction() if corrections is None else corrections[s]
        params = field.params(correction.at(temperature))
        seed = seed_of_state(config.seed, s)
        state = equilibrate(sampler, params, temperature, seed, config.equilibration, stages)
        parts: list[Frames] = []
        done = 0
        while done < per_replica:
            count = min(sampler.frames_per_block, per_replica - done)
            state, piece = sampler.run(state, params, temperature, count)
            parts.append(piece)
            done += count
            progress.advance(count)
        sampled.append(by_replica(parts))
    return tuple(sampled)


def examine(study: Study, frames: Sequence[Frames]) -> Diagnosis:
    """The diagnosis from sampled frames of every state."""
    correction = study.initial_correction()
    temperatures, names = study.problem.temperatures, [state.name for state in study.config.states]
    ensembles = [
        Ensemble.build(f, box, t, correction) for f, box, t in zip(frames, study.boxes, temperatures, strict=True)
    ]
    fitted = [d for d in study.datasets if d.role == "fit"]
    entries = {entry.name: entry for entry in study.config.data}
    data = [
        Datum(
            study.targets[d.name],
            d.measurement.curve,
            study.boxes[d.state],
            entries[d.name].fit_q,
            entries[d.name].fit_r,
        )
        for d in fitted
    ]
    length = study.config.correction.length
    linear = linearise(data, ensembles, names, correction, length)
    misfit, factors = linear.settled()
    full = misfit.solve(misfit.kinds)
    plain = sample_misfit(Sample(correction, tuple(frames)), [d.target for d in data])
    clear = misfit.significance > CLEAR
    compared, warnings = [], []
    for d in fitted:
        for label, unit, view, measured, sigma in _views(d, study.boxes[d.state]):
            try:
                compared.append(
                    _compare(d, label, unit, view, measured, sigma, ensembles[d.state], names[d.state], correction)
                )
            except InputError as error:
                warnings.append(f"The first peak of {label} of {d.name} cannot be compared: {error}.")
    unknown = [(d.target, f) for d, f in zip(linear.data, factors, strict=True) if not d.target.sigma_known]
    return Diagnosis(
        data=tuple(d.target.name for d in linear.data),
        frames={name: len(f) for name, f in zip(names, frames, strict=True)},
        points=len(misfit.residual),
        chi2=plain.chi2,
        chi2_stderr=plain.error,
        weighed=misfit.chi2,
        excess=misfit.excess,
        significance=misfit.significance,
        weighed_together=full.chi2,
        expected_together=len(misfit.residual) - full.freedom,
        noise_factors={target.name: float(f) for target, f in unknown},
        best=misfit.best() if clear else None,
        explanations=tuple(_explanation(misfit, kind, correction, temperatures[0], clear) for kind in misfit.kinds),
        peaks=tuple(compared),
        warnings=tuple(warnings),
    )


# -- directions --------------------------------------------------------------------------------------------------------


def _explanation(
    misfit: Decomposition, kind: str, correction: PairCorrection, temperature: float, clear: bool
) -> Explanation:
    """One kind, in the units of tables."""
    alone, full = misfit.solve([kind]), misfit.solve(misfit.kinds)
    direction = next(d for d in misfit.directions if d.kind == kind)
    share, last = (misfit.alone(kind), misfit.last(kind)) if clear else (None, None)
    estimates = []
    if kind == "pair":
        estimates.append(_largest(correction, temperature, alone, full))
    else:
        factor, unit = _shown_unit(kind)
        for i, member in enumerate(direction.members):
            numbers = (s[kind][i] * factor for s in (alone.values, alone.stderr, full.values, full.stderr))
            estimates.append(Estimate(member, unit, *map(float, numbers)))
    return Explanation(
        kind=kind,
        share=share.value if share else None,
        share_stderr=share.stderr if share else None,
        last=last.value if last else None,
        last_stderr=last.stderr if last else None,
        chi2=alone.chi2,
        estimates=tuple(estimates),
        overlaps={other: misfit.overlap(kind, other) for other in misfit.kinds if other != kind},
    )


def _largest(correction: PairCorrection, temperature: float, alone: Solution, full: Solution) -> Estimate:
    """phi of the pair correction, in kT, at the coefficient that stands out of its error most.

    A coefficient is the spline's value to second order in the knot spacing.
    """
    kt = BOLTZMANN * temperature
    index = int(np.argmax(np.abs(alone.values["pair"]) / alone.stderr["pair"]))
    numbers = (s["pair"][index] / kt for s in (alone.values, alone.stderr, full.values, full.stderr))
    return Estimate(_coefficient(correction, index), "kT", *map(float, numbers))


def _coefficient(correction: PairCorrection, index: int) -> str:
    """What one coefficient of theta is: Ar-Ar at 4.20 Å."""
    size = correction.basis.size
    block, k = divmod(index, size)
    term, active = divmod(block, len(correction.active_pairs))
    name = "-".join(correction.pairs[correction.active_pairs[active]])
    changing = ", change with temperature" if term else ""
    return f"{name} at {correction.basis.centres[k]:.2f} Å{changing}"


def _shown_unit(kind: str) -> tuple[float, str]:
    """Factor and unit of a kind in tables: shares in per cent."""
    if kind in ("density", "scale"):
        return 100.0, "%"
    return 1.0, {"temperature": "K", "damping": "1/Å^2", "broadening": "Å^2", "truncation": "1/Å"}.get(kind, "")


# -- peaks -------------------------------------------------------------------------------------------------------------


def _views(data: DataSet, box: Box) -> Iterator[tuple[str, str, View, Array, Array | None]]:
    """Curves whose first peak is compared: label, unit of x, view, measured values, and the root of their covariance.

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
    q_max = None if curve.in_q_space else curve.q_max
    view = View(
        as_g(measurement.total, box.number_density),
        rebuilt_r,
        measurement.total_background / level,
        truncated if q_max else None,
        q_max,
    )
    root: Array | None = None
    if sigma is not None and curve.quantity == "g(r)":
        root = interpolation(curve.x, measurement.r) * sigma
    elif sigma is not None and curve.in_q_space:
        factor = curve.distinct_factor(curve.x) * (curve.x if curve.quantity == "Q[S(Q)-1]" else 1.0)
        unit = np.divide(sigma, factor, out=np.zeros_like(sigma), where=factor != 0.0)
        root = q_to_r_matrix(curve.x, measurement.r, curve.window) * unit / level[:, None]
    yield "T(r)/(4 pi rho0 r)", "Å", view, measurement.total_values / level, root

    if curve.in_q_space:

        def rebuilt_q(other: Box) -> tuple[CurveOperator, Array]:
            made = ForwardModel(curve, other).measurement(limits)
            return made.in_box, made.in_box_values

        view = View(measurement.in_box, rebuilt_q, measurement.in_box_background)
        root = None if sigma is None else np.diag(sigma)
        yield curve.quantity, "1/Å", view, measurement.in_box_values, root


def _compare(
    data: DataSet,
    label: str,
    unit: str,
    view: View,
    measured: Array,
    root: Array | None,
    ensemble: Ensemble,
    state: str,
    correction: PairCorrection,
) -> PeakComparison:
    """First peaks of measurement and model, errors, and what the model's depends on."""
    x, where = view.operator.x, f"{label} of {data.name}"
    level = float(np.median(view.operator.baseline))
    window = first_peak_range(x, measured, level, where)
    seen = peak(x, measured, *window, f"measured {where}")
    y = view.operator.predict(ensemble.frames.counts)
    mean = y.mean(axis=0)
    # The model's own window: in the measured one its peak may be cut off.
    own = first_peak_range(x, mean, level, where)
    if own[0] >= window[1] or own[1] <= window[0]:
        spans = (f"{low:.3g} to {high:.3g} {unit}" for low, high in (window, own))
        raise InputError("the measured one stands at {}, the model's at {}".format(*spans), where=where)
    top = peak(x, mean, *own, f"model's {where}")
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
            member, per, size = _coefficient(correction, index), "kT", 1.0
        else:
            by_height, by_position = (column.T @ d for d in _slopes(top))
            factor, per = _shown_unit(kind)
            index, size = 0, 1.0 / factor
            member = state if kind in ("temperature", "density") else data.name
        found = Sensitivity(kind, member, per, float(by_height[index] * size), float(by_position[index] * size))
        sensitivities.append(found)
    return PeakComparison(
        data=data.name,
        curve=label,
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


def _slopes(found: Peak) -> tuple[Array, Array]:
    """Derivatives of height and position by the curve."""
    return found.d_height, found.d_position


def _mean_error(series: Array, frames: Frames) -> float:
    """Standard error of the mean of one number a frame, (frames,)."""
    return float(standard_error(series, frames.replica))


# -- words -------------------------------------------------------------------------------------------------------------


def _sentence(found: Explanation, subject: str) -> str:
    """What one kind explains."""
    percent, error = (100.0 * (v or 0.0) for v in (found.share, found.share_stderr))
    verb = f"{percent:.0f} ± {max(error, 1.0):.0f} % of the misfit of {subject} is what "
    last = f"; when all the others are in, it adds {100.0 * (found.last or 0.0):.0f} %."
    if found.kind == "pair":
        one = found.estimates[0]
        return (
            f"{verb}a pair correction would explain alone, largest beyond its error for {one.member}: "
            f"{_value(one.alone, one.alone_stderr, one.unit)}{last}"
        )
    sizes = [f"{_signed(e.alone, e.alone_stderr, e.unit)} ({e.member})" for e in found.estimates]
    said = f"{verb}a {NAMES[found.kind]} of {', '.join(sizes)} would do{last}"
    if found.kind in ("damping", "broadening"):
        if any(e.alone < -2.0 * e.alone_stderr for e in found.estimates):
            said += (
                " A negative value is nothing that an instrument can do: the model is already broader than the data."
            )
        elif found.kind == "damping" and any(e.alone > 2.0 * e.alone_stderr for e in found.estimates):
            roots = [f"{math.sqrt(max(0.0, e.alone)):.3f} 1/Å ({e.member})" for e in found.estimates]
            said += f" As a Gaussian resolution in Q, exp(-Q_damp² r²/2) on D(r), that is Q_damp = {', '.join(roots)}."
    return said


def _structure(found: PeakComparison) -> str:
    """Whether the model is over-structured."""
    heights = (
        f"{_value(found.model_height, found.model_height_stderr, '')} against "
        f"{_value(found.measured_height, found.measured_height_stderr, '')}"
    )
    positions = (
        f"at {_value(found.model_position, found.model_position_stderr, '')} against "
        f"{_value(found.measured_position, found.measured_position_stderr, '')} {found.unit}"
    )
    begin = f"The base model's first peak of {found.curve} of {found.data}"
    errors = "" if found.measured_height_stderr is not None else ", by the model's sampling error alone"
    if abs(found.sigmas) < CLEAR:
        return (
            f"{begin} differs from the measured one by only {found.sigmas:+.1f} sigma{errors} ({heights}), {positions}."
        )
    word = "too high: the model is over-structured" if found.sigmas > 0.0 else "too low: the model is under-structured"
    return f"{begin} is {word} by {abs(found.sigmas):.1f} sigma{errors} ({heights}), {positions}."


def _value(value: float, error: float | None, unit: str) -> str:
    """Rounded to two digits of the error, with the unit."""
    if error is None or not math.isfinite(error) or error <= 0.0:
        text = f"{value:.4g}"
    else:
        decimals = max(0, 1 - math.floor(math.log10(error)))
        text = f"{value:.{decimals}f} ± {error:.{decimals}f}"
    return f"{text} {unit}".rstrip()


def _signed(value: float, error: float, unit: str) -> str:
    """As `_value`, with a plus sign where positive."""
    return ("+" if value > 0.0 else "") + _value(value, error, unit)


def _share(value: float | None, error: float | None) -> str:
    """A share in per cent; a dash where there is no misfit to share."""
    if value is None or error is None:
        return "–"
    return f"{100.0 * value:.0f} ± {max(1.0, 100.0 * error):.0f} %"


def _aligned(head: list[str], rows: list[list[str]]) -> list[str]:
    """Columns two spaces apart."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
