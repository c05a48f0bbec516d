"""The recipe of mace.yaml by mace-torch and by `refine learn`: same frames, same split, same epochs.

    python compare_training.py work/compare --torch ../../../.venv-torch/bin [--epochs 10] [--every 2]

Frames are crystals of make_frames.py, strained and displaced, dealt by split.py. Their labels are by the model that
ships, not by SevenNet-0, so that no third environment is needed: a teacher whose architecture the students have. Stage
one of the recipe alone is trained, from random weights, on one core each. Errors are root mean squares on the test
frames, of both models by `refine.Calculator` in float64; CPU seconds are of the whole program, its start, compilations
and last validation with it. Labels that are there are used again. The table goes to FOLDER/table.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
from ase.io import read
from make_frames import CRYSTALS, crystals, save

from refine import Calculator
from refine.learning.keys import LearnConfig

HERE = Path(__file__).resolve().parent
TEACHER = HERE.parent / "silica-mace.safetensors"

USED = ("quartz", "tridymite", "stishovite")
"""Of 24 to 36 atoms."""

LEFT_OUT = ("swa", "start_swa", "config_type_weights")
"""Lines of mace.yaml: its second stage, and weights of collisions, of which there are none here."""


def label(folder: Path, every: int) -> None:
    """Make, label and deal frames."""
    rng = np.random.default_rng(1)
    kept = [one for name in CRYSTALS if name in USED for one in crystals(name, rng)[::every]]
    calculator = Calculator(str(TEACHER), dtype="float64")
    for _, atoms in kept:
        atoms.calc = calculator
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
        atoms.calc = None
        atoms.info |= {"REF_energy": float(energy), "REF_stress": stress.ravel()}
        atoms.arrays["REF_forces"] = forces
    save(folder / "labelled.extxyz", kept)
    split = [sys.executable, str(HERE / "split.py"), str(folder / "labelled.extxyz"), "--folder", str(folder)]
    subprocess.run(split, check=True)


def by_refine(folder: Path, epochs: int) -> list[str]:
    """Write its file; the command."""
    tree = tomllib.loads((HERE / "learn.toml").read_text())
    tree["frames"] = {part: [f"{part}.extxyz"] for part in ("train", "valid", "test")}
    tree["learn"] |= {"epochs": epochs, "patience": epochs}
    (folder / "refine.toml").write_text(LearnConfig.parse(tree, folder).to_toml())
    return [sys.executable, "-m", "refine", "learn", "refine.toml", "--out", "refine", "--overwrite"]


def by_torch(folder: Path, epochs: int, programs: Path) -> list[str]:
    """Write its file; the command."""
    changed = {"max_num_epochs": epochs, "eval_interval": 1, "work_dir": "torch", "restart_latest": "false"}
    lines = [line for line in (HERE / "mace.yaml").read_text().splitlines() if ":" in line]
    keys = [line.partition(":")[0].strip() for line in lines]
    kept = [line for key, line in zip(keys, lines, strict=True) if key not in changed and not key.startswith(LEFT_OUT)]
    (folder / "torch.yaml").write_text("\n".join([*kept, *(f"{k}: {v}" for k, v in changed.items())]) + "\n")
    return [str(programs.resolve() / "mace_run_train"), "--config", "torch.yaml"]


def timed(command: list[str], folder: Path, name: str) -> tuple[float, float]:
    """CPU and wall seconds of a command on one core."""
    one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / f"{name}.log").open("w") as log:
        subprocess.run(command, cwd=folder, env={**os.environ, **one}, stdout=log, stderr=log, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - start


def errors(model: Path, test: Path) -> tuple[float, float, float]:
    """Root mean squares: energy meV per atom, forces meV/Å, stress GPa."""
    from ase.units import GPa

    calculator, off = Calculator(str(model), dtype="float64"), ([], [], [])
    for atoms in read(test, ":"):
        energy, forces, stress = (atoms.info["REF_energy"], atoms.arrays["REF_forces"], atoms.info["REF_stress"])
        atoms.calc = calculator
        off[0].append(1e3 * (atoms.get_potential_energy() - energy) / len(atoms))
        off[1].append(1e3 * (atoms.get_forces() - forces).ravel())
        off[2].append((atoms.get_stress(voigt=False).ravel() - np.asarray(stress).ravel()) / GPa)
    return tuple(float(np.sqrt(np.mean(np.square(np.concatenate(list(map(np.atleast_1d, x))))))) for x in off)


def main() -> None:
    """Train both, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torch", type=Path, help="the folder of mace_run_train; without it refine alone is trained")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--every", type=int, default=2, help="of the 40 frames of each crystal, one in so many")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "test.extxyz").exists():
        label(folder, asked.every)
    runs = {"refine learn": (by_refine(folder, asked.epochs), "refine/model.safetensors")}
    if asked.torch is not None:
        runs["mace-torch"] = (by_torch(folder, asked.epochs, asked.torch), "torch/silica-mace.model")
    rows = ["| trained by | energy (meV/atom) | forces (meV/Å) | stress (GPa) | CPU s | wall s |", "|" + " --- |" * 6]
    for name, (command, model) in runs.items():
        cpu, wall = timed(command, folder, name)
        found = errors(folder / model, folder / "test.extxyz")
        rows.append(f"| {name} | " + " | ".join(f"{x:.3g}" for x in found) + f" | {cpu:.0f} | {wall:.0f} |")
        print(rows[-1], flush=True)
    sizes = ", ".join(f"{len(read(folder / f'{part}.extxyz', ':'))} {part}" for part in ("train", "valid", "test"))
    text = "\n".join([f"{asked.epochs} epochs; frames: {sizes}.", "", *rows])
    (folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
