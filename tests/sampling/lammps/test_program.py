"""LAMMPS as a program, alone and under MPI: the same blocks as in this process, and what is left when it dies."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from refine.errors import InputError, ProgramError, SimulationError
from refine.sampling.external.mover import Motion, Start
from refine.sampling.lammps.in_process import InProcess
from refine.sampling.lammps.potential import LammpsPotential
from refine.sampling.lammps.program import COMMAND, Program, command
from refine.sampling.momenta import maxwell_boltzmann
from refine.study.study import Study
from refine.system import System
from tests.potentials.classical.direct import CELLS, random_box

ARGON = LammpsPotential(("pair_style lj/cut 7.0", "pair_coeff * * 0.0103 3.4"))
SALT = LammpsPotential(
    (
        *("set type 1 charge 1.0", "set type 2 charge -1.0", "pair_style born/coul/long 7.0 7.0"),
        *("pair_coeff * * 1000.0 0.317 2.7 10.0 0.0", "kspace_style ewald 1e-6"),
    )
)
LANGEVIN = Motion("langevin", 0.5, 2.0)


@pytest.fixture(scope="module")
def salt() -> System:
    system = random_box({"Na": 40, "Cl": 40}, CELLS["triclinic"], 2.2)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    return System(system.species, system.n_per_species, system.cell @ turn, system.masses, system.positions @ turn)


def start_of(system: System, temperature: float = 300.0) -> Start:
    momenta = maxwell_boltzmann(system.masses, temperature, [1, 0])
    return Start(system.positions, momenta, temperature, 11)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_block_is_that_of_lammps_in_this_process(salt: System, processes: int) -> None:
    """To rounding while the trajectories are short: with one process random numbers are the same, too."""
    inside, outside = InProcess(salt, SALT), Program(salt, SALT, processes, 1)
    relaxed = inside.relaxed(salt.positions, 200, 0.1)
    start = start_of(salt)._replace(positions=relaxed)
    motion = LANGEVIN if processes == 1 else Motion("nose-hoover", 0.5, 2.0)
    ours, theirs = (m.walk(start, motion, 4, 5, observe=True, where=(0, 0)) for m in (inside, outside))
    for name in set(ours._fields) - {"memory"}:  # which knows how many processes there are
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), rtol=1e-6, atol=1e-6, err_msg=name)
    again = outside.walk(start, motion, 4, 5, observe=False, where=(0, 0))
    np.testing.assert_array_equal(again.positions, theirs.positions)
    assert np.isnan(again.energy).all()
    one, other = inside.evaluate(relaxed), outside.evaluate(relaxed)
    assert other.energy == pytest.approx(one.energy, rel=1e-9)
    np.testing.assert_allclose(other.forces, one.forces, atol=1e-8)


def test_overlaps_are_taken_out(salt: System) -> None:
    outside = Program(salt, SALT, 1, 1)
    relaxed = outside.relaxed(salt.positions, 100, 0.1)
    assert outside.evaluate(relaxed).energy < outside.evaluate(salt.positions).energy - 1.0


def test_what_lammps_says_comes_out_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    system = random_box({"Ar": 30}, CELLS["orthorhombic"], 3.0)
    with pytest.raises(SimulationError, match=r"^steps 7 to 107, replica 2: LAMMPS stopped: .*nonsense"):
        Program(system, LammpsPotential(("pair_style nonsense",)), 1, 1).walk(
            start_of(system), LANGEVIN, 10, 10, observe=True, where=(7, 2)
        )
    with pytest.raises(InputError, match="constant pressure needs LAMMPS in this process"):
        Program(system, ARGON, 1, 1).squeeze(start_of(system), LANGEVIN, 1, 0.0, 0.1, where=(0, 0))
    assert list(tmp_path.iterdir()) == []


DIES = """
import os, signal, sys
name = sys.argv[sys.argv.index("-log") + 1]
print("LAMMPS (22 Jul 2025)", flush=True)
HOW
"""


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "a process was ended by SIGKILL"),
        ("print('=   KILLED BY SIGNAL (signal 11)'); sys.exit(139)", "a process was ended by SIGSEGV"),
        ("sys.exit(3)", r"exit code 3, 'LAMMPS \(22 Jul 2025\)'"),
        ("open(name, 'w').write('Step PotEng\\n')", "0 of 3 frames were written"),
        (
            "open(name, 'w').write('ERROR: Lost atoms: original 5 current 4 (src/thermo.cpp:494)\\n'); sys.exit(1)",
            "Lost",
        ),
    ],
)
def test_a_program_that_dies(how: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; it is the program's fault and not the potential's, unless it says that atoms flew apart."""
    (tmp_path / "lmp.py").write_text(DIES.replace("HOW", how))
    monkeypatch.setenv(COMMAND, f"{sys.executable} {tmp_path / 'lmp.py'}")
    system = random_box({"Ar": 5}, CELLS["orthorhombic"], 3.0)
    kind = SimulationError if says == "Lost" else ProgramError
    with pytest.raises(kind, match=f"steps 0 to 20, replica 0: .*{says}") as caught:
        Program(system, ARGON, 1, 1).walk(start_of(system), LANGEVIN, 2, 10, observe=True, where=(0, 0))
    assert "\n" not in str(caught.value)


def test_a_killed_rank_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two processes of MPI kills itself in its first steps."""
    (tmp_path / "rank.sh").write_text('#!/bin/sh\n[ "$PMI_RANK" = 1 ] && kill -9 $$\nexec "$@"\n')
    mpirun, _, _, lmp = command(2, {})
    monkeypatch.setenv(COMMAND, f"{mpirun} -n 2 sh {tmp_path / 'rank.sh'} {lmp}")
    system = random_box({"Ar": 5}, CELLS["orthorhombic"], 3.0)
    with pytest.raises(ProgramError, match=r"^steps 0 to 20, replica 0: LAMMPS ended before its time: .*--resume$"):
        Program(system, ARGON, 2, 1).walk(start_of(system), LANGEVIN, 2, 10, observe=True, where=(0, 0))


def test_a_missing_program_is_found_when_the_study_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the LAMMPS that mpirun would start; without processes nothing is looked for."""
    path = Path(__file__).parents[3] / "experiments" / "argon" / "study.toml"
    changes = ['sampling.engine="lammps"', "sampling.processes=2"]
    Study.from_toml(path, changes)
    found = shutil.which
    for missing in ("mpirun", "lmp"):

        def which(word: str, missing: str = missing, **keys: str) -> str | None:
            return None if word.endswith(missing) else found(word, **keys)

        with monkeypatch.context() as changed:
            changed.setattr(shutil, "which", which)
            with pytest.raises(InputError, match=rf"^\[sampling\] processes: '{missing}' is no program; pip install"):
                Study.from_toml(path, changes)
            Study.from_toml(path, changes[:1])
    monkeypatch.setenv(COMMAND, "no-such-srun lmp")
    with pytest.raises(InputError, match=r"^REFINE_LAMMPS: 'no-such-srun' is no program"):
        Study.from_toml(path, changes)


def test_a_command_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMAND, "no-such-mpirun -n {processes} lmp")
    with pytest.raises(InputError, match=r"^REFINE_LAMMPS: 'no-such-mpirun' is no program"):
        command(2)
    with pytest.raises(InputError, match=r"^REFINE_LAMMPS: .* is no command: No closing quotation"):
        command(2, {COMMAND: "srun 'lmp"})
