"""The pages of the documentation: what they name exists, and the commands and studies that they show are read.

Links between pages and anchors within them are also checked where the site is built, by ``make docs``.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from typer.main import get_command

import refine
from refine.cli.main import app
from refine.study.schema import StudyConfig

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
SHOWN = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("experiments/*/*.md"))]
FOLDERS = "experiments|docs|tests|notebooks|kernels"


def named(paths: list[Path]) -> list[Any]:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in paths]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Fenced blocks of some languages, without their indentation."""
    for indent, language, body in re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text_of(page), re.DOTALL | re.MULTILINE):
        if language in languages:
            yield re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)


def prose(page: Path) -> str:
    """The page without fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- pages and links ---------------------------------------------------------------------------------------------------


def nav_pages(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(value, list):
            yield from nav_pages(value)
        else:
            yield value


def test_nav_names_every_page_once(hooks: ModuleType) -> None:
    in_nav = list(nav_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    assert len(in_nav) == len(set(in_nav))
    elsewhere = {
        path.relative_to(ROOT).as_posix()
        for pattern in hooks.ELSEWHERE
        for path in ROOT.glob(pattern)
        if path.suffix == ".md"
    }
    assert set(in_nav) == {page.relative_to(ROOT / "docs").as_posix() for page in PAGES} | elsewhere


@pytest.mark.parametrize("page", named(SHOWN))
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", prose(page))
    missing = [t for t in targets if not re.match(r"[a-z]+:", t) and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", named(SHOWN))
def test_files_that_are_named_exist(page: Path) -> None:
    """Paths from the root, in code: `experiments/argon/study.toml`; those that a command writes begin elsewhere."""
    written = {"experiments/feo/melt.extxyz", "experiments/silica_mace/train/work"}  # by a command of the same page
    found = set(re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w", text_of(page))) - written
    missing = sorted(path for path in found if not (ROOT / path).exists())
    assert not missing


def test_pages_named_from_the_code_exist() -> None:
    modules = [path for room in ("refine", "kernels") for path in (ROOT / room).rglob("*.py")]
    found = {page for path in modules for page in re.findall(r"docs/[\w/-]+\.md", text_of(path))}
    assert len(found) > 5
    assert not sorted(page for page in found if not (ROOT / page).is_file())


def test_links_that_leave_the_pages_are_turned(hooks: ModuleType) -> None:
    pages = {"theory/mace.md", "theory/index.md", "experiments/argon/README.md", "argon.png", "CHANGELOG.md"}

    def turned(markdown: str, page: str = "theory/mace.md") -> str:
        return str(hooks.turned(markdown, page, pages))

    assert turned("[a](index.md#b) [c](#d)") == "[a](index.md#b) [c](#d)"
    assert turned("[a](../../experiments/argon/README.md#b)") == "[a](../experiments/argon/README.md#b)"
    assert turned("[a](../../docs/theory/mace.md)", "experiments/argon/README.md") == "[a](../../theory/mace.md)"
    assert turned("[a](../../pyproject.toml)") == "a (`pyproject.toml`)"
    assert turned("[a](missing.md)") == "[a](missing.md)"  # for mkdocs to say
    assert turned("    [a](../../pyproject.toml)\n") == "    [a](../../pyproject.toml)\n"


# -- commands ----------------------------------------------------------------------------------------------------------


def command_lines(page: Path) -> Iterator[str]:
    """Whole commands in blocks, fenced or indented."""
    indented = re.findall(r"^ {4,}((?:\.venv/bin/)?refine .*?(?:\\\n.*?)*)$", prose(page), re.MULTILINE)
    fenced = [
        line
        for block in blocks(page, "sh")
        for line in re.findall(r"^(?:\.venv/bin/)?refine .*?(?:\\\n.*?)*$", block, re.MULTILINE)
    ]
    for line in [*indented, *fenced]:
        yield line.removeprefix(".venv/bin/").replace("\\\n", " ")


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and the rest."""
    command, rest = get_command(app), words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("page", named(SHOWN))
