"""`refine learn`: a student that learns from a teacher, going on bit for bit, what is written, what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ase.io import read

from refine.errors import CheckpointError, InputError
from refine.learning.keys import LearnConfig
from refine.potentials.calculator import Calculator
from refine.potentials.mace import reader
from refine.potentials.mace.architecture import BoxInput, Checkpoint
from refine.potentials.mace.lora_file import apply_lora
from refine.potentials.mace.reader.neutral import read_neutral, write_neutral
from refine.progress import NullProgress
from refine.study.schema import StudyConfig
from refine.tasks.learn import learn
from refine.tasks.learn.store import load
from tests.learning.labelled import atoms_of, labelled_by, write_labelled
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

TEACHER = random_checkpoint(3, species=("H", "O", "Fe"), channels=2, max_ell=1, l_hidden=0, correlation=1, r_max=4.0)
FRAMES = 12


def perturbed(checkpoint: Checkpoint, size: float = 0.1) -> Checkpoint:
    """Other readouts and radial networks, by normal deviates of that size relative to each number's own."""
    rng = np.random.default_rng(1)
    moved = ("readout", "radial")
    arrays = {
        name: array * (1 + size * rng.normal(size=array.shape)) if any(word in name for word in moved) else array
        for name, array in checkpoint.arrays.items()
    }
    return replace(checkpoint, arrays=arrays, origin="student.model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With student.safetensors, and frames.extxyz that the teacher labelled."""
    path = tmp_path_factory.mktemp("learn")
    atoms = [atoms_of(kind, seed) for seed in range(FRAMES // 2) for kind in ("cubic", "triclinic")]
    write_labelled(path / "frames.extxyz", labelled_by(TEACHER, atoms))
    write_neutral(perturbed(TEACHER), path / "student.safetensors")
    return path


def config_of(folder: Path, *, model: dict[str, Any] | None = None, frames: Any = None, **keys: Any) -> LearnConfig:
    tree = {
        "model": {"path": "student.safetensors", **(model or {})},
        "frames": {"train": ["frames.extxyz"], "test_share": 0.1, **(frames or {})},
        "learn": {"epochs": 3, "batch": 4, "learning_rate": 0.01, **keys},
    }
    return LearnConfig.parse(tree, folder)


class StopAt(NullProgress):
    """Ctrl-C at a step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def stage(self, label: str, total: int) -> None:
        self.counting = label.startswith("epoch")

    def advance(self, n: int) -> None:
        self.left -= n if self.counting else 0
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_student_learns_what_the_teacher_knows(folder: Path, tmp_path: Path) -> None:
    """Force errors of frames that took no part fall by a factor of three, and the written model is as good as said."""
    found = learn(config_of(folder, epochs=40, learning_rate=0.005, decay=0.95, precision="float64"), tmp_path)
    before, after = found.before["test"], found.after["test"]
    assert before.forces is not None
    assert after.forces is not None
    assert after.forces < before.forces / 3

    frames = read(folder / "frames.extxyz", ":")
    assert found.frames == {"train": 10, "valid": 1, "test": 1}
    order = np.random.default_rng(0).permutation(FRAMES)
    kept_apart = frames[order[0]]
    errors = []
    for file, said in (("student", before), ("model", after)):
        path = (folder if file == "student" else tmp_path) / f"{file}.safetensors"
        kept_apart.calc = Calculator(str(path))
        off = kept_apart.get_forces() - kept_apart.arrays["REF_forces"]
        errors.append(float(np.sqrt(np.mean(off**2))))
        energy = abs(kept_apart.get_potential_energy() - kept_apart.info["REF_energy"]) / len(kept_apart)
        assert said.forces == pytest.approx(errors[-1], rel=1e-6)
        assert said.energy == pytest.approx(energy, rel=1e-5, abs=1e-9)
        stress = kept_apart.get_stress(voigt=False) - kept_apart.info["REF_stress"].reshape(3, 3)
        assert said.stress == pytest.approx(np.sqrt(np.mean(stress**2)), rel=1e-6)


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch, and made longer at the end of one: bit by bit."""
    config, whole_folder = config_of(folder), tmp_path / "whole"
    whole = learn(config, whole_folder)
    expected = load(whole_folder / "learn.h5").state
    for stop in (4, None):
        out = tmp_path / f"stopped-{stop}"
        if stop is None:
            learn(config_of(folder, epochs=1), out)
            assert "epochs = 1\n" in (out / "learn.toml").read_text()
        else:
            with pytest.raises(KeyboardInterrupt):
                learn(config, out, progress=StopAt(stop))
            assert not (out / "learn.json").exists()
        resumed = learn(config, out, resume=True)
        assert "epochs = 3\n" in (out / "learn.toml").read_text()
        assert (resumed.curve, resumed.before, resumed.after) == (whole.curve, whole.before, whole.after)
        state = load(out / "learn.h5").state
        for group in ("weights", "average", "best"):
            for name, array in getattr(expected, group).items():
                assert np.array_equal(array, getattr(state, group)[name]), name
        assert all(np.array_equal(a, b) for a, b in zip(expected.memory, state.memory, strict=True))
        assert (out / "model.safetensors").read_bytes() == (whole_folder / "model.safetensors").read_bytes()


def test_what_is_written(folder: Path, tmp_path: Path) -> None:
    found = learn(config_of(folder, parameters=["layers.1.readout", "layers.1.linear"]), tmp_path)
    assert not found.warnings  # there are no other heads
    tree = json.loads((tmp_path / "learn.json").read_text())
    assert tree["errors"]["test"]["after"]["forces_meV_per_angstrom"] == pytest.approx(1e3 * found.after["test"].forces)
    assert tree["frames"] == {"train": 10, "valid": 1, "test": 1}
    assert (tree["epochs"], tree["steps"], tree["start"]["origin"]) == (3, 9, "student.model")
    with (tmp_path / "learning_curve.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert float(rows[3]["validation_loss"]) == pytest.approx(found.curve[3].validation.loss, rel=1e-7)
    page = (tmp_path / "learn.html").read_text()
    assert "energy (meV/atom)" in page
    assert "student.model" in page

    student, model = read_neutral(folder / "student.safetensors"), read_neutral(tmp_path / "model.safetensors")
    changed = {name for name, array in model.arrays.items() if not np.array_equal(array, student.arrays[name])}
    assert changed == {"layers.1.readout.0", "layers.1.readout.1", "layers.1.linear.0"}
    assert model.origin == "student.model, learnt"
    assert model.sha256 != student.sha256
    again = LearnConfig.from_toml(tmp_path / "learn.toml")  # as it was run, from anywhere
    assert again.model.model_path is not None
    assert again.model.model_path.samefile(folder / "student.safetensors")
    assert (
        again.learn.model_dump()
        == config_of(folder, parameters=["layers.1.readout", "layers.1.linear"]).learn.model_dump()
    )


def test_the_model_is_a_base_of_a_study(folder: Path, tmp_path: Path) -> None:
    from refine.study.study import Study

    learn(config_of(folder, epochs=1), tmp_path)
    study = StudyConfig.parse(
        {
            "system": {"species": {"O": 70, "Fe": 70}, "number_density": 0.03},
            "states": [{"name": "melt", "temperature": 2000}],
            "data": [{"name": "a", "quantity": "S(Q)", "radiation": "neutron", "role": "predict", "q_range": [1, 9]}],
            "model": {"base": "mace", "path": "model.safetensors"},
        },
        tmp_path,
    )
    written = read_neutral(tmp_path / "model.safetensors").arrays
    arrays = Study(study).base.checkpoint.arrays
    assert all(np.array_equal(array, written[name]) for name, array in arrays.items())


def test_isolated_atoms_that_are_fitted(folder: Path, tmp_path: Path) -> None:
    """Labels with another zero of each element: the shift is found, and forces do not notice."""
    zero = {"O": 12.5, "Fe": -3.25}
    frames = []
    for atoms in read(folder / "frames.extxyz", ":"):
        atoms.info["REF_energy"] += sum(zero[symbol] for symbol in atoms.get_chemical_symbols())
        frames.append(atoms)
    from ase.io import write

    write(tmp_path / "shifted.extxyz", frames, format="extxyz")
    write_neutral(TEACHER, tmp_path / "teacher.safetensors")
    keys: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-9, "precision": "float64"}
    config = config_of(
        tmp_path,
        model={"path": "teacher.safetensors", "isolated": "fit"},
        frames={"train": ["shifted.extxyz"], "test_share": 0.0},
        **keys,
    )
    found = learn(config, tmp_path / "out")
    assert found.isolated["O"] == pytest.approx(12.5, abs=1e-4)
    assert found.isolated["Fe"] == pytest.approx(-3.25, abs=1e-4)
    assert found.before["train"].energy is not None
    assert found.before["train"].energy > 1.0
    assert found.after["train"].energy == pytest.approx(0.0, abs=1e-6)
    frames[0].calc = Calculator(str(tmp_path / "out" / "model.safetensors"))
    assert frames[0].get_potential_energy() == pytest.approx(frames[0].info["REF_energy"], abs=1e-5)


NEW = {"r_max": 4.0, "channels": 8, "max_ell": 2, "correlation": 2, "radial": [16, 16], "layers": 1, "zbl": False}


@pytest.mark.slow
def test_from_nothing(folder: Path, tmp_path: Path) -> None:
    """Force errors fall by half, also where interrupted; the written model has the energies that are told."""
    tree = {
        "model": {"new": True},
        "new": NEW,
        "frames": {"train": ["frames.extxyz"], "valid_share": 0.2},
        "learn": {"epochs": 40, "batch": 2, "learning_rate": 0.02, "average": 0.9},
    }
    config = LearnConfig.parse(tree, folder)
    with pytest.raises(KeyboardInterrupt):
        learn(config, tmp_path, progress=StopAt(30))
    found = learn(config, tmp_path, resume=True)
    before, after = found.before["valid"], found.after["valid"]
    assert before.forces is not None
    assert after.forces is not None
    assert after.forces < before.forces / 2
    assert found.start["origin"] == "new model"
    frames = read(folder / "frames.extxyz", ":")
    calculator = Calculator(str(tmp_path / "model.safetensors"))
    off = []
    for atoms in frames:
        atoms.calc = calculator
        off.append((atoms.get_potential_energy() - atoms.info["REF_energy"]) / len(atoms))
    kept_apart = np.random.default_rng(0).permutation(FRAMES)[:2]
    assert np.sqrt(np.mean(np.array(off)[kept_apart] ** 2)) == pytest.approx(after.energy, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"parameters": ["layers.7"]},
            "[learn] parameters: the model has no weights 'layers.7'; use lora:RANK, weights, embedding",
        ),
        ({"frames": {"forces": "their_forces"}}, "no frame of train has a label for forces; give the name"),
        ({"frames": {"valid_share": 0.95}}, "[frames] train: 12 frames are too few to keep some apart"),
        ({"frames": {"train": ["none.extxyz"]}}, "none.extxyz: no such file of labelled frames"),
        ({"model": {"path": "none.safetensors"}}, "none.safetensors: no such file"),
        ({"model": {"head": "pbe"}}, "student.model: the model has no head 'pbe'"),
    ],
)
def test_refusals_leave_nothing(folder: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as refused:
        learn(config_of(folder, **changes), tmp_path / "out")
    assert says in str(refused.value)
    assert not [path for path in (tmp_path / "out").glob("*") if path.name != ".lock"]


def test_damaged_checkpoints(folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, epochs=1, parameters=["layers.1.readout"])
    learn(config, tmp_path)
    path = tmp_path / "learn.h5"
    whole = path.read_bytes()

    def place_of(file: h5py.File, **changes: Any) -> None:
        tree = json.loads(bytes(file["state"][()])) | changes
        del file["state"]
        file["state"] = np.frombuffer(json.dumps(tree).encode(), np.uint8)

    def other(file: h5py.File, name: str, array: Any) -> None:
        file.pop(name, None)
        file[name] = array

    damages: list[tuple[Callable[[h5py.File], Any], str]] = [
        (lambda file: file.pop("best/layers.1.readout.0"), "best/layers.1.readout.0 is missing"),
        (lambda file: other(file, "average/layers.1.readout.1", np.zeros(7)), "average/layers.1.readout.1 is float64"),
        (lambda file: other(file, "weights/more", np.zeros(7)), "weights/more is unknown"),
        (lambda file: file.pop("memory/000002"), "6 arrays in memory, not 7"),
        (lambda file: other(file, "memory/000000", np.zeros(3)), "memory/000000 is float64"),
        (lambda file: place_of(file, curve=[]), "the learning curve is empty"),
        (lambda file: place_of(file, batch=9), r"epoch, batch, steps = \[1, 9, 3\]"),
    ]
    for damage, says in damages:
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            damage(file)
        with pytest.raises(CheckpointError, match=rf"the checkpoint is damaged \({says}"):
            learn(config, tmp_path, resume=True)
    path.write_bytes(whole)
    weights = load(path).state.weights["layers.1.readout.0"]
    path.write_bytes(whole.replace(np.asarray(weights).tobytes(), b"\x01" * weights.nbytes))
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        learn(config, tmp_path, resume=True)


def test_a_refusal_leaves_the_training_that_was_to_be_replaced(folder: Path, tmp_path: Path) -> None:
    learn(config_of(folder, epochs=1), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    unknown = {"model": {"isolated": "fit"}, "frames": {"energy": "their_energy"}}
    with pytest.raises(InputError, match="isolated atoms cannot be fitted"):
        learn(config_of(folder, energy_weight=0.0, **unknown), tmp_path, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_charged_frames_are_learnt_from(tmp_path: Path) -> None:
    """A model that takes a charge learns from each frame under its own."""
    takes = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
    teacher = random_checkpoint(
        3, species=("H", "O", "Fe"), channels=1, max_ell=1, l_hidden=0, layers=1, correlation=1, r_max=4.0, inputs=takes
    )
    write_neutral(perturbed(teacher), tmp_path / "student.safetensors")
    atoms = [atoms_of("cubic", seed) for seed in range(9)]
    for k, one in enumerate(atoms):
        one.info |= {"charge": (0, -1, 2)[k % 3], "spin": (1, 2, 1)[k % 3]}
    boxes = [one.info for one in atoms]
    frames = [replace(frame, **box) for frame, box in zip(labelled_by(teacher, atoms), boxes, strict=True)]
    write_labelled(tmp_path / "frames.extxyz", frames)
    found = learn(config_of(tmp_path, epochs=25, precision="float64", batch=3), tmp_path / "out")
    before, after = found.before["train"].forces, found.after["train"].forces
    assert before is not None
    assert after is not None
    assert after < before / 2
    assert found.warnings == ()
    calculator = Calculator(tmp_path / "out" / "model.safetensors")
    off = []
    for frame, one, box in zip(frames, atoms, boxes, strict=True):
        one.calc, one.info = calculator, box
        off.append((one.get_forces() - frame.forces).ravel())
    assert np.sqrt(np.mean(np.concatenate(off) ** 2)) < before / 2


def test_folders_that_are_taken(folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, epochs=1)
    with pytest.raises(CheckpointError, match="there is no training to resume"):
        learn(config, tmp_path / "new", resume=True)
    learn(config, tmp_path)
    with pytest.raises(CheckpointError, match="holds a training; use --resume"):
        learn(config, tmp_path)
    changed = config_of(folder, epochs=1, seed=4, batch=2)
    with pytest.raises(CheckpointError, match=r"began otherwise: learn.batch = 2, was 4; learn.seed = 4, was 0"):
        learn(changed, tmp_path, resume=True)
    frames = {"train": [f"{folder}/frames.extxyz"]}
    onto_itself = config_of(tmp_path, model={"path": "model.safetensors"}, frames=frames)
    with pytest.raises(InputError, match="this is a file that is read"):
        learn(onto_itself, tmp_path, overwrite=True)
    (tmp_path / "learn.h5").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        learn(config, tmp_path, resume=True)
    learn(config, tmp_path, overwrite=True)
    (tmp_path / "run.h5").write_bytes(b"")
    with pytest.raises(CheckpointError, match="this folder holds a run"):
        learn(config, tmp_path, overwrite=True)


LOW_RANK = ("lora:2", "lora:1:layers.1.up", "layers.1.readout")


def test_low_rank_changes_learn_and_are_a_file_of_their_own(folder: Path, tmp_path: Path) -> None:
    """Errors fall; the change makes the written model again bit by bit, isolated atoms and all; what moved is said."""
    keys = {"epochs": 12, "parameters": LOW_RANK, "precision": "float64"}
    found = learn(config_of(folder, model={"isolated": "fit"}, **keys), tmp_path)
    assert found.after["train"].loss < found.before["train"].loss
    student = reader.load(folder / "student.safetensors")
    merged, again = reader.load(tmp_path / "model.safetensors"), apply_lora(student, tmp_path / "lora.safetensors")
    assert merged.sha256 == again.sha256 != student.sha256
    for name, array in merged.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    ranks = {one.name: one.rank for one in found.moved}
    assert set(ranks.values()) == {1, 2, None}
    assert {name for name, rank in ranks.items() if rank is None} == {"layers.1.readout.0", "layers.1.readout.1"}
    for one in found.moved:
        matrix = (merged.arrays[one.name] - student.arrays[one.name]).reshape(-1, merged.arrays[one.name].shape[-1])
        assert one.change == pytest.approx(np.sqrt(np.mean(matrix**2)))
    tree = json.loads((tmp_path / "learn.json").read_text())
    assert [row["name"] for row in tree["moved"]] == list(ranks)
    assert "rank 2" in (tmp_path / "learn.html").read_text()
    changed = {name for name in merged.arrays if not np.array_equal(merged.arrays[name], student.arrays[name])}
    assert changed <= {*ranks, "energies"}


def test_low_rank_changes_go_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, epochs=2, parameters=LOW_RANK)
    whole = learn(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(config, tmp_path / "parts", progress=StopAt(4))
    resumed = learn(config, tmp_path / "parts", resume=True)
    assert (resumed.curve, resumed.after, resumed.moved) == (whole.curve, whole.after, whole.moved)
    for file in ("model.safetensors", "lora.safetensors"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_low_rank_changes_of_nothing_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[learn\] parameters: low-rank changes are of a model that is at hand"):
        learn(config_of(folder, model={"path": None, "new": True}, parameters=["lora:2"]), tmp_path)
    with pytest.raises(InputError, match="no rank of 1 to 16"):
        learn(config_of(folder, parameters=["lora:99"]), tmp_path)


HEADS = ("pbe", "r2scan")


@pytest.mark.parametrize("parameters", [["readouts"], ["lora:1:readouts"], ["layers.1.linear"]])
def test_one_head_learns(folder: Path, tmp_path: Path, parameters: list[str]) -> None:
    """With its readouts alone the other head stays, isolated atoms and all; what is shared moves it, with a warning."""
    options = {"species": ("H", "O", "Fe"), "channels": 2, "max_ell": 1, "l_hidden": 0, "correlation": 1, "r_max": 4.0}
    start = random_checkpoint(5, heads=HEADS, **options)
    write_neutral(start, tmp_path / "two.safetensors")
    model = {"path": str(tmp_path / "two.safetensors"), "head": "r2scan", "isolated": "fit"}
    told: list[str] = []

    class Told(NullProgress):
        def message(self, text: str) -> None:
            told.append(text)

    out = tmp_path / "out"
    found = learn(config_of(folder, model=model, parameters=parameters, epochs=2), out, progress=Told())
    assert found.after["train"].loss < found.before["train"].loss
    learnt, atoms = reader.load(out / "model.safetensors"), read(folder / "frames.extxyz", 0)
    assert learnt.architecture.heads == HEADS
    energies = [Calculator(one, head="pbe", dtype="float64") for one in (start, learnt)]
    before, after = (one.get_potential_energy(atoms) for one in energies)
    warned = [text for text in told if text.startswith("warning")]
    if parameters == ["layers.1.linear"]:
        assert abs(after - before) > 1e-6
        assert warned == [f"warning: {text}" for text in found.warnings]
        assert "pbe will change with r2scan" in warned[0]
        assert found.warnings[0] in (out / "learn.html").read_text().replace("&#34;", '"')
    else:
        assert after == pytest.approx(before, abs=1e-9)
        assert not warned
        assert not found.warnings
