"""CIF files: space groups by the file's own operations, occupancies, and hostile ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.crystals import operation
from refine.sampling.structures import read_structure

CELL = """data_x
_cell_length_a 3.6
_cell_length_b 3.6
_cell_length_c 3.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
"""
CENTRED = """loop_
_symmetry_equiv_pos_as_xyz
x,y,z
x,1/2+y,1/2+z
1/2+x,y,1/2+z
'1/2 + x, 1/2 + y, z'
-x,-y,-z
"""
SITES = """loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_an_old_symbol_is_read_by_the_operations_of_the_file(tmp_path: Path) -> None:
    """'F m 3 m' of 1990: nickel is face-centred cubic, four atoms, twelve neighbours at a/sqrt 2."""
    text = CELL + "_symmetry_space_group_name_H-M 'F m 3 m'\n" + CENTRED + SITES + "Ni 0 0 0\n"
    system = read_structure(write(tmp_path / "ni.cif", text))
    assert (system.species, system.n_atoms) == (("Ni",), 4)
    expected = {(0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)}
    assert system.positions is not None
    assert {tuple(p) for p in (system.positions / 3.6).round(6).tolist()} == expected


def test_a_known_symbol_gives_the_same(tmp_path: Path) -> None:
    text = CELL + "_symmetry_space_group_name_H-M 'F m -3 m'\n_symmetry_Int_Tables_number 225\n" + SITES + "Ni 0 0 0\n"
    assert read_structure(write(tmp_path / "ni.cif", text)).n_atoms == 4


def test_an_unknown_symbol_without_operations_is_one_line(tmp_path: Path) -> None:
    text = CELL + "_symmetry_space_group_name_H-M 'F m 3 m'\n" + SITES + "Ni 0 0 0\n"
    with pytest.raises(
        InputError, match="space group 'F m 3 m' is not known, and the file lists no symmetry operations"
    ):
        read_structure(write(tmp_path / "ni.cif", text))


@pytest.mark.parametrize("occupancy", ["0.6", "0.99", "1.1", "0.5(2)"])
def test_partly_occupied_sites_are_named(tmp_path: Path, occupancy: str) -> None:
    sites = SITES + "_atom_site_occupancy\n" + f"Mg1 0 0 0 {occupancy}\nO1 0.5 0.5 0.5 1.0\n"
    with pytest.raises(InputError, match=r"not fully occupied \(Mg1 .*\)"):
        read_structure(write(tmp_path / "a.cif", CELL + "_symmetry_space_group_name_H-M 'P 1'\n" + sites))


@pytest.mark.parametrize("occupancy", ["1", "1.0", "1.000", "."])
def test_full_sites_are_read(tmp_path: Path, occupancy: str) -> None:
    sites = SITES + "_atom_site_occupancy\n" + f"Mg1 0 0 0 {occupancy}\nO1 0.5 0.5 0.5 1.0\n"
    system = read_structure(write(tmp_path / "a.cif", CELL + "_symmetry_space_group_name_H-M 'P 1'\n" + sites))
    assert set(system.species) == {"Mg", "O"}


def test_operations() -> None:
    rotation, shift = operation("-y+1/3, x - y, 0.25+Z", "here")
    np.testing.assert_allclose(rotation, [[0, -1, 0], [1, -1, 0], [0, 0, 1]])
    np.testing.assert_allclose(shift, [1 / 3, 0, 0.25])
    for text in ("x,y", "x,x,z", "x,y,z,z", "1/0+x,y,z", "__import__('os'),y,z", "x*2,y,z", ""):
        with pytest.raises(InputError, match="no symmetry operation"):
            operation(text, "here")
