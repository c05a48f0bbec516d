"""`refine predict`: what the base model gives without a fit, beside the first sample of a run."""

import json
from pathlib import Path

import numpy as np
import pytest

from refine import Study
from refine.errors import CheckpointError, InputError
from refine.progress import NullProgress
from refine.results.derived import Propagation
from refine.results.scores import score
from refine.sampling.averages import standard_error
from refine.study.schema import StudyConfig
from refine.tasks.predict import check_out, default_out, predict
from refine.tasks.run.loop import run_study
from refine.tasks.sample import sample_states
from refine.units import BOLTZMANN, PRESSURE_UNIT
from tests import small_box
from tests.commands import call, columns, refused

PREDICTED = """
[[data]]
name = "xrays"
role = "predict"
quantity = "S(Q)"
radiation = "xray"
q_range = [0.8, 11.0]
[[data]]
name = "reduced"
role = "predict"
quantity = "D(r)"
radiation = "xray"
q_range = [0.5, 20.0]
window = "lorch"
"""

PRESSURE = '[[data]]\nname = "p"\nrole = "score"\nquantity = "number density"\nvalue = 0.02125\nsigma = 0.0001\n'
PRESSURE += "bulk_modulus = 0.5\n"


def text(data: str, *, atoms: int = 108, r_cut: str = "") -> str:
    """The small study with other data, without a correction, and a cutoff of its base."""
    begin, end = small_box.STUDY.index("[[data]]"), small_box.STUDY.index("[model]\n")
    head, tail = small_box.STUDY[:begin], small_box.STUDY[end:]
    tail = tail[: tail.index("[correction]")] + tail[tail.index("[sampling]") : tail.index("[refinement]")]
    tail = tail.replace("[model.parameters]", f"{r_cut}\n[model.parameters]", 1)
    return head.replace("Ar = 108", f"Ar = {atoms}") + data + tail


def test_beside_measured_data_it_is_the_first_sample_of_a_run(tmp_path: Path) -> None:
    """The same frames, though no correction acts; curves, g(r) and R_chi from their mean and scatter alone."""
    study = small_box.write(tmp_path)
    study.write_text(study.read_text().replace("[model]\n", PREDICTED + PRESSURE + "[model]\n", 1))
    printed = call("predict", study, "--out", tmp_path / "out")
    whole = Study.from_toml(study)
    (frames,) = sample_states(whole, 48, NullProgress())
    mean, propagation = frames.counts.mean(axis=0, dtype=np.float64), Propagation(frames, np.zeros((0, 0)), None)

    for one in whole.predictions:
        written, shown = columns(tmp_path / "out" / "curves" / f"{one.name}.csv"), one.measurement.shown
        np.testing.assert_allclose(written["model"], shown.predict(mean), rtol=1e-5, atol=1e-6)
        errors = np.hypot(propagation.errors(shown.matrix)[1], one.measurement.cut_error(mean))
        np.testing.assert_allclose(written["model_stderr"], errors, rtol=1e-5)
        assert (written["model_stderr"] > 0.0).all()
    g = columns(tmp_path / "out" / "g_r" / "85K.csv")
    np.testing.assert_allclose(g["Ar-Ar"], frames.pair_distribution()[0], rtol=1e-5, atol=1e-7)

    result = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert result["provenance"]["digest"] == StudyConfig.from_toml(study).digest()
    assert result["provenance"]["seed"] == 3
    (state,) = result["states"]
    assert state["state"] == "85K"
    assert state["predictions"] == ["xrays", "reduced"]
    for row, data in zip(state["data"], whole.datasets, strict=True):
        expected = score(data, whole.targets[data.name], frames)
        assert row["r_chi"] == pytest.approx(expected.r_chi, rel=1e-6)
        assert row["r_chi_stderr"] == pytest.approx(expected.r_chi_stderr, rel=1e-6)
        assert f"{row['r_chi']:.4f} ± {row['r_chi_stderr']:.4f}" in printed
    pressure, error = float(frames.pressure().mean()), float(standard_error(frames.pressure(), frames.replica))
    assert state["mean_pressure_GPa"] == pytest.approx(pressure, rel=1e-6)
    assert state["mean_pressure_GPa_stderr"] == pytest.approx(error, rel=1e-6)
    # a density is compared as the pressure that it implies, zero; its error is that of the bulk modulus
    (number,) = state["numbers"]
    assert (number["measured"], number["unit"]) == (0.0, "GPa")
    assert number["sigma"] == pytest.approx(0.5 * 0.0001 / 0.02125)
    at_85 = PRESSURE_UNIT * (108 * BOLTZMANN * 85.0 + frames.virial.mean() / 3) / frames.volume
    assert number["value"] == pytest.approx(at_85, rel=1e-6)
    assert "p: number density" in printed
    assert "xrays: predicted, nothing to compare with" in printed
    assert printed.splitlines()[-1] == f"tables: {tmp_path / 'out'}"
    assert not list((tmp_path / "out").rglob("result.json"))


