"""`refine step`: a run whose frames are made elsewhere, in commands that each end, and what may not come back.

Frames are those of jax (`tests.elsewhere`), or of a LAMMPS that runs the very input that was written.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import ase.io
import numpy as np
import pytest
from typer.testing import CliRunner

import refine
from refine import Study
from refine.cli.main import app
from refine.errors import InputError
from refine.progress import NullProgress
from refine.refinement.inference.posterior import band
from refine.results.result import Result
from refine.sampling.averages import standard_error
from refine.sampling.files.energies import read_energies
from refine.sampling.frames import Frames
from refine.study.schema import StudyConfig
from refine.tasks.frames import write_frames
from refine.tasks.run import store
from refine.tasks.step import Waiting, step
from refine.tasks.step.returned import _check_temperature
from refine.units import BOLTZMANN
from tests import elsewhere, small_box
from tests.commands import call, refused
from tests.listening import Told

FILES = 'sampling.engine="files"'
LMP = str(Path(sys.executable).with_name("lmp"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small box, whose frames are made elsewhere."""
    return of_files(small_box.write(tmp_path)).parent


def of_files(study: Path) -> Path:
    study.write_text(study.read_text().replace("[sampling]", '[sampling]\nengine = "files"'))
    return study


def taken(folder: Path, *changes: str, out: str = "out", **keywords: object) -> Waiting | Result:
    """A step of the study in a folder."""
    study = Study(StudyConfig.from_toml(folder / "study.toml", changes))
    return step(study, folder / out, **{"progress": NullProgress(), **keywords})


def driven(folder: Path, *changes: str, bring: Callable[[Waiting], dict], out: str = "out") -> Result:
    """Steps until the run has ended. bring: what comes back of an order, as `step` takes it."""
    found = taken(folder, *changes, out=out)
    while isinstance(found, Waiting):
        found = taken(folder, *changes, out=out, **bring(found))
    return found


def by_jax(folder: Path, **keywords: object) -> Callable[[Waiting], dict]:
    def bring(waiting: Waiting) -> dict:
        to = waiting.step / "85K" / "back.extxyz"
        run = waiting.step.parent.parent
        elsewhere.bring(folder / "study.toml", run, to, seed=waiting.samples + 1, **keywords)
        return {"trajectories": [str(to)]}

    return bring


def by_lammps(waiting: Waiting) -> dict:
    """What the input that was written makes, as it stands."""
    found: dict[str, list[str]] = {"trajectories": [], "energies": []}
    for state in sorted(path for path in waiting.step.iterdir() if path.is_dir()):
        for at in sorted(path.parent for path in state.rglob("in.lammps")):
            lammps(at)
        where = state / "r*" if (state / "r1").is_dir() else state
        found["trajectories"].append(f"{state.name}={where / 'dump.lammpstrj'}")
        found["energies"].append(f"{state.name}={where / 'log.refine*'}")
    return found


