"""What came back of a trajectory, in whatever form, against the frames that were written."""

import tracemalloc
from pathlib import Path

import ase.cell
import ase.io
import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.counting import pair_counts
from refine.sampling.files.energies import read_energies
from refine.sampling.files.reading import in_order, read_trajectory
from refine.system import make_system
from refine.units import BOLTZMANN, PRESSURE_UNIT
from tests import trajectories
from tests.sampling.test_formats import write_history

NUMBERS = {"Si": 14, "O": 29, "Na": 7}
SYSTEM = make_system(NUMBERS, trajectories.CELL)
BINS, REACH = 200, 4.0


def read(*paths, system=SYSTEM, positions=True):
    return read_trajectory(paths, system, n_bins=BINS, r_max=REACH, precision="float64", positions=positions)


def expected(images, cell=trajectories.CELL):
    """Counts of the frames, atoms sorted by species."""
    symbols = np.array(images[0].get_chemical_symbols())
    order = np.argsort([list(NUMBERS).index(one) for one in symbols], kind="stable")
    positions = np.stack([atoms.positions[order] for atoms in images])
    return pair_counts(positions, make_system(NUMBERS, cell), BINS, REACH, "float64")


@pytest.fixture(scope="module")
def images():
    return trajectories.frames()


def test_formats_of_a_triclinic_box_give_the_same_counts(images, tmp_path):
    written = {
        "extxyz": trajectories.write_extxyz(tmp_path / "a.extxyz", images),
        "xdatcar": trajectories.write_xdatcar(tmp_path / "XDATCAR", images),
        "types": trajectories.write_dump(tmp_path / "dump.types", images),
        "elements": trajectories.write_dump(tmp_path / "dump.elements", images, elements=True),
    }
    for path in written.values():
        found = read(path)
        np.testing.assert_array_equal(found.counts, expected(images), err_msg=path.name)
        assert found.notes == ()
        assert np.isnan(found.energy).all()
    assert read(written["types"]).steps.tolist() == [0, 1000, 2000, 3000, 4000]
    assert read(written["extxyz"]).steps.tolist() == [-1] * 5
    assert read(written["extxyz"], positions=False).positions is None


def test_a_box_that_is_turned_and_atoms_that_have_left_it_are_the_same_frames(images, tmp_path):
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turned = []
    for atoms in images:
        other = atoms.copy()
        other.positions += np.random.default_rng(1).integers(-3, 4, size=(len(atoms), 3)) @ atoms.cell.array
        other.set_cell(other.cell.array @ q)
        other.positions = other.positions @ q
        turned.append(other)
    found = read(trajectories.write_extxyz(tmp_path / "turned.extxyz", turned))
    assert np.abs(found.counts - expected(images)).sum() <= 4  # of 6,000 distances some lie on an edge, to 1e-8
    fractional = found.last @ np.linalg.inv(SYSTEM.cell)
    assert np.abs(fractional).max() > 1.0  # as it came


WRITERS = {
    "a.extxyz": trajectories.write_extxyz,
    "XDATCAR": trajectories.write_xdatcar,
    "vasprun.xml": trajectories.write_vasprun,
    "dump": trajectories.write_dump,
    "a.dcd": trajectories.write_dcd,
    "a.xtc": trajectories.write_xtc,
    "a.trr": trajectories.write_trr,
    "a.gro": lambda path, images: write_by_ase(path, images, "gromacs"),
    "a.pdb": lambda path, images: write_by_ase(path, images, "proteindatabank"),
    "HISTORY": write_history,
}


