"""The page of a campaign: what its figures join, and what they tell apart."""

from __future__ import annotations

import json
import re
from typing import Any

from refine.campaign.rows import Misfit, Row
from refine.campaign.standing import PointStanding, Standing
from refine.report.campaign import render
from refine.report.grid import MOST_SERIES, axes_of
from refine.results.schema import Correction, Summary

FORMULA, DENSITY, FILE = "system.formula", "system.number_density", "data.neutron.file"
TEMPERATURE, SEED = "states.hot.temperature", "sampling.seed"
GLASSES = (
    {FORMULA: "SiO2", DENSITY: 0.066, FILE: "a.csv"},
    {FORMULA: "0.25Na2O-0.75SiO2", DENSITY: 0.068, FILE: "b.csv"},
)


def standing_of(points: list[dict[str, Any]]) -> Standing:
    labels = {key: key.rpartition(".")[2] for key in points[0]}
    listed = [PointStanding(name=f"p{k}", values=values) for k, values in enumerate(points)]
    return Standing(title="Glasses", study="study.toml", tasks=["run"], labels=labels, points=listed)


def correction(a: str, b: str, temperature: float) -> Correction:
    return Correction(pair=(a, b), r=[1.0, 2.0, 3.0], phi=[0.3, 0.1, 0.0], temperature=temperature)


def page_of(points: list[dict[str, Any]], pairs: list[list[tuple[str, str]]] | None = None) -> tuple[str, list[Any]]:
    """The page of points with R_χ 0.1, 0.2, ... and, by point, corrections of pairs; its text and its figures."""
    standing = standing_of(points)
    rows = [
        Row(
            point,
            summary=Summary.model_construct(
                correction=[correction(*pair, point.values[TEMPERATURE]) for pair in pairs[k]], numbers=[], states=[]
            )
            if pairs
            else None,
            misfits={"neutron: R_χ": Misfit("R_χ", (0.1 * (k + 1), 0.01))},
        )
        for k, point in enumerate(standing.points)
    ]
    text = render(standing, rows)
    return text, json.loads(re.findall(r'id="figures">(.*?)</script>', text, re.DOTALL)[0])


def test_keys_that_change_together_are_one_axis() -> None:
    standing = standing_of([{TEMPERATURE: t, **glass} for t in (300.0, 600.0) for glass in GLASSES])
    assert [axis.keys for axis in axes_of(standing)] == [(TEMPERATURE,), (FORMULA, DENSITY, FILE)]
    # two glasses of the same density: the density alone does not tell them apart
    third = {FORMULA: "GeO2", DENSITY: 0.066, FILE: "c.csv"}
    standing = standing_of([{**glass} for glass in (*GLASSES, third)])
    assert [axis.keys for axis in axes_of(standing)] == [(FORMULA, FILE), (DENSITY,)]


def test_a_map_says_a_mean_only_where_there_is_one() -> None:
    text, figures = page_of([{TEMPERATURE: t, **glass} for t in (300.0, 600.0) for glass in GLASSES])
    assert "Mean over" not in text
    grid = next(one for one in figures if one["id"].startswith("map"))["data"][0]
    places = list(zip(grid["x"], grid["y"], grid["marker"]["color"], strict=True))
    assert places[1] == ("300.0", "0.25Na2O-0.75SiO2", 0.2)
    text, _ = page_of(
        [{TEMPERATURE: t, SEED: s, **GLASSES[0], FORMULA: f} for t in (1.0, 2.0) for s in (1, 2) for f in "ab"]
    )
    assert "Mean over formula." in text


def test_a_grid_of_one_axis_has_a_map_of_one_row() -> None:
    _, figures = page_of([{"model": name} for name in ("a.toml", "b.toml", "c.toml")])
    (grid,) = next(one for one in figures if one["id"].startswith("map"))["data"]
    assert (grid["x"], set(grid["y"])) == (["a.toml", "b.toml", "c.toml"], {""})


def test_a_pair_is_one_whichever_of_its_elements_comes_first() -> None:
    points = [{TEMPERATURE: t, **glass} for t in (300.0, 600.0) for glass in GLASSES]
    pairs = [[("Si", "O")], [("Na", "Si"), ("O", "Si")]] * 2
    _, figures = page_of(points, pairs)
    found = {one["id"]: one["data"] for one in figures if one["id"].startswith("phi")}
    assert [len(lines) for lines in found.values()] == [4, 2]
    lines = next(iter(found.values()))
    assert [(line["name"], line["line"]["dash"]) for line in lines] == [
        ("300 K, SiO2", "solid"),
        ("300 K, 0.25Na2O-0.75SiO2", "dash"),
        ("600 K, SiO2", "solid"),
        ("600 K, 0.25Na2O-0.75SiO2", "dash"),
    ]


def test_trends_tell_the_other_axes_apart() -> None:
    _, figures = page_of([{TEMPERATURE: t, **glass} for t in (300.0, 600.0) for glass in GLASSES])
    (trend,) = [one["data"] for one in figures if one["id"].startswith("trend-temperature")]
    assert [(one["name"], one["marker"]["symbol"], one["x"], one["y"]) for one in trend] == [
        ("final, SiO2", "circle", [300.0, 600.0], [0.1, 0.3]),
        ("final, 0.25Na2O-0.75SiO2", "square", [300.0, 600.0], [0.2, 0.4]),
    ]
    # too many to be told apart
    seeds = range(MOST_SERIES + 1)
    _, figures = page_of([{TEMPERATURE: t, SEED: seed} for t in (300.0, 600.0) for seed in seeds])
    (trend,) = [one["data"] for one in figures if one["id"].startswith("trend-temperature")]
    assert [(one["name"], len(one["x"])) for one in trend] == [("final", 2 * len(seeds))]
