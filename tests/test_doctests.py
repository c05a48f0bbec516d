"""Examples in docstrings say what happens."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from tests.test_imports import FLOORS

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


NONE = {"refine.units", "refine.progress", "refine.compiled", "refine.cli"}
"""Rooms without examples: constants, a protocol, what acts on the whole process, and the terminal's."""


def test_there_are_examples_in_every_room() -> None:
    rooms = {room for rooms in FLOORS for room in rooms} | {"refine.api"}
    assert {room for room in rooms if not any(f"{name}.".startswith(f"{room}.") for name in MODULES)} <= NONE
    assert rooms >= NONE
