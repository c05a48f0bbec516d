"""A study that leaves everything to refine, run on a small box."""

from __future__ import annotations

import html
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import refine
from refine import Study
from refine.errors import InputError, SimulationError
from refine.progress import NullProgress
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.starts import equilibrate
from refine.study.choices.first import open_keys
from refine.tasks.compare import compare
from refine.tasks.diagnose import diagnose
from refine.tasks.pilot import pilot
from refine.tasks.prepare import prepare
from tests import small_box
from tests.listening import Stop, StopIn, Told

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEYS = ("timestep", "equilibration", "reequilibration", "frames", "stride", "replicas", "r_min", "knots")


def write(folder: Path, *keep: str) -> Path:
    """The small box without the keys that refine chooses, but for those to keep."""
    path = small_box.write(folder)
    lines = path.read_text().splitlines()
    left_out = [key for key in KEYS if key not in keep]
    path.write_text("\n".join(line for line in lines if line.split(" = ")[0] not in left_out) + "\n")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, quick_compilation: None) -> SimpleNamespace:
    """A run of 108 atoms that states composition, temperature, density, data and model; one replica, to be quick."""
    folder = tmp_path_factory.mktemp("pilot")
    study, told = write(folder, "replicas", "frames"), Told()
    result = Study.from_toml(study).run(folder / "whole", progress=told)
    return SimpleNamespace(folder=folder, study=study, told=told, result=result)


def numbers(out: Path) -> dict:
    """result.json without times."""
    tree = json.loads((out / "result.json").read_text())
    for row in tree["iterations"]:
        del row["seconds_sampling"], row["seconds_solving"]
    del tree["seconds"]
    return tree


def test_what_was_chosen_is_told_stored_and_reported(whole: SimpleNamespace) -> None:
    chosen = {row.key: row for row in refine.open(whole.folder / "whole").summary.chosen}
    tables = {"r_min": "correction", "knots": "correction"}
    open_ones = {f"{tables.get(key, 'sampling')}.{key}" for key in KEYS if key not in ("replicas", "frames")}
    assert set(chosen) == open_ones == open_keys(Study.from_toml(whole.study).config)
    assert chosen["sampling.timestep"].value == 10.0  # argon at 85 K
    assert "Einstein period is that of Ar" in chosen["sampling.timestep"].reason
    assert 2.0 <= chosen["correction.r_min"].value <= 2.7  # its innermost pairs are 3 Å apart
    report = html.unescape((whole.folder / "whole" / "report.html").read_text())
    assert "What refine chose" in report
    for key, row in chosen.items():
        assert sum(line.startswith(f"chose {key} = {row.value:g}") for line in whole.told.lines) == 1
        assert f">{row.reason}</td>" in report
    correction = refine.open(whole.folder / "whole").correction
    assert correction.basis.r_min == chosen["correction.r_min"].value
    assert correction.basis.size == chosen["correction.knots"].value


def test_every_stage_is_counted_to_its_end(whole: SimpleNamespace) -> None:
    """What takes time advances, and by its total, so that the time that remains is known."""
    labels = [label for label, *_ in whole.told.stages]
    assert labels[:4] == ["equilibrating", "looking at the base model", "sampling the base model", "sampling 1"]
    for k, (label, total, done) in enumerate(whole.told.stages):
        fails = label in labels[k + 1 :]  # a step too long, whose sample is taken again behind a shorter one
        assert done == total or fails or (label == "looking at the base model" and 0 < done < total)


