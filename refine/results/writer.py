"""Writes what a finished run leaves for people and programs: result.json, curves/ and g_r/."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.files import make_folder, remove, write_text
from refine.potentials.correction import PairCorrection
from refine.refinement.convergence import misfit
from refine.refinement.inference.linearisation import NOISE_FACTORS
from refine.refinement.inference.nuisance import Nuisance, best
from refine.refinement.inference.posterior import band
from refine.refinement.problem import Sample
from refine.results import schema
from refine.results.derived import Propagation, coordination_numbers, shells_of
from refine.results.determined import Determination
from refine.results.learned import in_units
from refine.results.numbers import measured_number, moved_pressures, pressures
from refine.results.outcome import Outcome
from refine.results.provenance import provenance
from refine.results.schema import (
    FORMAT,
    RESULT,
    Coordination,
    Correction,
    Iteration,
    Predicted,
    Replayed,
    Scores,
    State,
    Status,
    Summary,
    UsedModel,
)
from refine.results.scores import background_rms, score
from refine.results.tables import curve_table, g_table, plain, prediction_table
from refine.sampling.averages import FRAMES_FOR_COVARIANCES, standard_error
from refine.sampling.stationary import doubts_of
from refine.study.choices.choice import shown_value
from refine.study.datasets import DataSet, Prediction, scored

if TYPE_CHECKING:
    from refine.learning.replay import Replay
    from refine.potentials.protocols import BaseParameters
    from refine.study.study import Study

Array = NDArray[np.float64]

MODELS = ("model.safetensors", "lora.safetensors")
"""Files of a base's refined parameters."""

PHI_STEP = 0.02
"""Å between the points of the correction's table."""

HIGH_NOISE = 3.0
"""Factor on estimated errors from which the report doubts them."""