def lammps(folder: Path, script: str = "in.lammps", log: str = "log.refine") -> str:
    done = subprocess.run([LMP, "-in", script, "-log", log], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


def stored(folder: Path, out: str = "out") -> tuple:
    """What run.h5 holds, to be compared."""
    run = store.load(folder / out / "run.h5")
    record = run.record.to_json()
    for name in ("seconds", "seconds_sampling"):
        record.pop(name)
    for row in record["iterations"]:
        row["seconds_sampling"] = row["seconds_solving"] = 0.0
    return json.dumps(record, sort_keys=True), [one["frames"]["0000"]["counts"].sum() for one in run.samples]


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_a_run_of_steps_is_a_run(folder: Path) -> None:
    found = driven(folder, bring=by_jax(folder))
    assert isinstance(found, Result)
    assert [row.frames for row in found.iterations] == [40, 40, 40]
    assert sorted(path.name for path in (folder / "out" / "steps").iterdir()) == ["000", "001", "002"]
    assert (folder / "out" / "report.html").is_file()
    opened = refine.open(folder / "out")
    np.testing.assert_array_equal(opened.correction.theta, found.correction.theta)
    run = store.load(folder / "out" / "run.h5")
    frames = store.sample_of(run.samples[0], Study.from_toml(folder / "study.toml").initial_correction())[0].frames[0]
    images = ase.io.read(folder / "out" / "steps" / "000" / "85K" / "back.extxyz", ":")
    np.testing.assert_allclose(frames.energy, [one.get_potential_energy() for one in images])
    last = ase.io.read(write_frames(folder / "out", sample="base").path)
    apart = last.positions - images[-1].positions
    cell = last.cell.array
    np.testing.assert_allclose(apart - np.round(apart @ np.linalg.inv(cell)) @ cell, 0.0, atol=1e-7)
    start = ase.io.read(folder / "out" / "steps" / "001" / "85K" / "structure.extxyz")
    np.testing.assert_allclose(start.positions, last.positions, atol=1e-6)  # a sample begins where one ended
    assert "has ended" in refused("step", folder / "out", "--trajectory", folder / "out/steps/002/85K/back.extxyz")


@pytest.mark.slow
def test_the_rules_that_take_frames_of_others(folder: Path) -> None:
    rules = {
        "ibi": ['refinement.method="ibi"', 'data.0.role="score"', 'data.1.role="fit"'],
        "epsr": ['refinement.method="epsr"'],
        "difftre": ['refinement.method="difftre"'],
        "difftre-base": ['refinement.method="difftre"', 'refinement.parameters=["epsilon","sigma"]'],
    }
    for name, changes in rules.items():
        changes = [*changes, "refinement.iterations=1"]
        found = driven(folder, *changes, bring=by_jax(folder, overrides=tuple(changes)), out=name)
        assert len(found.iterations) == 2
    parameters = found.summary.parameters
    assert parameters is not None
    for method, words in (("rmc", "moves atoms"), ("backprop", "differentiates through the dynamics")):
        more = ["refinement.moves=2", "refinement.minimum_distances={ Ar-Ar = 2.8 }"] if method == "rmc" else []
        with pytest.raises(InputError, match=words):
            taken(folder, f'refinement.method="{method}"', *more)


def test_without_energies_everything_but_pressures_is_there(folder: Path) -> None:
    found = driven(folder, "refinement.iterations=1", bring=by_jax(folder, energies=False))
    assert found.states[0].pressure_GPa is None
    assert found.final.r_chi["sq"] is not None
    pressure = '\n[[data]]\nname = "p"\nquantity = "pressure"\nvalue = 0.0\nsigma = 0.01\n'
    (folder / "study.toml").write_text(
        (folder / "study.toml").read_text().replace("\n[model]\n", f"{pressure}[model]\n")
    )
    waiting = taken(folder, out="fitted")
    assert isinstance(waiting, Waiting)
    back = by_jax(folder, energies=False)(waiting)
    with pytest.raises(InputError, match="p is fitted, and energy or virial of a frame are not known; give a log"):
        taken(folder, out="fitted", **back)
    taken(folder, out="fitted", **by_jax(folder)(waiting))
    # what the page and the terminal say of going on does go on
    said = next(part for part in found.message.split("; ") if "refine step" in part)
    command = said.partition("refine ")[2].replace("OUT", str(folder / "out")).split()
    assert command[-1] == "refinement.iterations=2"
    assert said in (folder / "out" / "report.html").read_text()
    assert "waiting for frames" in call(*command)


# -- nothing lost, nothing twice ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_command_given_again_does_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is killed: before anything is stored, between sample, update and orders, before the report."""
    driven(folder, bring=by_jax(folder))
    whole = stored(folder)

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    run = "refine.tasks.run.loop.Run"
    at = ([f"{run}.sample"], [f"{run}.update"], ["refine.tasks.step.write_orders", f"{run}.report"])
    waiting = taken(folder, out="parts")
    kills = 0
    while isinstance(waiting, Waiting):
        back = by_jax(folder)(waiting)
        now = waiting
        for where in at:
            with monkeypatch.context() as patch:
                for one in where:
                    patch.setattr(one, killed)
                try:
                    now = taken(folder, out="parts", **back)
                except Killed:
                    kills += 1
                    continue
            break
        if now is waiting:
            now = taken(folder, out="parts", **back)
        waiting = now
    assert kills == 9
    assert stored(folder, "parts") == whole


def test_the_orders_are_whole_or_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        taken(folder)
    assert [path.name for path in (folder / "out" / "steps").iterdir()] == [".000.part"]
    monkeypatch.undo()
    waiting = taken(folder)
    assert [path.name for path in (folder / "out" / "steps").iterdir()] == ["000"]
    text = (waiting.step / "README.txt").read_text()
    (waiting.step / "README.txt").write_text("mine")
    assert taken(folder).step == waiting.step
    assert (waiting.step / "README.txt").read_text() == "mine"  # what somebody has put there stays
    assert "48 frames, 40 fs apart" in text


def test_frames_that_were_taken_are_refused(folder: Path) -> None:
    first = taken(folder)
    back = by_jax(folder)(first)
    second = taken(folder, **back)
    before = stored(folder)
    late = by_jax(folder)(second)["trajectories"][0]
    shutil.copy(late, first.step / "85K" / "late.extxyz")
    with pytest.raises(InputError, match="this file lies in the folder of step 000, and step 001 is waited for"):
        taken(folder, trajectories=[str(first.step / "85K" / "late.extxyz")])
    copy = folder / "elsewhere.extxyz"
    shutil.copy(back["trajectories"][0], copy)
    with pytest.raises(InputError, match=r"frame \d+: it is frame 1 of sample 0, which was taken"):
        taken(folder, trajectories=[str(copy)])
    assert stored(folder) == before
    assert isinstance(taken(folder, trajectories=[late]), Waiting)


def test_a_potential_that_cannot_be_sampled_is_taken_back(folder: Path) -> None:
    told = Told()
    first = taken(folder)
    with pytest.raises(Exception, match="all flew apart"):
        taken(folder, failed="all flew apart")  # of the base model there is nothing to go back to
    second = taken(folder, **by_jax(folder)(first))
    third = taken(folder, failed="all flew\n apart", progress=told)
    assert third.step.name == "001-2"
    assert "iteration 1: a longer step was taken back (all flew apart)" in told.lines
    tables = [(one.step / "85K" / "Ar-Ar.csv").read_text() for one in (second, third)]
    assert tables[0] != tables[1]
    assert isinstance(taken(folder, **by_jax(folder)(third)), Waiting)


# -- what came back is judged ------------------------------------------------------------------------------------------


def edited(path: Path, change: Callable[[list], Sequence]) -> list[str]:
    """Frames of a file, changed, in another one."""
    images = list(change(ase.io.read(path, ":")))
    to = path.with_name("edited.extxyz")
    ase.io.write(to, images, format="extxyz")
    return [str(to)]


def hot(images: list) -> list:
    for one in images:
        one.set_momenta(
            np.random.default_rng(1).normal(size=(108, 3)) * np.sqrt(one.get_masses() * 95 * 8.617e-5)[:, None]
        )
    return images


def test_what_cannot_be_the_sample_is_one_line_and_changes_nothing(folder: Path) -> None:
    waiting = taken(folder)
    back = Path(by_jax(folder)(waiting)["trajectories"][0])
    before = stored(folder)

    def says(words: str, **keywords: object) -> None:
        with pytest.raises(InputError) as caught:
            taken(folder, **keywords)
        assert words in str(caught.value)
        assert stored(folder) == before

    says("3 frames that count; give at least 4; 48 are wanted", trajectories=edited(back, lambda a: a[:3]))
    says("0 frames that count", trajectories=[str(back)], skip=50)
    says("and the state 85 K; sample at the temperature", trajectories=edited(back, hot))
    says(
        "the box is",
        trajectories=edited(back, lambda a: [one.repeat(1) if k else _wider(one) for k, one in enumerate(a)]),
    )
    says("the frame has 107 Ar, the study 108 Ar", trajectories=edited(back, lambda a: [one[1:] for one in a]))
    says("no such file", trajectories=[str(folder / "nothing*")])
    says("files of 2 folders, and the step waits for one trajectory", trajectories=[str(back), str(folder / "sq.csv")])
    says("without a trajectory it means nothing", energies=[str(back)])
    says("a trajectory, and that there is none", trajectories=[str(back)], failed="why")
    copy = back.with_name("copy.extxyz")
    shutil.copy(back, copy)
    found = taken(folder, trajectories=[str(back), str(copy)])  # frames of a file that is there twice count once
    assert "40 frames that were there before are left out" in " ".join(found.notes)


def _wider(atoms: ase.Atoms) -> ase.Atoms:
    other = atoms.copy()
    other.set_cell(other.cell.array * 1.01, scale_atoms=True)
    return other


def test_frames_that_still_drift_do_not_count(folder: Path) -> None:
    """A start that was not equilibrated, in front of 40 frames that are."""
    waiting = taken(folder)
    far = by_jax(folder, overrides=("sampling.stride=60",), picoseconds=4.0)
    back = Path(far(waiting)["trajectories"][0])
    crystal = ase.io.read(back, 0)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = (grid[:, None] + np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])).reshape(-1, 3) / 3
    crystal.set_scaled_positions(sites)
    rng, begin = np.random.default_rng(1), []
    for k in range(10):
        one = crystal.copy()
        one.positions += rng.normal(scale=0.05 + 0.02 * k, size=(108, 3))
        begin.append(one)
    files = edited(back, lambda images: [*begin, *(one.copy() for one in images)])
    found = taken(folder, trajectories=files)
    run = store.load(folder / "out" / "run.h5")
    (kept,) = {len(run.samples[0]["frames"]["0000"]["energy"])}
    assert 34 <= kept <= 44  # where most independent frames are left
    assert f"85K: the first {50 - kept} of 50 frames still drift, and do not count" in found.notes
    asked = taken(folder, out="asked")
    found = taken(folder, out="asked", trajectories=files, skip=12)
    assert isinstance(asked, Waiting)
    assert "85K: the first 12 of 50 frames do not count, as asked" in found.notes
    assert "85K: 38 frames came back, 48 were wanted" in found.notes


