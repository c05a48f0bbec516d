"""Structure and R_chi of one glass, melted and quenched anew: the rows of the tables in README.md.

    python experiments/silica/glass.py experiments/silica/study.toml [--model FILE] [--correction RUN] [--seed N]

--model: a file with a [model] table, in place of that of the study. --correction: the folder of a finished run, whose
correction acts from the melt on. --seed: of packing and momenta; another seed is another glass.

From neutrons, model and measurement alike through the window and the Q range of the measured T(r):
    r(Si-O), r(O-O): maxima of T(r);  height: of the first;  n(Si-O) = ∫ r T(r) dr / (2 c_Si b_Si b_O) over that peak.
From the frames of the model: O around Si within 2.2 Å, and the mean and standard deviation of the bond angles.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine import Study
from refine.curves.weights import amplitudes
from refine.export.read import read_correction
from refine.refinement.inference.nuisance import best
from refine.sampling.averages import error_of
from refine.sampling.bonds import bond_angles, coordination_numbers
from refine.sampling.frames import Frames
from refine.sampling.starts import equilibrate
from refine.scattering.peaks import peak
from refine.study.datasets import DataSet
from refine.study.schema import ModelFile, StudyConfig
from refine.system import System

Array = NDArray[np.float64]

BOND = 2.2
"""Å, between the first and the second shell."""

FIRST, SECOND = (1.3, 2.0), (2.4, 2.9)
"""Å, where the first two peaks of T(r) lie: Si-O and O-O."""


def from_curve(study: Study, r: Array, t: Array) -> dict[str, float]:
    """Positions (Å), height (barn/Å^2) and number of neighbours from a neutron T(r) in barn/Å^2."""
    first, second = (peak(r, t, *limits) for limits in (FIRST, SECOND))
    inside = (r >= FIRST[0]) & (r <= FIRST[1])
    b = amplitudes("neutron", study.species, np.zeros(1))[:, 0] / 10.0  # fm to sqrt(barn)
    c = study.boxes[0].fractions[study.species.index("Si")]
    area = float(np.trapezoid((r * t)[inside], r[inside]))
    return {
        "r(Si-O)": first.position,
        "height": first.height,
        "n(Si-O)": area / (2.0 * c * float(b[0] * b[1])),
        "r(O-O)": second.position,
    }


def from_positions(system: System, frames: Frames) -> dict[str, tuple[float, float]]:
    """Neighbours of Si, and angles (degrees): mean and standard deviation over atoms and frames."""
    assert frames.positions is not None
    symbols = np.repeat(system.species, system.n_per_species)
    found: dict[str, list[Array]] = {"O within 2.2 Å of Si": [], "O-Si-O": [], "Si-O-Si": []}
    for positions in frames.positions[::10]:
        structure = (positions, system.cell, symbols)
        found["O within 2.2 Å of Si"].append(coordination_numbers(*structure, "Si", "O", BOND))
        found["O-Si-O"].append(bond_angles(*structure, "Si", "O", BOND))
        found["Si-O-Si"].append(bond_angles(*structure, "O", "Si", BOND))
    together = {name: np.concatenate(values) for name, values in found.items()}
    return {name: (float(np.mean(values)), float(np.std(values))) for name, values in together.items()}


def score(study: Study, data: DataSet, frames: Frames) -> str:
    """R_chi with its standard error, at the best scale where it is free."""
    target, counts = study.targets[data.name], frames.counts.mean(axis=0, dtype=np.float64)
    free = best(target, target.predict(counts))
    value = data.measurement.r_chi(counts, free.scale)
    error = error_of(lambda c: data.measurement.r_chi(c, free.scale), frames.counts, frames.replica)
    return f"{value:.4f} ± {error:.4f}" + (f" (scale {free.scale:.3f})" if target.free_scale else "")


def main() -> None:
    """Quench, sample, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--correction", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()

    began = time.monotonic()
    config = StudyConfig.from_toml(asked.study, [f"sampling.seed={asked.seed}"])
    if asked.model is not None:
        config = config.model_copy(update={"model": ModelFile.from_toml(asked.model).model})
    study = Study(config)
    correction = read_correction(asked.correction).correction if asked.correction else study.initial_correction()
    ((field, sampler),) = study.samplers(positions=True)
    params, kelvin = field.params(correction), config.states[0].temperature
    start = equilibrate(sampler, params, kelvin, asked.seed, config.sampling.equilibration, study.stages)
    _, frames = sampler.run(start, params, kelvin, config.sampling.frames)

    print(f"{config.model.base}, correction {asked.correction or 'none'}, seed {asked.seed}")
    shown = next(d.measurement for d in study.datasets if d.name == "neutron_tr")
    model = from_curve(study, shown.shown.x, shown.shown.predict(frames.counts.mean(axis=0, dtype=np.float64)))
    for name, value in from_curve(study, shown.shown.x, shown.shown_values).items():
        print(f"  {name:22s} {model[name]:.4f}   measured {value:.4f}")
    for name, (mean, deviation) in from_positions(sampler.system, frames).items():
        print(f"  {name:22s} {mean:.3f}   standard deviation {deviation:.3f}")
    for data in study.datasets:
        print(f"  R_chi {data.name:16s} {score(study, data, frames)}")
    print(f"  pressure               {frames.pressure().mean():.2f} GPa;  {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
