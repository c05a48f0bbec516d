"""What the training frames say of a model before the first step: isolated atoms, neighbours, the scale of forces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.learning.batches import Graph
from refine.learning.keys import New
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.fresh import Design, fresh

Array = NDArray[np.float64]


def by_composition(graphs: Sequence[Graph], energies: Array) -> Array:
    """Energies of each species, (S,) eV, whose sums over the atoms are nearest to those of frames, (n,) eV; NaN: not
    known. Of all that are as near, the smallest.

    Raises:
        InputError: no energy is known.
    """
    known = np.isfinite(energies)
    if not known.any():
        raise InputError("no frame of train has an energy", where="[model]", fix="isolated atoms cannot be fitted")
    counts = np.array([graph.counts for graph in graphs], np.float64)
    return np.asarray(np.linalg.lstsq(counts[known], energies[known], rcond=None)[0], np.float64)


def new_model(keys: New, species: Sequence[str], graphs: Sequence[Graph]) -> Checkpoint:
    """The model of [new] for the training frames. Its energies are scaled by the root mean square of the forces' labels
    (`rms_forces_scaling` of mace-torch); without any, by 1 eV."""
    energies = np.array([np.nan if graph.frame.energy is None else graph.frame.energy for graph in graphs])
    atoms = sum(graph.size for graph in graphs)
    forces = [graph.frame.forces.ravel() for graph in graphs if graph.frame.forces is not None]
    scale = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 1.0
    sizes = keys.model_dump(exclude={"seed"})
    return fresh(
        Design(**sizes),
        species,
        by_composition(graphs, energies).tolist(),
        max(1.0, sum(len(graph.senders) for graph in graphs) / atoms),
        scale or 1.0,
        keys.seed,
    )