def test_states_and_replicas(folder: Path) -> None:
    text = (folder / "study.toml").read_text().replace("replicas = 1", "replicas = 2")
    text = text.replace("temperature = 85.0\n", 'temperature = 85.0\n[[states]]\nname = "95K"\ntemperature = 95.0\n')
    (folder / "study.toml").write_text(
        text.replace('name = "sq"', 'name = "sq"\nstate = "85K"').replace('name = "gr"', 'name = "gr"\nstate = "85K"')
    )
    waiting = taken(folder)
    orders = json.loads((waiting.step / "step.json").read_text())
    assert [one["folders"] for one in orders["states"]] == [["85K/r1", "85K/r2"], ["95K/r1", "95K/r2"]]
    assert [one["temperature_K"] for one in orders["states"]] == [85.0, 95.0]
    starts = [ase.io.read(waiting.step / "85K" / f"r{k}" / "structure.extxyz").positions for k in (1, 2)]
    assert np.abs(starts[0] - starts[1]).max() > 1.0
    for s, state in enumerate(("85K", "95K")):
        for k, frames in ((1, 20), (2, 15)):
            elsewhere.bring(
                folder / "study.toml",
                folder / "out",
                waiting.step / state / f"r{k}" / "back.extxyz",
                state=s,
                frames=frames,
                seed=10 * s + k,
                overrides=("sampling.replicas=1",),
            )
    given = [f"{state}={waiting.step / state}/*/back.extxyz" for state in ("85K", "95K")]
    with pytest.raises(InputError, match="there is no trajectory of 95K"):
        taken(folder, trajectories=given[:1])
    with pytest.raises(InputError, match="the study has several states; give --trajectory STATE=FILES"):
        taken(folder, trajectories=[str(waiting.step / "85K" / "*" / "back.extxyz")])
    with pytest.raises(InputError, match="files of 1 folders, and the step waits for 2 trajectories"):
        taken(folder, trajectories=[given[0], f"95K={waiting.step / '95K' / 'r1'}/back.extxyz"])
    shutil.copy(waiting.step / "85K" / "r1" / "back.extxyz", waiting.step / "85K" / "r2" / "other.extxyz")
    twice = [f"85K={waiting.step / '85K'}/r1/*.extxyz", f"85K={waiting.step / '85K'}/r2/other.extxyz", given[1]]
    with pytest.raises(InputError, match=r"back\.extxyz, frame 1, too; give each trajectory once"):
        taken(folder, trajectories=twice)
    found = taken(folder, "sampling.keep=5", trajectories=given)
    assert isinstance(found, Waiting)
    frames = store.load(folder / "out" / "run.h5").samples[0]["frames"]
    assert np.bincount(frames["0000"]["replica"]).tolist() == [20, 15]
    kept = ase.io.read(folder / "out" / "frames" / "0-85K.extxyz", ":")
    assert [(one.info["replica"], one.info["frame"]) for one in kept] == [(0, f) for f in (5, 10, 15, 20)] + [
        (1, f) for f in (5, 10, 15)
    ]


