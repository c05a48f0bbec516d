"""How sharply an instrument sees Q, and what that does to a curve in Q and in r.

A Gaussian of width σ_Q takes the mean of Q i(Q) over its neighbourhood. What pairs at a distance r add to it is a wave
sin(Q r), of which the mean is

    <sin(Q' r)> = sin(Q r) exp[-(σ_Q r)^2 / 2],     σ_Q^2 = constant^2 + (proportional Q)^2,

so the resolution is one factor on each wave. A constant width damps D(r) by exp[-(constant r)^2 / 2], PDFgui's Q_damp;
a proportional one is the Debye-Waller factor exp[-Q^2 (proportional r)^2 / 2] of a peak that is wider by
proportional r: a curve in r is convolved with a Gaussian whose width grows with the distance of the pair. (PDFgui's
Q_broad does the same in units of the peak's own width, σ' = σ sqrt(1 + Q_broad^2 r^2), which counts of pairs do not
know; σ Q_broad is what stands here.) It acts on what scatters, before the finite range of Q and the window of a
transform cut it. Source: C. L. Farrow et al., J. Phys.: Condens. Matter 19, 335219 (2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Resolution:
    """Standard deviations of a Gaussian in Q; zero: none.

    Attributes:
        constant: 1/Å.
        proportional: σ_Q/Q, and extra width of a peak in r over r; no unit.
    """

    constant: float = 0.0
    proportional: float = 0.0

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.constant > 0.0 or self.proportional > 0.0

    def factor(self, q: Array, r: Array) -> Array:
        """What is left of waves of distances r (m,) Å at q (n,) 1/Å, (n, m).

        >>> Resolution(constant=0.05).factor(np.array([1.0, 2.0]), np.array([0.0, 20.0])).round(4).tolist()
        [[1.0, 0.6065], [1.0, 0.6065]]
        >>> Resolution(proportional=0.01).factor(np.array([1.0, 5.0]), np.array([20.0])).round(4).tolist()
        [[0.9802], [0.6065]]
        """
        variance = self.constant**2 + (self.proportional * q) ** 2
        return np.exp(-0.5 * np.outer(variance, r**2))

    @property
    def words(self) -> str:
        """For a reader; empty where there is none."""
        parts = []
        if self.constant:
            parts.append(f"{self.constant:g} 1/Å")
        if self.proportional:
            parts.append(f"{self.proportional:g} Q")
        return " and ".join(parts)
