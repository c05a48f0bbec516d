"""Model curves with exactly known physics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class HardSpheres:
    """The Percus-Yevick hard-sphere liquid (Wertheim, Phys. Rev. Lett. 10, 321 (1963)): g(r) = 0 inside, exactly."""

    diameter: float = 3.4  # Å, about argon
    number_density: float = 0.0204  # atoms/Å^3; packing fraction 0.42

    def structure_factor(self, q: ArrayLike) -> NDArray[np.float64]:
        """S(Q) = 1/[1 - ρ c(Q)]; c(r) is a cubic inside the diameter and zero outside."""
        eta = math.pi / 6.0 * self.number_density * self.diameter**3
        first = (1.0 + 2.0 * eta) ** 2 / (1.0 - eta) ** 4
        second = -((1.0 + 0.5 * eta) ** 2) / (1.0 - eta) ** 4
        nodes, weights = np.polynomial.legendre.leggauss(200)
        x, dr = 0.5 * (nodes + 1.0), 0.5 * self.diameter * weights
        c = -first - 6.0 * eta * second * x - 0.5 * eta * first * x**3
        r = self.diameter * x
        transform = 4.0 * math.pi * np.sinc(np.outer(q, r) / math.pi) @ (c * r**2 * dr)
        return 1.0 / (1.0 - self.number_density * transform)


@pytest.fixture(scope="session")
def hard_spheres() -> HardSpheres:
    return HardSpheres()
