"""The data and starts of the two studies: a known liquid with a hidden correction, measured with noise.

    python experiments/engines/measure.py [--only argon] [--to FOLDER]

A laboratory (`experiments/laboratory.py`) samples the base model with what `HIDDEN` has on top of it, in a larger box
and with another seed, and writes the curves that the studies fit, with their errors. Its pressure goes into the study
by hand. The start is the base model's own melt. What lies in this folder was made by this script.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.files import make_folder
from refine.sampling.averages import standard_error
from refine.tasks.prepare import prepare

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is no package
from laboratory import Laboratory

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Hidden:
    """What a study does not know.

    Attributes:
        species: atoms in the box of the study.  number_density: atoms/Å^3.
        bumps: of the hidden correction by pair, (height in kT, centre in Å, width in Å), a Gaussian each.
        size: how many times as many atoms the laboratory has.
        frames, stride: of its sample, and steps between them.
        x: points of its curves, 1/Å or Å.  noise: their standard deviation.
    """

    species: dict[str, int]
    number_density: float
    bumps: dict[str, tuple[float, float, float]]
    size: int
    frames: int
    stride: int
    x: NDArray[np.float64]
    noise: float


HIDDEN = {
    "argon": Hidden(
        species={"Ar": 256},
        number_density=0.0175,
        bumps={"Ar-Ar": (0.5, 4.6, 0.5)},
        size=4,
        frames=600,
        stride=20,
        x=np.arange(0.4, 12.0, 0.03),
        noise=0.01,
    ),
    "silica": Hidden(
        species={"Si": 64, "O": 128},
        number_density=0.0662,
        bumps={"Si-Si": (0.6, 3.3, 0.4), "Si-O": (0.4, 1.9, 0.3), "O-O": (-0.5, 2.8, 0.4)},
        size=2,
        frames=400,
        stride=40,
        x=np.arange(1.2, 7.0, 0.05),
        noise=0.02,
    ),
}


def laboratory(name: str) -> Laboratory:
    """What measures, with the base model, state and splines of the study."""
    tree = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    hidden, correction = HIDDEN[name], tree["correction"]
    return Laboratory(
        {
            "system": {"species": hidden.species, "number_density": hidden.number_density},
            "states": tree["states"],
            "model": tree["model"],
        },
        hidden.bumps,
        hidden.size,
        r_min=correction["r_min"],
        r_cut=correction["r_cut"],
        knots=correction["knots"],
        timestep=tree["sampling"]["timestep"],
        stride=hidden.stride,
        frames=hidden.frames,
    )


def measure(name: str, folder: Path) -> None:
    """Write the curves of a study, and say the pressure."""
    lab, hidden = laboratory(name), HIDDEN[name]
    for keys in tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))["data"]:
        if "file" in keys:
            lab.measure(folder / keys["file"], hidden.x, keys, hidden.noise)
            print(f"{name}: {keys['file']}", flush=True)
    pressure = lab.measured.pressure()
    print(f"{name}: {pressure.mean():.4f} ± {standard_error(pressure):.4f} GPa, which its [[data]] has", flush=True)


def start(name: str, folder: Path) -> None:
    """Write the base model's melt in the box of the study."""
    made = prepare(replace(laboratory(name), size=1).study.config)
    made.write(folder / f"{name}.extxyz")
    print(f"{name}: {name}.extxyz", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(HIDDEN), choices=list(HIDDEN))
    parser.add_argument("--to", type=Path, default=FOLDER)
    options = parser.parse_args()
    make_folder(options.to)
    for name in options.only:
        start(name, options.to)
        measure(name, options.to)


if __name__ == "__main__":
    main()
