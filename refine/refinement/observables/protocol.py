"""What an observable is: an average of what a sampled frame is reduced to, and how it answers to a pair correction."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import coefficient_counts
from refine.sampling.frames import Frames
from refine.scattering.operator import CurveOperator
from refine.units import BOLTZMANN

Array = NDArray[np.float64]


class Observable(Protocol):
    """The mean over frames of a function A of their pair counts and scalars, in one thermodynamic state.

    With the correction's energy theta . N in a frame and a temperature T, linear response to theta is

        d<A>/d theta = <dA/d theta> - Cov(A, N)/kT,

    the first term for what A itself depends on theta at fixed atoms. Both are taken from stored frames. In a frame A is
    linear in theta, so that a frame which was sampled with another theta has A + dA/d theta . (theta - theta_sampled).

    Attributes:
        name: what it is.
        unit: of A, "" where it has none, or depends on the curve.
    """

    name: ClassVar[str]
    unit: ClassVar[str]

    @property
    def operator(self) -> CurveOperator | None:
        """From pair counts to A, where A is linear in them and in nothing else."""

    def values(self, frames: Frames) -> Array:
        """A of every frame, (frames, n), under the correction that it was sampled with."""

    def explicit(self, frames: Frames, correction: PairCorrection) -> Array | None:
        """dA/d theta of every frame at fixed atoms, (frames, n, len(theta)), unit/eV; None where there is none.

        correction: of the basis and core that are meant; its coefficients do not matter.
        """


def linear_response(
    observable: Observable, frames: Frames, correction: PairCorrection, temperature: float, direction: Array
) -> Array:
    """d<A>/ds of theta + s direction, (n,) unit/eV where direction (len(theta),) is dimensionless.

    Of several directions (len(theta), m), (n, m).

    Args:
        frames: of the ensemble of `correction` at `temperature` (K), equally weighted.
    """
    numbers = coefficient_counts([frames], correction, temperature) @ direction
    values, explicit = observable.values(frames), observable.explicit(frames, correction)
    covariance = (values - values.mean(axis=0)).T @ (numbers - numbers.mean(axis=0)) / len(frames)
    response = -covariance / (BOLTZMANN * temperature)
    return np.asarray(response if explicit is None else response + explicit.mean(axis=0) @ direction)
