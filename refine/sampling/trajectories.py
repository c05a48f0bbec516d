"""Trajectories of other programs as pair-distance counts: read with ASE frame by frame, counted in each frame's cell.

A cell that changes (NPT) is honoured: distances are those of the frame's own cell, and what is averaged over frames is
g(r), each frame's counts over those of an ideal gas in its own volume. `Frames.counts` are then the counts of a box of
the mean volume with that g(r). g(r) ends at the smallest r_box of all frames.

Only text formats are read, as in `refine.sampling.structure_files`; of a long trajectory, means over blocks of frames
are kept, so that memory does not grow with it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import wrap
from kernels.histogram import pair_histogram
from refine.errors import InputError
from refine.formula import element_of
from refine.progress import NullProgress, Progress
from refine.sampling.formats import FORMATS, Naming
from refine.sampling.formats.lammps import label_column
from refine.sampling.formats.pdb import refuse_disorder
from refine.sampling.frames import Frames
from refine.sampling.structure_files import OVERLAP, STRUCTURE_FORMATS, UNREADABLE, kind_of, reason_of, renamed
from refine.sites import deuterium_in, set_species, species_of_atoms
from refine.system import System, make_system

if TYPE_CHECKING:
    from ase import Atoms

TRAJECTORY_FORMATS = (
    *("extxyz", "lammps-dump-text", "vasp-xdatcar", "vasp-out", "vasp-xml"),
    *("gromacs", "proteindatabank", "dlp-history"),
)
"""Formats of several frames that are plain text, by ASE's names."""

SINGLE_FORMATS = tuple(kind for kind in STRUCTURE_FORMATS if kind not in (*TRAJECTORY_FORMATS, "lammps-data"))
"""Structures that count as trajectories of one frame. A LAMMPS data file has types, which ASE takes for elements."""

MAX_IN_MEMORY = 200_000_000
"""Bytes of a file in a format that is taken in as a whole: all but those that are split into frames."""

BLOCKS = 1024
"""Blocks of frames from which neighbours are joined when there are twice as many."""

VOLUME_RANGE = 0.2
"""Relative departure of a frame's volume from the mean beyond which there is no one density to speak of."""

_HEAD = 65536

_count = jax.jit(pair_histogram, static_argnames=("n_per_species", "n_bins", "orthorhombic"))


@dataclass(frozen=True)
class CountedTrajectory:
    """What a trajectory says of its pair distances.

    system: composition and mean cell.  frames: counts per block of frames; energies are NaN, they are not read.
    read: frames that entered.  volumes: smallest and largest of a frame, Å^3.
    first: positions (N, 3) and cell (3, 3) of the first one, Å.
    """

    system: System
    frames: Frames
    read: int
    volumes: tuple[float, float]
    first: tuple[np.ndarray, np.ndarray]

    def rescaled(self, number_density: float) -> Self:
        """All lengths multiplied by one factor, so that the mean number density (atoms/Å^3) becomes this one."""
        factor = (self.system.number_density / number_density) ** (1 / 3)
        return replace(
            self,
            system=replace(self.system, cell=self.system.cell * factor),
            frames=replace(self.frames, r_max=self.frames.r_max * factor, volume=self.frames.volume * factor**3),
            volumes=(self.volumes[0] * factor**3, self.volumes[1] * factor**3),
        )


