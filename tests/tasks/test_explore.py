"""`refine explore`: the loop with a stand-in for the dynamics, labels, refusals; and whole, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import read

from refine.campaign.executors import Local
from refine.campaign.keys import Execution
from refine.errors import CheckpointError, InputError, SimulationError
from refine.learning.explore_keys import ExploreConfig, Sampling, Selection, Stop
from refine.learning.frames import read_labelled
from refine.potentials.calculator import Calculator
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.reader.neutral import write_neutral
from refine.progress import NullProgress
from refine.results.explored import CurveScore, Estimate, Generation, why_enough
from refine.study.schema import StudyConfig
from refine.tasks.explore import explore, sampled
from refine.tasks.explore.chosen import Learnt, choose
from refine.tasks.explore.generation import LABELS
from refine.tasks.explore.labels import Labeller, as_atoms, as_frame, key_of, label_frames, text_of
from tests import small_box
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

LJ = {"epsilon": 0.0103, "sigma": 3.4, "rc": 6.0, "ro": 5.0, "smooth": True}
LABEL = {"base": "ase", "calculator": "ase.calculators.lj:LennardJones", "arguments": LJ}
MODEL = random_checkpoint(5, species=("Ar",), channels=2, max_ell=1, l_hidden=0, correlation=1, r_max=5.0)


def liquid(seed: int, spread: float = 0.2) -> Atoms:
    """Eight atoms near a lattice."""
    grid = 3.8 * np.stack(np.meshgrid(*[range(2)] * 3), axis=-1).reshape(-1, 3)
    positions = grid + np.random.default_rng(seed).normal(scale=spread, size=(8, 3))
    atoms = Atoms("Ar8", positions.round(8), cell=[7.6] * 3, pbc=True)
    atoms.wrap()
    atoms.positions = atoms.positions.round(8)
    return atoms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small_box.write(tmp_path)
    write_neutral(MODEL, tmp_path / "start.safetensors")
    return tmp_path


def config_of(folder: Path, **tables: Any) -> ExploreConfig:
    tree: dict[str, Any] = {
        "study": "study.toml",
        "model": {"path": "start.safetensors", "isolated": "fit"},
        "label": LABEL,
        "sample": {"frames": 12},
        "select": {"frames": 3, "apart": 4},
        "learn": {"epochs": 2, "batch": 2},
        "stop": {"generations": 2},
    }
    return ExploreConfig.parse({**tree, **tables}, folder)


class Sampler:
    """In place of the dynamics: frames by the seed of the study; fails where it is told to."""

    def __init__(self, fails: Sequence[str] = ()) -> None:
        self.fails, self.asked = fails, list[str]()

    def __call__(
        self, config: StudyConfig, number: int, own: int, progress: Any, box: Mapping[str, int]
    ) -> tuple[tuple[CurveScore, ...], str]:
        path = str(getattr(config.model, "path", ""))
        self.asked.append(path)
        if any(word in path for word in self.fails):
            raise SimulationError("the temperature ran away")
        assert {name: getattr(config.model, name) for name in box} == box
        frames = [liquid(100 * config.sampling.seed + k) for k in range(number)]  # type: ignore[operator]
        for frame in frames:
            frame.info |= box
        return (CurveScore("sq", "fit", 0.1, 0.01),), text_of(frames)


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> Sampler:
    stand_in = Sampler()
    monkeypatch.setattr(sampled, "_frames", stand_in)
    return stand_in


class KilledAt(NullProgress):
    """Ends the process's work at a word of the progress, as a kill would."""

    def __init__(self, word: str, times: int = 1) -> None:
        self.word, self.left = word, times

    def stage(self, label: str, total: int) -> None:
        self.left -= self.word in label
        if self.left < 0:
            raise KeyboardInterrupt


def numbers_of(out: Path) -> dict[str, Any]:
    tree = json.loads((out / "explore.json").read_text())
    return {key: tree[key] for key in ("message", "over", "best", "generations")}


