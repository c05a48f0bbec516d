"""`refine compare STUDY --models FILE ... --runs FOLDER ...`: several models against the same measurement, no fit.

Each model is sampled once in each state, started as a run starts. A model that cannot be sampled is a row that says
why, and the others still run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError, RefineError
from refine.files import make_folder, write_text
from refine.potentials.correction import PairCorrection
from refine.potentials.keys import Model
from refine.progress import NullProgress, Progress
from refine.refinement.inference.nuisance import Nuisance
from refine.refinement.rules import RULES
from refine.results.derived import Propagation, coordination_numbers, shells_of
from refine.results.ranking import Curve, FirstPeak, Ranking, Row
from refine.results.writer import csv_text
from refine.sampling.averages import FRAMES_FOR_ERRORS, error_of, standard_error
from refine.sampling.frames import Frames
from refine.scattering.peaks import Peak, first_peak_range, peak
from refine.study.datasets import DataSet, Prediction, scored
from refine.study.schema import ModelFile, StudyConfig
from refine.tasks.diagnose import sample_base
from refine.tasks.transport import transport

if TYPE_CHECKING:
    from refine.export.read import Exported
    from refine.refinement.problem import Target
    from refine.study.study import Study

Array = NDArray[np.float64]


def compare(
    config: StudyConfig,
    models: Sequence[Path] | None = None,
    *,
    runs: Sequence[Path] = (),
    out: Path | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Sample the study's base model, those of the files and the refined ones of the runs, and rank them; without a
    measured curve, in that order.

    Args:
        config: the study; nothing is fitted.
        models: files with a [model] table and, optionally, a label; None: those of the study's [compare].
        runs: folders of finished runs, whose refined potentials are compared too.
        out: folder for compare.json, compare.html and compare/<model>/<data set>.csv; None: nothing is written.
        frames: of each state, all replicas together; default: the study's `sampling.frames`.
        progress: told what happens.

    Raises:
        InputError: a model file or a run that cannot be read, two models of one label, too few frames.
    """
    files = config.compare.paths if models is None else models
    own = config.model.title + ("+D3" if config.model.dispersion != "none" else "")
    entries = [_Entry(own, config.model), *(_Entry(f.label, f.model) for f in map(ModelFile.from_toml, files))]
    entries += [_refined(folder, config) for folder in runs]
    labels = [entry.label.lower() for entry in entries]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two models are called '{label}'", where="--models", fix="give each file a label")
    wanted = config.sampling.frames if frames is None else frames
    if wanted < FRAMES_FOR_ERRORS:
        raise InputError(f"{wanted} frames are too few", where="--frames", fix=f"use {FRAMES_FOR_ERRORS} or more")
    rows = []
    for entry in entries:
        (progress or NullProgress()).message(f"model {entry.label}")
        try:
            rows.append(_row(entry, config, wanted, progress or NullProgress()))
        except RefineError as error:
            rows.append(Row(entry.label, failure=str(error)))
    rows.sort(key=_mean_score)
    predicted = tuple(data.name for data in config.data if data.role == "predict")
    measured = tuple(data.name for data in config.data if data.role != "predict")
    found = Ranking(config.title, measured, predicted, tuple(rows))
    if out is not None:
        _write(found, out)
    return found


def _mean_score(row: Row) -> float:
    if row.failure is not None:
        return math.inf
    return float(np.mean([value for value, _ in row.r_chi.values()])) if row.r_chi else 0.0


@dataclass(frozen=True)
class _Entry:
    """What is compared: a base model, or what a run made of it, at the temperature of each state."""

    label: str
    model: Model
    run: tuple[Exported, ...] = ()


def _refined(folder: Path, config: StudyConfig) -> _Entry:
    """The refined potential of a finished run."""
    from refine.export.read import read_correction

    changing = StudyConfig.from_toml(folder / "study.toml").correction.temperature == "linear"
    run = tuple(read_correction(folder, state.temperature if changing else None) for state in config.states)
    if run[0].parameters is not None and run[0].kind.refined_file is not None:
        raise InputError(
            "its refined weights are a model of their own",
            where=str(folder),
            fix="give a file with a [model] table whose path they are by --models",
        )
    return _Entry(folder.resolve().name, run[0].study.model, run)


