"""Three models against one measurement: a ranking, a page, tables, and a row for the model that cannot be sampled."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from refine import Study
from refine.cli.main import app
from refine.errors import InputError
from refine.potentials.pairs import PairForceField
from refine.sampling.diffusion import finite_size_correction
from refine.study.schema import StudyConfig
from refine.tasks.compare import compare
from tests import small_box

LJ = '[model]\nbase = "lennard-jones"\n[model.parameters]\nepsilon = {}\nsigma = {}\n'


def diffusive(notes):
    """Without those on samples that are as short as tests have them."""
    return [note for note in notes if "correlation times long" not in note and " drifts: " not in note]


def model(folder, name, text):
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


PREDICTED = """
[[data]]
name = "xrays"
quantity = "D(r)"
radiation = "xray"
role = "predict"
q_range = [0.05, 11.9]
score_r = [3.0, 7.0]
"""


def predicting(folder):
    """The small study and, after its measured curves, one that nobody measured; [compare] names a model of its own."""
    study = small_box.write(folder)
    model(folder, "wrong", 'label = "small"\n' + LJ.format(0.0095, 3.1))
    text = study.read_text().replace("[model]\n", PREDICTED + "[model]\n", 1)
    study.write_text(text + '[compare]\nmodels = ["wrong.toml"]\nsegments = 0\n')
    return study


def columns(path):
    rows = list(csv.DictReader(path.open()))
    return {key.partition(" [")[0]: np.array([float(row[key]) for row in rows]) for key in rows[0]}


def test_a_density_that_the_engine_cannot_give_is_refused_before_anything_is_sampled(tmp_path):
    sets = ["sampling.engine='lammps'", "sampling.processes=2", "compare.density=true"]
    (row,) = compare(StudyConfig.from_toml(small_box.write(tmp_path), sets)).rows
    assert "[sampling] processes: engine 'lammps' holds no pressure" in row.failure


@pytest.mark.slow
def test_a_prediction_beside_a_measured_curve(tmp_path):
    """D(r) of one element is the same for x-rays and neutrons: what is predicted is what the scored S(Q) gives, but for
    the periodic images, which only a measurement knows (0.01 of D)."""
    found = compare(StudyConfig.from_toml(predicting(tmp_path)), out=tmp_path / "out")
    assert {row.label for row in found.rows} == {"lennard-jones", "small"}
    assert (found.data, found.predicted) == (("sq", "gr"), ("xrays",))
    seen = columns(tmp_path / "out" / "compare" / "small" / "sq.csv")
    predicted = columns(tmp_path / "out" / "compare" / "small" / "xrays.csv")
    np.testing.assert_array_equal(predicted["r"], seen["r"])
    np.testing.assert_allclose(predicted["model"], seen["model"], atol=0.02 * np.ptp(seen["model"]))
    assert set(predicted) == {"r", "model", "model_stderr"}
    peak = found.rows[0].peaks["xrays"]
    assert peak.measured_position is None
    assert peak.position == pytest.approx(found.rows[0].peaks["sq"].position, abs=0.02)
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "xrays: D(r), prediction" in page


def test_with_nothing_measured_all_is_prediction(tmp_path):
    study = predicting(tmp_path)
    head, _, tail = study.read_text().partition("[[data]]")
    study.write_text(head + PREDICTED + tail[tail.index("[model]") :])
    found = compare(StudyConfig.from_toml(study), [], out=tmp_path / "out", frames=16)
    # below, notes that so short a sample is
    assert found.table().splitlines()[0] == "lennard-jones: predicted, nothing to compare with"
    assert "no measured curve" in (tmp_path / "out" / "compare.html").read_text()
    with pytest.raises(InputError, match="nothing to fit"):
        Study.from_toml(study).run(tmp_path / "run")


@pytest.mark.slow
def test_models_are_ranked_and_one_that_fails_is_a_row_that_says_so(tmp_path):
    study = small_box.write(tmp_path)
    wrong = model(tmp_path, "small", LJ.format(0.0095, 3.1))
    unknown = model(tmp_path, "unknown", '[model]\nbase = "nonesuch"\n')
    out = tmp_path / "out"
    words = ["compare", str(study), "--models", str(wrong), "--models", str(unknown), "--out", str(out)]
    words += ["--set", "compare.segment_length=10"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    found = json.loads((out / "compare.json").read_text())
    assert [row["label"] for row in found["models"]] == ["lennard-jones", "small", "unknown"]
    best, second, failed = found["models"]
    for name in ("sq", "gr"):
        difference = second["r_chi"][name][0] - best["r_chi"][name][0]
        assert difference > 5 * max(best["r_chi"][name][1], second["r_chi"][name][1])
    assert "nonesuch" in failed["failure"]
    assert best["coordination"]["85K"][0]["number"] == pytest.approx(12.5, abs=1.5)
    (found,), viscosity = best["diffusion"]["85K"], best["viscosity"]["85K"]
    assert found["uncorrected"] > 4 * found["uncorrected_stderr"]
    assert found["finite_size"] == "corrected with the model's viscosity"
    shift = 10 * finite_size_correction(found["temperature"], viscosity["value"], (108 / 0.02125) ** (1 / 3))
    assert found["value"] - found["uncorrected"] == pytest.approx(shift, rel=1e-6)
    error = np.hypot(found["uncorrected_stderr"], shift * viscosity["stderr"] / viscosity["value"])
    assert found["stderr"] == pytest.approx(error, rel=1e-6)
    rows = list(csv.DictReader((out / "compare" / "small" / "gr.csv").open()))
    assert float(rows[0]["r [angstrom]"]) >= 3.0
    page = (out / "compare.html").read_text()
    assert "nonesuch" in page
    assert "small, R" in page


def test_a_model_of_the_study_that_fails_is_a_row_too(tmp_path, monkeypatch):
    """Also where the output folder is not given, and so follows from the study."""
    monkeypatch.chdir(tmp_path)
    study = small_box.write(tmp_path)
    text = study.read_text()
    start, end = text.index("[model]"), text.index("[correction]")
    study.write_text(text[:start] + '[model]\nbase = "yang-2016"\n' + text[end:])
    fine = model(tmp_path, "fine", text[start:end])
    words = ["compare", str(study), "--models", str(fine), "--frames", "12"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    found = json.loads((Path("runs") / tmp_path.name / "compare.json").read_text())
    rows = {row["label"]: row.get("failure") for row in found["models"]}
    assert "without numbers" in rows["yang-2016"]
    assert not rows["fine"]


def test_two_models_of_one_label_are_refused(tmp_path):
    study = small_box.write(tmp_path)
    twin = model(tmp_path, "a", 'label = "lennard-jones"\n' + LJ.format(0.01, 3.4))
    with pytest.raises(InputError, match="two models are called"):
        compare(StudyConfig.from_toml(study), [twin])


def test_a_file_without_a_model_is_refused_before_anything_runs(tmp_path):
    study = small_box.write(tmp_path)
    with pytest.raises(InputError, match="model"):
        compare(StudyConfig.from_toml(study), [model(tmp_path, "empty", 'label = "x"\n')])


def test_a_free_scale_is_solved_for_before_the_score_is_taken(tmp_path):
    study = small_box.write(tmp_path)
    r, g = np.loadtxt(tmp_path / "gr.csv", delimiter=",", skiprows=1).T
    np.savetxt(tmp_path / "low.csv", np.stack([r, 1 + 0.8 * (g - 1)], axis=1), delimiter=",", header="r,g")
    entry = study.read_text().split("[[data]]")[2].split("[model]")[0].replace('"gr"', '"{}"').replace("gr.csv", "{}")
    free = "free_scale = true\nscale_prior = 10.0\n"
    text = study.read_text().replace(
        "[model]",
        "".join(f"[[data]]{entry.format(*f)}{free}" for f in (("as", "gr.csv"), ("low", "low.csv"))) + "[model]",
    )
    study.write_text(text)
    (row,) = compare(StudyConfig.from_toml(study), []).rows
    assert set(row.scales) == {"as", "low"}
    assert row.scales["low"][0] == pytest.approx(0.8 * row.scales["as"][0], rel=1e-3)
    assert row.r_chi["as"][0] < row.r_chi["gr"][0]
    level = 4 * np.pi * 0.02125 * row.curves["gr"].r
    ratio = row.curves["low"].model / row.curves["gr"].model
    assert ratio[np.abs(row.curves["gr"].model) > 0.1 * level] == pytest.approx(row.scales["low"][0], rel=1e-6)


def one(study, *changes):
    """The row of the study's own model, after 60 frames."""
    (row,) = compare(StudyConfig.from_toml(study, changes), [], frames=60).rows
    assert row.failure is None
    return row


