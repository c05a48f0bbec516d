"""The table of quantities: what follows from it, and that there is no other."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from refine.curves.curve import Curve
from refine.curves.forms import form_of
from refine.curves.quantities import (
    NORMALISATIONS,
    Q_QUANTITIES,
    QUANTITIES,
    R_QUANTITIES,
    quantity_of,
    same_quantity,
    why_undefined,
)
from refine.errors import ConversionError, InputError

ROOT = Path(__file__).parents[2]
X = np.linspace(0.0, 5.0, 26)
RHO, LEVEL = 0.05, 0.3


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("name", QUANTITIES)
def test_there_and_back_to_the_canonical_quantity(name: str, normalisation: str) -> None:
    form = form_of(quantity_of(name, normalisation), X, RHO, lambda: LEVEL, alone=lambda: 2.0 + X, atoms=3.0)
    canonical = np.sin(X) * X
    with np.errstate(invalid="ignore"):
        back = (canonical * form.scale + form.offset - form.offset) * form.gain
    np.testing.assert_allclose(back[1:], canonical[1:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "normalisation", "y"),
    [
        ("S(Q)", "faber-ziman", 1 + 0.7),
        ("i(Q)", "keen", 0.7),
        ("Q[S(Q)-1]", "keen", 2 * 0.7),
        ("D(r)", "keen", 0.7),
        ("G(r)", "<f^2>", 0.7),
        ("G(r)", "keen", 0.7 / (4 * np.pi * RHO * 2)),
        ("g(r)", "faber-ziman", 1 + 0.7 / (4 * np.pi * RHO * 2)),
        ("T(r)", "keen", 0.7 + 4 * np.pi * RHO * LEVEL * 2),
        ("J(r)", "keen", 2 * (0.7 + 4 * np.pi * RHO * LEVEL * 2)),
    ],
)
def test_definitions(name: str, normalisation: str, y: float) -> None:
    """At x = 2, with 0.7 for the canonical quantity: the table of the module's docstring."""
    form = form_of(quantity_of(name, normalisation), np.array([2.0]), RHO, lambda: LEVEL)
    assert 0.7 * form.scale[0] + form.offset[0] == pytest.approx(y, rel=1e-12)


def test_names() -> None:
    assert (*Q_QUANTITIES, *R_QUANTITIES) == tuple(QUANTITIES)
    assert same_quantity("F(Q)", "i(Q)")
    assert not same_quantity("S(Q)", "i(Q)")
    with pytest.raises(InputError, match=r"unknown quantity 's\(q\)'; use one of S\(Q\), "):
        quantity_of("s(q)")


def test_the_density_is_asked_for_where_it_is_needed() -> None:
    for name, quantity in QUANTITIES.items():
        if quantity.per_uniform or quantity.offset == "uniform":
            with pytest.raises(ConversionError, match=r"needs the number density"):
                form_of(quantity, X, None, lambda: 1.0)
        else:
            assert len(form_of(quantity, X, None, lambda: 1.0, alone=lambda: X).scale) == len(X), name


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("name", QUANTITIES)
def test_a_curve_is_refused_where_its_quantity_is_undefined(name: str, normalisation: str) -> None:
    def make() -> Curve:
        facts = {"quantity": name, "normalisation": normalisation, "radiation": "xray", "q_max": 20.0}
        return Curve(X[1:], X[1:], composition={"Si": 1}, **facts)

    objection = why_undefined(name, normalisation, "xray", None)
    if objection is None:
        assert make().quantity == name
    else:
        with pytest.raises(InputError) as refusal:
            make()
        assert objection[0] in str(refusal.value)


def test_no_other_module_lists_the_names() -> None:
    """A tuple, list or table of four or more of them is a second table."""
    for path in (ROOT / "refine").rglob("*.py"):
        if path.name == "quantities.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            entries = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
            names = [e.value for e in entries if isinstance(e, ast.Constant) and e.value in QUANTITIES]
            assert len(names) < 4, f"{path}, line {node.lineno}"
