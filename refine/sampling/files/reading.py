"""What came back of a trajectory, whatever program made it: frames of one box, counted, with what is known of them.

Frames are read one by one and counted in blocks, and their positions end there. Counts take room, too: where a
trajectory has more frames than there is room for, every second one of those that are kept is let go, as often as it
takes. What is left is evenly spaced.
"""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.counting import counts_of_pairs, pair_counts
from refine.sampling.files.energies import Energies
from refine.sampling.files.sampler import Bonded
from refine.sampling.formats import Naming
from refine.sampling.formats.lammps import STEP
from refine.sampling.structure_files import OVERLAP
from refine.sampling.trajectories import checked
from refine.sampling.trajectory_files import DCD, Truncated, atoms_of, kind_of_trajectory
from refine.sites import deuterium_in
from refine.system import System
from refine.units import BOLTZMANN

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

SAME_BOX = 1e-4
"""Of the squared edges: what the digits of a file may make of a box."""

BLOCK = 64
"""Frames that are counted together."""

LOOKED = 16
"""Frames at most whose positions are kept for whoever wants to look at some; half as many at least, if there are."""


@dataclass(frozen=True)
class Trajectory:
    """Frames of one trajectory, in order of time: all, or of a long one so many as there is room for, evenly spaced.

    counts, bonded: (F, pairs, bins), see `Frames`.  positions: (F, N, 3) Å, sorted by species; None: not kept.
    last: (N, 3) Å, of the last frame that was read.
    looked: some of the frames, by their numbers, with positions (N, 3) Å.
    numbers: (F,) of the frames, among all `read` that count, from 0 on.
    energy, virial, temperature: (F,) eV, eV, K; NaN where nobody says.
    steps: (F,) numbers of their steps; -1 where nobody says.
    where: of each frame, for errors.  notes: what was passed over, in words.
    """

    counts: NDArray[np.float32]
    bonded: NDArray[np.float32] | None
    positions: NDArray[np.floating[Any]] | None
    last: Array
    looked: Mapping[int, Array]
    numbers: NDArray[np.int64]
    read: int
    energy: Array
    virial: Array
    temperature: Array
    steps: NDArray[np.int64]
    where: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.energy)

    def after(self, skipped: int, *notes: str) -> Self:
        """Without the first `skipped` of all frames that were read."""
        begin = int(np.searchsorted(self.numbers, skipped))
        names = ("counts", "numbers", "energy", "virial", "temperature", "steps")
        arrays = {name: getattr(self, name)[begin:] for name in names}
        optional = {name: getattr(self, name) for name in ("bonded", "positions")}
        arrays |= {name: one if one is None else one[begin:] for name, one in optional.items()}
        looked = {number: one for number, one in self.looked.items() if number >= skipped}
        more = {"looked": looked, "where": self.where[begin:], "notes": (*self.notes, *notes)}
        return replace(self, **arrays, **more)

    def with_energies(self, energies: Energies) -> Self:
        """The same frames with what a table or log says of them: by the number of the step where both have it, else
        one row a frame. InputError where they do not belong together."""
        if energies.steps is not None and (self.steps >= 0).all():
            row_of = {step: row for row, step in enumerate(energies.steps.tolist())}  # of one step twice, the later one
            lacking = next((k for k, step in enumerate(self.steps.tolist()) if step not in row_of), None)
            if lacking is not None:
                raise InputError(
                    f"there is no line of step {self.steps[lacking]}, which {self.where[lacking]} is of",
                    where=energies.where,
                    fix="write energies whenever a frame is written",
                )
            rows = np.array([row_of[step] for step in self.steps.tolist()])
        elif len(energies) == self.read:
            rows = self.numbers
        else:
            raise InputError(
                f"{len(energies)} lines for {self.read} frames, and no steps to tell which belong together",
                where=energies.where,
                fix="give one line a frame, or a column step and a dump that has them",
            )

        def known(name: str) -> Array:
            new: Array = getattr(energies, name)[rows]
            return np.where(np.isfinite(new), new, getattr(self, name))

        return replace(self, energy=known("energy"), virial=known("virial"), temperature=known("temperature"))


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Files by their names, numbers in them as numbers.

    >>> [path.name for path in in_order([Path("dump.1000"), Path("dump.200")])]
    ['dump.200', 'dump.1000']
    """

    def key(path: Path) -> list[tuple[int, int, str]]:
        return [(0, int(w), "") if w.isdecimal() else (1, 0, w) for w in re.split(r"(\d{1,18})", path.name)]

    return sorted(paths, key=key)


def read_trajectory(
    paths: Sequence[Path],
    system: System,
    *,
    n_bins: int,
    r_max: float,
    precision: str,
    positions: bool,
    most: int | None = None,
    bonded: Bonded | None = None,
) -> Trajectory:
    """The frames of files that one trajectory was written to, one after the other.

    A dump that has types and no elements has those of the study in its order, a DCD its atoms; one without a cell is of
    the box of the study. A last frame that is not whole is left out, frames that are there twice are taken once, and
    where steps go back, a job went on from an earlier one: what was written behind it is left out. All of this is
    noted.

    Args:
        system: whose atoms and box the frames must have.
        n_bins, r_max, precision: see `refine.sampling.counting.pair_counts`.
        positions: whether they are kept.
        most: frames that there is room for, at least two: of more, so many at most and half as many at least are kept.
            None: of all.
        bonded: molecules, whose bonds tell whether the atoms come in the order of the study.

    Raises:
        InputError: no frame, other atoms, another box, atoms on one spot, or files of several trajectories.
    """
    notes: list[str] = []
    found = _Counted(system, n_bins, r_max, precision, positions=positions, most=most, bonded=bonded)
    for path in paths:
        for one in _frames_of(path, system, notes, 0 if bonded is None else bonded.topology.constraints):
            found.add(one)
    if found.last is None:
        raise InputError("there is no frame", where=str(paths[0]))
    return found.trajectory(notes)


def digest_of(counts: NDArray[Any]) -> bytes:
    """By which the pair counts of a frame are told from those of all others."""
    return hashlib.blake2b(np.ascontiguousarray(counts, np.float32).tobytes(), digest_size=12).digest()


@dataclass(frozen=True)
class _Frame:
    positions: Array
    energy: float
    virial: float
    temperature: float
    step: int
    where: str


class _Kept(NamedTuple):
    """Of one frame."""

    counts: NDArray[np.float32]
    bonded: NDArray[np.float32] | None
    positions: NDArray[Any] | None
    where: str


class _Counted:
    """The frames of a trajectory so far; arguments as of `read_trajectory`.

    Of every frame that counts there are its numbers, and of those that are kept the counts: each `every`-th.
    """

    def __init__(
        self,
        system: System,
        n_bins: int,
        r_max: float,
        precision: str,
        *,
        positions: bool,
        most: int | None,
        bonded: Bonded | None,
    ) -> None:
        self.system, self.bins, self.r_max, self.precision = system, n_bins, r_max, precision
        self.positions, self.most, self.every, self.bonded = positions, most, 1, bonded
        self.waiting: list[_Frame] = []
        self.last: _Frame | None = None
        self.numbers = {name: array("d") for name in ("energy", "virial", "temperature")}
        self.steps = array("q")
        self.kept: dict[int, _Kept] = {}
        self.looked: dict[int, Array] = {}
        self.look_every = 1
        self.seen: set[bytes] = set()
        self.again = self.left = 0

    def add(self, frame: _Frame) -> None:
        """One more."""
        self.waiting.append(frame)
        self.last = frame
        if len(self.waiting) == BLOCK:
            self._count()

    def trajectory(self, notes: Sequence[str]) -> Trajectory:
        """All of them, of which there is one at least."""
        self._count()
        assert self.last is not None
        numbers = sorted(self.kept)
        kept = [self.kept[k] for k in numbers]
        said = list(notes)
        if self.again:
            said.append(f"{self.again} frames that were there before are left out")
        if self.left:
            said.append(f"{self.left} frames behind the step that a later job went on from are left out")
        if self.every > 1:
            said.append(f"of {len(self.steps)} frames one in {self.every} is taken: there is no room for all")
        chosen = np.array(numbers)
        bonded = [one.bonded for one in kept if one.bonded is not None]
        positions = [one.positions for one in kept if one.positions is not None]
        return Trajectory(
            counts=np.stack([one.counts for one in kept]),
            bonded=np.stack(bonded) if bonded else None,
            positions=np.stack(positions) if positions else None,
            last=self.last.positions,
            looked=dict(self.looked),
            numbers=chosen,
            read=len(self.steps),
            steps=np.array(self.steps, np.int64)[chosen],
            where=tuple(one.where for one in kept),
            notes=tuple(said),
            **{name: np.array(values)[chosen] for name, values in self.numbers.items()},
        )

    def _count(self) -> None:
        if not self.waiting:
            return
        there = np.stack([one.positions for one in self.waiting])
        counts = pair_counts(there, self.system, self.bins, self.r_max, self.precision)
        overlapping = counts[:, :, : int(OVERLAP * self.bins / self.r_max)].sum(axis=(1, 2))
        if overlapping.any():
            worst = int(overlapping.argmax())
            raise InputError(
                f"{overlapping[worst]:.0f} pairs of atoms are closer than {OVERLAP} Å",
                where=self.waiting[worst].where,
                fix="if the potential does that, say so with --failed",
            )
        within = self._within(there, counts)
        for k, (frame, of_frame) in enumerate(zip(self.waiting, counts, strict=True)):
            digest = digest_of(of_frame)
            if digest in self.seen:  # a job that goes on may write the frame that it begins from again
                self.again += 1
                continue
            self.seen.add(digest)
            self._go_back(frame)
            self._keep(frame, of_frame, None if within is None else within[k])
        self.waiting = []

    def _within(self, positions: Array, counts: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Counts of the pairs of molecules that the correction leaves out. InputError where bonds are none: then atoms
        of a species come in another order, and nobody knows who is whose."""
        if self.bonded is None:
            return None
        one, cell = self.bonded, self.system.cell
        for frame in self.waiting:
            wrong = one.topology.misfit(frame.positions, cell)
            if wrong is not None:
                raise InputError(
                    f"{wrong} than the molecules of the study",
                    where=frame.where,
                    fix="keep the atoms of each species in the order of structure.data",
                )
        return counts_of_pairs(positions, self.system, one.pairs, one.share, counts, self.r_max)

    def _go_back(self, frame: _Frame) -> None:
        """Let go what a job had written behind the step that the next one went on from. InputError where that is the
        first step: then these are several trajectories."""
        steps = self.steps
        if not steps or frame.step < 0 or min(steps[0], steps[-1]) < 0 or frame.step > steps[-1]:
            return
        if frame.step <= steps[0]:
            raise InputError(
                f"step {frame.step} comes behind step {steps[-1]}, and the first was {steps[0]}",
                where=frame.where,
                fix="number the files of one trajectory in its order; where there are several, see sampling.replicas",
            )
        while frame.step <= steps[-1]:
            self.left += 1
            for values in (steps, *self.numbers.values()):
                values.pop()
            for stored in (self.kept, self.looked):
                stored.pop(len(steps), None)

    def _keep(self, frame: _Frame, counts: NDArray[np.float32], bonded: NDArray[np.float32] | None) -> None:
        number = len(self.steps)
        self.steps.append(frame.step)
        for name, values in self.numbers.items():
            values.append(getattr(frame, name))
        if number % self.look_every == 0:
            self.looked[number] = frame.positions
            if len(self.looked) > LOOKED:
                self.look_every *= 2
                self.looked = {k: one for k, one in self.looked.items() if k % self.look_every == 0}
        if number % self.every == 0:
            positions = frame.positions.astype(self.precision) if self.positions else None
            bonded = None if bonded is None else bonded.copy()  # and not a view of the whole block
            self.kept[number] = _Kept(counts.copy(), bonded, positions, frame.where)
            if self.most is not None and len(self.kept) > self.most:
                self.every *= 2
                self.kept = {k: one for k, one in self.kept.items() if k % self.every == 0}