def count_trajectory(
    path: str | Path,
    bin_width: float,
    *,
    species: Sequence[str] | None = None,
    types: Sequence[str] | None = None,
    elements: Mapping[str, str] | None = None,
    cell: np.ndarray | None = None,
    kind: str | None = None,
    first: int = 1,
    last: int | None = None,
    every: int = 1,
    progress: Progress | None = None,
) -> CountedTrajectory:
    """Pair-distance counts of the frames of a trajectory, in bins of `bin_width` (Å) up to half of the smallest box.

    Args:
        species: order of the elements; None: that in which they first appear.
        types: of a LAMMPS dump without elements, the element of each atom type, in order.
        elements: of a file that has labels, the element of a label, before all rules of `refine.sampling.elements`.
        cell: vectors (3, 3) in Å of a file that has none.
        kind: name of an ASE format; None: found from the file.
        first, last, every: which frames are taken, counted from 1; last None: to the end.

    Raises:
        InputError: the file is missing, of a format that is not read, broken, without a periodic cell in all
            directions, or its frames contradict each other or `species`.
    """
    path = Path(path)
    where, progress = str(path), progress or NullProgress()
    progress.stage(f"counting pairs in {path.name}, per cent", 100)
    blocks: _Blocks | None = None
    done = 0
    naming = Naming.of(elements, species or ())
    for number, atoms, share in atoms_of(path, naming, kind, types, first=first, last=last, every=every):
        at = f"{where}, frame {number}"
        vectors, positions, present = checked(atoms, cell, at)
        present, _ = deuterium_in(present, species)  # a study says which isotope of hydrogen it is
        if blocks is None:
            order = tuple(species) if species is not None else tuple(dict.fromkeys(present))
            blocks = _Blocks(_system(present, order, vectors, at), bin_width, at)
        rank = [order.index(symbol) if symbol in order else -1 for symbol in present]
        counts = tuple(rank.count(k) for k in range(len(order)))
        if counts != blocks.system.n_per_species or -1 in rank:
            raise InputError("the atoms are not those of the first frame", where=at, fix="give frames of one system")
        blocks.add(positions[np.argsort(rank, kind="stable")], vectors, at)
        progress.advance(int(100 * share) - done)
        done = int(100 * share)
    if blocks is None:
        raise InputError(f"there is no frame {first}", where=where, fix="lower --first, or give a file of frames")
    return blocks.counted(where)


class Truncated(InputError):
    """A file that ends within a frame."""


class _Blocks:
    """Sums of counts times volume, over blocks of equally many frames."""

    def __init__(self, system: System, bin_width: float, at: str) -> None:
        self.system, self.width = system, bin_width
        self.bins = int(system.r_box / bin_width)
        if self.bins < 2:
            raise InputError(f"half of the cell, {system.r_box:.3g} Å, holds no bins of {bin_width} Å", where=at)
        self.sums: list[np.ndarray] = []
        self.length, self.filling = 1, 0  # frames of a block, and those that are in the last one if it is not full
        self.cells: list[np.ndarray] = []
        self.reach = system.r_box
        self.first: tuple[np.ndarray, np.ndarray] = (np.zeros((0, 3)), system.cell)

    def add(self, positions: np.ndarray, cell: np.ndarray, at: str) -> None:
        """positions: (N, 3) Å, sorted by species."""
        frame = replace(self.system, cell=cell)
        self.reach = min(self.reach, frame.r_box)
        counts = _count(
            jnp.asarray(wrap(positions, cell), jnp.float32),
            jnp.asarray(cell, jnp.float32),
            n_per_species=frame.n_per_species,
            n_bins=self.bins,
            r_max=self.bins * self.width,
            orthorhombic=frame.orthorhombic,
        )
        weighted = np.asarray(counts, np.float64) * frame.volume
        overlapping = round(weighted[:, : int(OVERLAP / self.width)].sum() / frame.volume)
        if overlapping:
            raise InputError(f"{overlapping} pairs of atoms are closer than {OVERLAP} Å", where=at)
        if not self.cells:
            self.first = positions, cell
        self.cells.append(cell)
        if self.filling == 0:
            if len(self.sums) == 2 * BLOCKS:
                self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
                self.length *= 2
            self.sums.append(weighted)
        else:
            self.sums[-1] += weighted
        self.filling = (self.filling + 1) % self.length

    def counted(self, where: str) -> CountedTrajectory:
        """The blocks that are full; a last one that is not, one frame of 2,000 or less, is left out."""
        full = self.sums[:-1] if self.filling else self.sums
        cells = np.array(self.cells[: len(full) * self.length])
        volumes = np.abs(np.linalg.det(cells))
        volume = float(volumes.mean())
        if max(volumes.max() / volume - 1, 1 - volumes.min() / volume) > VOLUME_RANGE:
            raise InputError(
                f"the volume runs from {volumes.min():.0f} to {volumes.max():.0f} Å^3: no sample of one density",
                where=where,
                fix="choose frames by --first and --last",
            )
        mean = cells.mean(axis=0)
        mean = mean * (volume / abs(np.linalg.det(mean))) ** (1 / 3) if np.ptp(cells, axis=0).any() else cells[0]
        bins = int(self.reach / self.width)
        unknown = np.full(len(full), np.nan)
        frames = Frames(
            counts=(np.array([s[:, :bins] for s in full]) / (self.length * volume)).astype(np.float32),
            energy=unknown,
            virial=unknown,
            temperature=unknown,
            replica=np.zeros(len(full), np.int64),
            r_max=bins * self.width,
            n_per_species=self.system.n_per_species,
            volume=volume,
        )
        extremes = (float(volumes.min()), float(volumes.max()))
        return CountedTrajectory(replace(self.system, cell=mean), frames, len(cells), extremes, self.first)


