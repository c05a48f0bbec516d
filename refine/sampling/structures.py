"""Start structures: random packings, structure files, melting. numpy, scipy and ASE only; no jax."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.spatial import cKDTree

from refine.errors import InputError, SimulationError
from refine.sampling.crystals import read_crystal, refuse_disorder
from refine.sampling.elements import elements_of
from refine.units import MASS_DENSITY_UNIT

if TYPE_CHECKING:
    from ase import Atoms

    from refine.sampling.dynamics import Sampler
    from refine.sampling.schedule import Stage
    from refine.sampling.state import MDState

DENSITY_TOLERANCE = 0.005
"""Relative difference beyond which a structure's number density contradicts the one declared."""

STRUCTURE_FORMATS = (
    "extxyz",
    "xyz",
    "cif",
    "vasp",
    "lammps-data",
    "xsf",
    "proteindatabank",
    "gromacs",
    "gen",
    "res",
    "aims",
)
"""ASE formats that are plain text; binary and pickled ones are refused, because reading them can run code."""

_MAX_FILE = 200_000_000
_MASS_TOLERANCE = 0.05  # amu; 40.0 could be argon or calcium
OVERLAP = 0.5  # Å; no two atoms of any real structure come this close
EMPTY_GRID = 24  # points along each lattice vector at which empty space is looked for


@dataclass(frozen=True)
class System:
    """What is simulated: atoms sorted by species in a periodic cell.

    species: element symbols in order.  n_per_species: atoms of each.  cell: (3, 3) Å, rows are lattice vectors.
    masses: (N,) amu.  positions: (N, 3) Å, or None where a packing is still to be made.
    """

    species: tuple[str, ...]
    n_per_species: tuple[int, ...]
    cell: np.ndarray
    masses: np.ndarray
    positions: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(self.species) != len(self.n_per_species) or len(set(self.species)) != len(self.species):
            raise ValueError(f"species {self.species} and numbers of atoms {self.n_per_species} do not belong together")
        if min(self.n_per_species, default=0) < 1:
            raise ValueError(f"every species needs at least one atom; got {self.n_per_species}")
        if self.cell.shape != (3, 3) or not np.isfinite(self.cell).all() or self.volume <= 0:
            raise ValueError("a cell is three independent, finite lattice vectors, the rows of a (3, 3) matrix")
        if self.masses.shape != (self.n_atoms,) or not (self.masses > 0).all():
            raise ValueError(f"{self.n_atoms} atoms need as many masses above zero; got shape {self.masses.shape}")
        if self.positions is not None and self.positions.shape != (self.n_atoms, 3):
            raise ValueError(f"{self.n_atoms} atoms need positions ({self.n_atoms}, 3); got {self.positions.shape}")

    @property
    def n_atoms(self) -> int:
        return sum(self.n_per_species)

    @property
    def volume(self) -> float:
        """Å^3."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def number_density(self) -> float:
        """Atoms per Å^3."""
        return self.n_atoms / self.volume

    @property
    def orthorhombic(self) -> bool:
        """Whether the lattice vectors lie along x, y and z exactly."""
        from kernels.cell import is_orthorhombic  # with jax, which reading a structure does not need

        return is_orthorhombic(self.cell)

    @property
    def heights(self) -> np.ndarray:
        """Perpendicular heights of the cell (3,), Å."""
        return 1 / np.linalg.norm(np.linalg.inv(self.cell), axis=0)

    @property
    def r_box(self) -> float:
        """Half of the smallest perpendicular height, Å: up to here the minimum image is exact."""
        return float(self.heights.min() / 2)

    @property
    def composition(self) -> dict[str, float]:
        """Atomic fractions."""
        return {name: n / self.n_atoms for name, n in zip(self.species, self.n_per_species, strict=True)}


def make_system(
    species_counts: dict[str, int], cell: np.ndarray, positions: np.ndarray | None = None, *, where: str | None = None
) -> System:
    """A System of so many atoms of each element (standard atomic weights, IUPAC as in ase.data), positions sorted
    already."""
    from ase.data import atomic_masses, atomic_numbers

    unknown = [name for name in species_counts if atomic_numbers.get(name, 0) == 0]
    if unknown:
        raise InputError(f"unknown element {unknown[0]!r}", where=where, fix="use the symbols of the periodic table")
    wrong = {name: n for name, n in species_counts.items() if n < 1}
    if wrong or not species_counts:
        raise InputError(f"numbers of atoms must be at least 1; got {dict(species_counts)}", where=where)
    masses = np.repeat([atomic_masses[atomic_numbers[name]] for name in species_counts], list(species_counts.values()))
    return System(
        tuple(species_counts), tuple(species_counts.values()), np.asarray(cell, np.float64), masses, positions
    )


def random_packing(
    species_counts: dict[str, int], number_density: float, seed: int, min_distance: float | None = None
) -> System:
    """A cubic box of randomly placed atoms, none closer than min_distance.

    number_density: atoms/Å^3.  min_distance: Å; None: 0.85 number_density^(-1/3), a packing fraction of 0.32.
    Atoms of different species are placed alike: a hot run afterwards (`melt`) makes the chemistry.
    Raises InputError for a density out of reason and SimulationError when such a packing is not found.
    """
    if not 0 < number_density < 1:
        raise InputError(
            f"number_density is {number_density} atoms/Å^3; condensed matter has 0.001 to 0.2", fix="give atoms per Å^3"
        )
    edge = (sum(species_counts.values()) / number_density) ** (1 / 3)
    system = make_system(species_counts, np.eye(3) * edge)
    return replace(system, positions=packed_positions(system, seed, min_distance))


def packed_positions(system: System, seed: int, min_distance: float | None = None) -> np.ndarray:
    """Random positions (N, 3) in the system's cell, none closer than min_distance (see `random_packing`)."""
    fractional = np.random.default_rng(seed).random((system.n_atoms, 3))
    distance = 0.85 * system.number_density ** (-1 / 3) if min_distance is None else min_distance
    return relax(fractional @ system.cell, system.cell, distance, seed=seed)


