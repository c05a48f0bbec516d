"""A pair correction, readouts or low-rank changes, with and without replay, from one budget: a table of README.md.

    python experiments/silica_mace/weights.py OUT [--steps 6000] [--frames 40] [--only NAME ...]

Every variant of `VARIANTS` refines study.toml: the same glass, curves, start and seed, samples of the same length, and
at most so many steps of dynamics, the equilibration that all have in common aside. A run that stops by itself earlier
has not used them. What is refined is then sampled anew, --frames frames behind `SETTLE` ps, on the glass of the fit
and, unchanged, on two that took no part (`GLASSES`): R_χ of fitted and unfitted curves, angles and pressure with their
sampling errors. The unrefined model on the three glasses gives what glasses of 192 atoms differ by, their standard
deviation: a change that is smaller than this, or than twice its sampling error, is marked ≈.

Energies and forces are compared with the labels of labelled.extxyz, frames that no training and no variant has seen
(train/held_out.py): root mean squares, of energies with and without their mean error, for a fit to curves may move the
zero of energy.

OUT keeps the runs and a file for each row: an interrupted script goes on. --only: some of the variants.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from numpy.typing import NDArray

import refine
from refine import Study
from refine.compiled import keep_programs, quieten
from refine.export.read import read_correction
from refine.files import write_text
from refine.refinement.inference.nuisance import best
from refine.results.schema import Status
from refine.sampling.averages import error_of
from refine.sampling.bonds import bond_angles, coordination_numbers
from refine.sampling.engine import Engine
from refine.sampling.frames import Frames
from refine.sampling.starts import equilibrate
from refine.study.datasets import DataSet
from refine.system import System

Array = NDArray[np.float64]
Row = dict[str, tuple[float, float]]
"""Value and standard error of each line of the table."""

FOLDER = Path(__file__).parent
MODEL = FOLDER / "silica-mace.safetensors"
LABELLED = FOLDER / "labelled.extxyz"

GLASSES = ("glass-2", "glass-4", "glass-5")
"""Of three quenches; the first is the one that is fitted."""

FRAMES, EQUILIBRATION, REEQUILIBRATION = 40, 1.0, 0.3
"""Of a sample; ps before the first and between two."""

SETTLE = 0.45
"""ps before what is scored, so long that the glass of the model alone has come to the refined one."""

BOND = 2.2
"""Å, between the first and the second shell of Si-O."""

DIFFTRE = ('refinement.method="difftre"', 'correction.smoothness="auto"')
"""It has no prior, and refuses a number for one."""

REPLAY = ("replay.self=true",)
READOUT = (*DIFFTRE, 'refinement.parameters=["layers.1.readout"]', "refinement.learning_rate=0.01")
LORA = (*DIFFTRE, 'refinement.parameters=["lora:8"]', "refinement.learning_rate=0.001")

VARIANTS: dict[str, tuple[str, ...]] = {
    "pairs": (),
    "pairs, difftre": (*DIFFTRE, "refinement.learning_rate=0.2"),
    "readout": READOUT,
    "readout, replay": (*READOUT, *REPLAY),
    "lora:8": LORA,
    "lora:8, replay": (*LORA, *REPLAY),
}
"""Keys that differ from study.toml. Learning rates were chosen from short runs."""

ALONE = "alone"
"""The model that nothing was refined of."""


@dataclass(frozen=True)
class Budget:
    """steps: of dynamics for each variant. frames: that each answer is scored with."""

    steps: int
    frames: int


def study_of(keys: Sequence[str], iterations: int = 1, glass: str = GLASSES[0]) -> Study:
    """study.toml with other keys, on a glass."""
    common = (
        f'system.structure="{glass}.extxyz"',
        f"sampling.frames={FRAMES}",
        f"sampling.equilibration={EQUILIBRATION}",
        f"sampling.reequilibration={REEQUILIBRATION}",
        "sampling.final=1.0",
        f"refinement.iterations={iterations}",
    )
    return Study.from_toml(FOLDER / "study.toml", [*common, *keys])


def steps_of(frames: Sequence[int], stride: int, timestep: float) -> int:
    """Steps of samples with so many frames, with those in which all but the first settle; timestep: fs.

    >>> steps_of([40, 40], 15, 2.0)
    1350
    """
    settling = math.ceil(REEQUILIBRATION * 1000.0 / (timestep * stride))
    return stride * (sum(frames) + settling * (len(frames) - 1))


def refined(name: str, out: Path, budget: Budget) -> Path:
    """The folder of a variant's run, which goes on until no further sample fits into the budget."""
    folder = out / name.replace(":", "").replace(", ", "-")
    done = folder / "spent.json"
    if done.exists():
        return folder
    began = time.process_time()
    settings = study_of(VARIANTS[name]).settings
    first, both = (steps_of([FRAMES] * n, settings.stride, settings.timestep) for n in (1, 2))
    iterations = max(1, (budget.steps - first) // (both - first))
    while True:
        result = study_of(VARIANTS[name], iterations).run(folder, resume="auto")
        frames = [row.frames for row in result.iterations if row.frames is not None]
        spent = steps_of(frames, settings.stride, settings.timestep)
        print(f"{name}: {len(frames) - 1} updates, {spent} steps: {result.message}", file=sys.stderr, flush=True)
        left = (budget.steps - spent) // (both - first)  # some rules take shorter samples
        if result.status == Status.CONVERGED or left < 1:
            break
        iterations = len(frames) - 1 + left
    of_run = {"updates": len(frames) - 1, "steps": spent, "cpu": time.process_time() - began}
    write_text(done, json.dumps(of_run | {"message": result.message}))
    return folder


@cache
def glass_of(glass: str) -> tuple[Study, Engine[Any]]:
    """The unrefined study on a glass and its sampler, which is compiled once for all answers."""
    study = study_of((), glass=glass)
    ((_, sampler),) = study.samplers(positions=True)
    return study, sampler


def scored(run: Path | None, glass: str, frames: int) -> Row:
    """One answer on one glass; None: the model alone."""
    study, sampler = glass_of(glass)
    correction = study.initial_correction()
    weights = run is not None and (run / "model.safetensors").exists()
    if run is not None and not weights:
        correction = read_correction(run).correction
    own = [f"model.path={json.dumps(str((run / 'model.safetensors').absolute()))}"] if run and weights else []
    ((field, _),) = study_of(own, glass=glass).samplers(positions=True)
    params, kelvin = field.params(correction), study.config.states[0].temperature
    start = equilibrate(sampler, params, kelvin, study.config.sampling.seed, SETTLE)
    _, sample = sampler.run(start, params, kelvin, frames)
    return curves(study, sample) | angles(sampler.system, sample)


def curves(study: Study, sample: Frames) -> Row:
    """R_χ of every curve, and the pressure in GPa."""
    counts, rows = sample.counts.mean(axis=0, dtype=np.float64), Row()
    for data in study.datasets:
        target = study.targets[data.name]
        scale = best(target, target.predict(counts)).scale

        def r_chi(mean: Array, data: DataSet = data, scale: float = scale) -> float:
            return data.measurement.r_chi(mean, scale)

        rows[f"R_χ {data.name}"] = r_chi(counts), error_of(r_chi, sample.counts, sample.replica)
    return rows | {"pressure, GPa": with_error(sample.pressure(), lambda mean: float(mean))}


def angles(system: System, sample: Frames) -> Row:
    """Means and standard deviations of the angles, degrees, and neighbours of Si."""
    assert sample.positions is not None
    symbols = np.repeat(system.species, system.n_per_species)
    structures = [(positions, system.cell, symbols) for positions in sample.positions]
    rows = Row()
    for name, centre, other in (("O-Si-O", "Si", "O"), ("Si-O-Si", "O", "Si")):
        of_frames = [bond_angles(*one, centre, other, BOND) for one in structures]
        moments = np.array([[1.0, x.mean(), np.mean(x**2)] for x in of_frames])
        rows[name] = with_error(moments, lambda mean: float(mean[1]))
        rows[f"{name}, deviation"] = with_error(moments, lambda mean: float(np.sqrt(mean[2] - mean[1] ** 2)))
    numbers = np.array([coordination_numbers(*one, "Si", "O", BOND).mean() for one in structures])
    return rows | {"O around Si": with_error(numbers, lambda mean: float(mean))}


def with_error(samples: Array, statistic: Callable[[Array], float]) -> tuple[float, float]:
    """A statistic of the mean over frames, and its standard error."""
    return statistic(samples.mean(axis=0)), error_of(statistic, samples)


def off_labels(run: Path | None) -> Row:
    """Root mean square errors on labelled.extxyz; there is no sampling in them."""
    calculator = refine.Calculator(str(MODEL)) if run is None else refine.read_calculator(run, model=MODEL)
    energies, forces = [], dict[str, list[Array]]()
    frames = read(LABELLED, ":")
    for atoms in frames:
        assert isinstance(atoms, Atoms)
        labels, phase = atoms.arrays["REF_forces"], str(atoms.info["phase"])
        atoms.calc = calculator
        energies.append((atoms.get_potential_energy() - atoms.info["REF_energy"]) / len(atoms))
        forces.setdefault(phase, []).append((atoms.get_forces() - labels).ravel())
    rows = {"energy, meV/atom": _rms(energies), "without the mean": float(np.std(energies))}
    rows |= {f"forces, {phase}, meV/Å": _rms(np.concatenate(own)) for phase, own in forces.items()}
    return {name: (1000.0 * value, 0.0) for name, value in rows.items()}


def _rms(values: Sequence[float] | Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def kept(path: Path, make: Callable[[], Row]) -> Row:
    """Rows of a file; made where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(make()))
        print(f"{path.stem} is done", file=sys.stderr, flush=True)
    return {name: (value, error) for name, (value, error) in json.loads(path.read_text()).items()}


def answers(run: Path | None, out: Path, budget: Budget) -> dict[str, Row]:
    """All rows of a run, by glass, and "labels"; None: of the model alone."""
    stem = ALONE if run is None else run.name
    made = {glass: partial(scored, run, glass, budget.frames) for glass in GLASSES} | {
        "labels": partial(off_labels, run)
    }
    return {part: kept(out / "rows" / f"{stem}-{part}.json", make) for part, make in made.items()}


def spread(columns: Mapping[str, Mapping[str, Row]], row: str) -> float:
    """Standard deviation of the unrefined glasses."""
    return float(np.std([columns[ALONE][glass][row][0] for glass in GLASSES], ddof=1))


def cell(value: tuple[float, float], alone: tuple[float, float], between: float) -> str:
    """value ± error, marked where it differs from the model alone by less than glasses, or twice its error, do.

    >>> cell((0.08, 0.002), (0.17, 0.002), 0.01), cell((0.165, 0.002), (0.17, 0.002), 0.01)
    ('0.080 ± 0.002', '≈ 0.165 ± 0.002')
    """
    digits = max(1, -math.floor(math.log10(value[1]))) if value[1] > 0 else 0
    shown = f"{value[0]:.{digits}f}" + (f" ± {value[1]:.{digits}f}" if value[1] > 0 else "")
    change = abs(value[0] - alone[0])
    like = value != alone and (change < between or change < 2.0 * math.hypot(value[1], alone[1]))
    return f"≈ {shown}" if like else shown


def table(columns: Mapping[str, Mapping[str, Row]], spent: Mapping[str, Mapping[str, float]]) -> str:
    """All rows in Markdown; the last column is what unrefined glasses differ by."""
    lines = [f"| | {' | '.join(columns)} | between glasses |", f"|{' --- |' * (len(columns) + 2)}"]
    for what in ("updates", "steps", "cpu"):
        cells = (f"{spent[name][what]:.0f}" if name in spent else "" for name in columns)
        lines.append(f"| {what} | {' | '.join(cells)} | |")
    for part in (*GLASSES, "labels"):
        for row, alone in columns[ALONE][part].items():
            between = 0.0 if part == "labels" else spread(columns, row)
            cells = (cell(column[part][row], alone, between) for column in columns.values())
            last = f"{between:.3f}" if between else ""
            lines.append(f"| {row}, {part} | {' | '.join(cells)} | {last} |")
    return "\n".join(lines)


def main() -> None:
    """Refine, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=6000, help="of dynamics for each variant")
    parser.add_argument("--frames", type=int, default=40, help="that each answer is scored with")
    parser.add_argument("--only", choices=tuple(VARIANTS), nargs="+", default=list(VARIANTS))
    asked = parser.parse_args()
    keep_programs(print)
    budget = Budget(asked.steps, asked.frames)
    columns = {ALONE: answers(None, asked.out, budget)}
    runs = dict[str, Path]()
    for name in asked.only:
        runs[name] = refined(name, asked.out, budget)
        columns[name] = answers(runs[name], asked.out, budget)
    spent = {name: json.loads((run / "spent.json").read_text()) for name, run in runs.items()}
    print(table(columns, spent))


if __name__ == "__main__":
    quieten()
    main()
