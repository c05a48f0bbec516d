"""Trajectories of other programs: every format gives the same counts, and what is broken is refused in one line."""

import itertools
import pickle
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling import trajectories as trajectory
from refine.sampling.trajectories import CountedTrajectory, count_trajectory
from tests.trajectories import CELL, frames, write_dump, write_extxyz, write_vasprun, write_xdatcar

SPECIES, WIDTH = ("Si", "O", "Na"), 0.05


def counted(path: Path, **options) -> CountedTrajectory:
    return count_trajectory(path, WIDTH, species=SPECIES, **options)


def moved(a: np.ndarray, b: np.ndarray) -> float:
    """Pairs that are in other bins."""
    return float(np.abs(a - b).sum() / 2)


def distances_of(atoms: ase.Atoms) -> np.ndarray:
    """Pair counts of one frame by a loop over images in numpy: (6, bins)."""
    edges = WIDTH * np.arange(int(np.min(1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)) / 2 / WIDTH) + 1)
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ atoms.cell.array
    p, kind = atoms.positions, np.array([SPECIES.index(s) for s in atoms.get_chemical_symbols()])
    apart = np.linalg.norm(p[:, None, None] - p[None, :, None] + shifts, axis=-1).min(axis=-1)
    i, j = np.triu_indices(len(p), 1)
    rows = list(itertools.combinations_with_replacement(range(3), 2))
    row = np.array([rows.index((min(a, b), max(a, b))) for a, b in zip(kind[i], kind[j], strict=True)])
    return np.array([np.histogram(apart[i, j][row == k], edges)[0] for k in range(len(rows))], float)


def test_triclinic_mixture_against_a_loop_over_images(tmp_path: Path) -> None:
    images = frames()
    found = counted(write_extxyz(tmp_path / "a.xyz", images))
    expected = np.array([distances_of(atoms) for atoms in images])
    assert found.frames.counts.shape == expected.shape
    assert moved(found.frames.counts, expected) <= 2  # float32 at the edge of a bin
    assert found.frames.counts.sum() > 2000
    assert found.system.n_per_species == (14, 29, 7)
    assert found.frames.volume == pytest.approx(np.linalg.det(CELL), rel=1e-12)
    np.testing.assert_allclose(found.system.cell, CELL, atol=1e-7)


def test_formats_agree(tmp_path: Path) -> None:
    images = frames()
    expected = counted(write_extxyz(tmp_path / "a.xyz", images)).frames.counts
    for found in (
        counted(write_xdatcar(tmp_path / "XDATCAR", images)),
        counted(write_vasprun(tmp_path / "vasprun.xml", images)),
        counted(write_dump(tmp_path / "a.dump", images), types=SPECIES),
        counted(write_dump(tmp_path / "named.dump", images, elements=True)),
        counted(write_dump(tmp_path / "windows.dump", images, ends="\r\n"), types=SPECIES),
        counted(write_extxyz(tmp_path / "no_name", images), kind="extxyz"),
    ):
        assert moved(found.frames.counts, expected) <= 2


def test_windows_ends_and_unwrapped_positions(tmp_path: Path) -> None:
    images = frames()
    path = write_extxyz(tmp_path / "a.xyz", images)
    expected = counted(path).frames.counts
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(counted(path).frames.counts, expected)
    for atoms in images:
        atoms.positions += np.random.default_rng(1).integers(-40, 40, (len(atoms), 3)) @ CELL
    assert moved(counted(write_extxyz(path, images)).frames.counts, expected) <= 2


def test_blank_lines_between_frames_end_nothing(tmp_path: Path) -> None:
    images = frames(3)
    whole = write_extxyz(tmp_path / "a.xyz", images)
    (tmp_path / "b.xyz").write_text(f"{whole.read_text()}\n \n{whole.read_text()}\n")
    found = counted(tmp_path / "b.xyz").frames.counts
    np.testing.assert_array_equal(found, np.concatenate(2 * [counted(whole).frames.counts]))


