"""Odd command lines, study files and structures end with one line, and leave nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refine.cli.main import app
from tests import small_box
from tests.commands import refused


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return small_box.write(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("system.number_density=1e-12", "bins of 0.02 Å, and 10000 are the most"),
        ("model.parameters.sigma=1e300", "the pair functions begin at 5e+299 Å, and end at 6.5 Å"),
        ("model.parameters.sigma=15.0", "the pair functions begin at 7.5 Å, and end at 6.5 Å"),
        ("model.parameters.sigma=0.0338e-8", ""),
        ("sampling.timestep=nan", "should be a finite number"),
        ("sampling.timestep=1e-15", "should be greater than or equal to 0.001; Time step in fs, usually 0.25 to 10"),
        (
            "states.0.temperature=1e-9",
            "in timestep = 5 fs at 1e-09 K atoms fly less than float32 tells apart in this box, 1e-06 Å: they would "
            'not move; set timestep = "auto", or from 0.25 to 10 fs',
        ),
        ("sampling.time_constant=0.008", "time_constant = 0.008 ps is less than two time steps"),
        ("correction.length=1e-300", "should be greater than or equal to 0.01"),
        ("correction.smoothness=1e-300", "should be from 0.0001 to 1e+12"),
        ("correction.smoothness=1e300", "should be from 0.0001 to 1e+12"),
        ("data.0.sigma=1e-300", "should be from 1e-12 to 1e+12"),
        ("data.0.sigma=[[1.0, 0.1], [2.0, 1e300]]", "should be from 1e-12 to 1e+12"),
        ("data.0.weight=1e300", "should be from 1e-12 to 1e+12"),
        ("refinement.trust_radius=1e-300", "should be greater than or equal to 0.000001"),
        ("states.0.temperature='85 K'", "should be a valid number"),
        ("data.0.file='.'", "not a regular file"),
    ],
)
def test_numbers_out_of_reason(study: Path, change: str, says: str) -> None:
    result = CliRunner().invoke(app, ["check", str(study), "--no-timing", "--set", change])
    if says:
        assert result.exit_code == 2, result.output
        line = result.stderr.splitlines()[-1]
        assert line.startswith("refine: ")
        assert says in line
    else:
        assert result.exit_code == 0, result.output


def test_types_are_those_of_the_file(tmp_path: Path, study: Path) -> None:
    (tmp_path / "learn.toml").write_text('[model]\npath = "a.model"\n[frames]\ntrain = "a.xyz"\n')
    assert 'train = \'a.xyz\' should be a list, as in ["a", "b"]' in refused("learn", tmp_path / "learn.toml")
    study.write_text(study.read_text().replace("{ Ar = 108 }", "{ }"))
    assert "species = {} has too few entries" in refused("check", study)


@pytest.mark.parametrize("command", ["run", "predict", "compare", "enrich"])
def test_a_name_that_is_too_long_is_one_line(study: Path, command: str) -> None:
    before = set(study.parent.iterdir())
    line = refused(command, study, "--out", study.parent / ("x" * 300))
    assert line.endswith("choose a shorter one")
    assert set(study.parent.iterdir()) == before


def test_what_may_not_be_read_is_one_line(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what may be a defect keeps its traceback."""
    for number, told in ((13, True), (2, False)):

        def refuse(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, os.strerror(number), "/somewhere/study.toml")

        monkeypatch.setattr("refine.study.schema.StudyConfig.from_toml", refuse)
        result = CliRunner().invoke(app, ["check", str(study)])
        assert isinstance(result.exception, SystemExit if told else OSError)
        assert ("refine: /somewhere/study.toml: Permission denied" in result.output) == told


@pytest.mark.parametrize(
    ("lattice", "says"),
    [
        ("1e300 0 0 0 1e300 0 0 0 1e300", "a coordinate or lattice vector of 1e+300 Å; give lengths in Å"),
        ("1e7 0 0 0 1e7 0 0 0 1e7", "10000 are the most"),
        ("1e6 0 0 0 0.07 0 0 0 0.07", "atoms are 0.07 Å from their own images"),
        ("nan 0 0 0 5 0 0 0 5", "not a finite number"),
    ],
)
def test_cells_out_of_reason(study: Path, lattice: str, says: str) -> None:
    text = f'1\nLattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"\nAr 0 0 0\n'
    (study.parent / "a.extxyz").write_text(text)
    written = study.read_text().replace("species = { Ar = 108 }\nnumber_density = 0.02125", 'structure = "a.extxyz"')
    study.write_text(written)
    assert says in refused("check", study, "--no-timing")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("prepare", "--out", "a.extxyz", "--replicate", "999,999,999"), "are more than 1000000"),
        (("prepare", "--out", "a.extxyz", "--settle", "1e308"), "less than or equal to 1000000"),
        (("predict", "--frames", "99999999999999999999"), "less than or equal to 1000000"),
    ],
)
def test_amounts_that_no_machine_holds(
    study: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(study.parent)
    result = CliRunner().invoke(app, [words[0], str(study), *words[1:]])
    assert result.exit_code == 2, result.output
    assert says in result.stderr


@pytest.mark.parametrize("written", [b"\xef\xbb\xbf%s", b"%s\r\n# \xc3\xa9\r\n"])
def test_marks_and_line_ends_of_editors(study: Path, written: bytes) -> None:
    study.write_bytes(written.replace(b"%s", study.read_bytes().replace(b"\n", b"\r\n")))
    assert CliRunner().invoke(app, ["check", str(study), "--no-timing"]).exit_code == 0
