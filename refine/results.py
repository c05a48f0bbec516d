"""What a finished run leaves for people and programs: result.json, curves, g(r), report.html."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.files import make_folder, write_text
from refine.potentials.pair import PairCorrection
from refine.refinement.posterior import band
from refine.refinement.problem import Sample
from refine.refinement.statistics import BLOCKS
from refine.scattering.metrics import chi_squared

if TYPE_CHECKING:
    from refine.study import DataSet, Study

Array = NDArray[np.float64]

PHI_STEP = 0.02
"""Å between the points of the correction's table."""

PACKAGES = ("jax", "jaxlib", "jax-md", "numpy", "scipy", "xraylib", "periodictable", "ase")
"""Whose versions are written down."""


@dataclass(frozen=True)
class Outcome:
    """A finished loop, before it is written."""

    study: Study
    samples: list[Sample]
    final: int
    status: str
    message: str
    iterations: list[dict[str, Any]]
    covariance: Array | None
    seconds: float
    digest: str


@dataclass(frozen=True)
class Result:
    """What `Study.run` returns.

    Attributes:
        status: "converged" or "iterations-exhausted".
        message: why it stopped.
        initial, final: {"r_chi": {data: x}, "chi2": {data: x}, ...}.
        iterations: the iteration table.
        correction: the refined pair correction.
        covariance: posterior covariance of `correction.theta`, eV^2; None for rules without one.
        out: folder of the output.
        report_path: the report.
    """

    status: str
    message: str
    initial: dict[str, Any]
    final: dict[str, Any]
    iterations: list[dict[str, Any]]
    correction: PairCorrection
    covariance: Array | None
    out: Path
    report_path: Path


def write_outcome(outcome: Outcome, folder: Path) -> Result:
    """Write everything but the checkpoint into `folder`; each file is replaced as a whole."""
    from refine.report import write_report  # plotly is only loaded here

    table = _result(outcome)
    for name in ("curves", "g_r"):
        make_folder(folder / name)
    for data in outcome.study.datasets:
        write_text(folder / "curves" / f"{data.name}.csv", _curve_table(outcome, data))
    for s, state in enumerate(outcome.study.config.states):
        write_text(folder / "g_r" / f"{state.name}.csv", _g_table(outcome, s))
    write_text(folder / "result.json", json.dumps(_plain(table), indent=1, allow_nan=False) + "\n")
    report = write_report(folder)
    return Result(
        outcome.status,
        outcome.message,
        table["initial"],
        table["final"],
        table["iterations"],
        outcome.samples[outcome.final].correction,
        outcome.covariance,
        folder,
        report,
    )


def _result(outcome: Outcome) -> dict[str, Any]:
    study, samples = outcome.study, outcome.samples
    last = outcome.iterations[-1]
    ones = {t.name: 1.0 for t in study.problem.targets}
    factors: dict[str, float] = last.get("noise_factors", ones)
    scales: dict[str, float] = last.get("scales", ones)
    scores = [_scores(study, sample, factors, scales) for sample in samples]
    iterations = [row | score for row, score in zip(outcome.iterations, scores, strict=True)]
    final = scores[outcome.final]
    return {
        "status": outcome.status,
        "message": outcome.message,
        "title": study.config.title,
        "initial": scores[0],
        "final": final,
        "iterations": iterations,
        "correction": _correction_table(outcome),
        "data": [_data_entry(study, data, factors, scales) for data in study.datasets],
        "states": [_state_entry(outcome, s) for s in range(len(study.config.states))],
        "seconds": outcome.seconds,
        "provenance": _provenance(outcome),
    }


def _scores(study: Study, sample: Sample, factors: dict[str, float], scales: dict[str, float]) -> dict[str, Any]:
    """R_chi with its standard error and chi^2 of every data set for one sample."""
    r_chi, error, chi2, points = {}, {}, {}, {}
    for data in study.datasets:
        frames = sample.frames[data.state]
        counts = frames.counts.mean(axis=0, dtype=np.float64)
        scale = scales.get(data.name) or _best_scale(data, counts)
        r_chi[data.name] = data.measurement.r_chi(counts, scale)
        error[data.name] = _jackknife(frames.counts, lambda c, d=data, s=scale: d.measurement.r_chi(c, s))  # type: ignore[misc]
        fit = data.fit
        points[data.name] = len(fit.values)
        known = fit.sigma_known or data.name in factors
        residual = fit.values - (fit.operator.baseline + scale * (fit.operator.predict(counts) - fit.operator.baseline))
        factor = 1.0 if fit.sigma_known else factors.get(data.name, 1.0)
        chi2[data.name] = chi_squared(residual, fit.covariance * factor**2) if known else None
    return {"r_chi": r_chi, "r_chi_stderr": error, "chi2": chi2, "points": points}


def _best_scale(data: DataSet, counts: Array) -> float:
    """Least-squares scale of the model's D(r) for a curve that is only compared; one unless `free_scale`."""
    if not data.free_scale:
        return 1.0
    measurement = data.measurement
    model = measurement.total.predict(counts) - measurement.total.baseline
    return float((measurement.total_values - measurement.total.baseline) @ model / (model @ model))


def _jackknife(counts: NDArray[np.float32], statistic: Any) -> float:
    """Standard error of a statistic of mean counts, leaving out one of `BLOCKS` successive blocks at a time."""
    blocks = [b.sum(axis=0, dtype=np.float64) for b in np.array_split(counts, BLOCKS)]
    lengths = [len(b) for b in np.array_split(counts, BLOCKS)]
    total, n = np.sum(blocks, axis=0), sum(lengths)
    values = np.array([statistic((total - b) / (n - m)) for b, m in zip(blocks, lengths, strict=True)])
    return float(np.sqrt((BLOCKS - 1) * np.mean((values - values.mean()) ** 2)))


