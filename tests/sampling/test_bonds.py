"""Bonds against crystals whose bonds are known by symmetry, in cells smaller than a bond's sphere too."""

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal

from refine.sampling.bonds import bond_angles, bonds, coordination_numbers


@pytest.mark.parametrize("repeats", [1, 2])
def test_diamond(repeats):
    """Two atoms in a skewed cell are their own neighbours' images; also far from the cell's origin."""
    atoms = bulk("Si", "diamond", 5.43).repeat(repeats)
    positions = atoms.positions + 40.0
    numbers = coordination_numbers(positions, atoms.cell.array, atoms.get_chemical_symbols(), "Si", "Si", 2.6)
    np.testing.assert_array_equal(numbers, np.full(len(atoms), 4))
    angles = bond_angles(positions, atoms.cell.array, atoms.get_chemical_symbols(), "Si", "Si", 2.6)
    assert len(angles) == 6 * len(atoms)
    np.testing.assert_allclose(angles, np.degrees(np.arccos(-1 / 3)), atol=1e-6)


def test_quartz():
    """Against the published geometry of L. Levien, C. T. Prewitt and D. J. Weidner, Am. Mineral. 65, 920 (1980)."""
    sites = [(0.4697, 0.0, 2 / 3), (0.4135, 0.2669, 0.7858)]
    atoms = crystal(["Si", "O"], sites, spacegroup=154, cellpar=[4.9134, 4.9134, 5.4052, 90, 90, 120])
    structure = (atoms.positions, atoms.cell.array, atoms.get_chemical_symbols())
    np.testing.assert_array_equal(coordination_numbers(*structure, "Si", "O", 2.0), [4, 4, 4])
    np.testing.assert_array_equal(coordination_numbers(*structure, "O", "Si", 2.0), [2] * 6)
    np.testing.assert_allclose(bond_angles(*structure, "O", "Si", 2.0), 143.7, atol=0.1)
    centres, vectors = bonds(*structure, "Si", "O", 2.0)
    assert set(centres) == set(np.flatnonzero(atoms.numbers == 14))
    np.testing.assert_allclose(np.sort(np.linalg.norm(vectors, axis=1)), [1.605] * 6 + [1.614] * 6, atol=0.002)


def test_without_bonds_there_are_no_angles():
    nothing = (np.zeros((1, 3)), np.eye(3) * 9.0, ["O"], "O", "Si", 2.0)
    assert bond_angles(*nothing).shape == (0,)
    np.testing.assert_array_equal(coordination_numbers(*nothing), [0])
