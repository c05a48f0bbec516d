"""Folders of finished runs, made as the tests of the report have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report.conftest import make_run

__all__ = ["make_run"]

DETERMINATION = {"parameters": 32, "pairs": [{"pair": ["Ar", "Ar"], "r": [3.0, 4.0, 5.0], "share": [0.1, 0.9, 0.3]}]}


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> Path:
    """A finished run as refine writes it: with the numbers that make a correction."""
    out = make_run(determination=DETERMINATION)
    content = json.loads((out / "result.json").read_text())
    content["states"][0]["atoms"] = {"Ar": 500}
    for row in content["correction"]:
        row |= {"coefficients": [0.01] * 31, "wall": 2.5, "stiffness": 7.0}
    (out / "result.json").write_text(json.dumps(content))
    return out
