"""The sum over pairs by its definition, in float64 numpy: no table, no list."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from refine.potentials.classical import PairForm
from refine.system import System, make_system

CELLS = {
    "orthorhombic": np.diag([15.0, 16.0, 17.0]),
    "triclinic": np.array([[16.0, 0.0, 0.0], [3.0, 15.5, 0.0], [-2.0, 2.5, 16.5]]),
}


def random_box(counts: dict[str, int], cell: np.ndarray, apart: float, seed: int = 0) -> System:
    """Atoms at random, none closer than `apart` Å."""
    rng, inverse = np.random.default_rng(seed), np.linalg.inv(cell)
    found: list[np.ndarray] = []
    while len(found) < sum(counts.values()):
        new = rng.random(3) @ cell
        away = (np.array(found).reshape(-1, 3) - new) @ inverse
        if np.linalg.norm((away - np.round(away)) @ cell, axis=1).min(initial=np.inf) > apart:
            found.append(new)
    return make_system(counts, cell, np.array(found))


def direct(potential: PairForm, system: System) -> tuple[float, np.ndarray, float]:
    """Energy (eV), forces (N, 3) and virial Σ r · f of the pair functions and, with charges, of all of their sum."""
    assert system.positions is not None
    numbers = np.repeat(np.arange(len(system.species)), system.n_per_species)
    rows = {pair: row for row, pair in enumerate(potential.pairs)}
    reach = np.ceil(potential.cutoff / system.heights).astype(int)
    energy, virial, forces = 0.0, 0.0, np.zeros((system.n_atoms, 3))
    for image in itertools.product(*(range(-n, n + 1) for n in reach)):
        apart = system.positions[:, None] - system.positions[None] + np.array(image) @ system.cell
        r = np.linalg.norm(apart, axis=2)
        near = (r < potential.cutoff) & (r > 0)
        for (a, b), row in rows.items():
            i, j = (list(system.species).index(name) for name in (a, b))
            chosen = near & (
                ((numbers[:, None] == i) & (numbers[None] == j)) | ((numbers[:, None] == j) & (numbers[None] == i))
            )
            distances = r[chosen]
            slope = potential.derivative(distances)[row]
            energy += potential.energy(distances)[row].sum() / 2
            virial -= (slope * distances).sum() / 2
            np.add.at(forces, np.nonzero(chosen)[0], -(slope / distances)[:, None] * apart[chosen])
    charged = potential.coulomb
    if charged is not None and charged.method == "dsf":
        energy += float(charged.self_energy() @ np.array(system.n_per_species))
    elif charged is not None:
        with jax.enable_x64(True):
            ewald, cell = charged.reciprocal(system.n_per_species, system.cell), jnp.asarray(system.cell)
            at = jnp.asarray(system.positions)
            more = [*map(np.asarray, ewald.observables(at, cell)), *map(np.asarray, ewald.self_energy(cell))]
            forces += np.asarray(ewald.forces(at, cell))
        energy += float(more[0].sum() + more[2].sum())
        virial += float(more[1].sum() + more[3].sum())
    return float(energy), forces, float(virial)
