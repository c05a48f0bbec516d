"""What another program is asked to do with the atoms of one box, under one potential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from refine.sampling.molecules import Molecules
from refine.sampling.volumes import Volumes
from refine.system import System

Array = NDArray[np.float64]

FREE = "constant energy"
"""In place of a thermostat: there is none."""


@dataclass(frozen=True)
class Motion:
    """How atoms move.

    thermostat: a word of `[sampling] thermostat`, or `FREE`.  time_constant: its, ps.  timestep: fs.
    """

    thermostat: str
    time_constant: float
    timestep: float

    @property
    def holds_temperature(self) -> bool:
        """Whether there is a thermostat."""
        return self.thermostat != FREE

    def degrees_of_freedom(self, n_atoms: int) -> int:
        """Those that share the kinetic energy: Langevin's friction does not conserve the momentum of the whole."""
        return 3 * n_atoms - (0 if self.thermostat == "langevin" else 3)


Memory = NDArray[np.uint8]
"""Bytes that continue a thermostat, in whatever form a program has them; none at the start of a trajectory."""

NOTHING: Memory = np.zeros(0, np.uint8)


class Start(NamedTuple):
    """Where a block of one replica begins: positions (N, 3) Å in the cell, momenta (N, 3) eV-Å-amu, temperature (K) of
    the thermostat, the seed of all random numbers, and what continues the thermostat."""

    positions: Array
    momenta: Array
    temperature: float
    seed: int
    memory: Memory = NOTHING


class Walk(NamedTuple):
    """A block of one replica, F frames.

    positions: (F, N, 3) Å, unwrapped: those of the start go on in them.  momenta: (N, 3) at the end, eV-Å-amu.
    kinetic: (F,) eV.  energy: (F,) eV, potential.  virial: (F, 3, 3) eV, see `ForceField.virial_tensor`.
    stress: (F, 3, 3) eV, Σ p (x) p / m and the virial.
    memory: what continues the thermostat.
    Energies, virials and stresses are NaN where nobody observes, and all is of frames before which the atoms flew away.
    """

    positions: Array
    momenta: Array
    kinetic: Array
    energy: Array
    virial: Array
    stress: Array
    memory: Memory = NOTHING


class Evaluated(NamedTuple):
    """Of positions as they are: energy (eV), forces (N, 3) eV/Å."""

    energy: float
    forces: Array


class Squeezed(NamedTuple):
    """A block at constant pressure: positions (N, 3) Å in the cell (3, 3) at the end, momenta there, kinetic energy
    (moves,) eV, what the volume did, and what continues the thermostat."""

    positions: Array
    cell: Array
    momenta: Array
    kinetic: Array
    volumes: Volumes
    memory: Memory = NOTHING


class Mover(Protocol):
    """The atoms of one box under one potential, in the hands of another program.

    Everything follows from the arguments: what was asked before changes no number.
    Raises SimulationError with the program's own words where it fails; `where` is for its message.
    """

    def walk(
        self, start: Start, motion: Motion, frames: int, stride: int, *, observe: bool, where: tuple[int, int]
    ) -> Walk:
        """So many frames, `stride` steps apart. where: the first step, and the replica."""

    def evaluate(self, positions: Array) -> Evaluated:
        """Of positions (N, 3) Å."""

    def relaxed(self, positions: Array, steps: int, longest: float) -> Array:
        """Positions (N, 3) Å after so many steps of a minimiser that moves no atom by more than `longest` Å in one."""

    def squeeze(
        self, start: Start, motion: Motion, moves: int, pressure: float, width: float, *, where: tuple[int, int]
    ) -> Squeezed:
        """Moves of the volume, as `refine.sampling.jax.barostat` makes them. pressure: GPa.  width: in ln V."""


class MoverOf(Protocol):
    """A potential that an engine made (`EngineField`), as `ExternalSampler` needs it."""

    @property
    def molecules(self) -> Molecules | None:
        """Of the atoms; None: they are atoms."""

    @property
    def cutoff(self) -> float | None:
        """Å, of what is summed over nearest images; None where there is none."""

    def mover(self, system: System, params: Any) -> Mover:
        """For the atoms of a box. params: of the field."""


def stacked(memories: Sequence[Memory]) -> NDArray[np.uint8]:
    """Of all replicas, (R, bytes) with their number in front, as a state keeps them.

    >>> [one.tolist() for one in map(unstacked, stacked([np.array([1, 2], np.uint8), NOTHING]))]
    [[1, 2], []]
    """
    longest = max(map(len, memories))
    rows = np.zeros((len(memories), 8 + longest), np.uint8)
    for row, memory in zip(rows, memories, strict=True):
        row[:8] = np.frombuffer(len(memory).to_bytes(8, "little"), np.uint8)
        row[8 : 8 + len(memory)] = memory
    return rows


def unstacked(row: Memory) -> Memory:
    """That of one replica."""
    return row[8 : 8 + int.from_bytes(row[:8].tobytes(), "little")]
