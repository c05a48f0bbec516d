"""A finished loop, before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.refinement.problem import Sample
from refine.results.derived import Propagation

if TYPE_CHECKING:
    from refine.study.study import Study

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """A finished loop, before it is written."""

    study: Study
    samples: list[Sample]
    final: int
    status: str
    message: str
    iterations: list[dict[str, Any]]
    covariance: Array | None
    determination: dict[str, Any] | None
    unconfirmed: bool
    warnings: list[str]
    seconds: float
    digest: str

    @property
    def stated(self) -> Array | None:
        """The covariance that files and report state errors from; None where the last sample did not confirm it."""
        return None if self.unconfirmed else self.covariance

    @cached_property
    def propagations(self) -> list[Propagation]:
        """Of every state, at the final correction."""
        return [
            Propagation.build(self.study.problem, self.samples, self.final, s, self.stated)
            for s in range(len(self.study.systems))
        ]
