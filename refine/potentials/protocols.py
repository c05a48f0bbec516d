"""What potentials are to the rest: force fields, models of sites, pair functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels.neighbors import NeighborList

Array = NDArray[np.float64]


class ForceField(Protocol):
    """Energies as the sampler needs them; `params` is a pytree of arrays whose change compiles nothing.

    cutoff: of the neighbour list, Å.
    inner_cutoff: Å, of a second list in `neighbors.inner`, for a part of the energy that is dear and of shorter range;
        None: there is none.
    periodic_images: whether it takes lists of explicit images, and so a cutoff beyond half of the box.
    cost: of the forces on an atom, in those of a pair potential; only the choice of the skin and of the length of a
        block depends on it.
    """

    cutoff: float
    inner_cutoff: float | None
    periodic_images: bool
    cost: float
    n_per_species: tuple[int, ...]
    orthorhombic: bool

    def forces(self, params: Any, positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
        """(N, 3) eV/Å."""

    def observables(
        self, params: Any, positions: jax.Array, neighbors: NeighborList, cell: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Energy (N,) and virial (N,) per atom, eV."""

    def virial_tensor(self, params: Any, positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
        """W = sum r (x) f = -dU/dstrain, (3, 3) eV: with momenta, the stress tensor is -(sum p (x) p / m + W) / V. Its
        trace is the sum of the virials."""


class CorrectedForceField(ForceField, Protocol):
    """A force field with a correction on top."""

    def params(self, correction: Any, base: Any = None) -> Any:
        """The argument of its functions; correction: a `refine.potentials.correction.PairCorrection`, or None; base: in
        place
        of the base model's own parameters, whatever these are."""


class PairPotential(Protocol):
    """A sum of isotropic pair functions, one for each species pair."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Species pairs i <= j, the rows of `energy`."""

    @property
    def cutoff(self) -> float:
        """Å; energy and derivative vanish from here on."""

    @property
    def inner(self) -> float:
        """Å; the functions are finite from here on."""

    def energy(self, r: ArrayLike) -> Array:
        """Pair energies at distances r (n,) Å: (pairs, n), eV."""

    def derivative(self, r: ArrayLike) -> Array:
        """d(energy)/dr at distances r (n,) Å: (pairs, n), eV/Å."""


class SiteModel(Protocol):
    """A sum of energies of atoms that depend on the vectors to their neighbours: a MACE model (`Mace`, or
    `refine.potentials.mace.second_opinion.MaceJax`), or a many-body potential (`ManyBodySites`).

    cutoff: of the neighbours, Å.
    precision: "float32" or "float64", of vectors, energies and gradients.
    isolated: (species,) eV, energy of an atom of each species alone, which site energies leave out.
    params: a pytree of arrays whose change compiles nothing.
    """

    cutoff: float
    species: tuple[str, ...]
    n_per_species: tuple[int, ...]
    precision: str
    isolated: NDArray[np.float64]
    params: Any

    def load(self, changed: Mapping[str, Any]) -> Any:
        """`params` with some arrays of the model changed."""

    def energies_and_gradients(
        self, params: Any, vectors: jax.Array, senders: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Site energies (N,) eV, and the derivative of their sum by the vectors, (N, K, 3) eV/Å."""
