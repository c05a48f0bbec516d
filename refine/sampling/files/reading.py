"""What came back of a trajectory, whatever program made it: frames of one box, counted, with what is known of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.counting import pair_counts
from refine.sampling.files.energies import Energies
from refine.sampling.formats import Naming
from refine.sampling.formats.lammps import STEP
from refine.sampling.structure_files import OVERLAP
from refine.sampling.trajectories import Truncated, atoms_of, checked
from refine.sites import deuterium_in
from refine.system import System
from refine.units import BOLTZMANN

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

SAME_BOX = 1e-4
"""Of the squared edges: what the digits of a file may make of a box."""


@dataclass(frozen=True)
class Trajectory:
    """Frames of one trajectory, in order of time.

    counts: (F, pairs, bins), see `Frames`.  positions: (F, N, 3) Å, sorted by species; None: not kept.
    last: (N, 3) Å, of the last frame.
    energy, virial, temperature: (F,) eV, eV, K; NaN where nobody says.
    steps: (F,) numbers of their steps; -1 where nobody says.
    where: of each frame, for errors.  notes: what was passed over, in words.
    """

    counts: NDArray[np.float32]
    positions: NDArray[np.floating[Any]] | None
    last: Array
    energy: Array
    virial: Array
    temperature: Array
    steps: NDArray[np.int64]
    where: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.energy)

    def of(self, chosen: NDArray[Any], *notes: str) -> Self:
        """Some of the frames, by their indices."""
        arrays = {n: getattr(self, n)[chosen] for n in ("counts", "energy", "virial", "temperature", "steps")}
        positions = None if self.positions is None else self.positions[chosen]
        where = tuple(self.where[k] for k in chosen)
        return replace(self, **arrays, positions=positions, where=where, notes=(*self.notes, *notes))

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
        elif len(energies) == len(self):
            rows = np.arange(len(self))
        else:
            raise InputError(
                f"{len(energies)} lines for {len(self)} frames, and no steps to tell which belong together",
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
    paths: Sequence[Path], system: System, *, n_bins: int, r_max: float, precision: str, positions: bool
) -> Trajectory:
    """The frames of files that one trajectory was written to, one after the other.

    A dump that has types and no elements has those of the study in its order. A last frame that is not whole is left
    out, frames that are there twice are taken once, and where steps go back, a job went on from an earlier one: what
    was written behind it is left out. All of this is noted.

    Args:
        system: whose atoms and box the frames must have.
        n_bins, r_max, precision: see `refine.sampling.counting.pair_counts`.
        positions: whether they are kept.

    Raises:
        InputError: no frame, other atoms, another box, atoms on one spot, or files of several trajectories.
    """
    found: list[_Frame] = []
    notes: list[str] = []
    for path in paths:
        found += _frames_of(path, system, notes)
    if not found:
        raise InputError("there is no frame", where=str(paths[0]))
    counts = pair_counts(np.stack([one.positions for one in found]), system, n_bins, r_max, precision)
    width = r_max / n_bins
    overlapping = counts[:, :, : int(OVERLAP / width)].sum(axis=(1, 2))
    if overlapping.any():
        worst = int(overlapping.argmax())
        raise InputError(
            f"{overlapping[worst]:.0f} pairs of atoms are closer than {OVERLAP} Å",
            where=found[worst].where,
            fix="if the potential does that, say so with --failed",
        )
    trajectory = Trajectory(
        counts=counts,
        positions=np.stack([one.positions for one in found]).astype(precision) if positions else None,
        last=found[-1].positions,
        energy=np.array([one.energy for one in found]),
        virial=np.array([one.virial for one in found]),
        temperature=np.array([one.temperature for one in found]),
        steps=np.array([one.step for one in found], np.int64),
        where=tuple(one.where for one in found),
        notes=tuple(notes),
    )
    return _gone_on(_once(trajectory))


def _once(trajectory: Trajectory) -> Trajectory:
    """Each frame once: a job that goes on may write the frame that it begins from again."""
    seen: dict[bytes, int] = {}
    kept = [k for k, counts in enumerate(trajectory.counts) if seen.setdefault(counts.tobytes(), k) == k]
    again = len(trajectory) - len(kept)
    return trajectory.of(np.array(kept), f"{again} frames that were there before are left out") if again else trajectory


def _gone_on(trajectory: Trajectory) -> Trajectory:
    """Without the frames that a job had written behind the step that the next one went on from. InputError where that
    is the first step: then these are several trajectories."""
    steps = trajectory.steps
    if not (steps >= 0).all():
        return trajectory
    kept: list[int] = []
    for k, step in enumerate(steps.tolist()):
        if kept and step <= steps[kept[0]]:
            raise InputError(
                f"step {step} comes behind step {steps[kept[-1]]}, and the first was {steps[kept[0]]}",
                where=trajectory.where[k],
                fix="number the files of one trajectory in its order; where there are several, see sampling.replicas",
            )
        while kept and step <= steps[kept[-1]]:
            kept.pop()
        kept.append(k)
    left = len(trajectory) - len(kept)
    note = f"{left} frames behind the step that a later job went on from are left out"
    return trajectory.of(np.array(kept), note) if left else trajectory


@dataclass(frozen=True)
class _Frame:
    positions: Array
    energy: float
    virial: float
    temperature: float
    step: int
    where: str


def _frames_of(path: Path, system: System, notes: list[str]) -> list[_Frame]:
    found: list[_Frame] = []
    naming = Naming.of(None, system.species)
    try:
        for number, atoms, _ in atoms_of(path, naming, usual=system.species):
            found.append(_frame(atoms, system, f"{path}, frame {number}"))
    except InputError as error:
        if not (isinstance(error, Truncated) or (found and _is_cut(path))):
            raise
        notes.append(f"{path.name} ends within a frame, which is left out")
        return found
    if found and _is_cut(path):  # whatever its last line was to be
        notes.append(f"{path.name} ends within a line, and its last frame is left out")
        found.pop()
    return found


def _is_cut(path: Path) -> bool:
    """Whether the last line of a file was not finished."""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def _frame(atoms: Atoms, system: System, at: str) -> _Frame:
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
        temperature = 2.0 * float(atoms.get_kinetic_energy()) / (3 * len(atoms) * BOLTZMANN)
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
