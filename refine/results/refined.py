"""The refined potential out of result.json: the pair correction, exactly, and its stated errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refine.formula import SITE
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.results.schema import Correction, Summary
from refine.system import species_pairs

Array = NDArray[np.float64]

SAME_TEMPERATURE = 1e-6
"""K within which a temperature is that of a state."""


def species_of(summary: Summary) -> tuple[str, ...]:
    """The run's species, in its order.

    Raises ValueError where they are not known, or are neither elements nor sites: they are written into scripts.
    """
    atoms = summary.states[0].atoms
    if not isinstance(atoms, dict) or not atoms:
        raise ValueError("the species are not known")
    if not all(re.fullmatch("[A-Z][a-z]?", name) or SITE.fullmatch(name) for name in atoms):
        raise ValueError("a species that is no element")
    return tuple(atoms)


def temperatures_of(summary: Summary) -> list[float]:
    """Temperatures at which the correction is written, ascending, K; none where it is the same at all of them."""
    return sorted({row.temperature for row in summary.correction if row.temperature is not None})


def correction_of(summary: Summary) -> PairCorrection:
    """The correction that was refined.

    Where it changes with temperature, its two terms follow from the tables at the lowest and the highest temperature:
    phi is linear in T. Raises ValueError where the tables are missing or contradict each other.
    """
    species = species_of(summary)
    pairs = species_pairs(species)
    kelvins = temperatures_of(summary)
    rows = rows_at(summary, kelvins[0] if kelvins else None)
    order = [pairs.index(row.pair) for row in rows]
    if order != sorted(set(order)) or not order:
        raise ValueError("pairs out of order")
    if any(row.knots is None or row.core is None or row.wall is None or row.stiffness is None for row in rows):
        raise ValueError("a correction without knots, core, wall and stiffness")
    knots, stiffness = rows[0].knots or [], rows[0].stiffness or 0.0
    if len(knots) < 2:
        raise ValueError("fewer than two knots")
    basis = SplineBasis(knots[0], knots[-1], len(knots) - 1)
    core, wall = np.full(len(pairs), basis.r_min), np.zeros(len(pairs))
    core[order], wall[order] = [row.core or 0.0 for row in rows], [row.wall or 0.0 for row in rows]
    active = tuple(p in order for p in range(len(pairs)))
    low = _coefficients(rows, order, (len(pairs), basis.size))
    if len(kelvins) < 2:
        return PairCorrection(pairs, active, basis, low, core, wall, stiffness)
    high = _coefficients(rows_at(summary, kelvins[-1]), order, low.shape)
    # runs of before do not say from where and in which unit the change is counted, and nothing depends on it
    reference = kelvins[0] if rows[0].reference is None else rows[0].reference
    span = rows[0].span or kelvins[-1] - kelvins[0]
    slope = (high - low) * (span / (kelvins[-1] - kelvins[0]))
    at_reference = low + slope * ((reference - kelvins[0]) / span)
    return PairCorrection(pairs, active, basis, at_reference, core, wall, stiffness, slope, reference, span)


def errors_of(summary: Summary, temperature: float | None = None) -> tuple[tuple[Array, Array] | None, ...]:
    """Of every corrected pair r (n,) Å and the standard error of phi there (n,) eV, or None where it is not stated.

    temperature: K, of a correction that changes with it; the errors are known at the temperatures of the run alone.
    """
    kelvins = temperatures_of(summary)
    if temperature is None or not kelvins:
        return tuple(_errors(row) for row in rows_at(summary, None if not kelvins else kelvins[0]))
    nearest = min(kelvins, key=lambda kelvin: abs(kelvin - temperature))
    known = abs(nearest - temperature) < SAME_TEMPERATURE
    return tuple(_errors(row) if known else None for row in rows_at(summary, nearest))


def rows_at(summary: Summary, temperature: float | None) -> list[Correction]:
    """The tables of all corrected pairs in the first state that has this temperature (K), or of None."""
    rows = [row for row in summary.correction if row.temperature == temperature]
    return [row for row in rows if row.state == rows[0].state]


def _coefficients(rows: Sequence[Correction], order: Sequence[int], shape: tuple[int, int]) -> Array:
    """(pairs, size) eV; zero for pairs that are not corrected."""
    if [row.coefficients is None or len(row.coefficients) != shape[1] for row in rows] != [False] * len(order):
        raise ValueError("coefficients and knots do not belong together")
    every = np.zeros(shape)
    every[list(order)] = [row.coefficients for row in rows]
    return every


def _errors(row: Correction) -> tuple[Array, Array] | None:
    if row.stderr is None:
        return None
    return np.array(row.r, np.float64), np.array(row.stderr, np.float64)
