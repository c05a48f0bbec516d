"""Lines of an input script: a box, its atoms, and how they move. Units of the script are metal or real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError, SimulationError
from refine.potentials.topology import Topology
from refine.sampling.external.mover import FREE, Motion
from refine.system import System
from refine.units import BOLTZMANN, TIME_UNIT

Array = NDArray[np.float64]

FIX = "refine"
"""Name of the fix that moves the atoms, and of the compute of the virial."""

SKIN = 1.0
"""Å of LAMMPS' neighbour list beyond the cutoff; atoms are followed, so it only concerns speed."""

SEEDS = 900_000_000
"""LAMMPS' random numbers have seeds from 1 to this."""


@dataclass(frozen=True)
class Units:
    """Units of LAMMPS in ours.

    time: fs.  energy: eV.  pressure: eV/Å^3, as LAMMPS makes it of its own units.
    boltzmann: eV/K that LAMMPS counts with; temperatures are scaled by it, so that kT is ours.
    """

    time: float
    energy: float
    pressure: float
    boltzmann: float

    @property
    def velocity(self) -> float:
        """Å per unit of time of LAMMPS, in Å per `TIME_UNIT` fs."""
        return TIME_UNIT / self.time


KCAL = 0.0433641153087705
"""kcal/mol in eV: 4184 J over the Avogadro constant and the elementary charge."""

UNITS = {
    "metal": Units(1000.0, 1.0, 1.0 / 1.6021765e6, 8.617343e-5),
    "real": Units(1.0, KCAL, KCAL / 68568.415, 0.0019872067 * KCAL),
}
"""The numbers are those of LAMMPS' src/update.cpp: pressures are made of virials with its nktv2p."""


@dataclass(frozen=True)
class Frame:
    """The cell as LAMMPS wants it, its first vector along x and the second in the xy plane, and the way there.

    cell: (3, 3) Å of LAMMPS.  turn: (3, 3), orthogonal: a vector v of ours is v @ turn there.
    """

    cell: Array
    turn: Array

    @classmethod
    def of(cls, cell: Array) -> Frame:
        """Of a cell of ours, (3, 3) Å; a lower triangular one stays what it is, bit for bit.

        >>> frame = Frame.of(np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
        >>> frame.cell.round(12).tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
        """
        if not np.triu(cell, 1).any() and (np.diag(cell) > 0).all():
            return cls(cell, np.eye(3))
        q, r = np.linalg.qr(cell.T)
        signs = np.sign(np.diag(r))
        return cls(np.tril((r * signs[:, None]).T) + 0.0, q * signs)

    @property
    def tilted(self) -> bool:
        """Whether it is no box of right angles."""
        return bool(np.tril(self.cell, -1).any())

    @property
    def region(self) -> str:
        """The box as `region` takes it."""
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = self.cell.tolist()
        block = f"0 {lx!r} 0 {ly!r} 0 {lz!r}"
        return f"prism {block} {xy!r} {xz!r} {yz!r}" if self.tilted else f"block {block}"

    @property
    def change(self) -> str:
        """The box as `change_box all` takes it, atoms at the same shares of its vectors."""
        return f"{self.box} remap units box"

    @property
    def box(self) -> str:
        """The same for atoms that stay where they are."""
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = self.cell.tolist()
        tilts = f" xy final {xy!r} xz final {xz!r} yz final {yz!r}" if self.tilted else ""
        return f"x final 0 {lx!r} y final 0 {ly!r} z final 0 {lz!r}{tilts}"


def types_of(system: System) -> list[int]:
    """LAMMPS types of the atoms, 1, 2, ..."""
    return np.repeat(np.arange(len(system.species)) + 1, system.n_per_species).tolist()


def box_lines(system: System, units: str, atoms: str | None = None, topology: Topology | None = None) -> list[str]:
    """A box, empty or, by the line `atoms`, filled."""
    kinds = len(system.species)
    masses = system.masses[np.cumsum(system.n_per_species) - 1]
    return [
        f"units {units}",
        f"atom_style {_atom_style(topology)}",
        "atom_modify map array",
        "box tilt large",
        *([f"region box {Frame.of(system.cell).region}", f"create_box {kinds} box"] if atoms is None else [atoms]),
        *(f"mass {k} {mass!r}" for k, mass in enumerate(masses.tolist(), start=1)),
        *LISTS,
    ]


