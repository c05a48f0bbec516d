"""Structures of SiO2 to be labelled: melts and glasses of two classical models, crystals, the same compressed.

    python make_frames.py frames.extxyz [--seed 1]

Each frame says in its header which `phase` it is of, and by `group` which trajectory or crystal it came from; frames of
one group are alike, so that split.py never parts them. Liquids: 6000 to 2000 K, 48 to 96 atoms, 0.9 to 1.1 of the
density of the glass. Glasses: the same quenched to 300 K at 85 K/ps, and heated again. Compressed: melts and
quenches at 1.3 and 1.7 of the density. Crystals: four of SiO2, strained and displaced. Collisions: melts and glasses in
which pairs were pushed together, and random packings, down to where SevenNet-0 still repels: without them a model has
holes at short distances, through which a melt falls.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.io import write
from ase.spacegroup import crystal

from refine import Study
from refine.sampling.starts import begin, packed_positions
from refine.sampling.state import MDState
from refine.system import make_system

DENSITY = 0.0662
"""atoms/Å^3 of silica glass."""

MODELS = ("pedone-2006", "bks-1990")
MELTS = ((16, 0.9), (16, 1.1), (20, 1.0), (24, 1.0), (32, 1.0))
"""Formula units, and density in that of the glass."""

COMPRESSED = ((16, 1.3), (24, 1.3), (24, 1.7))
LIQUID = (6000.0, 5000.0, 4000.0, 3500.0, 3000.0, 2500.0, 2000.0)
SOLID = (300.0, 700.0, 1000.0)
"""K."""

QUENCH = tuple(np.arange(1900.0, 300.0, -85.0))
"""K, between the two; a picosecond at each."""

FRAMES = 4
"""At each temperature, half a picosecond apart."""

CRYSTALS = {
    # space group, a and c (Å), Si, O: coordinates of the refinements by x-rays at room temperature
    "quartz": (154, 4.9134, 5.4052, [(0.4697, 0.0, 2 / 3)], [(0.4135, 0.2669, 0.7858)], (2, 2, 1)),
    "cristobalite": (92, 4.9717, 6.9223, [(0.3003, 0.3003, 0.0)], [(0.2392, 0.1044, 0.1787)], (2, 2, 1)),
    "tridymite": (194, 5.052, 8.27, [(1 / 3, 2 / 3, 0.062)], [(1 / 3, 2 / 3, 0.25), (0.5, 0.0, 0.0)], (2, 1, 1)),
    "stishovite": (136, 4.1801, 2.6678, [(0.0, 0.0, 0.0)], [(0.3062, 0.3062, 0.0)], (2, 2, 3)),
}
"""Levien and others (1980), Downs and Palmer (1994), high tridymite with straight bonds, and Sinclair and Ringwood
(1978)."""

CRYSTAL_FRAMES = 40

CLOSEST = {("O", "O"): 1.05, ("Si", "O"): 1.1, ("Si", "Si"): 1.6}
"""Å: the walls, some 80 eV/Å steep. SevenNet-0 has holes of its own below 0.9, 0.9 and 1.4 Å."""

PUSHED = 1.4
"""Pairs are pushed to distances from `CLOSEST` to this times it."""

PUSHES = 2
"""Pairs in a frame."""

COLLISIONS = 120
PACKINGS = 40


class Kind(NamedTuple):
    """What a frame's header says."""

    phase: str
    group: str


class Sampled:
    """Dynamics of a small box. model: keys of frames.toml's [model] table, as overrides."""

    def __init__(self, units: int, density: float, model: list[str]) -> None:
        overrides = [f"system.units={units}", f"system.number_density={DENSITY * density}", *model]
        study = Study.from_toml(Path(__file__).parent / "frames.toml", overrides)
        ((field, self._sampler),) = study.samplers(positions=True)
        self._params = field.params(study.initial_correction())
        self._system = self._sampler.system

    def begin(self, kelvin: float, seed: int) -> MDState:
        """A random packing."""
        return begin(self._sampler, self._params, kelvin, seed)

    def go_on(self, state: MDState, kelvin: float, frames: int) -> tuple[MDState, list[Atoms]]:
        """That many frames, a stride apart. Raises SimulationError."""
        state, sampled = self._sampler.run(state, self._params, kelvin, frames)
        assert sampled.positions is not None
        symbols = np.repeat(self._system.species, self._system.n_per_species)
        return state, [Atoms(symbols, x, cell=self._system.cell, pbc=True) for x in sampled.positions]


