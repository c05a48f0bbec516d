"""Trajectories of other programs as pair-distance counts: read with ASE frame by frame, counted in each frame's cell.

A cell that changes (NPT) is honoured: distances are those of the frame's own cell, and what is averaged over frames is
g(r), each frame's counts over those of an ideal gas in its own volume. `Frames.counts` are then the counts of a box of
the mean volume with that g(r). g(r) ends at the smallest r_box of all frames.

Text formats are read, as in `refine.sampling.structure_files`, and DCD, XTC and TRR; of a long trajectory, means over
blocks of frames are kept, so that memory does not grow with it.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import wrap
from kernels.histogram import pair_histogram
from refine.errors import InputError
from refine.progress import NullProgress, Progress
from refine.sampling.cells import in_words, taken, upright_vectors
from refine.sampling.formats import Naming
from refine.sampling.frames import Frames
from refine.sampling.structure_files import OVERLAP, refuse_unbounded
from refine.sampling.trajectory_files import atoms_of
from refine.sites import deuterium_in, species_of_atoms
from refine.system import System, bins_within, make_system

if TYPE_CHECKING:
    from ase import Atoms

BLOCKS = 1024
"""Blocks of frames from which neighbours are joined when there are twice as many."""

VOLUME_RANGE = 0.2
"""Relative departure of a frame's volume from the mean beyond which there is no one density to speak of."""

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
    named: Sequence[str] | None = None,
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
        kind: name of an ASE format, or of one of `refine.sampling.formats.BINARY`; None: found from the file.
        named: element of every atom, of a binary file; None: known where `species` is one.
        first, last, every: which frames are taken, counted from 1; last None: to the end.

    Raises:
        InputError: the file is missing, of a format that is not read, broken, without a periodic cell in all
            directions, or its frames contradict each other or `species`.
    """
    path = Path(path)
    where, progress = str(path), progress or NullProgress()
    progress.stage(f"counting pairs in {path.name}, per cent", 100)
    blocks: _Blocks | None = None
    upright: np.ndarray | None = None  # the same in all frames, so that their cells have a mean
    done = 0
    naming = Naming.of(elements, species or ())
    named = species if named is None and species is not None and len(species) == 1 else named
    for number, atoms, share in atoms_of(path, naming, kind, types, named=named, first=first, last=last, every=every):
        at = f"{where}, frame {number}"
        vectors, positions, present = checked(atoms, cell, at)
        present, _ = deuterium_in(present, species)  # a study says which isotope of hydrogen it is
        if blocks is None:
            upright = upright_vectors(vectors)
            if upright is not None:
                progress.message(f"{at}: {in_words(vectors, taken(upright, vectors))}")
        if upright is not None:
            vectors = taken(upright, vectors)
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


class _Blocks:
    """Sums of counts times volume, over blocks of equally many frames."""

    def __init__(self, system: System, bin_width: float, at: str) -> None:
        self.system, self.width = system, bin_width
        self.bins = bins_within(system.r_box, bin_width, at)
        if self.bins < 2:
            raise InputError(f"half of the cell, {system.r_box:.3g} Å, holds no bins of {bin_width} Å", where=at)
        self.sums: list[np.ndarray] = []
        self.length, self.filling = 1, 0  # frames of a block, and those that are in the last one if it is not full
        self.cells = array("d")  # (frames, 3, 3)
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
        self.cells.extend(np.asarray(cell, np.float64).ravel())
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
        read = np.frombuffer(self.cells).reshape(-1, 3, 3)
        cells = read[: len(full) * self.length]
        volumes = np.abs(np.linalg.det(cells))
        volume = float(volumes.mean())
        if max(volumes.max() / volume - 1, 1 - volumes.min() / volume) > VOLUME_RANGE:
            raise InputError(
                f"the volume runs from {volumes.min():.0f} to {volumes.max():.0f} Å^3: no sample of one density",
                where=where,
                fix="choose frames by --first and --last",
            )
        mean = cells.mean(axis=0)
        mean = mean * (volume / abs(np.linalg.det(mean))) ** (1 / 3) if np.ptp(cells, axis=0).any() else cells[0].copy()
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
    refuse_unbounded(positions, cell, at)
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