def _atom_style(topology: Topology | None) -> str:
    return "charge" if topology is None else "full"


def data_text(
    system: System, positions: Array, velocities: Array | None = None, topology: Topology | None = None
) -> str:
    """A data file of atoms, both (N, 3) as LAMMPS has the cell (`Frame`) and in its units, and of their molecules;
    velocities: None: none are written."""
    frame = Frame.of(system.cell)
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = frame.cell.tolist()
    head = ["", "", f"{system.n_atoms} atoms", f"{len(system.species)} atom types"]
    molecules, charges = [""] * system.n_atoms, ["0"] * system.n_atoms
    links: dict[str, tuple[int, NDArray[np.int64]]] = {}
    if topology is not None:
        sections = topology.bonds, topology.angles, topology.dihedrals, topology.impropers
        named = zip(("bond", "angle", "dihedral", "improper"), topology.kinds, sections, strict=True)
        links = {name: (kinds, rows) for name, kinds, rows in named if kinds}
        molecules = [f"{one} " for one in topology.molecules.tolist()]
        charges = list(map(repr, topology.charges.tolist()))
        positions = topology.whole(positions, frame.cell)
    for name, (kinds, rows) in links.items():
        head += [f"{len(rows)} {name}s", f"{kinds} {name} types"]
    head += [f"0 {length!r} {axis}lo {axis}hi" for length, axis in ((lx, "x"), (ly, "y"), (lz, "z"))]
    if frame.tilted:
        head.append(f"{xy!r} {xz!r} {yz!r} xy xz yz")
    atoms = zip(molecules, types_of(system), charges, positions.tolist(), strict=True)
    places = [f"{k} {m}{t} {q} {x!r} {y!r} {z!r}" for k, (m, t, q, (x, y, z)) in enumerate(atoms, start=1)]
    text = [*head, "", f"Atoms # {_atom_style(topology)}", "", *places, ""]
    if velocities is not None:
        speeds = [f"{k} {x!r} {y!r} {z!r}" for k, (x, y, z) in enumerate(velocities.tolist(), start=1)]
        text += ["Velocities", "", *speeds, ""]
    for name, (_, rows) in links.items():
        if len(rows):
            lines = (rows + (np.arange(rows.shape[1]) > 0)).tolist()  # atoms have numbers from 1 on
            text += [f"{name.capitalize()}s", "", *(f"{k} {' '.join(map(str, x))}" for k, x in enumerate(lines, 1)), ""]
    return "\n".join(text)


LISTS = (f"neighbor {SKIN} bin", "neigh_modify delay 0 every 1 check yes")
"""How neighbours are kept."""


WATCHED = (
    f"compute {FIX} all pressure NULL virial",
    f"thermo_style custom step pe c_{FIX} c_{FIX}[1] c_{FIX}[2] c_{FIX}[3] c_{FIX}[4] c_{FIX}[5] c_{FIX}[6]",
    "thermo_modify norm no lost error",
)
"""Potential energy of the box, and the virial as a pressure without its kinetic part; once the atoms are there."""


def motion_lines(
    motion: Motion,
    temperature: float,
    seed: int,
    units: Units,
    topology: Topology | None = None,
    to: float | None = None,
) -> list[str]:
    """A time step and the fixes that move the atoms; temperature: K, and at the end of a run `to`, where it changes."""
    kelvin = temperature * BOLTZMANN / units.boltzmann
    end = kelvin if to is None else to * BOLTZMANN / units.boltzmann
    damp = 1000.0 * motion.time_constant / units.time
    fixes = fixes_of(motion.thermostat, topology)(kelvin, end, damp, 1 + seed % SEEDS)
    if topology is not None and topology.shake is not None:
        angles = ["a", *map(str, topology.shake.angles)] if topology.shake.angles else []
        words = ["b", *map(str, topology.shake.bonds), *angles]
        # the last one: it sees all forces; LAMMPS' fix rattle has a wrong virial where angles are held
        fixes = [*fixes, f"shake {TOLERANCE!r} {ITERATIONS} 0 {' '.join(words)}"]
    names = (FIX, *(f"{FIX}{k}" for k in range(1, len(fixes))))
    return [
        f"timestep {motion.timestep / units.time!r}",
        *(f"fix {name} all {one}" for name, one in zip(names, fixes, strict=True)),
    ]


