"""D3 dispersion with Becke-Johnson damping, on top of any force field: what MACE-MP-0+D3 adds to its base.

    E     = -1/2 Σ_ij C6_ij F_ij(r),      F = s6 / (r^6 + f^6) + s8 q / (r^8 + f^8),
                                          q = 3 Q_i Q_j,  f = a1 sqrt(q) + a2
    C6_ij = Σ_ab w_ia C_ab w_jb,          w_ia = exp(-k3 (CN_i - CN_a)^2) / Σ_b exp(-k3 (CN_i - CN_b)^2)
    CN_i  = Σ_j n_ij(r),                  n = 1 / (1 + exp(-k1 ((R_i + R_j) / r - 1)))

over all neighbours and periodic images within the cutoff, which ends the coordination numbers CN as well, without a
switch; a and b count the reference compounds of an element. No three-body term. Sources: S. Grimme, J. Antony, S.
Ehrlich and H. Krieg, J. Chem. Phys. 132, 154104 (2010); damping: S. Grimme, S. Ehrlich and L. Goerigk, J. Comput. Chem.
32, 1456 (2011). The tables, and what they were made from, are in d3.safetensors (experiments/dispersion/make_table.py).

In the source the weights are those of pairs of references, exp(-k3 [(CN_i - CN_a)^2 + (CN_j - CN_b)^2]); as the
references of an element are the same for all of its partners, they are products, and C6 of all pairs of atoms is one
matrix product.

Within 40 bohr an atom of a dense liquid has 3000 neighbours, most of them images. There is no list of them: C6 of two
atoms is the same for all of their images, so F, n and the forces that come from either are summed over images first, in
one loop over pairs of atoms that looks nothing up; of each two opposite images one is enough. The lists of the sampler
stay those of the base. It takes 8 N^2 numbers and a time that grows with N^2: made for boxes of up to some 2000 atoms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.cell import inverse_cell, perpendicular_heights
from kernels.neighbors import NeighborList, images_within
from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.correction import PairCorrection
from refine.potentials.lammps import Part, Script
from refine.potentials.protocols import Base, BaseParameters, CorrectedForceField, Finished, Pairs

if TYPE_CHECKING:
    from refine.system import System

Array = NDArray[np.float64]

BOHR, HARTREE = 0.529177210903, 27.211386245988
"""Å and eV; CODATA 2018."""

K1, K3 = 16.0, 4.0
"""Steepness of n, and of the weights."""

CUTOFF = 40.0
"""bohr; that of MACE-MP-0+D3, for energies and coordination numbers."""

HEAVIEST = 94
"""Atomic number of the last element in the tables."""

MAX_IMAGES = 100_000
"""Of a cell; one that is 1 Å high along each vector has 80,000 within 40 bohr."""

COST = 0.002
"""Of an atom and one image of another, in those of a pair potential's forces on an atom; 100 and 800 atoms, 2 cores."""

BLOCK = 16_384
"""Pairs of atoms in a block of rows; measured, 100 to 1000 atoms."""

HIGHEST = jax.lax.Precision.HIGHEST


@dataclass(frozen=True)
class Damping:
    """s6, s8, a1 (dimensionless) and a2 (bohr) of a density functional."""

    s6: float
    s8: float
    a1: float
    a2: float


PBE = Damping(1.0, 0.7875, 0.4289, 4.4407)
"""Grimme, Ehrlich and Goerigk (2011), table 2."""

SERVED = frozenset({"PBE", "PBE+U"})
"""Levels of theory (`refine.potentials.mace.releases`) that this damping belongs to; MACE-MP-0+D3 has it on PBE+U."""


class Tables(NamedTuple):
    """d3.safetensors, atomic units: of the 254 references `c6` (254, 254), `coordination`, and `element` (atomic
    numbers, sorted); by atomic number `radius` R (95,) and `r2r4` Q (95,)."""

    c6: Array
    coordination: Array
    element: NDArray[np.int32]
    radius: Array
    r2r4: Array


