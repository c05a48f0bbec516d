"""Low-rank changes: what a matrix is, derivatives against differences, the file, and the model that it makes again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from safetensors.numpy import load_file, save_file

from refine.errors import InputError
from refine.potentials.calculator import Calculator
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.lora import LARGEST_RANK, LowRank, stack_of
from refine.potentials.mace.lora_file import LORA_FILE, apply_lora
from refine.potentials.mace.moved import Both, moved
from refine.potentials.mace.reader import load
from refine.potentials.mace.reader.neutral import MODEL_FILE, digest_of, write_neutral
from refine.potentials.mace.weights import MaceWeights
from tests.potentials.mace.models import random_checkpoint
from tests.potentials.mace.test_weights import CELLS, frames_of, system_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

CHECKPOINT = random_checkpoint(7, channels=3, max_ell=1, l_hidden=1, r_max=4.0, residual=False)
BIASED = random_checkpoint(7, channels=3, max_ell=1, r_max=4.0, nonlinear=True, edge_channels=4)
SYSTEM = system_of(CELLS["cubic"])


def change_of(checkpoint: Checkpoint, *names: str) -> LowRank:
    found = moved(checkpoint, names, SYSTEM.species, where="here")
    assert isinstance(found, LowRank)
    return found


def some(change: LowRank, seed: int = 1, size: float = 0.3) -> np.ndarray:
    """A vector some way from the start."""
    return change.start + size * change.units * np.random.default_rng(seed).normal(size=len(change.start))


@pytest.mark.parametrize("checkpoint", [CHECKPOINT, BIASED])
def test_the_start_is_the_unchanged_model(checkpoint: Checkpoint) -> None:
    change = change_of(checkpoint, "lora:2")
    for name, array in change.arrays(change.start).items():
        np.testing.assert_array_equal(array, checkpoint.weights[name])
    assert np.count_nonzero(change.start) == sum(u.size for u, _ in change.factors(change.start).values())


@pytest.mark.parametrize("checkpoint", [CHECKPOINT, BIASED])
@pytest.mark.parametrize("rank", [1, 2])
def test_changes_have_the_rank_and_the_size_of_their_units(checkpoint: Checkpoint, rank: int) -> None:
    change = change_of(checkpoint, f"lora:{rank}")
    rows = [checkpoint.architecture.species.index(z) for z in change.species]
    for name, array in change.arrays(some(change, size=1.0)).items():
        difference = array - checkpoint.weights[name]
        number, n, m = stack_of(checkpoint, name, len(rows))
        if number > 1:  # a matrix for each species; those of others stay
            others = np.delete(difference, rows, axis=0)
            assert not others.any()
            difference = difference[rows]
        for matrix in difference.reshape(number, n, m):
            assert np.linalg.matrix_rank(matrix, tol=1e-10) == min(rank, n, m), name
    everything = np.concatenate(
        [
            (array - checkpoint.weights[name]).ravel() / np.sqrt(np.mean(checkpoint.weights[name] ** 2))
            for name, array in change.arrays(some(change, size=1.0)).items()
            if "skip" not in name
        ]
    )
    assert 0.5 < np.sqrt(np.mean(everything**2)) < 3.0


def test_what_is_a_matrix() -> None:
    """Every array that features are multiplied with, and none that is a bias, a norm, a coupling or a table."""
    names = set(change_of(CHECKPOINT, "lora:1").names) | set(change_of(BIASED, "lora:1").names)
    last = {name.rpartition("layers.")[2].split(".", 1)[-1].split(".")[0] for name in names}
    assert last == {"up", "radial", "density", "message", "skip", "residual", "gated", "linear", "readout"}
    layer = change_of(CHECKPOINT, "lora:2:layers.1")
    assert set(layer.names) == {name for name in change_of(CHECKPOINT, "lora:2").names if name.startswith("layers.1.")}
    both = change_of(CHECKPOINT, "lora:2:layers.1.readout", "lora:1:layers.0.linear")
    assert both.ranks["layers.0.linear.0"] == 1
    assert both.ranks["layers.1.readout.0"] == 2
    assert list(both.names) == [name for name in CHECKPOINT.arrays if name in both.names]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("lora",), "no rank"),
        (("lora:0",), "no rank of 1 to 16"),
        (("lora:17",), "no rank"),
        (("lora:1.5",), "no rank"),
        (("lora:-1",), "no rank"),
        (("lora:²",), "no rank"),
        (("lora:8:layers.7",), "has no weights 'layers.7'"),
        (("lora:8:embedding",), "'embedding' has no matrix"),
        (("lora:8", "weights"), "'lora:8' has no matrix left"),
        (("lora:8", "lora:4"), "'lora:4' has no matrix left"),
        (("lora:8:layers", "lora:4:layers.1"), "once more"),
        (("lora:8:layers.1", "lora:4:layers.1.readout"), "once more"),
        (("lora:8:layers.1", "layers.1.readout"), "names layers.1.readout.0, which is to be moved as it is, too"),
        (("layers.1", "lora:8:layers.1.readout"), "to be moved as it is, too"),
        (("lora8",), "has no weights 'lora8'; use .*lora:RANK"),
    ],
)
def test_names_that_stand_for_nothing(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        moved(CHECKPOINT, names, ("O", "Fe"), where="[refinement] parameters")


def test_both_kinds_in_one_list() -> None:
    """What is named as it is is left out of the changes of all other matrices, in whatever order; each once."""
    for names in (("lora:2", "layers.1.readout"), ("layers.1.readout", "lora:2")):
        both = moved(CHECKPOINT, names, SYSTEM.species, where="here")
        assert isinstance(both, Both)
        assert set(both.whole.names) == {"layers.1.readout.0", "layers.1.readout.1"}
        assert set(both.names) == set(change_of(CHECKPOINT, "lora:2").names)
        assert len(set(both.names)) == len(both.names)
        at = both.arrays(both.start)
        assert all(np.array_equal(at[name], CHECKPOINT.weights[name]) for name in both.names)
        assert len(both.units) == len(both.start)
    rest = change_of(CHECKPOINT, "lora:2", "lora:1:layers.0")
    assert {name: rank for name, rank in rest.ranks.items() if rank > 1}.keys() == {
        name for name, rank in change_of(CHECKPOINT, "lora:2:layers.1").ranks.items() if rank > 1
    }


def test_a_list_of_both_kinds_is_written_and_applied_again(tmp_path: Path) -> None:
    weights = MaceWeights(CHECKPOINT, ("lora:2", "layers.1.readout", "embedding"), SYSTEM)
    point = weights.start + 0.3 * weights.units * np.random.default_rng(1).normal(size=len(weights.start))
    frames, factors = frames_of(SYSTEM, 2), np.array([0.3, -1.0])
    direction = weights.units * np.random.default_rng(2).normal(size=len(point))
    up, down = (factors @ weights.energies(point + s * 1e-5 * direction, frames) for s in (1, -1))
    assert weights.gradient(point, frames, factors) @ direction == pytest.approx((up - down) / 2e-5, rel=1e-5)
    weights.write(point, tmp_path)
    merged, again = load(tmp_path / MODEL_FILE), apply_lora(CHECKPOINT, tmp_path / LORA_FILE)
    assert merged.sha256 == again.sha256
    assert all(np.array_equal(array, again.arrays[name]) for name, array in merged.arrays.items())
    about, arrays = header(tmp_path / LORA_FILE), load_file(tmp_path / LORA_FILE)
    assert set(about["whole"]) == {"embedding", "layers.1.readout.0", "layers.1.readout.1"}
    for whole, words in (
        (["embedding"], "belong to nothing"),
        ([*about["whole"], "embedding"], "an array twice"),
        ([*about["whole"], "bessel"], "'bessel' is no weight"),
        ([*about["whole"], "layers.1.product"], "'layers.1.product' is no weight"),
        ([1], "have no names"),
    ):
        spoilt = {**about, "whole": whole}
        spoilt["digest"] = digest_of({key: value for key, value in spoilt.items() if key != "digest"}, arrays)
        save_file(arrays, tmp_path / LORA_FILE, {"refine.lora": json.dumps(spoilt)})
        with pytest.raises(InputError, match=words):
            apply_lora(CHECKPOINT, tmp_path / LORA_FILE)


def test_sites_of_an_element_share_its_matrices() -> None:
    assert moved(CHECKPOINT, ["lora:1"], ("H:a", "H:b", "O"), where="here").species == (1, 8)


@pytest.mark.parametrize("checkpoint", [CHECKPOINT, pytest.param(BIASED, marks=pytest.mark.slow)])
def test_derivative_by_every_factor(checkpoint: Checkpoint) -> None:
    """Against central differences of the weighted energies, one direction in each U and each V."""
    frames, weights = frames_of(SYSTEM, 2), MaceWeights(checkpoint, ("lora:2",), SYSTEM)
    assert isinstance(weights.moved, LowRank)
    point, factors, rng = some(weights.moved), np.array([0.3, -1.0]), np.random.default_rng(0)
    gradient = weights.gradient(point, frames, factors)
    for name, both in weights.moved.factors(np.arange(len(point))).items():
        for letter, places in zip("uv", both, strict=True):
            direction = np.zeros_like(point)
            direction[places.ravel()] = rng.normal(size=places.size)
            up, down = (factors @ weights.energies(point + s * 1e-5 * direction, frames) for s in (1, -1))
            assert gradient @ direction == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-6), f"{name}.{letter}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that moved rank 2."""
    folder = tmp_path_factory.mktemp("run")
    weights = MaceWeights(CHECKPOINT, ("lora:2",), SYSTEM)
    assert isinstance(weights.moved, LowRank)
    weights.write(some(weights.moved), folder)
    return folder


