"""Collective variables of a study against what they are by definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.frames import Frames
from refine.study.bias import bias_of, with_widths
from refine.study.schema import StudyConfig
from refine.study.study import Study
from tests import small_box

COORDINATION = '{name="n", pair=["Ar", "Ar"], within=4.8, softness=0.8}'
BAND = '{name="peak", data="sq", band=[1.8, 2.2]}'
DISTANCE = '{name="d", data="sq"}'


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_box.write(tmp_path_factory.mktemp("study"))


def study_of(path: Path, *variables: str) -> Study:
    return Study.from_toml(path, [f"variables=[{', '.join(variables)}]"])


def frames_of(study: Study) -> Frames:
    """Three frames whose counts scatter about those of an ideal gas."""
    ideal = study.boxes[0].ideal_counts
    counts = np.random.default_rng(2).poisson(ideal, (3, *ideal.shape)).astype(np.float32)
    nothing = np.zeros(3)
    volume = study.boxes[0].volume
    return Frames(counts, nothing, nothing, nothing, np.zeros(3, int), study.boxes[0].r_max, (108,), volume)


def test_a_coordination_number_counts_neighbours(path: Path) -> None:
    study = study_of(path, COORDINATION)
    (variable,) = bias_of(study, 0).variables
    counts = np.zeros((1, *study.boxes[0].ideal_counts.shape))
    counts[0, 0, 200] = 54.0  # 4.01 Å: inside
    assert variable.values(counts)[0] == pytest.approx(1.0)
    counts = np.zeros_like(counts)
    counts[0, 0, 239:241] = 54.0, 54.0  # around 4.8 Å: one half each
    assert variable.values(counts)[0] == pytest.approx(1.0, abs=1e-3)
    counts = np.zeros_like(counts)
    counts[0, 0, 270] = 54.0
    assert variable.values(counts)[0] == 0.0


def test_a_band_is_the_mean_of_the_curve_there(path: Path) -> None:
    study = study_of(path, BAND)
    frames, target = frames_of(study), study.targets["sq"]
    inside = (target.x >= 1.8) & (target.x <= 2.2)
    expected = target.predict(frames.counts.astype(float))[:, inside].mean(axis=1)
    np.testing.assert_allclose(bias_of(study, 0).variables[0].values(frames.counts), expected, rtol=1e-9)


def test_a_distance_is_the_rms_of_the_difference(path: Path) -> None:
    """Directions of the curve that matter little are left out: 2 %."""
    study = study_of(path, DISTANCE)
    frames, target = frames_of(study), study.targets["sq"]
    apart = target.predict(frames.counts.astype(float)) - target.y
    expected = np.linalg.norm(apart, axis=1) / np.linalg.norm(target.y - target.baseline)
    (variable,) = bias_of(study, 0).variables
    np.testing.assert_allclose(variable.values(frames.counts), expected, rtol=2e-2)


def test_a_width_that_is_open_is_half_of_the_scatter(path: Path) -> None:
    study = study_of(path, COORDINATION, BAND.replace("}", ", width=0.03}"))
    frames = frames_of(study)
    bias = with_widths(bias_of(study, 0), frames)
    scatter = bias.variables[0].values(frames.counts).std()
    np.testing.assert_allclose(bias.widths, [scatter / 2, 0.03])


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ((), r"\[\[variables\]\]: the study has 0 variables, and a bias needs 1 or 2; give a coordination number"),
        ((COORDINATION.replace('"Ar"]', '"Kr"]'),), r"\[\[variables\]\] 'n': pair: Ar-Kr is no pair of the system"),
        ((COORDINATION.replace("4.8", "9.8"),), r"\[\[variables\]\] 'n': within: neighbours are counted to 10.2 Å"),
        ((BAND.replace("1.8, 2.2", "18, 19"),), r"\[\[variables\]\] 'peak': no point of 'sq' lies from 18 to 19"),
        (
            (DISTANCE.replace("sq", "qs"),),
            r"\[\[variables\]\] 'd': data: 'qs' is no measured curve of this state; give",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(path: Path, variables: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        bias_of(study_of(path, *variables), 0)


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ('{name="n"}', "should have 'pair' or 'data'"),
        ('{name="n", pair=["Ar", "Ar"]}', "should have 'pair' and 'within' together"),
        ('{name="n", pair=["Ar", "Ar"], within=0.2}', "should have a 'softness' of twice 'within' at most"),
        ('{name="energy", data="sq"}', "should have a 'name' of letters, digits, _ and -, and none of Lattice"),
        ('{name="1.peak", data="sq"}', "should have a 'name' of letters, digits, _ and -"),
        (f"{COORDINATION}, {COORDINATION}", "has the name 'n' twice"),
    ],
)
def test_what_a_variable_may_not_be(path: Path, variable: str, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("[", r"\[")):
        StudyConfig.from_toml(path, [f"variables=[{variable}]"])


def test_a_bias_is_no_part_of_a_run(path: Path) -> None:
    plain, biased = (
        StudyConfig.from_toml(path, keys) for keys in ([], [f"variables=[{COORDINATION}]", "bias.every=7"])
    )
    assert plain.digest() == biased.digest()


def test_a_first_hill_that_leaves_nothing_of_the_next_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="should have a 'height' of 20"):
        StudyConfig.from_toml(path, ["bias.height=100.0", "bias.factor=2.0"])
    assert StudyConfig.from_toml(path, ["bias.height=20.0", "bias.factor=2.0"]).bias.height == 20.0
