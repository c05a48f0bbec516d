"""R_chi where scale and background are free: at those of the whole measured curve, whatever part of it is fitted."""

from pathlib import Path

import numpy as np
import pytest

from refine import Study
from refine.refinement.inference.nuisance import best
from refine.results.scores import score
from refine.sampling.frames import Frames
from refine.study.datasets import scored
from tests import small_box

RANGES = ("fit_q=[0.5, 11.5]", "fit_q=[0.5, 5.0]", "fit_q=[4.0, 9.0]", "fit_r=[3.0, 7.0]")


def _frames(study: Study, narrow: float) -> Frames:
    """One frame of a liquid whose first peak is by a factor narrower or wider than the measured one."""
    box = study.boxes[0]
    r = box.centres
    g = (1 + 2.0 * np.exp(-((r - 3.75) ** 2) / (0.12 * narrow))) / (1 + np.exp(-(r - 3.35) / 0.07))
    nothing = np.zeros(1)
    counts = (box.ideal_counts * g)[None]
    return Frames(counts, nothing, nothing, nothing, np.zeros(1, int), box.r_max, box.n_per_species, box.volume)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The curve of the small box, and the same with a scale of 0.9 and an inelastic background."""
    path = small_box.write(tmp_path_factory.mktemp("scores")).parent
    text = small_box.STUDY.replace("fit_q = [0.5, 11.0]\n", "sigma = 0.02\n")
    (path / "clean.toml").write_text(text)
    free = 'free_scale = true\nfree_background = "polynomial:3"\nbackground_prior = 0.5\n'
    (path / "free.toml").write_text(text.replace('"sq.csv"', '"measured.csv"').replace("sigma", free + "sigma", 1))
    q, s = np.loadtxt(path / "sq.csv", delimiter=",", skiprows=1).T
    planted = 0.03 - 0.08 * (q / 11.9) + 0.05 * (q / 11.9) ** 2
    measured = np.column_stack([q, 1 + 0.9 * (s - 1) + planted])
    np.savetxt(path / "measured.csv", measured, delimiter=",", header="Q,S", comments="")
    return path


def test_r_chi_of_a_part_is_that_of_the_curve_without_its_background(folder: Path) -> None:
    """The model is off, so that a cubic that sees a part of the curve alone takes some of it for background, and is
    far from zero on the rest. R_chi is one number whichever part is fitted, and to a fifth that of the clean curve;
    with what the part alone finds it is up to thirty times as large."""
    clean = Study.from_toml(folder / "clean.toml")
    for narrow in (0.5, 2.0):
        frames = _frames(clean, narrow)
        counts = frames.counts[0]
        expected = clean.datasets[0].measurement.r_chi(counts)
        ratios, alone = [], []
        for limits in RANGES:
            study = Study.from_toml(folder / "free.toml", [f"data.sq.{limits}"])
            data, target = study.datasets[0], study.targets["sq"]
            found = score(data, target, frames, errors=False)
            ratios.append(found.r_chi / expected)
            of_part = best(target, target.predict(counts))
            alone.append(data.measurement.r_chi(counts, of_part.scale, of_part.background) / expected)
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
        assert ratios[0] == pytest.approx(1.0, abs=0.2)
        assert max(alone) > 10.0


def test_what_is_fitted_in_all_is_scored_as_it_is_fitted(folder: Path) -> None:
    """Nothing else is looked at where the whole curve is fitted, no background is free, or nothing is."""
    for path, changes in (("free", ()), ("clean", ("fit_q=[0.5, 5.0]",)), ("clean", ("free_scale=true",))):
        study = Study.from_toml(folder / f"{path}.toml", [f"data.sq.{change}" for change in changes])
        assert scored(study.datasets[0], study.targets["sq"]) is study.targets["sq"]


def test_the_scale_of_a_part_with_a_background(folder: Path) -> None:
    """A model that is right is found at the scale that was planted, through any part of the curve."""
    study = Study.from_toml(folder / "free.toml", ["data.sq.fit_q=[0.5, 6.0]"])
    data, target = study.datasets[0], study.targets["sq"]
    clean = Study.from_toml(folder / "clean.toml").datasets[0].fit  # of all of the curve, in the same box
    assert best(scored(data, target), clean.values).scale == pytest.approx(0.9, abs=0.01)
