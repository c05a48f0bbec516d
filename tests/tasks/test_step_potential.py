"""Frames that came back with energies: are they of the potential that was asked for, of one before, or of neither?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest

from refine.errors import InputError
from refine.results.result import Result
from refine.tasks.run import store
from refine.tasks.step import Waiting
from tests import elsewhere, small_box
from tests.commands import refused
from tests.tasks.test_step import by_jax, of_files, taken
from tests.trajectories import write_dcd, write_dump


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Waiting, Path, Path]:
    """A run that waits for its second sample, frames of the first potential that were not given yet, and of the
    second."""
    folder = of_files(small_box.write(tmp_path_factory.mktemp("run"))).parent
    first = taken(folder)
    assert isinstance(first, Waiting)
    old = elsewhere.bring(folder / "study.toml", folder / "out", folder / "old.extxyz", seed=77)
    second = taken(folder, **by_jax(folder)(first))
    assert isinstance(second, Waiting)
    new = elsewhere.bring(folder / "study.toml", folder / "out", folder / "new.extxyz", seed=78)
    return folder, second, old, new


def changed(path: Path, to: Path, energy: Callable[[float, int], float]) -> str:
    """The frames with other energies: a function of theirs, and of their numbers."""
    images = ase.io.read(path, ":")
    for k, one in enumerate(images):
        one.calc.results["energy"] = energy(one.calc.results["energy"], k)
    ase.io.write(to, images)
    return str(to)


def notes(folder: Path) -> str:
    return " ".join(store.load(folder / "out" / "run.h5").record.warnings)


def test_frames_of_the_potential_before_are_refused(waiting: tuple, tmp_path: Path) -> None:
    folder, second, old, _ = waiting
    said = refused("step", folder / "out", "--trajectory", old)
    assert "the frames are of the potential of step 000, and not of step 001" in said
    assert "kT" in said
    assert f"sample the potential of {second.step}" in said
    # whatever zero their energies count from
    shifted = changed(old, tmp_path / "shifted.extxyz", lambda e, k: e + 1234.5)
    assert "of the potential of step 000" in refused("step", folder / "out", "--trajectory", shifted)
    assert "potential" not in notes(folder)


def copied(waiting: tuple, tmp_path: Path) -> Path:
    shutil.copytree(waiting[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_frames_of_this_potential_are_taken_without_a_word(waiting: tuple, tmp_path: Path) -> None:
    folder = copied(waiting, tmp_path)
    found = taken(folder, trajectories=[changed(waiting[3], tmp_path / "a.extxyz", lambda e, k: e - 77.0)])
    assert isinstance(found, Waiting | Result)
    assert "potential" not in notes(folder)


def test_frames_in_another_cell_of_the_lattice_have_the_same_energies(waiting: tuple, tmp_path: Path) -> None:
    """As of a code that runs in the user's own skewed cell, where the study has taken an upright one."""
    folder, images = copied(waiting, tmp_path), ase.io.read(waiting[3], ":")
    for one in images:
        one.set_cell(np.array([[1, 0, 0], [-2, 1, 0], [1, 3, 1]]) @ one.cell.array)
        one.wrap()
        one.calc.atoms = one.copy()  # those that its energy is of
    ase.io.write(tmp_path / "skewed.extxyz", images)
    found = taken(folder, trajectories=[str(tmp_path / "skewed.extxyz")])
    assert isinstance(found, Waiting | Result)
    assert "potential" not in notes(folder)


def test_energies_of_nothing_that_is_known_are_taken_and_noted(waiting: tuple, tmp_path: Path) -> None:
    folder = copied(waiting, tmp_path)
    random = np.random.default_rng(0).normal(size=40)
    taken(folder, trajectories=[changed(waiting[3], tmp_path / "a.extxyz", lambda e, k: random[k])])
    assert "85K: the energies of the frames are not those of this step's potential" in notes(folder)
    assert "correlation" in notes(folder)


def test_without_energies_that_it_was_not_checked_is_in_the_record(waiting: tuple, tmp_path: Path) -> None:
    folder = copied(waiting, tmp_path)
    dump = write_dump(tmp_path / "dump", ase.io.read(waiting[2], ":"), ("Ar",))
    taken(folder, trajectories=[str(dump)])
    assert "was not checked: too few of them have an energy" in notes(folder)


def test_energies_of_a_table_beside_a_dcd(waiting: tuple, tmp_path: Path) -> None:
    """In float32, and without elements, which the study has."""
    folder = copied(waiting, tmp_path)
    for name, path in (("old", waiting[2]), ("new", waiting[3])):
        images = ase.io.read(path, ":")
        lines = "".join(f"{one.get_potential_energy():.8f}\n" for one in images)
        (tmp_path / f"{name}.csv").write_text(f"energy [eV]\n{lines}")
        write_dcd(tmp_path / f"{name}.dcd", images)
    with pytest.raises(InputError, match="of the potential of step 000"):
        taken(folder, trajectories=[str(tmp_path / "old.dcd")], energies=[str(tmp_path / "old.csv")])
    taken(folder, trajectories=[str(tmp_path / "new.dcd")], energies=[str(tmp_path / "new.csv")])
    assert "potential" not in notes(folder)
