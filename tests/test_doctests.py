"""Examples in docstrings say what happens."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [file for room in ("refine", "kernels") for file in sorted((ROOT / room).rglob("*.py"))]
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in FILES
    if ">>> " in file.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried > 0
    assert failed == 0


def test_there_are_examples_in_every_room() -> None:
    rooms = {name.split(".")[1] for name in MODULES if name.startswith("refine.")}
    assert rooms >= {"curves", "potentials", "refinement", "sampling", "scattering", "tasks", "results", "report"}
