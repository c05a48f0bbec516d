"""How many labels a MACE model needs to a given error, of frames of plain, hot and biased dynamics.

    python experiments/enrichment/labels.py OUT FOLDER FOLDER ...    # folders that spread.py left, one a glass

Of each kind of frames, and of all kinds together, some are drawn at random, and a small model is trained from nothing
on them, in equal numbers of steps, start and draw having the glass's number as seed. Each model is judged by the last
frames of all kinds, which none has seen: root mean square errors of forces, meV/Å, over all kinds and over those of
plain dynamics alone. What OUT has is not trained again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from refine.errors import SimulationError
from refine.files import make_folder, write_text
from refine.learning.frames import LabelledFrame, read_labelled
from refine.learning.keys import Labels, LearnConfig
from refine.potentials.calculator import Calculator
from refine.tasks.explore.labels import as_atoms, text_of
from refine.tasks.learn import learn

KINDS = ("300-K", "300-K-bias-on-Si-O", "1500-K", "1500-K-bias-on-Si-O", "3000-K")
EVERYTHING = "all-kinds"
NUMBERS, APART, STEPS, BATCH = (4, 16), 8, 300, 2
LABELS = Labels(train=("train.extxyz",))
NEW = {"r_max": 4.5, "channels": 16, "max_ell": 2, "correlation": 2, "radial": [16]}


def force_error(model: Path, frames: list[LabelledFrame]) -> float:
    """meV/Å."""
    calculator, squares = Calculator(model), []
    for frame in frames:
        atoms = as_atoms(frame)
        atoms.calc = calculator
        squares.append(np.mean((atoms.get_forces() - frame.forces) ** 2))
    return 1000.0 * float(np.sqrt(np.mean(squares)))


def trained(out: Path, frames: list[LabelledFrame], seed: int) -> Path:
    """The model of a training; a tenth of the frames, one at least, decides which weights are kept."""
    make_folder(out)
    write_text(out / "train.extxyz", text_of(frames))
    epochs = round(STEPS * BATCH / (len(frames) - max(1, round(0.1 * len(frames)))))
    tree = {
        "model": {"new": True},
        "new": NEW | {"seed": seed},
        "frames": {"train": [str(out / "train.extxyz")], "seed": seed},
        "learn": {
            "epochs": epochs, "patience": epochs, "batch": BATCH, "learning_rate": 0.01, "average": 0.95,
            "decay": 0.05 ** (1 / epochs), "seed": seed,
        },
    }  # fmt: skip
    learn(LearnConfig.parse(tree, Path.cwd()), out, overwrite=True)
    return out / "model.safetensors"


def main() -> None:
    """A row for each kind of frames, glass after glass."""
    out, glasses = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed, glass in enumerate(glasses, 1):
        frames = {kind: read_labelled(glass / f"{kind}.extxyz", LABELS) for kind in KINDS}
        apart = {kind: of_kind[-APART:] for kind, of_kind in frames.items()}
        pools = {kind: of_kind[: -2 * APART] for kind, of_kind in frames.items()}
        pools[EVERYTHING] = [frame for pool in pools.values() for frame in pool]
        for kind, pool in pools.items():
            for number in NUMBERS:
                place = out / glass.name / f"{kind}-{number}"
                if not (place / "errors.json").exists():
                    chosen = np.random.default_rng((seed, number)).permutation(len(pool))[:number]
                    try:
                        model = trained(place, [pool[k] for k in sorted(chosen)], seed)
                    except SimulationError as error:
                        raise SystemExit(f"{place}: {error}") from error
                    write_text(place / "errors.json", json.dumps([force_error(model, apart[one]) for one in KINDS]))
                errors = np.array(json.loads((place / "errors.json").read_text()))
                found.setdefault((kind, number), []).append((float(np.sqrt(np.mean(errors**2))), float(errors[0])))
                print(f"{glass.name} {kind} {number}: {np.round(errors, 1).tolist()}", file=sys.stderr, flush=True)
    print("| frames of | " + " | ".join(f"{n}: all kinds | {n}: 300 K" for n in NUMBERS) + " |")
    print("|" + " --- |" * (1 + 2 * len(NUMBERS)))
    for kind in (*KINDS, EVERYTHING):
        columns = [", ".join(f"{one[k]:.0f}" for one in found[kind, n]) for n in NUMBERS for k in (0, 1)]
        print(f"| {kind.replace('-', ' ')} | " + " | ".join(columns) + " |")


if __name__ == "__main__":
    main()