# -- what is written ---------------------------------------------------------------------------------------------------


def test_the_input_that_is_written_runs_and_its_energies_are_those_of_the_potential(folder: Path) -> None:
    waiting = taken(folder, **by_jax(folder)(taken(folder)))  # with a correction
    back = by_lammps(waiting)
    images = ase.io.read(waiting.step / "85K" / "dump.lammpstrj", ":", specorder=["Ar"])
    assert len(images) == 24  # half as many as the study says, far from the data
    calculator = refine.awaited_calculator(folder / "out")
    rows = [line.split() for line in (waiting.step / "85K" / "log.refine").read_text().splitlines()]
    energies = {int(row[0]): float(row[2]) for row in rows if len(row) == 4 and row[0].isdecimal()}
    for k in (0, 23):
        images[k].set_chemical_symbols(["Ar"] * 108)
        images[k].calc = calculator
        assert images[k].get_potential_energy() == pytest.approx(energies[8 * k], abs=2e-5)
    assert isinstance(taken(folder, **back), Waiting)
    frames = store.load(folder / "out" / "run.h5").samples[1]["frames"]["0000"]
    np.testing.assert_allclose(frames["energy"], [energies[8 * k] for k in range(24)])
    error = standard_error(frames["temperature"])
    assert abs(frames["temperature"].mean() - 85.0) < 5 * error
    stress = [-np.trace(one.get_stress(voigt=False)) * one.get_volume() for one in images[:1]]
    np.testing.assert_allclose(frames["virial"][0], stress[0], atol=2e-3)