def _row(entry: _Entry, config: StudyConfig, frames: int, progress: Progress) -> Row:
    from refine.study.study import Study

    # A rule that changes parameters of the study's base would ask for them in every model.
    changes: dict[str, Any] = {"model": entry.model, "refinement": RULES.made()}
    if entry.run:
        changes["correction"] = entry.run[0].study.correction
    study = Study(config.model_copy(update=changes))
    corrections = [study.initial_correction()] * len(config.states)
    if entry.run:
        if entry.run[0].species != study.species:
            raise InputError(f"the run is of {', '.join(entry.run[0].species)}", where=entry.label)
        corrections = [one.correction for one in entry.run]
        if entry.run[0].parameters is not None:
            study.base = entry.run[0].base()
    sampled = sample_base(study, frames, progress, positions=True, corrections=corrections if entry.run else None)
    row = Row(entry.label)
    for data in study.datasets:
        own, density = sampled[data.state], study.boxes[data.state].number_density
        free = _score(row, data, study.targets[data.name], own)
        _curve(row, data, own, density, free)
    for prediction in study.predictions:
        density = study.boxes[prediction.state].number_density
        _curve(row, prediction, sampled[prediction.state], density, Nuisance())
    for s, state in enumerate(config.states):
        propagation = Propagation(sampled[s], np.zeros((0, 0)), None)
        shells = shells_of(sampled[s], study.pairs, config.coordination.radii)
        numbers = coordination_numbers(study.species, study.pairs, propagation, shells)
        row.coordination[state.name] = [
            {"centre": n.centre, "other": n.other, "radius": n.radius, "number": n.number, "stderr": n.sampling_stderr}
            for n in numbers
        ]
        if config.compare.segments:
            _transport(row, study, s, sampled[s], corrections[s], progress)
    return row


def _transport(row: Row, study: Study, s: int, frames: Frames, correction: PairCorrection, progress: Progress) -> None:
    """Diffusion coefficients and viscosity in a state, or why there are none."""
    name = study.config.states[s].name
    try:
        found = transport(study, s, frames, correction, progress)
    except RefineError as error:
        row.notes.append(f"No diffusion coefficients in state {name}: {error}.")
        return
    row.diffusion[name] = found.diffusion
    if found.viscosity is not None:
        row.viscosity[name] = found.viscosity
    row.notes.extend(found.notes)


def _score(row: Row, data: DataSet, target: Target, frames: Frames) -> Nuisance:
    """R_chi of one data set at the model's own best scale and background, which are one and zero unless free."""
    mean = frames.counts.mean(axis=0, dtype=np.float64)
    free, r_chi = scored(data, target, mean)
    row.r_chi[data.name] = (r_chi(mean), error_of(r_chi, frames.counts, frames.replica))
    if target.free_scale:
        row.scales[data.name] = (free.scale, free.scale_stderr)
    return free


def _curve(row: Row, data: DataSet | Prediction, frames: Frames, density: float, free: Nuisance) -> None:
    """D(r) and first peak of one data set, or of a prediction."""
    measurement = data.measurement
    level = 4.0 * math.pi * density * measurement.r
    total = measurement.total.predict(frames.counts)
    total = level + free.scale * (total - level) + free.background * measurement.total_background
    error = standard_error(total, frames.replica)
    average, measured = total.mean(axis=0), None if isinstance(data, Prediction) else measurement.total_values
    row.curves[data.name] = Curve(measurement.r, None if measured is None else measured - level, average - level, error)
    try:
        top = _first_peak(data, average / level)
        seen = None if measured is None else _first_peak(data, measured / level)
    except InputError as problem:
        row.notes.append(f"No first peak: {problem}.")
        return
    series = (total / level) @ np.stack([top.d_position, top.d_height], axis=1)
    position, height = standard_error(series, frames.replica)
    row.peaks[data.name] = FirstPeak(
        top.position,
        float(position),
        top.height,
        float(height),
        None if seen is None else seen.position,
        None if seen is None else seen.height,
    )


def _first_peak(data: DataSet | Prediction, ratio: Array) -> Peak:
    """Of T(r)/(4 pi rho0 r), on the points of R_chi."""
    r, where = data.measurement.r, f"T(r)/(4 pi rho0 r) of {data.name}"
    return peak(r, ratio, *first_peak_range(r, ratio, 1.0, where), where)


def _write(found: Ranking, out: Path) -> None:
    from refine.report.compare import render

    make_folder(out)
    for row in found.rows:
        for name, curve in row.curves.items():
            folder = out / "compare" / row.label
            make_folder(folder)
            measured = np.full(len(curve.r), np.nan) if curve.measured is None else curve.measured
            columns = [curve.r, measured, curve.model, curve.stderr]
            text = csv_text(["r_angstrom", "measured_D", "model_D", "model_stderr"], columns)
            write_text(folder / f"{name}.csv", text)
    write_text(out / "compare.json", found.to_json())
    write_text(out / "compare.html", render(found))
