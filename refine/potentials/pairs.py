"""Force fields: what the sampler evaluates (the protocol is `refine.potentials.protocols.ForceField`).

A force field separates what is fixed along a run (shapes, cutoff, species) from `params`, a pytree that its functions
take as an argument, so that a changed correction changes numbers and compiles nothing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from kernels.ewald import EwaldSum
from kernels.neighbors import NeighborList
from kernels.pair import (
    InconsistentTable,
    PairTable,
    pair_forces,
    pair_observables,
    pair_table,
    pair_virial_tensor,
    table_radii,
)
from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.potentials.protocols import PairPotential

NUMBERS = "compare its numbers in parameters, or pairs, with their source, and their units with eV and Å"
"""What to do about a pair function that cannot be used, in keys of [model]."""


class PairForceField:
    """A pair potential and the correction, merged into one table per species pair, and what of charges is no pair
    function.

    Merging makes the correction free of cost: one lookup serves both.

    Args:
        base: the base pair potential.
        correction_cutoff: Å, largest r_cut that a correction will have.
        n_per_species: atoms of each species; positions come sorted by species.
        orthorhombic: whether the cell is diagonal.
        size: nodes of the table, uniform in r^2.
        precision: "float32" or "float64", of the table.
        ewald: the reciprocal part of an Ewald sum of the atoms, whose pair part `base` has; None: there is none.
        self_energy: (species,) eV, a constant for each atom that is no part of the pairs.
    """

    inner_cutoff: float | None = None
    periodic_images = False
    cost = 1.0

    def __init__(
        self,
        base: PairPotential,
        correction_cutoff: float,
        n_per_species: tuple[int, ...],
        *,
        orthorhombic: bool,
        size: int = 4096,
        precision: str = "float32",
        ewald: EwaldSum | None = None,
        self_energy: np.ndarray | None = None,
    ) -> None:
        self.base = base
        self.cutoff = max(base.cutoff, correction_cutoff)
        self.n_per_species, self.orthorhombic = n_per_species, orthorhombic
        self.radii = table_radii(base.inner, self.cutoff, size)
        self.precision, self.ewald = precision, ewald
        self._self_energy = None if self_energy is None else np.repeat(self_energy, n_per_species)

    def params(self, correction: PairCorrection | None, base: PairPotential | None = None) -> PairTable:
        """The merged table; base: in place of the force field's own, for parameters of it that are refined."""
        base = self.base if base is None else base
        energy, derivative = base.energy(self.radii), base.derivative(self.radii)
        size = np.abs(energy)
        if correction is not None:
            phi = correction.energy(self.radii)
            # inside the barrier of a dispersion that goes to minus infinity the two may cancel
            energy, size = energy + phi, size + np.abs(phi)
            derivative = derivative + correction.derivative(self.radii)
        finite = np.isfinite(energy).all(axis=1) & np.isfinite(derivative).all(axis=1)
        if not finite.all():
            raise InputError(
                f"{self._name(int(np.argmin(finite)))} is not finite everywhere from {self.radii[0]:.3g} to "
                f"{self.cutoff:.4g} Å",
                where="[model]",
                fix=NUMBERS,
            )
        try:
            return pair_table(energy, derivative, float(self.radii[0]), self.cutoff, dtype=self.precision, scale=size)
        except InconsistentTable as error:
            raise InputError(
                f"{self._name(error.pair)} cannot be tabulated: {error.words}", where="[model]", fix=NUMBERS
            ) from None
        except ValueError:
            steepest = int(np.argmax(np.abs(derivative[:, 0])))
            raise InputError(
                f"{self._name(steepest)} cannot be tabulated in {self.precision}: its force at {self.radii[0]:.3g} Å "
                f"is {-derivative[steepest, 0]:.3g} eV/Å",
                where="[model]",
                fix=NUMBERS,
            ) from None

    def _name(self, row: int) -> str:
        return "-".join(self.base.pairs[row])

    def forces(self, params: PairTable, positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
        """(N, 3), eV/Å."""
        forces = pair_forces(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)
        return forces if self.ewald is None else forces + self.ewald.forces(positions, cell)

    def observables(
        self, params: PairTable, positions: jax.Array, neighbors: NeighborList, cell: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Energy (N,) and virial (N,) of each atom, eV."""
        energy, virial = pair_observables(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)
        if self.ewald is not None:
            for more in (self.ewald.observables(positions, cell), self.ewald.self_energy(cell)):
                energy, virial = energy + more[0], virial + more[1]
        return energy if self._self_energy is None else energy + jnp.asarray(self._self_energy, energy.dtype), virial

    def virial_tensor(
        self, params: PairTable, positions: jax.Array, neighbors: NeighborList, cell: jax.Array
    ) -> jax.Array:
        """W (3, 3) eV, see `refine.potentials.protocols.ForceField`."""
        tensor = pair_virial_tensor(positions, neighbors, params, cell, self.n_per_species, self.orthorhombic)
        if self.ewald is None:
            return tensor
        background = jnp.sum(self.ewald.self_energy(cell)[1]).astype(tensor.dtype) / 3
        return tensor + self.ewald.virial_tensor(positions, cell) + background * jnp.eye(3, dtype=tensor.dtype)
