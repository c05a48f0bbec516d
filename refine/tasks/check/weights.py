"""How strongly each pair of species shows in a data set: its Faber-Ziman weights at some Q."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.curves.curve import Curve
from refine.curves.weights import amplitudes, null_pair_weights, pair_weights, scatters_null
from refine.system import Box

Array = NDArray[np.float64]

AT_Q = (0.0, 5.0, 10.0)
"""1/Å."""


@dataclass(frozen=True)
class Weights:
    """Weights of the pairs in a total: w_ij = (2 - δ_ij) c_i c_j f_i f_j / <f>^2, which add up to one.

    Attributes:
        name: of the data set.  pairs: of species.
        values: (pairs, len(AT_Q)).
        null: the mean amplitude vanishes, and they are over <f^2> instead, and add up to nothing in particular.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    values: Array
    null: bool


def weights_of(name: str, curve: Curve, box: Box) -> Weights | None:
    """Of a curve in a box; None for a partial, which is one pair alone."""
    if curve.pair is not None or curve.radiation is None:
        return None
    f = amplitudes(curve.radiation, box.species, np.array(AT_Q), isotopes=curve.isotopes, charges=curve.charges)
    null = scatters_null(box.fractions, f)
    values = null_pair_weights(box.fractions, f) if null else pair_weights(box.fractions, f)
    return Weights(name, box.pairs, values, null)
