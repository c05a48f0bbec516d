"""Heads of one MACE model, and models with and without dispersion, side by side in `refine compare`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import refine
from refine.cli.main import app
from refine.errors import InputError
from refine.potentials.calculator import Calculator
from refine.potentials.mace import base
from refine.potentials.mace.reader.neutral import write_neutral
from refine.study.schema import StudyConfig
from refine.tasks.compare import compare
from refine.tasks.contenders import of_file, of_study, paired, with_and_without
from tests import small_box
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

HEADS = ("omat_pbe", "matpes_r2scan")
STUDY = """
[system]
species = { Ar = 24 }
number_density = 0.02
[[states]]
name = "85K"
temperature = 85.0
[[data]]
name = "gr"
role = "predict"
quantity = "g(r)"
radiation = "neutron"
q_range = [0.0, 40.0]
score_r = [3.0, 5.0]
[model]
base = "mace"
name = "mh-1"
[correction]
knots = 8
r_min = 0.8
r_cut = 5.2
[sampling]
timestep = 5.0
equilibration = 0.2
reequilibration = 0.1
frames = 10
stride = 4
seed = 3
[compare]
segments = 0
"""


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A model of two heads that goes by the name of MH-1; every file that is read as a MACE model."""
    options = {"channels": 2, "max_ell": 1, "l_hidden": 0, "scale": 0.05}
    write_neutral(random_checkpoint(2, heads=HEADS, **options), tmp_path / "mh.safetensors")
    write_neutral(random_checkpoint(3, **options), tmp_path / "own.safetensors")
    monkeypatch.setattr(base, "find", lambda name: tmp_path / "mh.safetensors")
    read: list[Path] = []
    load = base.load
    monkeypatch.setattr(base, "load", lambda path: read.append(Path(path)) or load(path))
    return read


def config(folder: Path, *changes: str) -> StudyConfig:
    (folder / "study.toml").write_text(STUDY)
    return StudyConfig.from_toml(folder / "study.toml", changes)


OWN = 'model={ base = "mace", path = "own.safetensors" }'
LJ = 'model={ base = "lennard-jones", parameters = { epsilon = 0.01, sigma = 3.4 } }'


def curve(label: str, folder: Path) -> np.ndarray:
    return np.genfromtxt(folder / "compare" / label / "gr.csv", delimiter=",", skip_header=1)[:, 2]


