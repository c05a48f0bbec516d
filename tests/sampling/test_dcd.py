"""DCD files: as LAMMPS writes them, and as the other programs do, against the frames that are in them."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refine.errors import InputError
from refine.sampling.files.reading import read_trajectory
from refine.sampling.formats.dcd import cell_of, frames_in
from refine.sampling.trajectories import count_trajectory
from refine.system import make_system
from tests import trajectories

LMP = str(Path(sys.executable).with_name("lmp"))
NUMBERS = {"Si": 14, "O": 29, "Na": 7}
SHAPE = np.array([[11.0, -3.0, 1.5], [-3.0, 10.0, 2.0], [1.5, 2.0, 12.0]])
"""Symmetric, as CHARMM has it."""

SCRIPT = """
units metal
atom_style atomic
region b {region}
create_box 2 b
create_atoms 1 random 20 1234 NULL overlap 1.0
create_atoms 2 random 10 5234 NULL overlap 1.0
mass * 40.0
pair_style lj/cut 5.0
pair_coeff * * 0.0 1.0
velocity all create 3000 1
fix 1 all nve
reset_timestep 40
dump d all dcd 10 a.dcd
dump t all custom 10 a.txt id type xu yu zu
dump_modify t sort id format float %.10g
{more}
run 50
"""


@pytest.fixture(scope="module")
def images() -> list[ase.Atoms]:
    """Atoms sorted by species, as a study has them."""
    return [atoms[np.argsort([list(NUMBERS).index(s) for s in atoms.symbols], kind="stable")] for atoms in mixed()]


def mixed() -> list[ase.Atoms]:
    return trajectories.frames()


def read(path: Path, images: list[ase.Atoms], **keys: object):
    system = make_system(NUMBERS, images[0].cell.array)
    return read_trajectory([path], system, n_bins=200, r_max=4.0, precision="float64", positions=True)


@pytest.mark.parametrize("region", ["block 0 12 0 13 0 14", "prism 0 12 0 13 0 14 3 -2 4"])
@pytest.mark.parametrize("more", ["", "dump_modify d unwrap yes"])
def test_files_of_lammps(tmp_path: Path, region: str, more: str) -> None:
    (tmp_path / "in").write_text(SCRIPT.format(region=region, more=more))
    subprocess.run([LMP, "-in", "in", "-log", "none"], cwd=tmp_path, check=True, capture_output=True)
    texts = ase.io.read(tmp_path / "a.txt", ":", format="lammps-dump-text")
    with (tmp_path / "a.dcd").open("rb") as stream:
        frames = list(frames_in(stream))
    assert [one.step for one in frames] == [40, 50, 60, 70, 80, 90]
    for one, text in zip(frames, texts, strict=True):
        np.testing.assert_allclose(one.cell, text.cell.array, atol=1e-9)
        apart = (one.positions - text.positions) @ np.linalg.inv(one.cell)
        apart -= 0.0 if more else np.round(apart)
        np.testing.assert_allclose(apart, 0.0, atol=1e-6)
    named = ["Ar"] * 20 + ["Kr"] * 10
    counted = count_trajectory(tmp_path / "a.dcd", 0.5, species=("Ar", "Kr"), named=named)
    there = count_trajectory(tmp_path / "a.txt", 0.5, species=("Ar", "Kr"), types=("Ar", "Kr"))
    assert counted.read == 6
    assert np.abs(counted.frames.counts - there.frames.counts).sum() <= 2  # a distance on an edge
    system = make_system({"Ar": 20, "Kr": 10}, texts[0].cell.array)
    found = read_trajectory([tmp_path / "a.dcd"], system, n_bins=10, r_max=5.0, precision="float64", positions=False)
    assert found.steps.tolist() == [40, 50, 60, 70, 80, 90]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("marker", [4, 8])
@pytest.mark.parametrize(("cells", "fourth"), [("cosines", False), ("degrees", True), ("shape", False)])
def test_as_other_programs_write_it(tmp_path: Path, order: str, marker: int, cells: str, fourth: bool) -> None:
    cell = SHAPE if cells == "shape" else trajectories.CELL
    images = trajectories.frames(3, cell=cell)
    keys = {"order": order, "marker": marker, "cells": cells, "fourth": fourth}
    path = trajectories.write_dcd(tmp_path / "a.dcd", images, **keys)
    with path.open("rb") as stream:
        frames = list(frames_in(stream))
    for one, atoms in zip(frames, images, strict=True):
        np.testing.assert_allclose(one.positions, atoms.positions, rtol=1e-6)
        np.testing.assert_allclose(one.cell, cell, atol=1e-9)
        assert one.step == -1  # nobody but LAMMPS is believed
    named = images[0].get_chemical_symbols()
    counted = count_trajectory(path, 0.5, species=("Si", "O", "Na"), named=named)
    same = trajectories.write_extxyz(tmp_path / "a.extxyz", images)
    expected = count_trajectory(same, 0.5, species=("Si", "O", "Na"))
    assert np.abs(counted.frames.counts - expected.frames.counts).sum() <= 4
    np.testing.assert_allclose(counted.system.cell, expected.system.cell, atol=1e-9)


def test_of_a_step_its_atoms_are_those_of_the_study(images: list[ase.Atoms], tmp_path: Path) -> None:
    found = read(trajectories.write_dcd(tmp_path / "a.dcd", images), images)
    np.testing.assert_allclose(found.positions, [atoms.positions for atoms in images], rtol=1e-6)
    assert found.notes == ()
    several = (
        trajectories.write_dcd(tmp_path / "b.dcd", images[:2], first=0),
        trajectories.write_dcd(tmp_path / "c.dcd", images[2:], first=0),
    )
    system = make_system(NUMBERS, trajectories.CELL)
    joined = read_trajectory(several, system, n_bins=200, r_max=4.0, precision="float64", positions=False)
    np.testing.assert_array_equal(joined.counts, found.counts)
    more = [ase.Atoms(atoms.numbers[1:], atoms.positions[1:], cell=atoms.cell, pbc=True) for atoms in images]
    with pytest.raises(InputError, match="the file has 49 atoms, and 50 are named"):
        read(trajectories.write_dcd(tmp_path / "d.dcd", more), images)
    small = make_system(NUMBERS, 1.01 * trajectories.CELL)
    with pytest.raises(InputError, match="the box is"):
        read_trajectory([tmp_path / "a.dcd"], small, n_bins=200, r_max=4.0, precision="float64", positions=False)


def test_without_a_cell(images: list[ase.Atoms], tmp_path: Path) -> None:
    for name, keys in (("none.dcd", {"cells": None}), ("zeros.dcd", {"cells": "cosines"})):
        path = trajectories.write_dcd(tmp_path / name, images, **keys)
        if keys["cells"] is not None:
            content = path.read_bytes().replace(struct.pack("<d", images[0].cell.lengths()[0]), bytes(8))
            for length in images[0].cell.lengths()[1:]:
                content = content.replace(struct.pack("<d", length), bytes(8))
            path.write_bytes(content)
        found = read(path, images)
        np.testing.assert_allclose(found.last, images[-1].positions, rtol=1e-6)
        assert f"{name} has no cell: its frames are taken to be of the box of the study" in found.notes
        named = images[0].get_chemical_symbols()
        with pytest.raises(InputError, match="the frame has no cell; give it: --cell"):
            count_trajectory(path, 0.5, species=tuple(NUMBERS), named=named)
        counted = count_trajectory(path, 0.5, species=tuple(NUMBERS), named=named, cell=trajectories.CELL)
        assert counted.read == 5


def test_a_last_frame_that_is_not_whole(images: list[ase.Atoms], tmp_path: Path) -> None:
    path = trajectories.write_dcd(tmp_path / "a.dcd", images)
    whole = path.read_bytes()
    for cut in (1, 100, 600):
        path.write_bytes(whole[:-cut])
        found = read(path, images)
        assert len(found) == 4
        assert "a.dcd ends within a frame, which is left out" in found.notes
        named = images[0].get_chemical_symbols()
        with pytest.raises(InputError, match=r"frame 5: not readable as dcd: the file ends in the middle of a frame"):
            count_trajectory(path, 0.5, named=named)
        assert count_trajectory(path, 0.5, named=named, last=4).read == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fixed": 3}, "3 atoms do not move"),
        ({"word": b"VELD"}, "velocities, and no positions"),
        ({"word": b"WORD"}, "are not read; use one of"),
    ],
)
def test_what_is_not_read(images: list[ase.Atoms], tmp_path: Path, keys: dict, message: str) -> None:
    path = trajectories.write_dcd(tmp_path / "a.bin", images, **keys)
    with pytest.raises(InputError, match=message):
        count_trajectory(path, 0.5, named=images[0].get_chemical_symbols())


def test_who_names_the_atoms(images: list[ase.Atoms], tmp_path: Path) -> None:
    path = trajectories.write_dcd(tmp_path / "a.dcd", images)
    with pytest.raises(InputError, match="does not name its atoms; give a structure with the same ones by --atoms"):
        count_trajectory(path, 0.5, species=tuple(NUMBERS))
    with pytest.raises(InputError, match="a file dcd has no types and no labels"):
        count_trajectory(path, 0.5, types=["Si"])
    assert count_trajectory(path, 0.5, species=("Ar",)).system.species == ("Ar",)
    dump = trajectories.write_dump(tmp_path / "dump", images, elements=True)
    with pytest.raises(InputError, match="--atoms: the file names its atoms"):
        count_trajectory(dump, 0.5, named=images[0].get_chemical_symbols())


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (b"CDF\x02", "a NetCDF trajectory, which is not read; cpptraj"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, which is not read; write extended XYZ"),
    ],
)
def test_other_binary_files_are_refused_with_what_to_do(tmp_path: Path, begin: bytes, message: str) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(begin + bytes(200))
    for read_it in (lambda: count_trajectory(path, 0.5), lambda: read(path, trajectories.frames(1))):
        with pytest.raises(InputError, match=message) as caught:
            read_it()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "record",
    [
        (10.0, 0.9, 10.0, -0.9, 0.9, 10.0),
        (10.0, 90.0, 10.0, 160.0, 20.0, 10.0),
        (-10.0, 0.0, 10.0, 0.0, 0.0, 10.0),
        (10.0, 1.0, 10.0, 0.0, 0.0, 10.0),
        (1.0, 5.0, 1.0, 5.0, 5.0, 1.0),
        (np.nan, 0.0, 10.0, 0.0, 0.0, 10.0),
    ],
)
def test_six_numbers_that_are_no_cell(record: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="cell"):
        cell_of(record)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_its_bytes_are_it_is_frames_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    """No count of it is trusted: nothing is read, and no memory is asked for, beyond the file."""
    images = trajectories.frames(2)
    path = trajectories.write_dcd(tmp_path / "a.dcd", images)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 300) | st.integers(0, len(content) - 4))
        content[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4) | st.just(struct.pack("<i", 2**31 - 1)))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        read = count_trajectory(path, 0.5, named=images[0].get_chemical_symbols()).read
    except InputError as error:
        read, said = 0, str(error)
    assert 0 < read <= 2 or "\n" not in said
