"""`refine compare STUDY --models FILE ...`: several base models against the same measurement, without a fit.

Each model is sampled once in each state, started as a run starts. A model that cannot be sampled is a row that says
why, and the others still run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.config.models import Model, ModelFile, Refinement, StudyConfig
from refine.datasets import DataSet, Prediction, scored
from refine.derived import Propagation, coordination_numbers, first_minima
from refine.diagnose import sample_base
from refine.errors import InputError, RefineError
from refine.files import make_folder, write_text
from refine.progress import NullProgress, Progress
from refine.refinement.nuisance import Nuisance
from refine.report.ranking import Curve, FirstPeak, Ranking, Row
from refine.results import csv_text
from refine.sampling.averages import error_of, standard_error
from refine.sampling.diffusion import diffusion, finite_size_correction
from refine.sampling.frames import Frames
from refine.scattering.peaks import Peak, first_peak_range, peak

if TYPE_CHECKING:
    from refine.refinement.problem import Target
    from refine.study import Study

Array = NDArray[np.float64]

FEWEST_FRAMES = 10
"""Of each state, for errors of averages."""

SI = 10.0
"""Å^2/ps in 1e-9 m^2/s."""


def compare(
    config: StudyConfig,
    models: Sequence[Path] | None = None,
    *,
    out: Path | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Sample the study's base model and those of the files, and rank them; without a measured curve, in that order.

    Args:
        config: the study; nothing is fitted.
        models: files with a [model] table and, optionally, a label; None: those of the study's [compare].
        out: folder for compare.json, compare.html and compare/<model>/<data set>.csv; None: nothing is written.
        frames: of each state, all replicas together; default: the study's `sampling.frames`.
        progress: told what happens.

    Raises:
        InputError: a model file that cannot be read, two models of one label, too few frames.
    """
    files = config.compare.paths if models is None else models
    own = (config.model.name or config.model.base) + ("+D3" if config.model.dispersion != "none" else "")
    entries = [(own, config.model), *((f.label, f.model) for f in map(ModelFile.from_toml, files))]
    labels = [label.lower() for label, _ in entries]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two models are called '{label}'", where="--models", fix="give each file a label")
    wanted = config.sampling.frames if frames is None else frames
    if wanted < FEWEST_FRAMES:
        raise InputError(f"{wanted} frames are too few", where="--frames", fix=f"use {FEWEST_FRAMES} or more")
    rows = []
    for label, model in entries:
        (progress or NullProgress()).message(f"model {label}")
        try:
            rows.append(_row(label, config, model, wanted, progress or NullProgress()))
        except RefineError as error:
            rows.append(Row(label, failure=str(error)))
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


def _row(label: str, config: StudyConfig, model: Model, frames: int, progress: Progress) -> Row:
    from refine.study import Study

    # A rule that changes parameters of the study's base would ask for them in every model.
    study = Study(config.model_copy(update={"model": model, "refinement": Refinement()}))
    sampled = sample_base(study, frames, progress, positions=True)
    row = Row(label)
    for data in study.datasets:
        own, density = sampled[data.state], study.boxes[data.state].number_density
        free = _score(row, data, study.targets[data.name], own)
        _curve(row, data, own, density, free)
    for prediction in study.predictions:
        density = study.boxes[prediction.state].number_density
        _curve(row, prediction, sampled[prediction.state], density, Nuisance())
    for s, state in enumerate(config.states):
        propagation = Propagation(sampled[s], np.zeros((0, 0)), None)
        numbers = coordination_numbers(study.species, study.pairs, propagation, first_minima(sampled[s]))
        row.coordination[state.name] = [
            {"centre": n.centre, "other": n.other, "radius": n.radius, "number": n.number, "stderr": n.sampling_stderr}
            for n in numbers
        ]
        try:
            row.diffusion[state.name] = _diffusion(study, s, sampled[s])
        except InputError as error:
            row.notes.append(f"No diffusion coefficients in state {state.name}: {error}.")
    return row


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


def _diffusion(study: Study, s: int, frames: Frames) -> list[dict[str, Any]]:
    """D of each species in a state, corrected for the box where its viscosity is known."""
    system, state, config = study.systems[s], study.config.states[s], study.config.sampling
    interval = config.timestep * config.stride / 1000.0
    edge = system.cell[0, 0]
    cubic = np.allclose(system.cell, edge * np.eye(3), atol=1e-6 * edge)
    shift = None
    if state.viscosity is not None and cubic:
        shift = finite_size_correction(state.temperature, state.viscosity, float(edge))
    reason = "not corrected: " + ("the box is not cubic" if not cubic else "the state gives no viscosity")
    damping = f"; the Langevin thermostat ({config.time_constant:g} ps) damps it"
    words = (reason if shift is None else "corrected with the viscosity of the state, not of the model") + (
        damping if config.thermostat == "langevin" else ""
    )
    return [
        {
            "species": d.species,
            "value": SI * (d.value + (shift or 0.0)),
            "stderr": SI * d.stderr,
            "uncorrected": SI * d.value,
            "lags_ps": d.lags,
            "finite_size": words,
        }
        for d in diffusion(frames, system.cell, system.species, system.masses, interval)
    ]


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
