"""CIF files: space groups by the file's own operations, occupancies, and hostile ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.crystals import operation
from refine.sampling.structure_files import read_structure
from refine.sampling.trajectories import count_trajectory

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


@pytest.mark.parametrize("said", ["", "_symmetry_space_group_name_Hall '-F 4 2 3'\n", "_space_group_name_H-M_alt ?\n"])
def test_sites_without_a_space_group_are_not_taken_for_the_whole_cell(tmp_path: Path, said: str) -> None:
    with pytest.raises(InputError, match="no symmetry operations"):
        read_structure(write(tmp_path / "a.cif", CELL + said + SITES + "Mg1 0 0 0\nO1 0.5 0.5 0.5\n"))


@pytest.mark.parametrize("label", ["(Mg,Fe)1", "SI1", "Wat1", "Mg/Fe", "Q1"])
def test_labels_that_may_be_another_element(tmp_path: Path, label: str) -> None:
    text = CELL + "_symmetry_space_group_name_H-M 'P 1'\n" + SITES + f"O1 0 0 0\n{label} 0.5 0.5 0.5\n"
    with pytest.raises(InputError, match="is not called by one element"):
        read_structure(write(tmp_path / "a.cif", text))


@pytest.mark.parametrize(
    ("label", "element"), [("Mg", "Mg"), ("OW1", "O"), ("Si(1)", "Si"), ("SiA", "Si"), ("O1'", "O")]
)
def test_labels_of_one_element(tmp_path: Path, label: str, element: str) -> None:
    text = CELL + "_symmetry_space_group_name_H-M 'P 1'\n" + SITES + f"Na1 0 0 0\n{label} 0.5 0.5 0.5\n"
    assert read_structure(write(tmp_path / "a.cif", text)).species == ("Na", element)


def pdb(path: Path, group: str = "P 1", place: str = " ", occupancy: str = "1.00") -> Path:
    """Two atoms, the second at `place` (an alternate location) with `occupancy`."""
    lines = [f"CRYST1   12.000   12.000   12.000  90.00  90.00  90.00 {group:<11s}   1"]
    lines += ["HETATM    1  O   MOL     1       0.000   0.000   0.000  1.00  0.00           O"]
    lines += [f"HETATM    2  O  {place}MOL     2       3.000   0.000   0.000{occupancy:>6s}  0.00           O", "END"]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("occupancy", ["1.00", "0.00", ""])
def test_pdb_files_of_whole_atoms(tmp_path: Path, occupancy: str) -> None:
    path = pdb(tmp_path / "a.pdb", occupancy=occupancy)
    assert read_structure(path).n_atoms == 2
    assert count_trajectory(path, 0.1).read == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group": "F m -3 m"}, "space group is 'F m -3 m'"),
        ({"place": "A"}, r"'O' has alternate locations \(A\)"),
        ({"occupancy": "0.30"}, "'O' has an occupancy of 0.3"),
    ],
)
def test_pdb_files_of_parts_of_atoms_or_cells_are_refused(tmp_path: Path, options: dict[str, str], words: str) -> None:
    path = pdb(tmp_path / "a.pdb", **options)
    for read in (read_structure, lambda path: count_trajectory(path, 0.1)):
        with pytest.raises(InputError, match=words):
            read(path)


def test_operations() -> None:
    rotation, shift = operation("-y+1/3, x - y, 0.25+Z", "here")
    np.testing.assert_allclose(rotation, [[0, -1, 0], [1, -1, 0], [0, 0, 1]])
    np.testing.assert_allclose(shift, [1 / 3, 0, 0.25])
    for text in ("x,y", "x,x,z", "x,y,z,z", "1/0+x,y,z", "__import__('os'),y,z", "x*2,y,z", ""):
        with pytest.raises(InputError, match="no symmetry operation"):
            operation(text, "here")
