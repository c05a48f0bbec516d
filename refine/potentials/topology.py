"""Molecules of a box: who is bonded to whom, which pairs a pair potential leaves out for it, and what is held rigid.

Pairs of atoms that one, two or three bonds join (1-2, 1-3, 1-4; the shortest way counts) have weights, 0 by default,
with which LAMMPS multiplies what pair potentials say of them (`special_bonds`). Atoms that no chain of bonds joins
belong to different molecules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from refine.errors import InputError
from refine.formula import element_of
from refine.system import DEUTERIUM_MASS, System

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

Weights = tuple[float, float, float]
"""Of 1-2, 1-3 and 1-4 pairs."""

APART = 0.5
"""Å by which a bond of a start structure may be off that of the file of the topology, which vibrates, too."""

RIGID_APART = 0.01
"""The same of molecules that stay as they are: files have few digits."""

WHERE, SEEN = "[model] topology", "[model] intramolecular"


@dataclass(frozen=True)
class Shake:
    """Types of bonds, and of angles between two such bonds, whose lengths are held at their equilibrium."""

    bonds: tuple[int, ...]
    angles: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Topology:
    """The molecules of N atoms, sorted by type, and by number within a type.

    Attributes:
        masses: (types,) amu, of atom types 1, 2, ...
        types: (N,) from 1 on.  charges: (N,) e.
        positions: (N, 3) Å, cell: (3, 3) Å, of the file: they tell lengths of bonds.
        bonds, angles, dihedrals, impropers: (n, 3), (n, 4), (n, 5), (n, 5): a type from 1 on, then atoms from 0 on.
        kinds: types of bonds, angles, dihedrals and impropers.
        rigid: whether every molecule moves as a rigid body.  shake: what is held in others; None: nothing.
        seen: by pair of species, "O-H", the mean distance in Å (None: the model's) and the width in Å of the Gaussian
            that scattering sees in place of each distance within molecules.
        name: of the file.
    """

    masses: Array
    types: Integers
    charges: Array
    positions: Array
    cell: Array
    bonds: Integers
    angles: Integers
    dihedrals: Integers
    impropers: Integers
    kinds: tuple[int, int, int, int]
    rigid: bool = False
    shake: Shake | None = None
    seen: Mapping[str, tuple[float | None, float]] = field(default_factory=dict)
    name: str = ""

    @property
    def n_atoms(self) -> int:
        """N."""
        return len(self.types)

    @cached_property
    def _joined(self) -> csr_array:
        return _adjacency(self.bonds[:, 1:], self.n_atoms)

    @cached_property
    def molecules(self) -> Integers:
        """(N,) number of the molecule of each atom, from 1 on."""
        return np.asarray(connected_components(self._joined, directed=False)[1] + 1, np.int64)

    @cached_property
    def special(self) -> tuple[Integers, Integers]:
        """Pairs (P, 2) of atoms that one, two or three bonds join, and how many (P,)."""
        one = self._joined
        pairs, number = [], []
        reached = way = _identity(self.n_atoms)
        for bonds in (1, 2, 3):
            way = (way @ one).astype(bool).astype(np.int64)
            new = (way - way.multiply(reached)).tocoo()
            there = (new.data > 0) & (new.row < new.col)
            pairs.append(np.stack([new.row[there], new.col[there]], axis=1))
            number.append(np.full(int(there.sum()), bonds))
            reached = (reached + way).astype(bool).astype(np.int64)
        return np.concatenate(pairs).astype(np.int64), np.concatenate(number)

    def left_out(self, weights: Weights) -> tuple[Integers, Array]:
        """Pairs (P, 2) that a pair potential with these weights does not, or not wholly, act on; the share (P,) of it
        that is missing."""
        pairs, number = self.special
        share = 1.0 - np.array(weights)[number - 1]
        return pairs[share != 0.0], share[share != 0.0]

    def seen_distances(self, weights: Weights, species: Sequence[str]) -> tuple[Array, Array]:
        """Mean distance (P,), NaN: the model's, and width (P,) Å, 0: none, of the pairs that are `left_out`.

        species: of atom types 1, 2, ...
        Raises InputError for a pair of species of which none is left out wholly, or a mean of several distances.
        """
        pairs, share = self.left_out(weights)
        mean, width = np.full(len(pairs), np.nan), np.zeros(len(pairs))
        number = self.types[pairs] - 1
        apart = self.positions[pairs[:, 0]] - self.positions[pairs[:, 1]]
        length = np.linalg.norm(_nearest(apart, self.cell), axis=1)
        for name, (distance, sigma) in self.seen.items():
            a, b = name.split("-")
            if not {a, b} <= set(species):
                raise InputError(f"there is no pair {name}", where=SEEN, fix=f"species are {', '.join(species)}")
            wanted = np.sort([species.index(a), species.index(b)])
            there = (np.sort(number, axis=1) == wanted).all(axis=1) & (share == 1.0)
            if not there.any():
                raise InputError(
                    f"no pair {name} within molecules is left out of pair potential and correction", where=SEEN
                )
            if distance is not None and np.ptp(length[there]) > APART:
                raise InputError(
                    f"{name} are from {length[there].min():.2f} to {length[there].max():.2f} Å apart within molecules",
                    where=SEEN,
                    fix=f"give a width alone, {name} = {sigma:g}",
                )
            mean[there], width[there] = np.nan if distance is None else distance, sigma
        return mean, width

    @cached_property
    def _tree(self) -> list[tuple[Integers, Integers]]:
        """(parents, children) of the bonds that lead from the first atom of a molecule outwards, step by step."""
        root, firsts = self.n_atoms, np.unique(self.molecules, return_index=True)[1]
        from_root = np.stack([np.full(len(firsts), root), firsts], axis=1)
        every = _adjacency(np.concatenate([self.bonds[:, 1:], from_root]), root + 1)
        order, before = breadth_first_order(every, root, directed=False)
        depth = np.zeros(root + 1, np.int64)
        for atom in order[1:].tolist():
            depth[atom] = depth[before[atom]] + 1
        order = order[len(firsts) + 1 :]
        children = np.split(order, np.flatnonzero(np.diff(depth[order])) + 1) if len(order) else []
        steps = [(before[atoms].astype(np.int64), atoms.astype(np.int64)) for atoms in children]
        return steps

    def whole(self, positions: Array, cell: Array) -> Array:
        """Positions (N, 3) Å with every molecule in one piece around its first atom, none across a wall of the cell."""
        there = np.array(positions, np.float64)
        for parents, children in self._tree:
            there[children] = there[parents] + _nearest(there[children] - there[parents], cell)
        return there

    @property
    def constraints(self) -> int:
        """Degrees of freedom that are held, of all 3N.

        A rigid molecule of n atoms keeps 6, of atoms on a line 5; with SHAKE each bond that is held takes one, and each
        angle that is held where two such bonds, and no more, meet.
        """
        if self.rigid:
            return int(3 * self.n_atoms - sum(5 + (not straight) for straight in self._straight()))
        if self.shake is None:
            return 0
        held = self.bonds[np.isin(self.bonds[:, 0], self.shake.bonds)][:, 1:]
        cluster = connected_components(_adjacency(held, self.n_atoms), directed=False)[1]
        size = np.bincount(cluster)
        angles = self.angles[np.isin(self.angles[:, 0], self.shake.angles)]
        together = (cluster[angles[:, 1]] == cluster[angles[:, 2]]) & (cluster[angles[:, 2]] == cluster[angles[:, 3]])
        return len(held) + int((together & (size[cluster[angles[:, 1]]] == 3)).sum())

    def _straight(self) -> list[bool]:
        there, order = self.whole(self.positions, self.cell), np.argsort(self.molecules, kind="stable")
        straight = []
        for atoms in np.split(order, np.flatnonzero(np.diff(self.molecules[order])) + 1):
            apart = there[atoms] - there[atoms].mean(axis=0)
            straight.append(bool(np.linalg.matrix_rank(apart, tol=1e-4) < 2))
        return straight

    @property
    def is_held(self) -> bool:
        """Whether some lengths are."""
        return self.rigid or self.shake is not None

    def check_species(self, species: Sequence[str]) -> None:
        """InputError where atom types 1, 2, ... are not the species of a study in its order, by their masses."""
        from ase.data import atomic_masses, atomic_numbers

        named = [(name, float(atomic_masses[atomic_numbers[element_of(name)]])) for name in species]
        right = len(named) == len(self.masses) and all(
            abs(mass - standard) < 0.05 or (element_of(name) == "H" and abs(mass - DEUTERIUM_MASS) < 0.05)
            for (name, standard), mass in zip(named, self.masses.tolist(), strict=True)
        )
        if not right:
            raise InputError(
                f"its atom types have the masses {', '.join(f'{mass:g}' for mass in self.masses)}, and the study has "
                f"{', '.join(species)}",
                where=f"{WHERE}: {self.name}",
                fix="number its types as the species come in the structure",
            )

    def check_atoms(self, system: System) -> None:
        """InputError where it is not of these atoms: other numbers of them, or bonds that are none in the structure."""
        where = f"{WHERE}: {self.name}"
        mine = tuple(np.bincount(self.types, minlength=len(self.masses) + 1)[1:].tolist())
        if mine != system.n_per_species:
            raise InputError(
                f"it has {mine} atoms of {', '.join(system.species)}, the structure {system.n_per_species}",
                where=where,
                fix="give the file of the same box",
            )
        if system.positions is None:
            raise InputError(
                "molecules are not packed at random",
                where=where,
                fix="give [system] structure, it may be the same file",
            )
        wrong = self.misfit(system.positions, system.cell, RIGID_APART if self.rigid else APART)
        if wrong is not None:
            raise InputError(
                f"{wrong[0]} of its bonds have other lengths in the structure, the first {wrong[1]:.2f} Å instead of "
                f"{wrong[2]:.2f}",
                where=where,
                fix="the atoms of a species come in the same order in both files"
                + (", and rigid molecules have the same shape" if self.rigid else ""),
            )

    def misfit(self, positions: Array, cell: Array, limit: float = APART) -> tuple[int, float, float] | None:
        """How many bonds, or distances in rigid molecules, of positions (N, 3) Å differ from those of the file by more
        than `limit` Å, with the first of them there and in the file, Å; None: none do."""
        pairs, number = self.special
        pairs = pairs if self.rigid else pairs[number == 1]
        ours, theirs = (
            np.linalg.norm(_nearest(there[pairs[:, 0]] - there[pairs[:, 1]], cell), axis=1)
            for there, cell in ((positions, cell), (self.positions, self.cell))
        )
        wrong = np.flatnonzero(np.abs(ours - theirs) > limit)
        return (len(wrong), float(ours[wrong[0]]), float(theirs[wrong[0]])) if len(wrong) else None

    def check_held(self) -> None:
        """InputError for what cannot be held."""
        where = f"{WHERE}: {self.name}"
        alone = int((np.bincount(self.molecules)[1:] == 1).sum())
        if self.rigid and self.shake is not None:
            raise InputError("rigid molecules have no bonds left to hold", where="[model] shake", fix="leave it out")
        if self.rigid and alone:
            raise InputError(
                f"{alone} atoms are bonded to no other, and rigid bodies have two or more",
                where=where,
                fix="hold bonds and angles with shake in place of rigid",
            )
        if self.shake is not None:
            for what, types, kinds in (
                ("bond", self.shake.bonds, self.kinds[0]),
                ("angle", self.shake.angles, self.kinds[1]),
            ):
                unknown = [one for one in types if one > kinds]
                if unknown:
                    raise InputError(f"there is no {what} type {unknown[0]}", where="[model] shake", fix="see the file")


def _nearest(apart: Array, cell: Array) -> Array:
    """Displacements (n, 3) between nearest images."""
    return np.asarray(apart - np.round(apart @ np.linalg.inv(cell)) @ cell)


def _identity(n: int) -> csr_array:
    return csr_array((np.ones(n, np.int64), (np.arange(n), np.arange(n))), shape=(n, n))


def _adjacency(pairs: Integers, n: int) -> csr_array:
    """Symmetric (n, n), 1 for each pair."""
    i, j = np.concatenate([pairs, pairs[:, ::-1]]).T
    return csr_array(coo_array((np.ones(len(i), np.int64), (i, j)), shape=(n, n)).astype(bool)).astype(np.int64)