def melts(model: str, units: int, density: float, seed: int) -> list[tuple[Kind, Atoms]]:
    """Frames of one melt, on its way down and as a glass."""
    half = (3 * units / (DENSITY * density)) ** (1 / 3) / 2  # Å, of the box: the model's cutoff must fit
    sampled = Sampled(units, density, [f'model.base="{model}"', f"model.r_cut={0.99 * half}"])
    squeezed = density > 1.2
    hot, cold = (LIQUID[::2], SOLID[:1]) if squeezed else (LIQUID, SOLID)
    phases = dict.fromkeys(hot, "liquid") | dict.fromkeys(QUENCH, "") | dict.fromkeys(cold, "glass")
    state = sampled.begin(LIQUID[0], seed)
    kept = []
    for kelvin, phase in phases.items():
        state, _ = sampled.go_on(state, kelvin, 2)
        if phase:
            state, frames = sampled.go_on(state, kelvin, FRAMES)
            kind = Kind("compressed" if squeezed else phase, f"{model}-{units}-{density}-{phase}-{kelvin:.0f}")
            kept += [(kind, atoms) for atoms in frames]
    return kept


def crystals(name: str, rng: np.random.Generator) -> list[tuple[Kind, Atoms]]:
    """Strained by a few percent, displaced by up to 0.15 Å in each direction (standard deviation)."""
    group, a, c, silicon, oxygen, repeats = CRYSTALS[name]
    angle = 120.0 if group in (154, 194) else 90.0
    sites = ["Si"] * len(silicon) + ["O"] * len(oxygen)
    perfect = crystal(sites, silicon + oxygen, spacegroup=group, cellpar=[a, a, c, 90, 90, angle]).repeat(repeats)
    kept = []
    for k in range(CRYSTAL_FRAMES):
        strain = rng.normal(scale=0.02, size=(3, 3))
        stretch = np.eye(3) * rng.uniform(0.94, 1.06) + (strain + strain.T) / 2
        atoms = perfect.copy()
        atoms.set_cell(perfect.cell.array @ stretch, scale_atoms=True)
        atoms.rattle(0.15 * (k + 1) / CRYSTAL_FRAMES, rng=rng)
        kept.append(
            (Kind("crystal", f"{name}-{k // 4}"), Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True))
        )
    return kept


def collision(frame: Atoms, rng: np.random.Generator) -> Atoms:
    """The frame with some pairs of neighbours pushed together along the line between them."""
    atoms = frame.copy()
    for _ in range(PUSHES):
        pair = list(CLOSEST)[rng.integers(len(CLOSEST))]
        first = rng.choice([atom.index for atom in atoms if atom.symbol == pair[0]])
        vectors = atoms.get_distances(first, range(len(atoms)), mic=True, vector=True)
        r = np.linalg.norm(vectors, axis=1)
        r[(np.array(atoms.get_chemical_symbols()) != pair[1]) | (r == 0)] = np.inf
        second = int(r.argmin())
        wanted = CLOSEST[pair] * rng.uniform(1.0, PUSHED)
        if wanted < r[second]:
            push = vectors[second] * (1.0 - wanted / r[second]) / 2.0
            atoms.positions[first] += push
            atoms.positions[second] -= push
    return atoms


def collisions(frames: list[Atoms], rng: np.random.Generator) -> list[tuple[Kind, Atoms]]:
    """Of melts and glasses, and random packings in their cells."""
    kept = []
    for k in range(COLLISIONS):
        kept.append((Kind("collision", f"pushed-{k}"), collision(frames[rng.integers(len(frames))], rng)))
    for k in range(PACKINGS):
        like = frames[rng.integers(len(frames))]
        counts = {name: like.get_chemical_symbols().count(name) for name in ("O", "Si")}
        system = make_system(counts, like.cell.array)
        packed = packed_positions(system, int(rng.integers(2**31)), rng.uniform(1.5, 1.9))
        symbols = np.repeat(system.species, system.n_per_species)
        kept.append((Kind("collision", f"packed-{k}"), Atoms(symbols, packed, cell=system.cell, pbc=True)))
    return kept


def save(path: Path, kept: list[tuple[Kind, Atoms]]) -> None:
    """One file, each frame with its kind."""
    for kind, atoms in kept:
        atoms.info.update(kind._asdict())
    write(path, [atoms for _, atoms in kept], format="extxyz")


def main() -> None:
    """Run the melts, build the crystals, write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()

    kept = []
    for number, (model, (units, density)) in enumerate(itertools.product(MODELS, MELTS + COMPRESSED)):
        kept += melts(model, units, density, asked.seed + number)
        print(f"{model}, {3 * units} atoms, density x {density}: {len(kept)} frames", flush=True)
    rng = np.random.default_rng(asked.seed)
    for name in CRYSTALS:
        kept += crystals(name, rng)
    free = [atoms for kind, atoms in kept if kind.phase in ("liquid", "glass")]
    kept += collisions(free, np.random.default_rng(asked.seed + 6))
    save(asked.out, kept)


if __name__ == "__main__":
    main()
