"""CIF files: space groups by the file's own operations, occupancies, and hostile ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.periodic import close_pairs
from refine.sampling.structure_files import read_structure
from refine.sampling.symmetry import operation
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
-x,1/2-y,1/2-z
1/2-x,-y,1/2-z
1/2-x,1/2-y,-z
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


def test_an_unknown_symbol_is_read_by_the_operations_of_the_file(tmp_path: Path) -> None:
    """With a symbol that nobody knows: nickel is face-centred cubic, four atoms, twelve neighbours at a/sqrt 2."""
    text = CELL + "_symmetry_space_group_name_H-M 'F m*3 m'\n" + CENTRED + SITES + "Ni 0 0 0\n"
    system = read_structure(write(tmp_path / "ni.cif", text))
    assert (system.species, system.n_atoms) == (("Ni",), 4)
    expected = {(0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)}
    assert system.positions is not None
    assert {tuple(p) for p in (system.positions / 3.6).round(6).tolist()} == expected


def test_a_known_symbol_gives_the_same(tmp_path: Path) -> None:
    text = CELL + "_symmetry_space_group_name_H-M 'F m -3 m'\n_symmetry_Int_Tables_number 225\n" + SITES + "Ni 0 0 0\n"
    assert read_structure(write(tmp_path / "ni.cif", text)).n_atoms == 4


def test_an_unknown_symbol_without_operations_is_one_line(tmp_path: Path) -> None:
    text = CELL + "_symmetry_space_group_name_H-M 'F m*3 m'\n" + SITES + "Ni 0 0 0\n"
    with pytest.raises(
        InputError, match=r"space group 'F m\*3 m' is not known, and the file lists no symmetry operations"
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


def crystal(path: Path, symmetry: str, edges: str, angles: str, *sites: str, columns: str = "", head: str = "") -> Path:
    """A CIF: sites of label, type, three coordinates and what `columns` names besides."""
    cell = [f"_cell_length_{name} {length}" for name, length in zip("abc", edges.split(), strict=True)]
    cell += [f"_cell_angle_{n} {angle}" for n, angle in zip(("alpha", "beta", "gamma"), angles.split(), strict=True)]
    tags = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", *columns.split()]
    loop = ["loop_", *(f"_atom_site_{tag}" for tag in tags), *sites]
    return write(path / "a.cif", "\n".join(["data_x", head, *cell, symmetry, *loop, ""]))


def name(symbol: str) -> str:
    return f"_symmetry_space_group_name_H-M '{symbol}'"


def nearest(path: Path, stated: tuple[str, ...] = ()) -> tuple[dict[str, int], float]:
    """Atoms by species, and the shortest distance (Å)."""
    system = read_structure(path, stated=stated)
    assert system.positions is not None
    _, _, apart = close_pairs(system.positions, system.cell, 3.5)
    return dict(zip(system.species, system.n_per_species, strict=True)), float(np.linalg.norm(apart, axis=1).min())


SILICON = 5.431, 5.431 * np.sqrt(3.0) / 4.0


@pytest.mark.parametrize(
    ("symbol", "at"), [("F d -3 m :1", "0"), ("Fd-3m:2", "0.125"), ("F d 3 m S", "0"), ("F d -3 m Z", "0.125")]
)
def test_an_origin_that_is_named_is_taken(tmp_path: Path, symbol: str, at: str) -> None:
    path = crystal(tmp_path, name(symbol), "5.431(1) 5.431 5.431", "90 90 90", f"Si1 Si {at} {at} {at}")
    counts, distance = nearest(path)
    assert counts == {"Si": 8}
    assert distance == pytest.approx(SILICON[1], abs=1e-6)


@pytest.mark.parametrize("symmetry", [name("F d -3 m"), name("F d 3 m"), "_space_group_IT_number 227"])
def test_between_two_origins_a_file_chooses(tmp_path: Path, symmetry: str) -> None:
    """With the first one silicon at 1/8, 1/8, 1/8 would be sixteen atoms and twice as dense."""
    path = crystal(tmp_path, symmetry, "5.431 5.431 5.431", "90 90 90", "Si1 Si 0.125 0.125 0.125")
    with pytest.raises(InputError, match=r"has two origins, .* 'F d -3 m :1' or 'F d -3 m :2'"):
        read_structure(path)


@pytest.mark.parametrize("symmetry", [name("R -3 c"), name("R -3 c :R"), "_space_group_IT_number 167"])
def test_corundum_in_its_rhombohedral_cell(tmp_path: Path, symmetry: str) -> None:
    """Al-O 1.855 Å (Newnham and de Haan, Z. Kristallogr. 117, 235 (1962)), ten atoms and not thirty."""
    sites = ("Al1 Al3+ 0.35228 0.35228 0.35228", "O1 O2- 0.55647 0.94353 0.25")
    path = crystal(tmp_path, symmetry, "5.13 5.13 5.13", "55.27 55.27 55.27", *sites)
    counts, distance = nearest(path)
    assert counts == {"Al": 4, "O": 6}
    assert distance == pytest.approx(1.855, abs=0.005)


def test_corundum_in_its_hexagonal_cell(tmp_path: Path) -> None:
    sites = ("Al1 Al 0 0 0.35228", "O1 O 0.30647 0 0.25")
    counts, distance = nearest(crystal(tmp_path, name("R -3 c H"), "4.7628 4.7628 13.0032", "90 90 120", *sites))
    assert counts == {"Al": 12, "O": 18}
    assert distance == pytest.approx(1.855, abs=0.005)


ROCK_SALT = ("Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5")


@pytest.mark.parametrize(
    ("symmetry", "edges", "words"),
    [
        (name("F m -3 m"), "5 6 7", "cell does not have the symmetry"),
        (name("P 1 21/n 1") + "\n_symmetry_Int_Tables_number 14", "5 6 7", "'P 1 21/n 1' is not known"),
        (name("P -1") + "\n" + CENTRED, "5 6 7", "centrings of the operations are not those of 'P -1'"),
        ("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-y,x,z+1/4", "5 5 5", "2 symmetry operations are not a group"),
    ],
)
def test_symmetry_that_contradicts_the_file(tmp_path: Path, symmetry: str, edges: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_structure(crystal(tmp_path, symmetry, edges, "90 90 90", *ROCK_SALT))


def test_fewer_operations_than_the_named_group_has(tmp_path: Path) -> None:
    """Those that the sites need, as in excerpts; of a site that needs others, the named group's are missed."""
    symmetry = name("F m 3 m") + "\n" + CENTRED
    assert nearest(crystal(tmp_path, symmetry, "5.64 5.64 5.64", "90 90 90", *ROCK_SALT))[0] == {"Na": 4, "Cl": 4}
    with pytest.raises(InputError, match="lists make 8 atoms, and those of its space group others"):
        read_structure(crystal(tmp_path, symmetry, "5.64 5.64 5.64", "90 90 90", "Na1 Na 0.2 0 0"))


