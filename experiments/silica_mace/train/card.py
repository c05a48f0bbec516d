"""Numbers of the model card: errors by phase, and how dynamics with the model hold.

    python card.py errors MODEL labelled.extxyz   # against the labels of frames that training did not see
    python card.py stability MODEL GLASS          # 100 ps at 300 K and at 4000 K, and energy without a thermostat

MODEL is the shipped file, GLASS a structure of it (glass-2.extxyz). quartz.py has the rest.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import read
from numpy.typing import NDArray
from split import LARGEST  # a script beside this one

import refine
from refine import Study
from refine.sampling.bonds import bonds, coordination_numbers
from refine.sampling.frames import Frames
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import VelocityVerlet
from refine.sampling.starts import begin
from refine.system import System
from refine.units import BOLTZMANN

BOND, SEEN = 2.2, 3.5
"""Å: of a Si-O bond, and within which the shortest distances are sought."""

PICOSECONDS = 100.0
FREE = 20.0
"""ps without a thermostat."""

APART = 0.5
"""ps between frames."""

FREE_TIMESTEPS = (1.0, 2.0)
"""fs."""


def errors(model: Path, labelled: Path) -> None:
    """Root mean square over frames (energy per atom) and over components of forces, with those of the labels beside."""
    rows: dict[str, list[tuple[float, NDArray[np.float64], NDArray[np.float64], float]]] = {}
    calculator = refine.Calculator(str(model))
    for atoms in read(labelled, ":"):
        if np.linalg.norm(atoms.arrays["REF_forces"], axis=1).max() >= LARGEST:
            continue  # as in training
        atoms.calc = calculator
        off = (atoms.get_potential_energy() - atoms.info["REF_energy"]) / len(atoms)
        labels = atoms.arrays["REF_forces"]
        stress = np.sqrt(np.mean((atoms.get_stress() - atoms.info["REF_stress"]) ** 2))
        rows.setdefault(atoms.info["phase"], []).append((off, atoms.get_forces() - labels, labels, stress))
    rows["all"] = [row for own in list(rows.values()) for row in own]
    print("| phase | frames | energy, meV/atom | forces, meV/Å | of forces, meV/Å | stress, GPa |")
    print("| --- | --- | --- | --- | --- | --- |")
    for phase, own in rows.items():
        energy = 1e3 * np.sqrt(np.mean([row[0] ** 2 for row in own]))
        off, whole = (1e3 * np.sqrt(np.mean(np.concatenate([row[k] for row in own]) ** 2)) for k in (1, 2))
        stress = 160.21766 * np.sqrt(np.mean([row[3] ** 2 for row in own]))
        print(f"| {phase} | {len(own)} | {energy:.1f} | {off:.0f} | {whole:.0f} | {stress:.2f} |")


def neighbours(system: System, frames: Frames) -> str:
    """O around Si, and the shortest distances, over all frames."""
    assert frames.positions is not None
    symbols = np.repeat(system.species, system.n_per_species)
    numbers = []
    shortest = {("Si", "O"): np.inf, ("O", "O"): np.inf, ("Si", "Si"): np.inf}
    for positions in frames.positions:
        numbers.append(coordination_numbers(positions, system.cell, symbols, "Si", "O", BOND))
        for centre, other in shortest:
            _, vectors = bonds(positions, system.cell, symbols, centre, other, SEEN)
            nearest = np.linalg.norm(vectors, axis=1).min(initial=np.inf)
            shortest[centre, other] = min(shortest[centre, other], float(nearest))
    every = np.concatenate(numbers)
    held = ", ".join(f"{100 * np.mean(every == k):.1f} % of {k}" for k in np.unique(every))
    least = ", ".join(f"{'-'.join(pair)} {value:.2f}" for pair, value in shortest.items())
    return f"Si with O within {BOND} Å: {held}; shortest distances, Å: {least}"


def hold(model: Path, glass: Path, kelvin: float, phase: str, timestep: float) -> NDArray[np.float64]:
    """`PICOSECONDS` with a thermostat, printed: the last positions (N, 3), Å. Raises SimulationError where it fails."""
    sampler, params = made(model, glass, kelvin, phase, timestep)
    began = time.monotonic()
    _, frames = sampler.run(begin(sampler, params, kelvin, 1), params, kelvin, round(PICOSECONDS / APART))
    taken = (time.monotonic() - began) / (1e3 * PICOSECONDS / timestep)
    late = slice(len(frames) // 5, None)
    print(
        f"{kelvin:.0f} K, {PICOSECONDS:.0f} ps of {timestep:g} fs, {frames.n_atoms} atoms, {1e3 * taken:.1f} ms a "
        f"step: T {frames.temperature[late].mean():.0f} K, pressure {frames.pressure()[late].mean():.2f} GPa; "
        f"{neighbours(sampler.system, frames)}",
        flush=True,
    )
    assert frames.positions is not None
    return frames.positions[-1]


def drift(model: Path, glass: Path, positions: NDArray[np.float64], kelvin: float, timestep: float) -> None:
    """`FREE` ps without a thermostat from there, printed."""
    sampler, params = made(model, glass, kelvin, "solid", timestep)
    sampler = Sampler(
        sampler.system,
        sampler.force_field,
        thermostat=VelocityVerlet(),
        timestep=sampler.timestep,
        stride=sampler.stride,
        n_bins=10,
        r_max=sampler.r_max,
        dtype="float32",
        phase="solid",
    )
    _, frames = sampler.run(sampler.start(positions, kelvin, 2), params, kelvin, round(FREE / APART))
    kinetic = 1.5 * (frames.n_atoms - 1) * BOLTZMANN * frames.temperature
    total = (frames.energy + kinetic) / frames.n_atoms
    slope = np.polyfit(APART * np.arange(1, len(frames) + 1), total, 1)[0]
    print(f"no thermostat, {FREE:.0f} ps of {timestep:g} fs: drift {1e6 * slope:+.2f} µeV per atom and ps", flush=True)


def made(model: Path, glass: Path, kelvin: float, phase: str, timestep: float) -> tuple[Sampler, Any]:
    """A sampler with frames `APART`, and the parameters of the model without a correction, from the study beside."""
    own = [f"sampling.timestep={timestep}", f"sampling.stride={round(1e3 * APART / timestep)}"]
    own += [f"model.path='{model.resolve()}'", f"system.structure='{glass.resolve()}'"]
    own += [f"states.0.temperature={kelvin}", f"states.0.phase='{phase}'"]
    study = Study.from_toml(Path(__file__).parents[1] / "study.toml", own)
    ((field, sampler),) = study.samplers(positions=True)
    return sampler, field.params(study.initial_correction())


def stability(model: Path, glass: Path) -> None:
    """As a glass, with and without a thermostat, and as a melt."""
    last = hold(model, glass, 300.0, "solid", 2.0)
    for timestep in FREE_TIMESTEPS:
        drift(model, glass, last, 300.0, timestep)
    hold(model, glass, 4000.0, "liquid", 1.0)


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("errors", "stability"))
    parser.add_argument("model", type=Path)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    (errors if asked.what == "errors" else stability)(asked.model, asked.file)


if __name__ == "__main__":
    main()
