"""One crystal in the files of several programs: each gives its atoms, its density and its distances, or an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.periodic import close_pairs
from refine.sampling.structure_files import read_structure
from refine.sampling.trajectories import count_trajectory

EDGE = 5.64
NA = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5))
CL = ((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5), (0.5, 0.5, 0.5))
CELL = f"{EDGE} 0 0\n0 {EDGE} 0\n0 0 {EDGE}\n"
FRACTIONAL = "\n".join(f"{x} {y} {z}" for x, y, z in NA + CL)
CARTESIAN = "\n".join(" ".join(f"{EDGE * x:.4f}" for x in site) for site in NA + CL)


def check(path: Path, text: str, **options: object) -> None:
    """Eight ions, six neighbours each at half the edge."""
    path.write_text(text)
    system = read_structure(path, **options)  # type: ignore[arg-type]
    assert dict(zip(system.species, system.n_per_species, strict=True)) == {"Na": 4, "Cl": 4}
    assert system.number_density == pytest.approx(8 / EDGE**3, rel=1e-6)
    assert system.positions is not None
    i, j, apart = close_pairs(system.positions, np.asarray(system.cell), EDGE / 2 + 0.01)
    assert np.linalg.norm(apart, axis=1) == pytest.approx(EDGE / 2, abs=1e-3)
    assert ((i < 4) & (j >= 4)).all()


def poscar(cell: str, body: str, names: str = "Na Cl\n", counts: str = "4 4", scale: object = 1.0) -> str:
    return f"Na Cl\n{scale}\n{cell}{names}{counts}\n{body}\n"


UNIT = "1 0 0\n0 1 0\n0 0 1\n"


@pytest.mark.parametrize(
    "text",
    [
        poscar(CELL, f"Direct\n{FRACTIONAL}"),
        poscar(UNIT, f"Direct\n{FRACTIONAL}", scale=EDGE),
        poscar(UNIT, f"Direct\n{FRACTIONAL}", scale=-(EDGE**3)),
        poscar(UNIT, f"Cartesian\n{FRACTIONAL}", scale=EDGE),
        poscar(CELL, "Selective dynamics\nCartesian\n" + CARTESIAN.replace("\n", " T F T\n") + " T F T"),
        poscar(CELL, f"Direct\n{FRACTIONAL}", names=""),
        poscar(CELL, f"Direct\n{FRACTIONAL}", names="Na_pv/3f2ab Cl/8dcd5\n"),
        poscar(CELL, f"Direct\n{FRACTIONAL}", names="Na Cl ! as in the POTCAR\n"),
        poscar(CELL, f"Direct\n{FRACTIONAL}", names="Na Na Cl\n", counts="1 3 4"),
        poscar(CELL, f"Direct\n{FRACTIONAL}\n\n" + "0.1 0.1 0.1\n" * 8),
        poscar(CELL, f"Direct\n{FRACTIONAL}").replace("\n", "\r\n"),
        "\ufeff" + poscar(CELL, f"Direct\n{FRACTIONAL}"),
    ],
)
def test_poscar(tmp_path: Path, text: str) -> None:
    check(tmp_path / "POSCAR", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (poscar(CELL, f"Direct\n{FRACTIONAL}", counts="4 3"), "more positions than the 7 atoms"),
        (poscar(CELL, f"Direct\n{FRACTIONAL}", counts="4 5"), "fewer positions than the 9 atoms"),
        (poscar(CELL, f"Direct\n{FRACTIONAL}", names="").replace("Na Cl", "rock salt", 1), "title does not name"),
        (poscar(CELL, f"Direct\n{FRACTIONAL}", names="NA CL\n"), "label 'NA' may be N or Na; say it"),
    ],
)
def test_poscar_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "POSCAR"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_structure(path)


def test_poscar_of_labels(tmp_path: Path) -> None:
    check(tmp_path / "POSCAR", poscar(CELL, f"Direct\n{FRACTIONAL}", names="NA CL\n"), stated=("Na", "Cl"))
    path = tmp_path / "POSCAR"
    path.write_text(poscar(CELL, f"Direct\n{FRACTIONAL}", names="D O\n"))
    assert read_structure(path).isotopes == {"H": 2}


def data(columns: str = "{id} {type} {place}", style: str = " # atomic", first: str = "salt", atoms: int = 8) -> str:
    """A data file of LAMMPS."""
    places = CARTESIAN.split("\n")
    rows = [
        columns.format(id=k, type=1 + (k > 4), charge=(-1) ** (k > 4), place=places[k - 1]) for k in range(8, 0, -1)
    ]
    box = "".join(f"-1.0 {EDGE - 1.0} {axis}lo {axis}hi\n" for axis in "xyz")
    body = "\n".join(rows)
    return (
        f"{first}\n\n{atoms} atoms\n2 atom types\n{box}\nMasses\n\n1 22.99\n2 35.45 # Cl\n\nAtoms{style}\n\n{body}\n\n"
        "Velocities\n\n" + "".join(f"{k} 0 0 0\n" for k in range(1, 9))
    )


@pytest.mark.parametrize(
    "text",
    [
        data(),
        data(style=""),
        data("{id} {type} {charge} {place}", " # charge"),
        data("{id} {id} {type} {charge} {place} 0 1 -1", " # full"),
        data("{id} {id} {type} {charge} {place} # Na", ""),
        data("{id} 1 {type} {place}", " # bond"),
        data(first="LAMMPS data file via write_data, version 2 Aug 2023, timestep = 0, units = real"),
    ],
)
def test_lammps_data(tmp_path: Path, text: str) -> None:
    check(tmp_path / "salt.data", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (data(first="LAMMPS data file via write_data, version 2 Aug 2023, units = lj"), "lengths in 'lj' units"),
        (data(first="LAMMPS data file via write_data, units = nano"), "lengths in 'nano' units"),
        (data(atoms=7), "8 rows of atoms, and the header says 7"),
        (data(atoms=9), "8 rows of atoms, and the header says 9"),
        (data("{id} {type} {charge} {place}", ""), "atoms of 6 columns, .* 'Atoms # charge'"),
        (data().replace("22.99", "1.0").replace("35.45", "1.0"), "a mass of 1 is that of no element"),
    ],
)
def test_lammps_data_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "salt.data"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_structure(path)


def res(head: str = "LATT -1\n", occupancy: str = "1.0") -> str:
    rows = [f"{'Na' if k < 4 else 'CL'}{k} {1 + (k >= 4)} {FRACTIONAL.split(chr(10))[k]} {occupancy}" for k in range(8)]
    cell = f"TITL salt\nCELL 0.71 {EDGE} {EDGE} {EDGE} 90 90 90\nZERR 4 0 0 0 0 0 0\n"
    return f"{cell}{head}SFAC Na Cl\nUNIT 4 4\n" + "\n".join(rows) + "\nHKLF 4\nEND\n"


@pytest.mark.parametrize("text", [res(), res(occupancy="11.000"), res(occupancy="11.0 =\n 0.05")])
def test_shelx(tmp_path: Path, text: str) -> None:
    check(tmp_path / "salt.res", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (res(head="LATT 1\n"), r"symmetry \(LATT 1\)"),
        (res(head=""), r"symmetry \(LATT 1\)"),
        (res(head="LATT -1\nSYMM -x,-y,z\n"), r"symmetry \(LATT -1, SYMM\)"),
        (res(occupancy="10.5"), r"not fully occupied \(Na0 10.5\)"),
    ],
)
def test_shelx_refused(tmp_path: Path, text: str, words: str) -> None:
    """ASE would take the asymmetric unit for the cell, and half an atom for one."""
    path = tmp_path / "salt.res"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_structure(path)


@pytest.mark.parametrize("line", ["Konfig=", "Cartesian configuration=", ""])
def test_frames_of_an_xdatcar_that_begin_otherwise(tmp_path: Path, line: str) -> None:
    path = tmp_path / "XDATCAR"
    frame = f"{line} 1\n{FRACTIONAL}\n"
    path.write_text(f"salt\n1.0\n{CELL}Na Cl\n4 4\n{frame}{frame}")
    with pytest.raises(InputError, match="where a frame begins with 'Direct configuration='"):
        count_trajectory(path, 0.1)
