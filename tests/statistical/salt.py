"""Molten CaCl2 under hidden corrections of several kT, and measurements of it: `mixture` for large corrections.

A charged melt does not come apart whatever is done to its pairs, so corrections can be drawn at random: smooth
functions of 1.5 kT up to the first peak of each pair, which fade out over the next 1.5 Å (as large at all distances
they make a liquid cavitate or freeze). The largest value of a draw is 1 to 4 kT, 2.4 in the median.

Measured are other runs of as many ions as are fitted, since bands leave out what the size of the box does to S(Q), and
here that is more than the noise: curves of 480 ions with the correction of seed 35 are missed by 240 ions with the same
correction by 2.9 in chi^2 per point, and a fit of 240 takes that up where totals do not see it, 5 kT in Ca-Ca.
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
MEASURED = replace(FITTED, settle=10.0)
"""Long enough for a changed potential to be forgotten, which 1.5 ps are not."""

PAIRS, KT, R_CUT = FITTED.pairs, FITTED.kt, FITTED.r_cut
AMPLITUDE, LENGTH, FADE = 1.5, 0.5, 0.8
FRAMES, NOISE = 1600, 0.03
AGREE, DRAWS = 0.5, 5
"""Difference of two runs, root mean square in units of the noise, up to which a melt is a liquid; draws to find one."""

FIRST_PEAK = {("Ca", "Ca"): 4.5, ("Ca", "Cl"): 2.8, ("Cl", "Cl"): 3.6}
"""Å, of the base model."""


def random_correction(seed: int, draw: int = 0) -> PairCorrection:
    """A draw: a Gaussian process of length 0.5 Å for every pair. draw: another one of the same seed."""
    correction = FITTED.basis
    r = correction.basis.centres
    root = np.linalg.cholesky(np.exp(-((r[:, None] - r) ** 2) / (2 * LENGTH**2)) + 1e-6 * np.eye(len(r)))
    rng = np.random.default_rng([seed, 78, draw] if draw else [seed, 78])
    rows = [
        AMPLITUDE
        * np.exp(-(np.maximum(r - FIRST_PEAK[pair], 0.0) ** 2) / (2 * FADE**2))
        * (root @ rng.normal(size=len(r)))
        for pair in PAIRS
    ]
    return correction.with_theta(KT * np.concatenate(rows))


class Laboratory:
    """Makes measurements; one compiled sampler for all of them."""

    def hidden(self, folder: Path, seed: int) -> PairCorrection:
        """The first correction of a seed whose melt is a liquid; in the folder, its x-ray and neutron S(Q) with noise.

        Some melts freeze, each run into something else. S(Q) is then of the run and not of the potential, and nothing
        can be recovered from it: two runs have to agree (`AGREE`). What is written is the mean of both.
        """
        for draw in range(DRAWS):
            correction = random_correction(seed, draw)
            samples = (MEASURED.sample(correction, FRAMES // 2, run) for run in (1000 + seed, 2000 + seed))
            one, other = (liquids.curves(MEASURED, sample, partials=False) for sample in samples)
            if all(np.mean((one[name] - other[name]) ** 2) < (AGREE * NOISE) ** 2 for name in one):
                mean = {name: 0.5 * (one[name] + other[name]) for name in one}
                liquids.write(folder, mean, partials=False, noise=NOISE, seed=1000 + seed)
                return correction
        raise RuntimeError(f"none of {DRAWS} corrections of seed {seed} leaves a liquid")


def study(folder: Path, *, seed: int = 1, **changes: Any) -> Study:
    """The base model with 240 ions refined against both curves; changes: tables of the study, merged."""
    return liquids.study(folder, FITTED, partials=False, seed=seed, **changes)
