"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the project.

Their toys are found by the tables and pass the conformance tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPES = re.findall(r"^### \d+\. (.*?)$(.*?)(?=^##)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)

NEW = re.compile(r"^New file `([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BELOW = re.compile(
    r"(?:^In `(?P<file>[^`]+)`, |, and )below\s`(?P<line>[^`]+)`:\n\n```\w+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
BECOMES = re.compile(r"^In `([^`]+)`, `([^`]+)` becomes\s`([^`]+)`", re.MULTILINE)


def follow(recipe: str, root: Path) -> list[str]:
    """Do what it says; the files that it touches."""
    touched = []
    for name, content in NEW.findall(recipe):
        (root / name).write_text(content)
        touched.append(name)
    for name, old, new in BECOMES.findall(recipe):
        text = (root / name).read_text()
        assert text.count(old) == 1, f"{old} in {name}"
        (root / name).write_text(text.replace(old, new))
        touched.append(name)
    for match in BELOW.finditer(recipe):
        name = match["file"] or touched[-1]
        text, line = (root / name).read_text(), match["line"] + "\n"
        assert text.count(line) == 1, f"{line} in {name}"
        (root / name).write_text(text.replace(line, line + match["text"]))
        touched.append(name)
    return touched


def run(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with all toys of the recipes."""
    root = tmp_path_factory.mktemp("recipes") / "copy"
    for name in ("refine", "kernels", "tests", "docs", "experiments/argon"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "goldens"))
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "tests" / "goldens", root / "tests" / "goldens")
    for _, recipe in RECIPES:
        follow(recipe, root)
    return root


def test_there_are_ten() -> None:
    assert len(RECIPES) == 10


@pytest.mark.parametrize(("title", "recipe"), RECIPES, ids=[title for title, _ in RECIPES])
def test_one_file_and_one_place(title: str, recipe: str, tmp_path: Path) -> None:
    """A thing is one file, or one line in a table, or both."""
    root = tmp_path / "copy"
    shutil.copytree(
        ROOT / "refine", root / "refine", ignore=shutil.ignore_patterns("__pycache__", "*.gz", "*.safetensors")
    )
    touched = follow(recipe, root)
    assert 1 <= len(set(touched)) <= 2, touched
    tests = re.findall(r"`(tests/[^`]+)`", recipe)
    assert tests
    assert all((ROOT / test).exists() for test in tests)


CONFORMANCE = {
    "tests/refinement/rules/test_conformance.py": "half-ibi",
    "tests/refinement/test_responses.py": "newest and (change_predicts or slope_is)",
    "tests/potentials/test_bases.py": "gaussian-core or toy-2026",
    "tests/sampling/test_engines.py": "twin and (counted_in_order or seed_gives)",
    "tests/curves/test_reader_conformance.py": "json",
    "tests/refinement/test_observables.py": "neighbours",
}
"""Tests of a table, and which of them are of a toy."""


@pytest.mark.parametrize("file", CONFORMANCE)
def test_a_toy_passes_the_conformance_test_of_its_table(copy: Path, file: str) -> None:
    """None of its tests is written for the toy."""
    toy = CONFORMANCE[file].split()[0]
    assert f'"{toy}' not in (ROOT / file).read_text()
    written = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", file, "-k", CONFORMANCE[file])
    assert re.search(r"\d+ passed", written), written


def test_the_command_is_found(copy: Path) -> None:
    assert "atoms" in run(copy, "-m", "refine", "--help")
    assert run(copy, "-m", "refine", "atoms", "experiments/argon/study.toml").strip() == "500"


def test_the_format_of_export_is_found(copy: Path) -> None:
    code = "import pydoc, refine.export as e; print(pydoc.locate(e.FORMATS['knots'].replace(':', '.')).__doc__)"
    assert "A-B.knots" in run(copy, "-c", code)


def test_the_key_is_in_the_reference(copy: Path) -> None:
    page = run(copy, "-m", "refine", "reference")
    assert "A toy, in Å." in page
    assert "half-ibi" in page
    assert "gaussian-core" in page
