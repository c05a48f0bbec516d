"""What a curve is, by its numbers: the truth comes first, or among those that are the same by numbers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from refine.cli.main import app
from refine.curves.curve import Curve
from refine.curves.inspection import inspect
from refine.curves.weights import form_factors
from refine.errors import InputError

NEUTRON = {"radiation": "neutron", "composition": {"Ar": 1.0}, "isotopes": {"Ar": 36}}
RHO = 0.02138
"""atoms/Å^3, near that of the hard spheres."""

TRUTHS = [
    *((name, "faber-ziman") for name in ("S(Q)", "F(Q)", "Q[S(Q)-1]", "g(r)", "G(r)", "T(r)", "J(r)")),
    *((name, "keen") for name in ("F(Q)", "Q[S(Q)-1]", "D(r)", "T(r)", "J(r)")),
]


@pytest.fixture(scope="module")
def written(hard_spheres: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The hard-sphere liquid as a file of two columns, with noise and a Q range that begins at 0.4 1/Å."""
    rho = hard_spheres.number_density
    q = np.arange(0.05, 30.0, 0.05)
    distinct = hard_spheres.structure_factor(q) - 1.0
    smooth = np.exp(-((q / 14.0) ** 2))
    r = np.arange(0.02, 25.0, 0.02)
    d = 2.0 / np.pi * 0.05 * np.sin(np.outer(r, q)) @ (q * smooth * distinct)

    def make(quantity: str, normalisation: str, header: str = "", name: str = "a.dat", factor: float = 1.0) -> Path:
        in_q = "Q" in quantity
        x = q if in_q else r
        blank = Curve(x, x, quantity=quantity, normalisation=normalisation, number_density=rho, **NEUTRON)
        form = blank.form(quantity, normalisation, x)
        canonical = (distinct if in_q else d) * blank.distinct_factor(np.zeros(1))[0]
        y = canonical * form.scale + form.offset
        noise = np.random.default_rng(3).normal(size=len(x)) * 0.002 * np.abs(y).max()
        keep = x > (0.4 if in_q else 0.0)
        path = tmp_path_factory.mktemp("curve") / name
        np.savetxt(path, np.column_stack([factor * x, y + noise])[keep], header=header)
        return path

    make.density = rho  # type: ignore[attr-defined]
    return make


@pytest.mark.parametrize(("quantity", "normalisation"), TRUTHS)
def test_the_truth_comes_first(written: Callable[..., Path], quantity: str, normalisation: str) -> None:
    """With the density; a file says at least whether it is of Q or r. Keen's G(r) of one element is h(r) times k."""
    path = written(quantity, normalisation, header="Q y" if "Q" in quantity else "r y")
    found = inspect(path, number_density=written.density, q_range=(0.4, 20.0), **NEUTRON)
    first = found.candidates[0]
    assert (first.curve.quantity, first.curve.normalisation) == (quantity, normalisation), found.lines(4)
    assert first.fit > 0.3
    assert sum(one.share for one in found.candidates) == pytest.approx(1.0)
    assert json.loads(json.dumps(found.to_json()))["candidates"][0]["quantity"] == quantity
    text = "\n".join(found.lines(3))
    assert quantity in text
    assert "% of all that is said" in text


def test_the_density_follows_from_the_slope_or_the_growth(written: Callable[..., Path]) -> None:
    for quantity in ("S(Q)", "T(r)"):
        found = inspect(written(quantity, "faber-ziman", header=f"{quantity[2]} y"), **NEUTRON)
        first = found.candidates[0]
        assert first.curve.quantity == quantity
        assert first.number_density == pytest.approx(written.density, rel=0.1)
        assert any("--number-density" in note for note in found.notes)


def test_normalisations_need_the_composition(written: Callable[..., Path]) -> None:
    found = inspect(written("F(Q)", "keen", header="Q y"))
    assert {one.curve.normalisation for one in found.candidates} == {"faber-ziman"}
    assert any("--composition" in note for note in found.notes)
    assert any("--radiation" in note for note in found.notes)


