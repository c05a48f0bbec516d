"""A response that is not linear, as the straight line that touches it somewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from refine.refinement.responses.ornstein_zernike import Demixing
from refine.refinement.responses.protocol import Curved, Response

Array = NDArray[np.float64]

HALVINGS = 8
"""Of a step that no homogeneous liquid survives, or that makes the posterior smaller."""


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
) -> tuple[Array, bool]:
    """The end of the way from one change of theta to another, halved until every response can follow it and `objective`
    falls; and whether no homogeneous liquid is further on.

    most: kT, that phi changes by where there are pairs.
    """
    way = wanted - here
    largest = max(response.largest(way, here) for response in responses)
    way = way * min(1.0, most / max(largest, 1e-300))
    before, apart = objective(here), False
    for _ in range(HALVINGS):
        try:
            if objective(here + way) < before:
                return here + way, apart
        except Demixing:
            apart = True
        way = 0.5 * way
    return here, apart