def test_choice_of_frames(tmp_path: Path) -> None:
    path = write_extxyz(tmp_path / "a.xyz", frames(7))
    every = counted(path).frames.counts
    for options, kept in (
        ({"every": 3}, [0, 3, 6]),
        ({"first": 2, "last": 6, "every": 2}, [1, 3, 5]),
        ({"last": 1}, [0]),
    ):
        found = counted(path, **options)
        assert found.read == len(kept)
        np.testing.assert_array_equal(found.frames.counts, every[kept])


def test_a_changing_cell_is_counted_frame_by_frame(tmp_path: Path) -> None:
    """One configuration at several sizes: g(r) is the mean of the g(r) of each, to where the smallest box ends."""
    images, factors = [frames(1)[0] for _ in range(3)], (1.0, 1.01, 0.985)
    for atoms, factor in zip(images, factors, strict=True):
        atoms.set_cell(CELL * factor, scale_atoms=True)
    found = counted(write_extxyz(tmp_path / "npt.xyz", images))
    xdatcar = counted(write_xdatcar(tmp_path / "XDATCAR", images))
    alone = [counted(write_extxyz(tmp_path / "one.xyz", [atoms])) for atoms in images]
    bins = min(one.frames.counts.shape[2] for one in alone)
    expected = np.mean([one.frames.pair_distribution()[:, :bins] for one in alone], axis=0)
    np.testing.assert_allclose(found.frames.pair_distribution(), expected, rtol=1e-6)
    assert moved(xdatcar.frames.counts, found.frames.counts) <= 2
    assert found.frames.volume == pytest.approx(np.mean([one.frames.volume for one in alone]))
    assert found.volumes == pytest.approx((alone[2].frames.volume, alone[1].frames.volume))
    assert abs(np.linalg.det(found.system.cell)) == pytest.approx(found.frames.volume)


def test_rescaled(tmp_path: Path) -> None:
    found = counted(write_extxyz(tmp_path / "a.xyz", frames(2)))
    scaled = found.rescaled(found.system.number_density / 1.03**3)
    assert scaled.system.number_density == pytest.approx(found.system.number_density / 1.03**3)
    assert scaled.frames.r_max == pytest.approx(1.03 * found.frames.r_max)
    np.testing.assert_allclose(scaled.frames.pair_distribution(), found.frames.pair_distribution(), rtol=1e-9)


def test_memory_of_a_long_trajectory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_extxyz(tmp_path / "a.xyz", frames(19))
    every = counted(path).frames.counts
    monkeypatch.setattr(trajectory, "BLOCKS", 3)
    found = counted(path)  # blocks of four frames, the last three frames fill none
    assert found.read == 16
    np.testing.assert_allclose(found.frames.counts, every[:16].reshape(4, 4, *every.shape[1:]).mean(axis=1), rtol=1e-6)


