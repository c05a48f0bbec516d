"""Elements from names of atoms and residues, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from refine.errors import InputError
from refine.sampling.elements import elements_of
from refine.sampling.structure_files import read_structure
from refine.sampling.trajectories import count_trajectory


def gro(path: Path, atoms: list[tuple[int, str, str]]) -> Path:
    """A GROMACS file of (residue number, residue, atom), 3 Å apart on a lattice in a box of 1.2 nm."""
    rows = []
    for k, (number, residue, name) in enumerate(atoms):
        x, y, z = (0.3 * ((k // 4**i) % 4) for i in range(3))
        rows.append(f"{number:5d}{residue:<5s}{name:>5s}{k + 1:5d}{x:8.3f}{y:8.3f}{z:8.3f}\n")
    path.write_text("t= 0.0\n" + f"{len(atoms):5d}\n" + "".join(rows) + "   1.20000   1.20000   1.20000\n")
    return path


SALTS = {
    "calcium chloride": ([(1, "CAL", "CA"), (2, "CLA", "CL"), (3, "CLA", "CL")], {"Ca": 1, "Cl": 2}),
    "salt": ([(1, "NA", "NA"), (2, "CL", "CL")], {"Na": 1, "Cl": 1}),
    "quartz": ([(1, "QTZ", "SI"), (2, "QTZ", "O"), (3, "QTZ", "O")], {"Si": 1, "O": 2}),
    "silica": ([(1, "SIO", "SI"), (1, "SIO", "O1"), (1, "SIO", "O2")], {"Si": 1, "O": 2}),
    "water": ([(1, "SOL", "OW"), (1, "SOL", "HW1"), (1, "SOL", "HW2")], {"O": 1, "H": 2}),
}


@pytest.mark.parametrize("name", SALTS)
def test_gromacs_files_have_their_elements(tmp_path: Path, name: str) -> None:
    """As structure and as trajectory; the first letters would be C, N, S."""
    unit, expected = SALTS[name]
    atoms = [(number + 3 * k, residue, atom) for k in range(4) for number, residue, atom in unit]
    path = gro(tmp_path / "a.gro", atoms)
    system = read_structure(path)
    assert dict(zip(system.species, system.n_per_species, strict=True)) == {s: 4 * n for s, n in expected.items()}
    counted = count_trajectory(path, 0.1)
    assert counted.system.species == system.species


def test_a_name_of_two_elements_is_refused_unless_the_study_names_one(tmp_path: Path) -> None:
    path = gro(tmp_path / "a.gro", [(1, "MOL", "SI"), (1, "MOL", "O"), (1, "MOL", "O")])
    with pytest.raises(InputError, match=r"atom 'SI' of residue 'MOL' may be S or Si.*extended XYZ"):
        read_structure(path)
    assert read_structure(path, stated={"Si", "O"}).species == ("Si", "O")
    assert read_structure(path, species=("O", "S")).species == ("O", "S")


@pytest.mark.parametrize(
    ("name", "residue", "alone", "stated", "columns", "symbol"),
    [
        ("CA", "ALA", False, (), None, "C"),  # of a protein, even where nothing but such atoms is kept
        ("CA", "GLY", True, (), None, "C"),
        ("CA", "MOL", False, (), " CA ", "C"),
        ("CA", "MOL", False, (), "CA  ", "Ca"),
        ("1HB", "MOL", False, (), None, "H"),
        ("D1", "DOD", False, (), None, "H:D"),
        ("FE2", "HEM", False, ("Fe", "C"), None, "Fe"),
        ("CL", "MOL", False, ("Cl", "H"), None, "Cl"),
        ("SOD", "SOD", True, (), None, "Na"),
        ("SOD", "SOD", True, ("Na", "Cl"), None, "Na"),
        ("POT", "POT", True, (), None, "K"),  # polonium, by its letters
        ("CES", "ION", True, ("Cs", "Cl"), None, "Cs"),
        ("CN1", "CNT", False, (), None, "C"),  # element 112 is in no glass
        ("HO", "HOH", False, (), None, "H"),
        ("HO5'", "DG", False, (), "HO5'", "H"),
        ("CA", "CAF", False, ("Ca", "F"), None, "Ca"),
    ],
)
def test_rules(name: str, residue: str, alone: bool, stated: tuple[str, ...], columns: str | None, symbol: str) -> None:
    names, residues = [name] * (2 - alone), [residue] * (2 - alone)
    numbers, shown = [1] * len(names), None if columns is None else [columns, " O  "][: len(names)]
    names = [name, "O"][: len(names)]
    assert elements_of(names, residues, numbers, stated, "file", shown)[0] == symbol


@pytest.mark.parametrize(("name", "residue"), [("NA", "NAD"), ("CA", "CAF"), ("HO", "LIG")])
def test_names_of_two_elements_are_not_guessed(name: str, residue: str) -> None:
    with pytest.raises(InputError, match=f"atom '{name}' of residue '{residue}' may be"):
        elements_of([name, "P"], [residue] * 2, [1, 1], (), "file")


@pytest.mark.parametrize("name", ["DUM", "DO", "MW", "LP1"])
def test_sites_that_are_no_atoms_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="called like no element"):
        elements_of([name, "OW"], ["SOL", "SOL"], [1, 1], (), "file")


def test_a_name_that_is_no_element(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'QQ' of residue 'MOL' is called like no element"):
        elements_of(["QQ"], ["MOL"], [1], (), "file")


def test_a_pdb_file_without_elements_goes_by_its_columns(tmp_path: Path) -> None:
    lines = ["CRYST1   12.000   12.000   12.000  90.00  90.00  90.00 P 1           1"]
    lines += [f"HETATM    1 CA    CA     1    {0.0:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00"]
    lines += [f"ATOM      2  CB  LIG     2    {3.0:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00"]
    lines += [f"ATOM      3  OA  LIG     2    {6.0:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00", "END"]
    path = tmp_path / "a.pdb"
    path.write_text("\n".join(lines) + "\n")
    assert set(read_structure(path).species) == {"Ca", "C", "O"}


def test_a_pdb_trajectory_may_end_in_end(tmp_path: Path) -> None:
    frame = "".join(
        f"ATOM  {k:5d}  O   MOL     1    {3.0 * k:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00           O\n" for k in (1, 2)
    )
    text = "CRYST1   12.000   12.000   12.000  90.00  90.00  90.00 P 1           1\n"
    text += "".join(f"MODEL     {k:4d}\n{frame}ENDMDL\n" for k in (1, 2)) + "END\n"
    path = tmp_path / "a.pdb"
    path.write_text(text)
    assert count_trajectory(path, 0.1).read == 2
