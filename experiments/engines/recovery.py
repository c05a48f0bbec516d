"""A correction that is hidden on top of an embedded-atom potential of LAMMPS, found again from noisy curves.

    python experiments/engines/recovery.py [--only Al Cu CuZr] [--atoms 256] [--share 1] [--out FOLDER]

A laboratory (`experiments/laboratory.py`) samples the potential with the hidden correction in a box of four times as
many atoms, and its curves get white noise: S(Q) of a pure metal, all three partial g(r) of the alloy, and the pressure.
A study with `base = "lammps"` gets these and the bare potential. What it finds is compared with what was hidden: g(r),
over the range of the correction, and φ, where pairs are, by its rms and by how many points lie within one and two
standard errors of the posterior, of which 68 and 95 % are expected. Points next to each other know of each other, so
that these shares scatter by some tens of per cent.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.api.study import Study
from refine.files import make_folder
from refine.refinement.inference.posterior import band
from refine.sampling.averages import standard_error
from refine.sampling.frames import Frames
from refine.study.schema import StudyConfig
from refine.tasks.run import store

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is no package
from engines import agreement
from engines.metals import BIN, METALS, Metal
from engines.run import rms
from laboratory import Laboratory

Array = NDArray[np.float64]

BUMPS = {
    "Al": {"Al-Al": (0.5, 3.6, 0.4)},
    "Cu": {"Cu-Cu": (0.5, 3.3, 0.4)},
    "CuZr": {"Cu-Cu": (0.5, 3.4, 0.4), "Cu-Zr": (-0.4, 3.6, 0.4), "Zr-Zr": (0.4, 4.2, 0.4)},
}
"""Hidden, by pair: height in kT, centre and width in Å, of a Gaussian each."""

R_MIN, R_CUT, KNOTS = 1.6, 5.6, 20
"""Of the splines, Å."""

SIZE, TIMESTEP, STRIDE, FRAMES = 4, 2.0, 25, 300
"""Of the laboratory, how many times as many atoms; and of its sample and those of the study: fs, steps, frames."""

NOISE = {"S(Q)": 0.01, "g(r)": 0.02, "pressure": 0.05}
"""Of the curves, and GPa."""


@dataclass(frozen=True)
class Found:
    """What came out of a metal.

    g: rms difference of all partial g(r) from those under what was hidden, before and after.  r_chi: of the curves.
    hidden, off: rms of the hidden φ where pairs are, and of the difference from it, kT.
    within: shares of the points within one and two standard errors.  deviations: rms difference in standard errors.
    pressure: GPa, before, after, and measured, each with its standard error.
    """

    g: tuple[float, float]
    r_chi: tuple[float, float]
    hidden: float
    off: float
    within: tuple[float, float]
    deviations: float
    pressure: tuple[tuple[float, float], ...]


def curves_of(metal: Metal) -> list[dict[str, Any]]:
    """The `[[data]]` that are measured, without their files."""
    names = list(metal.shares)
    if len(names) == 1:
        return [{"name": "sq", "quantity": "S(Q)", "radiation": "neutron"}]
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k:]]
    return [{"name": "-".join(pair), "quantity": "g(r)", "pair": list(pair)} for pair in pairs]


def laboratory(name: str, atoms: int, share: float) -> Laboratory:
    """What measures."""
    metal = METALS[name]
    tree = {
        "system": {"species": metal.counts(atoms), "number_density": metal.density},
        "states": [{"name": "liquid", "temperature": metal.temperature}],
        "model": {"base": "lammps", "files": [metal.file], "commands": metal.commands},
    }
    return Laboratory(
        tree,
        BUMPS[name],
        SIZE,
        r_min=R_MIN,
        r_cut=R_CUT,
        knots=KNOTS,
        timestep=TIMESTEP,
        stride=STRIDE,
        frames=round(share * FRAMES),
    )


def study_of(name: str, lab: Laboratory, folder: Path) -> Study:
    """The study, and beside it what was measured."""
    make_folder(folder)
    data = []
    for keys in curves_of(METALS[name]):
        x = np.arange(0.5, 12.0, 0.04) if keys["quantity"] == "S(Q)" else np.arange(1.8, R_CUT + 0.5, 0.04)
        file = folder / f"{keys['name']}.csv"
        lab.measure(file, x, keys, NOISE[keys["quantity"]])
        data.append({**keys, "file": str(file)})
    value = float(lab.measured.pressure().mean())
    data.append({"name": "p", "quantity": "pressure", "value": value, "sigma": NOISE["pressure"]})
    tree = {
        "title": f"Liquid {name} with a correction hidden on top of LAMMPS' potential",
        **lab.tree,
        "data": data,
        "correction": {"r_min": R_MIN, "r_cut": R_CUT, "knots": KNOTS},
        "sampling": {
            "engine": "lammps",
            "timestep": TIMESTEP,
            "equilibration": 10.0,
            "reequilibration": 1.0,
            "frames": lab.frames,
            "stride": STRIDE,
            "final": 1.5,
            "replicas": 1,
        },
        "refinement": {"iterations": 4},
    }
    return Study(StudyConfig.parse(tree, folder))


def g_of(frames: Frames, bins: int) -> Array:
    """(pairs, bins), in bins of `BIN`."""
    return np.asarray(frames.merged(round(BIN / (frames.r_max / frames.counts.shape[2]))).pair_distribution()[:, :bins])


def found(name: str, atoms: int, share: float, folder: Path) -> Found:
    """Measure, refine, and compare."""
    lab = laboratory(name, atoms, share)
    result = study_of(name, lab, folder).run(folder / "run", overwrite=True)
    bins = round(R_CUT / BIN)
    truth, r = g_of(lab.measured, bins), BIN * (np.arange(bins) + 0.5)
    kept = store.load(folder / "run" / store.CHECKPOINT).samples
    samples = [Frames.from_arrays(kept[k]["frames"]["0000"]) for k in (0, -1)]
    g = [float(np.sqrt(np.mean((g_of(one, bins) - truth) ** 2))) for one in samples]
    seen = [(row > agreement.SEEN) & (r > R_MIN) for row in np.maximum.accumulate(truth, axis=1)]

    def chosen(rows: Array) -> Array:
        return np.concatenate([row[there] for row, there in zip(rows, seen, strict=True)]) / lab.kt

    hidden = chosen(lab.hidden.energy(r))
    off = chosen(result.correction.energy(r)) - hidden
    assert result.covariance is not None
    errors = chosen(band(result.correction, result.covariance, r))
    state, measured = result.summary.states[0], lab.measured.pressure()
    return Found(
        g=(g[0], g[1]),
        r_chi=(rms(result.initial.r_chi), rms(result.final.r_chi)),
        hidden=float(np.sqrt(np.mean(hidden**2))),
        off=float(np.sqrt(np.mean(off**2))),
        within=(float(np.mean(abs(off) < errors)), float(np.mean(abs(off) < 2 * errors))),
        deviations=float(np.sqrt(np.mean((off / errors) ** 2))),
        pressure=(
            (state.pressure_initial_GPa, state.pressure_initial_GPa_stderr),
            (state.pressure_GPa, state.pressure_GPa_stderr),
            (float(measured.mean()), standard_error(measured)),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(BUMPS), choices=list(BUMPS))
    parser.add_argument("--atoms", type=int, default=256)
    parser.add_argument("--share", type=float, default=1.0, help="of all frames")
    parser.add_argument("--out", type=Path, default=Path("runs/engines/recovery"))
    options = parser.parse_args()
    head = ["", "R_χ", "g(r) - hidden, rms", "hidden φ, kT", "φ - hidden, kT", "in σ", "within 1 σ", "2 σ"]
    head += ["pressure, GPa: before", "after", "measured"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in options.only:
        one = found(name, options.atoms, options.share, options.out / name)
        cells = [
            f"{name}, {METALS[name].temperature:g} K",
            f"{one.r_chi[0]:.4f} → {one.r_chi[1]:.4f}",
            f"{one.g[0]:.3f} → {one.g[1]:.3f}",
            f"{one.hidden:.2f}",
            f"{one.off:.2f}",
            f"{one.deviations:.1f}",
            *(f"{100 * share:.0f} %" for share in one.within),
            *(f"{value:.2f} ± {error:.2f}" for value, error in one.pressure),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
