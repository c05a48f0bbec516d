"""Targets of one state stacked, as their instruments report them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from refine.refinement.problem import Problem, Target
from refine.scattering.instrument import added, seen

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Several targets of one state stacked, at the present scales, backgrounds and noise factors."""

    y: Array
    baseline: Array
    scale: Array
    background: Array
    measured: Array
    lengths: tuple[int, ...]

    @classmethod
    def build(cls, targets: Sequence[Target], memory: dict[str, Any], problem: Problem) -> Rows:
        """Targets of one state, stacked in their order.

        Args:
            memory: scales, backgrounds, noise factors and tempering of all targets (`Linearisation.memory`).
        """
        indices = [problem.targets.index(t) for t in targets]
        scales = memory["scales"]
        factors = memory["noise_factors"]
        tempering = memory["tempering"]
        backgrounds = memory["backgrounds"]
        covariances = [
            t.covariance * factors[i] ** 2 / t.weight + tempering[i] * np.eye(len(t.y))
            for i, t in zip(indices, targets, strict=True)
        ]
        return cls(
            np.concatenate([t.y for t in targets]),
            np.concatenate([t.baseline for t in targets]),
            np.concatenate([np.full(len(t.y), scales[i]) for i, t in zip(indices, targets, strict=True)]),
            np.concatenate(
                [
                    np.zeros(len(t.y)) if t.background is None else added(t.background, backgrounds[i])
                    for i, t in zip(indices, targets, strict=True)
                ]
            ),
            block_diag(*covariances),
            tuple(len(t.y) for t in targets),
        )

    def model(self, y: Array) -> Array:
        """The model as the instrument would report it, free scales and backgrounds applied."""
        return seen(y, self.baseline, self.scale, self.background)

    def residual(self, y: Array) -> Array:
        """Measured less the model y (n,) as the instrument reports it, (n,)."""
        return self.y - self.model(y)

    def scale_covariance(self, covariance: Array) -> Array:
        """The covariance (n, n) of what the instrument reports, from that of the model curve."""
        return covariance * self.scale[:, None] * self.scale

    def split(self, values: Array) -> list[Array]:
        """Values (n,) or (n, k) of the rows, target by target."""
        return np.split(values, np.cumsum(self.lengths)[:-1])
