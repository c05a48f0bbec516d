"""`refine compare STUDY --heads HEADS --models FILE ... --runs FOLDER ...`: several models against the same
measurement, no fit.

Each model is sampled once in each state, started as a run starts. A model that cannot be sampled is a row that says
why, and the others still run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError, RefineError
from refine.files import make_folder, write_text
from refine.potentials.correction import PairCorrection
from refine.progress import NullProgress, Progress
from refine.refinement.inference.nuisance import Nuisance
from refine.refinement.rules import RULES
from refine.report.compare import render
from refine.results.derived import Propagation, coordination_numbers, shells_of
from refine.results.ranking import Curve, FirstPeak, Ranking, Row
from refine.results.scores import score, score_number
from refine.results.tables import R, csv_text
from refine.sampling.averages import FRAMES_FOR_ERRORS, standard_error
from refine.sampling.frames import Frames
from refine.sampling.stationary import doubts_of
from refine.scattering.instrument import added, seen
from refine.scattering.peaks import Peak, first_peak_range, peak
from refine.study.choices.engine import check_pressure, refuse_elsewhere
from refine.study.datasets import DataSet, Prediction, tell_doubts
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.study.systems import notes_of
from refine.tasks.contenders import Contender, of_file, of_run, of_study, paired, twin_label, with_and_without
from refine.tasks.density import density_at_pressure
from refine.tasks.outputs import refuse_foreign, refuse_inputs
from refine.tasks.pilot import pilot
from refine.tasks.sample import sample_states
from refine.tasks.transport import transport

Array = NDArray[np.float64]

OUTPUTS = ("compare", "compare.html", "compare.json")
"""What is written to the folder."""


def compare(
    config: StudyConfig | str | Path,
    models: Sequence[str | Path] | None = None,
    *,
    heads: Sequence[str] | Literal["all"] | None = None,
    dispersion: bool = False,
    runs: Sequence[str | Path] = (),
    out: str | Path | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Sample the study's base model, those of the files and the refined ones of the runs, and rank them; without a
    measured curve, in that order.

    Args:
        config: the study, or its file; nothing is fitted. With `[compare] density` each model also gives the density of
            every state at its pressure, `refine.tasks.density`.
        models: files with a [model] table and, optionally, a label; None: those of the study's [compare].
        heads: of the study's MACE model, in place of the one that it names.
        dispersion: whether each model of the study and of the files is sampled with D3 and without, where refine's D3
            belongs to its level of theory.
        runs: folders of finished runs, whose refined potentials are compared too.
        out: folder for compare.json, compare.html and compare/<model>/<data set>.csv; None: nothing is written.
        frames: of each state, all replicas together; default: the study's `sampling.frames`.
        progress: told what happens.

    Raises:
        InputError: a model file or a run that cannot be read, two models of one label, too few frames, a head that the
            study's model has not, or dispersion that does not belong to it.
    """
    config = config if isinstance(config, StudyConfig) else StudyConfig.from_toml(config)
    refuse_elsewhere(config.sampling.engine)
    out = None if out is None else Path(out)
    files = config.compare.paths if models is None else [Path(file) for file in models]
    if out is not None:
        refuse_inputs(config, [out / name for name in OUTPUTS], files)
        refuse_foreign(out, OUTPUTS, "compare.json")
    own = of_study(config, heads)
    if dispersion:
        own = paired(own, alone=not files)
    others = [of_file(file) for file in files]
    refined = [of_run(Path(folder), config) for folder in runs]
    labels = [one.label.lower() for one in (*own, *others, *refined)]
    if dispersion:
        labels += [twin_label(one).lower() for one in others]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(
                f"two models are called '{label}'",
                where="--models" if not runs else "--models, --runs",
                fix="give each file a label" if not runs else "give each file a label, and rename a folder of a run",
            )
    if frames is not None and frames < FRAMES_FOR_ERRORS:
        raise InputError(f"{frames} frames are too few", where="--frames", fix=f"use {FRAMES_FOR_ERRORS} or more")
    if out is not None:
        make_folder(out)  # or refused now, and not after the dynamics
    rows: list[Row] = []
    predicted = tuple(data.name for data in config.curves if data.role == "predict")
    measured = tuple(data.name for data in config.curves if data.role != "predict")

    def all_of_them() -> Iterator[Contender]:
        yield from own
        for one in others:  # read one after the other, not all at once
            yield from with_and_without(one) if dispersion else [one]
        yield from refined

    for contender in all_of_them():
        (progress or NullProgress()).message(f"model {contender.label}")
        try:
            first = all(row.failure is not None for row in rows)
            if contender.failure is not None:
                rows.append(Row(contender.label, failure=contender.failure))
            else:
                rows.append(_row(contender, config, frames, progress or NullProgress(), tell=first))
        except RefineError as error:
            rows.append(Row(contender.label, failure=str(error), notes=list(contender.notes)))
        ranking = Ranking(config.title, measured, predicted, tuple(sorted(rows, key=_mean_score)))
        if out is not None:  # now: the next one may take hours, and be interrupted
            _write(ranking, out)
    return ranking


def _mean_score(row: Row) -> float:
    if row.failure is not None:
        return math.inf
    return float(np.mean([value for value, _ in row.r_chi.values()])) if row.r_chi else 0.0


