"""A trajectory that came back, counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.files.energies import Energies

Array = NDArray[np.float64]


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
        arrays: dict[str, Any] = {name: getattr(self, name)[begin:] for name in names}
        optional = {name: getattr(self, name) for name in ("bonded", "positions")}
        arrays |= {name: one if one is None else one[begin:] for name, one in optional.items()}
        looked = {number: one for number, one in self.looked.items() if number >= skipped}
        return replace(self, **arrays, looked=looked, where=self.where[begin:], notes=(*self.notes, *notes))

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
        elif energies.lines == self.read:
            rows = self.numbers
        else:
            raise InputError(
                f"{energies.lines} lines for {self.read} frames, and no steps to tell which belong together",
                where=energies.where,
                fix="give one line a frame, or a column step and a dump that has them",
            )

        def known(name: str) -> Array:
            new: Array = getattr(energies, name)[rows]
            return np.where(np.isfinite(new), new, getattr(self, name))

        return replace(self, energy=known("energy"), virial=known("virial"), temperature=known("temperature"))


def digest_of(counts: NDArray[Any]) -> bytes:
    """By which the pair counts of a frame are told from those of all others."""
    return hashlib.blake2b(np.ascontiguousarray(counts, np.float32).tobytes(), digest_size=12).digest()
