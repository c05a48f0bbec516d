"""Linear operators from mean pair counts to a curve, and the simulated box they act in.

n_p, the exact count of an ideal gas in the same box, is N_i (N_i - 1)/2 or N_i N_j times shell / volume, so that
g_p = h / n_p. Everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.data.weights import species_pairs
from refine.errors import InputError

Array = NDArray[np.float64]

TAPER = 3.0
"""Å over which g - 1 is brought to zero before r_box; a quarter of r_box in boxes where that is less."""


@dataclass(frozen=True)
class Box:
    """What the forward model needs of a simulated state.

    Attributes:
        species: element symbols; pairs follow `species_pairs`.
        n_per_species: atoms of each.
        volume: Å^3.
        edges: (bins + 1,) of the pair-distance histogram, Å, from 0 to r_box.
    """

    species: tuple[str, ...]
    n_per_species: tuple[int, ...]
    volume: float
    edges: Array

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Species pairs, i <= j."""
        return species_pairs(self.species)

    @property
    def number_density(self) -> float:
        """atoms/Å^3."""
        return sum(self.n_per_species) / self.volume

    @property
    def fractions(self) -> Array:
        """Atomic fractions (species,)."""
        return np.array(self.n_per_species) / sum(self.n_per_species)

    @property
    def centres(self) -> Array:
        """Bin centres (bins,), Å."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def r_box(self) -> float:
        """Å; g(r) is known below."""
        return float(self.edges[-1])

    @property
    def taper(self) -> Array:
        """(bins,): 1, falling smoothly to 0 at r_box."""
        width = min(TAPER, 0.25 * self.r_box)
        x = np.clip((self.r_box - self.centres) / width, 0.0, 1.0)
        return x**2 * (3.0 - 2.0 * x)

    @property
    def ideal_counts(self) -> Array:
        """Mean counts of an ideal gas, (pairs, bins)."""
        shells = 4.0 / 3.0 * math.pi * np.diff(self.edges**3) / self.volume
        n = self.n_per_species
        rows = [n[i] * (n[i] - 1) / 2 if i == j else n[i] * n[j] for i in range(len(n)) for j in range(i, len(n))]
        return np.outer(rows, shells)


@dataclass(frozen=True)
class CurveOperator:
    """y = matrix @ h + constant on the points x; h are mean pair counts, flattened (pairs * bins,).

    Attributes:
        x: (n,) 1/Å or Å.
        matrix: (n, pairs * bins).
        constant: (n,).
        baseline: (n,) the part of y that is not signal (the 1 of S(Q)); a free scale multiplies y - baseline.
    """

    x: Array
    matrix: Array
    constant: Array
    baseline: Array

    def predict(self, counts: Array) -> Array:
        """The curve (..., n) from counts (..., pairs, bins)."""
        flat = np.asarray(counts, float).reshape(*np.shape(counts)[:-2], -1)
        return flat @ self.matrix.T + self.constant

    @classmethod
    def from_g(cls, x: Array, acts_on_g: Array, signal_zero: Array, baseline: Array, ideal: Array) -> CurveOperator:
        """From a matrix (n, pairs, bins) acting on g - 1 and the curve's value at g = 1."""
        matrix = (acts_on_g / np.where(ideal > 0.0, ideal, np.inf)).reshape(len(x), -1)
        present = (ideal > 0.0).astype(float)
        return cls(x, matrix, signal_zero - np.einsum("npb,pb->n", acts_on_g, present), baseline)


def interpolation(nodes: Array, points: Array) -> Array:
    """(points, nodes) matrix of linear interpolation; constant beyond the ends."""
    x = np.clip(points, nodes[0], nodes[-1])
    k = np.clip(np.searchsorted(nodes, x) - 1, 0, len(nodes) - 2)
    fraction = (x - nodes[k]) / (nodes[k + 1] - nodes[k])
    matrix = np.zeros((len(points), len(nodes)))
    rows = np.arange(len(points))
    matrix[rows, k] = 1.0 - fraction
    matrix[rows, k + 1] = fraction
    return matrix


def pair_index(pairs: tuple[tuple[str, str], ...], pair: tuple[str, str], where: str) -> int:
    """Index of a species pair, in either order."""
    for index, (a, b) in enumerate(pairs):
        if pair in ((a, b), (b, a)):
            return index
    raise InputError(f"{'-'.join(pair)} is no pair of the system", where=where, fix="name two of its species")
