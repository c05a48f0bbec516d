"""Hidden corrections of several kT in melts come back, from partial g(r) and from totals alone.

Measured are larger boxes with other seeds: 4000 ions of CaCl2 and of NaCaCl3, all partial g(r) with noise of 0.03 on
every point; and x-ray and neutron S(Q) of 1200 ions of CaCl2 with noise of 0.01. The fits use 600 ions and know the
base model only. Bands are those of 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from refine.api.result import Result
from refine.potentials.correction import PairCorrection
from refine.refinement.inference.posterior import band

from . import liquids

pytestmark = [pytest.mark.calibration, pytest.mark.timeout(3600)]

SEED = 3


@dataclass(frozen=True)
class Hidden:
    """Bumps (kT, Å) of a liquid, and the ions that are measured. meets: Å, where a pair has g(r) = 0.2."""

    liquid: liquids.Liquid
    ions: dict[str, int]
    heights: dict[str, float]
    centres: dict[str, float]
    meets: dict[str, float]

    def measured(self, folder: Path, frames: int, *, partials: float, totals: float | None = None) -> PairCorrection:
        """The hidden correction; in the folder, curves of it with so much noise."""
        larger = replace(self.liquid, atoms=self.ions)
        true = larger.bumps(self.heights, self.centres)
        sample = larger.sample(true, frames, SEED)
        liquids.measure(folder, larger, sample, partials=True, noise=partials, seed=5)
        if totals is not None:
            liquids.measure(folder, larger, sample, partials=False, noise=totals, seed=5)
        return true

    def judged(self, result: Result, true: PairCorrection) -> tuple[float, float, float]:
        """Share of the points within the 95 % band, rms error and rms of what was hidden (kT), of all pairs."""
        inside, errors, sizes = [], [], []
        for p, pair in enumerate(self.liquid.pairs):
            r = np.arange(self.meets["-".join(pair)], self.liquid.r_cut - 0.5, 0.1)
            error = result.correction.energy(r)[p] - true.energy(r)[p]
            inside.append(np.abs(error) < 1.96 * band(result.correction, result.covariance, r)[p])
            errors.append(error / self.liquid.kt)
            sizes.append(true.energy(r)[p] / self.liquid.kt)
        rms = [float(np.sqrt(np.mean(np.concatenate(values) ** 2))) for values in (errors, sizes)]
        return float(np.mean(np.concatenate(inside))), *rms


MEETS = {"Ca-Ca": 4.0, "Ca-Cl": 2.3, "Cl-Cl": 2.9}
CACL2 = Hidden(
    liquids.CACL2,
    {"Ca": 1333, "Cl": 2666},
    {"Ca-Ca": -4.0, "Ca-Cl": 3.0, "Cl-Cl": 3.0},
    {"Ca-Ca": 4.4, "Ca-Cl": 3.0, "Cl-Cl": 3.9},
    MEETS,
)
NACACL3 = Hidden(
    liquids.TERNARY,
    {"Na": 800, "Ca": 800, "Cl": 2400},
    {"Na-Na": 3.0, "Na-Ca": -3.0, "Na-Cl": -3.0, "Ca-Ca": -4.0, "Ca-Cl": 3.0, "Cl-Cl": 3.0},
    {"Na-Na": 4.0, "Na-Ca": 4.2, "Na-Cl": 3.0, "Ca-Ca": 4.4, "Ca-Cl": 3.0, "Cl-Cl": 3.9},
    {"Na-Na": 3.4, "Na-Ca": 3.7, "Na-Cl": 2.4, **MEETS},
)
TOTALS = Hidden(
    liquids.CACL2,
    {"Ca": 400, "Cl": 800},
    {"Ca-Ca": -3.0, "Ca-Cl": 1.5, "Cl-Cl": 1.0},
    {"Ca-Ca": 4.4, "Ca-Cl": 2.8, "Cl-Cl": 3.7},
    MEETS,
)


@pytest.mark.parametrize("hidden", [CACL2, NACACL3], ids=["CaCl2", "NaCaCl3"])
def test_several_kt_come_back_from_partial_functions(tmp_path: Path, hidden: Hidden) -> None:
    """Every R_chi falls to a fifth, and the bands cover. Half of phi itself is left, smooth functions of all pairs at
    once that a charged melt hardly answers to: of NaCaCl3 0.45 of 1.1 kT."""
    true = hidden.measured(tmp_path, 100, partials=0.03)
    result = liquids.study(tmp_path, hidden.liquid, partials=True, seed=2).run(tmp_path / "out")
    covered, rms, size = hidden.judged(result, true)
    first, last = result.iterations[0].r_chi, result.final.r_chi
    words = f"{covered:.2f} of the points covered, {rms:.2f} kT left of {size:.2f}, R_chi {first} {last}"
    print(words)
    assert all(last[name] < 0.2 * first[name] for name in first), words
    assert covered > 0.8, words
    assert rms < 0.75 * size, words


def test_totals_alone(tmp_path: Path) -> None:
    """Three updates; every partial g(r), which is scored and not fitted, comes nearer by a factor of two."""
    hidden = TOTALS
    true = hidden.measured(tmp_path, 300, partials=0.001, totals=0.01)
    scored = [{**table, "role": "score"} for table in liquids.tables(hidden.liquid, partials=True)]
    for table in scored:
        del table["fit_r"]
    study = liquids.study(
        tmp_path,
        hidden.liquid,
        partials=False,
        seed=2,
        data=[*liquids.tables(hidden.liquid, partials=False), *scored],
        refinement={"iterations": 3},
    )
    result = study.run(tmp_path / "out")
    covered, rms, size = hidden.judged(result, true)
    first, last = result.iterations[0].r_chi, result.iterations[-1].r_chi
    words = f"{covered:.2f} covered, {rms:.2f} kT left of {size:.2f}, R_chi {first} {last}"
    print(words)
    assert all(last[name] < 0.6 * first[name] for name in ("CaCa", "CaCl", "ClCl")), words
    assert covered > 0.8, words
