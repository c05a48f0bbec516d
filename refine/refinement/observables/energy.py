"""The potential energy per atom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import coefficient_counts
from refine.refinement.observables.keys import MeasuredNumber
from refine.sampling.frames import Frames
from refine.system import Box
from refine.tables.values import Number

Array = NDArray[np.float64]


class EnergyKeys(MeasuredNumber):
    """Mean potential energy per atom, eV, with the zero of the base model: separated atoms for most pair potentials. A
    measured one is a heat of sublimation or atomisation less what is kinetic, and counts where the zeros are the same.
    """

    unit: ClassVar[str] = "eV/atom"
    quantity: Literal["energy"] = "energy"
    value: Number = Field(description="eV per atom, negative of what is bound.")

    def observable(self, box: Box, temperature: float) -> Energy:
        """It is of every box."""
        return Energy(temperature)

    @classmethod
    def example(cls, box: Box) -> Self:
        """Solid argon."""
        return cls(name="example", value=-0.08, sigma=0.001)


@dataclass(frozen=True)
class Energy:
    """u = U/N, eV per atom, the correction's own energy included: at fixed atoms du/d theta_k = N_k/N.

    Attributes:
        temperature: K, at which a correction that changes with temperature is taken.

    >>> from refine.sampling.frames import Frames
    >>> counts, nothing = np.zeros((1, 1, 4)), np.zeros(1)
    >>> Energy(300.0).values(Frames(counts, nothing - 8.0, nothing, nothing, np.zeros(1, int), 4.0, (100,), 4000.0))
    array([[-0.08]])
    """

    name: ClassVar[str] = "energy"
    unit: ClassVar[str] = "eV/atom"
    operator: ClassVar[None] = None
    temperature: float

    def values(self, frames: Frames) -> Array:
        """(frames, 1) eV/atom."""
        return np.asarray(frames.energy / frames.n_atoms, float)[:, None]

    def explicit(self, frames: Frames, correction: PairCorrection) -> Array:
        """du/d theta of every frame, (frames, 1, len(theta)), per atom; the wall does not depend on theta."""
        return (coefficient_counts([frames], correction, self.temperature) / frames.n_atoms)[:, None]