def relax(
    positions: np.ndarray, cell: np.ndarray, min_distance: float, *, seed: int = 0, iterations: int = 2000
) -> np.ndarray:
    """Push atoms apart until no two are closer than min_distance (Å): (N, 3) -> (N, 3).

    Every overlapping pair moves apart symmetrically by half of what it lacks and 2 % more, all pairs at once, again
    and again: the steepest descent of soft spheres. Packing fractions up to 0.5 are found quickly; random close
    packing is 0.64. Raises SimulationError when overlaps remain.
    """
    positions = np.array(positions, dtype=np.float64)
    rng = np.random.default_rng(seed)
    for _ in range(iterations):
        i, j, separation = close_pairs(positions, cell, min_distance)
        if len(i) == 0:
            return positions
        distance = np.linalg.norm(separation, axis=1)
        # two atoms on one spot have no direction: give them one
        direction = np.where(distance[:, None] > 1e-9, separation, rng.normal(size=separation.shape))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        push = (1.02 * min_distance - distance)[:, None] / 2 * direction
        np.add.at(positions, i, push)
        np.add.at(positions, j, -push)
    raise SimulationError(
        f"{len(i)} pairs of atoms are still closer than {min_distance:.3f} Å after {iterations} relaxation steps",
        fix="lower min_distance or the number density",
    )


