"""A cell is one of many of its lattice: needles and skewed ones are taken as upright ones, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kernels.cell import wrap
from refine.errors import InputError
from refine.progress import NullProgress
from refine.sampling.cells import heights, upright_vectors, vectors_between
from refine.sampling.extended_xyz import frame_text
from refine.sampling.starts import random_packing
from refine.sampling.structure_files import read_structure
from refine.sampling.trajectories import count_trajectory
from refine.system import System

SKEWED = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]])
"""Whole numbers of determinant 1: another cell of the lattice of any cell."""


class Told(NullProgress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module")
def glass() -> System:
    return random_packing({"Si": 24, "O": 48}, 0.066, seed=1)


def write(path: Path, system: System, cell: np.ndarray) -> Path:
    """The atoms of a system in another cell of its lattice, at images that lie within that cell."""
    assert system.positions is not None
    path.write_text(frame_text(replace(system, cell=cell), wrap(system.positions, cell), {}))
    return path


def test_the_smallest_height_is_that_of_the_cell_before_it_was_skewed() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        cell = np.diag(rng.uniform(8.0, 12.0, 3)) + rng.normal(size=(3, 3))
        skewed = cell.copy()
        for _ in range(4):
            i, j = rng.permutation(3)[:2]
            skewed[i] += rng.integers(-4, 5) * skewed[j]
        found = upright_vectors(skewed)
        mended = skewed if found is None else found @ skewed
        assert heights(mended).min() >= 0.999 * heights(cell).min()
        assert abs(np.linalg.det(mended)) == pytest.approx(abs(np.linalg.det(cell)))
        whole = mended @ np.linalg.inv(cell)
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-9)
        assert upright_vectors(mended) is None


@pytest.mark.parametrize(
    "cell",
    [
        np.diag([5.0, 30.0, 7.0]),  # a needle that no other cell of the lattice mends
        np.array([[4.0, 0.0, 0.0], [-2.0, 2.0 * np.sqrt(3.0), 0.0], [0.0, 0.0, 6.0]]),  # hexagonal
        np.diag([1e200, 1e200, 1.0]),
    ],
)
def test_a_cell_that_is_good_stays_the_user_s(cell: np.ndarray) -> None:
    assert upright_vectors(cell) is None


def test_a_glass_in_a_skewed_cell_is_the_same_glass(tmp_path: Path, glass: System) -> None:
    cubic = read_structure(write(tmp_path / "cubic.extxyz", glass, glass.cell))
    skewed = read_structure(write(tmp_path / "skewed.extxyz", glass, SKEWED @ glass.cell))
    assert cubic.notes == ()
    assert "other vectors of the same lattice; no atom moves" in skewed.notes[0]
    np.testing.assert_allclose(skewed.cell, glass.cell, atol=1e-7)
    assert skewed.orthorhombic
    assert skewed.r_box == pytest.approx(cubic.r_box)
    assert skewed.positions is not None
    assert cubic.positions is not None
    moved = (skewed.positions - cubic.positions) @ np.linalg.inv(glass.cell)
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-6)


def test_a_trajectory_in_skewed_cells_has_the_same_pairs(tmp_path: Path, glass: System) -> None:
    told = Told()
    cubic = count_trajectory(write(tmp_path / "cubic.extxyz", glass, glass.cell), 0.05)
    found = count_trajectory(write(tmp_path / "skewed.extxyz", glass, SKEWED @ glass.cell), 0.05, progress=told)
    assert found.frames.r_max == cubic.frames.r_max
    # a distance at an edge of a bin may fall on its other side
    assert np.abs(np.cumsum(found.frames.counts - cubic.frames.counts, axis=-1)).max() <= 2
    assert cubic.frames.counts.sum() > 500
    assert sum("other vectors of the same lattice" in message for message in told.messages) == 1


def test_a_needle_whose_atoms_meet_their_images_is_refused(tmp_path: Path) -> None:
    """And not looked through image by image."""
    path = tmp_path / "a.extxyz"
    path.write_text('1\nLattice="1e6 0 0 0 1e-5 0 0 0 1e-5" Properties=species:S:1:pos:R:3 pbc="T T T"\nAr 0 0 0\n')
    with pytest.raises(InputError, match="atoms are 1e-05 Å from their own images"):
        read_structure(path)


LATTICES = {
    "cubic": 12.0 * np.eye(3),
    "fcc": 12.0 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
    "hexagonal": np.array([[12.0, 0.0, 0.0], [-6.0, 6.0 * np.sqrt(3.0), 0.0], [0.0, 0.0, 20.0]]),
    "tetragonal": np.diag([12.0, 12.0, 12.005]),  # nearly cubic
    "slab": np.diag([11.0, 11.0, 200.0]),
    "triclinic": np.array([[11.0, 0.0, 0.0], [2.5, 10.0, 0.0], [-1.5, 2.0, 12.0]]),
}


def whole_numbers(rng: np.random.Generator, steps: int = 3) -> np.ndarray:
    """Of determinant 1."""
    found = np.eye(3)
    for _ in range(steps):
        i, j = rng.permutation(3)[:2]
        found[i] += rng.integers(-3, 4) * found[j]
    return found


@pytest.mark.parametrize("name", LATTICES)
def test_a_cell_of_the_same_lattice_is_known_again(name: str) -> None:
    """Without a turn its atoms stay where they are; turned, their distances stay."""
    rng, ours = np.random.default_rng(4), LATTICES[name]
    for _ in range(20):
        skewed = whole_numbers(rng) @ ours
        vectors = vectors_between(skewed, ours, 2e-4)
        assert vectors is not None
        np.testing.assert_allclose(vectors @ skewed, ours, atol=1e-9)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn[0] *= np.linalg.det(turn)
        turned = vectors_between(skewed @ turn, ours, 2e-4)
        assert turned is not None
        assert abs(round(np.linalg.det(turned))) == 1
        back = np.linalg.inv(turned @ skewed @ turn) @ ours
        np.testing.assert_allclose(back.T @ back, np.eye(3), atol=1e-9)
        assert np.linalg.det(back) > 0.0
        assert vectors_between(1.0005 * skewed, ours, 2e-4) is None
        assert vectors_between(skewed @ np.diag([1.001, 1.0, 1.0 / 1.001]), ours, 2e-4) is None


def test_cells_of_one_volume_and_of_other_lattices_are_none() -> None:
    cube = 12.0 * np.eye(3)
    for other in (np.diag([6.0, 12.0, 24.0]), 12.0 * np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])):
        assert vectors_between(SKEWED @ other, cube, 2e-4) is None
        assert vectors_between(SKEWED @ cube, other, 2e-4) is None
    # twice the lattice, needles, and numbers of which nothing is left
    for broken in (2.0 * cube, np.diag([1e8, 1e-5, 1e-5]), np.array([[1e8, 0, 0], [1e8, 1e-6, 0], [0, 0, 1e4]])):
        assert vectors_between(broken, cube, 2e-4) is None
