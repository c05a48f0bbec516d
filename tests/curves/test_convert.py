"""Conversions: definitions, there and back, refusals, errors; on a model and on the shipped argon measurement."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.curves.convert import convert
from refine.curves.curve import Curve
from refine.curves.readers import read_curve
from refine.curves.transforms import r_to_q_matrix
from refine.curves.weights import form_factors
from refine.errors import ConversionError, InputError

ARGON = Path(__file__).parents[2] / "experiments" / "argon"

RHO = 0.0662
SILICA: dict[str, Any] = {"number_density": RHO, "composition": {"Si": 1, "O": 2}, "source": "silica.csv"}
N, R_MAX = 400, 20.0
R = np.arange(1, N) * R_MAX / N
Q = np.arange(1, N) * math.pi / R_MAX

Q_FORMS = [
    ("S(Q)", "faber-ziman"),
    ("F(Q)", "faber-ziman"),
    ("i(Q)", "faber-ziman"),
    ("Q[S(Q)-1]", "faber-ziman"),
    ("S(Q)", "<f^2>"),
    ("F(Q)", "<f^2>"),
    ("Q[S(Q)-1]", "<f^2>"),
    ("F(Q)", "keen"),
    ("Q[S(Q)-1]", "keen"),
]
R_FORMS = [
    ("g(r)", "faber-ziman"),
    *((quantity, norm) for quantity in ("G(r)", "D(r)", "T(r)", "J(r)") for norm in ("faber-ziman", "<f^2>", "keen")),
]
R_FORMS_XRAY = [form for form in R_FORMS if form[1] == "faber-ziman" or form[0] in ("G(r)", "D(r)")]


def silica(radiation: str) -> Curve:
    """A smooth made-up S(Q) with errors; gone at both ends, where the trapezoid rule halves the points."""
    s = 1.0 + np.exp(-((Q / 12.0) ** 2)) * np.sin(1.6 * Q) / (1.6 * Q) * (1.0 - np.exp(-((Q / 2.0) ** 8)))
    return Curve(x=Q, y=s, sigma=0.01 + 0.001 * Q, quantity="S(Q)", radiation=radiation, **SILICA)


@pytest.mark.parametrize("radiation", ["neutron", "xray"])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(Q_FORMS, Q_FORMS)))
def test_q_forms_there_and_back(radiation: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    start = convert(silica(radiation), first[0], normalisation=first[1])
    there = convert(start, second[0], normalisation=second[1])
    assert (there.quantity, there.normalisation) == second
    back = convert(there, first[0], normalisation=first[1])
    np.testing.assert_allclose(back.y, start.y, atol=1e-12, rtol=1e-12)
    assert back.sigma is not None
    assert start.sigma is not None
    np.testing.assert_allclose(back.sigma, start.sigma, rtol=1e-12)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(R_FORMS, R_FORMS)))
def test_r_forms_there_and_back(first: tuple[str, str], second: tuple[str, str]) -> None:
    d = Curve(x=R, y=np.sin(3.0 * R) / R, sigma=np.full(len(R), 0.02), quantity="D(r)", **SILICA)
    start = convert(d, first[0], normalisation=first[1])
    back = convert(convert(start, second[0], normalisation=second[1]), first[0], normalisation=first[1])
    np.testing.assert_allclose(back.y, start.y, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    ("radiation", "q_form", "r_form"),
    [("neutron", a, b) for a in Q_FORMS for b in R_FORMS] + [("xray", a, b) for a in Q_FORMS for b in R_FORMS_XRAY],
)
def test_from_q_to_r_and_back(radiation: str, q_form: tuple[str, str], r_form: tuple[str, str]) -> None:
    start = convert(silica(radiation), q_form[0], normalisation=q_form[1])
    there = convert(start, r_form[0], normalisation=r_form[1], x=R)
    assert (there.q_min, there.q_max) == (Q[0], Q[-1])
    back = convert(there, q_form[0], normalisation=q_form[1], x=Q)
    scale = np.abs(start.y).max()
    np.testing.assert_allclose(back.y / scale, start.y / scale, atol=2e-5)


def test_definitions_in_r() -> None:
    """Keen's table, from one g(r), for neutrons: <b>^2 in barn; all at once so that no factor hides in another."""
    g = 1.0 + np.sin(3.0 * R) / R
    curve = Curve(x=R, y=g, quantity="g(r)", **SILICA)
    b2 = 0.01 * ((4.15071 + 2 * 5.8037) / 3.0) ** 2
    uniform = 4.0 * math.pi * RHO * R
    expected = {
        ("D(r)", "faber-ziman"): uniform * (g - 1.0),
        ("G(r)", "faber-ziman"): uniform * (g - 1.0),
        ("T(r)", "faber-ziman"): uniform * g,
        ("J(r)", "faber-ziman"): R * uniform * g,
        ("G(r)", "keen"): b2 * (g - 1.0),
        ("D(r)", "keen"): b2 * uniform * (g - 1.0),
        ("T(r)", "keen"): b2 * uniform * g,
        ("J(r)", "keen"): b2 * R * uniform * g,
    }
    for (quantity, norm), values in expected.items():
        np.testing.assert_allclose(convert(curve, quantity, normalisation=norm).y, values, rtol=1e-5, atol=1e-9)