@pytest.mark.slow
def test_the_loop_from_file_to_page_and_on_from_any_step(folder: Path, sampler: Sampler) -> None:
    """What each generation leaves; the same numbers, bit by bit, where it was stopped in each of its steps."""
    whole, stopped = folder / "whole", folder / "stopped"
    found = explore(config_of(folder), whole)
    assert found.message == "all 2 generations are done"
    assert [one.labels for one in found.generations] == [0, 3, 6]
    assert [one.apart for one in found.generations] == [0, 4, 8]
    last = found.generations[-1]
    assert last.trust is not None
    assert last.trust.frames == 8
    assert last.r_chi == Estimate(0.1, 0.01)
    assert last.chosen == "by the rigidity of the last layer and farthest points"
    page = (whole / "explore.html").read_text()
    assert "all 2 generations are done" in page
    assert "by the rigidity" in page

    explore_resumed = {"selecting": 0, "labels": 0, "epoch 2": 0, "writing the model": 0}
    for k, (word, times) in enumerate(explore_resumed.items()):
        with pytest.raises(KeyboardInterrupt):
            explore(config_of(folder), stopped, resume=k > 0, progress=KilledAt(word, times))
    explore(config_of(folder), stopped, resume=True)
    assert numbers_of(stopped) == numbers_of(whole)
    for name in ("learn/model.safetensors", "train.extxyz", "selected.json"):
        assert (stopped / f"generations/002/{name}").read_bytes() == (whole / f"generations/002/{name}").read_bytes()

    longer = explore(config_of(folder, stop={"generations": 3}), stopped, resume=True)  # stop is free
    assert longer.generations[:3] == found.generations
    _check_errors(whole)
    _check_refusals(folder, whole)


def _check_errors(out: Path) -> None:
    """Errors of the last generation, beside the model that it wrote and the labelling calculator."""
    calculator, off = Calculator(out / "generations/002/learn/model.safetensors"), []
    energies = []
    for k in (1, 2):
        for atoms in read(out / f"generations/00{k}/apart.extxyz", ":"):
            bare = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, calculator=LennardJones(**LJ))
            expected, energy = bare.get_forces(), bare.get_potential_energy()
            bare.calc = calculator
            off.append(np.mean((bare.get_forces() - expected) ** 2))
            energies.append((bare.get_potential_energy() - energy) / len(bare))
    last = numbers_of(out)["generations"][-1]
    assert last["forces_meV_per_angstrom"]["value"] == pytest.approx(1e3 * np.sqrt(np.mean(off)), rel=1e-4)
    stderr = 1e3 * np.std(off, ddof=1) / np.sqrt(8) / (2 * np.sqrt(np.mean(off)))
    assert last["forces_meV_per_angstrom"]["stderr"] == pytest.approx(stderr, rel=1e-3)
    assert last["energy_meV_per_atom"]["value"] == pytest.approx(1e3 * np.sqrt(np.mean(np.square(energies))), rel=1e-4)


def _check_refusals(folder: Path, out: Path) -> None:
    for keys, says in (
        ({}, "this folder holds a loop; use --resume"),
        ({"resume": True, "select": {"frames": 4}}, "began otherwise: select is another one"),
        (
            {"overwrite": True, "sample": {"frames": 10}, "select": {"frames": 9}},
            "10 frames are sampled in a generation, and 9 are to",
        ),
    ):
        options = {key: keys.pop(key) for key in ("resume", "overwrite") if key in keys}
        with pytest.raises((CheckpointError, InputError), match=says):
            explore(config_of(folder, **keys), out, **options)
        assert (out / "explore.json").is_file()
    with pytest.raises(CheckpointError, match="there is no loop to go on with"):
        explore(config_of(folder), folder / "none", resume=True)
    with pytest.raises(InputError, match=r"this is a file that is read|which is read, lies in it"):
        explore(config_of(folder, model={"path": "out/generations/start.safetensors"}), _with_model(folder))


def test_too_few_frames_are_refused_before_anything_is_sampled(folder: Path, sampler: Sampler) -> None:
    """Of all states together, hotter and denser ones with them."""
    keys: dict[str, Any] = {"sample": {"frames": 10}, "select": {"frames": 20, "apart": 1}}
    with pytest.raises(InputError, match="10 frames are sampled in a generation, and 20 are to be chosen and 1 kept"):
        explore(config_of(folder, **keys), folder / "out")
    assert sampler.asked == []
    assert not (folder / "out").exists()
    keys["sample"] |= {"temperatures": [1.0, 1.2, 1.4]}
    with pytest.raises(InputError, match="10 frames are sampled, and"):  # the stand-in samples one state of the three
        explore(config_of(folder, **keys), folder / "out")
    assert len(sampler.asked) == 1


