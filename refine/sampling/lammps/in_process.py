"""A box of atoms in a LAMMPS of this process.

Each block begins with no atoms: they are created anew from the arrays that it is given, in their order. So the
order in which LAMMPS holds and adds them up follows from the arrays alone, and with one thread a block is the same, bit
for bit, in whichever process and after whatever else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.errors import InputError, SimulationError
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
    types_of,
    virial_of,
)
from refine.sampling.volumes import MOVE_EVERY, Volumes
from refine.system import System
from refine.units import BOLTZMANN, PRESSURE_UNIT

Array = NDArray[np.float64]

SCALAR, VECTOR, GLOBAL = 0, 1, 0
"""Of LAMMPS' library interface: the type and the style of what a compute holds."""


class InProcess:
    """See `refine.sampling.external.mover.Mover`.

    system: atoms and cell.  potential: what acts.  threads: of LAMMPS' package OPENMP.
    Raises InputError with LAMMPS' own words where it refuses the potential.
    """

    def __init__(self, system: System, potential: LammpsPotential, threads: int = 1) -> None:
        self.system, self.potential, self.frame = system, potential, Frame.of(system.cell)
        self._units, self._types, self._topology = UNITS[potential.units], types_of(system), potential.topology
        self._masses = system.masses[:, None]
        self._lammps = library.new(threads)
        self._last = ""
        self._scratch = Scratch()
        lines = potential.placed(self._scratch.path)
        self._charges = [line for line in lines if line.startswith("set ")]
        self._rest = [*(line for line in lines if line not in self._charges), *WATCHED]
        with library.speaking(self._refused):
            if self._topology is None:
                self._commands([*box_lines(system, potential.units), *self._rest])
            else:
                self._begin(self._topology.positions)
        self._image = self._lammps.encode_image_flags(0, 0, 0)

    def _refused(self, words: str) -> InputError:
        return InputError(f"LAMMPS refuses the potential: {words}", where=f"{self._last[:80]!r}")

    # ---- LAMMPS

    def _commands(self, lines: list[str]) -> None:
        for line in lines:
            self._last = line
            self._lammps.command(line)

    def _create(self, positions: Array, velocities: Array) -> None:
        """The atoms at positions (N, 3) Å of LAMMPS, with velocities in its units."""
        n = self.system.n_atoms
        self._lammps.create_atoms(
            n,
            list(range(1, n + 1)),
            self._types,
            positions.ravel().tolist(),
            velocities.ravel().tolist(),
            [self._image] * n,
        )

    def _begin(self, positions: Array, momenta: Array | None = None, memory: Memory = NOTHING) -> None:
        """Atoms anew, in the cell of the system; positions (N, 3) Å and momenta of ours.

        memory: a restart file without atoms: a fix that is defined behind it is what it was.
        """
        velocities = np.zeros_like(positions) if momenta is None else momenta / self._masses / self._units.velocity
        if self._topology is not None:
            self._read(positions, velocities, memory)
        elif len(memory):
            self._commands([*self._remembering(memory), *self._rest])
        else:
            box = f"change_box all {self.frame.change}"  # a block at constant pressure may have failed in another one
            self._commands(["delete_atoms group all compress yes", "reset_timestep 0", box])
        if self._topology is None:
            self._create(positions @ self.frame.turn, velocities @ self.frame.turn)
            self._commands(self._charges)

    def _remembering(self, memory: Memory) -> list[str]:
        """Lines for a box without atoms in which a fix that is defined is what it was."""
        self._restart.write_bytes(memory.tobytes())
        return ["clear", f'read_restart "{self._restart}"', f"change_box all {self.frame.change}", *LISTS]

    def _read(self, positions: Array, velocities: Array, memory: Memory) -> None:
        """The same of molecules, which come with a data file alone."""
        data = self._scratch.path / "block.data"
        turned = positions @ self.frame.turn, velocities @ self.frame.turn
        data.write_text(data_text(self.system, *turned, self._topology))
        read = f'read_data "{data}"'
        if len(memory):
            begin = [*self._remembering(memory), f"{read} add append"]
        else:
            begin = ["clear", *box_lines(self.system, self.potential.units, read, self._topology)]
        self._commands([*begin, *self._charges, *self._rest])

    @property
    def _restart(self) -> Path:
        return self._scratch.path / "block.restart"

    def _remembered(self, motion: Motion) -> Memory:
        """What continues the thermostat; the atoms are gone then."""
        if motion.thermostat not in REMEMBERING:
            return NOTHING
        self._commands(["delete_atoms group all compress yes", f'write_restart "{self._restart}" noinit'])
        return np.frombuffer(self._restart.read_bytes(), np.uint8)

    def _gathered(self, name: str, kind: int = 1, columns: int = 3) -> NDArray[Any]:
        """(N, columns) of all atoms in their order."""
        return np.ctypeslib.as_array(self._lammps.gather_atoms(name, kind, columns)).reshape(-1, columns)

    def _unwrapped(self, frame: Frame) -> Array:
        """Positions (N, 3) Å of ours, in the image where they were created or moved to from there."""
        there: Array = self._gathered("x") + self._gathered("image", 0, 3) @ frame.cell
        return np.asarray(there @ frame.turn.T)

    def _momenta(self, frame: Frame) -> Array:
        return np.asarray((self._gathered("v") @ frame.turn.T) * self._units.velocity * self._masses)

    def _energy(self) -> float:
        energy: float = self._lammps.extract_compute("thermo_pe", GLOBAL, SCALAR)
        return float(energy) * self._units.energy

    def _virial(self) -> Array:
        """(3, 3) eV."""
        pressure = self._lammps.extract_compute(FIX, GLOBAL, VECTOR)
        virial: Array = virial_of(np.array([pressure[:6]]), self.system.volume, self.frame, self._units)[0]
        return virial

    # ---- what is asked of it

    def walk(
        self, start: Start, motion: Motion, frames: int, stride: int, *, observe: bool, where: tuple[int, int]
    ) -> Walk:
        """See `Mover`."""
        frame, momenta = self.frame, start.momenta
        positions: list[Array] = []
        kinetic: list[float] = []
        energy: list[float] = []
        virial: list[Array] = []
        stress: list[Array] = []

        def error(words: str) -> SimulationError:
            first = where[0] + len(kinetic) * stride
            return failed(words, motion.timestep, f"steps {first} to {first + stride}, replica {where[1]}")

        with library.speaking(error), self._moving(start, motion):
            # LAMMPS puts what lies on a face to the other one
            apart = (start.positions - self._unwrapped(frame)) @ np.linalg.inv(self.system.cell)
            moved = np.round(apart) @ self.system.cell
            for _ in range(frames):
                self._lammps.command(f"run {stride} {'pre no ' if kinetic else ''}post no")
                momenta = self._momenta(frame)
                flow = momenta.T @ (momenta / self._masses)
                positions.append(self._unwrapped(frame) + moved)
                kinetic.append(0.5 * float(np.trace(flow)))
                energy.append(self._energy() if observe else np.nan)
                virial.append(self._virial() if observe else np.full((3, 3), np.nan))
                stress.append(flow + virial[-1])
            memory = self._remembered(motion)
        ends = np.array(kinetic), np.array(energy), np.stack(virial), np.stack(stress)
        return Walk(np.stack(positions), momenta, *ends, memory)

    def evaluate(self, positions: Array) -> Evaluated:
        """See `Mover`."""
        with library.speaking(lambda words: SimulationError(f"LAMMPS stopped: {words}", where="forces")):
            self._begin(positions)
            self._lammps.command("run 0 post no")
            return Evaluated(self._energy(), self._gathered("f") @ self.frame.turn.T * self._units.energy)

    def relaxed(self, positions: Array, steps: int, longest: float) -> Array:
        """See `Mover`; by conjugate gradients."""
        check_relaxing(self._topology)
        with library.speaking(lambda words: SimulationError(f"LAMMPS stopped: {words}", where=RELAXING)):
            self._begin(positions)
            self._commands(["min_style cg", f"min_modify dmax {longest!r}", f"minimize 0 0 {steps} {10 * steps}"])
        return self._unwrapped(self.frame)

    def squeeze(
        self, start: Start, motion: Motion, moves: int, pressure: float, width: float, *, where: tuple[int, int]
    ) -> Squeezed:
        """See `Mover`."""
        n, kT, random = self.system.n_atoms, BOLTZMANN * start.temperature, np.random.default_rng(start.seed)
        bodies = n if self._topology is None else len(np.unique(self._topology.molecules))
        work, cell = pressure / PRESSURE_UNIT, self.system.cell
        seen: list[tuple[float, float, bool, float]] = []

        def error(words: str) -> SimulationError:
            first = where[0] + len(seen) * MOVE_EVERY
            return failed(words, motion.timestep, f"steps {first} to {first + MOVE_EVERY}")

        with library.speaking(error), self._moving(start, motion):
            for _ in range(moves):
                self._lammps.command(f"run {MOVE_EVERY} post no")
                momenta = self._momenta(self.frame)
                kinetic, before = 0.5 * float(np.sum(momenta**2 / self._masses)), self._energy()
                growth = width * (2.0 * random.random() - 1.0)
                trial = cell * np.exp(growth / 3)
                back = self._resized(Frame.of(cell), Frame.of(trial))
                self._lammps.command("run 0 post no")
                after, volume = self._energy(), abs(float(np.linalg.det(cell)))
                cost = after - before + work * volume * np.expm1(growth)
                accepted = bool(np.log(1.0 - random.random()) < (bodies + 1) * growth - cost / kT)
                if accepted:
                    cell = trial
                else:
                    back()
                seen.append((abs(float(np.linalg.det(cell))), after if accepted else before, accepted, kinetic))
            positions, momenta = self._unwrapped(Frame.of(cell)), self._momenta(self.frame)
            memory = self._remembered(motion)
            if self._topology is None:  # whose next block begins in this box; molecules come with a box of their own
                self._lammps.command(f"change_box all {self.frame.change}")
        volumes, energies, flags, energies_of_motion = (np.array(column) for column in zip(*seen, strict=True))
        found = Volumes(volumes, energies, flags.astype(bool), n)
        return Squeezed(wrap(positions, cell), cell, momenta, energies_of_motion, found, memory)

    def _resized(self, before: Frame, after: Frame) -> Callable[[], None]:
        """The box changed, atoms at the same shares of its vectors, or molecules moved as wholes with their centres of
        mass; what changes it back."""
        if self._topology is None:
            self._lammps.command(f"change_box all {after.change}")
            return lambda: self._lammps.command(f"change_box all {before.change}")
        there = self._gathered("x") + self._gathered("image", 0, 3) @ before.cell
        _, of = np.unique(self._topology.molecules, return_inverse=True)
        mass = np.bincount(of, self._masses[:, 0])
        centre = np.stack([np.bincount(of, self._masses[:, 0] * x) / mass for x in there.T], axis=1)
        moved = there + (centre @ np.linalg.inv(before.cell) @ after.cell - centre)[of]
        self._put(moved, after)
        return lambda: self._put(there, before)

    def _put(self, positions: Array, frame: Frame) -> None:
        """Atoms at positions (N, 3) Å of LAMMPS, not wrapped, in a box."""
        image = np.floor(positions @ np.linalg.inv(frame.cell)).astype(np.int32)
        wrapped = np.ascontiguousarray(positions - image @ frame.cell)
        self._lammps.command(f"change_box all {frame.box} units box")
        self._lammps.scatter_atoms("x", 1, 3, np.ctypeslib.as_ctypes(wrapped.ravel()))
        self._lammps.scatter_atoms("image", 0, 3, np.ctypeslib.as_ctypes(image.ravel()))

    @contextmanager
    def _moving(self, start: Start, motion: Motion) -> Iterator[None]:
        """The atoms of a start, and the fix that moves them, which is gone afterwards."""
        self._begin(start.positions, start.momenta, start.memory if motion.thermostat in REMEMBERING else NOTHING)
        lines = motion_lines(motion, start.temperature, start.seed, self._units, self._topology)
        self._commands(lines)
        try:
            yield
        finally:
            self._commands([f"unfix {line.split()[1]}" for line in reversed(lines) if line.startswith("fix ")])