def test_words_of_the_file_count(written: Callable[..., Path]) -> None:
    """PDFgetX3 calls Q[S(Q)-1] F(Q); a mode is a radiation; a file of Gudrun is of Q."""
    path = written("Q[S(Q)-1]", "faber-ziman", header="version = pdfgetx3-2\nmode = neutron\nL Q F(Q)", name="a.fq")
    found = inspect(path, composition={"Ar": 1.0}, isotopes={"Ar": 36}, number_density=written.density)
    assert found.radiation == "neutron"
    assert found.candidates[0].curve.quantity == "Q[S(Q)-1]"
    assert any("the file calls it" in one.words for one in found.candidates[0].evidence)
    other = inspect(path, radiation="xray", composition={"Ar": 1.0})
    assert any("the header says neutron" in note for note in other.notes)
    more = written("S(Q)", "faber-ziman", header="radiation: X-rays, laboratory Ag anode\nQ S(Q)")
    assert inspect(more).radiation == "xray"
    assert all("Q" in one.curve.quantity for one in found.candidates[:2])


def test_what_is_no_curve_is_said(tmp_path: Path, written: Callable[..., Path]) -> None:
    """Counts, nanometres, an intensity per molecule."""
    q = np.arange(0.5, 20.0, 0.02)
    counts = tmp_path / "counts.xy"
    np.savetxt(counts, np.column_stack([q, 9000 * np.exp(-((q / 9) ** 2)) + 800 + 300 * np.exp(-((q - 2.3) ** 2))]))
    found = inspect(counts, composition={"Ga": 1.0}, radiation="xray", number_density=0.05)
    assert not found.clear
    assert any("no reading fits" in note for note in found.notes)
    nanometres = inspect(written("S(Q)", "faber-ziman", factor=10.0), number_density=written.density, **NEUTRON)
    assert any("1/nm" in note for note in nanometres.notes)


