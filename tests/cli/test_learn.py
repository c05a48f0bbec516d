"""`refine learn` as it is called: what it hands on, what it prints, how it ends. tests/tasks/test_learn.py trains."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from refine.cli.main import app
from refine.learning.errors import Errors, Row
from refine.learning.keys import LearnConfig
from refine.results.learned import Learned
from refine.study.schema import learn_markdown
from tests.commands import refused

LEARN = """
title = "[bold]Silica"
[model]
path = "start.safetensors"
[frames]
train = ["frames.extxyz"]
"""

ERRORS = (Errors(2.5, 0.012, 0.25, None), Errors(0.5, 0.0012, 0.05, None))
LEARNED = Learned(
    title="Silica",
    message="all 3 epochs are done; the model is that of epoch 2",
    start={"origin": "start.safetensors", "sha256": "00", "head": ""},
    parameters=("weights",),
    weights=7,
    frames={"train": 8, "valid": 1},
    before={"train": ERRORS[0], "valid": ERRORS[0]},
    after={"train": ERRORS[1], "valid": ERRORS[1]},
    curve=(Row(0, 0.01, None, ERRORS[0]),),
    best=0,
    steps=6,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "silica.toml"
    path.write_text(LEARN)
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[LearnConfig, Path, dict[str, Any]]]:
    """How the training was asked for; it ends at once."""
    asked: list[tuple[LearnConfig, Path, dict[str, Any]]] = []

    def stand_in(config: LearnConfig, out: Path, **keys: Any) -> Learned:
        keys["progress"].stage("epoch 1 of 3", 10)
        asked.append((config, out, {key: value for key, value in keys.items() if key != "progress"}))
        if config.learn.epochs == 98:
            (out / "learn.h5").write_bytes(b"of this training")
        if config.learn.epochs >= 98:
            raise KeyboardInterrupt
        return LEARNED

    monkeypatch.setattr("refine.tasks.learn.learn", stand_in)
    return asked


def call(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_what_is_handed_on_and_printed(file: Path, calls: list[Any]) -> None:
    result = call("learn", file, "--out", "there", "--overwrite", "--set", "learn.epochs=3")
    assert result.exit_code == 0, result.output
    ((config, out, keys),) = calls
    assert (config.learn.epochs, out, keys) == (3, Path("there"), {"resume": False, "overwrite": True})
    lines = result.stdout.splitlines()
    assert "all 3 epochs are done; the model is that of epoch 2" in lines
    assert ["train", "forces", "(meV/Å)", "250", "50"] in [line.split() for line in lines]
    assert not any("stress" in line for line in lines)  # nobody has any
    assert lines[-2:] == ["model: there/model.safetensors", "page: there/learn.html"]


def test_the_folder_is_named_by_the_file(file: Path, calls: list[Any]) -> None:
    assert call("learn", file, "--resume").exit_code == 0
    ((_, out, keys),) = calls
    assert (out, keys) == (Path("runs/silica"), {"resume": True, "overwrite": False})


def test_an_interrupt_says_how_to_go_on(file: Path, tmp_path: Path, calls: list[Any]) -> None:
    """Before the first checkpoint there is nothing to go on with, but perhaps a training that was to be replaced."""

    def told(*words: str) -> str:
        result = call("learn", file, "--out", tmp_path, *words)
        assert result.exit_code == 130
        return "".join(result.output.split("\n"))

    first = f"refine learn {file} --out {tmp_path}"
    before = "interrupted before the first step; start again with: "
    assert f"{before}{first} --set learn.epochs=99" in told("--set", "learn.epochs=99")
    (tmp_path / "learn.h5").write_bytes(b"of another training")
    assert f"{before}{first} --overwrite --set learn.epochs=99" in told("--overwrite", "--set", "learn.epochs=99")
    for how in ("--overwrite", "--resume"):
        said = told(how, "--set", "learn.epochs=98")
        assert f"interrupted; go on with: {first} --resume --set learn.epochs=98" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "learn.epoch=3"), "[learn] unknown key 'epoch'; did you mean 'epochs'?"),
        (("--set", "learn.optimiser=sgd"), "[learn] optimiser = 'sgd' should be 'amsgrad' or 'adam'"),
        (("--set", "model.name=small"), "[model] should have exactly one of 'path', 'name' and 'new = true'"),
        (("--set", "new.channels=8"), "[new] is of a model that is not asked for; write new = true in [model]"),
        (("--set", "frames.train=[]"), "[frames] train"),
        (("--set", "frames.weights={melt = 2}"), "[frames] has 'weights' and no 'kind'"),
        (("--set", "learn.forces_weight=nan"), "[learn] forces_weight"),
    ],
)
def test_bad_files_are_one_line_before_anything_slow(
    file: Path, calls: list[Any], words: tuple[str, ...], says: str
) -> None:
    assert says in refused("learn", file, *words)
    assert calls == []


def test_a_loss_of_nothing_and_no_file(file: Path, tmp_path: Path) -> None:
    zero = [word for name in ("energy", "forces", "stress") for word in ("--set", f"learn.{name}_weight=0")]
    assert "[learn] should have a weight above 0" in refused("learn", file, *zero)
    assert "no such file; give the path of a file with [model] and [frames]" in refused("learn", tmp_path / "none.toml")
    assert call("learn", file, "--resume", "--overwrite").exit_code == 2


def test_files_that_are_shown_are_read() -> None:
    """Those of the tutorial and of the experiments."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "tutorials" / "learn.md").read_text(encoding="utf-8")
    trees = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    whole = [tree for tree in trees if "frames" in tree]
    parts = [tree for tree in trees if "new" in tree.get("model", {})]
    assert (len(whole), len(parts)) == (1, 1)
    for tree in (*whole, *({**part, "frames": {"train": ["a.extxyz"]}} for part in parts)):
        LearnConfig.parse(tree)
    found = list(root.glob("experiments/*/learn.toml"))
    assert found
    for path in found:
        assert all(file.is_file() for _, file in LearnConfig.from_toml(path).named_files())


def test_the_page_of_keys_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "learn.md"
    assert page.read_text(encoding="utf-8") == learn_markdown(), "run: make reference"
    assert call("reference", "learn").stdout == learn_markdown()
