"""MACE in the form of jax_md: a neighbour function and an energy function, for its integrators or any other.

    init = mace(load("model.model"))
    neighbor_fn, energy_fn = init(["O", "H", "H"], box)
    neighbors = neighbor_fn.allocate(positions)
    energy = energy_fn(positions, neighbors)

`allocate`, `update` and `did_buffer_overflow` mean what they mean in jax_md.partition; jax_md itself is not needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from kernels.cell import inverse_cell
from kernels.neighbors import NeighborList, build, choose_images, most_neighbors, needs_rebuild
from refine.errors import InputError
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.model import Mace
from refine.potentials.sites import edges

SPARE = 1.15
"""Slots allocated over the neighbours there are."""


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("list", "did_buffer_overflow"), meta_fields=("_update",)
)
@dataclass(frozen=True)
class Neighbors:
    """A list that knows how to keep itself up to date; a pytree.

    Attributes:
        list: of the atoms sorted by species.
        did_buffer_overflow: () bool; the list was too short once, or the box has shrunk below what it was allocated
            for: what came out since is wrong, and `allocate` must be called again.
    """

    list: NeighborList
    did_buffer_overflow: jax.Array
    _update: Callable[..., Neighbors]

    def update(self, positions: jax.Array, box: jax.Array | None = None) -> Neighbors:
        """The same as `NeighborFn.update`."""
        return self._update(positions, self, box)


class NeighborFn(NamedTuple):
    """allocate(positions, extra_capacity=0, box=None), on the host: a list with room for the neighbours there are.

    update(positions, neighbors, box=None), inside jit, too: the list built again where an atom has moved by half of the
    skin.
    """

    allocate: Callable[..., Neighbors]
    update: Callable[..., Neighbors]


class EnergyFn:
    """energy_fn(positions, neighbor, params=..., box=...): () eV, without the isolated atoms E0.

    Differentiable by positions, box and, where the model is plain, by params (any number of times). A strain s moves
    both: energy_fn(positions @ s, neighbor, box=box @ s).

    Attributes:
        model: the model; `model.isolated` has E0 of each of `model.species`.
        params: the default of the argument.
    """

    def __init__(self, model: Mace, order: np.ndarray, box: np.ndarray) -> None:
        self.model, self.params = model, model.params
        self._order, self._box = order, box

    def __call__(
        self, positions: jax.Array, neighbor: Neighbors, params: Any = None, box: jax.Array | None = None
    ) -> jax.Array:
        cell = _cell(self._box if box is None else box, positions.dtype)
        placed = positions[self._order]
        vectors, senders = edges(
            placed, neighbor.list, cell, False, self.model.cutoff
        )  # a strained box is not diagonal
        return jnp.sum(self.model.site_energies(self.params if params is None else params, vectors, senders))


def mace(
    checkpoint: Checkpoint,
    *,
    head: str | None = None,
    charge: int = 0,
    spin: int = 1,
    precision: str = "float32",
    plain: bool = False,
    skin: float = 0.5,
) -> Callable[[Sequence[str], ArrayLike], tuple[NeighborFn, EnergyFn]]:
    """init(species, box) of a model.

    species: chemical symbol of each atom, in any order.
    box: Å, (3, 3) with lattice vectors as rows, or (3,) edges. jax_md's space.periodic_general has them as columns.

    Args:
        checkpoint: the model.
        head, charge, spin, precision, plain: see `Mace`. Positions must have that precision.
        skin: Å beyond the cutoff in the lists; less than the smallest height of the box.

    Raises:
        InputError: as `Mace`, and from `init` and `allocate` for a box that cannot be used.
    """

    def init(species: Sequence[str], box: ArrayLike) -> tuple[NeighborFn, EnergyFn]:
        kinds = tuple(dict.fromkeys(species))
        order = np.argsort([kinds.index(symbol) for symbol in species], kind="stable")
        counts = tuple(list(species).count(symbol) for symbol in kinds)
        model = Mace(checkpoint, kinds, counts, head=head, charge=charge, spin=spin, precision=precision, plain=plain)
        first = np.array(_cell(np.asarray(box, np.float64), np.float64))
        reach = model.cutoff + skin
        count = jax.jit(functools.partial(most_neighbors, orthorhombic=False))

        @functools.partial(jax.jit, static_argnames="capacity")
        def rebuilt(positions: jax.Array, cell: jax.Array, capacity: int, images: Any) -> NeighborList:
            return build(positions, cell, reach, capacity=capacity, orthorhombic=False, images=images)

        def allocate(positions: jax.Array, extra_capacity: int = 0, box: ArrayLike | None = None) -> Neighbors:
            placed = _checked(positions)
            around = first if box is None else np.asarray(box, np.float64)
            cell = _cell(around, placed.dtype)
            try:
                images = choose_images(np.asarray(cell, np.float64), reach, len(order))
            except ValueError as error:
                raise InputError(str(error), where="box") from None
            capacity = int(np.ceil(SPARE * int(count(placed, cell, reach, images=images)))) + extra_capacity
            new = rebuilt(placed, cell, max(1, capacity), images)
            return Neighbors(new, new.overflow | ~_reaches(new, cell, reach, skin), update_in)

        def update_in(positions: jax.Array, old: Neighbors, box: ArrayLike | None = None) -> Neighbors:
            placed = _checked(positions)
            cell = _cell(first if box is None else box, placed.dtype)
            images = None if old.list.images is None else old.list.images.cells
            capacity = old.list.idx.shape[0]
            new = jax.lax.cond(
                needs_rebuild(old.list, placed, cell, skin, orthorhombic=False),
                lambda: rebuilt(placed, cell, capacity, images),
                lambda: old.list,
            )
            short = new.overflow | ~_reaches(new, cell, reach, skin)
            return Neighbors(new, old.did_buffer_overflow | short, update_in)

        def _checked(positions: jax.Array) -> jax.Array:
            if positions.shape != (len(order), 3) or positions.dtype != precision:
                raise ValueError(f"positions are {positions.dtype}{positions.shape}, not {precision}({len(order)}, 3)")
            return positions[order]

        return NeighborFn(allocate, update_in), EnergyFn(model, order, first)

    return init


def _cell(box: Any, dtype: Any) -> Any:
    """(3, 3) with lattice vectors as rows."""
    cell = jnp.asarray(box, dtype) if isinstance(box, jax.Array) else np.asarray(box, dtype)
    if cell.shape not in ((3,), (3, 3)):
        raise InputError(f"a box has shape (3, 3), or (3,) for edges; this one {cell.shape}", where="box")
    return jnp.diag(cell) if cell.ndim == 1 else jnp.asarray(cell)


def _reaches(neighbors: NeighborList, cell: jax.Array, reach: float, skin: float) -> jax.Array:
    """() bool: whether the images of a list are enough for a box."""
    heights = 1 / jnp.linalg.norm(inverse_cell(cell), axis=0)
    if neighbors.images is None:
        return reach <= jnp.min(heights) / 2
    images = jnp.max(neighbors.images.cells, axis=0)
    return jnp.all(reach / heights <= images) & (skin < jnp.min(heights))
