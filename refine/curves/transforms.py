"""Fourier sine transforms between Q and r as float64 matrices, and windows.

Convention (normalised, Faber-Ziman; docs/theory/conventions.md), Q in 1/Å, r in Å, number density ρ in
atoms/Å^3:

    D(r)     = (2/π) ∫ Q [S(Q) - 1] M(Q) sin(Qr) dQ = 4πρ r [g(r) - 1]   [1/Å^2]
    S(Q) - 1 = (1/Q) ∫ D(r) sin(Qr) dr = (4πρ/Q) ∫ r [g(r) - 1] sin(Qr) dr

Samples on a grid are integrated by the trapezoid rule, which is exact to rounding for what a finite range allows (the
integrand is band limited: ΔQ <= π / r_max, Δr <= π / Q_max); histograms as what they are, means over bins.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import spherical_jn

from refine.errors import InputError

Array = NDArray[np.float64]

Of = Literal["steps", "samples", "means"]


def trapezoid_weights(x: ArrayLike) -> Array:
    """Weights w, (n,), such that w @ y is the trapezoid integral of y over the sorted grid x, (n,).

    >>> trapezoid_weights([0.0, 1.0, 3.0])
    array([0.5, 1.5, 1. ])
    """
    grid = np.asarray(x, dtype=np.float64)
    weights = np.zeros_like(grid)
    half_steps = 0.5 * np.diff(grid)
    weights[:-1] += half_steps
    weights[1:] += half_steps
    return weights


def lorch(q: ArrayLike, q_max: float) -> Array:
    """Lorch window M(Q) = sin(x)/x with x = πQ/Q_max, zero beyond Q_max.

    Broadens a peak in r to a full width at half maximum of 5.437/Q_max (a sharp cut: 3.791/Q_max).
    Lorch, J. Phys. C 2, 229 (1969).

    >>> lorch([0.0, 10.0, 20.0, 21.0], 20.0).round(3)
    array([1.   , 0.637, 0.   , 0.   ])
    """
    grid = np.asarray(q, dtype=np.float64)
    # numpy's sinc already contains the π.
    return np.where(np.abs(grid) <= q_max, np.sinc(grid / q_max), 0.0)


def window_values(name: str, q: ArrayLike, q_max: float) -> Array:
    """M(Q), (nq,), of the window called `name` ("none" or "lorch"); zero beyond q_max.

    >>> window_values("none", [1.0, 20.0, 21.0], 20.0).tolist()
    [1.0, 1.0, 0.0]
    """
    grid = np.asarray(q, dtype=np.float64)
    if name == "none":
        return np.where(np.abs(grid) <= q_max, 1.0, 0.0)
    if name == "lorch":
        return lorch(grid, q_max)
    raise InputError(f"unknown window {name!r}", where="window", fix='use "none" or "lorch"')


def q_to_r_matrix(q: ArrayLike, r: ArrayLike, window: str = "none", q_max: float | None = None) -> Array:
    """(nr, nq) matrix that turns S(Q) - 1 on the grid q into D(r) on the grid r, 1/Å^2.

    D(r) = (2/π) ∫ Q [S(Q) - 1] M(Q) sin(Qr) dQ over the range of q and nothing below it: the part between 0 and the
    first measured Q is not invented (`extrapolate_low_q` does so when asked).

    Args:
        q: (nq,) sorted, 1/Å.
        r: (nr,) Å.
        window: "none" or "lorch".
        q_max: where the window ends; the last q when None.

    >>> q = np.arange(0.0, 30.0, 0.01)
    >>> shell = np.sinc(3.0 * q / np.pi) * np.exp(-0.02 * q**2)  # atoms at 3 Å, smeared by 0.2 Å
    >>> r = np.arange(0.5, 6.0, 0.1)
    >>> float(r[np.argmax(q_to_r_matrix(q, r) @ shell)].round(1))
    3.0
    """
    grid = np.asarray(q, dtype=np.float64)
    distances = np.asarray(r, dtype=np.float64)
    factor = trapezoid_weights(grid) * grid * window_values(window, grid, float(grid[-1]) if q_max is None else q_max)
    return (2.0 / math.pi) * np.sin(np.outer(distances, grid)) * factor


def r_to_q_matrix(r_edges: ArrayLike, q: ArrayLike, number_density: float, of: Of = "steps") -> Array:
    """(nq, nbins) matrix that turns g - 1 in bins into S(Q) - 1, any Q >= 0.

    (4πρ/Q) ∫_a^b r sin(Qr) dr = 4πρ [r^3 j1(Qr)/(Qr)]_a^b, with the spherical Bessel function j1; at Q = 0 the bin's
    volume times ρ. That is exact where g is constant in each bin. A smooth g is not: of a wave of wave number Q, steps
    keep the share sinc(Qw/2), w the width of the bins, and the means that counting gives have lost it once before. With
    `of` it is divided out, which is exact for g without structure beyond 2π/w - Q.

    Args:
        r_edges: (nbins + 1,) bin edges, Å; equal widths unless `of` is "steps".
        q: (nq,) 1/Å.
        number_density: ρ, atoms/Å^3.
        of: what the matrix acts on: "steps", g constant in each bin; "samples", a smooth g at the centres of bins;
            "means", a smooth g averaged over each bin, as counts are.

    An empty sphere of 3 Å takes its volume times ρ from S(0):

    >>> at_zero = r_to_q_matrix(np.linspace(0.0, 3.0, 31), [0.0], 0.02) @ np.full(30, -1.0)
    >>> bool(np.isclose(at_zero[0], -0.02 * 4.0 / 3.0 * math.pi * 27.0))
    True
    """
    edges = np.asarray(r_edges, dtype=np.float64)
    grid = np.asarray(q, dtype=np.float64)
    steps = 4.0 * math.pi * number_density * np.diff(edges**3 * _bessel_ratio(np.outer(grid, edges)), axis=1)
    if of == "steps":
        return steps
    kept = np.sinc(grid * (edges[-1] - edges[0]) / (len(edges) - 1) / (2.0 * math.pi))
    return np.asarray(steps / (kept if of == "samples" else kept**2)[:, None])


def _bessel_ratio(x: Array) -> Array:
    """j1(x)/x, with its limit 1/3 at zero; the series below 0.01 is exact to rounding."""
    small = np.abs(x) < 1e-2
    safe = np.where(small, 1.0, x)
    return np.where(small, 1.0 / 3.0 - x**2 / 30.0 + x**4 / 840.0, spherical_jn(1, safe) / safe)


def sampled_r_to_q_matrix(r: ArrayLike, q: ArrayLike) -> Array:
    """(nq, nr) matrix that turns D(r) sampled on the grid r into S(Q) - 1 = (1/Q) ∫ D(r) sin(Qr) dr, any Q >= 0.

    D is taken to rise linearly from zero at r = 0 to the first sample, so the grid must begin near zero.

    ∫ r exp(-r) sin(Qr) dr / Q is 2 / (1 + Q^2)^2:

    >>> r, q = np.arange(0.01, 20.0, 0.01), np.array([1.5, 3.0])
    >>> d = r * np.exp(-r)
    >>> (sampled_r_to_q_matrix(r, q) @ d).round(4).tolist(), (2.0 / (1.0 + q**2) ** 2).round(4).tolist()
    ([0.1893, 0.02], [0.1893, 0.02])
    """
    distances = np.asarray(r, dtype=np.float64)
    grid = np.asarray(q, dtype=np.float64)
    weights = trapezoid_weights(distances)
    weights[0] += 0.5 * distances[0]
    # np.sinc(Qr/π) is sin(Qr)/(Qr): the limit at Q = 0 needs no special case.
    return np.sinc(np.outer(grid, distances) / math.pi) * (weights * distances)


def extrapolate_low_q(q: ArrayLike, distinct: ArrayLike, limit: float | None = None) -> tuple[Array, Array]:
    """Continue S(Q) - 1 (or any distinct scattering) from the first measured Q down to 0, on the grid's own spacing.

    Args:
        q: (n,) sorted, 1/Å.
        distinct: (n,) values on q, or (n, m) columns of them (the identity gives the operation as a matrix).
        limit: the value at Q = 0 where it is known, e.g. ρ kT χ_T - 1; reached along a parabola, since S is even in
            Q. When None, the mean of the first three values is continued.

    Returns:
        q, distinct with the new points in front; unchanged where the data begin at Q = 0.

    >>> [part.round(3).tolist() for part in extrapolate_low_q([0.2, 0.3, 0.4], [-0.8, -0.9, -0.7])]
    [[0.0, 0.1, 0.2, 0.3, 0.4], [-0.8, -0.8, -0.8, -0.9, -0.7]]
    """
    grid = np.asarray(q, dtype=np.float64)
    values = np.asarray(distinct, dtype=np.float64)
    if grid[0] == 0.0:
        return grid, values
    step = float(np.median(np.diff(grid[:16])))
    front = np.linspace(0.0, grid[0], max(1, round(grid[0] / step)), endpoint=False)
    if limit is None:
        added = np.multiply.outer(np.ones_like(front), values[:3].mean(axis=0))
    else:
        added = limit + np.multiply.outer((front / grid[0]) ** 2, values[0] - limit)
    return np.concatenate([front, grid]), np.concatenate([added, values])