def write_by_ase(path, images, kind):
    """One frame behind the other."""
    texts = []
    for atoms in images:
        ase.io.write(path, atoms, format=kind)
        texts.append(path.read_text())
    path.write_text("".join(texts))
    return path


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_frames_in_another_cell_of_the_lattice_are_those_of_the_study(images, tmp_path, name, turned):
    """The user's own cell comes back, where the study took an upright one, and it may be turned."""
    skew = np.array([[1, 1, 0], [2, 3, 0], [-1, 3, 1]])
    if name == "a.pdb":  # of an angle of 9 degrees its two digits leave nothing
        skew = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]])
    back = []
    for atoms in images:
        other = atoms[np.argsort([list(NUMBERS).index(one) for one in atoms.symbols], kind="stable")]
        other.set_cell(skew @ trajectories.CELL)
        other.wrap()
        if name in ("a.dcd", "a.pdb", "dump"):  # have lengths and angles, or no numbers above the diagonal
            other.set_cell(ase.cell.Cell.fromcellpar(other.cell.cellpar()), scale_atoms=True)
        elif turned:
            other.rotate(70.0, (1, 1, 2), rotate_cell=True)
        back.append(other)
    found = read(WRITERS[name](tmp_path / name, back))
    digits = {"a.pdb": 40, "a.gro": 40, "a.xtc": 40}.get(name, 2)  # distances on the other side of an edge of a bin
    for one, other in zip(found.counts, expected(images), strict=True):
        assert np.abs(np.cumsum(one - other, axis=-1)).max() <= digits
        assert other.sum() > 200
    assert found.notes == ()


def test_energy_and_stress_of_extended_xyz(images, tmp_path):
    from ase.calculators.singlepoint import SinglePointCalculator

    held = []
    for k, atoms in enumerate(images):
        one = atoms.copy()
        one.calc = SinglePointCalculator(one, energy=-float(k), stress=np.array([0.1, 0.2, 0.3, 0.5, 0.5, 0.5]) * k)
        one.set_momenta(np.full((len(one), 3), 0.5))
        held.append(one)
    found = read(trajectories.write_extxyz(tmp_path / "a.extxyz", held))
    np.testing.assert_allclose(found.energy, -np.arange(5.0))
    np.testing.assert_allclose(found.virial, -SYSTEM.volume * 0.6 * np.arange(5.0))
    kinetic = np.sum(0.5**2 / (2 * images[0].get_masses()) * 3)
    np.testing.assert_allclose(found.temperature, 2 * kinetic / (3 * 50 * BOLTZMANN), rtol=1e-6)


def test_files_are_one_trajectory_in_the_order_of_numbers_in_their_names(images, tmp_path):
    for k, number in enumerate((9, 10, 100, 1000, 20000)):
        trajectories.write_dump(tmp_path / f"dump.{number}", images[k : k + 1])
        text = (tmp_path / f"dump.{number}").read_text().replace("ITEM: TIMESTEP\n0\n", f"ITEM: TIMESTEP\n{number}\n")
        (tmp_path / f"dump.{number}").write_text(text)
    found = read(*in_order(sorted(tmp_path.glob("dump.*"))))
    np.testing.assert_array_equal(found.counts, expected(images))
    assert found.steps.tolist() == [9, 10, 100, 1000, 20000]


def test_a_last_frame_that_is_not_whole_is_left_out_and_noted(images, tmp_path):
    whole = trajectories.write_dump(tmp_path / "dump", images)
    lines = whole.read_text().splitlines(keepends=True)
    for cut, name in ((lines[:-7], "lines"), ([*lines[:-1], lines[-1][:-3]], "digits")):
        path = tmp_path / f"dump.{name}"
        path.write_text("".join(cut))
        found = read(path)
        np.testing.assert_array_equal(found.counts, expected(images)[:4])
        assert "is left out" in " ".join(found.notes)
    within = tmp_path / "dump.middle"  # a fault that is not at the end is one
    within.write_text("".join([*lines[:12], "1 1 not a number\n", *lines[13:]]))
    with pytest.raises(InputError, match=r"dump\.middle, frame 1"):
        read(within)


