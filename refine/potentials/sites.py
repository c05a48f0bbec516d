"""A model of site energies with a pair correction, as the sampler needs it: MACE, Stillinger-Weber, Tersoff.

A site is an atom among its neighbours, whose energy depends on the vectors to them
(`refine.potentials.protocols.SiteModel`).

The energies here are without the isolated atoms E0 of a MACE model: a constant that can be large, which
would then take the digits of a float32 energy and changes no force and no ensemble average.
`SiteForceField.isolated_energy` is their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.neighbors import NeighborList, atoms_of, displacements
from kernels.pair import PairTable, pair_forces, pair_observables, pair_table, pair_virial_tensor, table_radii
from refine.potentials.correction import PairCorrection
from refine.potentials.protocols import SiteModel

COST = 1000.0
"""Of MACE's forces on an atom, in those of a pair potential, roughly: experiments/benchmarks/mace.md beside md.py give
900 for small and 1900 for medium on two cores."""

TABLE_START = 0.1
"""Where the table of a correction begins, in parts of its cutoff; below, its force goes on as it is there."""

TABLE_SIZE = 4096
"""Nodes of that table, uniform in r^2."""


class SiteParams(NamedTuple):
    """What the functions of a `SiteForceField` depend on besides the atoms."""

    weights: Any
    correction: PairTable


class SiteForceField:
    """A model of site energies and a pair correction.

    Args:
        model: for the atoms of the system, which come sorted by its species.
        correction_cutoff: Å, largest r_cut that a correction will have. Beyond the model's own cutoff it gets a list of
            its own, so that the model never sees the atoms between the two.
        orthorhombic: whether the cell is diagonal.
        cost: of the forces on an atom, in those of a pair potential.
    """

    periodic_images = True

    def __init__(self, model: SiteModel, correction_cutoff: float, *, orthorhombic: bool, cost: float = COST) -> None:
        self.model, self.cost = model, cost
        self.cutoff = max(model.cutoff, correction_cutoff)
        self.inner_cutoff = model.cutoff if model.cutoff < self.cutoff else None
        self.n_per_species, self.orthorhombic, self.precision = model.n_per_species, orthorhombic, model.precision
        self.radii = table_radii(TABLE_START * correction_cutoff, correction_cutoff, TABLE_SIZE)

    @property
    def isolated_energy(self) -> float:
        """Σ E0 of the atoms, eV, in float64: what the energies leave out."""
        return float(np.dot(self.model.isolated, self.n_per_species))

    def params(self, correction: PairCorrection | None, base: Mapping[str, Any] | None = None) -> SiteParams:
        """The weights and the table of the correction; base: arrays in place of the model's own, by name, for weights
        that are refined."""
        weights = self.model.params if base is None else self.model.load(base)
        return SiteParams(weights, correction_table(self.radii, self.n_per_species, correction, self.precision))

    def forces(self, params: SiteParams, positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
        """(N, 3), eV/Å."""
        _, gradients, _, senders = self._evaluate(params, positions, neighbors, cell)
        pair = pair_forces(positions, neighbors, params.correction, cell, self.n_per_species, self.orthorhombic)
        return forces_of(gradients, senders) + pair

    def observables(
        self, params: SiteParams, positions: jax.Array, neighbors: NeighborList, cell: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Energy without E0 (N,) and virial (N,) of each atom, eV; the virials add up to W = Σ r · f."""
        sites, gradients, vectors, _ = self._evaluate(params, positions, neighbors, cell)
        pair = pair_observables(positions, neighbors, params.correction, cell, self.n_per_species, self.orthorhombic)
        return sites + pair[0], pair[1] - jnp.sum(vectors * gradients, axis=(1, 2))

    def virial_tensor(
        self, params: SiteParams, positions: jax.Array, neighbors: NeighborList, cell: jax.Array
    ) -> jax.Array:
        """W (3, 3) eV, see `refine.potentials.protocols.ForceField`."""
        _, gradients, vectors, _ = self._evaluate(params, positions, neighbors, cell)
        pair = pair_virial_tensor(positions, neighbors, params.correction, cell, self.n_per_species, self.orthorhombic)
        return pair - jnp.einsum("nka,nkb->ab", vectors, gradients, precision=jax.lax.Precision.HIGHEST)

    def _evaluate(
        self, params: SiteParams, positions: jax.Array, neighbors: NeighborList, cell: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """The model alone: site energies (N,), their derivative by the vectors, vectors (N, K, 3), senders (N, K)."""
        near = neighbors if neighbors.inner is None else neighbors.inner
        vectors, senders = edges(positions, near, cell, self.orthorhombic, self.model.cutoff)
        sites, gradients = self.model.energies_and_gradients(params.weights, vectors, senders)
        return sites, gradients, vectors, senders


def edges(
    positions: jax.Array, neighbors: NeighborList, cell: jax.Array, orthorhombic: bool, cutoff: float
) -> tuple[jax.Array, jax.Array]:
    """A list as a `SiteModel` takes it: vectors (N, K, 3) Å from each neighbour to the atom, and the neighbours (N, K)
    int32.

    A slot that is not used gets a vector twice as long as the cutoff: it adds exactly nothing, and neither energy nor
    derivative is ever taken at a distance of zero.
    """
    apart = jnp.stack(displacements(positions, neighbors, cell, orthorhombic), axis=-1)
    used = neighbors.idx != jnp.arange(positions.shape[0], dtype=jnp.int32)
    far = jnp.array([2 * cutoff, 0.0, 0.0], positions.dtype)
    return jnp.where(used[..., None], apart, far).transpose(1, 0, 2), atoms_of(neighbors).T


def forces_of(gradients: jax.Array, senders: jax.Array) -> jax.Array:
    """Forces (N, 3) from the energy's derivative by the vectors, (N, K, 3): both ends of each vector move.

    A slot that is not used has its own atom as neighbour and cancels.
    """
    n = gradients.shape[0]
    received = jnp.zeros((n, 3), gradients.dtype).at[senders.ravel()].add(gradients.reshape(-1, 3))
    return received - jnp.sum(gradients, axis=1)


def correction_table(
    radii: np.ndarray, n_per_species: tuple[int, ...], correction: PairCorrection | None, precision: str
) -> PairTable:
    """A correction, or none, on `radii` of `kernels.pair.table_radii`."""
    number = len(n_per_species)
    tolerance = 1e-9
    if correction is None:
        energy = derivative = np.zeros((number * (number + 1) // 2, len(radii)))
    else:
        energy, derivative = correction.energy(radii), correction.derivative(radii)
        walls = correction.wall[correction.wall > 0.0]
        if len(walls):  # the corner in the force where the wall begins lies between two nodes
            gap = (radii[1] ** 2 - radii[0] ** 2) / (2 * float(walls.min()))
            tolerance += correction.stiffness * gap**2
    return pair_table(energy, derivative, float(radii[0]), float(radii[-1]), dtype=precision, tolerance=tolerance)
