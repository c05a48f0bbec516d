"""Time of an NVT step of a study's base and correction under each engine, side by side in one process.

    python experiments/benchmarks/engines.py [--engines jax lammps] [--rounds 3] [--output table.txt]

Systems: Lennard-Jones argon (85 K, cutoff 8.5 Å, 5 fs), and molten silica of van Beest, Kramer and van Santen (1990;
3000 K, 1 fs, cutoff 7 or 8 Å) with all of its Coulomb interaction. A correction is on top of both, zero but for the
core that every refinement has. Langevin, float32 where an engine has it, one thread each where an engine has threads.
Engines take turns from the same start, the best round counts: another program makes a time longer, never shorter. Every
round counts pairs in two frames, as a sample does.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refine.potentials.bases import base_of
from refine.potentials.classical.base import ClassicalModel
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.sampling.engines import engine_kind
from refine.sampling.starts import melt
from refine.system import make_system, species_pairs


@dataclass(frozen=True)
class Liquid:
    """What is timed.  density: atoms/Å^3.  timestep: fs.  steps: of a round.  core: Å, of every pair."""

    name: str
    counts: dict[str, int]
    density: float
    model: ClassicalModel
    temperature: float
    timestep: float
    steps: int
    core: float


@dataclass(frozen=True)
class Settings:
    """As [sampling] has them."""

    timestep: float
    stride: int
    thermostat: str = "langevin"
    time_constant: float = 0.5
    precision: str = "float32"
    processes: int = 0
    threads: int = 1
    devices: int = 0


def liquids() -> list[Liquid]:
    """From small to large."""

    def argon(n: int, steps: int) -> Liquid:
        model = ClassicalModel(base="lennard-jones", parameters={"epsilon": 0.010324, "sigma": 3.405}, r_cut=8.5)
        return Liquid("argon", {"Ar": n}, 0.02125, model, 85.0, 5.0, steps, 2.8)

    def silica(units: int, cutoff: float, steps: int) -> Liquid:
        model = ClassicalModel(base="bks-1990", r_cut=cutoff)
        return Liquid("silica", {"Si": units, "O": 2 * units}, 0.066, model, 3000.0, 1.0, steps, 1.2)

    return [argon(500, 1000), argon(4000, 160), silica(72, 7.0, 400), silica(500, 8.0, 80)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["jax", "lammps"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    lines = [__doc__.splitlines()[0], f"ms a step, best of {options.rounds}; load of the machine {load}"]
    for liquid in liquids():
        lines.append(report(liquid, options.engines, options.rounds))
        print(lines[-1], flush=True)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def report(liquid: Liquid, engines: list[str], rounds: int) -> str:
    """The rows of a liquid."""
    runs = {name: prepared(liquid, name) for name in engines}
    best = dict.fromkeys(engines, float("inf"))
    for turn in range(rounds + 1):  # the first compiles and is not counted
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if turn > 0:
                best[name] = min(best[name], 1e3 * (time.perf_counter() - begin) / liquid.steps)
    first, atoms = best[engines[0]], sum(liquid.counts.values())
    rows = [f"  {name:10s} {ms:8.3f}   {first / ms:.2f} times as fast as {engines[0]}" for name, ms in best.items()]
    return "\n".join([f"{liquid.name}, {atoms} atoms, {liquid.steps} steps a round", *rows])


def prepared(liquid: Liquid, name: str) -> Any:
    """A round of an engine, which goes on where the last one ended."""
    side = (sum(liquid.counts.values()) / liquid.density) ** (1 / 3)
    system, kind = make_system(liquid.counts, side * np.eye(3)), base_of(liquid.model.base)
    pairs, cutoff = species_pairs(system.species), liquid.model.r_cut
    assert cutoff is not None
    base = kind.read(liquid.model, system.species, pairs, cutoff)
    settings, engine = Settings(liquid.timestep, liquid.steps // 2), engine_kind(name)
    engine.check(kind, liquid.model, base, [system])
    field = engine.field(kind, liquid.model, base, cutoff, system, settings.precision)
    zero = PairCorrection.zero(pairs, SplineBasis(liquid.core, cutoff, 24), stiffness=100.0)
    params = field.params(zero.with_core(np.full(len(pairs), liquid.core)))
    more: dict[str, Any] = {"n_bins": int(system.r_box / 0.02), "r_max": system.r_box, "phase": "solid"}
    sampler = engine.sampler(system, field, settings, **more)
    state = melt(sampler, params, liquid.temperature, seed=1, picoseconds=0.5 * liquid.timestep)

    def run() -> None:
        nonlocal state
        state, _ = sampler.run(state, params, liquid.temperature, 2)

    return run


if __name__ == "__main__":
    main()