def test_the_file_makes_the_merged_model_again(written: Path) -> None:
    """Bit by bit, its hash too; and of another model it is refused."""
    merged, again = load(written / MODEL_FILE), apply_lora(CHECKPOINT, written / LORA_FILE)
    assert merged.sha256 == again.sha256 != CHECKPOINT.sha256
    assert merged.origin == again.origin
    for name, array in merged.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    with pytest.raises(InputError, match=r"it changes a model .* give the model that the run began with"):
        apply_lora(random_checkpoint(8, channels=3, max_ell=1, r_max=4.0), written / LORA_FILE)
    assert (written / LORA_FILE).stat().st_size < (written / MODEL_FILE).stat().st_size


def raw(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file by its layout alone: 8 bytes that say how long a JSON header is, the
    header, and numbers at the places that it names."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    table, numbers = json.loads(content[8 : 8 + size]), content[8 + size :]
    kinds = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4"}
    metadata = table.pop("__metadata__")
    arrays = {
        name: np.frombuffer(numbers[slice(*entry["data_offsets"])], kinds[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in table.items()
    }
    return arrays, metadata


def test_a_second_reader_merges_the_same_model(written: Path, tmp_path: Path) -> None:
    """W f + U V' over f for every matrix, from the bytes of both files and the words of docs/reference/formats.md: an
    energy and forces of the merged model are those of the model that the run wrote, and not those of the unchanged."""
    write_neutral(CHECKPOINT, tmp_path / "base.safetensors")
    arrays, metadata = raw(tmp_path / "base.safetensors")
    factors, numbers = (json.loads(metadata["refine.mace"])[key] for key in ("factors", "architecture"))
    change, about = raw(written / LORA_FILE)
    said = json.loads(about["refine.lora"])
    merged = dict(arrays)
    for name in said["rank"]:
        u, v, f, whole = change[f"{name}.u"], change[f"{name}.v"], factors.get(name, 1.0), arrays[name].astype(float)
        if ".skip." in name and whole.ndim == 3:  # a matrix for each species
            for k, number in enumerate(said["species"]):
                whole[numbers["species"].index(number)] += u[k] @ v[k].T / f
        else:
            whole += (u[0] @ v[0].T / f).reshape(whole.shape)
        merged[name] = whole.astype(arrays[name].dtype)

    atoms = Atoms("O4Fe2", np.random.default_rng(0).uniform(0, 6, (6, 3)), cell=6 * np.eye(3), pbc=True)
    found = []
    for model in (replace(CHECKPOINT, arrays=merged), load(written / MODEL_FILE), CHECKPOINT):
        atoms.calc = Calculator(model)
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    (energy, forces), (of_run, forces_of_run), (unchanged, forces_before) = found
    assert abs(of_run - unchanged) > 1e-3
    assert energy - unchanged == pytest.approx(of_run - unchanged, rel=1e-4)  # the file's arrays are float32
    largest = np.abs(forces_of_run - forces_before).max()
    assert largest > 1e-3
    np.testing.assert_allclose(forces, forces_of_run, atol=1e-4 * largest)


def header(path: Path) -> dict[str, Any]:
    size = int.from_bytes(path.read_bytes()[:8], "little")
    about: dict[str, Any] = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["refine.lora"])
    return about


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 3}, "layout 3"),
        ({"version": "1\n2"}, "layout '1"),
        ({"model": "a\nb"}, "which model it changes"),
        ({"model": ["a"]}, "which model it changes"),
        ({"origin": {"a": 1}}, "which model it changes"),
        ({"model": 64 * "0", "origin": "a\nb"}, "it changes a model"),
        ({"rank": {}}, "names no matrices"),
        ({"rank": {"energies": 1}}, "'energies' is no matrix"),
        ({"rank": {"layers.0.up.0": 10**9}}, "no number of 1 to 16"),
        ({"rank": {"layers.0.up.0": True}}, "no number of 1 to 16"),
        ({"rank": {"layers.0.up.0": 1}}, r"layers\.0\.up\.0\.u is missing or damaged"),
        ({"species": [8, 8]}, "species are not those"),
        ({"species": [92]}, "species are not those"),
        ({"species": [8.0, 26.0]}, "species are not those"),
        ({"more": 1}, "not those of a low-rank change"),
    ],
)
def test_hostile_metadata(written: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    arrays, about = load_file(written / LORA_FILE), {**header(written / LORA_FILE), **changes}
    about["digest"] = digest_of({key: value for key, value in about.items() if key != "digest"}, arrays)
    save_file(arrays, tmp_path / LORA_FILE, {"refine.lora": json.dumps(about)})
    with pytest.raises(InputError, match=words) as caught:
        apply_lora(CHECKPOINT, tmp_path / LORA_FILE)
    assert "\n" not in str(caught.value)


def test_damaged_files(written: Path, tmp_path: Path) -> None:
    """One line each, at every cut and after every flipped byte that matters."""
    whole, path = (written / LORA_FILE).read_bytes(), tmp_path / LORA_FILE
    rng = np.random.default_rng(0)
    cuts = [whole[:n] for n in (0, 7, 100, len(whole) // 2, len(whole) - 1)]
    flips = [whole[:n] + bytes([whole[n] ^ 64]) + whole[n + 1 :] for n in rng.integers(0, len(whole), 60).tolist()]
    for content in (*cuts, *flips, b"not a file of anything"):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            apply_lora(CHECKPOINT, path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="not of a low-rank change"):
        apply_lora(CHECKPOINT, written / MODEL_FILE)
    with pytest.raises(InputError, match="no such file"):
        apply_lora(CHECKPOINT, tmp_path / "nothing")


def test_numbers_that_are_not_finite(written: Path, tmp_path: Path) -> None:
    arrays, about = load_file(written / LORA_FILE), header(written / LORA_FILE)
    about.pop("digest")
    for value, words in ((np.nan, "missing or damaged"), (1e200, "no finite numbers")):
        spoilt = {name: np.full_like(array, value) for name, array in arrays.items()}
        save_file(
            spoilt, tmp_path / LORA_FILE, {"refine.lora": json.dumps({**about, "digest": digest_of(about, spoilt)})}
        )
        with pytest.raises(InputError, match=words):
            apply_lora(CHECKPOINT, tmp_path / LORA_FILE)


def test_the_largest_rank_is_allowed() -> None:
    change = change_of(CHECKPOINT, f"lora:{LARGEST_RANK}")
    assert max(change.ranks.values()) <= max(min(stack_of(CHECKPOINT, name, 2)[1:]) for name in change.names)
