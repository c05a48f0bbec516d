"""What a run may go on with, what not, and its study.toml as a study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from refine import Study
from refine.errors import CheckpointError, InputError
from refine.progress import NullProgress
from refine.report import write_report
from refine.study.schema import StudyConfig
from refine.tasks.run.began import Began
from refine.tasks.run.loop import Run
from tests import small_box

SHORT = ("refinement.iterations=1", "sampling.frames=24", "sampling.equilibration=0.5", "sampling.reequilibration=0.1")
PREDICTED = {"name": "ours", "role": "predict", "quantity": "g(r)", "pair": ["Ar", "Ar"]}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The small box in a folder of its own."""
    (tmp_path / "mine").mkdir()
    return small_box.write(tmp_path / "mine")


def begin(study: Path, out: Path, *changes: str, resume: bool = False) -> Run:
    """A run as far as its folder."""
    out.mkdir(exist_ok=True)
    made = Study.from_toml(study, changes)
    return Run(made, out, resume=resume, overwrite=False, progress=NullProgress())


def numbers(out: Path) -> dict:
    """result.json without what a clock, a machine or the place of files puts in."""
    result = json.loads((out / "result.json").read_text())
    for row in result["iterations"]:
        row.pop("seconds_sampling"), row.pop("seconds_solving")
    for entry in result["data"]:
        entry.pop("warnings")  # they name files
    return {key: value for key, value in result.items() if key not in ("seconds", "provenance", "study")}


def test_a_run_at_its_limit_goes_on_and_its_study_runs_again_from_its_folder(study: Path, tmp_path: Path) -> None:
    """More updates, another title and a curve more; a finished run that is resumed as it was does nothing."""
    out, other = tmp_path / "runs" / "out", tmp_path / "other"
    short = Study.from_toml(study, SHORT).run(out, resume="auto")
    assert len(short.iterations) == 2
    assert "refinement.iterations=2" in short.message
    shutil.copytree(out, tmp_path / "again")

    text = study.read_text()
    study.write_text(text.replace("A small box", "Another name") + "[coordination]\nradii = { Ar-Ar = 5.0 }\n")
    longer = Study.from_toml(study, [*SHORT, "refinement.iterations=2"]).run(out, resume="auto")
    assert len(longer.iterations) == 3
    for row, before in zip(longer.iterations, short.iterations, strict=False):
        assert row.chi2 == before.chi2
        assert row.actual_decrease == before.actual_decrease
    assert longer.summary.title == "Another name"
    assert longer.coordination[0].radius == 5.0
    assert StudyConfig.from_toml(out / "study.toml").refinement.iterations == 2
    finished = numbers(out)
    said = json.loads((out / "result.json").read_text())
    assert said["study"] == StudyConfig.from_toml(out / "study.toml").to_tree()
    assert said["model"] == {"base": "lennard-jones", "title": "lennard-jones", "dispersion": "none", "sha256": None}
    assert said["provenance"]["device"] == "cpu"
    assert "jax" in said["provenance"]["versions"]
    assert numbers(Study.from_toml(out / "study.toml").run(out, resume=True).out) == finished

    # the study of the folder, seen from there, is the one that was run
    study.write_text(text)
    again = tmp_path / "again"
    assert "../runs" not in (again / "study.toml").read_text()
    shutil.move(again, tmp_path / "runs" / "again")
    before = numbers(tmp_path / "runs" / "again")
    Study.from_toml(tmp_path / "runs" / "again" / "study.toml").run(other)
    assert numbers(other) == before

    # an archive has its report, wherever it is
    away = tmp_path / "some" / "where" / "else"
    shutil.copytree(other, away)
    shutil.rmtree(study.parent)
    assert write_report(away).stat().st_size > 100_000
    with pytest.raises(InputError, match=r"sq\.csv"):
        Study.from_toml(away / "study.toml")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["sampling.seed=4"], ["sampling.seed = 4, was 3"]),
        (["model.parameters.sigma=3.4", "data.sq.fit_q=[0.5, 10.0]"], ["sigma = 3.4, was 3.38", "10.0], was [0.5, 11"]),
        (["states.85K.temperature=86"], ["states.85K.temperature = 86.0, was 85.0"]),
        (["data.gr.name=rg"], ["data = ['sq', 'rg'], was ['sq', 'gr']"]),
        (["data.sq.weight=2"], ["data.sq.weight = 2.0, was 1.0"]),
        (["data.sq.isotopes={}"], ["data.sq.isotopes.Ar = not given, was 36"]),
        (["refinement.method=ibi"], ["refinement.method = 'ibi', was 'gauss-newton'"]),
    ],
)
def test_what_may_not_change_is_named_with_both_values(
    study: Path, tmp_path: Path, changes: list[str], says: list[str]
) -> None:
    before, after = (StudyConfig.from_toml(study, change) for change in ([], changes))
    said = Began(before.to_tree(), {}, "").changes(Began(after.to_tree(), {}, ""))
    for words in says:
        assert words in "; ".join(said)
    begin(study, tmp_path / "out")
    if changes[0].startswith(("refinement", "data.sq.iso")):
        return  # refused for other reasons
    with pytest.raises(CheckpointError) as caught:
        begin(study, tmp_path / "out", *changes, resume=True)
    assert says[0] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "refinement.iterations" in str(caught.value)


def test_a_file_that_changed_is_named_and_one_that_moved_is_none(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begin(study, out)
    (study.parent / "there").mkdir()
    (study.parent / "sq.csv").rename(study.parent / "there" / "sq.csv")
    begin(study, out, "data.sq.file=there/sq.csv", resume=True)
    (study.parent / "there" / "sq.csv").write_text((study.parent / "there" / "sq.csv").read_text() + "\n")
    with pytest.raises(CheckpointError, match=r"data\.sq\.file has other content") as caught:
        begin(study, out, "data.sq.file=there/sq.csv", resume=True)
    assert "gr" not in str(caught.value).split("study:")[1].split(";")[0]


def test_a_run_of_an_earlier_version_goes_on_with_the_very_same_study(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = begin(study, out)
    run.began = None  # which it did not write
    run._save()
    begin(study, out, resume=True)
    run._save()
    with pytest.raises(CheckpointError, match="changed since this run began"):
        begin(study, out, "refinement.iterations=9", resume=True)


def test_many_changes_are_counted(study: Path, tmp_path: Path) -> None:
    begin(study, tmp_path / "out")
    changes = [f"sampling.{key}" for key in ("seed=4", "frames=50", "stride=9", "timestep=4.0", "final=2.0")]
    changes += ["sampling.equilibration=3.0", "sampling.reequilibration=0.5", "correction.knots=17", "model.r_cut=7.0"]
    with pytest.raises(CheckpointError, match="and 2 more") as caught:
        begin(study, tmp_path / "out", *changes, resume=True)
    assert "sampling.final =" not in str(caught.value)