@cache
def tables() -> Tables:
    """The tables of the project."""
    from safetensors.numpy import load_file

    arrays = load_file(Path(__file__).with_name("d3.safetensors"))
    number = len(arrays["element"])
    c6 = np.zeros((number, number))
    c6[np.triu_indices(number)] = arrays.pop("c6")
    return Tables(c6=c6 + np.triu(c6, 1).T, **arrays)


def half_images(cell: Array, cutoff: float) -> Array:
    """Images that `D3` needs for a cell (3, 3) Å and a cutoff (Å): whole lattice vectors (M, 3), zero first, one of
    each two opposite ones. InputError where there are more than MAX_IMAGES.

    Two atoms are taken to the images of each other whose fractional coordinates differ by at most a half, which moves
    them by less than half of the cell's longest diagonal. Plain Python: call it outside jit.

    >>> len(half_images(20.0 * np.eye(3), 4.0)), len(half_images(8.0 * np.eye(3), 6.0))
    (1, 10)
    """
    reach = np.floor(cutoff / perpendicular_heights(cell) + 0.5 + 1e-6)
    if np.prod(2 * reach + 1) > MAX_IMAGES:
        raise InputError(
            f"dispersion reaches more than {MAX_IMAGES} periodic images within {cutoff:.2f} Å",
            fix="repeat the cell along its short vectors",
        )
    images = images_within(reach.astype(int).tolist())
    diagonal = max(float(np.linalg.norm(np.array([1, b, c]) @ cell)) for b in (-1, 1) for c in (-1, 1))
    near = images[np.linalg.norm(images @ cell, axis=1) <= cutoff + diagonal / 2 + 1e-6]
    half: Array = near[[tuple(image) >= (0, 0, 0) for image in near.tolist()]].astype(np.float64)
    return half


class _Sums(NamedTuple):
    """Sums over images of F, n and of their gradients by r_i - r_j, (N, N) and three of (N, N) each; bohr.

    Opposite images are left out and nearest ones counted half: the sum for all images is matrix plus transpose, and for
    gradients matrix minus transpose.
    """

    f: jax.Array
    n: jax.Array
    df: tuple[jax.Array, ...]
    dn: tuple[jax.Array, ...]


