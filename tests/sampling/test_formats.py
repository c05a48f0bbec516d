"""Files of other programs: the same frames in each format give the same counts, and labels give their elements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ase
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refine.errors import InputError
from refine.sampling.asked import cell_of, labels_of
from refine.sampling.elements import Naming
from refine.sampling.structure_files import read_structure
from refine.sampling.trajectories import CountedTrajectory, count_trajectory
from refine.study.schema import StudyConfig
from refine.study.systems import read_systems
from tests.trajectories import CELL, frames, write_dump, write_extxyz, write_xdatcar

SPECIES, WIDTH = ("Si", "O", "Na"), 0.05
LABELS = {"Si": "Si4+", "O": "OB1", "Na": "NA"}
GIVEN = {"NA": "Na"}
CUBE = 11.5 * np.eye(3)


def counted(path: Path, **options) -> CountedTrajectory:
    return count_trajectory(path, WIDTH, species=SPECIES, **options)


def apart(found: CountedTrajectory, expected: CountedTrajectory) -> float:
    """Pairs in other bins, of all frames."""
    assert found.frames.counts.shape == expected.frames.counts.shape
    return float(np.abs(found.frames.counts - expected.frames.counts).sum() / 2)


def numbers(row: Sequence[float]) -> str:
    return "".join(f"{x:20.10f}" for x in row)


def write_config(path: Path, image: ase.Atoms, level: int = 0, ends: str = "\n") -> Path:
    lines = ["a melt", f"{level:10d}{3:10d}{len(image):10d}", *map(numbers, image.cell.array)]
    for k, (symbol, position) in enumerate(zip(image.symbols, image.positions, strict=True), 1):
        lines += [f"{LABELS[symbol]:8s}{k:10d}", numbers(position), *[numbers((0.5, -1.25, 3.0))] * level]
    path.write_bytes((ends.join(lines) + ends).encode())
    return path


def write_history(path: Path, images: Sequence[ase.Atoms], level: int = 0, header: bool = True) -> Path:
    lines = ["a melt", f"{level:10d}{3:10d}{len(images[0]):10d}{len(images):21d}{0:21d}"] if header else []
    for step, image in enumerate(images):
        lines.append(f"timestep {100 * step:9d}{len(image):10d}{level:10d}{3:10d}{0.001:12.6f}{0.1 * step:12.6f}")
        lines += list(map(numbers, image.cell.array))
        for k, (symbol, position) in enumerate(zip(image.symbols, image.positions, strict=True), 1):
            lines.append(f"{LABELS[symbol]:8s}{k:10d}{12.0:12.6f}{-1.0:12.6f}{0.0:12.6f}")
            lines += [numbers(position), *[numbers((0.5, -1.25, 3.0))] * level]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_rmc6f(path: Path, image: ase.Atoms, bracket: bool = False, spin: bool = False, vectors: bool = True) -> Path:
    lengths = " ".join(f"{x:.8f}" for x in image.cell.cellpar())
    lines = ["(Version 6f format configuration file)", "Metadata owner:     nobody", f"Number of atoms: {len(image)}"]
    lines += ["Supercell dimensions:  2 2 2", f"Cell (Ang/deg): {lengths}"]
    if vectors:
        lines += ["Lattice vectors (Ang):", *(" ".join(f"{x:.8f}" for x in row) for row in image.cell.array)]
    lines.append("Atoms:")
    for k, (symbol, site) in enumerate(zip(image.symbols, image.get_scaled_positions(), strict=True), 1):
        tag = f" [{k % 3 + 1}]" if bracket else ""
        end = "  M:  0.5 0.0 0.1" if spin else ""
        lines.append(f"{k:6d} {LABELS[symbol]:>4s}{tag} {' '.join(f'{x:.9f}' for x in site)} {k:5d} 0 1 0{end}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_ato(path: Path, image: ase.Atoms, edges: Sequence[float] | None = None, footer: bool = True) -> Path:
    """Molecules of one atom and more, with restraints over two lines, and groups that turn in the first one."""
    size = f"{image.cell.array[0, 0]:.8E}" if edges is None else ""
    lines = [f"{len(image) - 2:8d} {size} 0.3000E+03"]
    if edges is not None:
        lines += [" ".join(f"{x:.8E}" for x in edges), "0.9E+02 0.0E+00 0.0E+00"]
    lines.append("  " + "  ".join(["0.10000E+00"] * 10))
    groups = [range(3), *([k] for k in range(3, len(image)))]
    for group in groups:
        centre = image.positions[group[0]] + 0.25
        lines.append(f"{len(group):5d} {' '.join(f'{x:.8E}' for x in centre)} 0.0E+00 0.0E+00 0.0E+00  F   0   1")
        for k in group:
            lines += [f" {LABELS[image.symbols[k]]:6s} 1 0", " ".join(f"{x:.8E}" for x in image.positions[k] - centre)]
            many = len(group) > 1
            lines += ["  7" + "  2 0.9E+00" * 5, "  3 -.15E+01" * 2] if many else ["  0"]
        if len(group) > 1:
            lines += ["  2", " ROT", " 1 2", "   2   2   3", " DIH", " 1 2", "  1", " 4 0.1E+01", "  1  3"]
        else:
            lines.append("  0")
    if footer:
        for symbol, label in LABELS.items():
            lines += [f" {label:4s} {symbol:3s} 0", " 0.6E+00 0.3E+01 0.16E+02 -0.8E+00 0.0E+00"]
        lines += [" 0.1E+01 0.0E+00", " Atomic number density =   0.03"]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_gro(path: Path, images: Sequence[ase.Atoms], decimals: int = 3, title: str = "melt t= 0.0") -> Path:
    width = decimals + 5
    lines = []
    for image in images:
        a, b, c = image.cell.array / 10
        lines += [title, f"{len(image):5d}"]
        for k, (symbol, r) in enumerate(zip(image.symbols, image.positions / 10, strict=True), 1):
            name = {"Si": "SI", "O": "OB1", "Na": "NA"}[symbol]
            lines.append(f"{k:5d}{'MOL':5s}{name:>5s}{k:5d}" + "".join(f"{x:{width}.{decimals}f}" for x in r))
        box = (a[0], b[1], c[2], a[1], a[2], b[0], b[2], c[0], c[1])
        lines.append(" ".join(f"{x:.10f}" for x in box))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_pdb(path: Path, images: Sequence[ase.Atoms], ends: str, *, once: bool, elements: bool = True) -> Path:
    """ends: ENDMDL, END or both behind each frame, or nothing behind the last.  once: the cell, above all frames."""
    lines = []
    for number, image in enumerate(images):
        if number == 0 or not once:
            lines.append("CRYST1" + "{:9.3f}{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:7.2f} P 1".format(*image.cell.cellpar()))
        lines += [f"MODEL     {number + 1:4d}"] if "ENDMDL" in ends else []
        for k, (symbol, r) in enumerate(zip(image.symbols, image.positions, strict=True), 1):
            name, column = f"{symbol.upper():>2s}  ", f"{symbol.upper():>2s}" if elements else "  "
            x = "".join(f"{value:8.3f}" for value in r)
            lines.append(f"ATOM  {k:5d} {name} MOL     1    {x}  1.00  0.00          {column}")
        lines += ends.split()
    if ends == "ENDMDL":
        lines.append("END")
    path.write_text("\n".join(lines) + "\n")
    return path


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("header", [True, False])
def test_history(tmp_path: Path, level: int, header: bool) -> None:
    images = frames(3)
    expected = counted(write_extxyz(tmp_path / "a.xyz", images))
    for name in ("HISTORY", "run7.his"):
        found = counted(write_history(tmp_path / name, images, level, header))
        assert found.read == 3
        assert apart(found, expected) <= 2
    np.testing.assert_allclose(found.system.cell, CELL, atol=1e-7)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_config(tmp_path: Path, level: int) -> None:
    """CL and NA are no carbon and nitrogen, and the file may have any name."""
    (image,) = frames(1)
    expected = counted(write_extxyz(tmp_path / "a.xyz", [image]))
    for name, ends in (("CONFIG", "\n"), ("REVCON", "\n"), ("melt.cfg", "\r\n")):
        path = write_config(tmp_path / name, image, level, ends)
        assert apart(counted(path), expected) <= 2
        assert read_structure(path, species=SPECIES).n_per_species == (14, 29, 7)
        with pytest.raises(InputError, match=r"label 'NA' may be N or Na; say it: --elements NA=Na"):
            read_structure(path)
        assert set(read_structure(path, elements=GIVEN).species) == set(SPECIES)


@pytest.mark.parametrize(
    "options", [{}, {"bracket": True}, {"spin": True}, {"vectors": False}, {"bracket": True, "spin": True}]
)
def test_rmc6f(tmp_path: Path, options: dict[str, bool]) -> None:
    (image,) = frames(1, cell=CUBE if options.get("vectors") is False else CELL)
    expected = counted(write_extxyz(tmp_path / "a.xyz", [image]))
    path = write_rmc6f(tmp_path / "a.rmc6f", image, **options)
    assert apart(counted(path), expected) <= 2
    assert read_structure(path, species=SPECIES).n_per_species == (14, 29, 7)


@pytest.mark.parametrize("edges", [None, (11.5, 11.5, 11.5)])
@pytest.mark.parametrize("footer", [True, False])
def test_ato(tmp_path: Path, edges: Sequence[float] | None, footer: bool) -> None:
    (image,) = frames(1, cell=CUBE)
    expected = counted(write_extxyz(tmp_path / "a.xyz", [image]))
    path = write_ato(tmp_path / "a.ato", image, edges, footer)
    assert apart(counted(path), expected) <= 2
    if footer:  # the file says what NA is
        assert set(read_structure(path).species) == set(SPECIES)


@pytest.mark.parametrize("decimals", [3, 5, 7])
@pytest.mark.parametrize("title", ["melt t= 0.0", ""])
def test_gro_of_several_frames(tmp_path: Path, decimals: int, title: str) -> None:
    images = frames(3)
    for image in images:
        image.positions = image.positions.round(decimals - 1)
    expected = counted(write_extxyz(tmp_path / "a.xyz", images))
    path = write_gro(tmp_path / "a.gro", images, decimals, title)
    found = counted(path)
    assert found.read == 3
    assert apart(found, expected) <= 4
    last = read_structure(path, species=SPECIES)
    order = np.argsort([SPECIES.index(s) for s in images[-1].symbols], kind="stable")
    np.testing.assert_allclose(last.positions, images[-1].positions[order], atol=1e-6)
    path.write_text(path.read_text()[:-300])
    with pytest.raises(InputError, match=r"frame 3: .*the file ends in the middle of a frame; .*--last 2"):
        counted(path)


@pytest.mark.parametrize("ends", ["ENDMDL", "END", "ENDMDL END"])
@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("elements", [True, False])
def test_pdb_of_several_models(tmp_path: Path, ends: str, once: bool, elements: bool) -> None:
    """As trajectory and, the last of them, as structure; ENDMDL and a last END leave no model without atoms."""
    images = frames(3, cell=CUBE)
    for image in images:
        image.positions = image.positions.round(3)
    expected = counted(write_extxyz(tmp_path / "a.xyz", images))
    path = write_pdb(tmp_path / "a.pdb", images, ends, once=once, elements=elements)
    found = counted(path)
    assert found.read == 3
    assert apart(found, expected) <= 4
    last = read_structure(path, species=SPECIES)
    order = np.argsort([SPECIES.index(s) for s in images[-1].symbols], kind="stable")
    np.testing.assert_allclose(last.positions, images[-1].positions[order], atol=1e-6)


def test_a_last_model_without_an_end_counts(tmp_path: Path) -> None:
    path = write_pdb(tmp_path / "a.pdb", frames(2, cell=CUBE), "END", once=True)
    path.write_text(path.read_text().removesuffix("END\n"))
    assert counted(path).read == 2


def test_xyz_without_a_cell(tmp_path: Path) -> None:
    images = frames(3)
    expected = counted(write_extxyz(tmp_path / "a.xyz", images))
    rows = [
        f"{len(image)}\n i = {k}, time = {0.5 * k:.3f}, E = -17.25\n"
        + "".join(
            f" {s} {x:.9f} {y:.9f} {z:.9f}\n" for s, (x, y, z) in zip(image.symbols, image.positions, strict=True)
        )
        for k, image in enumerate(images)
    ]
    path = tmp_path / "melt-pos-1.xyz"
    path.write_text("".join(rows))
    with pytest.raises(InputError, match="frame 1: the frame has no cell; give it: --cell A,B,C"):
        counted(path)
    found = counted(path, cell=CELL)
    assert (found.read, apart(found, expected) <= 2) == (3, True)
    with pytest.raises(InputError, match="the frame has a cell; leave --cell out"):
        counted(tmp_path / "a.xyz", cell=CELL)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("12.5", np.diag([12.5] * 3)),
        ("12,10,8", np.diag([12, 10, 8])),
        ("12,10,8,90,90,90", np.diag([12, 10, 8])),
        ("2,0,0,1,3,0,0,0,4", np.array([[2, 0, 0], [1, 3, 0], [0, 0, 4]])),
        ("10,10,10,90,90,60", np.array([[10, 0, 0], [5, 5 * 3**0.5, 0], [0, 0, 10]])),
    ],
)
def test_cells_of_the_command_line(text: str, cell: np.ndarray) -> None:
    np.testing.assert_allclose(cell_of(text), cell, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1,2",
        "0",
        "-12",
        "nan",
        "inf,1,1",
        "10,10,10,30,30,120",
        "10,10,10,90,90,200",
        "1,0,0,1,0,0,0,0,1",
        "5," * 12,
        "9,9,-9",
    ],
)
def test_what_is_no_cell(text: str) -> None:
    with pytest.raises(InputError, match="--cell: "):
        cell_of(text)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.rmc6f", "(Version 6f format configuration file)\nAtoms:\n1 Si 0 0 0\n", "no lattice vectors and no cell"),
        ("a.ato", "1000 0.31E+02 0.3E+03\n0 0 0\n 1 0 0 0\n O 1 0\n 0 0 0\n 0\n 0\n", "ends in the middle"),
        ("a.ato", "1 2 3 4\n", "are not molecules, edge"),
        ("a.ato", "1 0.3E+03\n9 9 9\n90 5 0\n", "not rectangular"),
        ("CONFIG", "t\n0 4 2\n9 0 0\n0 9 0\n0 0 9\nSi 1\n0 0 0\nO 2\n2 2 2\n", "no parallelepiped"),
        ("CONFIG", "t\n0 0 2\nSi 1\n0 0 0\nO 2\n2 2 2\n", "the frame has no cell"),
        ("CONFIG", "t\n1 3 2\n9 0 0\n0 9 0\n0 0 9\nSi 1\n0 0 0\n1 1 1\nO 2\n2 2 2\n", "ends in the middle"),
        ("HISTORY", "t\n0 3 1\ntimestep 1 99999999 0 3 0.1\n9 0 0\n0 9 0\n0 0 9\nSi 1\n0 0 0\n", "ends in the middle"),
        ("HISTORY", "t\n3 3 1\ntimestep 1 1 3 3 0.1\n9 0 0\n0 9 0\n0 0 9\nSi 1\n0 0 0\n", "trajectory key 3"),
        ("a.gro", "t\n1\n    1SOL     OW    1   0.000\n 1 1 1\n", "not three coordinates"),
        ("a.gro", "t\n-1\n    1SOL     OW    1   0.000\n 1 1 1\n", "not readable as gromacs"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        count_trajectory(tmp_path / name, WIDTH)
    assert "\n" not in str(caught.value)


def test_a_cell_that_contradicts_itself(tmp_path: Path) -> None:
    path = write_rmc6f(tmp_path / "a.rmc6f", frames(1)[0])
    path.write_text(path.read_text().replace("Cell (Ang/deg): 11", "Cell (Ang/deg): 12"))
    with pytest.raises(InputError, match="contradict each other"):
        read_structure(path, species=SPECIES)


WHOLE = {"a.rmc6f": write_rmc6f, "CONFIG": write_config, "a.ato": write_ato}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(WHOLE)), at=st.floats(0, 1), length=st.integers(0, 30), text=st.text(max_size=8))
def test_a_damaged_file_is_counted_or_refused_in_one_line(
    tmp_path: Path, name: str, at: float, length: int, text: str
) -> None:
    path = WHOLE[name](tmp_path / name, frames(1, cell=CUBE)[0])
    good = path.read_text()
    cut = int(at * len(good))
    path.write_text(good[:cut] + text + good[cut + length :], encoding="utf-8")
    assert "\n" not in complaint(path)


def complaint(path: Path) -> str:
    """What a user reads; anything but an InputError is a defect and passes through."""
    try:
        read_structure(path, species=SPECIES)
    except InputError as error:
        return str(error)
    return ""


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "stated", "element"),
    [
        *((label, (), "Fe") for label in ("Fe", "Fe2+", "Fe+2", "Fe3+", "Fe1", "Fe_up", "Fe(1)", "Iron")),
        *((label, (), "O") for label in ("O2-", "O-2", "O1-", "O-", "OW", "O_w", "OB", "ow", "O1a", "O'")),
        *((label, (), "H") for label in ("HW", "HW1", "Hw2", "1HB")),
        *((label, (), "H:D") for label in ("D", "D1", "DW")),
        *((label, (), "Si") for label in ("Si4+", "Si4", "Si_b", "Silicon")),
        *((label, ("Na", "Cl"), "Na") for label in ("NA", "NA+", "Na+", "na", "SOD", "sodium")),
        ("CL", ("Ca", "Cl"), "Cl"),
        ("CLA", ("Na", "Cl"), "Cl"),
        ("CA", ("C", "H"), "C"),
        ("Ca", ("C", "H"), "Ca"),  # a symbol is a symbol
    ],
)
def test_labels(label: str, stated: tuple[str, ...], element: str) -> None:
    assert Naming({}, stated).elements([label], "file", "extxyz") == [element]


@pytest.mark.parametrize(
    "label", ["CA", "NA", "SI", "CL", "FE", "POT", "X", "Va", "shl", "opls_135", "1", "T1", "MW", "?"]
)
def test_labels_that_say_no_element(label: str) -> None:
    with pytest.raises(InputError, match=r"file: .*label .*say it: --elements .* structure_elements") as caught:
        Naming().elements(["O", label], "file", "extxyz")
    assert "\n" not in str(caught.value)
    assert Naming({label: "Kr"}).elements(["O", label], "file", "extxyz") == ["O", "Kr"]


def test_labels_of_the_command_line() -> None:
    assert labels_of("OW=O, HW=H,1=Si,a=b=N,Dw=D") == {"OW": "O", "HW": "H", "1": "Si", "a=b": "N", "Dw": "H"}
    for text in ("", "OW", "OW=", "=O", "OW=Q", "OW=O,OW=H", "OW=O,"):
        with pytest.raises(InputError, match="--elements: "):
            labels_of(text)


def labelled(images: Sequence[ase.Atoms]) -> str:
    """XYZ with a label in the second column, behind a number, and one behind the positions."""
    text = ""
    for image in images:
        lattice = " ".join(f"{x:.9f}" for x in image.cell.array.ravel())
        text += f'{len(image)}\nLattice="{lattice}" Properties=id:I:1:species:S:1:pos:R:3:site:S:1 pbc="T T T"\n'
        for k, (symbol, r) in enumerate(zip(image.symbols, image.positions, strict=True)):
            text += f"{k} {LABELS[symbol]} {' '.join(f'{x:.9f}' for x in r)} A{k}\n"
    return text


def test_labels_of_extended_xyz(tmp_path: Path) -> None:
    images = frames(2)
    expected = counted(write_extxyz(tmp_path / "a.xyz", images))
    path = tmp_path / "labels.xyz"
    path.write_text(labelled(images))
    assert apart(counted(path), expected) <= 2
    with pytest.raises(InputError, match="label 'NA' may be N or Na; say it: --elements NA=Na"):
        count_trajectory(path, WIDTH)
    assert apart(counted(path, elements=GIVEN), expected) <= 2
    with pytest.raises(InputError, match="no atom is labelled 'OW'; the labels are"):
        counted(path, elements={"OW": "O"})
    assert set(read_structure(path, elements=GIVEN).species) == set(SPECIES)


@pytest.mark.parametrize("column", ["element", "typelabel", "type"])
def test_labels_of_a_dump(tmp_path: Path, column: str) -> None:
    images = frames(2)
    expected = counted(write_extxyz(tmp_path / "a.xyz", images))
    path = write_dump(tmp_path / "a.dump", images)
    lines = []
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("ITEM: ATOMS"):
            line = "ITEM: ATOMS id x y z " + ("type " if column == "element" else "") + column
        elif len(words) == 5:
            label = LABELS[SPECIES[int(words[1]) - 1]]
            line = " ".join([words[0], *words[2:], *([words[1]] if column == "element" else []), label])
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")
    assert apart(counted(path), expected) <= 2
    assert apart(counted(path, elements=GIVEN), expected) <= 2
    with pytest.raises(InputError, match="label 'NA' may be N or Na"):
        count_trajectory(path, WIDTH)
    with pytest.raises(InputError, match="the file names its elements; leave --species out, or use --elements"):
        counted(path, types=SPECIES)


def test_atom_types_are_labels_where_elements_are_given(tmp_path: Path) -> None:
    images = frames(2)
    path = write_dump(tmp_path / "a.dump", images)
    expected = counted(path, types=SPECIES)
    assert apart(counted(path, elements={"1": "Si", "2": "O", "3": "Na"}), expected) == 0
    with pytest.raises(InputError, match="label '3' does not say which element it is"):
        counted(path, elements={"1": "Si", "2": "O"})
    with pytest.raises(InputError, match="--species and --elements are both given"):
        counted(path, types=SPECIES, elements={"1": "Si"})


def test_labels_of_an_xdatcar(tmp_path: Path) -> None:
    images = frames(2)
    path = write_xdatcar(tmp_path / "XDATCAR", images)
    expected = counted(path)
    kinds = list(dict.fromkeys(images[0].get_chemical_symbols()))
    path.write_text(path.read_text().replace(" ".join(kinds), " ".join(f"{kind}_pv/1f3a" for kind in kinds)))
    assert apart(counted(path), expected) == 0


def test_elements_of_a_format_without_labels(tmp_path: Path) -> None:
    path = write_pdb(tmp_path / "a.pdb", frames(1, cell=CUBE), "END", once=True)
    assert set(read_structure(path, elements={"NA": "K"}).species) == {"Si", "O", "K"}
    text = path.read_text().replace("          NA\n", "           D\n")
    path.write_text(text)
    assert set(read_structure(path).species) == {"Si", "O", "H"}


def test_labels_of_the_structure_of_a_study(tmp_path: Path) -> None:
    (image,) = frames(1)
    (tmp_path / "start.xyz").write_text(labelled([image]))
    text = STUDY.replace("NUMBERS", 'structure_elements = { NA = "Na" }')
    (tmp_path / "study.toml").write_text(text)
    (system,) = read_systems(StudyConfig.from_toml(tmp_path / "study.toml"))
    assert dict(zip(system.species, system.n_per_species, strict=True)) == {"Si": 14, "O": 29, "Na": 7}
    (tmp_path / "study.toml").write_text(STUDY.replace("NUMBERS", ""))
    with pytest.raises(InputError, match=r"label 'NA' may be N or Na; .* structure_elements = { NA = \"Na\" }"):
        read_systems(StudyConfig.from_toml(tmp_path / "study.toml"))


STUDY = """
[system]
structure = "start.xyz"
NUMBERS
[[states]]
name = "melt"
temperature = 1500
[[data]]
name = "n"
role = "predict"
quantity = "S(Q)"
radiation = "neutron"
q_range = [1, 10]
score_r = [1, 4]
[model]
base = "lennard-jones"
parameters = { epsilon = 0.01, sigma = 2.5 }
[correction]
r_cut = 4.5
"""

LAMMPS = """labels

3 atoms
2 atom types
0 8 xlo xhi
0 8 ylo yhi
0 8 zlo zhi

Atom Type Labels

1 {0}
2 {1}

Atoms # atomic

1 {2} 0 0 0
2 {3} 3 3 3
3 {2} 3 3 0
"""


@pytest.mark.parametrize("rows", [("1", "2"), None])
def test_labels_of_lammps_data(tmp_path: Path, rows: tuple[str, str] | None) -> None:
    path = tmp_path / "a.data"
    path.write_text(LAMMPS.format("HW", "O2-", *(rows or ("HW", "O2-"))))
    system = read_structure(path)
    assert (system.species, system.n_per_species) == (("H", "O"), (2, 1))
    path.write_text(LAMMPS.format("CA", "OW", *(rows or ("CA", "OW"))))
    with pytest.raises(InputError, match="label 'CA' may be C or Ca"):
        read_structure(path)
    assert read_structure(path, elements={"CA": "Ca"}).species == ("Ca", "O")
    path.write_text(path.read_text().replace("Atom Type", "Masses\n\n1 40.078\n2 15.999\n\nAtom Type"))
    assert read_structure(path).species == ("Ca", "O")