def test_centrings_that_the_name_has_and_the_list_leaves_out(tmp_path: Path) -> None:
    symmetry = name("F 2 2 2") + "\nloop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,-y,z\n-x,y,-z\nx,-y,-z"
    counts, distance = nearest(crystal(tmp_path, symmetry, "5.64 5.64 5.64", "90 90 90", *ROCK_SALT))
    assert counts == {"Na": 4, "Cl": 4}
    assert distance == pytest.approx(2.82)


@pytest.mark.parametrize(
    ("kind", "stated", "element"),
    [
        ("Fe3+", (), "Fe"),
        ("FE", (), "Fe"),
        ("fe", (), "Fe"),
        ("SI", ("Si", "O"), "Si"),
        ("2H", (), "H"),
        ("D", (), "H"),
    ],
)
def test_types_of_sites(tmp_path: Path, kind: str, stated: tuple[str, ...], element: str) -> None:
    """ASE reads SI as sulphur and FE as fluorine."""
    path = crystal(tmp_path, name("P 1"), "5 5 5", "90 90 90", f"M1 {kind} 0 0 0", "O1 O 0.5 0.5 0.5")
    system = read_structure(path, stated=stated)
    assert system.species == (element, "O")
    assert system.isotopes == ({"H": 2} if element == "H" else {})