def _frames_of(path: Path, system: System, notes: list[str], held: int) -> Iterator[_Frame]:
    """The frames of a file, each when the next one is there: the last may not be whole. held: degrees of freedom."""
    naming, before = Naming.of(None, system.species), list[_Frame]()
    named = np.repeat(system.species, system.n_per_species).tolist()
    binary = kind_of_trajectory(path) == DCD
    # of a box that programs turn nobody could say how it was turned
    upright = not np.triu(system.cell, 1).any()

    def boxless(atoms: Atoms) -> bool:
        return binary and upright and not atoms.cell.rank

    def is_cut() -> bool:
        return not binary and _is_cut(path)

    try:
        for number, atoms, _ in atoms_of(path, naming, usual=system.species, named=named):
            yield from before
            if boxless(atoms):
                if number == 1:
                    notes.append(f"{path.name} has no cell: its frames are taken to be of the box of the study")
                atoms.set_cell(system.cell)
                atoms.set_pbc(True)
            before = [_frame(atoms, system, held, f"{path}, frame {number}")]
    except InputError as error:
        if not (isinstance(error, Truncated) or (before and is_cut())):
            raise
        notes.append(f"{path.name} ends within a frame, which is left out")
    else:
        if before and is_cut():  # whatever its last line was to be
            notes.append(f"{path.name} ends within a line, and its last frame is left out")
            return
    yield from before


