"""A measured curve: a [[data]] entry bound to a box, linear in the pair counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.sampling.frames import Frames
from refine.scattering.operator import CurveOperator

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CurveObservable:
    """y = A h + y0, in the units of the curve, at scale 1 and background 0.

    Attributes:
        operator: A and y0.
    """

    name: ClassVar[str] = "curve"
    unit: ClassVar[str] = ""
    operator: CurveOperator

    def values(self, frames: Frames) -> Array:
        """The curve of every frame, (frames, n)."""
        return self.operator.predict(frames.counts)

    def explicit(self, frames: Frames, correction: PairCorrection) -> None:
        """Pair counts do not depend on theta at fixed atoms."""