def _system(present: Sequence[str], order: tuple[str, ...], cell: np.ndarray, at: str) -> System:
    if set(order) != set(present):
        raise InputError(
            f"the frame holds {', '.join(dict.fromkeys(present))}, the study {', '.join(order)}",
            where=at,
            fix="give the study of this system",
        )
    return make_system({symbol: list(present).count(symbol) for symbol in order}, cell, where=at)


def checked(atoms: Atoms, given: np.ndarray | None, at: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Cell (3, 3) and positions (N, 3) in Å, and the symbol of every atom.

    given: vectors (3, 3) Å of frames without a cell.  at: for errors.
    Raises InputError for what is no frame of a periodic box.
    """
    if given is not None:
        if atoms.cell.rank:
            raise InputError("the frame has a cell", where=at, fix="leave --cell out")
        atoms.set_cell(given)
        atoms.set_pbc(True)
    cell, positions = atoms.cell.array, atoms.positions
    if len(atoms) == 0:
        raise InputError("the frame has no atoms", where=at)
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise InputError("a coordinate or lattice vector is not a finite number", where=at)
    if abs(np.linalg.det(cell)) < 1e-6:
        raise InputError(
            "the frame has no cell", where=at, fix='give it: --cell A,B,C or all three vectors (extxyz: Lattice="...")'
        )
    if not atoms.pbc.all():
        raise InputError(
            f"the frame is periodic along {int(atoms.pbc.sum())} of 3 vectors",
            where=at,
            fix='make it periodic (extxyz: pbc="T T T")',
        )
    return cell, positions, species_of_atoms(atoms)


# --- the file ---------------------------------------------------------------------------------------------------------


def atoms_of(
    path: Path,
    naming: Naming,
    kind: str | None = None,
    types: Sequence[str] | None = None,
    *,
    usual: Sequence[str] | None = None,
    first: int = 1,
    last: int | None = None,
    every: int = 1,
) -> Iterator[tuple[int, Atoms, float]]:
    """Number and atoms of the chosen frames, elements set, and the share of the file that has been read.

    The arguments are those of `count_trajectory`; naming: of the labels of a file; usual: `types` of a dump without
    elements where none are given.
    Raises InputError as that does, and `Truncated` where the file ends within a frame.
    """
    from ase.io import ParseError

    head = _head(path)
    kind = _kind(path, head) if kind is None else kind
    formats = (*TRAJECTORY_FORMATS, *SINGLE_FORMATS)
    where, fix = str(path), f"use one of {', '.join(formats)}"
    if kind not in formats:
        raise InputError(f"trajectories of format {kind!r} are not read", where=where, fix=fix)
    size = path.stat().st_size
    split = FORMATS[kind].split if kind in FORMATS else None
    if split is None and size > MAX_IN_MEMORY:
        raise InputError(f"a {kind} file of {size / 1e6:.0f} MB", where=where, fix="convert it to extended XYZ")
    if kind == "proteindatabank":
        refuse_disorder(path)
    typed = _by_type(head, kind, types, usual, naming, where)
    # of what is split here these are the file's faults, and others are ours
    broken = (ValueError, EOFError) if split is not None else (ParseError, EOFError, *UNREADABLE)
    number = 0
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace") as stream:
        frames: Iterator[str] | Iterator[Atoms]  # text of a frame, or what ASE has made of it
        frames = (
            _by_ase(path, kind) if kind not in FORMATS else iter([stream.read()]) if split is None else split(stream)
        )
        while last is None or number < last:
            number += 1
            at = f"{where}, frame {number}"
            mend = "mend the file" + (f", or stop before it: --last {number - 1}" if number > 1 else "")
            try:
                frame = next(frames, None)
            except InputError:
                raise
            except broken as error:
                fault = Truncated if isinstance(error, EOFError) else InputError
                raise fault(f"not readable as {kind}: {reason_of(error)}", where=at, fix=mend) from None
            if frame is None:
                return
            if number < first or (number - first) % every:
                continue
            try:
                if isinstance(frame, str):
                    atoms = FORMATS[kind].atoms(frame, naming, at)
                else:
                    atoms = renamed(frame, naming, at, kind)
            except InputError:
                raise
            except (ParseError, EOFError, *UNREADABLE) as error:
                raise InputError(f"not readable as {kind}: {reason_of(error)}", where=at, fix=mend) from None
            if typed:
                _set_elements(atoms, typed, at)
            yield number, atoms, raw.tell() / size if split is not None else 0.0


def _by_ase(path: Path, kind: str) -> Iterator[Atoms]:
    import ase.io

    yield from ase.io.iread(path, slice(None), format=kind, do_not_split_by_at_sign=True)


def _head(path: Path) -> bytes:
    where = str(path)
    if not path.is_file():
        raise InputError("no such trajectory", where=where)
    if path.suffix in (".gz", ".bz2", ".xz"):
        raise InputError("a compressed trajectory", where=where, fix="decompress it")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None
    if not head.strip():
        raise InputError("the file is empty", where=where)
    if len(head) == _HEAD and b"\n" not in head:
        raise InputError("not a text file of lines", where=where)
    return head


def _kind(path: Path, head: bytes) -> str:
    from ase.io.formats import UnknownFileTypeError

    try:
        return kind_of(path, head)
    except (UnknownFileTypeError, *UNREADABLE):
        raise InputError(
            "not a known trajectory format", where=str(path), fix=f"name it: --format {' | '.join(TRAJECTORY_FORMATS)}"
        ) from None


def _by_type(
    head: bytes,
    kind: str,
    types: Sequence[str] | None,
    usual: Sequence[str] | None,
    naming: Naming,
    where: str,
) -> tuple[str, ...]:
    """Elements by atom type, where the file has no elements; else nothing."""
    from ase.data import atomic_numbers

    named = True
    if kind == "lammps-dump-text":
        lines = head.decode("latin-1").splitlines()
        at = next((k for k, line in enumerate(lines[:-1]) if line.startswith("ITEM: ATOMS")), None)
        numbered = bool(naming.given) and types is None
        label = None if at is None else label_column(lines[at], lines[at + 1], numbered=numbered)
        named = label is not None or (types is None and at is not None and "mass" in lines[at].split())
    if not named and types is None:
        types = usual
    if named and types is not None:
        raise InputError("the file names its elements", where=where, fix="leave --species out, or use --elements")
    if types is not None and naming.given:
        raise InputError("--species and --elements are both given", where=where, fix="leave one of them out")
    if not named and types is None:
        raise InputError(
            "the dump holds atom types, no elements",
            where=where,
            fix="give the element of each type in order, as in --species Si,O, or --elements 1=Si,2=O",
        )
    for symbol in types or ():
        if atomic_numbers.get(element_of(symbol), 0) == 0:
            raise InputError(f"unknown element {symbol!r}", where="--species", fix="write them as Si,O")
    return () if named else tuple(types or ())


def _set_elements(atoms: Atoms, types: tuple[str, ...], at: str) -> None:
    numbers = np.asarray(atoms.arrays.get("type", atoms.numbers))
    if numbers.min() < 1 or numbers.max() > len(types):
        raise InputError(
            f"atom types run from {numbers.min()} to {numbers.max()} and --species names {len(types)} elements",
            where=at,
            fix="name the element of each type in order, as in --species Si,O",
        )
    set_species(atoms, [types[t - 1] for t in numbers])
