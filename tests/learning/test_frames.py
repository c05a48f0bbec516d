"""Labelled frames in: names, shapes and units of labels, what is refused, and neighbours against the calculator's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from refine.errors import InputError
from refine.learning.frames import LabelledFrame, edges_of, read_labelled
from refine.learning.keys import Labels

HEADER = 'Lattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3:{forces}:R:3 pbc="T T T" {rest}\n'
ROWS = "O 0 0 0 0.1 0.2 0.3\nH 1 0 0 -0.1 -0.2 -0.3\n"


def labels(**keys: object) -> Labels:
    return Labels.model_validate({"train": ["a.extxyz"], **keys})


def written(path: Path, rest: str = "REF_energy=-7.5", forces: str = "REF_forces", rows: str = ROWS) -> Path:
    file = path / "frames.extxyz"
    file.write_text("2\n" + HEADER.format(forces=forces, rest=rest) + rows)
    return file


@pytest.mark.parametrize(("prefix", "keys"), [("REF_", {}), ("", {}), ("my_", {"energy": "my_energy"})])
def test_names_of_labels(tmp_path: Path, prefix: str, keys: dict[str, str]) -> None:
    """The usual ones, those that ASE takes for results of a calculation, and one's own."""
    if keys:
        keys = {**keys, "forces": "my_forces", "stress": "my_stress"}
    stress = f'{prefix}stress="1 6 5 6 2 4 5 4 3"'
    file = written(tmp_path, f"{prefix}energy=-7.5 {stress}", f"{prefix}forces")
    (frame,) = read_labelled(file, labels(**keys))
    assert frame.energy == -7.5
    np.testing.assert_allclose(frame.forces, [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
    np.testing.assert_allclose(frame.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert frame.volume == pytest.approx(120.0)


def test_stresses_in_their_three_forms(tmp_path: Path) -> None:
    tensor = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    for rest, keys in (
        ('REF_stress="1 2 3 4 5 6"', {}),
        ('REF_stress="1 6 5 6 2 4 5 4 3"', {}),
        ('my_virial="-120 -720 -600 -720 -240 -480 -600 -480 -360"', {"virials": "my_virial"}),
    ):
        (frame,) = read_labelled(written(tmp_path, rest), labels(**keys))
        np.testing.assert_allclose(frame.stress, tensor)


def test_frames_of_many_kinds_and_their_weights(tmp_path: Path) -> None:
    file = tmp_path / "frames.extxyz"
    first = Atoms("OH", [[0, 0, 0], [1, 0, 0]], cell=np.eye(3) * 5, pbc=True, info={"REF_energy": -1.0, "of": "melt"})
    second = Atoms("Si", [[0, 0, 0]], info={"REF_energy": -2.0, "of": "atom"})
    write(file, [first, second], format="extxyz")
    frames = read_labelled(file, labels(kind="of", weights={"melt": 0.25}))
    assert [frame.symbols for frame in frames] == [("O", "H"), ("Si",)]
    assert [frame.weight for frame in frames] == [0.25, 1.0]
    assert [frame.forces for frame in frames] == [None, None]
    assert frames[1].volume is None
    assert frames[1].where == f"{file} frame 2"


def test_weights_of_a_frame_and_of_its_labels(tmp_path: Path) -> None:
    """By the names of mace-torch, or without "config_"; that of the frame's kind multiplies the frame's."""
    rest = "REF_energy=1 config_weight=0.5 config_energy_weight=2 forces_weight=0 config_virials_weight=0.25 of=melt"
    (frame,) = read_labelled(
        written(tmp_path, f"{rest} config_dipole_weight=7"), labels(kind="of", weights={"melt": 4})
    )
    assert (frame.weight, frame.energy_weight, frame.forces_weight, frame.stress_weight) == (2.0, 2.0, 0.0, 0.25)
    assert [frame.weight_of(label) for label in ("energy", "forces", "stress")] == [4.0, 0.0, 0.0]  # no stress
    (frame,) = read_labelled(written(tmp_path), labels())
    assert [frame.weight_of(label) for label in ("energy", "forces", "stress")] == [1.0, 1.0, 0.0]


def test_charge_and_spin_of_a_frame(tmp_path: Path) -> None:
    for rest, box in (("charge=-1 spin=2", (-1, 2)), ("total_charge=1.0", (1, None)), ("", (None, None))):
        (frame,) = read_labelled(written(tmp_path, f"REF_energy=1 {rest}"), labels())
        assert (frame.charge, frame.spin) == box


@pytest.mark.parametrize(
    ("rest", "rows", "says"),
    [
        ("REF_energy=1 config_weight=-1", ROWS, "config_weight is -1"),
        ("REF_energy=1 config_weight=nan", ROWS, "config_weight is nan, which is no finite number"),
        ("REF_energy=1 config_stress_weight=often", ROWS, "config_stress_weight is 'often', which is no finite number"),
        ('REF_energy=1 energy_weight="1 2"', ROWS, "energy_weight is array([1, 2]), which is no finite number"),
        ("REF_energy=1 forces_weight=T", ROWS, "forces_weight is True, which is no finite number"),
        ("REF_energy=1 forces_weight=2e9", ROWS, "forces_weight is 2e+09"),
        ("REF_energy=1 config_force_weight=1", ROWS, "config_force_weight is no weight that is known"),
        ("REF_energy=1 config_energy_weight=1 energy_weight=2", ROWS, "is 1 and energy_weight is 2"),
        ("REF_energy=1 charge=inf", ROWS, "charge is inf, which is no finite number"),
        ("REF_energy=1 charge=1 total_charge=2", ROWS, "charge is 1 and total_charge is 2"),
        ("REF_energy=nan", ROWS, "REF_energy has a number that is not finite"),
        ("REF_energy=often", ROWS, "REF_energy is 'often', which is no number"),
        ('REF_energy="1 2"', ROWS, "REF_energy has the shape"),
        ('REF_stress="1 2 3"', ROWS, "REF_stress has the shape"),
        ('REF_stress="1 6 5 5 2 4 5 4 3"', ROWS, "REF_stress is not symmetric"),
        ("REF_energy=1", "O 0 0 0 0.1 0.2 inf\nH 1 0 0 0 0 0\n", "REF_forces has a number that is not finite"),
        ("REF_energy=1", "O 0 0 0 0.1 0.2 0.3\nH nan 0 0 0 0 0\n", "a coordinate or lattice vector"),
        ("REF_energy=1", "O 0 0 0 0.1\n", "the file ends in the middle of frame 1"),
        ("REF_energy=1", "O 0 0 0 0.1\n" * 2, "Properties has 7 columns, and the first atom has 5"),
        ("REF_energy=1", ROWS.replace("H", "X"), "an atom without an element"),
        ("REF_energy=1", ROWS.replace("H 1", "H 2e6"), "a coordinate or lattice vector is beyond 1e+06 Å"),
        ("REF_energy=T", ROWS, "REF_energy is True, which is no number"),
        ('REF_stress="T T T T T T"', ROWS, "which is no number"),
        ("REF_energy=1", "Qq 0 0 0 0 0 0\nH 1 0 0 0 0 0\n", "frame 1 is not readable as extended XYZ"),
    ],
)
def test_refusals_name_the_frame(tmp_path: Path, rest: str, rows: str, says: str) -> None:
    with pytest.raises(InputError, match="frame 1") as refused:
        read_labelled(written(tmp_path, rest, rows=rows), labels())
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    empty, pickled = tmp_path / "empty.extxyz", tmp_path / "a.extxyz"
    empty.write_text("")
    pickled.write_bytes(b"\x80\x04\x95\x00\x00cposix\nsystem\n.")
    packed = tmp_path / "a.extxyz.gz"
    packed.write_bytes(b"\x1f\x8b")
    for path, says in (
        (tmp_path / "none", "no such file"),
        (empty, "0 bytes"),
        (pickled, "not readable"),
        (packed, "compressed"),
    ):
        with pytest.raises(InputError, match=says):
            read_labelled(path, labels())


def test_blank_lines_between_frames_and_marks_of_editors(tmp_path: Path) -> None:
    """And a name in which ASE sees a choice of frames."""
    file = written(tmp_path)
    text = file.read_text()
    other = tmp_path / "melt@300K.extxyz"
    other.write_bytes(("\ufeff" + f"\n{text}\n  \n{text}{text}\n\n".replace("\n", "\r\n")).encode())
    frames = read_labelled(other, labels())
    assert [frame.where for frame in frames] == [f"{other} frame {k}" for k in (1, 2, 3)]
    assert [frame.energy for frame in frames] == [-7.5] * 3


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("9\n\nH 0 0 0\n", "the file ends in the middle of frame 2"),
        ("99999999\n\nH 0 0 0\n", "frame 2 has 99999999 atoms, and 1 to 10000000 are read"),
        ("0\n\n", "frame 2 has 0 atoms"),
        ("-1\n\n", "frame 2 is not readable as extended XYZ: '-1' is no number of atoms"),
        ("1\nProperties=species:S:1:pos:R:9999999\nH 0 0 0\n", "Properties has 10000000 columns"),
        ("1\nProperties=species:S:1:pos:R:3:positions:R:3\nH 0 0 0 0 0 0\n", "Properties has 'positions' twice"),
        ("1\nProperties=species:S:1:pos:R:-3\nH 0 0 0\n", "not name:type:number of columns"),
        ("1\nProperties=Z:I:1:pos:R:3 energy=1\n999 0 0 0\n", "an atom of the atomic number 999"),
        ("1\nof=\xe9 energy=1\nH 0 0 0\n", r"frame 2 is not UTF-8 text: b'\xe9'"),
    ],
)
def test_faults_of_the_text(tmp_path: Path, second: str, says: str) -> None:
    file = written(tmp_path)
    file.write_bytes(file.read_bytes() + second.encode("latin-1"))
    with pytest.raises(InputError) as refused:
        read_labelled(file, labels())
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_frame_without_labels_and_a_stress_of_a_molecule(tmp_path: Path) -> None:
    file = tmp_path / "a.extxyz"
    write(file, [Atoms("H", [[0, 0, 0]])], format="extxyz")
    with pytest.raises(InputError, match="no label; of these it should have one: REF_energy, energy"):
        read_labelled(file, labels())
    write(file, [Atoms("H", [[0, 0, 0]], info={"REF_stress": np.zeros(9)})], format="extxyz")
    with pytest.raises(InputError, match="not periodic along all vectors"):
        read_labelled(file, labels())


def test_neighbours_by_brute_force() -> None:
    """In a cell that the cutoff reaches through twice."""
    rng, cell, cutoff = np.random.default_rng(0), np.array([[3.0, 0, 0], [1.0, 3.5, 0], [-0.5, 0.7, 4.0]]), 5.0
    positions = rng.random((3, 3)) @ cell
    frame = LabelledFrame(("H",) * 3, positions, cell, np.ones(3, bool))
    receivers, senders, vectors = edges_of(frame, cutoff)
    shifts = np.array([[a, b, c] for a in range(-4, 5) for b in range(-4, 5) for c in range(-4, 5)]) @ cell
    expected = []
    for i in range(3):
        for j in range(3):
            apart = positions[i] - positions[j] - shifts
            r = np.linalg.norm(apart, axis=1)
            expected += [(i, j, *v) for v in apart[(r < cutoff) & (r > 1e-9)].tolist()]
    found = [(i, j, *v) for i, j, v in zip(receivers.tolist(), senders.tolist(), vectors.tolist(), strict=True)]
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=1e-9)
    assert np.all(np.diff(receivers) >= 0)


@pytest.mark.parametrize(
    ("positions", "cell", "says"),
    [
        ([[0, 0, 0], [0, 0, 1e-3]], np.eye(3) * 5, "two atoms are 0.001 Å apart"),
        ([[0, 0, 0], [1, 0, 0]], np.diag([5.0, 5.0, 0.0]), "zero or not independent"),
        ([[0, 0, 0], [1, 0, 0]], np.diag([5.0, 5.0, 1e-4]), "zero or not independent|periodic images"),
    ],
)
def test_cells_and_atoms_that_cannot_be_used(positions: list[list[float]], cell: np.ndarray, says: str) -> None:
    frame = LabelledFrame(("H", "H"), np.array(positions, float), cell, np.ones(3, bool), where="a.extxyz frame 7")
    with pytest.raises(InputError, match="frame 7") as refused:
        edges_of(frame, 5.0)
    assert any(word in str(refused.value) for word in says.split("|"))
