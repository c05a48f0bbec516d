"""What is read of the files that tasks leave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from refine.campaign.rows import rows_of
from refine.campaign.standing import PointStanding, Standing, StepStanding
from refine.report.campaign import render


def test_a_header_with_no_number_is_a_row_that_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "points" / "a"
    folder.mkdir(parents=True)
    (folder / "start-85K.extxyz").write_text("0\nstate=85K number_density=1.2.3 pressure_GPa=0.1\n")
    point = PointStanding(name="a", values={}, digest="", steps=[StepStanding(task="prepare", ending="done")])
    standing = Standing(title="t", study="s", tasks=["prepare"], labels={}, collect=["scores"], points=[point])
    (row,) = rows_of(standing, tmp_path)
    assert "number_density in the header is not a number" in row.unread


ERRORS = {"energy_meV_per_atom": 2.0, "forces_meV_per_angstrom": 30.0, "stress_GPa": None}
LEFT = {
    "learn": {"errors": {"test": {"before": {**ERRORS, "forces_meV_per_angstrom": 90.0}, "after": ERRORS}}},
    "compare": {"models": [{"label": "pedone", "r_chi": {"sq": [0.03, 0.002]}, "numbers": {}}]},
    "forward": {
        "data": [{"name": "sq", "r_chi": 0.03, "r_chi_stderr": 0.002, "chi2": 7.0, "points": 9}],
        "numbers": [],
    },
}


def four_points(folder: Path, task: str, tree: Any) -> Standing:
    """Two keys with two values each, and what the task left in each point."""
    points = []
    for a in (1.0, 2.0):
        for b in (3.0, 4.0):
            name = f"{a}-{b}"
            out = folder / "points" / name / task
            out.mkdir(parents=True)
            (out / f"{task}.json").write_text(json.dumps(tree))
            step = StepStanding(task=task, ending="done")
            points.append(PointStanding(name=name, values={"x.a": a, "x.b": b}, steps=[step]))
    labels = {"x.a": "a", "x.b": "b"}
    return Standing(title="t", study="s", tasks=[task], labels=labels, collect=["scores"], points=points)


@pytest.mark.parametrize(
    ("task", "name", "before", "after"),
    [
        ("learn", "test: forces", (90.0, None), (30.0, None)),
        ("compare", "pedone: sq: R_χ", (None, None), (0.03, 0.002)),
        ("forward", "sq: R_χ", (None, None), (0.03, 0.002)),
    ],
)
def test_misfits_of_each_task_are_drawn(task: str, name: str, before: Any, after: Any, tmp_path: Path) -> None:
    """As a map over the first two keys, and as a trend over each: before and after, where there is a before."""
    standing = four_points(tmp_path, task, LEFT[task])
    rows = rows_of(standing, tmp_path)
    assert all((row.misfits[name].before, row.misfits[name].after) == (before, after) for row in rows)
    page = render(standing, rows)
    drawn = json.loads(re.findall(r'id="figures">(.*?)</script>', page, re.DOTALL)[0])
    maps = [figure["data"][0] for figure in drawn if figure["id"].startswith("map")]
    assert any(one["marker"]["color"] == [after[0]] * 4 and len(one["x"]) == 4 for one in maps)
    trends = [
        [line["name"].split(",")[0] for line in figure["data"]] for figure in drawn if figure["id"].startswith("trend")
    ]
    assert (["initial", "initial", "final", "final"] if before[0] else ["final", "final"]) in trends


@pytest.mark.parametrize("task", list(LEFT))
@pytest.mark.parametrize("tree", [{}, {"errors": 3, "models": [4], "data": None}, {"errors": {"a": []}, "data": [[]]}])
def test_what_no_task_leaves_is_told(task: str, tree: Any, tmp_path: Path) -> None:
    rows = rows_of(four_points(tmp_path, task, tree), tmp_path)
    assert all(f"is not what {task} leaves" in row.unread for row in rows)
    assert all("not in the table" in str(row.cells["why"]) for row in rows)
