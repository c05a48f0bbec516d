"""The molten-FeO study: a prediction without the measured curve, scores with it, and models that say why they failed.

Small boxes: 49 Fe and 51 O for a fraction of a picosecond, which is a start and no melt.
"""

from pathlib import Path

import numpy as np
import pytest

from refine.potentials.bases import base_of
from refine.results.ranking import Ranking
from refine.study.schema import ModelFile, StudyConfig
from refine.study.systems import read_systems
from refine.tasks.compare import compare

FOLDER = Path(__file__).parents[2] / "experiments" / "feo"
STUDY = FOLDER / "study.toml"
TEMPLATES = {
    "rossano-2000": "S. Rossano",
    "yang-2016": "Yang and others, J. Non-Cryst. Solids 444, 16 (2016)",
    "seo-tsukihashi-2005": "W.-G. Seo",
    "belashchenko-1996": "D. K. Belashchenko, J. Non-Cryst. Solids 205-207, 212 (1996)",
}
MACE = ("mace-mp-0", "mace-mp-0+d3")
SMALL = (
    "system.species.Fe=49",
    "system.species.O=51",
    "correction.r_cut=5.3",
    "sampling.equilibration=0.4",
    "sampling.frames=40",
    "sampling.stride=5",
    "compare.segments=2",
    "compare.segment_length=0.4",
)


@pytest.fixture(scope="module")
def prediction(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ranking, Path]:
    """All models of the study on a machine without checkpoints, and the folder that was written."""
    out, nothing = tmp_path_factory.mktemp("feo"), tmp_path_factory.mktemp("nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFINE_MODELS", str(nothing))
        patch.setenv("REFINE_CACHE", str(nothing))
        return compare(StudyConfig.from_toml(STUDY, SMALL), out=out), out


def test_composition_and_density_are_those_of_the_paper():
    config = StudyConfig.from_toml(STUDY)
    (system,) = read_systems(config)
    assert system.species == ("Fe", "O")
    fe, o = system.n_per_species
    assert fe * 51 == o * 49
    assert system.number_density == pytest.approx(0.0737, rel=1e-6)
    grams = system.masses.sum() * 1.66053907 / system.volume  # amu/Å^3 in g/cm^3
    assert grams == pytest.approx(4.35, abs=0.005)
    assert system.volume ** (1 / 3) / 2 > 10.0  # R_chi to 10 Å


def test_every_model_file_is_compared():
    listed = StudyConfig.from_toml(STUDY).compare.paths
    assert {path.resolve() for path in listed} == {path.resolve() for path in (FOLDER / "models").glob("*.toml")}
    assert {ModelFile.from_toml(path).label for path in listed} == {*TEMPLATES, *MACE, "guillot-sator-2007"}


