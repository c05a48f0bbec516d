"""What an update believes will happen: the curves of one state as a function of a change of theta, without new MD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.problem import Problem, Sample, Target

Array = NDArray[np.float64]


class Response(Protocol):
    """Curves of one state (n points of targets, one after the other) about one correction.

    All at scale 1 and background 0. A response need not be linear: `jacobian` is its derivative where delta is zero.
    """

    @property
    def linear(self) -> bool:
        """Whether `predict` is y + J delta."""

    @property
    def y(self) -> Array:
        """(n,) the curves at the correction itself: `predict` of no change."""

    @property
    def jacobian(self) -> Array:
        """(n, len(theta)) their derivative there, curve units per eV."""

    @property
    def effective_sample_size(self) -> float:
        """Independent frames that the response rests on."""

    def curves(self, delta: Array) -> Array:
        """Curves (n,) when theta changes by delta (len(theta),), eV."""

    def predict(self, delta: Array) -> tuple[Array, Array]:
        """Curves (n,) and their derivative (n, len(theta)) when theta changes by delta (len(theta),), eV."""

    def noise(self, delta: Array | None = None) -> Array:
        """Covariance (n, n) of the predicted curves, the response's own errors included; None: of `y`."""

    def slope_variance(self, delta: Array) -> Array:
        """Sampling variance (n,) of J delta."""

    def gram_noise(self, whiten: Callable[[Array], Array], part: slice = slice(None)) -> Array:
        """What errors of the derivative add to J'Σ^-1 J of the points `part` on average, (len(theta),) * 2.

        whiten: (points, any) curve values to L^-1 of them, Σ = L L'.
        """


class Curved(Response, Protocol):
    """A response that is not linear."""

    @property
    def fluctuations(self) -> Response:
        """The linear response of the same samples: what covariances follow from."""

    def innermost(self, delta: Array) -> Array:
        """(pairs,) Å: where each g(r) begins after a change of theta; inf where it nowhere does."""

    def largest(self, way: Array, here: Array) -> float:
        """kT: the largest change of phi by `way` where there are pairs at `here`, both changes of theta, eV."""


class ResponseModel(Protocol):
    """Makes the response of one state from what has been sampled."""

    def __call__(
        self,
        problem: Problem,
        samples: Sequence[Sample],
        state: int,
        correction: PairCorrection,
        targets: Sequence[Target],
    ) -> Response:
        """Response of the targets of a state about a correction, which `samples[-1]` was sampled with."""
