"""What an observable is: an average of what a sampled frame is reduced to, and how it answers to a pair correction."""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.sampling.frames import Frames
from refine.system import Box

Array = NDArray[np.float64]


class Observable(Protocol):
    """The mean over frames of a function A of their pair counts and scalars.

    With the correction's energy theta . N in a frame and a temperature T, linear response to theta is

        d<A>/d theta = <dA/d theta> - Cov(A, N)/kT,

    the first term for what A itself depends on theta at fixed atoms. Both are taken from stored frames.

    Attributes:
        name: its entry in `OBSERVABLES`.
        unit: of A, "" where it has none, or depends on the curve.
    """

    name: ClassVar[str]
    unit: ClassVar[str]

    def values(self, frames: Frames, temperature: float) -> Array:
        """A of every frame, (frames, n), at the temperature asked for (K)."""

    def derivative(self, frames: Frames, correction: PairCorrection, temperature: float, direction: Array) -> Array:
        """d<A>/ds of theta + s direction, (n,) unit/eV where direction (len(theta),) is dimensionless.

        Args:
            frames: of the ensemble of `correction`, equally weighted.
            correction: at which theta it is taken.
            temperature: of the state, K.
            direction: (len(theta),).
        """

    @classmethod
    def example(cls, box: Box) -> Self:
        """One of the kind for a box of a single species: what the conformance test samples."""
