"""A base model, with or without a pair correction and dispersion, as an ASE calculator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.geometry import complete_cell
from numpy.typing import NDArray

from kernels.ewald import EwaldSum
from kernels.neighbors import build, choose_images, images_within, most_neighbors
from refine.errors import InputError, SimulationError
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.correction import PairCorrection
from refine.potentials.dispersion import BOHR, CUTOFF, D3, half_images
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.base import MacePotential, mace_potential
from refine.potentials.protocols import ContinuedPairs, Potential, SiteModel, Terms
from refine.potentials.sites import edges
from refine.sites import species_of_atoms

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]
Part = Callable[[Array, Array, NDArray[np.bool_]], tuple[Array, Array, Array]]
"""See `_System`."""

SPARE = 1.05
"""Slots in a list over the neighbours of the first structure, so that the next one finds room."""

KEPT = 8
"""Compositions whose compiled programs are kept."""

STRETCH = 0.01
"""Change of a cell, in parts of it, from which an Ewald sum takes wave vectors of its own."""

OUT_OF_REACH = 1000.0
"""Lattice vectors to an image that stands for none."""

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class Calculator(AseCalculator):
    """Energy, forces and stress of a base model for ASE.

        atoms.calc = refine.Calculator("medium-mpa-0")

    Any cell, also one smaller than the cutoff, periodic along any of its vectors; without periodic vectors, a molecule.
    An Ewald sum needs all three periodic, and keeps its wave vectors until the cell has changed by `STRETCH`. Stress is
    dE/dstrain over the volume, positive under tension, in the order xx yy zz yz xz xy, and is there where the atoms
    have a volume. Where a base or correction tells sites of an element apart, as H:methyl, atoms have them in an array
    "site", empty for atoms without. Energies hold the isolated atoms E0 of a MACE model, which are added in float64.

    A MACE model that takes the charge and the spin multiplicity of a structure reads them from `atoms.info`: "charge"
    and "spin", whole numbers, 0 and 1 where they are not there. Other models pass them over.

    Programs are compiled for a composition, charge and spin, not for an order of atoms or a cell; `compilations` counts
    them.

    Args:
        model: a MACE model file, the name of a published one, or a Checkpoint; or any base, such as those of
            `refine.potentials.classical.base_potential` and `refine.potentials.many_body.potentials.many_body`.
        dtype: "float64" or "float32" of a MACE or many-body model; positions, sums and all else are always float64.
        head: of a model with several.
        correction: pair potential on top.
        dispersion: "none", or "d3-bj" (`refine.potentials.dispersion`, in float64) on top.

    Raises:
        InputError: no such model, an unknown head, dtype or dispersion. `calculate` also for a species, charge or spin
            that a part of the model does not know, for charges that do not add up to zero, and for a cell that cannot
            be used; SimulationError for an energy that is not finite.

    Two argon atoms where their energy is lowest:

    >>> from ase import Atoms
    >>> from refine.potentials.classical import LennardJones
    >>> argon = {"epsilon": 0.0103, "sigma": 3.4}
    >>> base = LennardJones.from_parameters(("Ar",), (("Ar", "Ar"),), argon, 10.0)
    >>> dimer = Atoms("Ar2", [[0.0, 0.0, 0.0], [2 ** (1 / 6) * 3.4, 0.0, 0.0]], calculator=Calculator(base))
    >>> round(dimer.get_potential_energy(), 4), bool(abs(dimer.get_forces()).max() < 1e-6)
    (-0.0103, True)
    """

    implemented_properties: list[str] = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        model: str | Path | Checkpoint | Potential,
        dtype: str = "float64",
        head: str | None = None,
        correction: PairCorrection | None = None,
        dispersion: str = "none",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if dispersion not in ("none", "d3-bj"):
            raise InputError(f"dispersion is {dispersion!r}", fix="use 'none' or 'd3-bj'")
        if dtype not in ("float64", "float32"):
            raise InputError(f"dtype is {dtype!r}", fix="use 'float64' or 'float32'")
        self.dtype, self.head, self.correction, self.dispersion = dtype, head, correction, dispersion
        self.compilations = 0
        if isinstance(model, str | Path | Checkpoint):
            self.model: Potential = mace_potential(model, head)
        elif head is not None:
            raise InputError(f"this potential has no head {head!r}", fix="leave it out")
        else:
            self.model = model
        self._systems: dict[tuple[tuple[str, ...], tuple[int, ...], tuple[int, int] | None], _System] = {}
        self._box: tuple[int, int] | None = None  # of the last calculation

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation, charge and spin too where the model takes them."""
        changes: list[str] = super().check_state(atoms, tol)  # type: ignore[no-untyped-call]
        if self._box_of(atoms) != self._box:
            changes.append("info")
        return changes

    def forget(self) -> None:
        """What comes next follows, bit by bit, from its atoms alone and not from what was calculated before."""
        self.reset()  # type: ignore[no-untyped-call]
        for system in self._systems.values():
            system.forget()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """All properties at once, into `results`; see `ase.calculators.calculator.Calculator`."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        atoms = self.atoms
        if atoms is None or len(atoms) == 0:
            raise InputError("there are no atoms to calculate")
        names = species_of_atoms(atoms)
        number = dict(zip(names, atoms.numbers.tolist(), strict=True))
        species = tuple(sorted(number, key=lambda name: (number[name], name)))
        order = np.argsort([species.index(name) for name in names], kind="stable")
        self._box = self._box_of(atoms)
        system = self._system(species, tuple(names.count(name) for name in species), self._box)
        positions = np.asarray(atoms.positions[order], np.float64)
        if not (np.isfinite(positions).all() and np.isfinite(atoms.cell.array).all()):
            raise InputError("a coordinate or lattice vector is not a finite number")

        sites, forces, strain = np.zeros(len(order)), np.zeros((len(order), 3)), np.zeros((3, 3))
        for part in self._parts(system):
            more = part(positions, atoms.cell.array, atoms.pbc)
            sites, forces, strain = sites + more[0], forces + more[1], strain + more[2]
        if not (np.isfinite(sites).all() and np.isfinite(forces).all()):
            raise SimulationError("the energy is not a finite number", fix="look for atoms on one spot")
        back = np.argsort(order)
        energy = float(sites.sum())
        self.results = {"energy": energy, "free_energy": energy, "energies": sites[back], "forces": forces[back]}
        if atoms.cell.rank == 3:
            stress = (strain + strain.T) / (2 * atoms.get_volume())
            self.results["stress"] = np.array([stress[pair] for pair in VOIGT])

    def _parts(self, system: _System) -> list[Part]:
        """What adds up to the energy."""
        parts: list[Part] = []
        if system.terms.pairs is not None:
            parts.append(partial(system.pairs, system.terms.pairs, "base"))
        if system.terms.charges is not None:
            parts.append(partial(system.charges, system.terms.charges))
        if system.terms.sites is not None:
            parts.append(partial(system.sites, system.terms.sites))
        if self.correction is not None:
            parts.append(partial(system.pairs, self.correction, "correction"))
        if self.dispersion != "none":
            parts.append(system.dispersion)
        return parts

    def _box_of(self, atoms: Atoms) -> tuple[int, int] | None:
        """Charge and spin of a structure; None where the model takes neither."""
        model = self.model
        if not (isinstance(model, MacePotential) and model.takes_charge_and_spin):
            return None
        return _whole(atoms, "charge", model.charge), _whole(atoms, "spin", model.spin)

    def _system(self, species: tuple[str, ...], n_per_species: tuple[int, ...], box: tuple[int, int] | None) -> _System:
        key = (species, n_per_species, box)
        system = self._systems.pop(key, None)
        if system is None:
            model = self.model
            if box is not None and isinstance(model, MacePotential):
                model = replace(model, charge=box[0], spin=box[1])
            terms = model.terms(species, n_per_species, self.dtype)
            system = _System(species, n_per_species, terms, self._compiled)
        self._systems[key] = system  # the newest last
        if len(self._systems) > KEPT:
            del self._systems[next(iter(self._systems))]
        return system

    def _compiled(self) -> None:
        self.compilations += 1


def _whole(atoms: Atoms, key: str, default: int) -> int:
    """A whole number of `atoms.info`."""
    value = atoms.info.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or value != round(float(value)):
        raise InputError(f"{key} is {value!r:.40}", where="atoms.info", fix="give a whole number")
    return int(value)


class _System:
    """One composition: its programs. Atoms come sorted by species.

    Its parts have one signature: positions (N, 3), cell (3, 3), which of its vectors are periodic (3,) -> energies of
    the atoms (N,), forces (N, 3), dE/dstrain (3, 3); all in eV and Å.
    """

    def __init__(
        self, species: tuple[str, ...], n_per_species: tuple[int, ...], terms: Terms, compiled: Callable[[], None]
    ) -> None:
        self.species, self.n_per_species = species, n_per_species
        self.terms, self._compiled = terms, compiled
        self._numbers = np.repeat(np.arange(len(species)), n_per_species)
        self._near, self._far = _Edges(compiled), _Edges(compiled)

        def evaluate(params: Any, vectors: jax.Array, senders: jax.Array) -> tuple[jax.Array, jax.Array]:
            assert terms.sites is not None
            compiled()  # Python runs while tracing only
            return terms.sites.energies_and_gradients(params, vectors, senders)

        self._evaluate = jax.jit(evaluate)
        self._disperse: Any = None
        self._images = 1
        self._ewald: tuple[Array, Any] | None = None
        self._stretch = STRETCH

    def forget(self) -> None:
        """See `Calculator.forget`."""
        self._near.forget()
        self._far.forget()
        self._images = 1
        self._stretch = 0.0  # wave vectors are kept where the next cell is the one that they were made for

    def sites(
        self, model: SiteModel, positions: Array, cell: Array, periodic: NDArray[np.bool_]
    ) -> tuple[Array, Array, Array]:
        """Of the site model, with E0."""
        vectors, senders = self._near(positions, cell, periodic, model.cutoff)
        with jax.enable_x64(model.precision == "float64"):
            arguments = (vectors.astype(model.precision), senders)
            sites, gradients = jax.device_get(self._evaluate(model.params, *arguments))
        return (
            sites.astype(np.float64) + model.isolated[self._numbers],
            *_forces_and_strain(vectors, senders, gradients.astype(np.float64)),
        )

    def pairs(
        self, potential: ContinuedPairs, name: str, positions: Array, cell: Array, periodic: NDArray[np.bool_]
    ) -> tuple[Array, Array, Array]:
        """Of a sum of pair functions, half of each pair's energy to either atom; name: in a refusal."""
        vectors, senders = self._far(positions, cell, periodic, potential.cutoff)
        r = np.linalg.norm(vectors, axis=2)
        rows = self._rows(potential, name)[self._numbers[:, None], self._numbers[senders]]
        energies, slopes = np.zeros_like(r), np.zeros_like(r)
        for row in range(len(potential.pairs)):
            chosen = (rows == row) & (r < potential.cutoff)
            energy, slope = potential.continued(r[chosen])
            energies[chosen], slopes[chosen] = energy[row], slope[row]
        gradients = (slopes / (2 * np.maximum(r, 1e-12)))[..., None] * vectors
        return energies.sum(axis=1) / 2, *_forces_and_strain(vectors, senders, gradients)

    def charges(
        self, coulomb: Coulomb, positions: Array, cell: Array, periodic: NDArray[np.bool_]
    ) -> tuple[Array, Array, Array]:
        """What of charges is no pair function."""
        charges = dict(zip(coulomb.species, coulomb.charges, strict=True))
        charged = replace(coulomb, species=self.species, charges=np.array([charges[symbol] for symbol in self.species]))
        if charged.method == "dsf":
            return charged.self_energy()[self._numbers], np.zeros_like(positions), np.zeros((3, 3))
        if not periodic.all():
            raise InputError("an Ewald sum needs a cell that is periodic along all vectors")
        charged.check_neutral(self.n_per_species)
        if self._ewald is None or _stretch(self._ewald[0], cell) > self._stretch:
            self._ewald = cell.copy(), self._reciprocal(charged.reciprocal(self.n_per_species, cell))
        self._stretch = STRETCH
        with jax.enable_x64(True):
            sites, forces, strain = jax.device_get(self._ewald[1](positions, cell))
        return sites, forces, strain

    def _reciprocal(self, ewald: EwaldSum) -> Any:
        def energy(strain: jax.Array, positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
            stretched = jnp.eye(3) + strain
            positions, cell = positions @ stretched, cell @ stretched
            sites = ewald.observables(positions, cell)[0] + ewald.self_energy(cell)[0]
            return jnp.sum(sites), sites

        def evaluate(positions: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            self._compiled()
            strain, sites = jax.grad(energy, has_aux=True)(jnp.zeros((3, 3)), positions, cell)
            return sites, ewald.forces(positions, cell), strain

        return jax.jit(evaluate)

    def dispersion(self, positions: Array, cell: Array, periodic: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """Of D3, in float64."""
        if self._disperse is None:
            self._disperse = self._dispersion()
        positions, cell = _in_vacuum(positions, cell, periodic, CUTOFF * BOHR)
        images = half_images(cell, CUTOFF * BOHR)
        if len(images) > self._images:
            self._images = int(np.ceil(SPARE * len(images)))
        images = np.pad(images, ((0, self._images - len(images)), (0, 0)), constant_values=OUT_OF_REACH)
        with jax.enable_x64(True):
            energies, forces, strain = jax.device_get(self._disperse(positions, cell, images))
        return energies, forces, strain

    def _dispersion(self) -> Any:
        d3 = D3(self.species, self.n_per_species)

        def disperse(*arguments: jax.Array) -> tuple[jax.Array, ...]:
            self._compiled()
            return d3.energies(*arguments), d3.forces(*arguments), d3.strain(*arguments)

        return jax.jit(disperse)

    def _rows(self, potential: ContinuedPairs, name: str) -> NDArray[np.int64]:
        """Row of the pair functions for each pair of this composition's species."""
        rows = {frozenset(pair): row for row, pair in enumerate(potential.pairs)}
        for a in self.species:
            for b in self.species:
                if frozenset((a, b)) not in rows:
                    raise InputError(f"the {name} has no pair {a}-{b}", fix="calculate atoms that it was made for")
        return np.array([[rows[frozenset((a, b))] for b in self.species] for a in self.species])


class _Edges:
    """Neighbours as vectors, with a capacity and images that grow when they must, so that little is compiled again."""

    def __init__(self, compiled: Any) -> None:
        self.forget()

        def count(positions: jax.Array, cell: jax.Array, cutoff: jax.Array, images: Any) -> jax.Array:
            compiled()
            return most_neighbors(positions, cell, cutoff, orthorhombic=False, images=images)

        def find(positions: jax.Array, cell: jax.Array, cutoff: Any, images: Any, capacity: int) -> Any:
            compiled()
            neighbors = build(positions, cell, cutoff, capacity=capacity, orthorhombic=False, images=images)
            return edges(positions, neighbors, cell, False, cutoff)

        self._count, self._find = jax.jit(count), jax.jit(find, static_argnames="capacity")

    def forget(self) -> None:
        """The next list is as long as its atoms need it."""
        self._capacity = 1
        self._reach: NDArray[np.int64] | None = None

    def __call__(
        self, positions: Array, cell: Array, periodic: NDArray[np.bool_], cutoff: float
    ) -> tuple[Array, NDArray[np.int32]]:
        """Vectors (N, K, 3) float64 and senders (N, K), see `refine.potentials.sites.edges`."""
        positions, cell = _in_vacuum(positions, cell, periodic, cutoff)
        images = self._images(cell, cutoff, len(positions), periodic)
        with jax.enable_x64(True):
            arguments = (jnp.asarray(positions), jnp.asarray(cell), jnp.asarray(cutoff), images)
            most = int(self._count(*arguments))
            if most > self._capacity:
                self._capacity = int(np.ceil(SPARE * most))
            vectors, senders = jax.device_get(self._find(*arguments, capacity=self._capacity))
        return vectors, senders

    def _images(self, cell: Array, cutoff: float, n: int, periodic: NDArray[np.bool_]) -> Array | None:
        a, b, c = periodic.tolist()
        try:
            images = choose_images(cell, cutoff, n, (a, b, c))
        except ValueError as error:
            raise InputError(str(error), fix="repeat the cell along its short vectors") from None
        if images is not None:
            reach = images.max(axis=0)
            self._reach = reach if self._reach is None else np.maximum(self._reach, reach)
        if self._reach is None:
            return None
        return images_within(np.where(periodic, self._reach, 0).tolist()).astype(np.float64)


def _stretch(before: Array, cell: Array) -> float:
    """How much a cell has changed, in parts of it; 0 for the same one."""
    if np.array_equal(before, cell):
        return 0.0
    return float(np.abs(np.linalg.solve(before, cell) - np.eye(3)).max())


def _in_vacuum(positions: Array, cell: Array, periodic: NDArray[np.bool_], cutoff: float) -> tuple[Array, Array]:
    """Positions and a cell that is periodic along all vectors and the same system: instead of each vector that is not
    periodic, one perpendicular to all others and so long that no image is within the cutoff."""
    for k in np.flatnonzero(periodic):
        if not cell[k].any():
            raise InputError(f"the atoms are periodic along vector {'abc'[k]} of the cell, which is zero")
    filled = np.array(complete_cell(np.where(periodic[:, None], cell, 0.0)))
    if abs(np.linalg.det(filled)) < 1e-6:
        raise InputError("the lattice vectors are not independent")
    positions = np.array(positions)
    for k in np.flatnonzero(~periodic):
        direction = filled[k] / np.linalg.norm(filled[k])
        height = positions @ direction
        filled[k] = direction * (np.ptp(height) + 2 * cutoff + 1.0)
        positions += direction * (cutoff - height.min())
    return positions, filled


def _forces_and_strain(vectors: Array, senders: NDArray[np.int32], gradients: Array) -> tuple[Array, Array]:
    """Forces (N, 3) and dE/dstrain (3, 3), not symmetrised, from the energy's derivative by the vectors."""
    forces = -gradients.sum(axis=1)
    for axis in range(3):
        forces[:, axis] += np.bincount(senders.ravel(), gradients[..., axis].ravel(), minlength=len(forces))
    return forces, np.einsum("nka,nkb->ab", vectors, gradients)