class D3:
    """Dispersion of some atoms.

    Args:
        species: symbols, in the order of the atoms.
        n_per_species: atoms of each; positions come sorted by species.
        damping: of the functional.
        cutoff: bohr.

    Raises:
        InputError: an element beyond plutonium.
    """

    def __init__(
        self, species: tuple[str, ...], n_per_species: tuple[int, ...], damping: Damping = PBE, cutoff: float = CUTOFF
    ) -> None:
        from ase.data import atomic_numbers

        check_species(species)
        self.n_per_species, self.damping, self.cutoff = n_per_species, damping, cutoff * BOHR
        reference = tables()
        elements = np.array([atomic_numbers[element_of(name)] for name in species])
        rows = np.flatnonzero(np.isin(reference.element, elements))
        atoms = np.repeat(elements, n_per_species)
        self._c6 = reference.c6[np.ix_(rows, rows)]
        self._coordination = reference.coordination[rows]
        self._owned = reference.element[rows] == atoms[:, None]
        self._radius, self._root = reference.radius[atoms], np.sqrt(np.sqrt(3) * reference.r2r4[atoms])

    def energies(self, positions: jax.Array, cell: jax.Array, images: Any) -> jax.Array:
        """(N,) eV, half of each pair's to either atom. positions (N, 3) and cell (3, 3) Å; images: `half_images`."""
        return self._energies(self._summed(positions, cell, images, gradients=False))

    def forces(self, positions: jax.Array, cell: jax.Array, images: Any) -> jax.Array:
        """(N, 3) eV/Å; arguments as for `energies`."""
        sums = self._summed(positions, cell, images, gradients=True)
        number = self._numbers(sums)
        by_number = jax.grad(lambda cn: -jnp.sum(self._c6_of(cn) * sums.f))(number)
        c6, change = self._c6_of(number), by_number[:, None] + by_number
        pushes = (c6 * df - change * dn for df, dn in zip(sums.df, sums.dn, strict=True))
        return jnp.stack([jnp.sum(p, axis=1) - jnp.sum(p, axis=0) for p in pushes], axis=1) * (HARTREE / BOHR)

    def observables(self, positions: jax.Array, cell: jax.Array, images: Any) -> tuple[jax.Array, jax.Array]:
        """Energies (N,) and virials (N,) eV, which add up to W = Σ r · f; arguments as for `energies`."""

        def stretched(by: jax.Array) -> jax.Array:
            return self.energies(by * positions, by * cell, images)

        one = jnp.ones((), positions.dtype)
        energies, change = jax.jvp(stretched, (one,), (one,))
        return energies, -change

    def strain(self, positions: jax.Array, cell: jax.Array, images: Any) -> jax.Array:
        """dE/dstrain (3, 3) eV; arguments as for `energies`."""

        def strained(by: jax.Array) -> jax.Array:
            return jnp.sum(self.energies(positions @ by, cell @ by, images))

        derivative: jax.Array = jax.jacfwd(strained)(jnp.eye(3, dtype=positions.dtype))
        return derivative

    def _energies(self, sums: _Sums) -> jax.Array:
        return -0.5 * HARTREE * jnp.sum(self._c6_of(self._numbers(sums)) * (sums.f + sums.f.T), axis=1)

    @staticmethod
    def _numbers(sums: _Sums) -> jax.Array:
        """Coordination numbers (N,)."""
        return jnp.sum(sums.n, axis=1) + jnp.sum(sums.n, axis=0)

    def _c6_of(self, number: jax.Array) -> jax.Array:
        """C6 of all pairs, (N, N) hartree bohr^6, from coordination numbers (N,)."""
        exponents = -K3 * (number[:, None] - jnp.asarray(self._coordination, number.dtype)) ** 2
        weights = jax.nn.softmax(exponents, axis=1, where=self._owned)
        c6 = jnp.matmul(weights, jnp.asarray(self._c6, number.dtype), precision=HIGHEST)
        return jnp.matmul(c6, weights.T, precision=HIGHEST)

    def _summed(self, positions: jax.Array, cell: jax.Array, images: Any, *, gradients: bool) -> _Sums:
        """Block after block of rows, so that what the loop over images adds to stays in the processor's cache."""
        dtype, n = positions.dtype, positions.shape[0]
        blocks = math.ceil(n * n / BLOCK)
        size = math.ceil(n / blocks)
        atoms = jnp.minimum(jnp.arange(blocks * size, dtype=jnp.int32), n - 1).reshape(blocks, size)
        cell, positions, images = cell / BOHR, positions / BOHR, jnp.asarray(images, dtype)
        sums = jax.lax.map(lambda rows: self._rows(rows, positions, cell, images, gradients), atoms)
        whole: _Sums = jax.tree.map(lambda block: block.reshape(-1, n)[:n], sums)
        return whole

    def _rows(
        self, rows: jax.Array, positions: jax.Array, cell: jax.Array, images: jax.Array, gradients: bool
    ) -> _Sums:
        """The sums for some atoms (B,), (B, N) each; everything in bohr."""
        dtype, n = positions.dtype, positions.shape[0]
        s6, s8, limit = self.damping.s6, self.damping.s8, (self.cutoff / BOHR) ** 2
        root, radius = (jnp.asarray(values, dtype) for values in (self._root, self._radius))
        product = root[rows, None] * root
        square = (self.damping.a1 * product + self.damping.a2) ** 2
        f6, f8, q = square**3, square**4, product**2
        radii = K1 * (radius[rows, None] + radius)
        apart = _nearest(positions[rows], positions, cell)
        itself = rows[:, None] == jnp.arange(n, dtype=jnp.int32)

        def add(total: _Sums, image: jax.Array) -> tuple[_Sums, None]:
            shift = jnp.matmul(image, cell, precision=HIGHEST)
            home = jnp.all(image == 0)
            x, y, z = (component + shift[k] for k, component in enumerate(apart))
            x = jnp.where(home & itself, jnp.asarray(2 * math.sqrt(limit), dtype), x)  # beyond the cutoff
            r2 = x * x + y * y + z * z
            share = jnp.where(r2 < limit, jnp.where(home, 0.5, 1.0), 0.0).astype(dtype)
            r, r4 = jnp.sqrt(r2), r2 * r2
            inverse6, inverse8 = 1 / (r4 * r2 + f6), 1 / (r4 * r4 + f8)
            decay = jnp.exp(K1 - radii / r)
            number = 1 / (1 + decay)
            df, dn = total.df, total.dn
            if gradients:
                slope = -share * r4 * (6 * s6 * inverse6**2 + 8 * s8 * q * r2 * inverse8**2)
                steepness = -share * decay * number**2 * radii / (r2 * r)
                df = tuple(t + slope * part for t, part in zip(df, (x, y, z), strict=True))
                dn = tuple(t + steepness * part for t, part in zip(dn, (x, y, z), strict=True))
            return _Sums(total.f + share * (s6 * inverse6 + s8 * q * inverse8), total.n + share * number, df, dn), None

        nothing = jnp.zeros((len(rows), n), dtype)
        none = (nothing,) * 3 if gradients else ()
        # checkpoint: a derivative through the loop computes a step again, and stores no more than its sums
        total, _ = jax.lax.scan(jax.checkpoint(add), _Sums(nothing, nothing, none, none), images)
        return total


