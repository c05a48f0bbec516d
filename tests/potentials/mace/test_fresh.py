"""New models: equivariant in every part, features of the order of one, readable, the same for one seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from refine.potentials.calculator import Calculator
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.fresh import Design, fresh
from refine.potentials.mace.reader.neutral import read_neutral, write_neutral

pytestmark = pytest.mark.usefixtures("quick_compilation")

DESIGN = Design(
    r_max=4.0,
    channels=3,
    l=1,
    max_ell=2,
    layers=2,
    correlation=3,
    basis=5,
    radial=(8, 8),
    readout=4,
    zbl=True,
)


def made(design: Design = DESIGN, seed: int = 0) -> Checkpoint:
    return fresh(design, ("Si", "O"), (-3.0, -2.0), 12.0, 2.0, seed)


def test_energies_do_not_turn_and_forces_do() -> None:
    atoms = Atoms("SiO4Si", [[0, 0, 0], [1.6, 0, 0.1], [0, 1.6, 0], [-1.5, 0, 0.3], [0, -0.2, 1.7], [3.0, 0.5, 0.4]])
    turned = atoms.copy()
    rotation = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()
    turned.positions = -atoms.positions @ rotation.T
    calculator = Calculator(made())
    found = []
    for one in (atoms, turned):
        one.calc = calculator
        found.append((one.get_potential_energy(), one.get_forces()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    np.testing.assert_allclose(-found[0][1] @ rotation.T, found[1][1], atol=1e-5)
    assert np.abs(found[0][1]).max() > 1e-3


def test_an_atom_alone_has_its_energy() -> None:
    atoms = Atoms("Si", [[0, 0, 0]], calculator=Calculator(made()))
    apart = Atoms("SiO", [[0, 0, 0], [9, 0, 0]], calculator=Calculator(made()))
    oxygen = Atoms("O", [[0, 0, 0]], calculator=Calculator(made()))
    together = atoms.get_potential_energy() + oxygen.get_potential_energy()
    assert apart.get_potential_energy() == pytest.approx(together, abs=1e-6)


def test_couplings_are_independent_and_weights_normal() -> None:
    model = made(replace(DESIGN, channels=16))
    for name, array in model.arrays.items():
        if ".basis." in name:
            flat = array.reshape(-1, array.shape[2])
            assert np.linalg.matrix_rank(flat) == array.shape[2]
    deviation = [np.std(array) for name, array in model.arrays.items() if ".skip." in name or ".message." in name]
    np.testing.assert_allclose(deviation, 1.0, atol=0.1)


def test_what_is_written_is_read_and_follows_from_the_seed(tmp_path: Path) -> None:
    write_neutral(made(), tmp_path / "new.safetensors")
    read = read_neutral(tmp_path / "new.safetensors")
    again, other = made(), made(seed=1)
    assert read.architecture == again.architecture
    assert (read.sha256, read.origin) == (again.sha256, "new model")
    assert all(np.array_equal(array, again.arrays[name]) for name, array in read.arrays.items())
    assert other.sha256 != again.sha256
    assert read.weights["energies"].tolist() == [[-2.0, -3.0]]  # by atomic number


@pytest.mark.parametrize("change", [{"l": 0, "max_ell": 0}, {"layers": 1}, {"correlation": 1}, {"zbl": False}])
def test_every_design_is_a_model(change: dict[str, int], tmp_path: Path) -> None:
    """Accepted by the check of shapes that files go through."""
    write_neutral(made(replace(DESIGN, **change)), tmp_path / "new.safetensors")