def test_definitions_in_q_for_xrays() -> None:
    """[I - <f^2>]/<f>^2 is Faber-Ziman; the same intensity over <f^2> is smaller by 1.28 at Q = 0 for FeO."""
    q = np.linspace(0.0, 10.0, 101)
    f = form_factors(["Fe", "O"], q)
    mean2, square = f.mean(axis=0) ** 2, (f**2).mean(axis=0)
    intensity = square + mean2 * 0.3 * np.cos(q)
    curve = Curve(
        x=q,
        y=intensity - square,
        quantity="F(Q)",
        normalisation="keen",
        radiation="xray",
        composition={"Fe": 1, "O": 1},
    )
    faber_ziman = convert(curve, "S(Q)", normalisation="faber-ziman")
    np.testing.assert_allclose(faber_ziman.y, 1.0 + 0.3 * np.cos(q), rtol=1e-12)
    by_square = convert(curve, "S(Q)", normalisation="<f^2>")
    np.testing.assert_allclose(by_square.y, intensity / square, rtol=1e-12)
    assert 0.3 / (by_square.y[0] - 1.0) == pytest.approx(1.28, abs=0.005)


def test_samples_and_bins_agree() -> None:
    """Another route to the same number: exact bins of `r_to_q_matrix` against samples of the same smooth g(r)."""
    r = np.arange(0.01, 15.0, 0.01)
    g = 1.0 - np.exp(-((r / 2.0) ** 8)) + 0.5 * np.exp(-(((r - 3.0) / 0.4) ** 2))
    q = np.linspace(0.5, 12.0, 60)
    sampled = convert(Curve(x=r, y=g, quantity="g(r)", number_density=RHO), "S(Q)", x=q)
    edges = np.arange(0.005, 15.0, 0.01)
    binned = 1.0 + r_to_q_matrix(edges, q, RHO) @ (g[: len(edges) - 1] - 1.0)
    np.testing.assert_allclose(sampled.y, binned, atol=2e-3)


def argon(quantity: str = "S(Q)") -> Curve:
    file = "yarnell_1973_sq.csv" if quantity == "S(Q)" else "yarnell_1973_gr.csv"
    facts: dict[str, Any] = {"number_density": 0.02125, "composition": {"Ar": 1}, "isotopes": {"Ar": 36}}
    return read_curve(ARGON / file, quantity=quantity, **facts)


def test_argon_gives_the_published_pair_distribution() -> None:
    """Yarnell et al.: first peak 3.07 at 3.71 Å, twelve neighbours; the paper's own g(r) is met to 0.006 rms."""
    published = argon("g(r)")
    window = (published.x > 2.5) & (published.x < 25.0)
    g = convert(argon(), "g(r)", x=published.x[window])
    assert np.sqrt(np.mean((g.y - published.y[window]) ** 2)) < 0.0065
    assert g.y.max() == pytest.approx(3.07, abs=0.02)
    assert g.x[np.argmax(g.y)] == pytest.approx(3.71, abs=0.04)
    j = convert(argon(), "J(r)", x=np.arange(2.5, 5.17, 0.01))
    assert np.trapezoid(j.y, j.x) == pytest.approx(12.0, abs=0.1)


