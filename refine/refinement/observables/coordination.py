"""Coordination numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.observables.keys import MeasuredNumber
from refine.sampling.frames import Frames
from refine.scattering.operator import CurveOperator
from refine.system import Box, pair_index
from refine.tables.species import Pair
from refine.tables.values import Number

Array = NDArray[np.float64]


class CoordinationKeys(MeasuredNumber):
    """Mean number of atoms of one element around one of another, within a radius."""

    quantity: Literal["coordination number"] = "coordination number"
    pair: Pair = Field(description='Of the second element around one of the first: `["Si", "O"]` is O around Si.')
    radius: Annotated[Number, Field(gt=0)] = Field(
        description="Å, within which neighbours are counted: that of the measurement's own evaluation."
    )

    @property
    def elements(self) -> dict[str, tuple[str, ...]]:
        """The pair's."""
        return {"pair": self.pair}

    def observable(self, box: Box, temperature: float) -> CoordinationNumber:
        """InputError for a pair that the box has not, or a radius beyond its bins."""
        pair_index(box.pairs, self.pair, f"{self.where}: pair")
        if self.radius > box.r_max:
            raise InputError(
                f"radius = {self.radius:g} Å lies beyond g(r), which ends at {box.r_max:.2f} Å",
                where=self.where,
                fix="use the radius of the first shell, or more atoms",
            )
        return CoordinationNumber.of(box, *self.pair, self.radius)

    @classmethod
    def example(cls, box: Box) -> Self:
        """The first shell of liquid argon."""
        (species,) = box.species
        return cls(name="example", value=12.0, sigma=0.5, pair=(species, species), radius=5.03)


@dataclass(frozen=True)
class CoordinationNumber:
    """n = Σ_{r < radius} h_ij (1 + delta_ij)/N_i, atoms j around one of i; a bin that the radius cuts counts in part.

    Attributes:
        operator: of the counts; its one x is the radius, Å.

    >>> box = Box(("Ar",), (10,), 1000.0, np.arange(6.0))
    >>> CoordinationNumber.of(box, "Ar", "Ar", 3.5).operator.predict(np.full((1, 5), 10.0)).tolist()
    [7.0]
    """

    name: ClassVar[str] = "coordination number"
    unit: ClassVar[str] = ""
    operator: CurveOperator

    @classmethod
    def of(cls, box: Box, centre: str, other: str, radius: float) -> Self:
        """Of `other` around `centre` within a radius (Å) of at most the box's last edge."""
        row = np.zeros((len(box.pairs), len(box.centres)))
        parts = np.clip((radius - box.edges[:-1]) / np.diff(box.edges), 0.0, 1.0)
        atoms = box.n_per_species[box.species.index(centre)]
        row[pair_index(box.pairs, (centre, other), "pair")] = parts * (2.0 if centre == other else 1.0) / atoms
        return cls(CurveOperator(np.array([radius]), row.reshape(1, -1), np.zeros(1), np.zeros(1)))

    def values(self, frames: Frames) -> Array:
        """(frames, 1)."""
        return self.operator.predict(frames.counts)

    def explicit(self, frames: Frames, correction: PairCorrection) -> None:
        """Pair counts do not depend on theta at fixed atoms."""
