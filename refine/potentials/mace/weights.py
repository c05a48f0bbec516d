"""What is moved of a MACE model as one vector, and the energies of stored frames as its function.

Energies and derivatives are by the reference formulas (`Mace(plain=True)`) in float64, frame after frame, so that
memory does not grow with their number: a frame's derivative costs a few evaluations of its energy and is added up at
once. Dynamics under changed weights use the fast kernels (`SiteForceField.params`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.neighbors import build, choose_images, most_neighbors
from refine.errors import InputError
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.chosen import as_filed, changed, moved_heads
from refine.potentials.mace.lora_file import LORA_FILE, write_lora
from refine.potentials.mace.model import Mace
from refine.potentials.mace.moved import low_rank_of, moved, rms
from refine.potentials.mace.reader.neutral import MODEL_FILE, write_neutral
from refine.potentials.sites import edges

if TYPE_CHECKING:
    from refine.system import System

Array = NDArray[np.float64]

MOST = 200_000
"""Numbers at the most: they and the optimiser's memory are written into the run's record at every update."""

ROOM = 1.25
"""Ratio of one number of slots for neighbours to the next."""


class MaceWeights:
    """Chosen weights of a model, for the atoms of one system (a `refine.refinement.problem.BaseEnergy`).

    Args:
        checkpoint: the model.
        names: "weights" for all, or arrays and groups of them as they are called in `architecture`, such as
            "layers.1.readout"; "lora:8:layers.1" for low-rank changes of some matrices, "lora:8" of all that are not
            named otherwise (`refine.potentials.mace.moved`).
        system: species in the order of the atoms, and the cell of all frames.
        head: of a model with several.
        charge, spin: of the box, see `refine.potentials.mace.model.Mace`.

    Attributes:
        moved: arrays as a function of the vector.
        names: of these arrays.
        start: (k,) the vector of the checkpoint.
        units: (k,) what steps are relative to: of a weight, the rms of its array.
        doubts: of other heads that change, too.

    Raises:
        InputError: no such array, or too many numbers.
    """

    stored_positions = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        names: tuple[str, ...],
        system: System,
        *,
        head: str | None = None,
        charge: int = 0,
        spin: int = 1,
    ) -> None:
        self.checkpoint, self.system = checkpoint, system
        where = "[refinement] parameters"
        self.moved = moved(checkpoint, names, system.species, where=where, others=("correction",))
        self.names, self.start, self.units = self.moved.names, self.moved.start, self.moved.units
        self.doubts = moved_heads(checkpoint, self.names, head)
        if len(self.start) > MOST:
            raise InputError(
                f"{', '.join(names)}: these are {len(self.start)} weights, and at most {MOST} are refined at a time",
                where=where,
                fix='name a part of them, such as "layers.1.readout", or a lower rank',
            )
        box: dict[str, Any] = {"head": head, "charge": charge, "spin": spin}
        self._model = Mace(checkpoint, system.species, system.n_per_species, precision="float64", plain=True, **box)
        self._images = None
        if not (system.orthorhombic and self._model.cutoff <= system.r_box):
            self._images = choose_images(system.cell, self._model.cutoff, system.n_atoms)

    def at(self, parameters: Array) -> dict[str, Array]:
        """The changed arrays, by name: what `SiteForceField.params` takes as `base`."""
        if not np.all(np.isfinite(parameters)):
            raise InputError("a weight of the model is no longer a number", where="[refinement] learning_rate")
        return self.moved.arrays(np.asarray(parameters, np.float64))

    def energies(self, parameters: Array, frames: Any) -> Array:
        """(frames,) eV without E0; frames: a `refine.sampling.frames.Frames` with positions."""
        with jax.enable_x64(True):
            positions = self._positions(frames)
            energies = self._energies(jnp.asarray(parameters), positions, self._room(positions))
            return np.asarray(energies, np.float64)

    def gradient(self, parameters: Array, frames: Any, weights: Array) -> Array:
        """Σ_f weights_f dU_f/d parameters, (k,), eV in the units of each."""
        with jax.enable_x64(True):
            positions = self._positions(frames)
            gradient = self._gradient(
                jnp.asarray(parameters), positions, jnp.asarray(weights, jnp.float64), self._room(positions)
            )
            return np.asarray(gradient, np.float64)

    def table(self, parameters: Array) -> dict[str, dict[str, float]]:
        """For every array its rms before and after, and that of its change."""
        before, after = self.at(self.start), self.at(parameters)
        return {
            f"{name}, rms": {
                "initial": rms(before[name]),
                "final": rms(after[name]),
                "change": rms(after[name] - before[name]),
            }
            for name in self.names
        }

    def write(self, parameters: Array, folder: Path) -> None:
        """The refined model as `MODEL_FILE`, readable wherever a model is, with a hash and a name of its own; and a
        low-rank change by itself as `LORA_FILE`."""
        arrays = as_filed(self.checkpoint, self.at(parameters))
        write_neutral(changed(self.checkpoint, arrays), folder / MODEL_FILE)
        low = low_rank_of(self.moved)
        if low is not None:
            change = low.factors(np.asarray(parameters, np.float64))
            whole = {name: array for name, array in arrays.items() if name not in change}
            write_lora(self.checkpoint, change, low.species, folder / LORA_FILE, whole)

    def _positions(self, frames: Any) -> jax.Array:
        if frames.positions is None:
            raise ValueError("energies of a MACE model need frames with positions: Sampler(positions=True)")
        return jnp.asarray(frames.positions, jnp.float64)

    def _room(self, positions: jax.Array) -> int:
        """Slots in a neighbour list that is large enough for every frame, in steps that few samples fall on both sides
        of. It follows from the frames alone: sums over other lists have other last digits, and a run that goes on has
        not seen the frames of before."""
        most = int(self._most(positions))
        return int(np.ceil(ROOM ** np.ceil(np.log(max(most, 1)) / np.log(ROOM))))

    @functools.cached_property
    def _most(self) -> Any:
        cell = np.asarray(self.system.cell, np.float64)

        def most(positions: jax.Array) -> jax.Array:
            def one(r: jax.Array) -> jax.Array:
                return most_neighbors(
                    r, jnp.asarray(cell), self._model.cutoff, orthorhombic=self._nearest, images=self._images
                )

            return jnp.max(jax.lax.map(one, positions))

        return jax.jit(most)

    @property
    def _nearest(self) -> bool:
        """Whether nearest images, axis by axis, are right."""
        return self.system.orthorhombic and self._images is None

    def _energy(self, parameters: jax.Array, positions: jax.Array, capacity: int) -> jax.Array:
        """Of one frame, (), eV."""
        cell = jnp.asarray(self.system.cell, jnp.float64)
        neighbors = build(
            positions, cell, self._model.cutoff, capacity=capacity, orthorhombic=self._nearest, images=self._images
        )
        vectors, senders = edges(positions, neighbors, cell, self._nearest, self._model.cutoff)
        weights: Mapping[str, Any] = {**self.checkpoint.weights, **self.moved.arrays(parameters)}
        return jnp.sum(self._model.site_energies(self._model.prepare(weights, xp=jnp), vectors, senders))

    @functools.cached_property
    def _energies(self) -> Any:
        def energies(parameters: jax.Array, positions: jax.Array, capacity: int) -> jax.Array:
            each: jax.Array = jax.lax.map(lambda r: self._energy(parameters, r, capacity), positions)
            return each

        return jax.jit(energies, static_argnums=2)

    @functools.cached_property
    def _gradient(self) -> Any:
        def gradient(parameters: jax.Array, positions: jax.Array, weights: jax.Array, capacity: int) -> jax.Array:
            def add(total: jax.Array, frame: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
                r, weight = frame
                return total + weight * jax.grad(self._energy)(parameters, r, capacity), None

            return jax.lax.scan(add, jnp.zeros_like(parameters), (positions, weights))[0]

        return jax.jit(gradient, static_argnums=3)