@pytest.mark.slow
def test_diffusion_does_not_depend_on_the_thermostat(tmp_path):
    """Langevin with 0.1 and 2 ps: D within 4 sigma, sigma below 8 %. With the friction in it, the first would be less
    than half."""
    study = small_box.write(tmp_path)
    long = ("sampling.equilibration=10.0", "sampling.stride=40", "compare.segments=16", "compare.segment_length=10")
    found = [one(study, f"sampling.time_constant={t}", *long).diffusion["85K"][0] for t in (0.1, 2.0)]
    errors = [d["uncorrected_stderr"] for d in found]
    assert max(errors) < 0.08 * found[0]["uncorrected"]
    assert abs(found[0]["uncorrected"] - found[1]["uncorrected"]) < 4 * np.hypot(*errors)


def test_without_a_linear_displacement_no_diffusion_coefficient_is_printed(tmp_path):
    """Segments of 0.4 ps, 1.6 at most, are shorter than a cage lives; of 0.1 ps, too short for a slope."""
    study = small_box.write(tmp_path)
    row = one(study, "compare.segment_length=0.4")
    assert row.diffusion["85K"] == []
    (note,) = diffusive(row.notes)
    (short,) = diffusive(one(study, "compare.segment_length=0.1").notes)
    assert "segment_length: segments of 0.1 ps are too short" in short
    assert note.startswith("No diffusion coefficient of Ar in state 85K: its mean square displacement is not linear")