def test_a_job_that_went_on_from_an_earlier_step(images, tmp_path):
    """The frame that it began from is there twice, and what the first job wrote behind it does not count."""
    trajectories.write_dump(tmp_path / "dump.1", images[:4])  # steps 0 to 3000
    text = trajectories.write_dump(tmp_path / "dump.2", images[4:]).read_text()
    (tmp_path / "dump.2").write_text(text.replace("ITEM: TIMESTEP\n0\n", "ITEM: TIMESTEP\n2000\n"))
    found = read(tmp_path / "dump.1", tmp_path / "dump.2")
    np.testing.assert_array_equal(found.counts, expected([images[0], images[1], images[4]]))
    assert found.steps.tolist() == [0, 1000, 2000]
    assert "2 frames behind the step that a later job went on from" in " ".join(found.notes)
    (tmp_path / "dump.2").write_text(text)
    with pytest.raises(InputError, match="step 0 comes behind step 3000"):
        read(tmp_path / "dump.1", tmp_path / "dump.2")
    again = trajectories.write_dump(tmp_path / "again", images[:4])
    assert "4 frames that were there before" in " ".join(read(tmp_path / "dump.1", again).notes)


def many_frames(number):
    """All different."""
    small = trajectories.frames(1)[0]
    found = []
    for k in range(number):
        one = small.copy()
        one.positions += np.random.default_rng(k).uniform(-0.2, 0.2, one.positions.shape)
        found.append(one)
    return found


@pytest.mark.parametrize(("frames", "most", "every"), [(64, 64, 1), (65, 64, 2), (200, 20, 16), (130, 2, 128)])
def test_of_more_frames_than_there_is_room_for_every_so_many_th_is_kept(tmp_path, frames, most, every):
    images = many_frames(frames)
    system = SYSTEM
    path = trajectories.write_dump(tmp_path / "dump", images)
    whole = read_trajectory([path], system, n_bins=BINS, r_max=REACH, precision="float64", positions=True)
    part = read_trajectory([path], system, n_bins=BINS, r_max=REACH, precision="float64", positions=True, most=most)
    assert whole.numbers.tolist() == list(range(frames))
    assert part.numbers.tolist() == list(range(0, frames, every))
    assert part.read == frames
    np.testing.assert_array_equal(part.counts, whole.counts[::every])
    np.testing.assert_array_equal(part.positions, whole.positions[::every])
    np.testing.assert_array_equal(part.last, whole.last)
    assert (f"of {frames} frames one in {every} is taken: there is no room for all" in part.notes) == (every > 1)
    assert 8 <= len(part.looked) <= 16
    for number, positions in part.looked.items():
        np.testing.assert_array_equal(positions, whole.positions[number])
    # energies line by line are of all frames that came, and what is skipped is counted in these, too
    (tmp_path / "energies").write_text("energy\n" + "".join(f"{k}\n" for k in range(frames)))
    known = part.with_energies(read_energies([tmp_path / "energies"], system, 300.0))
    np.testing.assert_array_equal(known.energy, part.numbers)
    rest = known.after(33)
    assert rest.numbers.tolist() == [k for k in range(0, frames, every) if k >= 33]
    np.testing.assert_array_equal(rest.energy, rest.numbers)
    assert min(rest.looked) >= 33


def test_a_long_trajectory_takes_no_more_room_than_a_short_one(tmp_path):
    """Counts of all of its frames would be 7 MB."""
    images, keys = many_frames(100), {"n_bins": 300, "r_max": REACH, "precision": "float64", "positions": False}
    paths = []
    for k in range(10):
        for j, one in enumerate(images):
            one.positions[0] += 0.1 * np.random.default_rng([k, j]).normal(size=3)
        paths.append(trajectories.write_dcd(tmp_path / f"a{k}.dcd", images))
    peaks = []
    for files in (paths[:2], paths):
        tracemalloc.start()
        found = read_trajectory(files, SYSTEM, **keys, most=100)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert found.read > 950
    assert 50 <= len(found) <= 100
    assert peaks[1] < peaks[0] + 5e5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.set_cell(a.cell.array * 1.001, scale_atoms=True), "the box is"),
        (lambda a: a.set_chemical_symbols(["O", *a.get_chemical_symbols()[1:]]), "the study 14 Si, 29 O, 7 Na"),
        (lambda a: a.set_chemical_symbols(["K", *a.get_chemical_symbols()[1:]]), "1 K, the study"),
        (lambda a: a.__delitem__(3), "the study 14 Si, 29 O, 7 Na"),
        (lambda a: a.positions.__setitem__(0, a.positions[1] + 0.01), "closer than"),
        (lambda a: a.positions.__setitem__(0, np.nan), "not a finite number"),
        (lambda a: a.set_pbc(False), "periodic along 0"),
        (lambda a: (a.set_pbc(False), a.set_cell(np.zeros((3, 3)))), "the frame has no cell"),
    ],
)
def test_frames_of_something_else_are_refused(images, tmp_path, change, message):
    broken = [atoms.copy() for atoms in images]
    change(broken[2])
    path = trajectories.write_extxyz(tmp_path / "a.extxyz", broken)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "frame 3" in str(caught.value)