def _row(contender: Contender, config: StudyConfig, frames: int | None, progress: Progress, *, tell: bool) -> Row:
    """tell: whether to say what looks odd in the data."""
    run = contender.run
    # A rule that changes parameters of the study's base would ask for them in every model.
    changes: dict[str, Any] = {"model": contender.model, "refinement": RULES.made()}
    if run:
        changes["correction"] = run[0].study.correction
    study = Study(config.model_copy(update=changes), opened=contender.opened)
    if config.compare.density:  # refused now, and not behind the sample
        check_pressure(study.config, study.settings.engine, "[compare] density asks for one")
    corrections = [study.initial_correction()] * len(config.states)
    if run:
        if run[0].species != study.species:
            raise InputError(f"the run is of {', '.join(run[0].species)}", where=contender.label)
        corrections = [one.correction for one in run]
        if run[0].parameters is not None:
            study.base = run[0].base()
    if tell:
        tell_doubts(study.datasets, progress, notes_of(study.systems))
    acting = corrections if run else None
    begun = pilot(study, progress, acting)
    study, wanted = begun.study, begun.study.settings.frames if frames is None else frames
    sampled = sample_states(study, wanted, progress, positions=True, corrections=acting, starts=begun.starts)
    progress.doing("comparing with the data")
    # what a run fitted to a measurement is of no theory any more
    theory = None if run else study.base_kind.theory(study.config.model, study.base)
    doubts = [text for state, one in zip(config.states, sampled, strict=True) for text in doubts_of(one, state.name)]
    row = Row(contender.label, theory=theory or None, notes=[*contender.notes, *doubts])
    for data in study.datasets:
        sample, density = sampled[data.state], study.boxes[data.state].number_density
        target = study.targets[data.name]
        scores = score(data, target, sample)
        assert scores.r_chi_stderr is not None
        row.r_chi[data.name] = (scores.r_chi, scores.r_chi_stderr)
        if target.free_scale:
            row.scales[data.name] = (scores.nuisance.scale, scores.nuisance.scale_stderr)
        _curve(row, data, sample, density, scores.nuisance)
    for prediction in study.predictions:
        density = study.boxes[prediction.state].number_density
        _curve(row, prediction, sampled[prediction.state], density, Nuisance())
    for number in study.numbers:
        found = score_number(number, sampled[number.state])
        row.numbers[number.name] = {
            "quantity": number.target.quantity,
            "state": config.states[number.state].name,
            "unit": number.target.observable.unit,
            "measured": float(number.target.y[0]),
            "sigma": math.sqrt(float(number.target.covariance[0, 0])),
            "value": found.value,
            "stderr": found.stderr,
            "sigmas": found.sigmas,
        }
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
        if config.compare.density:
            _density(row, study, s, sampled[s], corrections[s] if run else None, progress)
    return row


def _transport(row: Row, study: Study, s: int, frames: Frames, correction: PairCorrection, progress: Progress) -> None:
    """Diffusion coefficients and viscosity in a state, or why there are none."""
    name = study.config.states[s].name
    try:
        moving = transport(study, s, frames, correction, progress)
    except RefineError as error:
        row.notes.append(f"No diffusion coefficients in state {name}: {error}.")
        return
    row.diffusion[name] = moving.diffusion
    if moving.viscosity is not None:
        row.viscosity[name] = moving.viscosity
    row.notes.extend(moving.notes)


def _density(
    row: Row, study: Study, s: int, frames: Frames, correction: PairCorrection | None, progress: Progress
) -> None:
    """The density of a state at its pressure, or why there is none."""
    name = study.config.states[s].name
    try:
        row.density[name], remarks = density_at_pressure(study, s, frames, correction, progress)
    except RefineError as error:
        row.notes.append(f"No density of state {name}: {error}.")
        return
    row.notes.extend(remarks)


def _curve(row: Row, data: DataSet | Prediction, frames: Frames, density: float, free: Nuisance) -> None:
    """D(r) and first peak of one data set, or of a prediction."""
    measurement = data.measurement
    level, ideal = 4.0 * math.pi * density * measurement.r, measurement.total.baseline
    background = added(measurement.total_background, free.background)
    total = seen(measurement.total.predict(frames.counts), ideal, free.scale, background)
    error = standard_error(total, frames.replica)
    average, measured = total.mean(axis=0), None if isinstance(data, Prediction) else measurement.total_values
    row.curves[data.name] = Curve(measurement.r, None if measured is None else measured - ideal, average - ideal, error)
    try:
        top = _first_peak(data, average / level)
        measured_top = None if measured is None else _first_peak(data, measured / level)
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
        None if measured_top is None else measured_top.position,
        None if measured_top is None else measured_top.height,
    )


def _first_peak(data: DataSet | Prediction, ratio: Array) -> Peak:
    """Of T(r)/(4 pi rho0 r), on the points of R_chi."""
    r, where = data.measurement.r, f"T(r)/(4 pi rho0 r) of {data.name}"
    level = float(data.measurement.total.baseline.any())  # 1; 0 where the mean scattering length is zero
    return peak(r, ratio, *first_peak_range(r, ratio, level, where), where)


def _write(ranking: Ranking, out: Path) -> None:
    for row in ranking.rows:
        for name, curve in row.curves.items():
            folder = out / "compare" / row.label
            make_folder(folder)
            measured = np.full(len(curve.r), np.nan) if curve.measured is None else curve.measured
            columns = [curve.r, measured, curve.model, curve.stderr]
            header = [R, *(f"{name} [D(r) faber-ziman 1/angstrom^2]" for name in ("measured", "model", "model_stderr"))]
            text = csv_text(header, columns)
            write_text(folder / f"{name}.csv", text)
    write_text(out / "compare.json", ranking.to_json())
    write_text(out / "compare.html", render(ranking))
