"""A binary mixture refined against x-ray and neutron S(Q) together comes back.

The hidden corrections are draws of 0.1 kT; the measurement comes from 686 atoms, another seed, and has noise of 0.02 on
every point; the fit uses 300 atoms. Fixed seeds; the bands are those of 68 and 95 %.
"""

from __future__ import annotations

import numpy as np
import pytest

from refine.refinement.posterior import band

from . import mixture

pytestmark = pytest.mark.slow

SEED, FRAMES = 3, 600
laboratory = mixture.Laboratory()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mixture")
    laboratory.measure(path, mixture.random_correction(SEED), 1000 + SEED)
    return path


@pytest.fixture(scope="module")
def result(folder):
    return mixture.study(folder, seed=SEED + 1, sampling={"frames": FRAMES}).run(folder / "out")


def test_three_pair_corrections_come_back_within_their_bands(result):
    """85 % of the points within two standard errors, and a smaller error than no correction in sum.

    One fit has about ten independent directions, so its coverage scatters by 10 %; test_calibration averages 40 fits.
    """
    true = mixture.random_correction(SEED)
    inside, error, size = [], [], []
    for p, start in enumerate((3.3, 3.4, 3.5)):
        r = np.arange(start, mixture.R_CUT - 0.5, 0.1)
        off = result.correction.energy(r)[p] - true.energy(r)[p]
        inside.append(np.abs(off) < 1.96 * band(result.correction, result.covariance, r)[p])
        error.append(off)
        size.append(true.energy(r)[p])
    covered = np.concatenate(inside).mean()
    assert covered > 0.85, f"{covered:.2f} of the points"
    rms, before = (np.sqrt(np.mean(np.concatenate(x) ** 2)) / mixture.KT for x in (error, size))
    assert rms < 0.8 * before, f"{rms:.3f} kT left of {before:.3f}"


def test_both_curves_end_at_their_noise(result):
    """chi^2 per point below 2 for both, from far above."""
    for name in ("xray", "neutron"):
        points = result.final["points"][name]
        assert result.final["chi2"][name] < 2 * points
    assert sum(result.initial["chi2"].values()) > 2 * sum(result.final["chi2"].values())


def test_each_radiation_adds_directions_and_they_agree(result):
    known = result.determination
    for data in known["data"]:
        assert 1 < data["adds"] < data["alone"] < known["directions"] < known["parameters"]
    assert all(abs(t["sigma"]) < 4 for t in known["tension"])
