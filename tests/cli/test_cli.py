"""The command: what it prints, how it exits. The engine is a stand-in; tests/tasks/test_run.py runs the real one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from rich.console import Console
from typer.testing import CliRunner

import refine
from refine.cli.main import COMMANDS, app
from refine.cli.terminal import r_chi_table, terminal_progress
from refine.errors import CheckpointError, SimulationError
from refine.progress import NullProgress, Progress
from refine.results.schema import MeasuredNumber, Scores, State
from refine.study.schema import StudyConfig, reference_markdown
from tests.logs import undated

STUDY = """
title = "[bold]Argon"
[system]
species = { Ar = 108 }
number_density = 0.02125
[[states]]
name = "85K"
temperature = 85
[[data]]
name = "sq"
file = "sq.csv"
quantity = "S(Q)"
radiation = "neutron"
[model]
base = "lennard-jones"
"""


@dataclass
class FakeResult:
    status: str = "converged"
    message: str = "change is within the sampling noise"
    initial: Scores = field(default_factory=lambda: Scores(r_chi={"sq": 0.1234, "other": None}, chi2={}))
    final: Scores = field(default_factory=lambda: Scores(r_chi={"sq": 0.0098, "other": None}, chi2={}))
    report_path: Path = Path("somewhere/report.html")
    summary: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            numbers=[
                MeasuredNumber(
                    name="p",
                    quantity="pressure",
                    state="85K",
                    role="fit",
                    value=0.0,
                    sigma=0.01,
                    unit="GPa",
                    initial=-0.05,
                    initial_stderr=0.004,
                    final=0.002,
                    final_stderr=0.005,
                )
            ],
            states=[State(name="85K", temperature=85.0, pressure_GPa=0.002, pressure_GPa_stderr=0.005)],
            notes=["the errors are too small"],
            data=[],
            yields_potential=True,
            determination=None,
        )
    )


class FakeStudy:
    """Stands for `refine.study.study.Study` and its run: notes how it is called, and ends as it is told to."""

    calls: list[tuple[StudyConfig, Path, bool, bool]]
    ends_with: BaseException | None
    ended = "converged"

    def __init__(self, config: StudyConfig) -> None:
        self.config = config

    def run(self, out: Path, *, resume: bool, overwrite: bool, progress: Progress) -> FakeResult:
        self.calls.append((self.config, out, resume, overwrite))
        progress.stage("sampling", 10)
        progress.advance(10)
        progress.message("R_chi 0.0098")
        if self.ends_with is not None:
            raise self.ends_with
        return FakeResult(self.ended)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[FakeStudy]:
    module = ModuleType("refine.study.study")
    FakeStudy.calls, FakeStudy.ends_with = [], None
    module.Study = FakeStudy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "refine.study.study", module)
    task = ModuleType("refine.tasks.run.loop")
    task.run_study = FakeStudy.run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "refine.tasks.run.loop", task)
    return FakeStudy


@pytest.fixture
def study(tmp_path: Path) -> str:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return str(path)


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_run(engine: type[FakeStudy], study: str) -> None:
    result = call("run", study, "--out", "there", "--set", "sampling.frames=20", "--set", "refinement.iterations=3")
    assert result.exit_code == 0, result.output
    ((config, out, resume, overwrite),) = engine.calls
    assert (config.sampling.frames, config.refinement.iterations) == (20, 3)
    assert (out, resume, overwrite) == (Path("there"), False, False)
    lines = undated(result.stdout)
    assert lines[:4] == ["loading jax", "[bold]Argon: results go to there", "sampling", "R_chi 0.0098"]
    assert "converged: change is within the sampling noise" in lines
    assert ["sq", "0.1234", "0.0098"] in [line.split() for line in lines]
    assert ["other", "-", "-"] in [line.split() for line in lines]
    assert lines[-1] == "report: somewhere/report.html"


@pytest.mark.parametrize(
    ("status", "code"), [("converged", 0), ("not-improved", 3), ("iterations-exhausted", 4), ("not-sampled", 4)]
)
def test_exit_codes_tell_how_a_run_ended(
    engine: type[FakeStudy], study: str, monkeypatch: pytest.MonkeyPatch, status: str, code: int
) -> None:
    monkeypatch.setattr(engine, "ended", status)
    assert call("run", study).exit_code == code
    text = " ".join(call("run", "--help").stdout.split())
    for said in ("0 converged", "4 stopped at the limit", "3 finished, and nothing improved", "130 interrupted"):
        assert said in text


def test_default_folder_is_named_after_the_study_s(engine: type[FakeStudy], study: str) -> None:
    result = call("run", study)
    folder = Path("runs") / Path(study).resolve().parent.name
    assert engine.calls[0][1] == folder
    assert f"results go to {folder}" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("option", "expected"),
    [("--resume", (True, False)), ("--continue", ("auto", False)), ("--overwrite", (False, True))],
)
def test_resume_and_overwrite(engine: type[FakeStudy], study: str, option: str, expected: tuple[bool, bool]) -> None:
    assert call("run", study, option).exit_code == 0
    assert engine.calls[0][2:] == expected


def test_resume_excludes_overwrite(engine: type[FakeStudy], study: str) -> None:
    result = call("run", study, "--resume", "--overwrite")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr
    assert engine.calls == []


@pytest.mark.parametrize("error", [SimulationError("frozen", where="step 4000"), CheckpointError("in use")])
def test_error_of_the_engine_is_one_line(engine: type[FakeStudy], study: str, error: Exception) -> None:
    engine.ends_with = error
    result = call("run", study)
    assert result.exit_code == 2
    assert result.stderr == f"refine: {error}\n"


def test_defect_of_the_engine_keeps_its_traceback(engine: type[FakeStudy], study: str) -> None:
    engine.ends_with = ZeroDivisionError("a defect")
    assert isinstance(call("run", study).exception, ZeroDivisionError)


def test_interrupt_says_how_to_go_on(engine: type[FakeStudy], study: str) -> None:
    engine.ends_with = KeyboardInterrupt()
    result = call("run", study, "--out", "a folder", "--set", "sampling.frames=20")
    assert result.exit_code == 130
    assert f"interrupted; go on with: refine run {study} --out 'a folder' --resume --set sampling.frames=20" in undated(
        result.stdout
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "nothing.toml"), "refine: nothing.toml: no such file"),
        (("run", "{study}", "--set", "sampling.strde=3"), "[sampling] unknown key 'strde'; did you mean 'stride'?"),
        (("run", "{study}", "--set", "sampling"), "refine: --set sampling: not of the form key.path=value"),
    ],
)
def test_bad_input_is_one_line_before_anything_slow(
    engine: type[FakeStudy], study: str, words: tuple[str, ...], says: str
) -> None:
    result = call(*(word.format(study=study) for word in words))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert engine.calls == []


def _options(kind: type) -> list[tuple[str, str, Any]]:
    """Every option of a type: the command, the option as it is written, and what typer knows of it."""
    found = []
    for command in COMMANDS:
        function = getattr(import_module(f"refine.cli.commands.{command}"), command)
        for name, hint in get_type_hints(function, include_extras=True).items():
            base, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            if marks and (base is kind or kind in get_args(base)):
                found.append((command, (marks[0].param_decls or [f"--{name.replace('_', '-')}"])[0], marks[0]))
    return found


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_number_of_an_option_is_beyond_all_bounds(study: str, value: str) -> None:
    """Every option of every command that takes a real number."""
    options = _options(float)
    assert {command for command, _, _ in options} >= {"prepare", "sensitivity", "export", "convert"}
    required = {
        "prepare": ("--out", "a.xyz"),
        "export": ("--to", "csv"),
        "convert": ("--quantity", "g(r)", "--to", "D(r)"),
        "sensitivity": ("--of", "sq:R_chi", "--parameter", "epsilon"),
        "init": ("--composition", "Ar", "--temperature", "85"),
    }
    for command, option, _ in options:
        result = call(command, study, *required.get(command, ()), option, value)
        assert result.exit_code == 2, (command, option, result.output)
        assert option in result.stderr


def test_a_seed_is_one_that_a_study_may_have(study: str) -> None:
    ((command, _, known),) = [option for option in _options(int) if "seed" in option[1]]
    limits = StudyConfig.model_fields["sampling"].annotation.model_fields["seed"].metadata  # type: ignore[union-attr]
    (limit,) = [mark.lt for mark in limits if hasattr(mark, "lt")]
    result = call(command, study, "--out", "a.xyz", "--seed", str(limit))
    assert result.exit_code == 2
    assert "--seed" in result.stderr
    assert known.max == limit - 1


@pytest.mark.parametrize("option", ["--r", "--q", "--q-range", "--columns"])
@pytest.mark.parametrize("value", ["inf,inf", "nan,nan", "0,inf"])
def test_no_list_of_numbers_is_beyond_all_bounds(tmp_path: Path, option: str, value: str) -> None:
    curve = tmp_path / "a.csv"
    curve.write_text("".join(f"{0.1 * k},1\n" for k in range(1, 100)))
    to = "D(r)" if option == "--r" else "S(Q)"
    quantity = "S(Q)" if option == "--r" else "g(r)"
    result = call("convert", str(curve), "--quantity", quantity, "--to", to, option, value)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"refine: {option}: ")


def test_version_and_reference() -> None:
    assert call("--version").stdout == f"refine {refine.__version__}\n"
    assert call("reference").stdout == reference_markdown()


def test_report_of_no_run(tmp_path: Path) -> None:
    result = call("report", str(tmp_path / "nothing"))
    assert result.exit_code == 2
    assert result.stderr.startswith("refine: ")
    assert result.stderr.count("\n") == 1


def test_installed_command_in_a_terminal_without_unicode() -> None:
    """Å and ≤ end no command where the terminal cannot show them; exit codes reach the shell."""
    command = [sys.executable, "-c", "from refine.cli.main import main; main()"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    page = subprocess.run([*command, "reference"], env=environment, capture_output=True, check=True).stdout
    assert b"| `temperature` |" in page
    failed = subprocess.run([*command, "run", "nothing.toml"], env=environment, capture_output=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith(b"refine: nothing.toml")
    assert b"Traceback" not in failed.stderr


def _drive(progress: Progress) -> None:
    progress.stage("sampling [1]", 10)
    progress.advance(4)
    progress.message("R_chi [0.01]")
    progress.stage("solving", 1)
    progress.advance(1)


def test_progress_in_a_terminal_is_a_bar_with_messages_above() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    with terminal_progress(console) as progress:
        _drive(progress)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "sampling [1]" in output
    assert "R_chi [0.01]\n" in output
    assert "solving" in output
    assert "1/1" in output


def test_progress_elsewhere_is_lines() -> None:
    console = Console(file=io.StringIO(), width=10)
    with terminal_progress(console) as progress:
        _drive(progress)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert undated(written) == ["sampling [1]", "R_chi [0.01]", "solving"]


def test_null_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    _drive(NullProgress())
    assert capsys.readouterr() == ("", "")


def test_table_shows_names_as_they_are() -> None:
    console = Console(file=io.StringIO(), width=60)
    final = Scores(r_chi={"[red]": 0.25}, r_chi_stderr={"[red]": 0.0123}, chi2={})
    console.print(r_chi_table(Scores(r_chi={"[red]": 0.5}, chi2={}), final))
    assert "[red]         0.5000   0.2500 ± 0.0123" in console.file.getvalue()  # type: ignore[attr-defined]
