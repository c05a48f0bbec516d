"""A response that is not linear, as the straight line that touches it somewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from refine.refinement.responses.ornstein_zernike import Demixing
from refine.refinement.responses.protocol import Curved, Response

if TYPE_CHECKING:
    from refine.refinement.responses.combined import Combined

Array = NDArray[np.float64]

HALVINGS = 8
"""Of a step that no homogeneous liquid survives, or that makes the posterior smaller."""

STRAIGHT = 0.5
"""What may be bent in the closure's change of the curves, in units of what is linear in it, for a step by linear
response. Of 30 steps of melts that came out as it had said none had more than 0.44; two with 2.5 and 11 raised chi^2
many times over."""

APART = "the step is short: further on the liquid comes apart"
BENT = "the step is short: linear response does not hold further on"


class Tangent:
    """A linear `Response`: y(at) + J (delta - at).

    J is that of the response there, or that of `slopes`.

    Attributes:
        y: (n,) its value at no change.
        jacobian: (n, len(theta)) J.
    """

    linear: ClassVar[bool] = True

    def __init__(self, response: Response, at: Array, slopes: Response | None = None) -> None:
        self._response, self._at, self._slopes = response, at, slopes or response
        there, self.jacobian = response.predict(at)
        if slopes is not None:
            self.jacobian = slopes.jacobian
        self.y = there - self.jacobian @ at

    @property
    def effective_sample_size(self) -> float:
        """That of the response."""
        return self._response.effective_sample_size

    def curves(self, delta: Array) -> Array:
        """y + J delta, (n,)."""
        return np.asarray(self.y + self.jacobian @ delta)

    def predict(self, delta: Array) -> tuple[Array, Array]:
        """Curves (n,) and their derivative (n, len(theta))."""
        return self.curves(delta), self.jacobian

    def noise(self, delta: Array | None = None) -> Array:
        """Covariance (n, n) of the response's curves where it is touched."""
        return self._response.noise(self._at)

    def slope_variance(self, delta: Array) -> Array:
        """(n,), of the response whose slope it is."""
        return self._slopes.slope_variance(delta)

    def gram_noise(self, whiten: Callable[[Array], Array], part: slice = slice(None)) -> Array:
        """That of the response whose slope it is."""
        return self._slopes.gram_noise(whiten, part)


def about(response: Response, at: Array) -> Response:
    """The response where it is linear, else its tangent at a change of theta, eV."""
    return response if response.linear else Tangent(response, at)


def reachable(
    responses: Sequence[Curved], here: Array, wanted: Array, most: float, objective: Callable[[Array], float]
) -> tuple[Array, str]:
    """The end of the way from one change of theta to another, halved until every response can follow it and `objective`
    falls; and words, where no homogeneous liquid is further on.

    most: kT, that phi changes by where there are pairs.
    """
    way = wanted - here
    largest = max(response.largest(way, here) for response in responses)
    way = way * min(1.0, most / max(largest, 1e-300))
    before, short = objective(here), ""
    for _ in range(HALVINGS):
        try:
            if objective(here + way) < before:
                return here + way, short
        except Demixing:
            short = APART
        way = 0.5 * way
    return here, short


def straight(both: Sequence[Combined], wanted: Array) -> tuple[Array, str]:
    """A change of theta by linear response, shortened until the closure finds it straight (`STRAIGHT`); and words,
    where it was.

    Linear response knows nothing of distances that a sample has few pairs at, and may ask for a well of many kT there.

    both: of the states that have a closure; none: the change as it is.
    """
    short = ""
    for _ in range(2 * HALVINGS):
        bent = max((one.bent(wanted) for one in both), default=0.0)
        if bent <= STRAIGHT:
            break
        # what is bent of a change grows faster than the change
        wanted, short = wanted * max(0.25, min(0.9, STRAIGHT / bent)), BENT
    return wanted, short