def _with_model(folder: Path) -> Path:
    (folder / "out/generations").mkdir(parents=True)
    write_neutral(MODEL, folder / "out/generations/start.safetensors")
    return folder / "out"


@pytest.mark.slow
def test_boxes_with_a_charge(folder: Path, sampler: Sampler) -> None:
    """Sampled, labelled, learnt and judged with the charge and spin of [model]."""
    takes = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
    sizes = {"species": ("Ar",), "channels": 1, "max_ell": 1, "l_hidden": 0, "layers": 1, "correlation": 1}
    for seed, name in enumerate(("start", "teacher")):
        write_neutral(random_checkpoint(seed, r_max=5.0, **sizes, inputs=takes), folder / f"{name}.safetensors")
    tables = {
        "model": {"path": "start.safetensors", "isolated": "fit", "charge": -1, "spin": 2},
        "label": {"base": "mace", "path": str(folder / "teacher.safetensors")},
        "learn": {"epochs": 1, "batch": 3},
        "stop": {"generations": 1},
    }
    found = explore(config_of(folder, **tables), folder / "out")
    place = folder / "out" / "generations" / "001"
    frames = read_labelled(place / "train.extxyz", LABELS)
    assert {(frame.charge, frame.spin) for frame in frames} == {(-1, 2)}
    calculator = Calculator(folder / "teacher.safetensors")
    for frame in frames:
        atoms = as_atoms(frame)
        atoms.calc = calculator
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        atoms.info.clear()
        assert frame.energy != pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    said = json.loads((place / "learn" / "learn.json").read_text())["errors"]["test"]["after"]
    judged = found.generations[-1].forces_meV_per_angstrom
    assert judged is not None
    assert judged.value == pytest.approx(said["forces_meV_per_angstrom"], rel=1e-4)
    with pytest.raises(InputError, match="a new model takes neither charge nor spin"):
        config_of(folder, model={"new": True, "charge": 1})


@pytest.mark.slow
def test_a_model_that_flies_apart_is_said_and_the_loop_goes_on(folder: Path, sampler: Sampler) -> None:
    sampler.fails = ("generations",)
    config = config_of(folder, model={"new": True}, new={"channels": 2, "max_ell": 1, "radial": [4], "r_max": 5.0})
    found = explore(config, folder / "out")
    one = found.generations[1]
    assert one.failed == "the temperature ran away"
    assert one.curves == ()
    assert one.chosen == "at random"  # there was no model
    assert found.generations[2].sampled == "the study's model"
    assert "the temperature ran away" in (folder / "out/explore.html").read_text()
    sampler.fails = ("",)
    with pytest.raises(SimulationError):
        explore(config, folder / "other")


@pytest.mark.slow
def test_a_committee_and_too_strong_forces(folder: Path, sampler: Sampler) -> None:
    strongest = []
    for k in range(12):  # the sampler's first frames
        atoms = liquid(300 + k)
        atoms.calc = LennardJones(**LJ)
        strongest.append(np.linalg.norm(atoms.get_forces(), axis=1).max())
    limit = float(np.quantile(strongest, 0.75))
    select = {"frames": 7, "apart": 5, "members": 2, "select": "uncertain", "largest_force": limit}
    found = explore(config_of(folder, select=select), folder / "out")
    assert found.generations[2].chosen == "by the disagreement of the committee"
    files = [folder / f"out/generations/001/{name}.extxyz" for name in ("train", "apart")]
    kept = [frame for file in files for frame in read_labelled(file, LABELS)]
    assert len(kept) == 9
    assert found.generations[1].left_out == 3
    assert max(np.linalg.norm(frame.forces, axis=1).max() for frame in kept) <= limit  # type: ignore[arg-type]
    models = [folder / f"out/generations/002/{name}/model.safetensors" for name in ("learn", "learn-2")]
    assert models[0].read_bytes() != models[1].read_bytes()