def _is_cut(path: Path) -> bool:
    """Whether the last line of a file was not finished."""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def _frame(atoms: Atoms, system: System, held: int, at: str) -> _Frame:
    if atoms.cell.rank < 3:
        raise InputError("the frame has no cell", where=at, fix='write it with the frames (extxyz: Lattice="...")')
    cell, positions, present = checked(atoms, None, at)
    present, _ = deuterium_in(present, system.species)  # a study says which isotope of hydrogen it is
    numbers = {name: present.count(name) for name in dict.fromkeys((*system.species, *present))}
    if [numbers[name] for name in system.species] != list(system.n_per_species) or len(numbers) > len(system.species):
        wanted = dict(zip(system.species, system.n_per_species, strict=True))
        raise InputError(f"the frame has {_words(numbers)}, the study {_words(wanted)}", where=at)
    metric, ours = cell @ cell.T, system.cell @ system.cell.T
    if np.abs(metric - ours).max() > SAME_BOX * np.diag(ours).max():
        raise InputError(
            f"the box is {_edges(cell)}, and that of the study {_edges(system.cell)}",
            where=at,
            fix="sample at constant volume, from the structure that was written",
        )
    order = np.argsort([system.species.index(name) for name in present], kind="stable")
    placed = (positions @ np.linalg.inv(cell) @ system.cell)[order]  # the same box, however it is turned
    results: dict[str, Any] = {} if atoms.calc is None else atoms.calc.results
    energy = results.get("energy", results.get("free_energy", np.nan))
    stress = results.get("stress")
    virial = np.nan if stress is None else -system.volume * float(np.sum(np.asarray(stress).ravel()[:3]))
    temperature = np.nan
    if atoms.has("momenta"):
        temperature = 2.0 * float(atoms.get_kinetic_energy()) / ((3 * len(atoms) - held) * BOLTZMANN)
    return _Frame(placed, float(energy), virial, temperature, int(atoms.info.get(STEP, -1)), at)


def _words(numbers: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in numbers.items())


def _edges(cell: Array) -> str:
    a, b, c = np.linalg.norm(cell, axis=1)
    angles = [
        np.degrees(np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1.0, 1.0)))
        for u, v in ((cell[1], cell[2]), (cell[0], cell[2]), (cell[0], cell[1]))
    ]
    turned = "" if np.allclose(angles, 90.0, atol=0.01) else " at " + ", ".join(f"{x:.2f}" for x in angles) + "°"
    return f"{a:.4f} × {b:.4f} × {c:.4f} Å{turned}"
