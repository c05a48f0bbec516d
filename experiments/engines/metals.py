"""Liquid metals of LAMMPS' own potentials: g(r), pressure and diffusion by refine beside a plain LAMMPS.

    python experiments/engines/metals.py [--only Al Cu CuZr] [--atoms 256] [--share 1]

refine has no embedded-atom potential; a study names LAMMPS' with `base = "lammps"`. Its side is a sample under Langevin
dynamics, and the diffusion coefficients of `refine compare`. The other side is an input script of LAMMPS: `fix nvt`,
`compute rdf`, `compute pressure`, and at constant energy `compute msd` from many origins, D from the slope over the
same lags. Neither is corrected for the size of the box, which is the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from refine import Study
from refine.potentials.lammps_base import potentials_of_lammps
from refine.progress import NullProgress
from refine.sampling.averages import standard_error
from refine.sampling.diffusion import WINDOW
from refine.sampling.lammps import library
from refine.sampling.lammps.script import UNITS
from refine.study.schema import StudyConfig
from refine.tasks.compare import compare
from refine.tasks.sample import sample_states
from refine.tasks.transport import SI
from refine.units import BOLTZMANN, PRESSURE_UNIT

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is no package
from engines import agreement

Array = NDArray[np.float64]

R_MAX, BIN = 5.5, 0.1
"""Of g(r), Å."""

SEGMENTS = 16
"""Trajectories at constant energy on either side."""

POINTS = 100
"""Of each, where positions are looked at."""


@dataclass(frozen=True)
class Metal:
    """shares: of the elements.  density: atoms/Å^3, about that of the melt at its temperature, K.  file, style: of
    LAMMPS."""

    shares: dict[str, float]
    density: float
    temperature: float
    file: str
    style: str

    def counts(self, atoms: int) -> dict[str, int]:
        """Atoms of each element."""
        return {element: round(share * atoms) for element, share in self.shares.items()}

    @property
    def commands(self) -> str:
        """Lines of LAMMPS."""
        return f"pair_style {self.style}\npair_coeff * * {self.file} {' '.join(self.shares)}"


METALS = {
    "Al": Metal({"Al": 1.0}, 0.0527, 1100.0, "Al_zhou.eam.alloy", "eam/alloy"),
    "Cu": Metal({"Cu": 1.0}, 0.0750, 1500.0, "Cu_mishin1.eam.alloy", "eam/alloy"),
    "CuZr": Metal({"Cu": 0.5, "Zr": 0.5}, 0.0545, 1600.0, "CuZr_mm.eam.fs", "eam/fs"),
}


@dataclass(frozen=True)
class Plan:
    """Of either side: ps of equilibration, frames and steps between them, ps of a trajectory at constant energy, fs."""

    equilibration: float = 10.0
    frames: int = 200
    stride: int = 50
    length: float = 6.0
    timestep: float = 2.0

    def scaled(self, share: float) -> Plan:
        """With so much of its frames and lengths; equilibration takes what it takes."""
        return replace(self, frames=round(share * self.frames), length=share * self.length)


@dataclass(frozen=True)
class Seen:
    """g (frames, pairs, bins): g(r) of frames.  pressure: GPa, and its standard error.
    diffusion: by element, D and its standard error, 1e-9 m²/s.

    length: ps, of a trajectory at constant energy: refine makes them longer until mean square displacements are linear,
    and over shorter lags their slope is another.
    """

    g: Array
    pressure: tuple[float, float]
    diffusion: dict[str, tuple[float, float]]
    length: float


def by_refine(metal: Metal, atoms: int, plan: Plan) -> Seen:
    """A study whose base is LAMMPS'."""
    study = {
        "system": {"species": metal.counts(atoms), "number_density": metal.density},
        "states": [{"name": "liquid", "temperature": metal.temperature}],
        "data": [{"name": "sq", "role": "predict", "quantity": "S(Q)", "q_range": [0.5, 12.0], "radiation": "xray"}],
        "model": {"base": "lammps", "files": [metal.file], "commands": metal.commands},
        "correction": {"r_min": 1.2, "r_cut": R_MAX},
        "sampling": {
            "engine": "lammps",
            "timestep": plan.timestep,
            "equilibration": plan.equilibration,
            "reequilibration": plan.equilibration,
            "frames": plan.frames,
            "stride": plan.stride,
            "replicas": 1,
        },
        "compare": {"segments": SEGMENTS, "segment_length": plan.length},
    }
    config = StudyConfig.parse(study)
    (row,) = compare(config, []).rows
    if row.failure is not None or not row.diffusion["liquid"]:
        raise RuntimeError(row.failure or " ".join(row.notes))
    found = {one["species"]: (one["uncorrected"], one["uncorrected_stderr"]) for one in row.diffusion["liquid"]}
    (frames,) = sample_states(Study(config), plan.frames, NullProgress())
    wide = frames.merged(round(BIN / (frames.r_max / frames.counts.shape[2]))).within(R_MAX)
    length = row.diffusion["liquid"][0]["lags_ps"][-1] / WINDOW[-1]
    p = frames.pressure()
    pressure = float(p.mean()), float(standard_error(p, frames.replica))
    return Seen(wide.counts / wide.ideal_counts(), pressure, found, length)


