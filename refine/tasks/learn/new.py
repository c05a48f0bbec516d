"""What the training frames say of a model before the first step: isolated atoms, neighbours, the scale of forces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.learning.batches import Graph
from refine.learning.keys import New
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.fresh import Design, fresh

Array = NDArray[np.float64]


def by_composition(graphs: Sequence[Graph], energies: Array, known: Array) -> Array:
    """Energies of each species, (S,) eV, whose sums over the atoms are nearest to those of frames, (n,) eV. Of all that
    are as near, the smallest. Energies of weight 0 do not count.

    energies: NaN: not labelled. known: (S,) eV, of species that are not fitted; else NaN.

    Raises:
        InputError: no energy is labelled, and a species is not known.
    """
    free, found = np.isnan(known), known.copy()
    if not free.any():
        return found
    used = np.isfinite(energies) & np.array([graph.frame.weight_of("energy") > 0 for graph in graphs])
    if not used.any():
        raise InputError("no frame of train has an energy", where="[model]", fix="isolated atoms cannot be fitted")
    counts = np.array([graph.counts for graph in graphs], np.float64)[used]
    rest = energies[used] - counts[:, ~free] @ known[~free]
    found[free] = np.linalg.lstsq(counts[:, free], rest, rcond=None)[0]
    return found


def new_model(keys: New, species: Sequence[str], graphs: Sequence[Graph], isolated: Mapping[str, float]) -> Checkpoint:
    """The model of [new] for the training frames. Energies of isolated atoms (eV, by element) that are not given are
    those that fit best. Its energies are scaled by the root mean square of the forces' labels
    (`rms_forces_scaling` of mace-torch); without any, by 1 eV."""
    energies = np.array([np.nan if graph.frame.energy is None else graph.frame.energy for graph in graphs])
    atoms = sum(graph.size for graph in graphs)
    forces = [graph.frame.forces.ravel() for graph in graphs if graph.frame.forces is not None]
    scale = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 1.0
    known = np.array([isolated.get(symbol, np.nan) for symbol in species])
    sizes = keys.model_dump(exclude={"seed"})
    return fresh(
        Design(**sizes),
        species,
        by_composition(graphs, energies, known).tolist(),
        max(1.0, sum(len(graph.senders) for graph in graphs) / atoms),
        scale or 1.0,
        keys.seed,
    )
