"""The pressure, by the virial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import coefficient_counts
from refine.sampling.frames import Frames
from refine.system import Box
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pressure:
    """p = ρkT + W/3V, GPa, with the temperature asked for: the kinetic one adds noise only.

    The virial holds the correction's own forces, so that with psi the pair function of a direction, N_psi = Σ h psi and
    W_psi = -Σ h r psi',

        dp/ds = [<W_psi> - Cov(W, N_psi)/kT] / 3V.

    >>> from refine.sampling.frames import Frames
    >>> counts, nothing = np.zeros((1, 1, 4)), np.zeros(1)
    >>> ideal = Frames(counts, nothing, nothing, nothing, np.zeros(1, int), 4.0, (100,), 4000.0)
    >>> Pressure().values(ideal, 300.0).round(4).tolist()  # ρkT
    [[0.1035]]
    """

    name: ClassVar[str] = "pressure"
    unit: ClassVar[str] = "GPa"

    def values(self, frames: Frames, temperature: float) -> Array:
        """The pressure of every frame, (frames, 1) GPa."""
        kt = BOLTZMANN * temperature
        return np.asarray(PRESSURE_UNIT * (frames.n_atoms * kt + frames.virial / 3.0) / frames.volume)[:, None]

    def derivative(self, frames: Frames, correction: PairCorrection, temperature: float, direction: Array) -> Array:
        """dp/ds of theta + s direction, (1,) GPa/eV."""
        r = frames.centres
        # the wall does not depend on theta: it cancels
        displaced, present = (correction.with_theta(s * direction).at(temperature).derivative(r) for s in (1.0, 0.0))
        virial = -(frames.counts.mean(axis=0, dtype=np.float64) * r * (displaced - present)).sum()
        numbers = coefficient_counts([frames], correction, temperature) @ direction
        covariance = float(np.mean((frames.virial - frames.virial.mean()) * (numbers - numbers.mean())))
        response = float(virial) - covariance / (BOLTZMANN * temperature)
        return np.array([PRESSURE_UNIT * response / (3.0 * frames.volume)])

    @classmethod
    def example(cls, box: Box) -> Self:
        """It is of every box."""
        return cls()
