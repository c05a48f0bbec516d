"""What came back of a trajectory, whatever program made it: frames of one box, counted, with what is known of them.

Frames are read one by one and counted in blocks, and their positions end there. Counts take room, too: where a
trajectory has more frames than there is room for, every second one of those that are kept is let go, as often as it
takes. What is left is evenly spaced.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.counting import pair_counts
from refine.sampling.files.frames import Frame, frames_of
from refine.sampling.files.trajectory import Trajectory, digest_of
from refine.sampling.molecules import Molecules
from refine.sampling.structure_files import OVERLAP
from refine.system import System

Array = NDArray[np.float64]

BLOCK = 64
"""Frames that are counted together."""

LOOKED = 16
"""Frames at most whose positions are kept for whoever wants to look at some; half as many at least, if there are."""


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
    molecules: Molecules | None = None,
) -> Trajectory:
    """The frames of files that one trajectory was written to, one after the other.

    A dump that has types and no elements has those of the study in its order, a DCD, XTC or TRR its atoms; one without
    a cell is of the box of the study. A last frame that is not whole is left out, frames that are there twice are taken
    once, and where steps go back, a job went on from an earlier one: what was written behind it is left out. All of
    this is noted.

    Args:
        system: whose atoms and box the frames must have.
        n_bins, r_max, precision: see `refine.sampling.counting.pair_counts`.
        positions: whether they are kept.
        most: frames that there is room for, at least two: of more, so many at most and half as many at least are kept.
            None: of all.
        molecules: of the box; their bonds tell whether the atoms come in the order of the study.

    Raises:
        InputError: no frame, other atoms, another box, atoms on one spot, or files of several trajectories.
    """
    notes: list[str] = []
    found = _Counted(system, n_bins, r_max, precision, positions=positions, most=most, molecules=molecules)
    for path in paths:
        for one in frames_of(path, system, notes, 0 if molecules is None else molecules.constraints):
            found.add(one)
    if found.last is None:
        raise InputError("there is no frame", where=str(paths[0]))
    return found.trajectory(notes)


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
        molecules: Molecules | None,
    ) -> None:
        self.system, self.bins, self.r_max, self.precision = system, n_bins, r_max, precision
        self.positions, self.most, self.every, self.molecules = positions, most, 1, molecules
        self.waiting: list[Frame] = []
        self.last: Frame | None = None
        self.numbers = {name: array("d") for name in ("energy", "virial", "temperature")}
        self.steps = array("q")
        self.kept: dict[int, _Kept] = {}
        self.looked: dict[int, Array] = {}
        self.look_every = 1
        self.seen: set[bytes] = set()
        self.again = self.left = 0

    def add(self, frame: Frame) -> None:
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
        within = None
        if self.molecules is not None:
            self._check_bonds(self.molecules)
            counts, within = self.molecules.counts(there, self.system, counts, self.r_max)
        for k, (frame, of_frame) in enumerate(zip(self.waiting, counts, strict=True)):
            digest = digest_of(of_frame)
            if digest in self.seen:  # a job that goes on may write the frame that it begins from again
                self.again += 1
                continue
            self.seen.add(digest)
            self._go_back(frame)
            self._keep(frame, of_frame, None if within is None else within[k])
        self.waiting = []

    def _check_bonds(self, molecules: Molecules) -> None:
        """InputError where bonds are none: then atoms of a species come in another order, and nobody knows who is
        whose."""
        for frame in self.waiting:
            wrong = molecules.topology.misfit(frame.positions, self.system.cell)
            if wrong is not None:
                raise InputError(
                    f"{wrong[0]} bonds of the study have other lengths, the first {wrong[1]:.2f} Å instead of "
                    f"{wrong[2]:.2f}",
                    where=frame.where,
                    fix="keep the atoms of each species in the order of structure.data",
                )

    def _go_back(self, frame: Frame) -> None:
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
            steps.pop()
            for values in self.numbers.values():
                values.pop()
            self.kept.pop(len(steps), None)
            self.looked.pop(len(steps), None)

    def _keep(self, frame: Frame, counts: NDArray[np.float32], bonded: NDArray[np.float32] | None) -> None:
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
