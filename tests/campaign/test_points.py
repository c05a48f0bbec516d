"""A campaign file, and the points that it means."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from refine.campaign.keys import MOST_POINTS, CampaignConfig
from refine.campaign.points import points_of
from refine.campaign.steps import Planner, point_folder
from refine.errors import InputError
from refine.study.schema import StudyConfig
from tests import small_box


def parsed(**tables: Any) -> CampaignConfig:
    return CampaignConfig.parse({"study": "study.toml", **tables})


def test_crossed_and_zipped_and_left_out() -> None:
    config = parsed(
        grid={"sampling": {"seed": [1, 2]}, "states.85K.temperature": [85.0, 95.0]},
        zip=[{"system.number_density": [0.02, 0.021], "title": ["thin", "dense"]}],
        select={"leave_out": [{"sampling.seed": 2, "title": ["dense"]}]},
    )
    found = [tuple(point.values.values()) for point in points_of(config)]
    every = itertools.product((1, 2), (85.0, 95.0), ((0.02, "thin"), (0.021, "dense")))
    assert found == [(a, b, *c) for a, b, c in every if not (a == 2 and c[1] == "dense")]
    assert len({point.name for point in points_of(config)}) == len(found) == 6


def test_a_point_keeps_its_name_when_others_come() -> None:
    few, more = parsed(grid={"a.b": [1, 2]}), parsed(grid={"a.b": [0, 1, 2, 3]})
    assert {point.name for point in points_of(few)} < {point.name for point in points_of(more)}


@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a\nb", "x" * 500, "CON:", "é/..//..\\", "-rf", "a b"]
)
def test_no_name_leaves_the_folder(value: str, tmp_path: Path) -> None:
    """Nor is one too long for a file system, or an option."""
    (point,) = points_of(parsed(grid={"title": [value]}))
    folder = point_folder(tmp_path, point.name).resolve()
    assert folder.parent == (tmp_path / "points").resolve()
    assert len(point.name) < 100
    assert point.name[0].isalnum()


def test_names_that_a_file_system_may_take_for_one_are_told_apart() -> None:
    names = [
        point.name.lower() for point in points_of(parsed(grid={"title": ["SiO2", "sio2", "SIO2", "Si O2", "Si/O2"]}))
    ]
    assert len(set(names)) == 5


def test_too_many_points_are_refused_before_they_are_made() -> None:
    grid = {f"a.k{k}": list(range(1000)) for k in range(12)}
    with pytest.raises(InputError, match=f"{1000**12} points, and {MOST_POINTS} are allowed"):
        points_of(parsed(grid=grid))


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"grid": {"a.b": 1}}, "should be a list"),
        ({"grid": {"a.b": []}}, "should be a list"),
        ({"grid": {"a.b": [1, 1]}}, "has a value twice"),
        ({"grid": {"a=b": [1]}}, "is no key of a study"),
        ({"grid": {"a..b": [1]}}, "is no key of a study"),
        ({"grid": {"a.b": [[[[[[1]]]]]]}}, "is no value of a study"),
        ({"grid": {"a.b": [1]}, "zip": [{"a.b": [2]}]}, "twice"),
        ({"zip": [{"a.b": [1, 2], "a.c": [1]}]}, "lists of one length"),
        ({"grid": {"a.b": [1]}, "select": {"only": [{"a.c": 1}]}}, "not in [grid]"),
        (
            {"grid": {"a.b": [1]}, "select": {"leave_out": [{"a.b": [1, 3]}]}},
            "leave_out names a.b = 3, which is none of",
        ),
        ({"run": {"task": ["compare", "run"]}}, "in this order"),
        ({"run": {"task": "rm"}}, "task"),
        ({"run": {"task": "forward"}}, "has no 'trajectory'"),
        ({"run": {"walltime": "4h"}}, "HH:MM:SS"),
        ({"run": {"workerz": 2}}, "did you mean 'workers'?"),
        ({"gird": {}}, "did you mean 'grid'?"),
    ],
)
def test_what_is_refused_is_one_line(tables: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        parsed(**tables)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_left() -> None:
    with pytest.raises(InputError, match="no point is left"):
        points_of(parsed(grid={"a.b": [1]}, select={"leave_out": [{"a.b": 1}]}))


def test_a_point_is_the_study_with_its_values(tmp_path: Path) -> None:
    """By key, by composition, and by model; and paths lead where they led."""
    small_box.write(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other.toml").write_text(
        '[model]\nbase = "lennard-jones"\n[model.parameters]\nepsilon = 0.01\nsigma = 3.3\n'
    )
    config = CampaignConfig.parse(
        {"study": "study.toml", "grid": {"states.85K.temperature": [90.0], "model": ["models/other.toml"]}}, tmp_path
    )
    out = tmp_path / "out"
    (point,) = points_of(config)
    plan = Planner(config, out).plan(point)
    folder = point_folder(out, point.name)
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(plan.files["study.toml"])
    made = StudyConfig.from_toml(folder / "study.toml")
    assert made.states[0].temperature == 90.0
    assert made.model.model_dump()["parameters"] == {"epsilon": 0.01, "sigma": 3.3}
    assert all(path.is_file() for path in made.files())
    assert [step.words for step in plan.steps] == [("run", "study.toml", "--out", "run", "--continue")]


def test_the_files_of_a_trajectory_are_seen_from_the_point(tmp_path: Path) -> None:
    small_box.write(tmp_path)
    asked = {"trajectory": "a.dcd", "atoms": "one.extxyz"}
    for name in asked.values():
        (tmp_path / name).touch()
    config = CampaignConfig.parse({"study": "study.toml", "run": {"task": "forward"}, "forward": asked}, tmp_path)
    plan = Planner(config, tmp_path / "out").plan(points_of(config)[0])
    (step,) = plan.steps
    folder = point_folder(tmp_path / "out", plan.point.name)
    assert (folder / step.words[-2]).resolve() == tmp_path / "a.dcd"
    (atoms,) = (word.partition("=")[2] for word in step.words if word.startswith("--atoms="))
    assert (folder / atoms).resolve() == tmp_path / "one.extxyz"


def test_the_tasks_of_a_point_follow_one_another(tmp_path: Path) -> None:
    small_box.write(tmp_path)
    tree = {"study": "study.toml", "run": {"task": ["prepare", "run", "compare"]}, "prepare": {"replicate": [2, 1, 1]}}
    config = CampaignConfig.parse(tree, tmp_path)
    plan = Planner(config, tmp_path / "out").plan(points_of(config)[0])
    assert [step.task for step in plan.steps] == ["prepare", "run", "compare"]
    assert plan.steps[0].words[-2:] == ("--replicate", "2,1,1")
    assert plan.steps[2].words[-2:] == ("--runs", "run")
    assert 'structure = "start-85K.extxyz"' in plan.files["study.toml"]
    assert "species" not in plan.files["study.toml"]  # of the repeated cell, which the file has


def test_a_training_starts_from_no_table_of_a_study(tmp_path: Path) -> None:
    """Of a file of refine learn, keys of its tables are varied, and files are seen from it."""
    (tmp_path / "learn.toml").write_text('[model]\npath = "a.model"\n[frames]\ntrain = ["a.extxyz"]\n')
    for name in ("a.model", "a.extxyz", "b.extxyz", "c.extxyz"):
        (tmp_path / name).touch()
    tree = {"study": "learn.toml", "run": {"task": "learn"}, "grid": {"frames.train": [["b.extxyz"], ["c.extxyz"]]}}
    config = CampaignConfig.parse(tree, tmp_path)
    plan = Planner(config, tmp_path / "out").plan(points_of(config)[1])
    assert [step.words for step in plan.steps] == [("learn", "learn.toml", "--out", "learn")]
    assert 'train = ["../../../c.extxyz"]' in plan.files["learn.toml"]
    config = CampaignConfig.parse(tree | {"grid": {"model": ["pedone.toml"]}}, tmp_path)
    with pytest.raises(InputError, match="model"):
        Planner(config, tmp_path / "out").plan(points_of(config)[0])


@pytest.mark.parametrize(
    ("key", "tables"),
    [
        ("data.sq.file", {"grid": {"data.sq.file": ["sq.csv", "none.csv"]}}),
        ("compare.models", {"run": {"task": "compare"}, "compare": {"models": ["none.toml"]}}),
        ("forward.trajectory", {"run": {"task": "forward"}, "forward": {"trajectory": "none.xyz"}}),
        ("forward.atoms", {"run": {"task": "forward"}, "forward": {"trajectory": "sq.csv", "atoms": "none.xyz"}}),
    ],
)
def test_a_file_that_is_not_there_is_told_before_anything_is_started(
    key: str, tables: dict[str, Any], tmp_path: Path
) -> None:
    small_box.write(tmp_path)
    config = CampaignConfig.parse({"study": "study.toml", **tables}, tmp_path)
    *before, point = points_of(config)
    planner = Planner(config, tmp_path / "out")
    assert [bool(planner.plan(one).steps) for one in before] == [True] * len(before)
    with pytest.raises(InputError, match=f"^{key}: .*none.*: no such file$"):
        planner.plan(point)


def test_a_digest_is_of_settings_and_data(tmp_path: Path) -> None:
    small_box.write(tmp_path)
    config = CampaignConfig.parse({"study": "study.toml", "grid": {"sampling.seed": [1, 2]}}, tmp_path)
    one, two = (Planner(config, tmp_path / "out").plan(point).digest for point in points_of(config))
    elsewhere = Planner(config, tmp_path / "other").plan(points_of(config)[0]).digest
    assert one == elsewhere != two


def test_a_digest_is_of_the_models_that_are_compared(tmp_path: Path) -> None:
    """Also where another one has taken the place of a file."""
    found = []
    for k, cutoff in enumerate((8.0, 8.0, 8.5)):
        folder = tmp_path / str(k)
        folder.mkdir()
        small_box.write(folder)
        (folder / "other.toml").write_text(f'[model]\nbase = "lennard-jones"\nr_cut = {cutoff}\n')
        tree = {"study": "study.toml", "run": {"task": "compare"}, "compare": {"models": ["other.toml"]}}
        config = CampaignConfig.parse(tree, folder)
        found.append(Planner(config, folder / "out").plan(points_of(config)[0]).digest)
    assert found[0] == found[1] != found[2]