def test_nothing_is_measured_and_no_correction_would_fit(tmp_path: Path) -> None:
    """24 atoms: the usual r_cut of a correction, 8 Å, is beyond half the box."""
    study = tmp_path / "study.toml"
    study.write_text(text(PREDICTED, atoms=24, r_cut="r_cut = 4.9"))
    printed = json.loads(call("predict", study, "--out", tmp_path / "out", "--frames", 12, "--json"))
    assert printed == json.loads((tmp_path / "out" / "predict.json").read_text())
    assert printed["states"][0]["frames"] == 12
    assert printed["states"][0]["data"] == []
    assert {path.name for path in (tmp_path / "out" / "curves").iterdir()} == {"xrays.csv", "reduced.csv"}
    # S(Q) of one element does not depend on what is scattered: its own table has it too
    of_pairs, ours = (columns(tmp_path / "out" / name) for name in ("s_q/85K.csv", "curves/xrays.csv"))
    inside = (of_pairs["Q"] > 0.85) & (of_pairs["Q"] < 10.9)
    theirs = np.interp(of_pairs["Q"][inside], ours["Q"], ours["model"])
    np.testing.assert_allclose(of_pairs["Ar-Ar"][inside], theirs, atol=5e-3)


def test_a_base_that_ends_with_the_correction_still_does(tmp_path: Path) -> None:
    """Without a cutoff of its own it is the potential of the run, which ends with a small box; one that is given and
    does not fit into the box is refused."""
    config = StudyConfig.from_toml(small_box.write(tmp_path))
    assert Study(config, corrected=False).base.cutoff == Study(config).base.cutoff == 6.5
    study = tmp_path / "small.toml"
    study.write_text(text(PREDICTED, atoms=24))
    config = StudyConfig.from_toml(study)
    assert Study(config, corrected=False).base.cutoff == Study(config, corrected=False).choices[-1].value == 5.2
    assert "The base model ends there, too" in Study(config, corrected=False).choices[-1].words()
    study.write_text(text(PREDICTED, atoms=24, r_cut="r_cut = 8.0"))
    assert "cutoff of the potential is 8.000 Å; half of the smallest height of the box is 5.207" in refused(
        "predict", study, "--out", tmp_path / "out"
    )


def test_each_state_is_sampled(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    hot = '[[states]]\nname = "hot"\ntemperature = 120.0\n'
    data = PREDICTED.replace("[[data]]\n", '[[data]]\nstate = "85K"\n', 1)
    data = data[::-1].replace("[[data]]\n"[::-1], '[[data]]\nstate = "hot"\n'[::-1], 1)[::-1]
    study.write_text(text(hot + data))
    found = predict(StudyConfig.from_toml(study), frames=300)
    assert [[one.name for one in seen.predictions] for seen in found.seen] == [["xrays"], ["reduced"]]
    cold, warm = (state["mean_temperature_K"] for state in found.to_json()["states"])
    # a temperature scatters by sqrt(2/(3 * 107)) of it, and is forgotten in half a ps: 12 independent ones, 3 sigma
    assert warm - cold == pytest.approx(35.0, abs=10.5)
    found.write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "g_r").iterdir()} == {"85K.csv", "hot.csv"}


def test_a_run_without_anything_to_fit_names_it(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(text(PREDICTED, r_cut="r_cut = 6.5"))
    with pytest.raises(InputError, match=r"nothing to fit.*refine predict, which needs none"):
        run_study(Study.from_toml(study), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    study.write_text(text(PREDICTED, atoms=24) + "\n[correction]\nr_cut = 6.5\n")
    assert "refine predict needs no correction" in refused("run", study)


def test_what_is_in_the_folder_stays_unless_it_is_to_go(tmp_path: Path) -> None:
    config = StudyConfig.from_toml(small_box.write(tmp_path))
    out = tmp_path / "out"
    (out / "curves").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds curves and no predict\.json"):
        check_out(config, out, overwrite=True)
    (out / "predict.json").touch()
    with pytest.raises(CheckpointError, match="use --overwrite"):
        check_out(config, out)
    check_out(config, out, overwrite=True)
    (out / "run.h5").touch()
    with pytest.raises(CheckpointError, match="holds a run"):
        check_out(config, out, overwrite=True)
    assert default_out(config).parts == ("runs", f"{tmp_path.name}-predict")
    with pytest.raises(InputError, match="9 frames are too few"):
        predict(config, frames=9)