def test_each_way_to_choose(folder: Path) -> None:
    """Frames that are like those known are not chosen where there are others; random follows from its seed alone."""
    train = [as_frame(liquid(k, 0.05), 0.0, np.zeros((8, 3))) for k in range(6)]
    candidates = [as_frame(liquid(50 + k, 0.5 if k in (2, 7) else 0.05)) for k in range(10)]
    learnt = Learnt((folder / "start.safetensors",), None, train, [])
    for select in ("uncertain", "diverse", "uncertain-diverse"):
        for environments in (False, True):
            keys = Selection(select=select, environments=environments)
            assert sorted(choose(candidates, keys, 2, learnt, 1)[0]) == [2, 7], (select, environments)
    keys = Selection(select="random")
    drawn = [choose(candidates, keys, 5, learnt, turn)[0] for turn in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_label_is_made_once_and_follows_from_the_calculator(tmp_path: Path) -> None:
    frames, config = [liquid(k) for k in range(3)], ExploreConfig.model_fields["label"]
    assert config.is_required()
    first, other = (Labeller(_model(epsilon), ("Ar",), 6.0) for epsilon in (0.0103, 0.02))
    found = label_frames(frames, first, tmp_path / "labels", NullProgress())
    kept = sorted((tmp_path / "labels").iterdir())
    label_frames(frames[::-1], first, tmp_path / "labels", _Refusing())
    assert key_of(frames[0], first.identity) != key_of(frames[0], other.identity)
    expected = LennardJones(**LJ)
    frames[0].calc = expected
    assert found[0].energy == pytest.approx(frames[0].get_potential_energy(), rel=1e-12)
    assert found[0].stress == pytest.approx(frames[0].get_stress(voigt=False), rel=1e-12)
    again = read_labelled(_written(tmp_path / "a.extxyz", text_of(found)), LABELS)
    assert again[0].forces == pytest.approx(found[0].forces, abs=1e-8)
    kept[0].write_text('{"energy": 1.0, "forces": [[0.0]]}')
    with pytest.raises(CheckpointError, match="is damaged"):
        label_frames(frames, first, tmp_path / "labels", NullProgress())
    with pytest.raises(SimulationError, match="a frame cannot be labelled"):
        Labeller(_model("x"), ("Ar",), 6.0).label(frames[1])
    classical = ExploreConfig.parse(
        {
            "study": "s",
            "model": {"new": True},
            "label": {"base": "lennard-jones", "parameters": {"epsilon": 0.0103, "sigma": 3.4}},
        }
    )
    assert Labeller(classical.label, ("Ar",), 6.0).label(frames[0])["energy"] < 0


class _Refusing(NullProgress):
    """No label is made: the folder has them all."""

    def stage(self, label: str, total: int) -> None:
        Labeller.label = _never  # type: ignore[method-assign]

    def advance(self, n: int) -> None:
        Labeller.label = _LABEL  # type: ignore[method-assign]


_LABEL = Labeller.label


def _never(self: Labeller, atoms: Atoms) -> dict[str, Any]:
    raise AssertionError("a label is made twice")


def _model(epsilon: Any) -> Any:
    label = {**LABEL, "arguments": {**LJ, "epsilon": epsilon}}
    return ExploreConfig.parse({"study": "s", "model": {"new": True}, "label": label}).label


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_states_hotter_and_denser(folder: Path) -> None:
    """Beside the study's own, which keep their data; a structure has a density of its own."""
    config = StudyConfig.from_toml(folder / "study.toml")
    made = sampled.study_of(config, Sampling(temperatures=(1.0, 2.0), densities=(1.0, 0.9)), None, 4)
    assert [state.name for state in made.states] == ["85K", "85K-t1-d0.9", "85K-t2-d1", "85K-t2-d0.9"]
    assert [state.temperature for state in made.states] == [85.0, 85.0, 170.0, 170.0]
    assert made.number_density_of(made.states[3]) == pytest.approx(0.9 * 0.02125)
    assert {entry.state for entry in made.data} == {"85K"}
    assert made.sampling.seed == 7
    solid = config.model_copy(update={"system": config.system.model_copy(update={"structure": "x.extxyz"})})
    with pytest.raises(InputError, match="starts from a structure"):
        sampled.study_of(solid, Sampling(densities=(0.9,)), None, 0)


def test_when_it_is_enough() -> None:
    start = Generation(0, "", "", 0, 0, 0, None, None, None, (CurveScore("a", "fit", 0.5, None),), None, None)

    def turn(number: int, forces: float, r_chi: float | None) -> Generation:
        curves = () if r_chi is None else (CurveScore("a", "fit", r_chi, 0.01),)
        return replace(start, number=number, forces_meV_per_angstrom=Estimate(forces, 1.0), curves=curves)

    stop = Stop(generations=9, r_chi=0.1, forces=50.0)
    assert why_enough([start], stop) is None
    assert why_enough([start, turn(1, 40.0, 0.2)], stop) is None
    assert why_enough([start, turn(1, 40.0, None)], stop) is None
    assert why_enough([start, turn(1, 40.0, 0.09)], stop) == "generation 1 is within what was asked for"
    assert why_enough([start, turn(1, 90.0, 0.09)], Stop(generations=1)) == "all 1 generations are done"
    falling = [start, turn(1, 90.0, 0.4), turn(2, 89.5, 0.4), turn(3, 89.6, 0.395)]
    assert why_enough(falling[:3], stop) is None
    assert why_enough(falling, stop) == "neither the force error nor R_χ has fallen in 2 generations"
    assert why_enough([*falling[:3], turn(3, 89.6, 0.3)], stop) is None


@pytest.mark.slow
def test_labels_by_tasks_are_those_of_this_process(folder: Path, sampler: Sampler) -> None:
    one = explore(config_of(folder, stop={"generations": 1}), folder / "one")
    run = {"chunk": 4, "workers": 1}
    (folder / "e.toml").write_text(config_of(folder).to_toml())
    config = config_of(folder, stop={"generations": 1}, run=run)
    other = explore(config, folder / "other", executor=lambda: Local(Execution(workers=1)))
    assert (folder / "other/generations/001/labels-1/log.txt").is_file()
    assert other.generations == one.generations


WHOLE = """
study = "study.toml"
[model]
new = true
[new]
channels = 2
max_ell = 1
correlation = 2
radial = [8]
basis = 4
[label]
base = "lennard-jones"
parameters = { epsilon = 0.0103, sigma = 3.4 }
[sample]
frames = 16
[select]
frames = 6
apart = 4
[learn]
epochs = 4
batch = 2
learning_rate = 0.01
[stop]
generations = 2
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_any_moment_it_ends_with_the_same_numbers(folder: Path) -> None:
    """With its dynamics, as a program of its own: killed with -9 three times, at moments spread over the loop."""
    (folder / "explore.toml").write_text(WHOLE)
    environment = {**os.environ, "REFINE_CACHE": str(folder / "cache")}

    def start(out: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "refine", "explore", "explore.toml", "--out", out, *words]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)

    begun = time.monotonic()
    assert start("whole").wait() == 0
    seconds = time.monotonic() - begun
    rng = np.random.default_rng(0)
    for _ in range(3):
        there = (folder / "killed/begun.json").exists()
        process = start("killed", *(["--resume"] if there else []))
        time.sleep(rng.uniform(0.2, 0.6) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    there = (folder / "killed/begun.json").exists()
    assert start("killed", *(["--resume"] if there else [])).wait() == 0
    assert numbers_of(folder / "killed") == numbers_of(folder / "whole")
    final = json.loads((folder / "whole/explore.json").read_text())["generations"]
    assert final[0]["curves"][0]["r_chi"] < 1


def test_a_labeller_that_is_none_replaces_no_loop(folder: Path, sampler: Sampler) -> None:
    out = folder / "out"
    (out / "labels").mkdir(parents=True)
    (out / "begun.json").write_text("{}")
    wrong = config_of(folder, label={"base": "ase", "calculator": "ase.calculators.lj:NoSuch"})
    with pytest.raises(InputError, match="NoSuch"):
        explore(wrong, out, overwrite=True)
    assert (out / "begun.json").read_text() == "{}"
    assert (out / "labels").is_dir()
    assert not sampler.asked
