"""Molten CaCl2 under hidden corrections of several kT, and measurements of it: `mixture` for large corrections.

A charged melt does not come apart whatever is done to its pairs, so corrections can be drawn at random: smooth
functions of 1.5 kT up to the first peak of each pair, which fade out over the next 1.5 Å (as large at all distances
they make a liquid cavitate or freeze). The largest value of a draw is 1 to 4 kT, 2.4 in the median.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from refine import Study
from refine.potentials.correction import PairCorrection

from . import liquids

FITTED = replace(liquids.CACL2, atoms={"Ca": 80, "Cl": 160}, r_cut=7.0, settle=1.5)
MEASURED = replace(FITTED, atoms={"Ca": 160, "Cl": 320})
PAIRS, KT, R_CUT = FITTED.pairs, FITTED.kt, FITTED.r_cut
AMPLITUDE, LENGTH, FADE = 1.5, 0.5, 0.8
FRAMES, NOISE = 400, 0.03
FIRST_PEAK = {("Ca", "Ca"): 4.5, ("Ca", "Cl"): 2.8, ("Cl", "Cl"): 3.6}
"""Å, of the base model."""


def random_correction(seed: int) -> PairCorrection:
    """A draw: a Gaussian process of length 0.5 Å for every pair."""
    correction = FITTED.basis
    r = correction.basis.centres
    root = np.linalg.cholesky(np.exp(-((r[:, None] - r) ** 2) / (2 * LENGTH**2)) + 1e-6 * np.eye(len(r)))
    rng = np.random.default_rng([seed, 78])
    rows = [
        AMPLITUDE
        * np.exp(-(np.maximum(r - FIRST_PEAK[pair], 0.0) ** 2) / (2 * FADE**2))
        * (root @ rng.normal(size=len(r)))
        for pair in PAIRS
    ]
    return correction.with_theta(KT * np.concatenate(rows))


class Laboratory:
    """Makes measurements; one compiled sampler for all of them."""

    def measure(self, folder: Path, correction: PairCorrection, seed: int) -> None:
        """x-ray and neutron S(Q) with noise."""
        sample = MEASURED.sample(correction, FRAMES, seed)
        liquids.measure(folder, MEASURED, sample, partials=False, noise=NOISE, seed=seed)


def study(folder: Path, *, seed: int = 1, **changes: Any) -> Study:
    """The base model with 240 ions refined against both curves; changes: tables of the study, merged."""
    return liquids.study(folder, FITTED, partials=False, seed=seed, **changes)
