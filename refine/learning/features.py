"""What a MACE model makes of frames before its last linear maps, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import NDArray

from refine.learning.batches import Shapes, by_box, by_size, graph_of, pack
from refine.learning.boxes import inputs_of
from refine.learning.frames import LabelledFrame, species_of
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.model import Mace

Array = NDArray[np.float64]

MOST_ATOMS, MOST_FRAMES = 256, 8
"""Of a batch."""


@dataclass(frozen=True)
class Features:
    """Of frames; atoms sorted by species.

    last: of each frame, (N, P) eV: derivatives of the site energies by the weights of the last linear maps.
    invariant: of each frame, (N, D): invariant features behind all layers.
    """

    last: list[Array]
    invariant: list[Array]

    def per_atom(self) -> Array:
        """(frames, P) means over the atoms of `last`: derivatives of the energies per atom."""
        return np.array([one.mean(axis=0) for one in self.last])

    def points(self, *, environments: bool) -> list[Array]:
        """Of each frame its atoms' invariant features, (N, D), or their mean, (1, D)."""
        return self.invariant if environments else [one.mean(axis=0, keepdims=True) for one in self.invariant]


def features_of(checkpoint: Checkpoint, frames: Sequence[LabelledFrame], head: str | None = None) -> Features:
    """Of all frames, whose labels do not matter.

    Raises:
        InputError: a species, charge or spin that the model does not know, a cell that cannot be used, an unknown head.
    """
    species, cutoff = species_of(frames), checkpoint.architecture.r_max
    graphs = [graph_of(frame, species, cutoff, inputs_of(checkpoint, frame)) for frame in frames]
    number = {id(graph): k for k, graph in enumerate(graphs)}
    batches = [batch for part in by_box(graphs) for batch in by_size(part, MOST_ATOMS, MOST_FRAMES)]
    shapes = Shapes.sharing(batches, MOST_FRAMES)
    none = np.empty((0, 0))
    last, invariant = [none] * len(frames), [none] * len(frames)
    programs, params = {}, {}
    for batch in batches:
        shape, inputs = shapes.fitting(batch), batch[0].inputs
        if shape not in programs:
            mace = Mace(checkpoint, species, shape.n_per_species, head=head, precision="float64", table=False)
            programs[shape] = mace, jax.jit(mace.features)
        mace, program = programs[shape]
        if inputs not in params:
            params[inputs] = mace.load({}, inputs)
        packed = pack(batch, shape, np.zeros(len(species)), cutoff, "float64")
        with jax.enable_x64(True):
            found = jax.device_get(program(params[inputs], packed.vectors, packed.senders))
        for b, graph in enumerate(batch):
            rows = packed.frame == b
            k = number[id(graph)]
            last[k], invariant[k] = (np.asarray(one[rows], np.float64) for one in found)
    return Features(last, invariant)
