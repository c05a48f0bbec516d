"""What a measurement in Q may have on top of its structure: a background, flat or smooth, as modes with priors.

A smooth one, B(Q), stands for what is left of inelasticity (Placzek), of multiple scattering and of containers: it
varies slowly with Q, structure does not. A wave cos(Q r) or sin(Q r) in i(Q) is a feature of D(r) at r, and no two
atoms are closer than some r_c. So the prior of B is a Gaussian process whose waves have r below r_c, all alike,

    <B(Q) B(Q')> = σ_b^2 sin(r_c (Q - Q')) / (r_c (Q - Q')),

seen through the polynomials of degree n or less: B = Σ_j b_j u_j(Q), b_j ~ N(0, σ_b^2 λ_j), where u_j are the principal
components of the process among these polynomials, orthonormal on the measured points, and λ_j their variances, which
add up to one at most. About r_c (Q_max - Q_min)/π + 1 of them are free, however large n is; the others, which are waves
of real distances, have λ_j near zero and are left out. The prior is of the curve and not of its coefficients, so it is
the same in any basis of the polynomials. (Without a limit on n, u_j are the prolate spheroidal functions: D. Slepian
and H. O. Pollak, Bell Syst. Tech. J. 40, 43 (1961).)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_SHARE = 0.01
"""Of a mode's power that lies below r_c: modes with less are waves of real distances, and are left out."""


@dataclass(frozen=True)
class Background:
    """Modes of a background on the measured points of a curve, in its quantity.

    Attributes:
        modes: (nq, k).
        spreads: (k,) prior standard deviation of each amplitude, in units of σ_b.
        below: r_c in Å of a smooth one; None of a flat one.
    """

    modes: Array
    spreads: Array
    below: float | None = None


def flat_background(q: Array) -> Background:
    """The same at all q (nq,), with σ_b its prior standard deviation."""
    return Background(np.ones((len(q), 1)), np.ones(1))


def smooth_background(q: Array, degree: int, below: float) -> Background:
    """Polynomials of a degree under the prior of the module.

    Args:
        q: (nq,) the measured points, 1/Å, increasing.
        degree: n.
        below: r_c, Å: all of its waves have shorter distances.

    >>> smooth = smooth_background(np.linspace(0.5, 20.0, 400), 20, 1.0)
    >>> smooth.spreads.round(2).tolist()  # of 21, 19.5/π + 1 = 7.2 are free
    [0.4, 0.4, 0.4, 0.4, 0.39, 0.35, 0.25, 0.12, 0.04]
    """
    weight = np.sqrt(np.gradient(q) / np.sum(np.gradient(q)))
    span = float(q[-1] - q[0])
    basis, _ = np.linalg.qr(weight[:, None] * chebyshev.chebvander(2.0 * (q - q[0]) / span - 1.0, degree))
    # σ_b^2 sin(x)/x is the mean of cos(r (Q - Q')) over 0 < r < r_c
    nodes, shares = np.polynomial.legendre.leggauss(32 + math.ceil(below * span))
    phases = np.outer(q, 0.5 * below * (nodes + 1.0))
    waves = np.hstack([np.cos(phases), np.sin(phases)]) * np.sqrt(0.5 * np.tile(shares, 2))
    components, singular, _ = np.linalg.svd(basis.T @ (weight[:, None] * waves), full_matrices=False)
    kept = singular**2 * max(1.0, below * span / math.pi) > LEAST_SHARE
    modes = (basis @ components[:, kept]) / weight[:, None]
    return Background(modes, singular[kept], below)
