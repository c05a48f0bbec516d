"""Nothing of a user's is removed or written over: what --out and --overwrite may not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refine import Study
from refine.cli.main import app
from refine.errors import CheckpointError, InputError
from refine.files import exclusive
from refine.progress import NullProgress
from refine.study.schema import StudyConfig
from refine.tasks.compare import compare
from refine.tasks.forward import check_out
from refine.tasks.prepare import check_target
from refine.tasks.run.loop import Run
from tests import small_box
from tests.commands import refused
from tests.report.conftest import make_run

__all__ = ["make_run"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def begin(study: Path, out: Path, *, overwrite: bool = False) -> Run:
    """A run as far as its folder."""
    out.mkdir(exist_ok=True)
    return Run(Study.from_toml(study), out, resume=False, overwrite=overwrite, progress=NullProgress())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study whose measured curves are in a folder curves/ beside it."""
    path = small_box.write(tmp_path)
    (tmp_path / "curves").mkdir()
    for name in ("sq.csv", "gr.csv"):
        (tmp_path / name).rename(tmp_path / "curves" / name)
    path.write_text(path.read_text().replace('file = "', 'file = "curves/'))
    return path


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_a_run_beside_its_study_removes_nothing(study: Path, options: tuple[str, ...]) -> None:
    before = contents(study.parent)
    result = CliRunner().invoke(app, ["run", str(study), "--out", str(study.parent), *options])
    assert result.exit_code == 2, result.output
    assert result.stderr.splitlines()[-1] == (
        f"refine: {study.parent}: this folder holds curves, and no run; give another --out"
    )
    assert contents(study.parent) == before


