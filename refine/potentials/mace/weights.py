"""The weights of a MACE model as one vector, and the energies of stored frames as their function.

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
from refine.potentials.mace.chosen import as_filed, changed, chosen_names
from refine.potentials.mace.model import Mace
from refine.potentials.mace.reader.neutral import MODEL_FILE, write_neutral
from refine.potentials.sites import edges

if TYPE_CHECKING:
    from refine.system import System

Array = NDArray[np.float64]

MOST = 200_000
"""Weights at the most: they and the optimiser's memory are written into the run's record at every update."""


class MaceWeights:
    """Chosen weights of a model, for the atoms of one system (a `refine.refinement.problem.BaseEnergy`).

    Args:
        checkpoint: the model.
        names: "weights" for all, or arrays and groups of them as they are called in `architecture`, such as
            "layers.1.readout".
        system: species in the order of the atoms, and the cell of all frames.
        head: of a model with several.
        charge, spin: of the box, see `refine.potentials.mace.model.Mace`.

    Attributes:
        start: (k,) the weights of the checkpoint.
        units: (k,) the rms of the array that each of them belongs to.

    Raises:
        InputError: no such array, or too many weights.
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
        self.names = chosen_names(checkpoint, names, where="[refinement] parameters", others=("correction",))
        arrays = [checkpoint.weights[name] for name in self.names]
        size = sum(array.size for array in arrays)
        if size > MOST:
            raise InputError(
                f"{', '.join(names)}: these are {size} weights, and at most {MOST} are refined at a time",
                where="[refinement] parameters",
                fix='name a part of them, such as "layers.1.readout"',
            )
        self.start = np.concatenate([array.ravel() for array in arrays])
        self.units = np.concatenate([np.full(array.size, _rms(array) or 1.0) for array in arrays])
        self._ends = np.cumsum([array.size for array in arrays]).tolist()
        box: dict[str, Any] = {"head": head, "charge": charge, "spin": spin}
        self._model = Mace(checkpoint, system.species, system.n_per_species, precision="float64", plain=True, **box)
        self._images = None
        if not (system.orthorhombic and self._model.cutoff <= system.r_box):
            self._images = choose_images(system.cell, self._model.cutoff, system.n_atoms)
        self._capacity = 1

    def at(self, parameters: Array) -> dict[str, Array]:
        """The changed arrays, by name: what `SiteForceField.params` takes as `base`."""
        if not np.all(np.isfinite(parameters)):
            raise InputError("a weight of the model is no longer a number", where="[refinement] learning_rate")
        return self._split(np.asarray(parameters, np.float64))

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
                "initial": _rms(before[name]),
                "final": _rms(after[name]),
                "change": _rms(after[name] - before[name]),
            }
            for name in self.names
        }

    def write(self, parameters: Array, folder: Path) -> None:
        """The refined model as `MODEL_FILE`, readable wherever a model is, with a hash and a name of its own."""
        arrays = as_filed(self.checkpoint, self.at(parameters))
        write_neutral(changed(self.checkpoint, arrays), folder / MODEL_FILE)

    def _split(self, parameters: Any) -> dict[str, Any]:
        """Arrays by name of a vector, of numpy or traced."""
        starts = [0, *self._ends]
        parts = zip(self.names, starts[:-1], starts[1:], strict=True)
        return {name: parameters[a:b].reshape(self.checkpoint.weights[name].shape) for name, a, b in parts}

    def _positions(self, frames: Any) -> jax.Array:
        if frames.positions is None:
            raise ValueError("energies of a MACE model need frames with positions: Sampler(positions=True)")
        return jnp.asarray(frames.positions, jnp.float64)

    def _room(self, positions: jax.Array) -> int:
        """Slots in a neighbour list that is large enough for every frame; it grows and never shrinks."""
        most = int(self._most(positions))
        if most > self._capacity:
            self._capacity = int(np.ceil(1.05 * most))
        return self._capacity

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
        weights: Mapping[str, Any] = {**self.checkpoint.weights, **self._split(parameters)}
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


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array))))
