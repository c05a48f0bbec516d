"""Pair counts of an ideal gas: what histograms of pair distances are divided by. numpy only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def ideal_pair_counts(n_per_species: tuple[int, ...], volume: float, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean counts (pairs, bins) of an ideal gas: number of pairs times shell over volume.

    The number is n_i (n_i - 1) / 2 for like and n_i n_j for unlike species, rows (0,0), (0,1), ..., (1,1), ...; shells
    are exact, 4/3 pi (r_out^3 - r_in^3). Right while the last edge is at most half of the smallest height of the box.

    n_per_species: atoms of each.  volume: of the box.  edges: (bins + 1,), in the same unit of length.

    >>> ideal_pair_counts((100,), 4000.0, np.array([0.0, 1.0, 2.0])).round(3).tolist()  # 4950 pairs
    [[5.184, 36.285]]
    """
    n = n_per_species
    pairs = [n[i] * (n[i] - 1) / 2 if i == j else float(n[i] * n[j]) for i in range(len(n)) for j in range(i, len(n))]
    return np.outer(pairs, 4 / 3 * math.pi * np.diff(edges**3)) / volume
