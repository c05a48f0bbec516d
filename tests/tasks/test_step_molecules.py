"""`refine step` of molecules: LAMMPS runs the very input that was written, and what comes back is counted as inside of
refine."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.counting import counts_of_pairs, pair_counts
from refine.sampling.files.energies import read_energies
from refine.sampling.lammps.in_process import InProcess
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.tasks.run import store
from refine.tasks.step import Waiting
from refine.units import BOLTZMANN
from tests.molecules import CHAIN, SPCE, chains, water, written
from tests.tasks.test_step import by_lammps, lammps, taken

STUDY = """
[system]
structure = "box.data"
{sites}
[[states]]
name = "l"
temperature = 300.0
[[data]]
name = "g"
file = "g.csv"
quantity = "g(r)"
pair = {pair}
q_range = [0.0, 15.0]
fit_r = [2.0, 5.5]
role = "fit"
[model]
base = "lammps"
topology = "box.data"
{held}
units = "{units}"
commands = '''{commands}'''
[correction]
r_cut = 6.0
{acts}
[sampling]
engine = "files"
thermostat = "{thermostat}"
timestep = 1.0
stride = 20
frames = 12
time_constant = 0.05
equilibration = 1.0
reequilibration = 0.2
[refinement]
iterations = 3
"""

KINDS = {
    "rigid": {"held": 'rigid = "molecules"', "thermostat": "langevin"},
    "widened": {
        "held": 'rigid = "molecules"\nintramolecular = { O-H = [0.98, 0.07], H-H = 0.1 }',
        "thermostat": "langevin",
    },
    "shake": {"held": "shake = { bonds = [1], angles = [1] }", "thermostat": "nose-hoover"},
    "free": {"held": "", "thermostat": "langevin"},
    "chains": {"held": "", "thermostat": "langevin"},
}


SLOW = ("free", "widened")


def dumped(path: Path) -> np.ndarray:
    """Positions (F, N, 3) Å of a dump whose atoms are sorted."""
    lines = path.read_text().splitlines()
    n = int(lines[3])
    frames = [lines[k + 9 : k + 9 + n] for k in range(0, len(lines), n + 9)]
    return np.array([[row.split()[-3:] for row in frame] for frame in frames], float)


def study_of(folder: Path, kind: str, **more: str) -> Path:
    """A study of 64 molecules of water, or of 27 chains whose ends are a site of their own."""
    r = np.arange(1.0, 6.2, 0.05)
    text = "".join(f"{x:.3f},{1 - np.exp(-((x / 2.7) ** 8)) + 0.3 * np.exp(-((x - 3) ** 2) / 0.1):.5f}\n" for x in r)
    (folder / "g.csv").write_text(f"r,g\n{text}")
    if kind == "chains":
        written(folder, chains(3, 24.0))
        keys = {"sites": 'structure_species = ["C:a", "C:b"]', "pair": '["C:a", "C:b"]', "units": "metal"}
        keys["commands"] = CHAIN
    else:
        written(folder, water())
        keys = {"sites": "", "pair": '["O", "O"]', "commands": SPCE, "units": "real"}
    (folder / "study.toml").write_text(STUDY.format(**{"acts": "", **keys, **KINDS[kind], **more}))
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in KINDS])
def test_the_input_runs_as_it_stands_and_is_the_potential_of_the_engine(tmp_path: Path, kind: str) -> None:
    folder = study_of(tmp_path, kind)
    first = taken(folder)
    assert isinstance(first, Waiting)
    second = taken(folder, **by_lammps(first))
    assert isinstance(second, Waiting)
    lammps(second.step / "l")
    # the same potential and frames, inside of refine
    run = store.load(folder / "out" / "run.h5")
    inside = Study(StudyConfig.from_toml(folder / "study.toml", ['sampling.engine="lammps"']))
    inside = inside.decided(run.record.choices)
    correction = run.record.potential.correction(inside.initial_correction())
    assert np.abs(correction.theta).max() > 0.0
    field, _ = inside.samplers()[0]
    mover = InProcess(inside.systems[0], inside.force_field_params(field, 0, correction))
    frames = dumped(second.step / "l" / "dump.lammpstrj")
    system, bonded = inside.systems[0], field.molecules
    energies = read_energies([second.step / "l" / "log.refine"], system, 300.0, bonded.constraints)
    assert len(frames) == 12 * run.record.frames_factor
    for positions, energy in zip(frames, energies.energy[-len(frames) :], strict=True):
        assert mover.evaluate(positions).energy == pytest.approx(energy, abs=2e-4)
    # what is read back: counts of both kinds, of the same frames
    before = store.sample_of(run.samples[0], inside.initial_correction())[0].frames[0]
    positions = dumped(first.step / "l" / "dump.lammpstrj")[-len(before) :]
    counts = pair_counts(positions, system, before.counts.shape[2], before.r_max, inside.settings.precision)
    within = counts_of_pairs(positions, system, bonded.pairs, bonded.share, counts, before.r_max)
    np.testing.assert_array_equal(before.felt.counts, counts - within)
    assert before.bonded.sum() > 0
    if kind != "widened":
        np.testing.assert_array_equal(before.counts, counts)
        np.testing.assert_array_equal(before.bonded, within)
        return
    np.testing.assert_allclose(before.bonded.sum(axis=2), within.sum(axis=2), rtol=1e-4)
    t = before.bonded[0, 1, 1:] / before.centres[1:]  # a Gaussian in T(r), where the rigid shape has a point at 1.00
    mean = np.average(before.centres[1:], weights=t)
    spread = np.sqrt(np.average((before.centres[1:] - mean) ** 2, weights=t))
    np.testing.assert_allclose((mean, spread), (0.98, 0.07), atol=0.003)


@pytest.mark.parametrize("kind", ["rigid", "shake"])
def test_temperature_and_pressure_are_those_of_what_moves(tmp_path: Path, kind: str) -> None:
    """LAMMPS' own pressure, which counts the degrees of freedom that are left, and p V = N k T + W/3 of all atoms."""
    waiting = taken(study_of(tmp_path, kind))
    at = waiting.step / "l"
    for name in ("in.lammps", "continue.lammps"):
        script = (at / name).read_text().replace("custom step temp pe", "custom step temp pe press")
        (at / name).write_text(script)
    lammps(at)
    study = Study.from_toml(tmp_path / "study.toml")
    system, held = study.systems[0], 3 * 64
    both = read_energies([at / "log.refine"], system, 300.0, held)
    text = (at / "log.refine").read_text()
    (at / "log.press").write_text(text.replace("c_refine", "c_other "))
    other = read_energies([at / "log.press"], system, 300.0, held)
    np.testing.assert_allclose(both.virial, other.virial, atol=4 * BOLTZMANN * 300.0)  # 3 kT of the whole box' momentum
    assert 240.0 < both.temperature[-12:].mean() < 360.0
    # a job that was ended goes on
    lammps(at, "continue.lammps", "log.more")
    assert len(dumped(at / "dump.lammpstrj")) > 12