def test_the_command(written: Callable[..., Path], tmp_path: Path) -> None:
    path = str(written("S(Q)", "faber-ziman", header="Q S(Q)"))
    words = ["inspect", path, "--composition", "Ar", "--radiation", "neutron", "--isotopes", "Ar=36"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "1. S(Q), faber-ziman" in said.output
    assert "The first reading is clear." in said.output
    numbers = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert numbers["clear"] is True
    table = tmp_path / "table.dat"
    table.write_text("".join(f"{x} {x} {x} {x} {x}\n" for x in np.linspace(0.1, 9.0, 30)))
    refused = CliRunner().invoke(app, ["inspect", str(table)])
    assert refused.exit_code == 2
    assert "columns" in refused.output
    with pytest.raises(InputError, match="no such file"):
        inspect(tmp_path / "nothing.dat")


@pytest.mark.parametrize(
    ("quantity", "change", "unit"),
    [
        ("S(Q)", lambda x, y: (10.0 * x, y), "1/nm"),
        ("g(r)", lambda x, y: (0.1 * x, y), "nm"),
        ("S(Q)", lambda x, y: (2.0 * np.degrees(np.arcsin(np.minimum(x * 0.5 / (4.0 * np.pi), 1.0))), y), None),
        ("g(r)", lambda x, y: (x, y - 1.0), None),
    ],
)
def test_traps_are_not_clear(
    written: Callable[..., Path], tmp_path: Path, quantity: str, change: Any, unit: str | None
) -> None:
    """Nanometres are a reading of their own; 2θ and g(r) - 1 are none, and nothing is sure of itself."""
    x, y = np.loadtxt(written(quantity, "faber-ziman")).T
    x, y = change(x, y)
    path = tmp_path / "trap.dat"
    keep = np.append(np.diff(x) > 0, False)
    np.savetxt(path, np.column_stack([x, y])[keep])
    found = inspect(path, number_density=written.density, **NEUTRON)  # type: ignore[attr-defined]
    if unit is not None:
        assert found.candidates[0].unit == unit, found.lines(4)
        assert found.candidates[0].curve.quantity == quantity
    else:
        assert not found.clear, found.lines(4)


def test_swapped_columns_are_named(tmp_path: Path) -> None:
    q = np.arange(0.5, 20.0, 0.05)
    np.savetxt(tmp_path / "a.dat", np.column_stack([1.0 + np.sin(3.0 * q) / q, q])[::1])
    with pytest.raises(InputError, match=r"columns = \[2, 1\]"):
        inspect(tmp_path / "a.dat")


def test_an_intensity_is_one(tmp_path: Path) -> None:
    """Of water in electron units: per atom it is a reading, per molecule it is told how many atoms it is of."""
    q = np.arange(0.5, 20.0, 0.05)
    f = form_factors(["H", "O"], q)
    alone = (2.0 * f[0] ** 2 + f[1] ** 2) / 3.0
    distinct = 0.3 * np.sin(2.8 * q) / (2.8 * q) * f[1] ** 2 / 3.0
    for number, says in ((1, None), (3, "3 times <f^2>")):
        np.savetxt(tmp_path / "a.dat", np.column_stack([q, number * (alone + distinct)]), header="Q I(Q)")
        found = inspect(tmp_path / "a.dat", composition={"H": 2, "O": 1}, radiation="xray")
        if says is None:
            assert found.candidates[0].curve.quantity == "I(Q)", found.lines(3)
        else:
            assert any(says in note for note in found.notes)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"composition": {"Xx": 1.0}}, "unknown species 'Xx'"),
        ({"radiation": "foo"}, "unknown radiation"),
        ({"number_density": 0.0}, "no density"),
        ({"composition": {"Ar": 1.0}, "isotopes": {"Ar": 99}}, "no isotope 99Ar"),
    ],
)
def test_wrong_words_are_named(written: Callable[..., Path], given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        inspect(written("S(Q)", "faber-ziman"), **given)


@pytest.mark.parametrize("size", [1e300, 1e-300, 0.0])
def test_numbers_of_no_size_are_no_traceback(tmp_path: Path, size: float) -> None:
    x = np.arange(0.5, 20.0, 0.05)
    np.savetxt(tmp_path / "a.dat", np.column_stack([x, size * np.sin(2.0 * x)]))
    if size != 1e-300:
        with pytest.raises(InputError, match=r"y is 0 everywhere|is no curve"):
            inspect(tmp_path / "a.dat")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not inspect(tmp_path / "a.dat", composition={"Si": 1.0, "O": 2.0}).clear


def test_a_curve_that_does_not_grow_is_no_total(tmp_path: Path) -> None:
    """And where the file says Å, nothing speaks of nanometres."""
    q = np.arange(0.5, 20.0, 0.05)
    np.savetxt(
        tmp_path / "a.dat", np.column_stack([q, 1.0 + np.sin(2.5 * q) / q * np.exp(-q / 6.0)]), header="Q[1/A] y"
    )
    found = inspect(tmp_path / "a.dat", composition={"Gd": 2.0, "O": 3.0})
    assert not any(one.curve.quantity == "T(r)" and one.fit > 0.05 for one in found.candidates)
    assert not any(one.unit for one in found.candidates)


def test_square_femtometres_are_named(tmp_path: Path, hard_spheres: Any) -> None:
    """F(Q) of natural argon, b = 1.909 fm."""
    q = np.arange(0.1, 15.0, 0.05)
    y = 1.909**2 * (hard_spheres.structure_factor(q) - 1.0)
    np.savetxt(tmp_path / "argon.dat", np.column_stack([q, y]))
    known = {"composition": {"Ar": 1.0}, "radiation": "neutron"}
    for density in (None, hard_spheres.number_density):
        found = inspect(tmp_path / "argon.dat", number_density=density, **known)
        assert any("the curve is in fm^2" in note and "if it is F(Q), keen" in note for note in found.notes)
    np.savetxt(tmp_path / "argon.dat", np.column_stack([q, 0.01 * y]))
    assert not any("fm^2" in note for note in inspect(tmp_path / "argon.dat", **known).notes)
