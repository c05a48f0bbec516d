"""Planning of neighbour lists: how far they reach beyond the cutoff, their capacity, and how they grow.

A list has a static shape (`ListShape`), and every shape is a compiled program; so shapes follow from formulas and never
from timing, and a run that is resumed repeats the numbers of one that was not. How a list is made is in
`kernels.neighbors`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from kernels.neighbors import Grid, NeighborList, build, choose_grid, choose_images, estimate_capacity
from refine.errors import InputError, SimulationError
from refine.potentials.protocols import ForceField
from refine.system import System
from refine.units import BOLTZMANN, TIME_UNIT

REBUILD_COST = 4.0
"""Cost of one list rebuild in evaluations of a pair potential (two cores, 500 to 4,000 atoms), for the choice of the
skin."""

SKINS = (0.3, 3.0)
"""Range of the skin, Å. Where forces are costly and a list is cheap, it starts at six steps of the fastest atom."""

REBUILD_AT = (0.4, 0.2, 0.0)
"""Displacements, in skins, at which the list is rebuilt. Half of the skin is the limit, and the check comes a step
before the force; the second and third serve blocks in which an atom was faster than that. Costly forces begin with the
second."""

CAPACITY_GROWTH = 1.15
"""Factor by which a list that overflowed grows: every slot costs as much as a neighbour, at every step."""


class Margins(NamedTuple):
    """Capacity of a new list over the mean number of neighbours: of a liquid, and of a packing, which is less even."""

    liquid: float
    packing: float


MARGINS, COSTLY_MARGINS = Margins(1.15, 1.5), Margins(1.05, 1.2)
"""Where forces are cheap, and where an empty slot costs more than compiling once more after an overflow."""


class ListShape(NamedTuple):
    """Static shape of a neighbour list and of the inner one, if any; a change compiles the programs again.

    capacity: neighbours of an atom.  grid: cells in which they are looked for; None: among all atoms.
    images: explicit images of the cell; None: nearest images.
    """

    capacity: int
    grid: Grid | None
    images: tuple[tuple[int, ...], ...] | None
    inner: ListShape | None = None


@dataclass(frozen=True)
class ListPlan:
    """The neighbour lists of a force field in a cell.

    system: atoms and cell.  force_field: see `refine.potentials.protocols.ForceField`.
    skin: Å beyond the cutoff; None: `optimal_skin`.

    Raises InputError when the cutoff does not fit into the box, or the skin is not above zero.
    """

    system: System
    force_field: ForceField
    skin: float | None = None

    def __post_init__(self) -> None:
        system, field = self.system, self.force_field
        if field.periodic_images:
            try:
                choose_images(system.cell, field.cutoff + SKINS[1], system.n_atoms)
            except ValueError as error:
                raise InputError(str(error), fix="repeat the cell along its short vectors") from None
        else:
            system.check_distance(field.cutoff, "the cutoff of the potential")
        if self.skin is not None and not self.skin > 0:
            raise InputError(f"skin is {self.skin} Å; it must be above zero")
        if field.n_per_species != system.n_per_species or field.orthorhombic != system.orthorhombic:
            raise ValueError("the force field was made for another system")

    def in_cell(self, cell: NDArray[np.float64]) -> ListPlan:
        """The plan for the same atoms in another cell of the same shape, (3, 3) Å."""
        system = replace(self.system, cell=np.asarray(cell, np.float64), positions=None)
        if system.orthorhombic != self.system.orthorhombic:
            raise ValueError("another cell must be orthorhombic where this one is, and only there")
        return replace(self, system=system)

    @property
    def rebuild_at(self) -> tuple[float, ...]:
        """Displacements, in skins, at which lists are rebuilt: the first, and what is tried when it was too late."""
        return REBUILD_AT[1:] if self._costly else REBUILD_AT

    def skin_for(self, step_length: float) -> float:
        """The skin (Å) that was asked for, or the optimal one where the fastest atom moves `step_length` (Å) in a step.

        In a triclinic cell the minimum image is exact up to r_box only: where that is too short and the force field
        knows no other images, the list is of all pairs (an infinite skin) and never rebuilt.
        """
        field = self.force_field
        costly_range = field.cutoff if field.inner_cutoff is None else field.inner_cutoff
        skin = optimal_skin(costly_range, step_length, field.cost) if self.skin is None else self.skin
        if field.periodic_images:
            return min(skin, self.system.r_box)  # atoms of a list of images are followed for half of the skin
        fits = self.system.orthorhombic or field.cutoff + skin <= self.system.r_box
        return skin if fits else math.inf

    def first_capacity(self, skin: float, *, packing: bool = False) -> int:
        """Neighbours of an atom that a list with this skin (Å) begins with. packing: of a random packing."""
        if math.isinf(skin):
            return self._candidates(skin)
        margins = self._margins
        return self._estimate(self.force_field.cutoff, skin, margins.packing if packing else margins.liquid)

    def larger(self, capacity: int, skin: float, where: str) -> int:
        """The next capacity after one that overflowed; SimulationError naming `where` when none would do."""
        if capacity > 3 * self._candidates(skin):
            # room for all atoms and still too few: it is a cell of the grid that overflows, however large it is made
            raise SimulationError("the atoms have gathered in one part of the box", where=where)
        return math.ceil(CAPACITY_GROWTH * capacity) + 8

    def shape(self, capacity: int, skin: float) -> ListShape:
        """The list of this capacity and skin (Å). Where capacity had to grow, so do the cells of the grid and the inner
        list."""
        field = self.force_field
        growth = max(1.0, capacity / self.first_capacity(skin))
        inner = None
        if field.inner_cutoff is not None:
            fewer = capacity
            if not math.isinf(skin):
                fewer = math.ceil(growth * self._estimate(field.inner_cutoff, skin, self._margins.liquid))
            inner = self._shape_of_one(fewer, field.inner_cutoff, skin, growth)
        return self._shape_of_one(capacity, field.cutoff, skin, growth)._replace(inner=inner)

    def build(self, positions: jax.Array, cell: jax.Array, reach: jax.Array, shape: ListShape) -> NeighborList:
        """The list of positions (N, 3) Å, and in it the inner one; reach: Å, cutoff and skin. For use in programs."""
        field = self.force_field
        outer = self._build_one(positions, cell, reach, shape)
        if shape.inner is None or field.inner_cutoff is None:
            return outer
        inner = self._build_one(positions, cell, reach - (field.cutoff - field.inner_cutoff), shape.inner)
        return outer._replace(inner=inner, overflow=outer.overflow | inner.overflow)

    def _build_one(self, positions: jax.Array, cell: jax.Array, reach: jax.Array, shape: ListShape) -> NeighborList:
        return build(
            positions,
            cell,
            reach,
            capacity=shape.capacity,
            orthorhombic=self.system.orthorhombic,
            grid=shape.grid,
            images=None if shape.images is None else np.array(shape.images),
        )

    def _shape_of_one(self, capacity: int, cutoff: float, skin: float, growth: float) -> ListShape:
        images = self._images(cutoff, skin)
        grid = None
        if images is None and not math.isinf(skin):
            grid = choose_grid(self.system.cell, cutoff + skin, self.system.n_atoms, margin=1.5 * growth)
        return ListShape(capacity, grid, images)

    @property
    def _costly(self) -> bool:
        return self.force_field.cost > 1.0

    @property
    def _margins(self) -> Margins:
        return COSTLY_MARGINS if self._costly else MARGINS

    def _estimate(self, cutoff: float, skin: float, margin: float) -> int:
        images = self._images(cutoff, skin)
        copies = 1 if images is None else len(images)
        n, volume = copies * self.system.n_atoms, copies * self.system.volume
        return min(max(1, n - 1), estimate_capacity(n, volume, cutoff + skin, margin))

    def _candidates(self, skin: float) -> int:
        """How many neighbours an atom may have at all."""
        images = self._images(self.force_field.cutoff, skin)
        return max(1, (1 if images is None else len(images)) * self.system.n_atoms - 1)

    def _images(self, cutoff: float, skin: float) -> tuple[tuple[int, ...], ...] | None:
        """Explicit images for a list, or None where nearest images are right: up to r_box, and in an orthorhombic cell
        it is enough when the cutoff ends there."""
        nearest = self.system.orthorhombic and cutoff <= self.system.r_box
        if nearest or not self.force_field.periodic_images:
            return None
        images = choose_images(self.system.cell, cutoff + skin, self.system.n_atoms)
        return None if images is None else tuple(tuple(image) for image in images.tolist())


def optimal_skin(cutoff: float, step_length: float, cost: float = 1.0) -> float:
    """Skin (Å) with the least work per step: (1 + s/cutoff)^3 forces + REBUILD_COST / (steps that the list lasts).

    step_length: how far the fastest atom moves in a step, Å; a list lasts REBUILD_AT[0] * s / step_length steps.
    cost: of the forces, in those of a pair potential. Within `SKINS`. A formula and never a timing, so that a resumed
    run repeats the same numbers.

    >>> round(optimal_skin(8.5, 0.02), 2) < round(optimal_skin(8.5, 0.1), 2)  # faster atoms, a thicker skin
    True
    """
    least = SKINS[0] if cost <= 1.0 else float(np.clip(6 * step_length, 0.1, SKINS[1]))
    skins = np.arange(least, SKINS[1] + 0.01, 0.05)
    steps = 1 + REBUILD_AT[0] * skins / max(step_length, 1e-3)
    return float(skins[np.argmin((1 + skins / cutoff) ** 3 + REBUILD_COST / cost / steps)])


def longest_step(system: System, temperature: float, timestep: float, replicas: int = 1) -> float:
    """How far the fastest of all atoms typically moves in a timestep (fs) at a temperature (K), Å.

    Its speed is sigma sqrt(2 ln(10 N)), sigma that of one component of the velocity of the lightest species.
    """
    sigma = math.sqrt(BOLTZMANN * temperature / float(system.masses.min()))
    return sigma * math.sqrt(2 * math.log(10 * system.n_atoms * replicas)) * timestep / TIME_UNIT
