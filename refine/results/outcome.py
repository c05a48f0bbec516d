"""A finished loop, before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refine.refinement.fitted import Determination
from refine.refinement.problem import Sample
from refine.results.derived import Propagation
from refine.results.judged import JudgedSample
from refine.results.schema import Status

if TYPE_CHECKING:
    from refine.study.study import Study

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What a finished loop has to say.

    Attributes:
        final: index of the sample that is the answer.
        status, message: how the run ended, and why.
        iterations: of every sample.
        covariance: of the answer's theta, eV^2; determination: what the data determine; None for rules without them.
        unconfirmed: whether the answer's sample did not come out as the linearisation said that both rest on.
        warnings: notes of the last sample, in words.
        seconds: of wall time.
        digest: of the study.
    """

    study: Study
    samples: list[Sample]
    final: int
    status: Status
    message: str
    iterations: list[JudgedSample]
    covariance: Array | None
    determination: Determination | None
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