class Touch:
    """What a pickle could do to whoever loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.traj", frames(2))
    with pytest.raises(InputError, match="'traj' are not read; use one of extxyz"):
        counted(tmp_path / "a.traj")
    for name in ("a.pickle", "XDATCAR", "a.xyz", "OUTCAR", "vasprun.xml"):
        (tmp_path / name).write_bytes(pickle.dumps(Touch(tmp_path / "touched")))
        with pytest.raises(InputError):
            counted(tmp_path / name)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("write", "options"), [(write_extxyz, {}), (write_xdatcar, {}), (write_dump, {"types": SPECIES})]
)
def test_truncated(tmp_path: Path, write, options) -> None:
    path = write(tmp_path / ("XDATCAR" if write is write_xdatcar else "a.xyz"), frames())
    text = path.read_text()
    path.write_text(text[: int(0.7 * len(text))])
    with pytest.raises(InputError, match=r"frame 4: .*the file ends in the middle of a frame.* --last 3$"):
        counted(path, **options)
    assert counted(path, last=3, **options).read == 3


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda a: a.set_cell(None), "frame 2: the frame has no cell"),
        (lambda a: a.set_pbc([True, True, False]), "frame 2: the frame is periodic along 2 of 3"),
        (lambda a: a.positions.__setitem__((3, 1), np.nan), "frame 2: a coordinate or lattice vector is not a finite"),
        (lambda a: a.positions.__setitem__(3, a.positions[4] + 0.01), "frame 2: 1 pairs of atoms are closer than 0.5"),
        (lambda a: a.__delitem__(5), "frame 2: the atoms are not those of the first frame"),
        (lambda a: a.symbols.__setitem__(5, "Fe"), "frame 2: the atoms are not those of the first frame"),
        (lambda a: a.set_cell(1.5 * a.cell, scale_atoms=True), "the volume runs from"),
    ],
)
def test_frames_that_cannot_be_meant(tmp_path: Path, edit, says: str) -> None:
    images = frames(3)
    edit(images[1])
    with pytest.raises(InputError, match=says) as caught:
        counted(write_extxyz(tmp_path / "a.xyz", images))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, "the file is empty"),
        ("what is this\n", {}, "not a known trajectory format; name it: --format"),
        ("1000000000000\n\nSi 0 0 0\n", {"kind": "extxyz"}, "the file ends in the middle of a frame"),
        ("-3\n\nSi 0 0 0\n", {"kind": "extxyz"}, "not readable as extxyz"),
        (
            "1\nProperties=species:S:1:pos:R:3:x:R:99999999\nSi 0 0 0\n",
            {"kind": "extxyz"},
            "has 100000003 columns, and the first atom has 4",
        ),
        ("2\nno cell\nSi 0 0 0\nO 2 0 0\n", {"kind": "extxyz"}, "the frame has no cell"),
        ("1\nno cell\nXx 0 0 0\n", {"kind": "extxyz"}, "not readable as extxyz"),
        ("a\n1\n9 0 0\n0 9 0\n0 0 9\nSi\n99999999999\nDirect configuration= 1\n", {"kind": "vasp-xdatcar"}, "middle"),
        (
            "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n99999999999\nITEM: ATOMS id element x y z\n1 Si 0 0 0\n",
            {},
            "mid",
        ),
        ("ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: ATOMS id type x y z\n1 1 0 0 0\n", {}, "--species Si,O"),
        ("ITEM: UNITS\nlj\nITEM: TIMESTEP\n0\n", {"types": SPECIES}, "lengths in 'lj' units"),
        (70000 * "x", {"kind": "extxyz"}, "not a text file of lines"),
        ("anything", {"kind": "lammps-data"}, "format 'lammps-data' are not read"),
        ("anything", {"kind": "traj"}, "format 'traj' are not read"),
    ],
)
def test_hostile_text(tmp_path: Path, text: str, options: dict, says: str) -> None:
    (tmp_path / "a").write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        counted(tmp_path / "a", **options)
    assert "\n" not in str(caught.value)


def test_types_and_elements(tmp_path: Path) -> None:
    images = frames(2)
    dump = write_dump(tmp_path / "a.dump", images)
    with pytest.raises(InputError, match="no elements; give the element of each type in order, as in --species"):
        counted(dump)
    with pytest.raises(InputError, match="atom types run from 1 to 3 and --species names 2 elements"):
        counted(dump, types=("Si", "O"))
    with pytest.raises(InputError, match=r"the frame holds .*Fe.*, the study Si, O, Na"):
        counted(dump, types=("Si", "O", "Fe"))
    with pytest.raises(InputError, match="--species: unknown element 'Qq'"):
        count_trajectory(dump, WIDTH, types=("Si", "O", "Qq"))
    named = write_dump(tmp_path / "named.dump", images, elements=True)
    for path in (named, write_extxyz(tmp_path / "a.xyz", images)):
        with pytest.raises(InputError, match="the file names its elements; leave --species out"):
            counted(path, types=SPECIES)


def test_missing_and_compressed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such trajectory"):
        counted(tmp_path / "nothing.xyz")
    (tmp_path / "a.xyz.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match="compressed"):
        counted(tmp_path / "a.xyz.gz")
    with pytest.raises(InputError, match="there is no frame 3"):
        counted(write_extxyz(tmp_path / "a.xyz", frames(2)), first=3)