def test_commands_parse(page: Path) -> None:
    for line in command_lines(page):
        words = shlex.split(re.sub(r"\[--.*?\]", "", line).replace("$PWD", str(ROOT)), comments=True)
        command, rest = command_of(words)
        assert not hasattr(command, "commands"), f"{line}: no command"
        if "--help" in rest:
            continue
        context = command.make_context(" ".join(words), rest)
        study, changes = context.params.get("study"), context.params.get("changes")
        if study is not None and (ROOT / study).exists():
            StudyConfig.from_toml(ROOT / study, changes or ())  # keys and values of --set


@pytest.mark.parametrize("page", named(SHOWN))
def test_commands_in_the_text_exist(page: Path) -> None:
    for line in re.findall(r"`(refine [a-z][^`]*)`", prose(page)):
        words = line.split()
        command, rest = command_of(words)
        if hasattr(command, "commands"):
            assert not rest or rest[0].isupper(), f"`{line}`: no command"
            continue
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert not {word for word in rest if word.startswith("--")} - options, line


def test_every_command_and_option_is_on_the_page(hooks: ModuleType) -> None:
    page = hooks.commands_markdown()
    for name, command in hooks.commands():
        if not hasattr(command, "commands"):
            section = page.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
            names = [p.opts[0] for p in command.params if p.param_type_name == "option" and p.name != "help"]
            assert all(f"`{option}" in section for option in names), name


# -- what the pages show -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", named(PAGES))
def test_studies_are_read(page: Path) -> None:
    for block in blocks(page, "toml"):
        tree = tomllib.loads(block)
        if {"system", "states", "data", "model"} <= set(tree):
            StudyConfig.parse(tree)


@pytest.mark.parametrize("page", named(PAGES))
def test_python_is_of_public_names(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "refine":
                assert {alias.name for alias in node.names} <= set(refine.__all__)


def test_api_page_has_every_public_name(hooks: ModuleType) -> None:
    page = hooks.api_markdown()
    assert all(f"::: refine.{name}\n" in page for name in refine.__all__ if not name.startswith("_"))


# -- how the house is built --------------------------------------------------------------------------------------------


WALKS = re.findall(
    r"^## (.*?)\n(.*?)(?=^## |\Z)", text_of(ROOT / "docs" / "walkthroughs.md"), flags=re.DOTALL | re.MULTILINE
)


def test_there_are_four_walks() -> None:
    names = [name for name, _ in WALKS]
    assert names == ["A measured curve", "A frame", "A coefficient", "A key of the study file"]


@pytest.mark.parametrize("walk", [pytest.param(walk, id=name) for name, walk in WALKS])
def test_a_walk_passes_no_file_twice(walk: str) -> None:
    files = re.findall(r"^\| `([^`]+)` \|", walk, flags=re.MULTILINE)
    assert len(files) > 5
    assert len(files) == len(set(files))
    assert not [file for file in files if not (ROOT / file).is_file()]


def test_files_of_the_house_exist() -> None:
    """Those that a page of how it is built names from the root."""
    for page in ("docs/architecture.md", "docs/walkthroughs.md"):
        named_files = set(re.findall(r"`((?:refine|kernels|tests|docs)/[\w./]*)`", text_of(ROOT / page)))
        assert named_files
        assert not [name for name in named_files if not (ROOT / name).exists()], page


def test_floors_on_the_page_are_those_of_the_test_of_imports() -> None:
    from tests.test_imports import FLOORS

    page = text_of(ROOT / "docs" / "architecture.md").partition("## Floors")[2].partition("## Adding")[0]
    shown = [set(line.split(", ")) for line in re.findall(r"^    (.*)$", page, flags=re.MULTILINE)]
    shown[0] -= {"refine/api"}
    assert shown == [{room.removeprefix("refine.") for room in rooms} for rooms in reversed(FLOORS)]


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_formulas_become_mathml(hooks: ModuleType) -> None:
    assert hooks.mathml(r"\beta").startswith("<math ")
    for latex in (r"\nosuchcommand", r"\begin{aligned} a &= b \end{aligned}", r"\frac{1}{", r"a & b"):
        with pytest.raises(ValueError, match="formula"):
            hooks.mathml(latex)


@pytest.mark.parametrize("page", named(PAGES))
def test_every_formula_is_translated(page: Path, hooks: ModuleType) -> None:
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    displayed = re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL)
    inline = re.findall(r"\$([^$\n]+(?:\n[^$\n]+)?)\$", re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL))
    for latex in [*displayed, *inline]:
        hooks.mathml(latex.strip())
