"""Linear operators from mean pair counts to a curve, and the simulated box they act in.

g_p = h / n_p, with n_p the exact count of an ideal gas in the same box (`kernels.shells`). Everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.shells import ideal_pair_counts
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
        cell: (3, 3) Å, rows are lattice vectors; None: a cube of that volume.
    """

    species: tuple[str, ...]
    n_per_species: tuple[int, ...]
    volume: float
    edges: Array
    cell: Array | None = None

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
    def image_distances(self) -> Array:
        """Lengths of the lattice vectors but zero, up to 3 r_box, Å: how far away an atom's own images are."""
        cell = np.eye(3) * self.volume ** (1.0 / 3.0) if self.cell is None else self.cell
        reach = 3.0 * self.r_box
        heights = self.volume * np.linalg.norm(np.linalg.inv(cell), axis=0)  # |b x c| and so on
        spans = [np.arange(-n, n + 1) for n in np.ceil(reach * heights / self.volume).astype(int)]
        steps = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
        lengths = np.linalg.norm(steps @ cell, axis=1)
        return np.sort(lengths[(lengths > 0.0) & (lengths <= reach)])

    @property
    def closure(self) -> Array:
        """(bins,) kernel of the correction for a closed box: g_infinite - 1 = (g - 1) + closure . (g - 1).

        The box holds a fixed number of atoms, so g - 1 averages to zero over its whole volume, while in an infinite
        system its integral is the Kirkwood-Buff integral G: the two differ by a constant, -G/V, at all r. G is taken
        from the g within r_box with weights w = 1 - 23 x^3/8 + 3 x^4/4 + 9 x^5/8, x = r/r_box, which make the constant
        -Σ w s (g - 1) / (V - Σ w s), s the shell volumes. For a dense liquid it is 1/N; left out, it biases S(Q) at
        low Q, and a fit would answer with a ramp in the potential. Sources: P. Ganguly and N. F. A. van der Vegt, J.
        Chem. Theory Comput. 9, 1347 (2013); weights: P. Krüger and T. J. H. Vlugt, Phys. Rev. E 97, 051301 (2018).
        """
        x = self.centres / self.r_box
        weights = 1.0 - 23.0 * x**3 / 8.0 + 3.0 * x**4 / 4.0 + 9.0 * x**5 / 8.0
        weighted = weights * 4.0 / 3.0 * math.pi * np.diff(self.edges**3)
        return weighted / (self.volume - weighted.sum())

    @property
    def ideal_counts(self) -> Array:
        """Mean counts of an ideal gas, (pairs, bins)."""
        return ideal_pair_counts(self.n_per_species, self.volume, self.edges)


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

    def interpolated(self, points: Array) -> CurveOperator:
        """The operator on other points (m,), between which and its own the curve is a straight line."""
        at = interpolation(self.x, points)
        return CurveOperator(points, at @ self.matrix, at @ self.constant, at @ self.baseline)

    @classmethod
    def from_g(cls, x: Array, acts_on_g: Array, level: Array, baseline: Array, box: Box) -> CurveOperator:
        """From a matrix (n, pairs, bins) acting on g - 1 of the infinite system, and the curve at g = 1, `level`."""
        closed = acts_on_g + acts_on_g.sum(axis=2, keepdims=True) * box.closure
        ideal = box.ideal_counts
        matrix = (closed / np.where(ideal > 0.0, ideal, np.inf)).reshape(len(x), -1)
        present = (ideal > 0.0).astype(float)
        return cls(x, matrix, level - np.einsum("npb,pb->n", closed, present), baseline)


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


def bracketing(nodes: Array, points: Array) -> Array:
    """Those of the sorted nodes that `interpolation` to the points takes."""
    upper = np.clip(np.searchsorted(nodes, points), 1, len(nodes) - 1)
    return nodes[np.union1d(upper - 1, upper)]


def pair_index(pairs: tuple[tuple[str, str], ...], pair: tuple[str, str], where: str) -> int:
    """Index of a species pair, in either order."""
    for index, (a, b) in enumerate(pairs):
        if pair in ((a, b), (b, a)):
            return index
    raise InputError(f"{'-'.join(pair)} is no pair of the system", where=where, fix="name two of its species")