# -- energies ----------------------------------------------------------------------------------------------------------

LOG = """LAMMPS (10 Dec 2025)
units {units}
thermo 100
   Step          Temp          PotEng         c_refine
       0   300.0   -1.0   100.0
     100   300.0   -2.0   200.0
Loop time of 1 on 1 procs
reset_timestep 0
   Step          Temp          PotEng         c_refine
       0   310.0   -3.0   300.0
WARNING: something between the lines
    1000   320.0   -4.0   400.0
    2000   330.0   -5.0   500.0
    3000   330.0   -6.0   500.0
    4000   330.0   -7.0   500.0
Loop time of 1 on 1 procs
"""


def test_a_log_of_lammps_by_steps(images, tmp_path):
    (tmp_path / "log").write_text(LOG.format(units="metal"))
    found = read(trajectories.write_dump(tmp_path / "dump", images))
    found = found.with_energies(read_energies([tmp_path / "log"], SYSTEM, 300.0))
    np.testing.assert_allclose(found.energy, [-3, -4, -5, -6, -7])
    np.testing.assert_allclose(found.temperature, [310, 320, 330, 330, 330], rtol=1e-4)
    bar = 1.0e-4 / PRESSURE_UNIT  # GPa in eV/Å^3
    np.testing.assert_allclose(found.virial, 3 * SYSTEM.volume * bar * np.array([300, 400, 500, 500, 500]), rtol=1e-6)
    (tmp_path / "log").write_text(LOG.format(units="real"))
    again = read_energies([tmp_path / "log"], SYSTEM, 300.0)
    kcal = 4184 / 6.02214076e23 / 1.602176634e-19
    np.testing.assert_allclose(again.energy[-1], -7 * kcal, rtol=1e-6)
    atm = 1.01325e-4 / PRESSURE_UNIT
    np.testing.assert_allclose(again.virial[-1], 3 * SYSTEM.volume * atm * 500, rtol=1e-4)


def test_shear_is_no_part_of_the_virial(images, tmp_path):
    path = trajectories.write_extxyz(tmp_path / "a.extxyz", images)
    lines = path.read_text().splitlines()
    for k in (k for k, line in enumerate(lines) if "Lattice" in line):
        lines[k] += ' stress="1 7 8 7 2 9 8 9 3"'
    path.write_text("\n".join([*lines, ""]))
    np.testing.assert_allclose(read(path).virial, -6.0 * SYSTEM.volume, rtol=1e-6)


def test_a_log_of_energies_per_atom_is_refused(tmp_path):
    (tmp_path / "log").write_text("thermo_modify lost error norm yes\n" + LOG.format(units="metal"))
    with pytest.raises(InputError, match="per atom"):
        read_energies([tmp_path / "log"], SYSTEM, 300.0)


def test_a_log_with_the_pressure_of_lammps_itself(tmp_path):
    """With its kinetic part, f k T/3V of f = 3 N - 3, which is not the virial's."""
    text = LOG.replace("c_refine", "Press   ").format(units="metal")
    (tmp_path / "log").write_text(text)
    found = read_energies([tmp_path / "log"], SYSTEM, 300.0)
    bar = 1.0e-4 / PRESSURE_UNIT
    total = SYSTEM.volume * bar * 500 - 49 * BOLTZMANN * 330
    np.testing.assert_allclose(found.virial[-1], 3 * total, rtol=1e-4)