TOLERANCE, ITERATIONS = 1e-8, 500
"""Of SHAKE: parts of a length."""


Fixes = Callable[[float, float, float, int], list[str]]

MOTIONS: dict[str, Fixes] = {
    "langevin": lambda kelvin, end, damp, seed: [f"gjf {kelvin!r} {end!r} {damp!r} {seed} vel vfull"],
    "nose-hoover": lambda kelvin, end, damp, seed: [f"nvt temp {kelvin!r} {end!r} {damp!r} tchain 3"],
    FREE: lambda kelvin, end, damp, seed: ["nve"],
}
"""By thermostat. Langevin is Grønbech-Jensen and Farago's integrator (Mol. Phys. 111, 983 (2013)), whose averages over
configurations are right to second order in the timestep, and exactly for harmonic forces, as those of BAOAB."""

HELD: dict[str, Fixes] = MOTIONS | {
    "langevin": lambda kelvin, end, damp, seed: ["nve", f"langevin {kelvin!r} {end!r} {damp!r} {seed}"],
}
"""With lengths that are held: these are solved for along the way of velocity Verlet, which GJF does not go."""

RIGID: dict[str, Fixes] = {
    "langevin": lambda kelvin, end, damp, seed: [
        f"langevin {kelvin!r} {end!r} {damp!r} {seed}",
        "rigid/nve/small molecule",
    ],
    FREE: lambda kelvin, end, damp, seed: ["rigid/nve/small molecule"],
}
"""Of rigid bodies. Friction and noise act on atoms, whose sum over a body they are to the body: LAMMPS' own Langevin of
bodies puts its forces into the virial. Its Nosé-Hoover chain of bodies is not taken: it counts the momentum of the
whole, which it conserves, among what it heats."""


def fixes_of(thermostat: str, topology: Topology | None) -> Fixes:
    """What moves the atoms under a thermostat. InputError where LAMMPS has none such for what is held."""
    held, fix = topology is not None and topology.is_held, f"one of {', '.join(MOTIONS)}"
    table = MOTIONS
    if topology is not None and topology.is_held:
        table = RIGID if topology.rigid else HELD
        fix = f"one of {', '.join(table)}" + (", or hold bonds and angles with shake" if topology.rigid else "")
    make = table.get(thermostat)
    if make is None:
        raise InputError(
            f"LAMMPS has no thermostat {thermostat!r} {'for rigid molecules' if held else 'here'}",
            where="[sampling] thermostat",
            fix=fix,
        )
    return make


def check_relaxing(topology: Topology | None) -> None:
    """InputError for lengths that are held, of which a minimiser knows nothing."""
    if topology is not None and topology.is_held:
        raise InputError(
            "rigid molecules, and bonds that are held, are not relaxed", where="[system] structure", fix="give a start"
        )


REMEMBERING = ("nose-hoover",)
"""Thermostats with variables of their own, which LAMMPS keeps in a restart file."""


def virial_of(pressure: Array, volume: float, frame: Frame, units: Units) -> Array:
    """(F, 3, 3) eV of pressures (F, 6) xx, yy, zz, xy, xz, yz in units of LAMMPS; volume: Å^3."""
    xx, yy, zz, xy, xz, yz = (np.asarray(pressure) * (units.pressure * volume)).T
    there = np.stack([np.stack([xx, xy, xz]), np.stack([xy, yy, yz]), np.stack([xz, yz, zz])]).transpose(2, 0, 1)
    return np.asarray(frame.turn @ there @ frame.turn.T)


BROKEN = ("Non-numeric", "Lost atoms", "Out of range atoms", "lost during")
"""In LAMMPS' words where atoms flew apart."""


def failed(words: str, timestep: float, where: str) -> SimulationError:
    """What to raise of LAMMPS' own words; timestep: fs."""
    if any(one in words for one in BROKEN):
        return SimulationError(
            f"positions or momenta are no longer finite numbers, or atoms fly out of the box; LAMMPS: {words}",
            where=where,
            fix=f"shorten sampling.timestep (now {timestep:g} fs), or check that the potential is repulsive at "
            "short range",
        )
    return SimulationError(f"LAMMPS stopped: {words}", where=where)
