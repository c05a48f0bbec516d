"""Which frames `refine learn` uses: labels and weights that count, single atoms, elements, frames that occur twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from refine.errors import InputError
from refine.learning.keys import LearnConfig
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.reader.neutral import write_neutral
from refine.tasks.learn.began import began_of, refuse_changes
from refine.tasks.learn.new import by_composition
from refine.tasks.learn.problem import problem_of
from refine.tasks.learn.sets import Sets, read_sets
from tests.learning.labelled import atoms_of
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

CUTOFF = 4.0
E0 = {"H": -13.6, "O": -432.0, "Fe": -90.5}


def labelled(kind: str, seed: int, of: str = "bulk") -> Atoms:
    """With forces at random, and the energy of its isolated atoms, for which 1 eV is missing."""
    atoms = atoms_of(kind, seed)
    atoms.info |= {"of": of, "REF_energy": sum(E0[symbol] for symbol in atoms.get_chemical_symbols()) - 1.0}
    atoms.arrays["REF_forces"] = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    return atoms


def single(symbol: str, energy: float | None = None, edge: float = 20.0) -> Atoms:
    atoms = Atoms(symbol, [[0.0, 0.0, 0.0]], cell=edge * np.eye(3), pbc=True)
    atoms.info |= {"of": "IsolatedAtom", "REF_energy": E0[symbol] if energy is None else energy}
    atoms.arrays["REF_forces"] = np.zeros((1, 3))
    return atoms


def config_of(folder: Path, parts: dict[str, list[Atoms]], *, model: Any = None, learn: Any = None, **keys: Any) -> Any:
    for part, frames in parts.items():
        write(folder / f"{part}.extxyz", frames, format="extxyz")
    files = {part: [f"{part}.extxyz"] for part in parts}
    new = {"r_max": CUTOFF, "channels": 1, "max_ell": 1, "correlation": 1, "radial": [4], "layers": 1, "zbl": False}
    new = {"new": new} if model is None else {}
    tree = {"model": model or {"new": True}, "frames": {**files, **keys}, "learn": learn or {}, **new}
    return LearnConfig.parse(tree, folder)


def sets_of(config: LearnConfig) -> tuple[Sets, str]:
    said: list[str] = []
    return read_sets(config.frames, config.learn, CUTOFF, said.append), "\n".join(said)


BULK = [labelled("cubic", seed) for seed in range(4)]


def test_single_atoms_are_the_zero_of_energy_of_a_new_model(tmp_path: Path) -> None:
    """Frames of one composition alone say no more than a sum."""
    config = config_of(tmp_path, {"train": [single("Fe"), *BULK], "valid": [BULK[0], single("O", 1.0)]})
    said: list[str] = []
    problem = problem_of(config, said.append)
    assert [len(graphs) for graphs in problem.graphs.values()] == [4, 1]
    oxygen, iron = problem.checkpoint.arrays["energies"][0].tolist()
    assert iron == E0["Fe"]
    assert oxygen == pytest.approx((BULK[0].info["REF_energy"] - 2 * E0["Fe"]) / (len(BULK[0]) - 2))
    assert (
        "2 frames of one atom without neighbours are left out of the loss and the errors; E0 of Fe is theirs"
    ) in said


def test_single_atoms_are_the_zero_of_energy_of_a_model_that_is_fitted(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(3, species=("H", "O", "Fe"), channels=1, max_ell=1, l_hidden=0, correlation=1)
    write_neutral(checkpoint, tmp_path / "start.safetensors")
    model = {"path": "start.safetensors", "isolated": "fit"}
    for frames in ([single("Fe"), single("O"), *BULK], [single("Fe"), *BULK]):
        problem = problem_of(config_of(tmp_path, {"train": frames}, model=model), lambda _: None)
        shifts = problem.fit_isolated()
        before = dict(zip(problem.trainer.loss.species, problem.trainer.loss.isolated.tolist(), strict=True))
        assert shifts["Fe"] + before["Fe"] == pytest.approx(E0["Fe"], abs=1e-9)
    assert before["O"] + shifts["O"] != pytest.approx(E0["O"], abs=1e-3)  # the bulk's 1 eV
    config = config_of(tmp_path, {"train": BULK}, model={**model, "isolated": "keep"})
    assert problem_of(config, lambda _: None).isolated == {}


def test_a_charged_single_atom_is_no_zero_of_energy(tmp_path: Path) -> None:
    ion = single("Fe", E0["Fe"] + 7.9)
    ion.info["charge"] = 1
    sets, _ = sets_of(config_of(tmp_path, {"train": [single("Fe"), ion, *BULK]}))
    assert sets.isolated() == {"Fe": E0["Fe"]}
    assert len(sets.alone) == 2


def test_charges_that_the_model_takes_or_not(tmp_path: Path) -> None:
    """Frames that say nothing have those of [model]; a model without an embedding of charges is warned of."""
    frames = [labelled("cubic", seed) for seed in range(4)]
    frames[1].info |= {"total_charge": 1, "spin": 2}
    sizes = {"species": ("H", "O", "Fe"), "channels": 1, "max_ell": 1, "l_hidden": 0, "layers": 1, "correlation": 1}
    takes = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
    write_neutral(random_checkpoint(3, **sizes, inputs=takes), tmp_path / "takes.safetensors")  # type: ignore[arg-type]
    write_neutral(random_checkpoint(3, **sizes), tmp_path / "plain.safetensors")  # type: ignore[arg-type]
    parts = {"train": frames, "valid": frames[:1]}
    said: list[str] = []
    model = {"path": "takes.safetensors", "charge": -1}
    problem = problem_of(config_of(tmp_path, parts, model=model), said.append)
    assert [graph.inputs for graph in problem.graphs["train"]] == [(1, 1), (3, 2), (1, 1), (1, 1)]
    assert problem.doubts == ()
    problem = problem_of(config_of(tmp_path, parts, model={"path": "plain.safetensors"}), said.append)
    assert [graph.inputs for graph in problem.graphs["train"]] == [()] * 4
    assert said[-3].startswith("warning: 1 of 5 frames have a charge (")
    assert said[-2].startswith("warning: 1 of 5 frames have unpaired spins (")
    for name, box, says in (
        ("takes", {"charge": 9}, r"\[model\]: charge = 9 is not known to the model"),
        ("plain", {"charge": 1}, r"\[model\]: the model takes no charge, so charge = 1 has no effect"),
    ):
        with pytest.raises(InputError, match=says):
            problem_of(config_of(tmp_path, parts, model={"path": f"{name}.safetensors", **box}), said.append)


def test_weights_of_files(tmp_path: Path) -> None:
    """They multiply what the frames have; one for each file."""
    half = [labelled("cubic", 9)]
    half[0].info["config_weight"] = 0.5
    parts = {"train": BULK, "valid": half, "test": [labelled("cubic", 8)]}
    sets, _ = sets_of(config_of(tmp_path, parts, train_weights=[3.0], valid_weights=[4.0]))
    found = {part: {frame.weight for frame in frames} for part, frames in sets.parts.items()}
    assert found == {"train": {3.0}, "valid": {2.0}, "test": {1.0}}
    with pytest.raises(InputError, match="no frame of train has a label for energy and a weight above 0"):
        sets_of(config_of(tmp_path, parts, train_weights=[0.0]))
    for keys, says in (
        ({"train_weights": [1.0, 2.0]}, "has 2 'train_weights' for 1 files of 'train'"),
        ({"valid_weights": [-1.0]}, r"\[frames\] valid_weights\.0 = -1.0"),
        ({"valid_weights": [float("nan")]}, r"\[frames\] valid_weights\.0 = nan"),
    ):
        with pytest.raises(InputError, match=says):
            config_of(tmp_path, parts, **keys)


def test_frames_that_do_not_count_for_isolated_atoms() -> None:
    class Stand:
        def __init__(self, counts: list[int], weight: float) -> None:
            self.counts, self.frame = np.array(counts), self
            self.weight = weight

        def weight_of(self, label: str) -> float:
            return self.weight

    graphs: Any = [Stand([1, 1], 1.0), Stand([1, 2], 1.0), Stand([5, 1], 0.0)]
    nobody, energies = np.full(2, np.nan), np.array([3.0, 5.0, 1e6])
    np.testing.assert_allclose(by_composition(graphs, energies, nobody), [1.0, 2.0])
    np.testing.assert_allclose(by_composition(graphs[:1], energies[:1], np.array([np.nan, 2.5])), [0.5, 2.5])
    with pytest.raises(InputError, match="no frame of train has an energy"):
        by_composition(graphs[2:], energies[2:], nobody)


def test_single_atoms_of_several_energies_and_those_that_have_neighbours(tmp_path: Path) -> None:
    crystal = single("Fe", edge=2.5)
    found, _ = sets_of(config_of(tmp_path, {"train": [crystal, *BULK], "valid": BULK[:1]}))
    assert (len(found.parts["train"]), found.alone) == (5, [])
    found, _ = sets_of(config_of(tmp_path, {"train": [single("O"), single("O", -431.0), *BULK], "valid": BULK[:1]}))
    with pytest.raises(InputError, match="single atoms of O have energies of -432 to -431 eV; keep the one"):
        found.isolated()


@pytest.mark.parametrize(
    ("weights", "learn", "says"),
    [
        ({"bulk": 0.0}, {}, "no frame of train has a label for energy and a weight above 0"),
        ({"Bulk": 0.5}, {}, "[frames] weights: no frame is of the kind 'Bulk'; of says: bulk, IsolatedAtom"),
        ({}, {"energy_weight": 0.0, "forces_weight": 0.0}, "no frame of train has a label for stress"),
    ],
)
def test_labels_and_weights_of_nothing(tmp_path: Path, weights: Any, learn: Any, says: str) -> None:
    config = config_of(tmp_path, {"train": [*BULK, single("O")]}, kind="of", weights=weights, learn=learn)
    with pytest.raises(InputError) as refused:
        sets_of(config)
    assert says in str(refused.value)


def test_what_is_told_of_other_parts(tmp_path: Path) -> None:
    unlabelled = labelled("cubic", 9)
    del unlabelled.arrays["REF_forces"]
    _, said = sets_of(config_of(tmp_path, {"train": BULK, "valid": [BULK[2], unlabelled], "test": [unlabelled]}))
    assert "1 of 2 frames of valid are in train, too" in said
    assert "of test are in train" not in said
    assert "1 of 2 frames of valid have a label for forces" in said
    assert "0 of 1 frames of test have a label for forces" in said
    assert "of train have a label for forces" not in said


def test_elements_that_only_other_parts_have(tmp_path: Path) -> None:
    parts = {"train": BULK, "valid": [labelled("a molecule", 0)]}
    with pytest.raises(InputError, match="train: H is in valid or test, and not in train; a new model knows nothing"):
        problem_of(config_of(tmp_path, parts), lambda _: None)
    checkpoint = random_checkpoint(3, species=("H", "O", "Fe"), channels=1, max_ell=1, l_hidden=0, correlation=1)
    write_neutral(checkpoint, tmp_path / "start.safetensors")
    said: list[str] = []
    problem_of(config_of(tmp_path, parts, model={"path": "start.safetensors", "isolated": "fit"}), said.append)
    assert "H is in valid or test, and not in train: its isolated atom stays where it is" in said


def test_a_training_of_before_the_younger_keys_goes_on(tmp_path: Path) -> None:
    """A key that learn.h5 does not know is the same as one that nobody gave."""
    config = config_of(tmp_path, {"train": BULK, "valid": BULK[:1]})
    now = began_of(config, "")
    young = ("model.charge", "model.spin", "frames.train_weights", "frames.valid_weights")
    before = {**now, "settings": {key: value for key, value in now["settings"].items() if key not in young}}
    assert len(now["settings"]) == len(before["settings"]) + len(young)
    refuse_changes(before, now, "here")