def test_argon_back_from_the_published_pair_distribution() -> None:
    measured = argon().cropped(1.0, 11.0)
    s = convert(argon("g(r)"), "S(Q)", x=measured.x)
    assert np.sqrt(np.mean((s.y - measured.y) ** 2)) < 0.004


def test_low_r_slope_of_argon() -> None:
    """D(r) = -4πρ r below the atoms, on the absolute scale."""
    d = convert(argon(), "D(r)", x=np.linspace(0.5, 1.5, 21), window="lorch")
    assert (d.y @ d.x) / (d.x @ d.x) == pytest.approx(-4.0 * math.pi * 0.02125, rel=0.03)


def test_a_window_is_divided_out_again() -> None:
    start = silica("neutron")
    smoothed = convert(start, "T(r)", x=R, window="lorch")
    assert smoothed.window == "lorch"
    q = Q[: int(0.9 * N)]
    back = convert(smoothed, "S(Q)", x=q)
    assert back.window == "none"
    np.testing.assert_allclose(back.y, start.y[: len(q)], atol=5e-3)


def test_the_window_of_a_q_curve_is_the_one_of_its_transform() -> None:
    declared = replace(silica("neutron"), window="lorch")
    np.testing.assert_array_equal(convert(declared, "D(r)").y, convert(silica("neutron"), "D(r)", window="lorch").y)


def test_missing_low_r_is_continued_by_no_atoms() -> None:
    """g(r) that begins at 2 Å, where it is still 0, is the same curve as from 0."""
    r = np.arange(0.0, 15.0, 0.02)
    g = np.where(r > 2.5, 1.0 - np.exp(-((r - 2.5) ** 2)), 0.0)
    full = Curve(x=r, y=g, quantity="g(r)", number_density=RHO)
    q = np.linspace(0.5, 10.0, 30)
    np.testing.assert_allclose(convert(full.cropped(2.0, 15.0), "S(Q)", x=q).y, convert(full, "S(Q)", x=q).y, atol=1e-9)
    bare = replace(convert(full.cropped(2.0, 15.0), "D(r)"), number_density=None)
    with pytest.raises(ConversionError, match="begins at r = 2 Å; its continuation"):
        convert(bare, "S(Q)", x=q)


def test_extrapolation_to_q_zero_is_asked_for() -> None:
    start = silica("neutron").cropped(1.0, 60.0)
    extended = convert(start, "D(r)", x=R, extrapolate=True)
    plain = convert(start, "D(r)", x=R)
    assert (plain.q_min, extended.q_min) == (pytest.approx(start.x[0]), 0.0)
    assert not np.allclose(plain.y, extended.y)


def test_errors_are_propagated() -> None:
    """Against the scatter of 1000 noisy copies; 7 % is three standard deviations."""
    start = silica("neutron")
    assert start.sigma is not None
    rng = np.random.default_rng(7)
    r = np.array([1.0, 3.0, 7.0, 12.0, 15.0])
    samples = np.array(
        [convert(replace(start, y=start.y + rng.normal(scale=start.sigma)), "g(r)", x=r).y for _ in range(1000)]
    )
    predicted = convert(start, "g(r)", x=r).sigma
    assert predicted is not None
    np.testing.assert_allclose(samples.std(axis=0, ddof=1), predicted, rtol=0.07)
    assert convert(replace(start, sigma=None), "g(r)", x=r).sigma is None


