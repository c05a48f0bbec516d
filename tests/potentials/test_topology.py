"""Molecules out of LAMMPS data files: what is read, what is bonded to what, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.topology import Shake, Topology
from refine.potentials.topology_file import read_topology
from refine.sampling.structure_files import read_structure
from tests.molecules import chains, dimers, water, written


def topology(folder: Path, text: str) -> Topology:
    return read_topology(written(folder, text))


def test_water(tmp_path: Path) -> None:
    """Atoms as the structure has them: oxygen first; molecules across the walls in one piece."""
    read = topology(tmp_path, water())
    system = read_structure(tmp_path / "box.data")
    read.check_species(("O", "H"))
    read.check_atoms(system)
    np.testing.assert_allclose(read.positions, system.positions)
    assert read.charges.sum() == pytest.approx(0.0, abs=1e-9)
    assert read.molecules.tolist() == [*range(1, 65), *np.repeat(range(1, 65), 2)]
    pairs, number = read.special
    assert np.bincount(number).tolist() == [0, 128, 64]
    whole = read.whole(system.positions, system.cell)
    lengths = np.linalg.norm(whole[pairs[:, 0]] - whole[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(lengths[number == 1], 1.0, atol=1e-9)
    np.testing.assert_allclose(lengths[number == 2], 2 * np.sin(np.radians(109.47 / 2)), atol=1e-9)
    apart = (whole - system.positions) @ np.linalg.inv(system.cell)
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-9)


def test_what_is_held(tmp_path: Path) -> None:
    read, straight = topology(tmp_path, water()), topology(tmp_path, dimers(3, 20.0, 1.1))
    assert read.constraints == 0
    assert replace(read, rigid=True).constraints == 3 * 64
    assert replace(straight, rigid=True).constraints == 27
    assert replace(read, shake=Shake((1,))).constraints == 128
    assert replace(read, shake=Shake((1,), (1,))).constraints == 192
    # angles of larger clusters are not held by LAMMPS
    assert replace(topology(tmp_path, chains()), shake=Shake((1,), (1,))).constraints == 5 * 27


def test_pairs_of_a_chain(tmp_path: Path) -> None:
    """1-2, 1-3, 1-4 by bonds, and the weights of a pair potential."""
    read = topology(tmp_path, chains())
    assert np.bincount(read.special[1]).tolist() == [0, 5 * 27, 4 * 27, 3 * 27]
    pairs, share = read.left_out((0.0, 1.0, 0.25))
    assert len(pairs) == 8 * 27
    assert sorted(set(share.tolist())) == [0.75, 1.0]


def test_rings_count_the_shorter_way(tmp_path: Path) -> None:
    """In a ring of four there are four 1-2 and two 1-3 pairs, and no 1-4."""
    read = topology(tmp_path, chains())
    ring = replace(read, bonds=np.array([[1, 0, 1], [1, 1, 2], [1, 2, 3], [1, 0, 3]]))
    assert np.bincount(ring.special[1]).tolist() == [0, 4, 2]


DAMAGE = {
    ("# full", "# charge"): "atom_style 'charge' in place of full",
    ("192 atoms", "191 atoms"): "the header has 191 atoms, and Atoms 192 lines",
    ("192 atoms", "999999999 atoms"): "the header has 999999999 atoms",
    ("192 atoms", "192 atoms\nshell rm -rf /"): "'shell rm -rf /' is nothing of a header",
    ("\nBonds\n", "\nBond Coeffs\n"): "coefficients belong into [model] commands",
    ("\nBonds\n", "\nBodies\n"): "section 'Bodies' is not read",
    ("128 bonds\n", ""): "the header has 0 bonds, and Bonds 128 lines",
    ("1 1 1 2\n", "1 1 1 1\n"): "does not name 2 different atoms",
    ("1 1 1 2\n", "1 1 1 999\n"): "a line has other words",
    ("1 1 1 2\n", "1 7 1 2\n"): "bond types run from 1 to 7, and the header has 1",
    ("1 1 1 2\n", "1 1 1 3\n"): "two atoms are bonded twice",
    ("0 12.42 xlo xhi", "0 nan xlo xhi"): "a number is not finite",
    ("0 12.42 xlo xhi\n", ""): "the box has not three pairs of bounds",
    ("1 15.999", "1 $(x)"): "a line has other words",
}


@pytest.mark.parametrize("change", DAMAGE)
def test_a_damaged_file_is_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    text = water()
    assert change[0] in text
    with pytest.raises(InputError) as caught:
        topology(tmp_path, text.replace(*change, 1))
    assert DAMAGE[change] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_atoms_are_refused(tmp_path: Path) -> None:
    read = topology(tmp_path, water())
    system = read_structure(tmp_path / "box.data")
    with pytest.raises(InputError, match=r"masses 15\.999, 1\.008, and the study has H, O; number its types"):
        read.check_species(("H", "O"))
    with pytest.raises(InputError, match="the study has O"):
        read.check_species(("O",))
    with pytest.raises(InputError, match=r"it has \(64, 128\) atoms of O, H, the structure \(27, 54\)"):
        read.check_atoms(read_structure(written(tmp_path, water(3, 9.3), "small.data")))
    moved = np.roll(system.positions, 1, axis=0)
    with pytest.raises(InputError, match="of its bonds have other lengths in the structure"):
        read.check_atoms(replace(system, positions=moved))
    bent = system.positions + np.random.default_rng(0).normal(scale=0.03, size=moved.shape)
    read.check_atoms(replace(system, positions=bent))
    with pytest.raises(InputError, match="rigid molecules have the same shape"):
        replace(read, rigid=True).check_atoms(replace(system, positions=bent))
    with pytest.raises(InputError, match="molecules are not packed at random"):
        read.check_atoms(replace(system, positions=None))
    with pytest.raises(InputError, match="there is no bond type 2"):
        replace(read, shake=Shake((2,))).check_held()
    with pytest.raises(InputError, match="no bonds left to hold"):
        replace(read, shake=Shake((1,)), rigid=True).check_held()
    with pytest.raises(InputError, match="3 atoms are bonded to no other"):
        replace(read, bonds=read.bonds[2:], rigid=True).check_held()


def joined(bonds: list[tuple[int, int]], kinds: int = 1) -> str:
    """Atoms on a grid, and what is bonded to what."""
    n = 1 + max(max(pair) for pair in bonds)
    head = f"\n\n{n} atoms\n1 atom types\n{len(bonds)} bonds\n{kinds} bond types\n"
    head += "\n".join(f"0 100 {axis}lo {axis}hi" for axis in "xyz") + "\n\nMasses\n\n1 12\n\nAtoms # full\n\n"
    atoms = "\n".join(f"{k + 1} 1 1 0 {k % 100} {k // 100 % 100} {k // 10_000}" for k in range(n))
    return (
        f"{head}{atoms}\n\nBonds\n\n" + "\n".join(f"{k} 1 {i + 1} {j + 1}" for k, (i, j) in enumerate(bonds, 1)) + "\n"
    )


def test_what_a_file_may_ask_for_is_bounded(tmp_path: Path) -> None:
    """An atom that thousands are bonded to, and room for 10^9 types."""
    with pytest.raises(InputError, match="an atom has 3999 bonds"):
        topology(tmp_path, joined([(0, k) for k in range(1, 4000)]))
    with pytest.raises(InputError, match="the header has 999999999 bond types"):
        topology(tmp_path, joined([(0, 1)], kinds=999_999_999))


def test_a_long_chain_is_made_whole_in_linear_time(tmp_path: Path) -> None:
    n = 20_000
    read = topology(tmp_path, joined([(k, k + 1) for k in range(n)]))
    assert len(read._tree) == n
    whole = read.whole(read.positions, read.cell)
    steps = np.abs(np.diff(whole, axis=0)).max(axis=1)
    assert steps.max() <= 1.0 + 1e-9
