"""mace-jax, where the user has it installed, as a second opinion on a MACE model.

It is not on the package index, converts a model with torch and mace-torch, and is known to be wrong for correlation 2
with the full Clebsch-Gordan basis: `compare` says so for the model at hand. Loading a file with torch runs whatever is
in it, so only files that are trusted belong here; `refine.potentials.mace.reader` runs nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from kernels.neighbors import build, choose_images, most_neighbors
from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.model import Mace, with_gradients
from refine.potentials.mace.reader import load
from refine.potentials.protocols import SiteModel
from refine.potentials.sites import edges, forces_of

BOXES, ATOMS = 3, 12
"""Random boxes that are compared, and atoms in each."""

TOLERANCE = 1e-5
"""Disagreement that counts: of site energies in eV, of forces in parts of the largest one."""


class MaceJax:
    """`Mace` with mace-jax inside: slower, and nothing of it is ours.

    Args:
        checkpoint: the model as refine reads it: its species, heads and isolated atoms.
        path: its file, as mace-torch saved it.
        species, n_per_species, head, precision: see `Mace`.

    Raises:
        InputError: mace-jax is not installed, does not read the file, has no such layers, or as `Mace`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        path: Path,
        species: Sequence[str],
        n_per_species: tuple[int, ...],
        *,
        head: str | None = None,
        precision: str = "float32",
    ) -> None:
        architecture = checkpoint.architecture
        if architecture.inputs or any(layer.nonlinear for layer in architecture.layers):
            what = "mace-jax evaluates neither non-linear layers nor charges and spins of boxes"
            raise InputError(what, where=checkpoint.origin, fix='use backend = "refine"')
        ours = Mace(checkpoint, species, n_per_species, head=head, precision=precision, plain=True)
        self.species, self.n_per_species, self.precision = ours.species, ours.n_per_species, precision
        self.cutoff, self.isolated = ours.cutoff, ours.isolated
        self._head = 0 if head is None else checkpoint.architecture.heads.index(head)
        known = checkpoint.architecture.species
        numbers = np.repeat([known.index(chemical_symbols.index(element_of(name))) for name in species], n_per_species)
        self._attributes = np.eye(len(known))[numbers]
        with jax.enable_x64(precision == "float64"):
            self._graph, state = _converted(path, precision)
            leaves, self._tree = jax.tree.flatten(state)
            self.params = [jnp.asarray(leaf) for leaf in leaves]

    def load(self, changed: Mapping[str, Any]) -> Any:
        """Other weights are not supported: InputError."""
        raise InputError(
            "the weights of a model cannot be refined with this backend",
            where="[model] backend",
            fix='use backend = "refine"',
        )

    def site_energies(self, params: Any, vectors: jax.Array, senders: jax.Array) -> jax.Array:
        """As `Mace.site_energies`."""
        from flax import nnx

        n, slots, _ = vectors.shape
        model = nnx.merge(self._graph, jax.tree.unflatten(self._tree, params))
        atoms = jnp.arange(n, dtype=jnp.int32)
        # every atom is a box of its own, at the origin: what is shifts there is all of the vectors
        found = model(
            {
                "positions": jnp.zeros((n, 3), vectors.dtype),
                "shifts": vectors.reshape(-1, 3),
                "unit_shifts": jnp.zeros((n * slots, 3), vectors.dtype),
                "edge_index": jnp.stack([senders.ravel(), jnp.repeat(atoms, slots)]),
                "node_attrs": jnp.asarray(self._attributes, vectors.dtype),
                "cell": jnp.zeros((3 * n, 3), vectors.dtype),
                "batch": atoms,
                "ptr": np.arange(n + 1, dtype=np.int32),
                "head": jnp.full(n, self._head, jnp.int32),
            },
            compute_force=False,
            compute_node_feats=False,
        )
        return jnp.sum(found["contributions"][:, 1:], axis=1)  # the first is E0

    def energies_and_gradients(
        self, params: Any, vectors: jax.Array, senders: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """As `Mace.energies_and_gradients`."""
        return with_gradients(self.site_energies, params, vectors, senders)


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of one model in random boxes.

    Attributes:
        model: the file's name.
        energies: largest difference of the site energies, eV.
        forces: largest difference of the forces, eV/Å.
        largest_force: of refine, eV/Å.
    """

    model: str
    energies: float
    forces: float
    largest_force: float

    @property
    def agrees(self) -> bool:
        """Whether the two are one to `TOLERANCE`."""
        return self.energies <= TOLERANCE and self.forces <= TOLERANCE * self.largest_force

    def summary(self) -> str:
        """One line."""
        verdict = "refine and mace-jax agree" if self.agrees else "refine and mace-jax DISAGREE"
        return (
            f"{self.model}: {verdict} in {BOXES} random boxes of {ATOMS} atoms: energies of atoms to "
            f"{self.energies:.1e} eV, forces to {self.forces:.1e} of {self.largest_force:.2g} eV/Å"
        )


def compare(path: str | Path, seed: int = 0) -> Comparison:
    """refine against mace-jax for the first head of a model, in float64.

    Args:
        path: file of the model, as mace-torch saved it.
        seed: of the boxes.

    Raises:
        InputError: mace-jax is not installed, or either of the two does not read the file.
    """
    checkpoint = load(path)
    head = checkpoint.architecture.heads[0]
    rng = np.random.default_rng(seed)
    energies, forces, largest = 0.0, 0.0, 0.0
    for _ in range(BOXES):
        species, counts, positions, cell = _random_box(checkpoint, rng)
        ours = Mace(checkpoint, species, counts, head=head, precision="float64")
        theirs = MaceJax(checkpoint, Path(path), species, counts, head=head, precision="float64")
        a, b = (_evaluated(model, positions, cell) for model in (ours, theirs))
        energies = max(energies, _difference(a[0], b[0]))
        forces = max(forces, _difference(a[1], b[1]))
        largest = max(largest, float(np.abs(a[1]).max()))
    return Comparison(checkpoint.origin, energies, forces, largest)


def _difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Largest difference; infinite where one is not a number."""
    apart = np.abs(a - b)
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")


def _random_box(
    checkpoint: Checkpoint, rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
    """Up to three elements of the model in a skewed box, no two atoms nearer than 1.6 Å where there is room."""
    known = checkpoint.architecture.species
    chosen = rng.choice(known, size=min(3, len(known)), replace=False)
    species = tuple(chemical_symbols[z] for z in chosen)
    counts = tuple(len(part) for part in np.array_split(np.arange(ATOMS), len(species)))
    cell = np.diag(rng.uniform(5.5, 7.0, 3)) + rng.uniform(-0.5, 0.5, (3, 3))
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3) @ cell
    placed = np.empty((0, 3))
    for _ in range(ATOMS):
        trials = rng.random((200, 3)) @ cell
        apart = np.linalg.norm(trials[:, None] - placed[None] - steps[:, :, None, :].reshape(-1, 1, 1, 3), axis=-1)
        nearest = apart.min(axis=(0, 2)) if len(placed) else np.full(len(trials), np.inf)
        first = np.argmax(nearest > 1.6) if (nearest > 1.6).any() else np.argmax(nearest)
        placed = np.vstack([placed, trials[first]])
    return species, counts, placed, cell


def _evaluated(
    model: SiteModel, positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Site energies (N,) and forces (N, 3)."""
    images = choose_images(cell, model.cutoff, len(positions))
    with jax.enable_x64(True):
        place, box = jnp.asarray(positions), jnp.asarray(cell)
        most = int(most_neighbors(place, box, model.cutoff, orthorhombic=False, images=images))
        listed = build(place, box, model.cutoff, capacity=max(1, most), orthorhombic=False, images=images)
        vectors, senders = edges(place, listed, box, False, model.cutoff)
        sites, gradients = jax.jit(model.energies_and_gradients)(model.params, vectors, senders)
        return np.asarray(sites), np.asarray(forces_of(gradients, senders))


def _converted(path: Path, precision: str) -> tuple[Any, Any]:
    """A model as mace-jax's graph definition and state."""
    try:
        import torch
        from mace.tools.scripts_utils import extract_config_mace_model
        from mace_jax.cli.mace_jax_from_torch import convert_model
    except ImportError as error:
        raise InputError(
            f"mace-jax cannot be used: {error.msg}",
            fix="install torch, mace-torch and mace-jax (github.com/ACEsuit/mace-jax) into this environment",
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = torch.load(path, map_location="cpu", weights_only=False).to(getattr(torch, precision)).eval()
            config = extract_config_mace_model(model)
            if "error" in config:
                raise ValueError(config["error"])
            config["torch_model_class"] = type(model).__name__
            graph, state, _ = convert_model(model, config)
        except Exception as error:  # whatever a package that we do not know may raise
            raise InputError(
                f"mace-jax does not convert this model: {type(error).__name__} {error}", where=str(path)
            ) from error
    return graph, state
