"""Errors that a user can mend are one line: where, what, how to mend it."""

from __future__ import annotations

import pytest

from refine.errors import CheckpointError, ConversionError, InputError, RefineError, SimulationError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("no such file"), "no such file"),
        (InputError("no such file", where="a.csv"), "a.csv: no such file"),
        (InputError("Q = nan", where="a.csv line 3", fix="remove it"), "a.csv line 3: Q = nan; remove it"),
        (InputError("two\nlines \t here"), "two lines here"),
    ],
)
def test_one_line(error: RefineError, line: str) -> None:
    assert str(error) == line


@pytest.mark.parametrize("kind", [InputError, ConversionError, SimulationError, CheckpointError])
def test_every_kind_is_a_refine_error_with_its_parts(kind: type[RefineError]) -> None:
    error = kind("what", where="where", fix="fix")
    assert isinstance(error, RefineError)
    assert (error.what, error.where, error.fix) == ("what", "where", "fix")