@pytest.mark.parametrize("name", ["study.toml", "curves", "g_r", "model.safetensors", "report.html", "result.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_run_of_ours_is_not_removed(study: Path, name: str, overwrite: bool) -> None:
    """Any single output; a result.json of another program, too."""
    out = study.parent / "out"
    out.mkdir()
    if "." in name:
        (out / name).write_text('{"their": "own"}')
    else:
        (out / name).mkdir()
        (out / name / "kept.csv").write_text("1,2")
    before = contents(study.parent)
    with pytest.raises(InputError, match=r"this folder holds .*, and no run; give another --out"):
        begin(study, out, overwrite=overwrite)
    assert contents(study.parent) == before


def test_a_run_that_the_study_reads_from_is_not_removed(study: Path) -> None:
    """A curve of an earlier run is the measurement of this one."""
    out = study.parent / "out"
    begin(study, out)
    (out / "curves").mkdir()
    (study.parent / "curves" / "sq.csv").rename(out / "curves" / "sq.csv")
    study.write_text(study.read_text().replace("curves/sq.csv", "out/curves/sq.csv"))
    before = contents(study.parent)
    with pytest.raises(InputError, match=r"sq\.csv, which is read, lies in it; give another --out"):
        begin(study, out, overwrite=True)
    assert contents(study.parent) == before


def test_a_run_is_replaced(study: Path, make_run: Callable[..., Path]) -> None:
    """One without run.h5 is known by its result.json; a link is removed, and not what it leads to."""
    out = make_run()
    (out / "mine.txt").write_text("not of the run")
    (out / "g_r").rename(out.parent / "elsewhere")
    (out / "g_r").symlink_to(out.parent / "elsewhere")
    with pytest.raises(CheckpointError, match="this folder holds a run; use --resume"):
        begin(study, out)
    begin(study, out, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"mine.txt", "run.h5", "study.toml"}
    assert any((out.parent / "elsewhere").iterdir())
    begin(study, out, overwrite=True)


def test_a_run_stopped_before_it_wrote_its_study_writes_it_when_it_goes_on(study: Path) -> None:
    out = study.parent / "out"
    begin(study, out)
    written = (out / "study.toml").read_text()
    (out / "study.toml").unlink()
    Run(Study.from_toml(study), out, resume=True, overwrite=False, progress=NullProgress())
    assert (out / "study.toml").read_text() == written


def test_tables_of_a_trajectory_are_not_written_over_measured_curves(
    study: Path, make_run: Callable[..., Path]
) -> None:
    """Nor over anything that refine forward did not write."""
    config, trajectory = StudyConfig.from_toml(study), study.parent / "a.dump"
    trajectory.touch()
    before = contents(study.parent)
    words = ["forward", str(trajectory), str(study), "--out", str(study.parent)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    assert "which is read, lies in it; give another --out" in result.stderr.splitlines()[-1]
    assert contents(study.parent) == before
    other = study.parent / "other"
    (other / "g_r").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds g_r and no forward\.json"):
        check_out(config, other, trajectory)
    (other / "forward.json").touch()
    with pytest.raises(CheckpointError, match=r"earlier results \(forward\.json\); use --overwrite"):
        check_out(config, other, trajectory)
    check_out(config, other, trajectory, overwrite=True)
    out = make_run()
    assert not (out / "run.h5").exists()
    with pytest.raises(CheckpointError, match="holds a run"):
        check_out(config, out, trajectory, overwrite=True)


def test_a_comparison_is_not_written_over_its_data_or_models(study: Path) -> None:
    folder = study.parent / "compare"
    folder.mkdir()
    config, model = StudyConfig.from_toml(study), folder / "model.toml"
    with pytest.raises(InputError, match=r"holds compare and no compare\.json"):
        compare(config, [], out=study.parent)
    (study.parent / "compare.json").touch()
    model.write_text('[model]\nbase = "bks"\n')
    with pytest.raises(InputError, match=r"model\.toml, which is read, lies in it"):
        compare(config, [model], out=study.parent)


def test_a_structure_is_not_written_over_the_one_that_the_study_reads(study: Path) -> None:
    start = study.parent / "start.extxyz"
    start.write_text("0\n\n")
    text = study.read_text().replace("species = { Ar = 108 }", 'structure = "start.extxyz"')
    study.write_text(text)
    config = StudyConfig.from_toml(study)
    with pytest.raises(InputError, match="this is a file that is read; give another --out"):
        check_target(config, start, overwrite=True)
    check_target(config, study.parent / "next.extxyz", overwrite=True)


@pytest.mark.parametrize("command", ["compare", "diagnose", "predict"])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_sampled(study: Path, command: str) -> None:
    (study.parent / "file").touch()
    result = CliRunner().invoke(app, [command, str(study), "--out", str(study.parent / "file" / "out")])
    assert result.exit_code == 2, result.output
    assert "choose another folder" in result.stderr.splitlines()[-1]
    assert "sampling" not in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("enrich", "--set", "sampling.engine='lammps'"), "has no bias"),
        (("enrich", "--set", "sampling.engine='ase'"), ""),
        (("enrich", "--set", "sampling.engine='files'"), "samples nothing"),
        (("enrich", "--resume"), ""),
        (("run", "--resume"), "there is no run to resume"),
        (("predict", "--frames", "2"), "2 frames are too few"),
        (("predict", "--set", "system.number_density=0.02", "--set", "model.base='mace'"), ""),
        (("diagnose", "--frames", "2"), "2 frames are too few"),
        (("sensitivity", "--of", "sq:S(Q)@2.0", "--parameter", "Ar-Ar@4.0", "--frames", "2"), "2 frames are too few"),
        (
            ("sensitivity", "--of", "sq:S(Q)@2.0", "--parameter", "Ar-Ar@4.0", "--set", "sampling.engine='lammps'"),
            "has no gradients through trajectories",
        ),
        (("compare", "--frames", "2"), "2 frames are too few"),
    ],
)
def test_what_is_refused_leaves_no_folder_behind(study: Path, words: tuple[str, ...], says: str) -> None:
    """The folder, its parents and its lock."""
    before = set(study.parent.rglob("*"))
    command, *options = words
    out = study.parent / "runs" / "out"
    assert says in refused(command, study, "--out", out, *options)
    assert set(study.parent.rglob("*")) == before


def test_a_refused_block_keeps_what_it_wrote_and_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, wrote in (("empty", False), ("new", True), ("runs/other", False)):
        with pytest.raises(ValueError, match="refused"), exclusive(tmp_path / name):  # noqa: PT012
            if wrote:
                (tmp_path / name / "step.csv").touch()
            raise ValueError("refused")
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.name != ".lock"} == {
        "empty",
        "new",
        "new/step.csv",
    }
