"""The molecules of a box, for whoever counts its pairs: what the correction leaves out, and what scattering sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from refine.potentials.lammps import Part
from refine.potentials.topology import Topology
from refine.sampling.counting import counts_as_seen, counts_of_pairs
from refine.system import System

Array = NDArray[np.float64]
Counts = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Molecules:
    """Molecules of a box.

    topology: their bonds, and what is held of them.
    pairs: (P, 2) atoms between which the correction does not, or not wholly, act.  share: (P,) of it that is missing.
    seen: mean distances (P,), NaN: those of the atoms, and widths (P,), Å, with which the pairs are counted
        (`refine.sampling.counting.counts_as_seen`); None: as the atoms are.
    """

    topology: Topology
    pairs: NDArray[np.int64]
    share: Array
    seen: tuple[Array, Array] | None

    @classmethod
    def of(cls, part: Part, species: tuple[str, ...]) -> Self | None:
        """Those of a base; None: its atoms are alone. species: of atom types 1, 2, ...

        Raises:
            InputError: distances are to be seen that no molecule has.
        """
        topology = part.topology
        if topology is None:
            return None
        weights = (1.0, 1.0, 1.0) if part.everywhere else part.weights
        seen = topology.seen_distances(weights, species) if topology.seen else None
        return cls(topology, *topology.left_out(weights), seen)

    @property
    def constraints(self) -> int:
        """Degrees of freedom that are held."""
        return self.topology.constraints

    def counts(
        self, positions: NDArray[np.floating[Any]], system: System, counts: Counts, r_max: float
    ) -> tuple[Counts, Counts]:
        """Counts of all pairs as scattering sees them, and of `pairs` by their `share` alone.

        positions: (frames, N, 3) Å.  counts: (frames, pairs, bins) of all pairs as they are, to r_max (Å).
        """
        bonded = counts_of_pairs(positions, system, self.pairs, self.share, counts, r_max)
        if self.seen is None:
            return counts, bonded
        between = counts - bonded
        bonded = counts_as_seen(positions, system, self.pairs, self.share, *self.seen, between, r_max)
        return between + bonded, bonded