def close_pairs(positions: np.ndarray, cell: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs closer than `distance` (Å) under periodic boundaries, images included, each once.

    Returns i, j (pairs,) and r_i - r_j (pairs, 3). An atom is never its own neighbour. Works for any cell.
    """
    fractional = positions @ np.linalg.inv(cell)
    fractional -= np.floor(fractional)
    n = len(positions)
    margin = distance * np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [range(-math.ceil(m), math.ceil(m) + 1) for m in margin]
    images, owners = [fractional], [np.arange(n)]
    for shift in itertools.product(*reach):
        if shift == (0, 0, 0):
            continue
        image = fractional + shift
        near = ((image > -margin) & (image < 1 + margin)).all(axis=1)
        images.append(image[near])
        owners.append(np.flatnonzero(near))
    everywhere, owner = np.concatenate(images) @ cell, np.concatenate(owners)
    pairs = cKDTree(everywhere).query_pairs(distance, output_type="ndarray")
    # keep a pair when the atom of lower index is in the cell itself; the other one may be an image
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    i, j = owner[pairs[:, 0]], owner[pairs[:, 1]]
    kept = (pairs[:, 0] < n) & (i < j)
    return i[kept], j[kept], (everywhere[pairs[:, 0]] - everywhere[pairs[:, 1]])[kept]


def distances_to_atoms(positions: np.ndarray, cell: np.ndarray, within: float) -> np.ndarray:
    """(n, n, n) Å: from the points of a grid along the lattice vectors to the nearest atom, inf beyond `within` (Å).

    positions: (N, 3) Å in any periodic images.  cell: (3, 3) Å.
    """
    fractional = positions @ np.linalg.inv(cell)
    fractional -= np.floor(fractional)
    margin = within * np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [range(-math.ceil(m), math.ceil(m) + 1) for m in margin]
    images = []
    for shift in itertools.product(*reach):
        image = fractional + shift
        images.append(image[((image > -margin) & (image < 1 + margin)).all(axis=1)])
    points = (np.indices((EMPTY_GRID,) * 3).reshape(3, -1).T + 0.5) / EMPTY_GRID
    nearest, _ = cKDTree(np.concatenate(images) @ cell).query(points @ cell, distance_upper_bound=within)
    return np.asarray(nearest).reshape((EMPTY_GRID,) * 3)


def number_density_from_mass(counts: dict[str, int], mass_density: float) -> float:
    """Atoms/Å^3 of a composition with a density in g/cm^3, with standard atomic weights."""
    from ase.data import atomic_masses, atomic_numbers

    mass = sum(n * atomic_masses[atomic_numbers[name]] for name, n in counts.items()) / sum(counts.values())
    return float(mass_density / (MASS_DENSITY_UNIT * mass))


def replicate(system: System, repeats: tuple[int, int, int]) -> System:
    """A larger cell of (a, b, c) copies along its three vectors; atoms stay sorted by species.

    Raises ValueError for a system without positions, and for repeats below 1.
    """
    if system.positions is None:
        raise ValueError("a system without positions cannot be repeated")
    if min(repeats) < 1:
        raise ValueError(f"repeats are whole numbers from 1 on; got {repeats}")
    copies = math.prod(repeats)
    shifts = np.array(list(itertools.product(*map(range, repeats)))) @ system.cell
    first = np.cumsum([0, *system.n_per_species])
    blocks = [system.positions[a:b][None] + shifts[:, None] for a, b in itertools.pairwise(first)]
    return System(
        system.species,
        tuple(n * copies for n in system.n_per_species),
        np.asarray(repeats)[:, None] * system.cell,
        np.concatenate([np.tile(system.masses[a:b], copies) for a, b in itertools.pairwise(first)]),
        np.concatenate([block.reshape(-1, 3) for block in blocks]),
    )


def read_structure(
    path: str | Path,
    number_density: float | None = None,
    species: tuple[str, ...] | None = None,
    *,
    mass_density: float | None = None,
    types: tuple[str, ...] | None = None,
    stated: Collection[str] = (),
) -> System:
    """Read a periodic structure with ASE (the last frame of a file that holds several) and sort its atoms by species.

    number_density: atoms/Å^3; when given it must agree with the file to 0.5 %.  mass_density: the same in g/cm^3.
    types: elements of the atom types 1, 2, ... of a LAMMPS data file; None: what its labels or masses say.
    species: the order of the elements; None: the order in which they first appear.
    stated: elements that the study names, for files that name atoms and not elements (`elements`).
    Raises InputError for a file that is missing, empty, too large, not one of `STRUCTURE_FORMATS` or not readable,
    for one without a cell or not periodic in all three directions, for coinciding atoms, and for types, a density or
    species that disagree.
    """
    path = Path(path)
    atoms = _read_atoms(path, types, species or stated)
    where = str(path)
    if abs(np.linalg.det(atoms.cell.array)) < 1e-6:
        raise InputError("the structure has no cell", where=where, fix='give all three vectors (extxyz: Lattice="...")')
    if not atoms.pbc.all():
        raise InputError(
            f"the structure is periodic along {int(atoms.pbc.sum())} of 3 vectors",
            where=where,
            fix='make it periodic (extxyz: pbc="T T T")',
        )
    symbols = atoms.get_chemical_symbols()
    present = tuple(dict.fromkeys(symbols))
    order = present if species is None else species
    if set(order) != set(present):
        raise InputError(f"the structure holds {', '.join(present)}, the study {', '.join(order)}", where=where)
    rank = np.array([order.index(symbol) for symbol in symbols])
    counts = {symbol: symbols.count(symbol) for symbol in order}
    positions = atoms.positions[np.argsort(rank, kind="stable")]
    cell = atoms.cell.array
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise InputError("a coordinate or lattice vector is not a finite number", where=where)
    system = make_system(counts, cell, positions, where=where)
    if mass_density is not None:
        number_density = number_density_from_mass(counts, mass_density)
    if number_density is not None and abs(system.number_density / number_density - 1) > DENSITY_TOLERANCE:
        raise InputError(
            f"the structure has {system.number_density:.5f} atoms/Å^3, the study says {number_density:.5f}",
            where=where,
            fix="correct the density or rescale the structure",
        )
    overlapping = len(close_pairs(positions, cell, OVERLAP)[0])
    if overlapping:
        raise InputError(
            f"{overlapping} pairs of atoms are closer than {OVERLAP} Å", where=where, fix="remove duplicates"
        )
    return system


def _read_atoms(path: Path, types: tuple[str, ...] | None, stated: Collection[str]) -> Atoms:
    import ase.io
    from ase.io import ParseError
    from ase.io.formats import UnknownFileTypeError, filetype

    where = str(path)
    fix = f"use one of {', '.join(STRUCTURE_FORMATS)}"
    if not path.is_file():
        raise InputError("no such structure file", where=where)
    if not 0 < path.stat().st_size <= _MAX_FILE:
        raise InputError(
            f"a structure file of {path.stat().st_size} bytes", where=where, fix="1 byte to 200 MB are read"
        )
    if path.suffix in (".gz", ".bz2", ".xz"):
        raise InputError("a compressed structure file", where=where, fix="decompress it")
    try:
        kind = "lammps-data" if _is_lammps_data(path) else filetype(str(path))
    except (UnknownFileTypeError, *UNREADABLE):
        raise InputError("not a known structure format", where=where, fix=fix) from None
    if kind not in STRUCTURE_FORMATS:
        raise InputError(f"structure files of format {kind!r} are not read", where=where, fix=fix)
    options = _types(path, types) if kind == "lammps-data" else {}
    if types is not None and not options:
        raise InputError(
            f"structure_species are those of a LAMMPS data file, and this is {kind!r}", where=where, fix="remove them"
        )
    try:
        if kind == "cif":
            atoms = read_crystal(path)
        else:
            if kind == "proteindatabank":
                refuse_disorder(path)
            atoms = cast("Atoms", ase.io.read(path, index=-1, format=kind, **options))
    except InputError:
        raise
    except (ParseError, *UNREADABLE) as error:
        raise InputError(f"not readable as {kind}: {reason_of(error)}", where=where, fix=fix) from None
    set_named_elements(atoms, path, kind, stated)
    if len(atoms) == 0:
        raise InputError("the structure has no atoms", where=where)
    if kind == "lammps-data":
        _check_types(atoms, types, where)
    return atoms


def reason_of(error: Exception) -> str:
    """What ASE stumbled over, in words: of a label that is no element it says no more than the label."""
    if isinstance(error, KeyError) and error.args and not str(error.args[0]).isdigit():
        return f"unknown element {str(error.args[0])[:40]!r}: write symbols of elements, without charges or numbers"
    return f"{type(error).__name__} {error}".strip()


def set_named_elements(atoms: Atoms, path: Path, kind: str, stated: Collection[str]) -> None:
    """Elements of a file that names atoms: ASE takes the first letter of a GROMACS name, and in a PDB file without
    elements whatever the name begins with. InputError where they are not clear (`elements`).
    """
    columns = None
    if kind == "proteindatabank":
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = [line for line in stream if line.startswith(("ATOM", "HETATM"))][-len(atoms) :]
        if len(lines) == len(atoms) and all(line[76:78].strip().isalpha() for line in lines):
            return
        columns = [line[12:16] for line in lines]
    elif kind != "gromacs":
        return
    arrays = atoms.arrays
    names = [str(name) for name in arrays["atomtypes"]]
    residues, numbers = [str(name) for name in arrays["residuenames"]], [int(k) for k in arrays["residuenumbers"]]
    atoms.set_chemical_symbols(elements_of(names, residues, numbers, stated, str(path), columns))


def _is_lammps_data(path: Path) -> bool:
    """By its header; ASE knows such a file by the name alone, and there are many."""
    with path.open("rb") as stream:
        return re.search(rb"^[ \t]*[0-9]+[ \t]+atom[ \t]+types\b", stream.read(4096), re.MULTILINE) is not None


def _types(path: Path, types: tuple[str, ...] | None) -> dict[str, Any]:
    """What ASE is told of the atom types of a LAMMPS data file. Left alone it takes type 1 for hydrogen, 2 for helium,
    and so on, and makes arrays of any size that the header names."""
    from ase.data import atomic_numbers

    text = path.read_text(encoding="utf-8", errors="replace")
    header = re.search(r"^[ \t]*([0-9]+)[ \t]+atoms\b", text, re.MULTILINE)
    if header is not None and (len(header[1]) > 9 or int(header[1]) > len(text) // 8):
        raise InputError(f"the header speaks of {header[1][:20]} atoms, and the file is shorter", where=str(path))
    if types is not None:
        unknown = [name for name in types if atomic_numbers.get(name, 0) == 0]
        if unknown:
            raise InputError(f"unknown element {unknown[0]!r}", where=str(path), fix="use symbols of elements")
        return {"Z_of_type": {number: atomic_numbers[name] for number, name in enumerate(types, 1)}}
    if not re.search(r"^[ \t]*(Masses|Atom\s+Type\s+Labels)\b", text, re.MULTILINE):
        raise InputError(
            "the file has atom types and neither masses nor labels",
            where=str(path),
            fix='name the elements of types 1, 2, ..., as in structure_species = ["Si", "O"]',
        )
    return {}


def _check_types(atoms: Atoms, types: tuple[str, ...] | None, where: str) -> None:
    """The elements that ASE took must be those that were named, or have the masses of the file."""
    from ase.data import atomic_masses

    present = int(atoms.arrays["type"].max())
    if types is not None:
        if present != len(types):
            raise InputError(f"the file has atom types to {present}, {len(types)} species are given", where=where)
        return
    off = np.abs(atoms.get_masses() - atomic_masses[atoms.numbers])
    if atoms.has("masses") and off.max() > _MASS_TOLERANCE:
        raise InputError(
            f"a mass of {atoms.get_masses()[off.argmax()]:g} is that of no element",
            where=where,
            fix='name the elements of types 1, 2, ..., as in structure_species = ["Si", "O"]',
        )


# what ASE's parsers are seen to raise on broken text
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RuntimeError,
    StopIteration,
    SyntaxError,
)


def melt(
    sampler: Sampler,
    params: object,
    temperature: float,
    seed: int,
    picoseconds: float = 10.0,
    *,
    hot: float = 2.0,
) -> MDState:
    """The default start: random packing (or the system's own positions) -> relaxation -> hot run -> run at
    `temperature`.

    Half of `picoseconds` is spent at `hot` times the temperature (K), half at the temperature itself. Every replica
    has its own packing. With positions given in the system, they are the start of every replica and are still melted.
    Deterministic in `seed`. Raises what `Sampler.run` raises.
    """
    state = sampler.start(sampler.minimise(starts(sampler, seed), params), temperature, seed)
    frames = max(1, math.ceil(picoseconds * 1000 / 2 / (sampler.timestep * sampler.stride)))
    state, _ = sampler.run(state, params, hot * temperature, frames, observe=False)
    state, _ = sampler.run(state, params, temperature, frames, observe=False)
    return state


def begin(sampler: Sampler, params: object, temperature: float, seed: int) -> MDState:
    """First state of a trajectory at `temperature` (K): relaxed packings, or the system's own positions as they are."""
    positions = starts(sampler, seed)
    if sampler.system.positions is None:
        positions = sampler.minimise(positions, params)
    return sampler.start(positions, temperature, seed)


def starts(sampler: Sampler, seed: int) -> np.ndarray:
    """Where replicas begin, (R, N, 3) Å: each in a packing of its own, or all with the system's own positions."""
    system, seeds = sampler.system, range(seed, seed + sampler.replicas)
    if system.positions is None:
        return np.stack([packed_positions(system, one) for one in seeds])
    return np.stack([system.positions for _ in seeds])


def equilibrate(
    sampler: Sampler,
    params: object,
    temperature: float,
    seed: int,
    picoseconds: float,
    stages: Sequence[Stage] = (),
) -> MDState:
    """How a run and what is compared with it begin: a melt, or the system's own positions after so long a run at
    `temperature` (K). With stages, each at constant volume, they come first and replace the melt.

    Deterministic in `seed`. Raises what `Sampler.run` raises.
    """
    if stages:
        from refine.sampling.schedule import follow

        state = follow(sampler, params, begin(sampler, params, stages[0].temperature, seed), stages, seed).state
        state = sampler.retuned(state, temperature)
    elif sampler.system.positions is None:
        return melt(sampler, params, temperature, seed, picoseconds)
    else:
        state = begin(sampler, params, temperature, seed)
    frames = math.ceil(picoseconds * 1000 / (sampler.timestep * sampler.stride))
    if frames:
        state, _ = sampler.run(state, params, temperature, frames, observe=False)
    return state
