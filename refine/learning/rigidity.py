r"""How uncertain the energies of a model are, from its last layer: prediction rigidities.

With f = dE/dw the features that the last linear maps of a model take (`Mace.features`), summed over the atoms of a
frame, F those of the training frames divided by their numbers of atoms, as the loss weighs energies,

    sigma^2 = alpha^2 f^T (F^T F + c I)^-1 f,

which is the posterior variance of Bayesian linear regression of the last layer with noise alpha per atom and the prior
alpha^2 / c of its weights. For the features of one atom it is the variance of its site energy. c is the most likely of
a grid, alpha then follows in closed form, both from frames that took no part in the training: alpha^2 is the mean of
Delta^2 / (sigma^2 / alpha^2).

Source: S. Chong et al., J. Chem. Theory Comput. 19, 8020 (2023); F. Bigi, S. Chong, M. Ceriotti, F. Grasselli, Mach.
Learn.: Sci. Technol. 5, 045018 (2024); S. Chong et al., Faraday Discuss. 256, 322 (2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Array = NDArray[np.float64]

GRID = tuple(10.0**k for k in range(-10, 3))
"""Values of c that are tried, in parts of the mean diagonal element of F^T F."""

USUAL = 1e-6
"""The same where nothing is there to calibrate with."""

FEWEST = 4
"""Calibrating frames: of fewer neither c nor alpha is known."""


@dataclass(frozen=True)
class Rigidity:
    """Uncertainties by the last layer.

    Attributes:
        matrix: (P, P), F^T F + c I.
        alpha: eV per atom; 1 where it is not calibrated.
        ridge: c.
        calibrated: whether alpha is known, and uncertainties are in eV; else they only tell more from less.
    """

    matrix: Array
    alpha: float = 1.0
    ridge: float = 0.0
    calibrated: bool = False

    @classmethod
    def of(cls, training: Array, apart: Array, errors: Array) -> Self:
        """From features of the training frames per atom, (n, P), those of frames kept apart, (m, P) per atom, and the
        errors of their energies, (m,) eV per atom. Without `FEWEST` of the latter it is not calibrated."""
        product = training.T @ training
        scale = _scale(product, apart)
        choices = [(share, *_alpha_and_likelihood(product, share * scale, apart, errors)) for share in GRID]
        best = max(choices, key=lambda one: one[2])
        known = len(errors) >= FEWEST and bool(np.any(errors)) and bool(np.isfinite(best[2]))
        share, alpha = best[:2] if known else (USUAL, 1.0)
        ridge = share * scale
        return cls(product + ridge * np.eye(len(product)), alpha, ridge, known)

    def sigma(self, features: Array) -> Array:
        """(n,) from features (n, P): of frames summed over the atoms: eV; divided by their number: eV per atom; of
        single atoms: of their site energies."""
        return self.alpha * np.sqrt(_quadratic(self.matrix, features))


@dataclass(frozen=True)
class Calibration:
    """How errors compare with what was expected of them, each frame with alpha from the others.

    rms: of error over sigma, 1 if all is well.  within: shares of the errors within one and two sigma (0.68 and 0.95 of
    normal ones).  frames: how many.
    """

    rms: float
    within: tuple[float, float]
    frames: int


def calibration(sigma: Array, errors: Array) -> Calibration | None:
    """Of errors (n,) and sigma (n,), to which they were calibrated together; None of fewer than `FEWEST`."""
    n = len(errors)
    if n < FEWEST or not np.any(errors):
        return None
    squares = (errors / sigma) ** 2
    others = (squares.sum() - squares) / (n - 1)
    z = np.sqrt(squares / np.where(others > 0, others, np.inf))
    return Calibration(float(np.sqrt(np.mean(z**2))), (float(np.mean(z <= 1)), float(np.mean(z <= 2))), n)


def committee(forces: Sequence[Array]) -> float:
    """Disagreement of models on a frame: root mean square over atoms and components of the standard deviation of their
    forces, each (N, 3) eV/Å.

    >>> committee([np.zeros((2, 3)), np.full((2, 3), 2.0)])
    1.4142135623730951
    """
    return float(np.sqrt(np.mean(np.var(np.stack(forces), axis=0, ddof=1))))


def _scale(product: Array, apart: Array) -> float:
    """Of the grid: the mean diagonal of F^T F, or of one frame where there is no training frame."""
    for diagonal in (np.diag(product), np.mean(apart**2, axis=0) if len(apart) else np.zeros(1)):
        if diagonal.any():
            return float(diagonal.mean())
    return 1.0


def _quadratic(matrix: Array, features: Array) -> Array:
    """(n,) f^T M^-1 f."""
    solved = cho_solve(cho_factor(matrix, lower=True), features.T)
    found: Array = np.maximum(np.einsum("np,pn->n", features, solved), 0.0)
    return found


def _alpha_and_likelihood(product: Array, ridge: float, apart: Array, errors: Array) -> tuple[float, float]:
    """The most likely alpha for a c, and the logarithm of the likelihood there, but for a constant."""
    if not len(errors):
        return 1.0, 0.0
    try:
        q = _quadratic(product + ridge * np.eye(len(product)), apart)
    except np.linalg.LinAlgError:  # c is lost in the digits of F^T F
        return 1.0, -np.inf
    if not np.all(q > 0):
        return 1.0, -np.inf
    alpha = float(np.sqrt(np.mean(errors**2 / q)))
    return alpha, float(-0.5 * np.sum(np.log(q)) - len(errors) * np.log(max(alpha, np.finfo(float).tiny)))
