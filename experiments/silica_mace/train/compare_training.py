"""The recipe of mace.yaml by mace-torch and by `refine learn`, from the same start: errors and seconds side by side.

    python compare_training.py work/compare --torch ../../../.venv-torch/bin [--epochs 12] [--seeds 3]

Frames are crystals of make_frames.py, strained and displaced, dealt by split.py. Their labels are by the model that
ships, not by SevenNet-0, so that no third environment is needed: a teacher whose architecture the students have.

Of each seed mace-torch makes the random model that both train: E0 of the training frames, scale, and average number of
neighbours are its. Loss, batches, AMSGrad, learning rates, clipping, moving average and the choice of the epoch are the
same; the order of the frames is not. What mace.yaml leaves open is set: mace-torch leaves the frames that do not fill a
batch out of every epoch, so there are none of these, and its weight decay (5e-7), which refine does not have, is zero.
Stage one alone is trained, on one core each.

Errors are root mean squares on the test frames, of all models by `refine.Calculator` in float64; "without the mean" is
what is left of the energy when all are moved by one number per atom. Means over the seeds, with standard errors.
Seconds are of the whole program, its start, compilations and last validation with it. What is there is used again: an
interrupted comparison goes on with the next training. The table goes to FOLDER/table.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
from ase.io import read, write
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
    whole_batches(folder / "train.extxyz")


def whole_batches(path: Path) -> None:
    """Leave the last frames out that do not fill a batch, as mace-torch does in every epoch."""
    frames, size = read(path, ":"), tomllib.loads((HERE / "learn.toml").read_text())["learn"]["batch"]
    write(path, frames[: len(frames) - len(frames) % size], format="extxyz")


def by_refine(folder: Path, seed: int, epochs: int, start: str | None) -> list[str]:
    """Write its file; the command. start: the model that is trained; None: a new one of refine's own."""
    tree = tomllib.loads((HERE / "learn.toml").read_text())
    tree["frames"] = {part: [f"{part}.extxyz"] for part in ("train", "valid", "test")}
    tree["learn"] |= {"epochs": epochs, "patience": epochs, "seed": seed}
    if start is None:
        tree["new"]["seed"] = seed
    else:
        del tree["new"]
        tree["model"] = {"path": start}
    name = f"{'refine' if start else 'new'}-{seed}"
    (folder / f"{name}.toml").write_text(LearnConfig.parse(tree, folder).to_toml())
    return [sys.executable, "-m", "refine", "learn", f"{name}.toml", "--out", name, "--overwrite"]


def by_torch(folder: Path, name: str, programs: Path, **keys: object) -> list[str]:
    """Write its file; the command. keys: in place of those of mace.yaml."""
    keys |= {"work_dir": name, "eval_interval": 1, "restart_latest": "false", "weight_decay": 0.0}
    lines = [line for line in (HERE / "mace.yaml").read_text().splitlines() if ":" in line and line[0] != "#"]
    words = [line.partition(":")[0].strip() for line in lines]
    kept = [line for key, line in zip(words, lines, strict=True) if key not in keys and not key.startswith(LEFT_OUT)]
    (folder / f"{name}.yaml").write_text("\n".join([*kept, *(f"{k}: {v}" for k, v in keys.items())]) + "\n")
    return [str(programs.resolve() / "mace_run_train"), "--config", f"{name}.yaml"]


def timed(command: list[str], folder: Path, name: str) -> tuple[float, float]:
    """CPU and wall seconds of a command on one core."""
    one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / f"{name}.log").open("w") as log:
        subprocess.run(command, cwd=folder, env={**os.environ, **one}, stdout=log, stderr=log, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - start


def errors(model: Path, test: Path) -> list[float]:
    """Root mean squares: energy and energy without its mean, meV per atom, forces meV/Å, stress GPa."""
    from ase.units import GPa

    calculator, energies, forces, stresses = Calculator(str(model), dtype="float64"), [], [], []
    for atoms in read(test, ":"):
        atoms.calc = calculator
        energies.append(1e3 * (atoms.get_potential_energy() - atoms.info["REF_energy"]) / len(atoms))
        forces.append(1e3 * (atoms.get_forces() - atoms.arrays["REF_forces"]).ravel())
        stresses.append((atoms.get_stress(voigt=False).ravel() - np.ravel(atoms.info["REF_stress"])) / GPa)
    off = (np.array(energies), np.array(energies) - np.mean(energies), np.concatenate(forces), np.concatenate(stresses))
    return [float(np.sqrt(np.mean(x**2))) for x in off]


def trained(command: list[str], folder: Path, name: str, model: str) -> list[float]:
    """Errors, CPU and wall seconds of a training that is carried out, or was."""
    told = folder / f"{name}.json"
    if not told.exists():
        seconds = timed(command, folder, name)
        told.write_text(json.dumps([*errors(folder / model, folder / "test.extxyz"), *seconds]))
    return [float(x) for x in json.loads(told.read_text())]


def row(name: str, values: np.ndarray) -> str:
    """Means over the seeds, with their standard errors where there are several."""
    cells = [f"{x:.3g}" for x in values.mean(axis=0)]
    if len(values) > 1:
        cells = [f"{x} ± {s:.1g}" for x, s in zip(cells, values.std(axis=0, ddof=1) / len(values) ** 0.5, strict=True)]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Train all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torch", type=Path, required=True, help="the folder of mace_run_train")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=2, help="of the 40 frames of each crystal, one in so many")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "test.extxyz").exists():
        label(folder, asked.every)

    found: dict[str, list[list[float]]] = {}
    for seed in range(1, asked.seeds + 1):
        start, name = f"start-{seed}", f"torch-{seed}"
        begin = by_torch(folder, start, asked.torch, seed=seed, lr=0.0, max_num_epochs=1)
        first = f"{start}/silica-mace.model"
        runs = {
            "the random start": (begin, start, first),
            "mace-torch": (by_torch(folder, name, asked.torch, seed=seed, max_num_epochs=asked.epochs), name, None),
            "refine learn": (by_refine(folder, seed, asked.epochs, first), f"refine-{seed}", None),
            "refine learn, a random start of its own": (
                by_refine(folder, seed, asked.epochs, None),
                f"new-{seed}",
                None,
            ),
        }
        for words, (command, place, model) in runs.items():
            ending = "silica-mace.model" if place == name else "model.safetensors"
            values = trained(command, folder, place, model or f"{place}/{ending}")
            found.setdefault(words, []).append(values)
            print(place, *(f"{x:.4g}" for x in values), flush=True)

    heads = ("energy (meV/atom)", "without the mean", "forces (meV/Å)", "stress (GPa)", "CPU s", "wall s")
    rows = [f"| trained by | {' | '.join(heads)} |", "|" + " --- |" * (len(heads) + 1)]
    rows += [row(words, np.array(values)) for words, values in found.items()]
    sizes = ", ".join(f"{len(read(folder / f'{part}.extxyz', ':'))} {part}" for part in ("train", "valid", "test"))
    text = "\n".join([f"{asked.epochs} epochs, {asked.seeds} seeds; frames: {sizes}.", "", *rows])
    (folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
