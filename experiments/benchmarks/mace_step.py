"""Where the time of an MD step with MACE goes, beside a bare evaluation, in one process.

    python experiments/benchmarks/mace_step.py [--atoms 216] [--channels 128] [--kelvin 300] [--timestep 2] [--steps 8]

The model has the architecture and random weights of the published "medium" (`refine.potentials.mace.fresh`), the box is
40 % Fe, 60 % O at 0.09 atoms/Å^3. Each line is a compiled loop of a few evaluations in which positions move a little;
lines take turns, and the shortest time of each counts: of the processor, which other programs disturb less than the
clock; so give XLA one thread (XLA_FLAGS=--xla_cpu_multi_thread_eigen=false). What comes in addition from line to line:

- bare: energy and forces with a list that ends at the cutoff and has as many slots as the fullest atom needs.
- slots: with as many slots as the list of a run begins with at this temperature and timestep (`ListPlan`).
- list: which is made anew at every step.
- step: a step of the sampler as a study runs it, Langevin, lists made as often as that takes.

Time in proportion to the slots is what padding and skin cost; `filled` is the share of slots within the cutoff.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from kernels.neighbors import NeighborList, build, most_neighbors
from refine.potentials.mace.fresh import Design, fresh
from refine.potentials.mace.model import Mace
from refine.potentials.sites import SiteForceField, edges, forces_of
from refine.sampling.jax.lists import ListPlan, longest_step
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin
from refine.system import System, make_system

DENSITY = 0.09  # atoms/Å^3
ROUNDS = 4
STILL = 1e-3  # fs: the random model's forces would throw atoms about, and how far they move costs nothing


def main() -> None:
    options = _options()
    iron = round(0.4 * options.atoms)
    length = (options.atoms / DENSITY) ** (1 / 3)
    system = make_system({"Fe": iron, "O": options.atoms - iron}, length * np.eye(3))
    design = Design(
        r_max=6.0,
        channels=options.channels,
        l=1,
        max_ell=3,
        layers=2,
        correlation=3,
        basis=10,
        radial=(64, 64, 64),
        readout=16,
        zbl=False,
    )
    neighbors = DENSITY * 4 / 3 * np.pi * design.r_max**3
    checkpoint = fresh(design, system.species, [0.0, 0.0], neighbors, 1.0, seed=0)
    model = Mace(checkpoint, system.species, system.n_per_species)
    measure(system, model, options)


def measure(system: System, model: Mace, options: argparse.Namespace) -> None:
    """Print the table."""
    field = SiteForceField(model, model.cutoff, orthorhombic=True)
    plan = ListPlan(system, field)
    positions = np.random.default_rng(0).uniform(0, 1, (system.n_atoms, 3)) @ system.cell
    skin = plan.skin_for(longest_step(system, options.kelvin, options.timestep))
    sampler = Sampler(
        system,
        field,
        thermostat=Langevin(),
        timestep=STILL,
        stride=options.steps,
        n_bins=100,
        r_max=6.0,
        skin=skin,
        phase="solid",
    )
    positions = relaxed(system, positions)
    cell, params = jnp.asarray(system.cell, jnp.float32), field.params(None)
    at = jnp.asarray(positions, jnp.float32)
    most = int(most_neighbors(at, cell, model.cutoff, orthorhombic=True))
    state = sampler.start(positions, options.kelvin, 1)
    shape = plan.shape(state.capacity, skin)
    near = build(at, cell, model.cutoff, capacity=most, orthorhombic=True)
    wide = plan.build(at, cell, jnp.float32(model.cutoff + skin), shape)

    def forces(positions: jax.Array, neighbors: NeighborList) -> jax.Array:
        vectors, senders = edges(positions, neighbors, cell, True, model.cutoff)
        return forces_of(model.energies_and_gradients(params.weights, vectors, senders)[1], senders)

    def loop(step: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        moved = jax.jit(lambda r: jax.lax.fori_loop(0, options.steps, lambda _, r: r + 1e-12 * step(r), r))
        return lambda: jax.block_until_ready(moved(at))

    reach = jnp.float32(model.cutoff + skin)
    lines = {
        "bare": loop(lambda r: forces(r, near)),
        "slots": loop(lambda r: forces(r, wide)),
        "list": loop(lambda r: forces(r, plan.build(r, cell, reach, shape))),
        "step": lambda: sampler.run(state, params, options.kelvin, 1, observe=False),
    }
    lines = {name: run for name, run in lines.items() if name in options.lines}
    best = dict.fromkeys(lines, np.inf)
    for turn in range(ROUNDS + 1):
        for name, run in lines.items():
            began = time.process_time()
            run()
            if turn:  # the first compiles
                evaluations = options.steps + (name == "step")  # a run of the sampler begins with one
                best[name] = min(best[name], 1e3 * (time.process_time() - began) / evaluations)
    filled = float(np.mean(np.asarray(near.idx) != np.arange(system.n_atoms))) * near.idx.shape[0]
    print(f"{jax.devices()[0]}, {system.n_atoms} atoms, {filled:.1f} neighbours within {model.cutoff} Å; ", end="")
    print(f"{options.kelvin:g} K, {options.timestep:g} fs: a skin of {skin:.2f} Å")
    print("| | slots | filled | ms | of bare |\n| --- | --: | --: | --: | --: |")
    for name, ms in best.items():
        slots = (near if name == "bare" else wide).idx.shape[0]
        print(f"| {name} | {slots} | {filled / slots:.2f} | {ms:.1f} | {ms / best['bare']:.2f} |")


def relaxed(system: System, positions: np.ndarray) -> np.ndarray:
    """Random positions pushed apart, so that atoms have about as many neighbours as those of a liquid."""
    length = np.diag(system.cell)
    for _ in range(60):
        apart = positions[:, None] - positions
        apart -= length * np.round(apart / length)
        r = np.linalg.norm(apart, axis=2) + 10 * np.eye(len(positions))
        positions = positions + 0.3 * np.sum(np.maximum(2.0 - r, 0)[..., None] * apart / r[..., None], axis=1)
    return positions


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=216)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--kelvin", type=float, default=300.0)
    parser.add_argument("--timestep", type=float, default=2.0, help="fs")
    parser.add_argument("--steps", type=int, default=8, help="of a loop")
    parser.add_argument("--lines", nargs="+", default=["bare", "slots", "list", "step"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
