"""Formulas as text, in a study file and on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refine.formula import MAX_AMOUNT, amounts_of


@pytest.mark.parametrize(
    ("formula", "amounts"),
    [
        ("Ar", {"Ar": 1}),
        ("SiO2", {"Si": 1, "O": 2}),
        ("Si(OH)4", {"Si": 1, "O": 4, "H": 4}),
        ("Ca(NO3)2(H2O)4", {"Ca": 1, "N": 2, "O": 10, "H": 8}),
        ("Fe0.95O", {"Fe": 0.95, "O": 1}),
        ("Fe.5O1.", {"Fe": 0.5, "O": 1}),
        ("Si33333O66667", {"Si": 33333, "O": 66667}),
    ],
)
def test_amounts(formula: str, amounts: dict[str, float]) -> None:
    assert amounts_of(formula) == amounts
    assert list(amounts_of(formula)) == list(amounts)


@pytest.mark.parametrize(
    "formula",
    ["", "sio2", "Si(O", "SiO)", "()2", "Si O2", "Si0", "Si0.0", "SiO²", "Si1e3", "O9999999", "(" * 9 + "O" + ")" * 9],
)
def test_what_is_no_formula(formula: str) -> None:
    with pytest.raises(ValueError, match="no formula"):
        amounts_of(formula)


@given(st.text(alphabet="SiO()0123456789.Fe ²\n", max_size=60))
def test_any_text_gives_amounts_or_an_error(text: str) -> None:
    try:
        amounts = amounts_of(text)
    except ValueError:
        return
    assert 0 < sum(amounts.values()) <= MAX_AMOUNT