def _correction_table(outcome: Outcome) -> list[dict[str, Any]]:
    study, sample = outcome.study, outcome.samples[outcome.final]
    correction = sample.correction
    basis = correction.basis
    g = [frames.pair_distribution() for frames in sample.frames]
    table = []
    for index, p in enumerate(correction.active_pairs):
        sampled = np.flatnonzero(np.any([x[p] > 0.0 for x in g], axis=0)) if len({x.shape for x in g}) == 1 else None
        centres = study.boxes[0].centres
        low = float(centres[sampled[0]]) if sampled is not None and len(sampled) else float(correction.core[p])
        start = max(basis.r_min, math.floor(min(low, correction.core[p]) / PHI_STEP) * PHI_STEP - 0.2)
        r = start + PHI_STEP * np.arange(round((basis.r_cut - start) / PHI_STEP) + 1)
        errors = None if outcome.covariance is None else band(correction, outcome.covariance, r)[index]
        base = study.base_energies(r)
        table.append(
            {
                "pair": list(correction.pairs[p]),
                "r": r,
                "phi": correction.energy(r)[p],
                "stderr": errors,
                "base": None if base is None else base[p],
                "knots": basis.knots,
                "coefficients": correction.coefficients[p],
                "core": float(correction.core[p]),
                "sampled_r": [low, basis.r_cut],
            }
        )
    return table


def _data_entry(study: Study, data: DataSet, factors: dict[str, float], scales: dict[str, float]) -> dict[str, Any]:
    from refine.data.readers import check_curve

    config = next(d for d in study.config.data if d.name == data.name)
    curve, fit = data.measurement.curve, data.fit
    if isinstance(config.sigma, int | float):
        source = "given"
    elif fit.sigma_known:
        source = "file"
    else:
        source = "estimated"
    factor = factors.get(data.name, 1.0) if source == "estimated" else 1.0
    sigma = float(np.sqrt(np.mean(np.diag(fit.covariance)))) * factor
    role = "fitted" if data.role == "fit" else "compared, not fitted"
    span = f"{data.measurement.r[0]:g} to {data.measurement.r[-1]:.4g} Å"
    reach = f"Q range {curve.q_min:g} to {curve.q_max:g} 1/Å" if curve.q_max is not None else "unlimited Q range"
    return {
        "name": data.name,
        "quantity": curve.quantity,
        "normalisation": curve.normalisation,
        "radiation": curve.radiation or "partial",
        "role": data.role,
        "state": study.config.states[data.state].name,
        "points": len(fit.values),
        "sigma_source": source,
        "sigma_mean": sigma,
        "scale": scales.get(data.name, 1.0),
        "fit": fit.words if data.role == "fit" else None,
        "score_r": [float(data.measurement.r[0]), float(data.measurement.r[-1])],
        "source": Path(curve.source).name,
        "warnings": check_curve(curve),
        "compared": f"{role}: {fit.words if data.role == 'fit' else curve.quantity}; R_chi of T(r) over {span}, the "
        f"model seen through the experiment's {reach}, window {curve.window}; "
        f"the box's r range ({study.boxes[data.state].r_box:.2f} Å) applied to the measurement in Q space",
    }


def _state_entry(outcome: Outcome, s: int) -> dict[str, Any]:
    study, frames = outcome.study, outcome.samples[outcome.final].frames[s]
    system, state = study.systems[s], study.config.states[s]
    return {
        "name": state.name,
        "temperature": state.temperature,
        "mean_temperature": float(frames.temperature.mean()),
        "number_density": system.number_density,
        "atoms": dict(zip(system.species, system.n_per_species, strict=True)),
        "cell": system.cell,
        "pressure_GPa": float(frames.pressure().mean()),
        "frames": len(frames),
    }


def _provenance(outcome: Outcome) -> dict[str, Any]:
    versions = {"refine": metadata.version("refine-potentials"), "python": platform.python_version()}
    for name in PACKAGES:
        versions[name] = metadata.version(name)
    return {
        "versions": versions,
        "seed": outcome.study.config.sampling.seed,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "digest": outcome.digest,
    }


def _curve_table(outcome: Outcome, data: DataSet) -> str:
    measurement = data.measurement
    counts = [outcome.samples[k].frames[data.state].counts.mean(axis=0, dtype=np.float64) for k in (0, outcome.final)]
    initial, final = (measurement.shown.predict(c) for c in counts)
    sigma = measurement.shown_sigma
    columns = [
        measurement.shown.x,
        measurement.shown_values,
        sigma if sigma is not None else np.full(len(initial), np.nan),
        initial,
        final,
        measurement.shown_in_box,
    ]
    return _csv(["x", "measured", "sigma", "initial", "final", "measured_box"], columns)


def _g_table(outcome: Outcome, s: int) -> str:
    header, columns = ["r"], [outcome.study.boxes[s].centres]
    g = [outcome.samples[k].frames[s].pair_distribution() for k in (0, outcome.final)]
    for p, (a, b) in enumerate(outcome.study.pairs):
        header += [f"{a}-{b} initial", f"{a}-{b} final"]
        columns += [g[0][p], g[1][p]]
    return _csv(header, columns)


def _csv(header: Sequence[str], columns: Sequence[Array]) -> str:
    """Comma-separated text; what is not known is an empty field."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    for row in zip(*columns, strict=True):
        writer.writerow(["" if not np.isfinite(v) else f"{v:.8g}" for v in row])
    return stream.getvalue()


def _plain(value: Any) -> Any:
    """JSON values: arrays as lists, what is not finite as null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