def by_lammps(metal: Metal, atoms: int, plan: Plan, seed: int = 11) -> Seen:
    """The same by an input script of LAMMPS."""
    lammps, counts = library.new(), metal.counts(atoms)
    side, where = (atoms / metal.density) ** (1 / 3), potentials_of_lammps()
    assert where is not None
    kelvin, kinds, bins = metal.temperature, len(counts), round(R_MAX / BIN)
    pairs = [(a, b) for a in range(1, kinds + 1) for b in range(a, kinds + 1)]
    lammps.commands_list(
        [
            "units metal",
            "atom_modify map array sort 0 0",
            f"region box block 0 {side} 0 {side} 0 {side}",
            f"create_box {kinds} box",
            *(
                f"create_atoms {k + 1} random {n} {seed + k} box overlap 1.6 maxtry 1000"
                for k, n in enumerate(counts.values())
            ),
            *metal.commands.replace(metal.file, str(where / metal.file)).splitlines(),
            f"timestep {plan.timestep / 1000}",
            f"comm_modify cutoff {R_MAX + 3}",
            "minimize 0.0 1.0 200 2000",
            "reset_timestep 0",
            f"velocity all create {2 * kelvin} {seed}",
            f"fix heat all nvt temp {2 * kelvin} {kelvin} 0.1",
            f"run {round(1000 * plan.equilibration / plan.timestep)} post no",
            "unfix heat",
            f"fix hold all nvt temp {kelvin} {kelvin} 0.1",
            f"run {round(1000 * plan.equilibration / plan.timestep)} post no",
            f"compute rdf all rdf {bins} {' '.join(f'{a} {b}' for a, b in pairs)} cutoff {R_MAX}",
            "compute virial all pressure NULL virial",
        ]
    )
    g, virial, replica, slopes = [], [], [], []
    for segment in range(SEGMENTS):
        for _ in range(-(-plan.frames // SEGMENTS)):
            lammps.command(f"run {plan.stride} post no")
            g.append(np.array(lammps.numpy.extract_compute("rdf", 0, 2))[:, 1::2].T)
            virial.append(lammps.extract_compute("virial", 0, 0))
            replica.append(segment)
        lammps.commands_list(["unfix hold", "fix free all nve"])
        slopes.append(list(_slopes(lammps, kinds, plan)))
        lammps.commands_list(["unfix free", f"fix hold all nvt temp {kelvin} {kelvin} 0.1"])
    lammps.close()
    values = SI * np.array(slopes)  # (segments, elements)
    errors = values.std(axis=0, ddof=1) / np.sqrt(SEGMENTS)
    found = {e: (float(v), float(s)) for e, v, s in zip(counts, values.mean(axis=0), errors, strict=True)}
    p = PRESSURE_UNIT * (UNITS["metal"].pressure * np.array(virial) + metal.density * BOLTZMANN * kelvin)
    pressure = float(p.mean()), float(standard_error(p, np.array(replica)))
    return Seen(np.array(g), pressure, found, plan.length)


def _slopes(lammps: Any, kinds: int, plan: Plan) -> Iterator[float]:
    """D of each element, Å²/ps, from one trajectory: an origin of `compute msd` at each point, as long as there is one
    of the longest lag behind it."""
    each = max(1, round(1000 * plan.length / plan.timestep / POINTS))
    first, last = (int(np.ceil(share * POINTS)) for share in (WINDOW[0], WINDOW[-1]))
    of = np.zeros((kinds, last + 1))
    origins = POINTS - last
    for k in range(1, kinds + 1):
        lammps.command(f"group kind{k} type {k}")
    for point in range(POINTS + 1):
        for origin in range(max(0, point - last), min(point, origins + 1)):
            for k in range(kinds):
                vector = lammps.numpy.extract_compute(f"m{origin}k{k}", 0, 1)
                of[k, point - origin] += vector[3] / (origins + 1)
        if point <= origins:
            for k in range(kinds):
                lammps.command(f"compute m{point}k{k} kind{k + 1} msd")
        if point < POINTS:
            lammps.command(f"run {each} post no")
    for point in range(origins + 1):
        for k in range(kinds):
            lammps.command(f"uncompute m{point}k{k}")
    lags = np.arange(first, last + 1)
    for row in of:
        yield float(np.polyfit(lags * each * plan.timestep / 1000, row[lags], 1)[0] / 6)


def both(metal: Metal, atoms: int, plan: Plan) -> tuple[Seen, Seen]:
    """refine's side, and LAMMPS' over the same lags."""
    ours = by_refine(metal, atoms, plan)
    return ours, by_lammps(metal, atoms, replace(plan, length=ours.length))


def compared(one: Seen, other: Seen) -> tuple[float, float, float, dict[str, float]]:
    """Mean square difference of g(r) in standard errors with its σ, as in `agreement`: frames of a single trajectory on
    one side are closer than those of many on the other; σ of the pressure; and of D, by Student's t."""
    seen = other.g.mean(axis=0) > agreement.SEEN
    square, sigma = agreement.between(one.g[:, seen], other.g[:, seen])
    d = {}
    for element, (value, error) in one.diffusion.items():
        apart = (value - other.diffusion[element][0]) / float(np.hypot(error, other.diffusion[element][1]))
        d[element] = float(np.sign(apart) * norm.isf(t.sf(abs(apart), 2 * (SEGMENTS - 1))))
    pressure = (one.pressure[0] - other.pressure[0]) / float(np.hypot(one.pressure[1], other.pressure[1]))
    return square, sigma, pressure, d


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(METALS), choices=list(METALS))
    parser.add_argument("--atoms", type=int, default=256)
    parser.add_argument("--share", type=float, default=1.0, help="of all frames and lengths")
    options = parser.parse_args()
    head = [
        "",
        "g(r): χ²/n",
        "σ",
        "pressure by refine, GPa",
        "by LAMMPS",
        "σ",
        "",
        "D by refine, 1e-9 m²/s",
        "by LAMMPS",
    ]
    print(f"| {' | '.join([*head, 'σ'])} |\n|{' --- |' * (len(head) + 1)}")
    for name in options.only:
        plan = Plan().scaled(options.share)
        ours, theirs = both(METALS[name], options.atoms, plan)
        square, sigma, pressure, apart = compared(ours, theirs)
        cells = [f"{name}, {METALS[name].temperature:g} K", f"{square:.2f}", f"{sigma:+.1f}"]
        cells += [*(f"{p:.2f} ± {dp:.2f}" for p, dp in (ours.pressure, theirs.pressure)), f"{pressure:+.1f}"]
        for element, z in apart.items():
            d = [f"{value:.2f} ± {error:.2f}" for value, error in (ours.diffusion[element], theirs.diffusion[element])]
            print(f"| {' | '.join([*cells, element, *d, f'{z:+.1f}'])} |", flush=True)
            cells = [""] * len(cells)


if __name__ == "__main__":
    main()