@pytest.mark.parametrize(("thermostat", "freedom"), [("langevin", 324), ("nose-hoover", 321)])
def test_the_temperature_of_the_log_is_that_of_all_that_moves(folder: Path, thermostat: str, freedom: int) -> None:
    """K = f kT/2: Langevin's friction moves the whole of 108 atoms, Nosé and Hoover's chain does not. And the virial is
    the same whether the log has it, or LAMMPS' own pressure."""
    waiting = taken(folder, f'sampling.thermostat="{thermostat}"', "sampling.frames=10", "sampling.equilibration=0.1")
    at = waiting.step / "85K"
    text = (
        (at / "in.lammps").read_text().replace("custom step temp pe c_refine", "custom step temp pe c_refine ke press")
    )
    (at / "in.lammps").write_text(text)
    lammps(at)
    rows = [line.split() for line in (at / "log.refine").read_text().splitlines()]
    read = np.array([[float(row[1]), float(row[4])] for row in rows if len(row) == 6 and row[0].isdecimal()])
    assert len(read) > 4
    np.testing.assert_allclose(read[:, 1], 0.5 * freedom * BOLTZMANN * read[:, 0], rtol=1e-5)
    (at / "other.log").write_text(re.sub(r"(Step .*)c_refine", r"\1c_other", (at / "log.refine").read_text()))
    assert "c_other" in (at / "other.log").read_text()
    system = Study.from_toml(folder / "study.toml").systems[0]
    known, again = (read_energies([at / name], system, 85.0).virial for name in ("log.refine", "other.log"))
    np.testing.assert_allclose(again, known, atol=1e-4)