@pytest.mark.slow
def test_each_head_is_a_row_of_one_file_with_its_theory(tmp_path: Path, loads: list[Path]) -> None:
    out = tmp_path / "out"
    words = ["compare", str(config(tmp_path).source_path), "--heads", " all", "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert len(loads) == 1
    rows = {row["label"]: row for row in json.loads((out / "compare.json").read_text())["models"]}
    theories = {"mh-1-omat_pbe": "PBE+U", "mh-1-matpes_r2scan": "r2SCAN"}
    assert {label: row["theory"] for label, row in rows.items()} == theories
    assert "mh-1-matpes_r2scan (r2SCAN): " in result.output
    assert "r2SCAN" in (out / "compare.html").read_text()
    assert np.abs(curve("mh-1-omat_pbe", out) - curve("mh-1-matpes_r2scan", out)).max() > 1e-3


@pytest.mark.slow
def test_heads_with_and_without_dispersion_by_the_command(tmp_path: Path, loads: list[Path]) -> None:
    """Rows are, number by number, those of studies that name the head, and the file is read once for them all. D3 is on
    the head of PBE+U alone."""
    study, out = config(tmp_path), tmp_path / "out"
    words = ["compare", str(study.source_path), "--heads", "omat_pbe, matpes_r2scan", "--dispersion", "--out", str(out)]
    words += ["--set", "compare.density=true", "--set", "compare.density_length=1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert len(loads) == 1
    rows = {row["label"]: row for row in json.loads((out / "compare.json").read_text())["models"]}
    assert set(rows) == {"mh-1-omat_pbe", "mh-1-omat_pbe+D3", "mh-1-matpes_r2scan"}
    assert rows["mh-1-omat_pbe+D3"]["theory"] == "PBE+U"
    (note,) = [note for note in rows["mh-1-matpes_r2scan"]["notes"] if "D3" in note]
    assert note == "No row with D3: the D3 of refine is damped for PBE, and the model is of r2SCAN."
    assert all(set(row["density"]) == {"85K"} or "No density of" in row["notes"][-1] for row in rows.values())
    compare(config(tmp_path, 'model.head="matpes_r2scan"'), [], out=tmp_path / "one")
    np.testing.assert_array_equal(curve("mh-1", tmp_path / "one"), curve("mh-1-matpes_r2scan", out))
    assert np.abs(curve("mh-1-omat_pbe", out) - curve("mh-1-omat_pbe+D3", out)).max() > 1e-3


def test_heads_that_are_named(tmp_path: Path, loads: list[Path]) -> None:
    (only,) = of_study(config(tmp_path), ["matpes_r2scan", "matpes_r2scan"])
    assert (only.label, only.model.head, only.opened.head) == ("mh-1-matpes_r2scan", *2 * ("matpes_r2scan",))
    named = Calculator(tmp_path / "mh.safetensors", head="matpes_r2scan").model
    assert only.opened.checkpoint.sha256 == named.checkpoint.sha256
    assert [one.label for one in of_study(config(tmp_path), "matpes_r2scan")] == [only.label]


@pytest.mark.parametrize(
    ("changes", "heads", "words"),
    [
        ((), ["omol"], "--heads: the model has no head 'omol'; it has omat_pbe, matpes_r2scan"),
        ((), [], "--heads: no head is named; it has omat_pbe, matpes_r2scan"),
        ((OWN,), "all", "--heads: the study's base, mace, has one head only; leave it out"),
        ((LJ,), "all", "--heads: the study's base, lennard-jones, has no heads; leave it out"),
    ],
)
def test_heads_that_are_none(
    tmp_path: Path, loads: list[Path], changes: tuple[str, ...], heads: list[str] | str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        compare(config(tmp_path, *changes), [], heads=heads)
    assert str(caught.value) == words


def test_dispersion_that_does_not_belong_is_refused(tmp_path: Path, loads: list[Path]) -> None:
    for changes, words in (
        ((LJ,), "a classical potential stands for no functional"),
        (('model.head="matpes_r2scan"',), "the model is of r2SCAN"),
    ):
        with pytest.raises(InputError) as caught:
            refine.compare(config(tmp_path, *changes), [], dispersion=True)
        begin = f"--dispersion: the D3 of refine is damped for PBE, and {words}; leave it out"
        assert str(caught.value).startswith(begin)
        assert "\n" not in str(caught.value)


def test_a_file_may_have_the_dispersion_that_the_study_cannot(tmp_path: Path) -> None:
    own = of_study(config(tmp_path, LJ), None)
    (only,) = paired(own, alone=False)
    assert only.notes[-1].startswith("No row with D3: ")


def test_whose_theory_nobody_knows_gets_dispersion_and_a_note(tmp_path: Path, loads: list[Path]) -> None:
    plain, dispersed = paired(of_study(config(tmp_path, OWN), None), alone=True)
    assert (plain.label, plain.notes) == ("mace", ())
    assert (dispersed.label, dispersed.model.dispersion) == ("mace+D3", "d3-bj")
    assert dispersed.notes == ("Its level of theory is not known; D3 is damped for PBE.",)
    assert dispersed.opened is plain.opened
    assert len(loads) == 1


def test_what_cannot_be_read_is_left_to_fail_as_a_row(tmp_path: Path, loads: list[Path]) -> None:
    """A model of several heads that names none, a name that is no head's, and a file that is not there."""
    for keys in ('name = "mh-1"', 'name = "mh-1"\nhead = "none"', 'path = "absent.model"'):
        (tmp_path / "file.toml").write_text(f'[model]\nbase = "mace"\n{keys}\n')
        (alone,) = with_and_without(of_file(tmp_path / "file.toml"))
        assert alone.label == "file"


def test_a_model_with_dispersion_is_compared_without(tmp_path: Path) -> None:
    """Also of a classical study that states it: the row without is that of the study without."""
    path = small_box.write(tmp_path)
    tables = tomllib.loads(path.read_text())
    tables["system"]["species"], tables["model"]["dispersion"] = {"Ar": 40}, "d3-bj"
    tables["correction"]["r_cut"] = 5.5
    tables["data"] = [{**tables["data"][1], "fit_r": [2.5, 5.5], "score_r": [3.0, 5.5]}]
    tables["sampling"] |= {"equilibration": 0.4, "stride": 4}
    tables["compare"] = {"segments": 0}
    study = StudyConfig.parse(tables, tmp_path)
    other = tmp_path / "other.toml"
    other.write_text(
        '[model]\nbase = "lennard-jones"\ndispersion = "d3-bj"\nparameters = { epsilon = 0.008, sigma = 3 }'
    )
    assert [one.label for one in with_and_without(of_file(other))] == ["other", "other-no-D3"]
    found = {row.label: row for row in compare(study, [], dispersion=True, frames=10).rows}
    assert set(found) == {"lennard-jones+D3", "lennard-jones"}
    (alone,) = compare(study.model_copy(update={"model": _without(study)}), [], frames=10).rows
    assert alone.r_chi == found["lennard-jones"].r_chi
    assert alone.r_chi != found["lennard-jones+D3"].r_chi


def _without(study: StudyConfig) -> object:
    return study.model.model_copy(update={"dispersion": "none"})


def test_names_of_pairs_are_names_of_folders_and_unique(tmp_path: Path, loads: list[Path]) -> None:
    (tmp_path / "twin.toml").write_text(f'label = "mace+D3"\n[model]\n{OWN[8:-1].replace(", ", chr(10))}\n')
    with pytest.raises(InputError, match=r"two models are called 'mace\+d3'"):
        compare(config(tmp_path, OWN), [tmp_path / "twin.toml"], dispersion=True)
    write_neutral(random_checkpoint(2, heads=("../a b", "../a;b"), channels=2, max_ell=1), tmp_path / "mh.safetensors")
    labels = [one.label for one in of_study(config(tmp_path), "all")]
    assert labels == ["mh-1-.._a_b", "mh-1-.._a_b-2"]