def test_viscosity_of_the_user_and_none_of_a_solid(tmp_path):
    study = small_box.write(tmp_path)
    study.write_text(study.read_text().replace("temperature = 85.0", "temperature = 85.0\nviscosity = 0.25"))
    row = one(study, "compare.segment_length=5.0")
    (found,) = row.diffusion["85K"]
    assert found["finite_size"] == "corrected with the viscosity of the state, not of the model"
    shift = 10 * finite_size_correction(found["temperature"], 0.25, (108 / 0.02125) ** (1 / 3))
    assert found["value"] - found["uncorrected"] == pytest.approx(shift, rel=1e-6)
    assert found["stderr"] == found["uncorrected_stderr"]
    text = study.read_text().replace("temperature = 85.0", 'temperature = 85.0\nphase = "solid"')
    study.write_text(text)
    row = one(study, "compare.segment_length=5.0", "compare.segments=2")
    assert row.viscosity == {}
    assert "solid" in row.diffusion["85K"][0]["finite_size"]


@pytest.mark.slow
def test_segments_are_together_twice_as_long_as_what_is_sampled(tmp_path):
    """60 frames of 40 steps of 5 fs are 12 ps: four segments of 6 ps, whose lags end at half of them, or of them grown
    to twice or four times that."""
    row = one(small_box.write(tmp_path), "sampling.stride=40", "compare.segments=4")
    (found,) = row.diffusion["85K"]
    assert any(found["lags_ps"][1] == pytest.approx(n * 3.0, rel=0.02) for n in (1, 2, 4))


def test_no_segments_no_dynamics(tmp_path):
    row = one(small_box.write(tmp_path), "compare.segments=0")
    assert (row.diffusion, row.viscosity, diffusive(row.notes)) == ({}, {}, [])
    with pytest.raises(InputError, match="two 'segments' or more"):
        StudyConfig.from_toml(tmp_path / "study.toml", ["compare.segments=1"])


def test_the_refined_potential_of_a_run(tmp_path, monkeypatch):
    """It is what its dynamics run with, in sampling and without a thermostat, and its R_chi is that of the run within 5
    sigma; the base stays what it is."""
    study, run, used = small_box.write(tmp_path), tmp_path / "run", []
    Study.from_toml(study, ["refinement.iterations=1"]).run(run)
    plain = PairForceField.params

    def params(self, correction, base=None):
        used.append(correction)
        return plain(self, correction, base)

    monkeypatch.setattr(PairForceField, "params", params)
    config = StudyConfig.from_toml(study, ["compare.segment_length=5.0"])
    rows = {row.label: row for row in compare(config, [], runs=[run], out=tmp_path / "out", frames=60).rows}
    result = json.loads((run / "result.json").read_text())
    stored = result["correction"][0]["coefficients"]
    assert [np.abs(c.coefficients).max() > 0.0 for c in used] == [False, False, True, True]
    for correction in used[2:]:
        np.testing.assert_allclose(correction.coefficients[0], stored, rtol=1e-12)
    refined, final = rows["run"], result["final"]
    difference = refined.r_chi["sq"][0] - final["r_chi"]["sq"]
    assert abs(difference) < 5 * np.hypot(refined.r_chi["sq"][1], final["r_chi_stderr"]["sq"])
    assert refined.diffusion["85K"][0]["value"] != rows["lennard-jones"].diffusion["85K"][0]["value"]
    assert (tmp_path / "out" / "compare" / "run" / "sq.csv").exists()
    with pytest.raises(InputError):
        compare(config, [], runs=[tmp_path / "nothing"])