def test_undefined_points_are_left_out() -> None:
    q = np.arange(0.0, 10.0, 0.5)
    reduced = Curve(x=q, y=q * np.exp(-q), quantity="Q[S(Q)-1]", **SILICA)
    s = convert(reduced, "S(Q)")
    assert s.x[0] == 0.5
    np.testing.assert_allclose(s.y, 1.0 + np.exp(-s.x))
    assert convert(Curve(x=q, y=np.exp(-q), quantity="F(Q)", **SILICA), "Q[S(Q)-1]").y[0] == 0.0
    r = np.arange(0.0, 10.0, 0.1)
    t = Curve(x=r, y=0.5 * r, quantity="T(r)", **SILICA)
    assert convert(t, "g(r)").x[0] == pytest.approx(0.1)
    assert convert(t, "D(r)").x[0] == 0.0
    assert len(convert(reduced, "D(r)", x=[1.0, 1.5, 2.0, 2.5, 3.0]).x) == 5


def test_default_grids() -> None:
    d = convert(argon(), "D(r)")
    assert (d.x[0], d.x[-1]) == (pytest.approx(0.02), pytest.approx(20.0))
    s = convert(argon("g(r)"), "S(Q)")
    assert s.x[0] == pytest.approx(math.pi / 27.24)
    assert s.x[-1] == pytest.approx(25.0, abs=0.2)
    made = convert(d, "S(Q)")
    assert made.q_max is not None
    assert made.q_max <= 11.7474


PARTIAL = Curve(x=Q, y=np.ones_like(Q), quantity="S(Q)", radiation=None, pair=("Si", "O"), **SILICA)
XRAY_D = Curve(x=R, y=np.sin(R), quantity="D(r)", radiation="xray", **SILICA)
UNKNOWN = Curve(x=Q, y=np.ones_like(Q), quantity="S(Q)")
FROM_TRANSFORM = Curve(x=R, y=np.sin(R), quantity="D(r)", q_min=1.0, q_max=20.0, **SILICA)


@pytest.mark.parametrize(
    ("curve", "quantity", "options", "message"),
    [
        (silica("neutron"), "S(Q)", {"normalisation": "keen"}, r"S\(Q\) is not defined in the keen .*convert to"),
        (silica("neutron"), "g(r)", {"normalisation": "keen"}, r"g\(r\) is not defined in the keen"),
        (silica("xray"), "T(r)", {"normalisation": "keen"}, "depends on Q"),
        (PARTIAL, "F(Q)", {"normalisation": "keen"}, r"a partial \(Si-O\) is Faber-Ziman by definition"),
        (XRAY_D, "D(r)", {"normalisation": "keen"}, r'depends on Q for x-rays; convert to "F\(Q\)" first'),
        (UNKNOWN, "T(r)", {}, r"T\(r\) needs the number density"),
        (UNKNOWN, "F(Q)", {"normalisation": "keen"}, "keen normalisation needs the composition"),
        (silica("neutron"), "F(Q)", {"x": Q}, "the grid, Q range and window stay"),
        (silica("neutron"), "D(r)", {"q_range": (1.0, 90.0)}, "Q up to 90 was asked for"),
        (silica("neutron"), "D(r)", {"x": [1.0, 50.0]}, "reach r = π/ΔQ = 20 Å, not 50 Å"),
        (FROM_TRANSFORM, "S(Q)", {"x": [0.5, 1.0]}, "the curve holds 1 to 20"),
        (FROM_TRANSFORM, "S(Q)", {"x": [5.0, 25.0]}, "the curve holds 1 to 20"),
        (FROM_TRANSFORM, "S(Q)", {"window": "lorch"}, "belong to a transform to r"),
        (replace(FROM_TRANSFORM, window="lorch"), "S(Q)", {"x": [5.0, 20.0]}, "its window has gone to zero"),
    ],
)
def test_what_is_not_defined_is_refused(curve: Curve, quantity: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(curve, quantity, **options)


def test_unknown_names_are_input_errors() -> None:
    with pytest.raises(InputError, match="unknown quantity"):
        convert(silica("neutron"), "R(r)")
    with pytest.raises(InputError, match="unknown normalisation"):
        convert(silica("neutron"), "F(Q)", normalisation="barn")
    with pytest.raises(InputError, match="unknown window"):
        convert(silica("neutron"), "D(r)", window="hann")
