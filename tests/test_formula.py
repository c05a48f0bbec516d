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
        ("Na2O.2SiO2", {"Na": 2, "O": 5, "Si": 2}),
        ("CaSO4.2H2O", {"Ca": 1, "S": 1, "O": 6, "H": 4}),
        ("CaO·Al2O3·2SiO2", {"Ca": 1, "O": 8, "Al": 2, "Si": 2}),
        ("3MgO.Al(OH)3.2SiO2", {"Mg": 3, "O": 10, "Al": 1, "H": 3, "Si": 2}),
        ("0.25Na2O.0.75SiO2", {"Na": 0.5, "O": 1.75, "Si": 0.75}),
        ("Na2O.0.5SiO2", {"Na": 2, "O": 2, "Si": 0.5}),
        ("0.25FeO-0.5SiO2", {"Fe": 0.25, "O": 1.25, "Si": 0.5}),
        ("0.5Fe0.5O–.5SiO2", {"Fe": 0.25, "O": 1.5, "Si": 0.5}),
        ("0.25Ge-0.75Se", {"Ge": 0.25, "Se": 0.75}),
        ("2SiO2", {"Si": 2, "O": 4}),
        ("NaCl+KCl", {"Na": 1, "Cl": 2, "K": 1}),
        ("LaMn.5Co.5O3", {"La": 1, "Mn": 0.5, "Co": 0.5, "O": 3}),
        ("Li7.5La3.5Zr2O12.5", {"Li": 7.5, "La": 3.5, "Zr": 2, "O": 12.5}),
        ("BaTiO2.5H0.5", {"Ba": 1, "Ti": 1, "O": 2.5, "H": 0.5}),
        ("SrFeO2.5F", {"Sr": 1, "Fe": 1, "O": 2.5, "F": 1}),
    ],
)
def test_amounts(formula: str, amounts: dict[str, float]) -> None:
    assert amounts_of(formula) == amounts
    assert list(amounts_of(formula)) == list(amounts)


@pytest.mark.parametrize(
    "formula",
    [
        *("", "sio2", "Si(O", "SiO)", "()2", "Si O2", "Si0", "Si0.0", "SiO²", "Si1e3", "O9999999"),
        *(
            "(" * 9 + "O" + ")" * 9,
            "Fe-O",
            "2",
            "0SiO2",
            "-SiO2",
            "SiO2-",
            "Na2O..SiO2",
            "Na2O.",
            "-",
            "0.5",
            "O" * 1001,
        ),
        "999999SiO2",
    ],
)
def test_what_is_no_formula(formula: str) -> None:
    with pytest.raises(ValueError, match="no formula"):
        amounts_of(formula)


@given(st.text(alphabet="SiO()0123456789.-·Fe ²\n", max_size=60))
def test_any_text_gives_amounts_or_an_error(text: str) -> None:
    try:
        amounts = amounts_of(text)
    except ValueError:
        return
    assert 0 < sum(amounts.values()) <= MAX_AMOUNT