def test_a_piece_is_judged_by_the_whole_that_it_was_cut_from(folder: Path) -> None:
    """Frames that were chosen because others drift may be warm by the choice; what is warm throughout is not."""
    study = Study.from_toml(folder / "study.toml")
    rng, n = np.random.default_rng(3), 400

    def frames(kelvin: float) -> Frames:
        zeros = np.zeros(n)
        return Frames(
            np.zeros((n, 1, 2)), zeros, zeros, rng.normal(kelvin, 6.7, n), zeros.astype(int), 5.0, (108,), 5000.0
        )

    _check_temperature(study, 0, [frames(92.0), frames(87.0)], "dump")
    for given in ([frames(92.0)], [frames(92.0), frames(91.0)]):
        with pytest.raises(InputError, match=r"the frames have 9[12]\.\d ± 0\.\d K, and the state 85 K"):
            _check_temperature(study, 0, given, "dump")


def test_a_job_that_was_ended_is_gone_on_with(folder: Path) -> None:
    waiting = taken(folder)
    at = waiting.step / "85K"
    whole = (at / "in.lammps").read_text()
    (at / "in.lammps").write_text(whole.replace("\nrun 376", "\nrun 200"))
    lammps(at)
    assert "run 376 upto" in (at / "continue.lammps").read_text()
    lammps(at, "continue.lammps", "log.refine-2")
    found = taken(folder, trajectories=[f"{at}/dump.lammpstrj"], energies=[f"{at}/log.refine*"])
    assert len(store.load(folder / "out" / "run.h5").samples[0]["frames"]["0000"]["energy"]) == 48
    assert "frames behind the step that a later job went on from are left out" in " ".join(found.notes)


GLASS = """
title = "Silica"
[system]
species = { Si = 24, O = 48 }
number_density = 0.066
[[states]]
name = "glass"
temperature = 3000.0
phase = "solid"
[[schedule]]
temperature = 5000.0
picoseconds = 0.2
[[schedule]]
temperature = 5000.0
to = 3000.0
picoseconds = 0.2
timestep = 0.5
[[data]]
name = "sq"
file = "sq.csv"
quantity = "S(Q)"
radiation = "neutron"
fit_q = [0.5, 11.0]
[model]
base = "pedone-2006"
r_cut = 4.4
[correction]
r_cut = 4.4
[sampling]
engine = "files"
timestep = 1.0
frames = 12
stride = 10
equilibration = 0.2
thermostat = "nose-hoover"
"""


def test_charges_schedules_and_keys_that_are_left_open(folder: Path) -> None:
    (folder / "study.toml").write_text(GLASS)
    found = taken(folder)
    at = found.step / "glass"
    script = (at / "in.lammps").read_text()
    assert "# 5000 to 3000 K in 0.2 ps" in script
    assert "timestep 0.0005" in script
    lammps(at)
    images = ase.io.read(at / "dump.lammpstrj", ":")
    assert len(images) == 12
    images[-1].calc = refine.awaited_calculator(folder / "out", "glass")
    rows = [line.split() for line in (at / "log.refine").read_text().splitlines()]
    energy = next(float(row[2]) for row in reversed(rows) if row[:1] == ["110"])
    assert images[-1].get_potential_energy() == pytest.approx(energy, abs=5e-3)
    taken(folder, trajectories=[f"{at}/dump.lammpstrj"], energies=[f"{at}/log.refine"])


METAL = """
title = "Aluminium"
[system]
species = { Al = 108 }
number_density = 0.055
[[states]]
name = "1000K"
temperature = 1000.0
[[data]]
name = "sq"
file = "sq.csv"
quantity = "S(Q)"
radiation = "neutron"
fit_q = [0.5, 11.0]
[model]
@MODEL@
[correction]
r_min = 1.8
r_cut = 5.5
[sampling]
engine = "files"
timestep = 2.0
frames = 10
stride = 5
equilibration = 0.2
reequilibration = 0.1
time_constant = 0.02
"""

