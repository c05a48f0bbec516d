"""A measured curve: a [[data]] entry bound to a box, linear in the mean pair counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve
from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import coefficient_counts
from refine.refinement.problem import Target
from refine.refinement.responses.pool import Pool
from refine.sampling.frames import Frames
from refine.scattering.measurement import ForwardModel
from refine.system import Box
from refine.units import BOLTZMANN

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CurveObservable:
    """y = A h + y0 of a target, in its units. Its derivative is the Jacobian that the update rules take.

    Attributes:
        target: the curve.
    """

    name: ClassVar[str] = "curve"
    unit: ClassVar[str] = ""
    target: Target

    def values(self, frames: Frames, temperature: float) -> Array:
        """The curve of every frame, (frames, n)."""
        return self.target.predict(frames.counts)

    def derivative(self, frames: Frames, correction: PairCorrection, temperature: float, direction: Array) -> Array:
        """-Cov(y, N . direction)/kT, (n,): the counts do not depend on theta at fixed atoms."""
        numbers = coefficient_counts([frames], correction, temperature)
        weights = np.full(len(frames), 1.0 / len(frames))
        pool = Pool((frames,), numbers, weights, BOLTZMANN * temperature)
        return np.asarray(pool.response([self.target]).jacobian @ direction)

    @classmethod
    def example(cls, box: Box) -> Self:
        """S(Q) of neutrons, without features."""
        q = np.arange(0.05, 14.0, 0.05)
        curve = Curve(
            x=q,
            y=np.ones_like(q),
            sigma=np.full_like(q, 0.01),
            composition=dict(zip(box.species, box.fractions.tolist(), strict=True)),
            number_density=box.number_density,
            name="example",
        )
        fit = ForwardModel(curve, box).fit((0.5, 13.5), None)
        return cls(Target("example", 0, "S(Q)", None, fit.values, fit.covariance, True, fit.operator))
