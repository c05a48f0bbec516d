"""What potentials are to the rest: kinds of base model, force fields, models of sites, pair functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import jax

    from kernels.neighbors import NeighborList
    from refine.potentials.classical.coulomb import Coulomb
    from refine.potentials.correction import PairCorrection
    from refine.potentials.lammps import Part, Script
    from refine.system import System

Array = NDArray[np.float64]
Pairs = tuple[tuple[str, str], ...]
"""Species pairs i <= j."""


class ForceField(Protocol):
    """Energies as the sampler needs them; `params` is a pytree of arrays whose change compiles nothing.

    cutoff: of the neighbour list, Å.
    inner_cutoff: Å, of a second list in `neighbors.inner`, for a part of the energy that is costly and of shorter
        range; None: there is none.
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

    def params(self, correction: PairCorrection | None, base: Any = None) -> Any:
        """The argument of its functions.

        correction: None: there is none.
        base: in place of the base model's own parameters, whatever these are (`BaseParameters.at`).
        """


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


@dataclass(frozen=True)
class Terms:
    """What adds up to the energy of a base for some atoms, as `refine.potentials.calculator.Calculator` evaluates it.

    Attributes:
        pairs: pair functions.
        charges: what of charges is no pair function.
        sites: energies of atoms among their neighbours.
    """

    pairs: ContinuedPairs | None = None
    charges: Coulomb | None = None
    sites: SiteModel | None = None


class ContinuedPairs(Protocol):
    """Pair functions that are finite at all distances: a classical base, or a correction."""

    @property
    def pairs(self) -> Pairs:
        """Rows of the functions."""

    @property
    def cutoff(self) -> float:
        """Å."""

    def continued(self, r: ArrayLike) -> tuple[Array, Array]:
        """Energy and its derivative by r, (pairs, n) eV and eV/Å, at r (n,) Å."""


class Potential(Protocol):
    """A base model as `Base.read` gives it."""

    def terms(self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str) -> Terms:
        """For atoms sorted by species; precision: "float32" or "float64", of what is no pair function. InputError for a
        species that it does not know."""


class BaseParameters(Protocol):
    """Parameters of a base that a rule may change, as one vector (k,), such as `ClassicalParameters`, `MaceWeights`.

    frames: a `refine.sampling.frames.Frames`.
    """

    @property
    def start(self) -> Array:
        """(k,) their values in the study."""

    @property
    def units(self) -> Array:
        """(k,) a usual size of each: what an optimiser's step is relative to."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a user is warned of when these parameters are to change, in words."""

    @property
    def stored_positions(self) -> bool:
        """Whether `energies` needs the positions of frames, and not only pair counts."""

    def energies(self, parameters: Array, frames: Any) -> Array:
        """(frames,) eV, up to a constant that does not depend on the parameters."""

    def gradient(self, parameters: Array, frames: Any, weights: Array) -> Array:
        """Σ_f weights_f dU_f/d parameters, (k,)."""

    def at(self, parameters: Array) -> Any:
        """What the base's force field takes as `base` in `params`."""

    def table(self, parameters: Array) -> dict[str, dict[str, float]]:
        """What a reader is told of them, by name: `initial`, `final` and, where those say too little, `change`."""

    def write(self, parameters: Array, folder: Path) -> None:
        """Files that the table cannot stand for."""


@dataclass(frozen=True)
class Finished:
    """What a finished run says that its base depends on.

    Attributes:
        species: in the run's order.
        pairs: species pairs i <= j.
        cutoff: Å, of the correction.
        parameters: of the base that were refined, as result.json has them (`BaseParameters.table`); None: there are
            none.
        result: result.json in the run's folder.
        potential: the `Potential` itself, where it is at hand; None: `Base.final_potential` makes it of the others.
        everywhere: whether the correction acts within molecules, too.
    """

    species: tuple[str, ...]
    pairs: Pairs
    cutoff: float
    parameters: Mapping[str, Mapping[str, float | None]] | None
    result: Path
    potential: Any = None
    everywhere: bool = False


class Base(Protocol):
    """A kind of base model. `model` is its table of keys, `potential` whatever `read` makes of it."""

    @property
    def refined_file(self) -> str | None:
        """The file of a run's folder that has refined parameters which no table can stand for; None: there is none."""

    @property
    def own_engine(self) -> str | None:
        """The engine that alone evaluates it, by name; None: whichever can, that of jax by `force_field`."""

    def read(self, model: Any, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> Any:
        """The `Potential` that a study asks for; cutoff: Å, of its correction. InputError where there is none."""

    def heads(self, model: Any) -> Mapping[str, Any]:
        """The `Potential` of each head of a file, which is read once; empty for a base that is no such file. Whether it
        knows the species of a study is not looked at. InputError where it cannot be read."""

    def theory(self, model: Any, potential: Any) -> str | None:
        """Level of theory of the energies that a `Potential` was fitted to; "" for a classical one, which was fitted
        to none, and None where it is not known."""

    def check_box(self, potential: Any, correction_cutoff: float, system: System) -> None:
        """InputError where the atoms of a box cannot be under it, whatever engine moves them."""

    def force_field(
        self, potential: Any, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        """What the sampler of jax evaluates; correction_cutoff: Å, largest r_cut that a correction will have."""

    def pair_energies(self, potential: Any, r: Array) -> Array | None:
        """(pairs, n) eV at distances r (n,) Å, or None where the potential is no sum of pair functions."""

    def identity(self, potential: Any) -> str:
        """What tells it from others that the study file would describe alike."""

    def parameters(self, potential: Any, names: tuple[str, ...], system: System, edges: Array) -> BaseParameters:
        """Parameters of its own that a rule may change; edges: of the pair counts, Å. InputError where it has none."""

    def final_potential(self, model: Any, run: Finished, file: str | Path | None = None) -> Any:
        """The `Potential` that a run ended with, refined parameters and all; file: in place of the one that `model`
        names. InputError where it cannot be read."""

    def lammps(self, model: Any, run: Finished, script: Script) -> Part:
        """What the potential that a run ended with adds to an input script of LAMMPS."""