@pytest.mark.parametrize("kind", ["SI", "OH", "Wat", "Xx", "M"])
def test_types_that_are_not_one_element(tmp_path: Path, kind: str) -> None:
    path = crystal(tmp_path, name("P 1"), "5 5 5", "90 90 90", f"M1 {kind} 0 0 0", "O1 O 0.5 0.5 0.5")
    with pytest.raises(InputError, match=f"atom type '{kind}' is not one element; say it: --elements {kind}="):
        read_structure(path)
    assert read_structure(path, elements={kind: "Si"}).species == ("Si", "O")
    assert read_structure(path, elements={"M1": "Si:first"}).species == ("Si:first", "O")


@pytest.mark.parametrize(
    ("columns", "extra", "words"),
    [
        ("disorder_group", ("1", "2"), "alternatives of disorder"),
        ("calc_flag", ("d", "dum"), r"dummies and no atoms \(O1 dum\)"),
        ("attached_hydrogens", ("0", "2"), r"hydrogens attached that are not listed \(O1 2\)"),
        ("occupancy", ("1", "1/2"), r"not fully occupied \(O1 1/2\)"),
    ],
)
def test_sites_that_are_not_one_atom(tmp_path: Path, columns: str, extra: tuple[str, str], words: str) -> None:
    sites = (f"Fe1 Fe 0 0 0 {extra[0]}", f"O1 O 0.5 0.5 0.5 {extra[1]}")
    with pytest.raises(InputError, match=words):
        read_structure(crystal(tmp_path, name("P 1"), "4 4 4", "90 90 90", *sites, columns=columns))


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("Fe2 Fe 0 0 0", "closer than 0.5"),
        ("O1 O ? ? ?", r"_atom_site_fract_x of site O1 is '\?' and no number"),
        ("O1 O 1/3 0 0", "is '1/3' and no number"),
        ("O1 O 0.5 0.5", "incomplete row|damaged"),
        ("O1 O 0.5 0.5 0.5 1.0", "damaged CIF: Wrong number 6 of tokens"),
    ],
)
def test_sites_that_are_no_place(tmp_path: Path, site: str, words: str) -> None:
    """Of two atoms on one site, and of a row of another length, ASE takes one and warns."""
    with pytest.raises(InputError, match=words):
        read_structure(crystal(tmp_path, name("P 1"), "4 4 4", "90 90 90", "Mg1 Mg 0 0 0", site))


def test_a_special_position_needs_its_digits(tmp_path: Path) -> None:
    """Quartz, Si at z = 2/3: 0.667 is taken for it, 0.66 makes two atoms of one."""
    sites = ("Si1 Si 0.4697(1) 0 {}", "O1 O 0.4135(3) 0.2669(2) 0.7858(2)")
    for z, good in (("0.66667", True), ("0.667", True), ("0.66", False)):
        edges, angles = "4.9134 4.9134 5.4052", "90 90 120.0"
        path = crystal(tmp_path, name("P 32 2 1"), edges, angles, sites[0].format(z), sites[1])
        if good:
            counts, distance = nearest(path)
            assert counts == {"Si": 3, "O": 6}
            assert distance == pytest.approx(1.61, abs=0.01)
        else:
            with pytest.raises(InputError, match=r"Si1 at 0\.4697, 0, 0\.66 is 0\.07\d? Å from its own image"):
                read_structure(path)


@pytest.mark.parametrize(
    ("head", "good"),
    [
        ("_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4", True),
        ("_chemical_formula_sum 'Cl3 Na3'", True),
        ("_chemical_formula_sum ?", True),
        ("_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 8", False),
        ("_chemical_formula_sum 'H4 Cl Na O2'", False),
        ("_chemical_formula_sum 'Cl Na0.9'", False),
    ],
)
def test_the_formula_of_the_file_is_that_of_its_atoms(tmp_path: Path, head: str, good: bool) -> None:
    """Hydrogens that were not found, and other origins, show in it."""
    path = crystal(tmp_path, name("F m 3 m"), "5.64 5.64 5.64", "90 90 90", *ROCK_SALT, head=head)
    if good:
        assert nearest(path) == ({"Na": 4, "Cl": 4}, pytest.approx(2.82))
    else:
        with pytest.raises(InputError, match="the sites make Na4 Cl4 in the cell, and the file says"):
            read_structure(path)