EMT = 'base = "ase"\ncalculator = "ase.calculators.emt:EMT"'


def test_a_base_of_lammps_is_in_its_own_lines(folder: Path) -> None:
    model = 'base = "lammps"\nfiles = ["Al_zhou.eam.alloy"]\n'
    model += 'commands = """\npair_style eam/alloy\npair_coeff * * Al_zhou.eam.alloy Al\n"""'
    (folder / "study.toml").write_text(METAL.replace("@MODEL@", model))
    found = taken(folder)
    assert (found.step / "1000K" / "Al_zhou.eam.alloy").is_file()
    assert isinstance(taken(folder, **by_lammps(found)), Waiting)


def test_a_base_that_lammps_has_not(folder: Path) -> None:
    """The LAMMPS input stops before it samples the correction alone."""
    (folder / "study.toml").write_text(METAL.replace("@MODEL@", EMT))
    found = taken(folder)
    at = found.step / "1000K"
    assert "LAMMPS lacks base 'ase'" in (found.step / "README.txt").read_text()
    if shutil.which(LMP):
        done = subprocess.run(
            [LMP, "-in", "in.lammps", "-log", "none"], cwd=at, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert not (at / "dump.lammpstrj").exists()


@pytest.mark.slow
def test_the_script_for_ase_runs(folder: Path) -> None:
    (folder / "study.toml").write_text(METAL.replace("@MODEL@", EMT))
    found = taken(folder)
    at = found.step / "1000K"
    subprocess.run([sys.executable, "run_ase.py"], cwd=at, check=True, capture_output=True)
    images = ase.io.read(at / "trajectory.extxyz", ":")
    assert len(images) == 10
    second = taken(folder, trajectories=[str(at / "trajectory.extxyz")])
    frames = store.load(folder / "out" / "run.h5").samples[0]["frames"]["0000"]
    np.testing.assert_allclose(frames["energy"], [one.get_potential_energy() for one in images])
    assert np.isfinite(frames["virial"]).all()
    assert isinstance(second, Waiting)
    atoms = ase.io.read(second.step / "1000K" / "structure.extxyz")
    atoms.calc = refine.awaited_calculator(folder / "out")
    together = atoms.get_potential_energy()
    sys.path.insert(0, str(second.step / "1000K"))
    try:
        from ase.calculators.emt import EMT as Emt
        from ase.calculators.mixing import SumCalculator
        from correction import Correction

        atoms.calc = SumCalculator([Emt(), Correction()])
        assert atoms.get_potential_energy() == pytest.approx(together, abs=1e-6)
    finally:
        sys.path.remove(str(second.step / "1000K"))
        sys.modules.pop("correction", None)


@pytest.mark.parametrize("title", ['quotes """ and &', "$(shell)"])
def test_a_title_is_no_command(folder: Path, title: str) -> None:
    text = (folder / "study.toml").read_text().replace('title = "A small box"', f"title = {json.dumps(title)}")
    (folder / "study.toml").write_text(text)
    found = taken(folder)
    at = found.step / "85K"
    assert "units metal" in lammps(at, log="log.lammps") + (at / "log.lammps").read_text()
    assert len(ase.io.read(at / "dump.lammpstrj", ":")) == 48
    subprocess.run(["sh", "-n", "submit.sh"], cwd=at, check=True)


@pytest.mark.slow
def test_it_agrees_with_lammps_in_this_process(folder: Path) -> None:
    """g(r) and pressure of the base model, and the correction after the fit, within 5 standard errors."""
    changes = ["sampling.frames=400", "sampling.equilibration=10.0", "sampling.reequilibration=3.0"]
    changes += ["refinement.iterations=6", "sampling.stride=20"]
    by_files = driven(folder, *changes, bring=by_lammps)
    inside = Study.from_toml(folder / "study.toml", [*changes, 'sampling.engine="lammps"']).run(folder / "inside")
    frames = [
        store.sample_of(store.load(folder / out / "run.h5").samples[0], inside.correction)[0].frames[0]
        for out in ("out", "inside")
    ]
    wide = [one.merged(10).within(8.0) for one in frames]
    g, errors = (
        np.array([one.pair_distribution()[0] for one in wide]),
        [standard_error(one.counts[:, 0] / np.maximum(one.ideal_counts()[0], 1e-12)) for one in wide],
    )
    seen = np.hypot(*errors) > 0
    z = (g[0] - g[1])[seen] / np.hypot(*errors)[seen]
    assert np.abs(z).max() < 5
    assert np.sqrt(np.mean(z**2)) < 2
    first, second = by_files.states[0], inside.states[0]
    error = np.hypot(first.pressure_initial_GPa_stderr, second.pressure_initial_GPa_stderr)
    assert abs(first.pressure_initial_GPa - second.pressure_initial_GPa) < 5 * error
    r = np.linspace(3.4, 6.4, 61)
    stated = [store.load(folder / out / "run.h5").record.answer.statement for out in ("out", "inside")]
    stderr = [band(one.correction, said.covariance, r)[0] for one, said in zip((by_files, inside), stated, strict=True)]
    apart = (by_files.correction.energy(r)[0] - inside.correction.energy(r)[0]) / np.hypot(*stderr)
    assert np.abs(apart).max() < 5
    assert by_files.final.r_chi["sq"] < by_files.initial.r_chi["sq"]


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command(folder: Path) -> None:
    study, out = folder / "study.toml", folder / "out"
    said = call("step", study, "--out", out)
    assert "waiting for frames" in said
    assert f"refine step {out} --trajectory" in said
    assert call("step", out).splitlines()[-2:] == said.splitlines()[-2:]
    back = by_jax(folder)(Waiting(out / "steps" / "000", "", 0, ()))["trajectories"][0]
    assert "steps/001" in call("step", out, "--trajectory", back)
    assert "there is no run" in refused("step", folder, "--trajectory", back)
    assert "use that, or set engine" in refused("step", study, "--out", folder / "x", "--set", "sampling.engine=jax")
    assert "engine files" in call("check", study)
    (out / "steps" / "000" / "README.txt").unlink()
    assert "steps/000" in call("step", study, "--out", out, "--overwrite")
    assert sorted(path.name for path in (out / "steps").iterdir()) == ["000"]
    assert (out / "steps" / "000" / "README.txt").is_file()


def test_nothing_else_samples_and_says_so(folder: Path) -> None:
    study = folder / "study.toml"
    many = folder / "campaign.toml"
    loop = folder / "explore.toml"
    model = "[model]\nnew = true\n[new]\nchannels = 2\n"
    loop.write_text(f'study = "study.toml"\n{model}[label]\nbase = "stillinger-weber"\n')
    there = sorted(folder.iterdir())
    for words in (
        ["run", study, "--out", folder / "x"],
        ["predict", study, "--out", folder / "x"],
        ["compare", study, "--out", folder / "x"],
        ["diagnose", study, "--out", folder / "x"],
        ["enrich", study, "--out", folder / "x"],
        ["prepare", study, "--out", folder / "x.extxyz"],
        ["explore", loop, "--out", folder / "x"],
        ["sensitivity", study, "--of", "sq:S(Q)@2.0", "--parameter", "Ar-Ar@3.7", "--out", folder / "x"],
    ):
        said = refused(*words)
        assert "made elsewhere" in said, words
        assert "refine step" in said, words
        assert sorted(folder.iterdir()) == there, words
    for task in ("run", "compare", ["prepare", "run"]):
        many.write_text(f'study = "study.toml"\n[run]\ntask = {json.dumps(task)}\n[grid]\n"sampling.seed" = [1, 2]\n')
        assert "made elsewhere" in refused("campaign", many, "--out", folder / "x")
        assert sorted(folder.iterdir()) == sorted([*there, many])
    # a key of the grid may choose another engine
    many.write_text('study = "study.toml"\n[grid]\n"sampling.engine" = ["files", "jax"]\n')
    said = CliRunner().invoke(app, ["campaign", str(many), "--out", str(folder / "x"), "--dry-run"]).output
    assert "2 points, 1 of them refused" in said