def test_atoms_in_another_order_are_refused(tmp_path: Path) -> None:
    """Molecules would be mixed up: counts of all pairs do not show it, and those within molecules would be others."""
    waiting = taken(study_of(tmp_path, "rigid"))
    start = ase.io.read(waiting.step / "l" / "structure.extxyz")
    images = []
    for k in range(6):
        one = start.copy()
        one.positions += 0.02 * np.random.default_rng(k).normal(size=one.positions.shape)
        images.append(one[[*range(64), *range(127, 63, -1), *range(128, 192)]])
    ase.io.write(tmp_path / "a.extxyz", images)
    with pytest.raises(InputError, match=r"bonds of the study have other lengths.*order of structure.data"):
        taken(tmp_path, trajectories=[str(tmp_path / "a.extxyz")])


def test_what_lammps_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = study_of(tmp_path, "rigid", thermostat="nose-hoover")
    with pytest.raises(InputError, match="no thermostat 'nose-hoover' for rigid molecules"):
        taken(folder)
    assert not (folder / "out" / "steps").exists()


def test_the_orders_say_on_what_the_correction_acts(tmp_path: Path) -> None:
    waiting = taken(study_of(tmp_path, "rigid"))
    text = (waiting.step / "README.txt").read_text()
    assert "It acts on pairs within a molecule as special_bonds of the study says" in text
    assert "Atoms keep their order" in text
    assert not (waiting.step / "l" / "correction.py").exists()  # which acts on all pairs
    everywhere = tmp_path / "everywhere"
    everywhere.mkdir()
    waiting = taken(study_of(everywhere, "rigid", acts='molecules = "all"'))
    assert "special_bonds of the study" not in (waiting.step / "README.txt").read_text()
    assert (waiting.step / "l" / "correction.py").exists()