@pytest.mark.slow
def test_resumed_inside_the_first_sample_and_behind_it(whole: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refine.tasks.run.loop.SAVE_INTERVAL", 0.0)
    out = whole.folder / "parts"
    for stops, moment in enumerate((StopIn("looking", 2), StopIn("sampling the base"), StopIn("sampling 1"))):
        with pytest.raises(Stop):
            Study.from_toml(whole.study).run(out, resume=stops > 0, progress=moment)
    Study.from_toml(whole.study).run(out, resume=True)
    assert numbers(out) == numbers(whole.folder / "whole")


def test_a_study_that_gives_all_keys_begins_as_ever(tmp_path: Path) -> None:
    """No sample is taken to choose from, and the start is that of `equilibrate`, bit for bit."""
    study = Study.from_toml(small_box.write(tmp_path))
    assert not study.awaits_sample
    assert study.choices == ()
    assert pilot(study, NullProgress()).starts is None
    r_min_open = Study.from_toml(write(tmp_path, *(key for key in KEYS if key != "r_min")))
    assert r_min_open.awaits_sample
    found = pilot(r_min_open, NullProgress())
    assert [choice.key for choice in found.study.choices] == ["correction.r_min"]
    (field, sampler), (_, same) = study.samplers()[0], found.study.samplers()[0]
    start = equilibrate(sampler, field.params(study.initial_correction()), 85.0, seed_of_state(3, 0), 2.0)
    assert found.starts is not None
    np.testing.assert_array_equal(found.starts[0].positions, start.positions)
    assert (sampler.timestep, sampler.stride) == (same.timestep, same.stride) == (5.0, 8)


def test_measured_numbers_are_looked_at_too(tmp_path: Path) -> None:
    """A fitted pressure, which is no function of pair counts, beside a curve."""
    study = write(tmp_path, "replicas")
    number = '[[data]]\nname = "p"\nquantity = "pressure"\nvalue = 0.02\nsigma = 1e-4\n'
    study.write_text(study.read_text().replace("[model]\n", f"{number}[model]\n", 1))
    decided = pilot(Study.from_toml(study), NullProgress()).study
    assert {choice.key for choice in decided.choices} == open_keys(decided.config)


def test_a_key_that_is_given_wins(tmp_path: Path) -> None:
    given = {"timestep": 4.0, "stride": 7, "reequilibration": 0.3, "r_min": 1.9}
    study = Study.from_toml(
        write(tmp_path),
        [
            *(f"sampling.{key}={value}" for key, value in given.items() if key != "r_min"),
            "correction.r_min=1.9",
            "sampling.replicas=1",
        ],
    )
    found = pilot(study, NullProgress()).study
    for key, value in given.items():
        assert getattr(found.settings, key) == value
        assert not any(choice.key.endswith(f".{key}") for choice in found.choices)
    assert {choice.key for choice in found.choices} == {"sampling.equilibration", "sampling.frames", "correction.knots"}


def test_a_given_equilibration_comes_with_a_quarter_of_it(tmp_path: Path) -> None:
    study = Study.from_toml(write(tmp_path, "timestep", "equilibration", "frames", "stride", "r_min", "knots"))
    assert study.settings.reequilibration == 0.5
    assert study.settings.replicas == 4  # of 108 atoms each
    assert not study.awaits_sample


def test_an_r_min_that_is_given_is_still_refused(tmp_path: Path) -> None:
    study = Study.from_toml(write(tmp_path, "replicas", "frames"), ["correction.r_min=4.0"])
    with pytest.raises(InputError, match="r_min = 4 Å lies inside"):
        study.run(tmp_path / "out")


def test_a_first_sample_that_fails_is_taken_again_with_a_shorter_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[float] = []

    def fails(study: Study, *_: object, **__: object) -> None:
        steps.append(study.settings.timestep)
        raise SimulationError("an atom moved far", fix="shorten sampling.timestep")

    monkeypatch.setattr("refine.tasks.pilot._first_sample", fails)
    told = Told()
    with pytest.raises(SimulationError):
        pilot(Study.from_toml(write(tmp_path, "replicas")), told)
    assert steps == [2.5, 1.0, 0.5, 0.25]
    assert told.lines[0] == "the first sample failed with 2.5 fs, and is taken again with 1: an atom moved far"
    steps.clear()
    with pytest.raises(SimulationError):
        pilot(Study.from_toml(write(tmp_path, "replicas", "timestep")), NullProgress())
    assert steps == [5.0]


@pytest.mark.slow
def test_other_tasks_take_the_same_road(tmp_path: Path) -> None:
    study = write(tmp_path, "replicas")
    told = Told()
    found = diagnose(Study.from_toml(study), frames=60, progress=told)
    assert found.chi2 > 0.0
    assert any(line.startswith("chose sampling.timestep = 10 fs") for line in told.lines)
    told = Told()
    (row,) = compare(Study.from_toml(study).config, [], frames=60, progress=told).rows
    assert row.failure is None
    assert any(line.startswith("chose sampling.timestep = 10 fs") for line in told.lines)
    told = Told()
    prepared = prepare(Study.from_toml(study).config, progress=told)
    assert prepared.system.n_atoms == 108
    assert any(line.startswith("chose sampling.timestep") for line in told.lines)