def test_tables_with_names(images, tmp_path):
    path = tmp_path / "energies.csv"
    path.write_text(
        "step, energy [eV], pressure [GPa], other\n" + "".join(f"{1000 * k},{-k},0.5,7\n" for k in range(5))
    )
    energies = read_energies([path], SYSTEM, 200.0)
    found = read(trajectories.write_dump(tmp_path / "dump", images)).with_energies(energies)
    np.testing.assert_allclose(found.energy, -np.arange(5.0))
    assert np.isnan(found.temperature).all()
    kinetic = 50 * BOLTZMANN * 200.0
    np.testing.assert_allclose(found.virial, 3 * (0.5 / PRESSURE_UNIT * SYSTEM.volume - kinetic), rtol=1e-12)
    path.write_text("# energy (eV) virial (eV)\n" + "".join(f"{-k} 2.0\n" for k in range(5)))
    plain = read(trajectories.write_extxyz(tmp_path / "a.extxyz", images))
    found = plain.with_energies(read_energies([path], SYSTEM, 200.0))
    np.testing.assert_allclose(found.virial, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("1 2 3\n", "no table with names"),
        ("step other\n0 1\n", "no energy and no pressure"),
        ("step energy [kJ/mol]\n0 1\n", "energy is in kJ/mol; write it in eV"),
        ("step energy\n0 1\n1\n", "line 3: should be 2 numbers"),
        ("step energy\n0 nan\n", "not finite"),
        ("step energy\n" + "".join(f"{k} 1\n" for k in range(5)), "no line of step 1000"),
        ("energy\n1\n2\n", "2 lines for 5 frames"),
        (LOG.format(units="lj"), "its units are 'lj'"),
        ("Step Temp PotEng\n0 1 2\n", "does not say its units"),
    ],
)
def test_energies_that_do_not_belong_to_the_frames_are_refused(images, tmp_path: Path, text, message):
    (tmp_path / "energies").write_text(text)
    found = read(trajectories.write_dump(tmp_path / "dump", images))
    with pytest.raises(InputError) as caught:
        found.with_energies(read_energies([tmp_path / "energies"], SYSTEM, 300.0))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["log", "table", "no steps"])
def test_lines_of_no_frame_take_no_memory(images, tmp_path, kind):
    """A log of every step: 50,000 lines for five frames; kept as numbers they would be 1 MB, as text more."""
    path, lines = tmp_path / "energies", 50_000
    with path.open("w") as stream:
        if kind == "log":
            stream.write("units metal\n   Step          Temp          PotEng         c_refine\n")
        else:
            stream.write("step energy virial\n" if kind == "table" else "energy virial other\n")
        for k in range(lines):
            stream.write(f"{k} 300.0 {-k} 100.0\n" if kind == "log" else f"{k} {-k} 100.0\n")
    found = read(trajectories.write_dump(tmp_path / "dump", images))
    tracemalloc.start()
    energies = read_energies([path], SYSTEM, 300.0, steps=found.steps, most=found.read)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e5
    assert energies.lines == lines
    assert len(energies) == 5
    if kind == "no steps":
        with pytest.raises(InputError, match="50000 lines for 5 frames"):
            found.with_energies(energies)
    else:
        np.testing.assert_allclose(found.with_energies(energies).energy, -1000.0 * np.arange(5))


def test_of_a_step_twice_the_later_line_counts_in_a_file_and_among_files(images, tmp_path):
    found = read(trajectories.write_dump(tmp_path / "dump", images))
    for name, first in (("a", 0), ("b", 10)):
        rows = [f"{1000 * k} {first + k + more}" for more in (0, 100) for k in range(5)]
        (tmp_path / name).write_text("\n".join(["step energy", *rows]))
    paths = [tmp_path / "a", tmp_path / "b"]
    for steps in (found.steps, None):
        energies = read_energies(paths, SYSTEM, 300.0, steps=steps)
        np.testing.assert_allclose(found.with_energies(energies).energy, 110.0 + np.arange(5))


def test_a_file_that_is_one_line_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "energies"
    path.write_text("step energy\n" + "1 " * 200_000)
    with pytest.raises(InputError, match="line 2: a line of 100000 characters or more"):
        read_energies([path], SYSTEM, 300.0)