@pytest.mark.parametrize(("own", "ferrous", "ferric"), [(True, 1.2, 1.8), (False, 0.945, 1.4175)])
def test_the_charge_of_iron_is_the_mean_of_a_neutral_mixture(own, ferrous, ferric):
    """A share x = 4/49 of 49 Fe with 51 O is ferric: 2 (1 - x) + 3 x = 2 * 51/49. The sets' charges are
    proportional to the formal ones, so their mean over that mixture neutralises the box as well."""
    config = StudyConfig.from_toml(STUDY)
    model = config.model if own else ModelFile.from_toml(FOLDER / "models" / "guillot-sator-2007.toml").model
    share = 4 / 49
    assert model.charges["O"] == -ferrous
    assert model.charges["Fe"] == pytest.approx((1 - share) * ferrous + share * ferric, abs=1e-7)
    assert 49 * model.charges["Fe"] + 51 * model.charges["O"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.slow
def test_without_the_measured_curve_it_is_a_prediction_and_says_so(prediction):
    found, out = prediction
    assert (found.data, found.predicted) == ((), ("xray", "Fe-O"))
    ran = [row for row in found.rows if row.failure is None]
    assert [row.label for row in ran] == ["pedone-2006", "guillot-sator-2007"]
    for row in ran:
        assert row.r_chi == {}
        assert row.curves["xray"].measured is None
        assert row.peaks["Fe-O"].position == pytest.approx(2.0, abs=0.1)  # Å; 2.01 and 2.05 in the melt
        # so short, displacements may not be linear in time, which is then said
        said = [symbol for symbol in ("Fe", "O") if any(f"coefficient of {symbol} in" in note for note in row.notes)]
        assert sorted([d["species"] for d in row.diffusion["melt"]] + said) == ["Fe", "O"]
    assert "pedone-2006: predicted, nothing to compare with" in found.table()
    page = (out / "compare.html").read_text()
    assert "<strong>Prediction.</strong> The study has no measured curve" in page
    assert "xray: D(r), prediction" in page


@pytest.mark.slow
def test_models_without_numbers_or_checkpoint_fail_with_their_line(prediction):
    found, out = prediction
    failures = {row.label: row.failure for row in found.failed}
    assert set(failures) == {*TEMPLATES, *MACE}
    for label, source in TEMPLATES.items():
        assert failures[label].startswith(f"[model]: {label} comes without numbers")
        assert f"fill them in from {source}" in failures[label]
    for label in MACE:
        assert failures[label].startswith("medium is not on this machine")
        assert "refine models fetch medium" in failures[label]
    assert not any("\n" in text for text in failures.values())
    page = (out / "compare.html").read_text()
    assert all(label in page for label in failures)
    assert "comes without numbers" in page


def test_a_template_runs_once_it_has_numbers(tmp_path):
    """Guillot and Sator's, which have the same form."""
    text = (FOLDER / "models" / "rossano-2000.toml").read_text()
    numbers = """
charges = { Fe = 0.9835714, O = -0.945 }
[model.parameters]
A = { Fe-O = 13032.93, O-O = 9022.79 }
rho = { Fe-O = 0.19, O-O = 0.265 }
C = { Fe-O = 0.0, O-O = 85.0921 }
"""
    path = tmp_path / "filled.toml"
    path.write_text(text + numbers)
    pairs, filled = (("Fe", "Fe"), ("Fe", "O"), ("O", "O")), ModelFile.from_toml(path).model
    known = ModelFile.from_toml(FOLDER / "models" / "guillot-sator-2007.toml").model
    r = np.linspace(1.5, 8.0, 50)
    energies = [base_of(model.base).read(model, ("Fe", "O"), pairs, 9.0).interaction(r) for model in (filled, known)]
    np.testing.assert_allclose(*energies, rtol=1e-12)


@pytest.mark.slow
def test_with_a_measured_curve_the_models_are_scored(prediction, tmp_path):
    """The keys of the README. The curve is a tenth above Pedone's own D(r), so R_chi of Pedone, sampled again with the
    same seed, is known: a tenth of the rms of D over the rms of T."""
    found, _ = prediction
    curve = found.rows[0].curves["xray"]
    file = tmp_path / "measured.csv"
    np.savetxt(file, np.column_stack([curve.r, 1.1 * curve.model]), delimiter=",", header="r,D", comments="")
    switch = ("data.xray.role=score", f'data.xray.file="{file}"')
    ranked = compare(StudyConfig.from_toml(STUDY, (*SMALL, *switch)), [], out=tmp_path / "out")
    assert (ranked.data, ranked.predicted) == (("xray",), ("Fe-O",))
    measured = 1.1 * curve.model + 4 * np.pi * 0.0737 * curve.r
    expected = 0.1 * np.linalg.norm(curve.model) / np.linalg.norm(measured)
    assert ranked.rows[0].r_chi["xray"][0] == pytest.approx(expected, rel=0.05)
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "no measured curve: nothing is scored" not in page
    assert "Fe-O: D(r), prediction" in page
