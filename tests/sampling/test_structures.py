"""Packings, periodic pairs and structure files."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refine.errors import InputError, RefineError, SimulationError
from refine.sampling.periodic import close_pairs
from refine.sampling.starts import packed_positions, random_packing, relax
from refine.sampling.structure_files import read_structure
from refine.system import System, make_system, number_density_from_mass, replicate

TRICLINIC = np.array([[10.0, 0.0, 0.0], [3.0, 9.0, 0.0], [-2.0, 2.5, 8.0]])


def brute_force_distances(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """All distances i < j over the 125 nearest images of the wrapped atoms: (pairs * 125,)."""
    fractional = positions @ np.linalg.inv(cell)
    positions = (fractional - np.floor(fractional)) @ cell
    shifts = np.array(list(itertools.product(range(-2, 3), repeat=3))) @ cell
    i, j = np.triu_indices(len(positions), 1)
    return np.linalg.norm((positions[i] - positions[j])[:, None] + shifts, axis=2).ravel()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def extxyz(atoms: str, *, lattice: str = "6 0 0 0 6 0 0 0 6", pbc: str = "T T T") -> str:
    lines = atoms.strip().splitlines()
    return f'{len(lines)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="{pbc}"\n' + "\n".join(lines) + "\n"


OXIDE = extxyz("O 0 0 0\nFe 3 3 3\nO 2 2 0\nFe 0 3 0")


# ---- systems


def test_system_describes_its_box() -> None:
    system = make_system({"Fe": 3, "O": 5}, TRICLINIC)
    assert system.volume == pytest.approx(720.0)
    assert system.number_density == pytest.approx(8 / 720)
    assert system.composition == {"Fe": 0.375, "O": 0.625}
    assert not system.orthorhombic
    assert make_system({"Ar": 1}, np.diag([3.0, 4.0, 5.0])).orthorhombic
    # heights: V / |a_j x a_k|
    faces = [
        np.cross(TRICLINIC[1], TRICLINIC[2]),
        np.cross(TRICLINIC[2], TRICLINIC[0]),
        np.cross(TRICLINIC[0], TRICLINIC[1]),
    ]
    np.testing.assert_allclose(system.heights, 720 / np.linalg.norm(faces, axis=1))
    assert system.r_box == pytest.approx(system.heights.min() / 2)
    np.testing.assert_allclose(system.masses[[0, 7]], [55.845, 15.999], atol=0.001)


def test_system_refuses_what_does_not_belong_together() -> None:
    with pytest.raises(InputError, match="unknown element 'Xx'"):
        make_system({"Xx": 3}, TRICLINIC)
    with pytest.raises(InputError, match="at least 1"):
        make_system({"Ar": 0}, TRICLINIC)
    with pytest.raises(ValueError, match="lattice vectors"):
        make_system({"Ar": 2}, np.ones((3, 3)))
    with pytest.raises(ValueError, match="positions"):
        System(("Ar",), (2,), TRICLINIC, np.ones(2), np.zeros((3, 3)))


# ---- packings


@pytest.mark.parametrize("distance", [2.0, 7.0])
def test_close_pairs_are_those_of_a_sum_over_images(distance: float) -> None:
    positions = np.random.default_rng(0).uniform(-15, 25, (30, 3))
    i, j, separation = close_pairs(positions, TRICLINIC, distance)
    expected = brute_force_distances(positions, TRICLINIC)
    np.testing.assert_allclose(
        np.sort(np.linalg.norm(separation, axis=1)), np.sort(expected[expected < distance]), rtol=1e-12
    )
    assert (i < j).all()
    images = (separation - (positions[i] - positions[j])) @ np.linalg.inv(TRICLINIC)
    np.testing.assert_allclose(images, np.round(images), atol=1e-9)


def test_random_packing_has_its_density_and_no_overlaps() -> None:
    system = random_packing({"Fe": 40, "O": 60}, 0.07, seed=3)
    assert system.number_density == pytest.approx(0.07)
    assert (system.species, system.n_per_species) == (("Fe", "O"), (40, 60))
    assert brute_force_distances(system.positions, system.cell).min() >= 0.85 * 0.07 ** (-1 / 3)


def test_random_packing_follows_from_its_seed() -> None:
    first, again, other = (random_packing({"Ar": 50}, 0.02, seed=s).positions for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1


def test_dense_spheres_are_packed_and_impossible_ones_refused() -> None:
    system = make_system({"Ar": 100}, np.eye(3) * 10)
    diameter = (6 / np.pi * 0.5 * 10) ** (1 / 3)  # packing fraction 0.5
    assert brute_force_distances(packed_positions(system, 1, diameter), system.cell).min() >= diameter
    with pytest.raises(SimulationError, match="still closer"):
        relax(packed_positions(system, 1, diameter), system.cell, 1.3 * diameter, iterations=20)


def test_atoms_on_one_spot_are_separated() -> None:
    apart = relax(np.zeros((5, 3)), TRICLINIC, 1.5)
    assert brute_force_distances(apart, TRICLINIC).min() >= 1.5


def test_a_density_in_other_units_is_refused() -> None:
    with pytest.raises(InputError, match=r"number_density is 21\.25"):
        random_packing({"Ar": 10}, 21.25, seed=1)


def test_mass_density_by_standard_atomic_weights() -> None:
    # Avogadro's number times 2.2 g/cm^3 over the molar mass of SiO2, 60.083 g/mol
    assert number_density_from_mass({"Si": 200, "O": 400}, 2.2) == pytest.approx(
        3 * 2.2 * 0.602214076 / 60.083, rel=1e-5
    )


# ---- larger cells


def test_a_repeated_cell_has_the_pairs_of_the_small_one() -> None:
    rng = np.random.default_rng(0)
    small = make_system({"Fe": 3, "O": 4}, TRICLINIC, rng.random((7, 3)) @ TRICLINIC)
    large = replicate(small, (2, 1, 3))
    assert (large.species, large.n_per_species) == (("Fe", "O"), (18, 24))
    assert large.number_density == pytest.approx(small.number_density)
    np.testing.assert_array_equal(large.cell, [2 * TRICLINIC[0], TRICLINIC[1], 3 * TRICLINIC[2]])
    np.testing.assert_array_equal(large.masses, np.repeat([small.masses[0], small.masses[-1]], [18, 24]))

    def distances(system: System, first: int, second: int) -> np.ndarray:
        """Between the atoms of two species, within 4.5 Å, per atom of the first."""
        kind = np.repeat([0, 1], system.n_per_species)
        i, j, separation = close_pairs(system.positions, system.cell, 4.5)
        chosen = (np.minimum(kind[i], kind[j]) == first) & (np.maximum(kind[i], kind[j]) == second)
        return np.sort(np.linalg.norm(separation[chosen], axis=1))

    for pair in ((0, 0), (0, 1), (1, 1)):
        few, many = distances(small, *pair), distances(large, *pair)
        np.testing.assert_allclose(many, np.repeat(few, 6), atol=1e-9)


def test_what_cannot_be_repeated() -> None:
    with pytest.raises(ValueError, match="without positions"):
        replicate(make_system({"Ar": 2}, TRICLINIC), (2, 2, 2))
    with pytest.raises(ValueError, match="from 1 on"):
        replicate(make_system({"Ar": 1}, TRICLINIC, np.zeros((1, 3))), (2, 0, 2))


# ---- files


def test_read_structure_sorts_atoms_by_species(tmp_path: Path) -> None:
    system = read_structure(write(tmp_path / "a.extxyz", OXIDE), species=("Fe", "O"))
    assert (system.species, system.n_per_species) == (("Fe", "O"), (2, 2))
    np.testing.assert_allclose(system.positions, [[3, 3, 3], [0, 3, 0], [0, 0, 0], [2, 2, 0]])
    assert read_structure(tmp_path / "a.extxyz").species == ("O", "Fe")


def test_a_density_that_disagrees_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.extxyz", OXIDE)
    read_structure(path, number_density=4 / 216 * 1.004)
    with pytest.raises(InputError, match=r"0\.01852 atoms/Å\^3, the study says 0\.01900"):
        read_structure(path, number_density=0.019)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 bytes"),
        ("4\nno lattice\nO 0 0 0\nFe 3 3 3\nO 2 2 0\nFe 0 3 0\n", "no cell"),
        (extxyz("O 0 0 0", pbc="T T F"), "periodic along 2 of 3"),
        (extxyz("O 0 0 0\nO 0 0 0.1"), "1 pairs of atoms are closer"),
        (extxyz("O 0 0 nan"), "finite"),
        (extxyz("O 0 0 zero"), "not readable"),
        (extxyz("Xx 0 0 0"), "Xx|not readable"),
        ("3\ncut short\nO 0 0 0\n", "not readable|no cell"),
    ],
)
def test_bad_structure_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_structure(write(tmp_path / "bad.extxyz", text))
    assert "bad.extxyz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_other_species_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such"):
        read_structure(tmp_path / "absent.extxyz")
    with pytest.raises(InputError, match="the structure holds O, Fe, the study Fe, Si"):
        read_structure(write(tmp_path / "a.extxyz", OXIDE), species=("Fe", "Si"))


def lammps(masses: str = "", types: str = "1 2", atoms: int = 4) -> str:
    """A data file of two types, with charges, its corner away from the origin."""
    a, b = types.split()
    return (
        f"a melt\n\n{atoms} atoms\n2 atom types\n-3.0 3.0 xlo xhi\n0.0 6.0 ylo yhi\n0.0 6.0 zlo zhi\n{masses}\n"
        f"Atoms # charge\n\n2 {b} -1.2 0 0 0\n1 {a} 2.4 3 3 3\n3 {b} -1.2 2 2 0 0 0 1\n4 {a} 2.4 0 3 0\n"
    )


MASSES = "\nMasses\n\n1 28.0855\n2 15.9994\n"
SILICA_POSITIONS = np.array([[3, 3, 3], [0, 3, 0], [0, 0, 0], [2, 2, 6]])


@pytest.mark.parametrize(
    ("masses", "types"), [("", ("Si", "O")), (MASSES, None), ("\nMasses\n\n1 1.0\n2 1.0\n", ("Si", "O"))]
)
def test_lammps_data_with_types(tmp_path: Path, masses: str, types: tuple[str, ...] | None) -> None:
    path = write(tmp_path / "silica.lmp", lammps(masses))
    system = read_structure(path, species=("Si", "O"), types=types)
    assert (system.species, system.n_per_species) == (("Si", "O"), (2, 2))
    difference = (system.positions - SILICA_POSITIONS) / 6
    np.testing.assert_allclose(difference - np.round(difference), 0, atol=1e-9)
    np.testing.assert_allclose(system.masses[[0, 3]], [28.085, 15.999], atol=0.001)


def test_lammps_data_with_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.lammps-data", lammps("\nAtom Type Labels\n\n1 Si\n2 O\n"))
    assert read_structure(path).composition == {"Si": 0.5, "O": 0.5}


@pytest.mark.parametrize(
    ("text", "types", "message"),
    [
        (lammps(), None, "neither masses nor labels; name the elements"),
        (lammps("\nMasses\n\n1 30\n2 15.9994\n"), None, "a mass of 30 is that of no element"),
        (lammps(), ("Si", "O", "H"), "atom types to 2, 3 species are given"),
        (lammps(), ("Si",), "not readable as lammps-data: KeyError"),
        (lammps(), ("Si", "Xx"), "unknown element 'Xx'"),
        (lammps(atoms=10**9), ("Si", "O"), "speaks of 1000000000 atoms"),
        (lammps(atoms=10**30), ("Si", "O"), "speaks of 10000000000000000000 atoms"),
        (OXIDE, ("Si", "O"), "and this is 'extxyz'"),
    ],
)
def test_types_that_do_not_fit(tmp_path: Path, text: str, types: tuple[str, ...] | None, message: str) -> None:
    path = write(tmp_path / ("a.extxyz" if text == OXIDE else "a.lammps-data"), text)
    with pytest.raises(InputError, match=message):
        read_structure(path, types=types)


def test_a_mass_density_that_disagrees_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.extxyz", OXIDE)
    grams = (2 * 55.845 + 2 * 15.999) * 1.66053907 / 216
    read_structure(path, mass_density=grams)
    with pytest.raises(InputError, match="the study says"):
        read_structure(path, mass_density=1.01 * grams)


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("name", ["a.traj", "a.extxyz", "a.pckl", "a.xyz.gz"])
def test_pickles_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for head in (b"", b"PickleTrajectory\n"):
        (tmp_path / name).write_bytes(head + pickle.dumps(_Bomb()))
        with pytest.raises(InputError):
            read_structure(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def complaint(path: Path) -> str:
    """What a user reads when the file cannot be used; anything but a RefineError is a defect and passes through."""
    try:
        read_structure(path)
    except RefineError as error:
        return str(error)
    return ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300), name=st.sampled_from(["a.extxyz", "a.xyz", "a.cif", "POSCAR", "a.pdb", "a.dat"])
)
def test_any_bytes_give_a_system_or_one_line(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert "\n" not in complaint(tmp_path / name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(OXIDE) - 1), length=st.integers(0, 8), text=st.text(max_size=8))
def test_a_damaged_file_gives_a_system_or_one_line(tmp_path: Path, position: int, length: int, text: str) -> None:
    damaged = OXIDE[:position] + text + OXIDE[position + length :]
    (tmp_path / "a.extxyz").write_text(damaged)
    assert "\n" not in complaint(tmp_path / "a.extxyz")


def test_structures_and_frames_import_no_jax() -> None:
    code = (
        "import sys, refine.sampling.structure_files, refine.sampling.frames;"
        "print([m for m in sys.modules if m.split('.')[0] in ('jax', 'jax_md', 'ase')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