def write_outcome(outcome: Outcome, folder: Path) -> Summary:
    """Write result.json, curves/ and g_r/ into `folder`, each file replaced as a whole; what result.json says."""
    summary = _summary(outcome, folder)
    for name in ("curves", "g_r"):
        make_folder(folder / name)
    for s, state in enumerate(outcome.study.config.states):
        propagation = outcome.propagations[s]
        write_text(folder / "g_r" / f"{state.name}.csv", g_table(outcome, s, propagation))
        for data in outcome.study.datasets:
            if data.state == s:
                free = _nuisance(outcome, data, _fitted(outcome))
                write_text(folder / "curves" / f"{data.name}.csv", curve_table(outcome, data, propagation, free))
        for prediction in outcome.study.predictions:
            if prediction.state == s:
                table_text = prediction_table(outcome, prediction, propagation)
                write_text(folder / "curves" / f"{prediction.name}.csv", table_text)
    content = plain(summary.model_dump(exclude_unset=True))
    write_text(folder / RESULT, json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_refined(outcome.study.parameters, outcome.samples[outcome.final].parameters, folder)
    return summary


def write_refined(bases: Sequence[BaseParameters], refined: Array | None, folder: Path) -> None:
    """Write the base with its refined parameters. Where there are none, because the answer is the base as it was, the
    models of an earlier end of the run, which went on since, are removed."""
    if refined is not None:
        bases[0].write(refined, folder)
    elif bases:
        for name in MODELS:
            remove(folder / name)


def _summary(outcome: Outcome, folder: Path) -> Summary:
    study, samples = outcome.study, outcome.samples
    curves = outcome.iterations[-1].fitted.curves
    targets = [target.name for target in study.problem.targets]
    factors = {name: curves[name].noise_factor if name in curves else 1.0 for name in targets}
    fitted = _fitted(outcome)
    scores = [_scores(study, sample) for sample in samples]
    rows = (sample.to_json() | score.model_dump() for sample, score in zip(outcome.iterations, scores, strict=True))
    determination = None if outcome.unconfirmed else outcome.determination
    return Summary(
        format=FORMAT,
        status=outcome.status,
        message=outcome.message,
        title=study.config.title,
        initial=scores[0],
        final=scores[outcome.final],
        iterations=[Iteration.model_validate(plain(row)) for row in rows],
        correction=_correction_table(outcome),
        yields_potential=study.rule.yields_potential,
        confirmed=not outcome.unconfirmed,
        parameters=_parameters(outcome),
        notes=_notes(outcome, factors),
        determination=None if determination is None else Determination.model_validate(plain(asdict(determination))),
        coordination=[row for s in range(len(study.config.states)) for row in _coordination(outcome, s)],
        numbers=[measured_number(outcome, number) for number in study.numbers],
        predictions=[_prediction_entry(study, prediction) for prediction in study.predictions],
        data=[_data_entry(study, data, factors, _nuisance(outcome, data, fitted)) for data in study.datasets],
        states=[_state_entry(outcome, s) for s in range(len(study.config.states))],
        chosen=[schema.Chosen.model_validate(choice.to_json()) for choice in study.choices],
        **({} if study.replay is None else {"replay": _replayed(outcome, study.replay)}),
        seconds=outcome.seconds,
        model=_used_model(study),
        study=study.config.to_tree(folder),
        provenance=provenance(study.config.sampling.seed, outcome.digest),
    )


def _notes(outcome: Outcome, factors: dict[str, float]) -> list[str]:
    """What a reader must know before trusting the result, beyond what the other tables say."""
    last, found = outcome.iterations[-1].fitted, [*outcome.warnings, *moved_pressures(outcome)]
    found += outcome.study.doubts
    sample = outcome.samples[outcome.final]
    for state, frames in zip(outcome.study.config.states, sample.frames, strict=True):
        found += doubts_of(frames, state.name)
    found += [
        f"{choice.key} = {shown_value(choice.value, choice.unit)}: {choice.reason}."
        for choice in outcome.study.choices
        if choice.doubted
    ]
    if outcome.unconfirmed:
        found.append(
            "The final sample did not come out as the linear response of the one before had said: error bars of the "
            "potential, what the data determine and contradictions between data sets rest on it and are left out."
        )
    for name, factor in factors.items():
        if factor >= NOISE_FACTORS[-1]:
            found.append(
                f"{name}: what is left of the misfit is more than {factor:.0f} times the errors that were estimated "
                "before the fit, the largest factor that is tried: state sigma, or look for what is wrong with data or "
                "model."
            )
        elif factor > HIGH_NOISE:
            found.append(
                f"{name}: the fit finds the estimated errors {factor:.1f} times too small; they are, or no pair "
                "correction to this base describes the data."
            )
    size, step, radius = last.effective_sample_size, last.step, last.trust_radius
    if size < FRAMES_FOR_COVARIANCES:
        found.append(f"The last update rests on {size:.0f} effective frames: too few to trust; sample more frames.")
    if outcome.status is not Status.CONVERGED and radius is not None and step > 0.95 * radius:
        found.append(f"The last step was still held back by the trust radius, {radius:.2g} kT; raise iterations.")
    return found


def _parameters(outcome: Outcome) -> dict[str, Any] | None:
    """Refined parameters of the base by name, before and after; None where they were not refined."""
    final = outcome.samples[outcome.final].parameters
    return None if final is None else outcome.study.parameters[0].table(final)


def _replayed(outcome: Outcome, replay: Replay) -> list[Replayed]:
    """Errors of the base model and of the answer on the frames that are kept apart."""
    study, first, final = outcome.study, outcome.samples[0], outcome.samples[outcome.final].parameters
    start = study.parameters[0].start
    both = (replay.kept(start, first.frames), replay.kept(start if final is None else final, first.frames))
    rows = []
    for before, after in zip(*both, strict=True):
        values = {"initial": in_units(before.errors), "final": in_units(after.errors)}
        errors = {
            f"{key.partition('_')[0]}_{when}": value
            for when, found in values.items()
            for key, value in found.items()
            if key != "loss"
        }
        rows.append(Replayed(kind=before.kind, learnt=before.learnt, kept=before.kept, **errors))
    return rows


def _fitted(outcome: Outcome) -> dict[str, Nuisance]:
    """Scales and backgrounds that the rule fitted together with the potential about the last sample.

    Empty for rules that fit none, and where an earlier sample is the answer.
    """
    if outcome.final != len(outcome.samples) - 1:
        return {}
    return {
        name: Nuisance(curve.scale, tuple(curve.background), curve.scale_stderr, tuple(curve.background_stderr))
        for name, curve in outcome.iterations[-1].fitted.curves.items()
    }


def _scores(study: Study, sample: Sample) -> Scores:
    """R_chi with its standard error and chi^2 (`convergence`, of one data set at weight one) for one sample."""
    r_chi: dict[str, float | None] = {}
    error: dict[str, float | None] = {}
    chi2: dict[str, float | None] = {}
    points: dict[str, int | None] = {}
    for data in study.datasets:
        target = study.targets[data.name]
        found = score(data, target, sample.frames[data.state])
        r_chi[data.name], error[data.name] = found.r_chi, found.r_chi_stderr
        points[data.name] = len(target.y)
        chi2[data.name] = misfit(sample, [target]).chi2 / target.weight
    return Scores(r_chi=plain(r_chi), r_chi_stderr=plain(error), chi2=plain(chi2), points=points)


def _nuisance(outcome: Outcome, data: DataSet, fitted: dict[str, Nuisance]) -> Nuisance:
    """Scale and background of a data set in the final state: as fitted with the potential, or the best ones.

    A background that was fitted to a part of the curve is not known on the rest: those are the best ones of all of it.
    """
    if data.name in fitted and data.whole is None:
        return fitted[data.name]
    target = scored(data, outcome.study.targets[data.name])
    frames = outcome.samples[outcome.final].frames[data.state]
    return best(target, target.predict(frames.counts.mean(axis=0, dtype=np.float64)))


def _correction_table(outcome: Outcome) -> list[Correction]:
    """phi(r) of every corrected pair; where it depends on temperature, once for each state."""
    study, sample = outcome.study, outcome.samples[outcome.final]
    if sample.correction.slope is None:
        return _correction_at(outcome, sample.correction, None)
    line = {"reference": sample.correction.reference, "span": sample.correction.span}
    return [
        row.model_copy(update={"state": state.name, "temperature": state.temperature, **line})
        for state in study.config.states
        for row in _correction_at(outcome, sample.correction.at(state.temperature), state.temperature)
    ]


def _correction_at(outcome: Outcome, correction: PairCorrection, temperature: float | None) -> list[Correction]:
    study, sample = outcome.study, outcome.samples[outcome.final]
    basis = correction.basis
    g = [frames.felt.pair_distribution() for frames in sample.frames]
    table = []
    for index, p in enumerate(correction.active_pairs):
        sampled = np.flatnonzero(np.any([x[p] > 0.0 for x in g], axis=0)) if len({x.shape for x in g}) == 1 else None
        centres = study.boxes[0].centres
        low = float(centres[sampled[0]]) if sampled is not None and len(sampled) else float(correction.core[p])
        start = max(basis.r_min, math.floor(min(low, correction.core[p]) / PHI_STEP) * PHI_STEP - 0.2)
        r = start + PHI_STEP * np.arange(round((basis.r_cut - start) / PHI_STEP) + 1)
        errors = None
        if outcome.stated is not None:
            errors = band(sample.correction, outcome.stated, r, temperature)[index]
        base = study.base_energies(r)
        table.append(
            Correction(
                pair=correction.pairs[p],
                r=r.tolist(),
                phi=plain(correction.energy(r)[p]),
                stderr=plain(errors),
                base=None if base is None else plain(base[p]),
                knots=basis.knots.tolist(),
                coefficients=correction.coefficients[p].tolist(),
                core=float(correction.core[p]),
                wall=float(correction.wall[p]),
                stiffness=correction.stiffness,
                sampled_r=(low, basis.r_cut),
            )
        )
    return table


def _coordination(outcome: Outcome, s: int) -> list[Coordination]:
    """Coordination numbers of one state up to the first minima of the final g(r), before and after."""
    study = outcome.study
    shells = shells_of(outcome.samples[outcome.final].frames[s], study.pairs, study.config.coordination.radii)
    first = outcome.samples[0]
    before = Propagation(first.frames[s], np.zeros((0, 0)), None)
    rows = (
        coordination_numbers(study.species, study.pairs, propagation, shells)
        for propagation in (before, outcome.propagations[s])
    )
    return [
        Coordination(
            state=study.config.states[s].name,
            centre=new.centre,
            other=new.other,
            radius=new.radius,
            radius_stderr=new.radius_stderr,
            initial=old.number,
            initial_stderr=old.sampling_stderr,
            final=new.number,
            final_stderr=math.hypot(new.sampling_stderr, new.posterior_stderr),
            posterior_stderr=new.posterior_stderr,
        )
        for old, new in zip(*rows, strict=True)
    ]


def _data_entry(study: Study, data: DataSet, factors: dict[str, float], free: Nuisance) -> schema.DataSet:
    config = next(d for d in study.config.curves if d.name == data.name)
    curve, fit = data.measurement.curve, data.fit
    if not isinstance(config.sigma, str):
        source = "given"
    elif fit.sigma_known:
        source = "file"
    else:
        source = "estimated"
    sigma = float(np.sqrt(np.mean(np.diag(fit.covariance))))
    role = "fitted" if data.role == "fit" else "compared, not fitted"
    span = f"{data.measurement.r[0]:g} to {data.measurement.r[-1]:.4g} Å"
    unit = f", I(Q) per {curve.per:g} atoms" if curve.quantity == "I(Q)" and curve.per != 1.0 else ""
    sharpness = f", resolution {curve.resolution.words}" if curve.resolution else ""
    flat = config.free_background is True
    reach = f"Q range {curve.q_min:g} to {curve.q_max:g} 1/Å" if curve.q_max is not None else "unlimited Q range"
    return schema.DataSet(
        name=data.name,
        quantity=curve.quantity,
        normalisation=curve.normalisation,
        radiation=curve.radiation or "partial",
        role=data.role,
        state=study.config.states[data.state].name,
        points=len(fit.values),
        sigma_source=source,
        sigma_mean=sigma,
        noise_factor=factors.get(data.name) if source == "estimated" else None,
        scale=free.scale,
        scale_stderr=free.scale_stderr if config.free_scale else None,
        background=free.background[0] if flat else None,
        background_stderr=free.background_stderr[0] if flat else None,
        background_below=data.background.below if config.free_background and data.background else None,
        background_rms=background_rms(data, free) if config.free_background and not flat else None,
        fit=fit.words if data.role == "fit" else None,
        score_r=(float(data.measurement.r[0]), float(data.measurement.r[-1])),
        source=Path(curve.source).name,
        warnings=list(data.doubts),
        compared=f"{role}{unit}: {fit.words if data.role == 'fit' else curve.quantity}; R_chi of T(r) over {span}, the "
        f"model seen through the experiment's {reach}, window {curve.window}{sharpness}; "
        f"the measurement as the box would show it: with periodic images, in Q through its r range "
        f"({study.boxes[data.state].r_max:.2f} Å)",
    )


def _prediction_entry(study: Study, prediction: Prediction) -> Predicted:
    curve = prediction.measurement.curve
    return Predicted(
        name=prediction.name,
        quantity=curve.quantity,
        normalisation=curve.normalisation,
        radiation=curve.radiation or "partial",
        pair=curve.pair,
        state=study.config.states[prediction.state].name,
        q_range=None if curve.q_max is None else (curve.q_min or 0.0, curve.q_max),
        window=curve.window,
    )


def _state_entry(outcome: Outcome, s: int) -> State:
    study, frames = outcome.study, outcome.samples[outcome.final].frames[s]
    system, state = study.systems[s], study.config.states[s]
    (before, before_error), (after, after_error) = pressures(outcome, s)
    return State(
        name=state.name,
        temperature=state.temperature,
        mean_temperature=float(frames.temperature.mean()),
        mean_temperature_stderr=float(standard_error(frames.temperature, frames.replica)),
        number_density=system.number_density,
        atoms=dict(zip(system.species, system.n_per_species, strict=True)),
        cell=plain(system.cell),
        pressure_GPa=after,
        pressure_GPa_stderr=after_error,
        pressure_initial_GPa=before,
        pressure_initial_GPa_stderr=before_error,
        schedule=[stage.to_json() for stage in study.stages],
        frames=len(frames),
    )


def _used_model(study: Study) -> UsedModel:
    model = study.config.model
    return UsedModel(
        base=model.base,
        title=model.title,
        dispersion=model.dispersion,
        sha256=study.base_kind.identity(study.base) or None,
    )
