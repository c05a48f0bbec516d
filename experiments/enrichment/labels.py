"""How many labels a MACE model needs to a given error, of frames of plain, hot and biased dynamics.

    python experiments/enrichment/labels.py OUT FOLDER FOLDER ...    # folders that spread.py left, one a glass

Of each kind of frames some are drawn at random, and a small model is trained from nothing on them, in equal numbers of
steps, start and draw having the glass's number as seed. Each model is judged by the last frames of every kind, which
none has seen: root mean square errors of forces, meV/Å. What OUT has is not trained again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from refine.compiled import keep_programs
from refine.files import make_folder, write_text
from refine.learning.frames import LabelledFrame, read_labelled
from refine.learning.keys import Labels, LearnConfig
from refine.potentials.calculator import Calculator
from refine.tasks.explore.labels import as_atoms, text_of
from refine.tasks.learn import learn

KINDS = ("300-K", "300-K-bias-on-Si-O", "1500-K", "1500-K-bias-on-Si-O", "3000-K")
NUMBERS, APART, STEPS = (2, 12), 8, 1500
LABELS = Labels(train=("train.extxyz",))
NEW = {"r_max": 4.0, "channels": 8, "max_ell": 1, "correlation": 2, "radial": [8]}


def force_error(model: Path, frames: list[LabelledFrame]) -> float:
    """meV/Å."""
    calculator, squares = Calculator(model, dtype="float32"), []
    for frame in frames:
        atoms = as_atoms(frame)
        atoms.calc = calculator
        squares.append(np.mean((atoms.get_forces() - frame.forces) ** 2))
    return 1000.0 * float(np.sqrt(np.mean(squares)))


def trained(out: Path, frames: list[LabelledFrame], seed: int) -> Path:
    """The model of a training, a frame a step; a tenth of the frames, one at least, decides which weights are kept."""
    make_folder(out)
    write_text(out / "train.extxyz", text_of(frames))
    epochs = STEPS // (len(frames) - max(1, round(0.1 * len(frames))))
    tree = {
        "model": {"new": True},
        "new": NEW | {"seed": seed},
        "frames": {"train": [str(out / "train.extxyz")], "seed": seed},
        "learn": {
            "epochs": epochs, "patience": epochs, "batch": 1, "learning_rate": 0.05, "average": 0.95,
            "decay": 0.05 ** (1 / epochs), "seed": seed,
        },
    }  # fmt: skip
    learn(LearnConfig.parse(tree, Path.cwd()), out, overwrite=True)
    return out / "model.safetensors"


def errors(place: Path, seed: int, chosen: list[LabelledFrame], apart: dict[str, list[LabelledFrame]]) -> np.ndarray:
    """(kinds,) meV/Å, of the model that is trained in `place`."""
    file = place / "errors.json"
    if not file.exists():
        model = trained(place, chosen, seed)
        write_text(file, json.dumps([force_error(model, apart[kind]) for kind in KINDS]))
    return np.array(json.loads(file.read_text()))


def main() -> None:
    """A row for each kind of frames and number of labels, a column for each kind that it is judged by."""
    keep_programs(print)  # those of all trainings are the same
    out, glasses = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
    frames = [{kind: read_labelled(glass / f"{kind}.extxyz", LABELS) for kind in KINDS} for glass in glasses]
    print("| frames of | labels | " + " | ".join(kind.replace("-", " ") for kind in KINDS) + " |")
    print("|" + " --- |" * (2 + len(KINDS)))
    for kind in KINDS:
        for number in NUMBERS:
            found = []
            for seed, (glass, of_glass) in enumerate(zip(glasses, frames, strict=True), 1):
                apart = {one: listed[-APART:] for one, listed in of_glass.items()}
                pool = of_glass[kind][: -2 * APART]  # as many lie between: frames that follow each other are alike
                drawn = sorted(np.random.default_rng((seed, number)).permutation(len(pool))[:number])
                place = out / glass.name / f"{kind}-{number}"
                found.append(errors(place, seed, [pool[k] for k in drawn], apart))
            columns = [", ".join(f"{value:.0f}" for value in values) for values in zip(*found, strict=True)]
            print(f"| {kind.replace('-', ' ')} | {number} | " + " | ".join(columns) + " |", flush=True)


if __name__ == "__main__":
    main()
