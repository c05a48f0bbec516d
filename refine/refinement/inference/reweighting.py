"""Averages of one ensemble from the frames of others: MBAR weights and effective sample sizes.

The reduced potential of a frame under coefficients theta is beta theta . N, up to a constant that the base model fixes
and that cancels. So pooling needs no energy of the base model. Source: Shirts and Chodera, J. Chem. Phys. 129, 124105
(2008), eqs. 11 and 13.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from refine.errors import SimulationError

Array = NDArray[np.float64]


def mbar_weights(
    reduced: Array, counts: NDArray[np.integer], target: Array, tolerance: float = 1e-10, iterations: int = 500
) -> Array:
    """Weights of pooled frames for averages in a target ensemble; they sum to one.

    The free energies f solve f_i = -ln Σ_n exp(-u_i(n)) / Σ_k N_k exp(f_k - u_k(n)); Newton steps on the convex
    objective, each replaced by the self-consistent iteration where it does not lower the gradient.

    Args:
        reduced: (ensembles, frames) reduced potential of every frame in every sampled ensemble, dimensionless.
        counts: (ensembles,) frames drawn from each.
        target: (frames,) reduced potential in the ensemble that is asked for.
        tolerance: of the largest component of the gradient, as a share of all frames.

    Raises:
        SimulationError: the free energies did not converge, or are not numbers.

    Two frames of one ensemble, and their weights in another, where the second one's energy is ln 3 kT higher:

    >>> mbar_weights(np.zeros((1, 2)), np.array([2]), np.array([0.0, np.log(3.0)]))
    array([0.75, 0.25])
    """
    counts = np.asarray(counts, float)
    sampled = counts > 0
    u, n = reduced[sampled], counts[sampled]
    # Remove each frame's common offset: only differences between ensembles matter, and exponents stay small.
    offset = u.min(axis=0)
    u, target = u - offset, target - offset
    f = np.zeros(len(n))

    def log_denominator(f: Array) -> Array:
        return np.asarray(logsumexp(f[:, None] - u, axis=0, b=n[:, None]))

    def gradient(f: Array) -> tuple[Array, Array]:
        w = np.exp(f[:, None] - u - log_denominator(f))  # (ensembles, frames), rows sum to 1 at the solution
        return n * (w.sum(axis=1) - 1.0), w

    g, w = gradient(f)
    for _ in range(iterations):
        if not np.abs(g).max() >= tolerance * n.sum():
            break
        hessian = np.diag(n * w.sum(axis=1)) - (n[:, None] * w) @ (n[:, None] * w).T
        newton = f.copy()
        newton[1:] -= np.linalg.lstsq(hessian[1:, 1:], g[1:], rcond=None)[0]
        fixed_point = -logsumexp(-u - log_denominator(f), axis=1)
        # Without overlap the Hessian is singular and Newton's step may be absurd; such steps are not even tried.
        steps = [fixed_point] if np.abs(newton - f).max() > 1e3 else [fixed_point, newton]
        candidates = [(gradient(c), c) for c in (step - step[0] for step in steps)]
        (g, w), f = min(candidates, key=lambda candidate: float(np.abs(candidate[0][0]).max()))
    residual = float(np.abs(g).max() / n.sum())
    if not residual < tolerance:  # also of NaN
        raise SimulationError(
            f"the weights of {int(n.sum())} frames of {len(n)} samples did not converge in {iterations} iterations "
            f"(residual {residual:.1e}, wanted {tolerance:.0e}): the samples hardly overlap",
            where="reweighting (MBAR)",
            fix="sample more frames or take smaller steps, so that neighbouring samples overlap",
        )
    log_weights = -target - log_denominator(f)
    return np.asarray(np.exp(log_weights - logsumexp(log_weights)))


def effective_sample_size(weights: Array) -> float:
    """Kish's 1 / Σ w^2 for weights that sum to one: how many equally weighted frames are worth as much.

    >>> effective_sample_size(np.array([0.5, 0.25, 0.25, 0.0]))
    2.6666666666666665
    """
    return float(1.0 / np.sum(np.square(weights)))
