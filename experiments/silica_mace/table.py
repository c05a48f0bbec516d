"""Before and after: the tables of README.md, over independent glasses.

    python experiments/silica_mace/table.py RUN1 RUN2 RUN3

Finished runs of the study as it stands, two or more, each with a glass of its own. Each is sampled with the model
alone, with the correction that was fitted to it, and with the one that was fitted to the next glass: what of a
correction is the model's, and what is that of one glass. Numbers are means over the glasses with their standard errors,
from the spread of the glasses.

r(Si-O), r(O-O), height and n(Si-O) are of T(r) through the window of the measurement, for the measurement too; angles
and the number of neighbours are of the atoms (experiments/silica/glass.py).

Below the table, the directions that each run determined, and what the fitted curve of one glass of the model alone
differs by from another, beside the `sigma` of the study: root mean squares over bands of Q.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np

from refine import Study
from refine.export.read import read_correction
from refine.potentials.correction import PairCorrection
from refine.refinement.inference.nuisance import best
from refine.sampling.starts import equilibrate

sys.path.insert(0, str(Path(__file__).parents[1] / "silica"))
from glass import Array, from_curve, from_positions  # experiments are scripts in folders, no package

BANDS = (1.0, 2.0, 4.0, 8.0, 16.0, 40.0)
"""1/Å, between which the spread of the glasses is averaged."""


def study_of(run: Path) -> Study:
    """The study of this folder, which knows where its files are, with the glass of a run; SystemExit for other runs."""
    text = (run / "study.toml").read_text()
    glass = tomllib.loads(text)["system"]["structure"]
    study = Study.from_toml(Path(__file__).parent / "study.toml", [f"system.structure={json.dumps(glass)}"])
    if study.config.to_toml() != text:
        raise SystemExit(f"{run} is of another study than {Path(__file__).parent / 'study.toml'} is now")
    return study


def found(study: Study, correction: PairCorrection) -> tuple[dict[str, float], Array]:
    """Everything in the table, of one sample, and the fitted curve."""
    ((field, sampler),) = study.samplers(positions=True)
    config, kelvin = study.config, study.config.states[0].temperature
    params = field.params(correction)
    start = equilibrate(sampler, params, kelvin, config.sampling.seed, config.sampling.equilibration)
    _, frames = sampler.run(start, params, kelvin, config.sampling.frames)
    counts = frames.counts.mean(axis=0, dtype=np.float64)
    rows = {}
    for data in study.datasets:
        target = study.targets[data.name]
        rows[f"R_χ {data.name}"] = data.measurement.r_chi(counts, best(target, target.predict(counts)).scale)
    shown = next(data.measurement for data in study.datasets if data.name == "neutron_tr")
    rows |= from_curve(study, shown.shown.x, shown.shown.predict(counts))
    for name, (mean, deviation) in from_positions(sampler.system, frames).items():
        rows |= {name: mean, f"{name}, deviation": deviation}
    return rows | {"pressure, GPa": float(frames.pressure().mean())}, study.targets["neutron"].predict(counts)


def written(values: list[float]) -> str:
    """Mean ± standard error."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.4f} ± {error:.4f}"


def spread(study: Study, curves: list[Array]) -> str:
    """Standard deviation of glasses, and that which the study states, of the points of the fit."""
    fit = next(data.fit for data in study.datasets if data.name == "neutron")
    of_glasses, stated = np.var(curves, axis=0, ddof=1), np.diag(fit.covariance)
    cells = []
    for low, high in pairwise(BANDS):
        inside = (fit.operator.x >= low) & (fit.operator.x < high)
        both = (f"{np.sqrt(np.mean(variance[inside])):.4f}" for variance in (of_glasses, stated))
        cells.append(f"| {low:.0f} to {high:.0f} 1/Å | {' | '.join(both)} |")
    return "\n".join(["| Q | between glasses, barn/sr | sigma |", "| --- | --- | --- |", *cells])


def main() -> None:
    """Sample all, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    asked = parser.parse_args()
    if len(asked.runs) < 2:
        parser.error("a spread takes two runs or more")

    studies = [study_of(run) for run in asked.runs]
    corrections = [read_correction(run).correction for run in asked.runs]
    columns: dict[str, list[dict[str, float]]] = {"before": [], "after": [], "that of another glass": []}
    curves: list[Array] = []
    for k, study in enumerate(studies):
        others = corrections[(k + 1) % len(corrections)]
        for column, correction in zip(columns, (study.initial_correction(), corrections[k], others), strict=True):
            rows, curve = found(study, correction)
            columns[column].append(rows)
            curves += [curve] if column == "before" else []
            print(f"{asked.runs[k]}, {column}", file=sys.stderr, flush=True)
    shown = next(data.measurement for data in studies[0].datasets if data.name == "neutron_tr")
    measured = from_curve(studies[0], shown.shown.x, shown.shown_values)
    print(f"| | {' | '.join(columns)} | measured |\n|{' --- |' * (len(columns) + 2)}")
    for name in columns["before"][0]:
        cells = [written([row[name] for row in column]) for column in columns.values()]
        print(f"| {name} | {' | '.join(cells)} | {f'{measured[name]:.4f}' if name in measured else ''} |")
    for run in asked.runs:
        determination = json.loads((run / "result.json").read_text())["determination"]
        print(f"{run}: {determination['directions']:.1f} directions determined")
    if len(curves) > 1:
        print(spread(studies[0], curves))


if __name__ == "__main__":
    main()