def _nearest(here: jax.Array, there: jax.Array, cell: jax.Array) -> tuple[jax.Array, ...]:
    """x, y, z of here - there, (B, N) each, moved by the lattice vectors that bring its fractions to [-1/2, 1/2]."""
    apart = [here[:, None, k] - there[None, :, k] for k in range(3)]
    inverse = inverse_cell(cell)
    steps = [jnp.round(sum(apart[k] * inverse[k, m] for k in range(3))) for m in range(3)]
    return tuple(apart[k] - sum(steps[m] * cell[m, k] for m in range(3)) for k in range(3))


class DispersionForceField:
    """Dispersion on top of another force field, whose neighbour list and `params` serve as they are.

    Args:
        base: any force field of the sampler, with its correction.
        dispersion: of the same atoms.
        cell: (3, 3) Å; in one with smaller heights than this an image could be missed.
    """

    def __init__(self, base: CorrectedForceField, dispersion: D3, cell: Array) -> None:
        if base.n_per_species != dispersion.n_per_species:
            raise ValueError("the base and the dispersion are of different atoms")
        self.base, self.dispersion = base, dispersion
        self.cutoff, self.inner_cutoff, self.periodic_images = base.cutoff, base.inner_cutoff, base.periodic_images
        self.n_per_species, self.orthorhombic = base.n_per_species, base.orthorhombic
        self.images = half_images(cell, dispersion.cutoff)
        self.cost = base.cost + COST * sum(base.n_per_species) * len(self.images)

    def params(self, correction: PairCorrection | None, base: Any = None) -> Any:
        """Those of the base."""
        return self.base.params(correction, base)

    def forces(self, params: Any, positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
        """(N, 3), eV/Å."""
        base = self.base.forces(params, positions, neighbors, cell)
        return base + self.dispersion.forces(positions, cell, self.images)

    def observables(
        self, params: Any, positions: jax.Array, neighbors: NeighborList, cell: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Energy (N,) and virial (N,) of each atom, eV."""
        base = self.base.observables(params, positions, neighbors, cell)
        more = self.dispersion.observables(positions, cell, self.images)
        return base[0] + more[0], base[1] + more[1]

    def virial_tensor(self, params: Any, positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
        """W (3, 3) eV, see `refine.potentials.protocols.ForceField`."""
        base = self.base.virial_tensor(params, positions, neighbors, cell)
        return base - self.dispersion.strain(positions, cell, self.images)


def why_unserved(theory: str | None) -> str | None:
    """Why D3 with this damping does not belong on a model of a level of theory; None where it does, or where the theory
    is not known.

    >>> why_unserved("PBE+U")
    >>> why_unserved("r2SCAN")
    'the D3 of refine is damped for PBE, and the model is of r2SCAN'
    """
    if theory is None or theory in SERVED:
        return None
    of = f"the model is of {theory}" if theory else "a classical potential stands for no functional"
    return f"the D3 of refine is damped for PBE, and {of}"


def check_species(species: tuple[str, ...]) -> None:
    """InputError for an element that D3 has no parameters for.

    >>> check_species(("Si", "O"))
    >>> check_species(("Cf",))
    Traceback (most recent call last):
        ...
    refine.errors.InputError: [model] dispersion: D3 has no parameters for Cf; it ends with Pu
    """
    from ase.data import atomic_numbers

    for symbol in map(element_of, species):
        if not 1 <= atomic_numbers[symbol] <= HEAVIEST:
            raise InputError(f"D3 has no parameters for {symbol}; it ends with Pu", where="[model] dispersion")


@dataclass(frozen=True)
class Dispersed:
    """Another kind of base with D3(BJ) dispersion on top of whatever it evaluates; see
    `refine.potentials.protocols.Base`."""

    kind: Base

    @property
    def refined_file(self) -> str | None:
        """That of the base."""
        return self.kind.refined_file

    @property
    def own_engine(self) -> str | None:
        """That of the base."""
        return self.kind.own_engine

    def read(self, model: Any, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> Any:
        """The base; InputError for an element that D3 has no parameters for."""
        check_species(species)
        return self.kind.read(model, species, pairs, cutoff)

    def heads(self, model: Any) -> Mapping[str, Any]:
        """Those of the base."""
        return self.kind.heads(model)

    def theory(self, model: Any, potential: Any) -> str | None:
        """That of the base."""
        return self.kind.theory(model, potential)

    def check_box(self, potential: Any, correction_cutoff: float, system: System) -> None:
        """As of the base."""
        self.kind.check_box(potential, correction_cutoff, system)

    def force_field(
        self, potential: Any, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        """The base's, and dispersion."""
        base = self.kind.force_field(potential, correction_cutoff, system, precision)
        return DispersionForceField(base, D3(system.species, system.n_per_species), system.cell)

    def pair_energies(self, potential: Any, r: Array) -> None:
        """C6 depends on the surroundings."""
        return None

    def identity(self, potential: Any) -> str:
        """That of the base; the study file says that there is dispersion."""
        return self.kind.identity(potential)

    def parameters(self, potential: Any, names: tuple[str, ...], system: System, edges: Array) -> BaseParameters:
        """Those of the base."""
        return self.kind.parameters(potential, names, system, edges)

    def final_potential(self, model: Any, run: Finished, file: str | Path | None = None) -> Any:
        """The base; whoever evaluates it adds dispersion."""
        return self.kind.final_potential(model, run, file)

    def lammps(self, model: Any, run: Finished, script: Script) -> Part:
        """The base and LAMMPS' own D3."""
        reach = f"{CUTOFF * BOHR:.12g}"  # of energies, and of coordination numbers
        style = f"dispersion/d3 bj pbe {reach} {reach}"
        base = self.kind.lammps(model, run, replace(script, beside=(style, *script.beside)))
        return replace(
            base,
            styles=(*base.styles, style),
            before=(*base.before, "# dispersion/d3 is in LAMMPS since 2025, package EXTRA-PAIR"),
            coefficients=(*base.coefficients, f"pair_coeff * * dispersion/d3 {' '.join(map(element_of, run.species))}"),
        )
