"""The plotly specifications: valid, labelled with units, in the colours that mean the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.report import figures
from refine.results.reader import PairDistribution, Results, read_results


def _all(results: Results) -> list[figures.Figure]:
    g_r = [
        f for k, (state, curves) in enumerate(results.g_r.items()) for f in figures.pair_distributions(k, state, curves)
    ]
    progress = figures.progress(results)
    assert progress is not None
    return [*figures.comparisons(results), *g_r, *figures.corrections(results), *figures.potentials(results), progress]


@pytest.fixture
def plain(make_run: Any) -> Results:
    return read_results(make_run(rejected=frozenset({2})))


@pytest.fixture
def prediction(make_run: Any) -> figures.Figure:
    entry = {"name": "ours", "quantity": "D(r)", "normalisation": "keen", "radiation": "xray", "state": "85K"}
    out = make_run(predictions=[entry | {"q_range": [0.0, 20.0], "window": "lorch"}])
    (out / "curves" / "ours.csv").write_text("x,initial,final,final_stderr\n1,0,1,0.1\n2,1,3,0.2\n")
    (figure,) = figures.predictions(read_results(out))
    return figure


def _accept(drawn: list[figures.Figure]) -> None:
    """By the vendored script, which is the basic one, and by the library that checks every attribute."""
    assert {trace["type"] for figure in drawn for trace in figure.spec["data"]} <= {"bar", "pie", "scatter"}
    go = pytest.importorskip("plotly.graph_objects", reason="plotly is an extra")
    for figure in drawn:
        go.Figure(figure.spec)  # raises on an unknown attribute or value


def test_plotly_accepts_every_specification(plain: Results) -> None:
    _accept(_all(plain))


def test_plotly_accepts_a_prediction(prediction: figures.Figure) -> None:
    _accept([prediction])


def test_identifiers_are_unique_and_plain(crowded_run: Path) -> None:
    names = [figure.id for figure in _all(read_results(crowded_run))]
    assert len(set(names)) == len(names) == 37
    assert all(name.replace("-", "").isalnum() and name.isascii() for name in names)


def test_every_axis_is_labelled(plain: Results) -> None:
    dimensionless = {"S(Q)", "g(r)", "difference", "iteration", "R<sub>χ</sub> of T(r)"}
    for figure in _all(plain):
        for key, axis in figure.spec["layout"].items():
            if "axis" in key:
                title = axis["title"]["text"]
                assert title in dimensionless or "Å" in title or "eV" in title


def test_colours_mean_the_same_everywhere(plain: Results) -> None:
    expected = {"initial": (figures.INITIAL, "dash"), "final": (figures.FINAL, "solid")}
    found = [t for f in _all(plain) for t in f.spec["data"] if t["name"] in expected]
    assert len(found) == 2 * 4 + 2 + 1 + 2
    assert all((t["line"]["color"], t["line"]["dash"]) == expected[t["name"]] for t in found)
    assert figures.comparisons(plain)[0].spec["data"][0]["marker"]["color"] == figures.MEASURED


def test_the_difference_is_taken_from_what_the_fit_saw(plain: Results) -> None:
    curve = plain.curves["yarnell"]
    last = figures.comparisons(plain)[0].spec["data"][-1]
    np.testing.assert_allclose(last["y"], curve.final - curve.target, rtol=1e-4, atol=1e-8)


def test_the_bands_are_one_and_1_96_standard_errors(plain: Results) -> None:
    pair = plain.summary.correction[0]
    wide, narrow, line = figures.corrections(plain)[0].spec["data"]
    assert (wide["name"], narrow["name"]) == ("95 %", "68 %")
    n = len(pair.r)
    phi, stderr = 1000 * np.array(pair.phi, float), 1000 * np.array(pair.stderr, float)
    np.testing.assert_allclose(line["y"], phi, rtol=1e-5)
    np.testing.assert_allclose(np.array(wide["y"][:n]) - phi, 1.96 * stderr, rtol=1e-2, atol=2e-3)
    np.testing.assert_allclose(phi - np.array(narrow["y"][n:])[::-1], stderr, rtol=1e-2, atol=2e-3)


def test_the_scale_of_phi_is_not_set_by_the_rare_close_approaches(plain: Results) -> None:
    pair = plain.summary.correction[0]
    low, high = figures.corrections(plain)[0].spec["layout"]["yaxis"]["range"]
    phi = 1000 * np.array(pair.phi, float)
    assert low < phi.min() < 0 < high < 0.5 * phi[np.array(pair.r) > pair.sampled_r[0]].max()


def test_rejected_steps_are_crosses_off_the_line(plain: Results) -> None:
    figure = figures.progress(plain)
    assert figure is not None
    line, crosses = figure.spec["data"][:2]
    assert line["x"] == [0, 1, 3, 4, 5]  # the last is the final sample
    assert crosses["x"] == [2]
    assert crosses["marker"]["symbol"] == "x-thin"


def test_unknown_numbers_leave_gaps(crowded_run: Path) -> None:
    results = read_results(crowded_run)
    curve = figures.comparisons(results)[2]
    assert "σ" not in curve.caption
    assert {t["name"] for t in curve.spec["data"]} == {"measured", "initial", "final"}
    assert figures.potentials(results) == []
    assert [t["name"] for t in figures.corrections(results)[0].spec["data"]] == ["final"]


def test_dense_curves_become_lines_and_large_corrections_ev(make_run: Any) -> None:
    out = make_run()
    x = np.linspace(0.5, 25, 3000)
    rows = "".join(f"{v:.5f},{np.sin(v):.5f},,0,0\n" for v in x)
    (out / "curves" / "yarnell.csv").write_text("x,measured,sigma,initial,final\n" + rows)
    results = read_results(out)
    assert figures.comparisons(results)[0].spec["data"][0]["mode"] == "lines"
    pair = results.summary.correction[0]
    large = pair.model_copy(update={"phi": [50 * v for v in pair.phi]})
    results = replace(results, summary=results.summary.model_copy(update={"correction": [large]}))
    assert figures.corrections(results)[0].spec["layout"]["yaxis"]["title"]["text"] == "φ(r) (eV)"


def test_a_prediction_is_drawn_and_called_one(prediction: figures.Figure) -> None:
    figure = prediction
    band, initial, final = figure.spec["data"]
    assert (initial["y"], final["y"]) == ([0, 1], [1, 3])
    np.testing.assert_allclose(band["y"], [1.196, 3.392, 2.608, 0.804], rtol=1e-5)
    assert figure.title == "ours: D(r), prediction"
    assert "Prediction: there is no measured curve. State 85K, seen through a Q range of 0 to 20 1/Å" in figure.caption


def test_bands_of_g_are_not_negative_and_do_not_set_the_axis():
    r = np.array([1.0, 2.0, 3.0])
    curve = PairDistribution("Ar-Ar", r, np.array([0.0, 2.0, 1.0]), np.array([0.0, 2.5, 1.0]), np.array([9.0, 50, 0.1]))
    (figure,) = figures.pair_distributions(0, "85K", [curve])
    assert min(min(t["y"]) for t in figure.spec["data"]) == 0.0
    assert figure.spec["layout"]["yaxis"]["range"] == [0.0, 1.1 * 2.5]
