"""The pressure, by the virial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from refine.potentials.correction import PairCorrection
from refine.refinement.observables.keys import MeasuredNumber
from refine.sampling.frames import Frames
from refine.system import Box
from refine.tables.values import Number
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]


class PressureKeys(MeasuredNumber):
    """Pressure of the state at its density, GPa."""

    unit: ClassVar[str] = "GPa"
    quantity: Literal["pressure"] = "pressure"
    value: Number = Field(description="GPa; ambient pressure is 0.0001.")

    def observable(self, box: Box, temperature: float) -> Pressure:
        """It is of every box."""
        return Pressure(temperature)

    @classmethod
    def example(cls, box: Box) -> Self:
        """Ambient."""
        return cls(name="example", value=0.0001, sigma=0.01)


@dataclass(frozen=True)
class Pressure:
    """p = ρkT + W/3V, GPa, with the temperature asked for: the kinetic one adds noise only.

    The virial holds the correction's own forces, so that at fixed atoms, h the pair counts of a frame,

        dp/d theta_k = -Σ h r dB_k/dr / 3V.

    Attributes:
        temperature: T, K.

    >>> from refine.sampling.frames import Frames
    >>> counts, nothing = np.zeros((1, 1, 4)), np.zeros(1)
    >>> ideal = Frames(counts, nothing, nothing, nothing, np.zeros(1, int), 4.0, (100,), 4000.0)
    >>> Pressure(300.0).values(ideal).round(4).tolist()  # ρkT
    [[0.1035]]
    """

    name: ClassVar[str] = "pressure"
    unit: ClassVar[str] = "GPa"
    operator: ClassVar[None] = None
    temperature: float

    def values(self, frames: Frames) -> Array:
        """The pressure of every frame, (frames, 1) GPa."""
        kt = BOLTZMANN * self.temperature
        return np.asarray(PRESSURE_UNIT * (frames.n_atoms * kt + frames.virial / 3.0) / frames.volume)[:, None]

    def explicit(self, frames: Frames, correction: PairCorrection) -> Array:
        """dp/d theta of every frame, (frames, 1, len(theta)) GPa/eV; the wall does not depend on theta."""
        r = frames.centres
        slopes = correction.basis_derivatives(r) * r[:, None]
        rows = [frames.felt.counts[:, p].astype(float) @ slopes[p] for p in correction.active_pairs]
        virial = -np.concatenate(rows, axis=1)
        terms = np.concatenate([factor * virial for factor in correction.factors(self.temperature)], axis=1)
        return np.asarray(PRESSURE_UNIT * terms / (3.0 * frames.volume))[:, None]
