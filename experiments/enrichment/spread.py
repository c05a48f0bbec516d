"""How far apart the frames of a silica glass are: plain dynamics, hot dynamics, and metadynamics, at equal steps.

    python experiments/enrichment/spread.py OUT    # prints the table of docs/theory/enrichment.md

Spread: of the variable; of pair counts, the root of the summed variances of counts in bins of 0.2 Å, each in units of
the root of its mean in plain dynamics; of the neighbourhoods of atoms, by 26 radial and angular numbers an atom, the
rms distance from the mean neighbourhood in units of the standard deviations that plain dynamics has; and of how many
atoms the neighbourhood is further from its mean than 99.9 % are there. The last two also by the invariant features of
the MACE model that ships, which `refine explore` chooses by.

OUT gets every tenth frame of each kind, labelled with energy and forces by the potential that moved it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from refine.files import make_folder, write_text
from refine.learning.features import features_of
from refine.learning.frames import species_of
from refine.potentials.mace.reader import load
from refine.progress import NullProgress
from refine.sampling.bias import effective
from refine.sampling.jax.metadynamics import biased_sampler, biased_start, hills_of
from refine.study.bias import bias_of, with_widths
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.system import System
from refine.tasks.explore.labels import as_frame, text_of
from refine.tasks.pilot import equilibrated

STUDY = Path(__file__).with_name("study.toml")
MODEL = Path(__file__).parents[1] / "silica_mace" / "silica-mace.safetensors"
MIDDLES, SIGMA, REACH = np.arange(1.4, 6.0, 0.4), 0.3, 6.0
EVERY = 10  # frames


def neighbourhoods(positions: np.ndarray, cell: np.ndarray, n_per_species: tuple[int, ...]) -> np.ndarray:
    """(atoms, features): smooth counts of each species in shells, and the mean and scatter of the cosines of angles
    between the neighbours of the other species within 2.2 Å."""
    edges = np.diag(cell)
    apart = positions[:, None] - positions[None]
    apart -= edges * np.round(apart / edges)
    r = np.linalg.norm(apart, axis=2)
    np.fill_diagonal(r, np.inf)
    shells = np.exp(-0.5 * ((r[..., None] - MIDDLES) / SIGMA) ** 2)
    kinds = np.repeat(np.arange(len(n_per_species)), n_per_species)
    radial = [shells[:, kinds == kind].sum(axis=1) for kind in range(len(n_per_species))]
    angles = np.zeros((len(r), 2))
    for i in range(len(r)):
        near = np.flatnonzero((r[i] < 2.2) & (kinds != kinds[i]))
        if len(near) > 1:
            unit = apart[i, near] / r[i, near, None]
            cosines = (unit @ unit.T)[np.triu_indices(len(near), 1)]
            angles[i] = cosines.mean(), cosines.std()
    return np.concatenate([*radial, angles], axis=1)


def labelled(system: System, positions: np.ndarray, energies: np.ndarray, forces: np.ndarray) -> list:
    """Frames with their labels."""
    symbols = np.repeat(system.species, system.n_per_species)
    boxes = [Atoms(symbols, x, cell=system.cell, pbc=True) for x in positions.astype(float)]
    return [as_frame(*one) for one in zip(boxes, energies.tolist(), forces.astype(float), strict=True)]


def of_model(frames: list) -> np.ndarray:
    """(frames, atoms, D) invariant features of the MACE model, atoms as in the frames."""
    order = np.argsort([species_of(frames).index(symbol) for symbol in frames[0].symbols], kind="stable")
    return np.stack(features_of(load(MODEL), frames).invariant)[:, np.argsort(order)]


def sample(config: StudyConfig, temperature: float, start: object, *, biased: bool) -> dict[str, object]:
    """Frames at a temperature (K), from the glass."""
    study = Study(config, corrected=False)
    field, engine = study.samplers(positions=True)[0]
    sampler, params = engine.with_stride(config.bias.every), field.params(None)
    if start is None:
        start = equilibrated(study, 0, sampler, params, NullProgress())
    bias = bias_of(study, 0)
    state = sampler.start(start.positions, temperature, 7)
    state, plain = sampler.run(state, params, temperature, 100)
    found: dict[str, object] = {"start": start}
    begun = time.perf_counter()
    if biased:
        bias = with_widths(bias, plain)
        sampler = biased_sampler(sampler, bias, config.bias.frames)
        state = biased_start(sampler, state)
    end, frames = sampler.run(state, params, temperature, config.bias.frames)
    if biased:
        found["effective"] = sum(effective(one.weights()) for one in hills_of(end, bias))
    seconds = time.perf_counter() - begun
    n, cell = study.systems[0].n_per_species, study.systems[0].cell
    environments = np.stack([neighbourhoods(x.astype(float), cell, n) for x in frames.positions[::EVERY]])
    counts = frames.merged(round(0.2 / config.sampling.bin_width)).counts
    energy = frames.energy.mean() / frames.n_atoms
    variable = bias.variables[0].values(frames.counts)
    every = slice(None, None, EVERY)
    at = [sampler.start(x, temperature, 1) for x in frames.positions[every]]
    forces = np.concatenate([sampler.forces(one, params) for one in at])
    kept = labelled(study.systems[0], frames.positions[every], frames.energy[every], forces)
    return found | {
        "n": n, "frames": kept, "features": of_model(kept),
        "variable": variable, "counts": counts, "environments": environments, "energy": energy,
        "seconds": seconds, "temperature": frames.temperature.mean(),
    }  # fmt: skip


def spread(own: np.ndarray, theirs: np.ndarray, n_per_species: tuple[int, ...]) -> tuple[float, float]:
    """rms distance of atoms from their mean in units of plain dynamics, and the part of them that is unusual there.

    own, theirs: (frames, atoms, D) of plain dynamics, and of others.
    """
    kinds = np.repeat(np.arange(len(n_per_species)), n_per_species)
    widths, unusual = [], []
    for kind in range(len(n_per_species)):
        a, b = own[:, kinds == kind], theirs[:, kinds == kind]
        mean, std = a.mean(axis=(0, 1)), a.std(axis=(0, 1)) + 1e-6
        widths.append((((b - b.mean(axis=(0, 1))) / std) ** 2).mean())
        far, usual = ((((x - mean) / std) ** 2).mean(axis=2) for x in (b, a))
        unusual.append((far > np.quantile(usual, 0.999)).mean())
    weights = np.array(n_per_species)
    return float(np.sqrt(np.average(widths, weights=weights))), float(np.average(unusual, weights=weights))


def main() -> None:
    """The table."""
    out, changes = Path(sys.argv[1]), sys.argv[2:]
    make_folder(out)
    config = StudyConfig.from_toml(STUDY, changes)
    band = '[{name="peak", data="neutron", band=[1.4, 1.8]}]'
    of_peak = StudyConfig.from_toml(STUDY, [*changes, f"variables={band}"])
    plain = sample(config, 300.0, None, biased=False)
    start = plain["start"]
    runs = {
        "300 K": plain,
        "300 K, bias on Si-O": sample(config, 300.0, start, biased=True),
        "300 K, bias on the peak": sample(of_peak, 300.0, start, biased=True),
        "1500 K": sample(config, 1500.0, start, biased=False),
        "1500 K, bias on Si-O": sample(config, 1500.0, start, biased=True),
        "3000 K": sample(config, 3000.0, start, biased=False),
    }
    scale = np.sqrt(np.maximum(plain["counts"].mean(axis=0), 1.0))
    heads = (
        "frames",
        "variable",
        "counts",
        "neighbourhoods",
        "unusual",
        "MACE",
        "unusual",
        "U, eV/atom",
        "effective",
        "s",
    )
    print("|".join(("", *(f" {head} " for head in heads), "")))
    print("|" + " --- |" * len(heads))
    for name, run in runs.items():
        write_text(out / f"{name.replace(',', '').replace(' ', '-')}.extxyz", text_of(run["frames"]))
        counts = np.sqrt((run["counts"] / scale).var(axis=0).sum())
        wide, rare = spread(plain["environments"], run["environments"], plain["n"])
        of_mace, rare_there = spread(plain["features"], run["features"], plain["n"])
        effective_frames = f"{run['effective']:.0f} of {len(run['variable'])}" if "effective" in run else ""
        print(
            f"| {name} | {run['variable'].std():.4f} | {counts:.2f} | {wide:.2f} | {100 * rare:.1f} % | "
            f"{of_mace:.2f} | {100 * rare_there:.1f} % | {run['energy'] - plain['energy']:+.3f} | {effective_frames} | "
            f"{run['seconds']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
