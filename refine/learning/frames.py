"""Labelled frames: configurations with energies, forces and stresses, read from extended XYZ.

Files are from outside: they are read by ASE as text, nothing in them is run, and every number that is used is finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.geometry import complete_cell
from ase.neighborlist import primitive_neighbor_list
from numpy.typing import NDArray

from kernels.cell import perpendicular_heights
from kernels.neighbors import choose_images
from refine.errors import InputError
from refine.learning.headers import of_box, weights_in
from refine.learning.keys import Labels
from refine.learning.reading import atoms_in

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

FARTHEST = 1e6
"""Å, of coordinates and lattice vectors."""

CLOSEST = 0.1
"""Å; atoms nearer than that are one atom given twice."""

ASYMMETRY = 1e-3
"""Of a stress, in parts of its largest component: what rounding leaves."""


@dataclass(frozen=True)
class LabelledFrame:
    """A configuration and what is known of it; None where nothing is.

    Attributes:
        symbols: of the atoms, in the order of the file.
        positions: (N, 3) Å.
        cell: (3, 3) Å, lattice vectors as rows; of vectors that are not periodic anything.
        periodic: (3,) bool.
        energy: eV, of all atoms.
        forces: (N, 3) eV/Å.
        stress: (3, 3) eV/Å^3, dE/dstrain over the volume, positive under tension, as ASE has it.
        weight: in the loss; energy_weight, forces_weight, stress_weight: of its labels, times that.
        kind: what weights go by; None where none is asked for or said.
        charge, spin: of the box, e and 2S + 1; None: the file says nothing.
        where: file and number, for messages.
    """

    symbols: tuple[str, ...]
    positions: Array
    cell: Array
    periodic: NDArray[np.bool_]
    energy: float | None = None
    forces: Array | None = None
    stress: Array | None = None
    weight: float = 1.0
    energy_weight: float = 1.0
    forces_weight: float = 1.0
    stress_weight: float = 1.0
    kind: str | None = None
    charge: float | None = None
    spin: float | None = None
    where: str = "frame"

    @property
    def volume(self) -> float | None:
        """Å^3; None where the frame is not periodic along all vectors."""
        return abs(float(np.linalg.det(self.cell))) if self.periodic.all() else None

    def weight_of(self, label: str) -> float:
        """In the loss, of "energy", "forces" or "stress"; 0 where the frame does not have it."""
        return 0.0 if getattr(self, label) is None else self.weight * float(getattr(self, f"{label}_weight"))


def read_labelled(path: str | Path, labels: Labels) -> list[LabelledFrame]:
    """All frames of an extended XYZ file; numbers of atoms, cells and species may differ from one to the next.

    labels: what the labels are called.

    Raises:
        InputError: no such file, not extended XYZ, no frames, a frame without any label, a label that is no number or
            has another shape, a stress of a frame that is not periodic along all vectors, a weight, charge or spin that
            is none.
    """
    path = Path(path)
    frames = [_frame(atoms, labels, f"{path} frame {k}") for k, atoms in enumerate(atoms_in(path), start=1)]
    if not frames:
        raise InputError("the file has no frames", where=str(path))
    return frames


def edges_of(frame: LabelledFrame, cutoff: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Pairs within the cutoff (Å), periodic images included: receivers (E,), in ascending order, senders (E,), and the
    vectors r_receiver - r_sender (E, 3) Å.

    Raises:
        InputError: a cell that cannot be used, or two atoms in one place.
    """
    cell = np.array(complete_cell(np.where(frame.periodic[:, None], frame.cell, 0.0)))
    if np.any(frame.periodic & ~frame.cell.any(axis=1)) or abs(np.linalg.det(cell)) < 1e-6:
        raise InputError("the lattice vectors that are periodic are zero or not independent", where=frame.where)
    a, b, c = frame.periodic.tolist()
    if frame.periodic.any() and perpendicular_heights(cell)[frame.periodic].min() < cutoff:
        try:
            choose_images(cell, cutoff, len(frame.symbols), (a, b, c))
        except ValueError as error:
            raise InputError(str(error), where=frame.where, fix="repeat the cell along its short vectors") from None
    i, j, apart = primitive_neighbor_list("ijD", (a, b, c), cell, frame.positions, cutoff)
    order = np.lexsort((j, i))
    i, j, vectors = i[order], j[order], -np.asarray(apart, np.float64)[order]
    distances = np.linalg.norm(vectors, axis=1)
    if distances.min(initial=np.inf) < CLOSEST:
        raise InputError(f"two atoms are {distances.min():.3g} Å apart", where=frame.where, fix="remove duplicates")
    near = distances < cutoff
    return i[near].astype(np.int64), j[near].astype(np.int64), vectors[near]


def species_of(frames: Sequence[LabelledFrame]) -> tuple[str, ...]:
    """Elements of all frames, by their symbols."""
    return tuple(sorted({symbol for frame in frames for symbol in frame.symbols}))


def _frame(atoms: Atoms, labels: Labels, where: str) -> LabelledFrame:
    unknown = atoms.numbers[(atoms.numbers < 1) | (atoms.numbers > 118)]
    if len(unknown):
        what = f"an atom of the atomic number {unknown[0]}" if unknown[0] else "an atom without an element"
        raise InputError(what, where=where, fix="write symbols of elements, or numbers of 1 to 118")
    positions, cell = np.asarray(atoms.positions, np.float64), np.asarray(atoms.cell.array, np.float64)
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise InputError("a coordinate or lattice vector is not a finite number", where=where)
    if max(np.abs(positions).max(), np.abs(cell).max()) > FARTHEST:
        raise InputError(f"a coordinate or lattice vector is beyond {FARTHEST:g} Å", where=where)
    kind = _kind(atoms, labels)
    energy = _label(atoms, labels.energies, (), where)
    forces = _label(atoms, labels.all_forces, (len(atoms), 3), where)
    stress = _stress(atoms, labels, where)
    if energy is None and forces is None and stress is None:
        names = ", ".join((*labels.energies, *labels.all_forces, *labels.stresses))
        raise InputError("the frame has no label", where=where, fix=f"of these it should have one: {names}")
    weights = weights_in(atoms.info, where)
    return LabelledFrame(
        tuple(atoms.get_chemical_symbols()),
        positions,
        cell,
        np.array(atoms.pbc, bool),
        None if energy is None else float(energy),
        forces,
        stress,
        weight=weights.weight * (1.0 if kind is None else labels.weights.get(kind, 1.0)),
        energy_weight=weights.energy,
        forces_weight=weights.forces,
        stress_weight=weights.stress,
        kind=kind,
        charge=of_box(atoms.info, "charge", where),
        spin=of_box(atoms.info, "spin", where),
        where=where,
    )


def _stored(atoms: Atoms, name: str) -> Any:
    """What a file calls by a name: in its header, a column, or what ASE takes for the result of a calculation."""
    results = {} if atoms.calc is None else atoms.calc.results
    for place in (atoms.info, atoms.arrays, results):
        if name in place:
            return place[name]
    return None


def _label(atoms: Atoms, names: Sequence[str], shape: tuple[int, ...], where: str) -> Array | None:
    """The first of the names that the frame has, as numbers."""
    for name in names:
        value = _stored(atoms, name)
        if value is None:
            continue
        try:
            if np.asarray(value).dtype == bool:
                raise ValueError
            numbers = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{name} is {value!r:.40}, which is no number", where=where) from None
        if numbers.shape != shape:
            raise InputError(f"{name} has the shape {numbers.shape}, not {shape}", where=where)
        if not np.isfinite(numbers).all():
            raise InputError(f"{name} has a number that is not finite", where=where)
        return numbers
    return None


def _stress(atoms: Atoms, labels: Labels, where: str) -> Array | None:
    """As a tensor, from a stress or from virials -V stress."""
    for name in labels.stresses:
        value = _stored(atoms, name)
        if value is None:
            continue
        shape = np.shape(value)
        if shape not in ((6,), (9,), (3, 3)):
            raise InputError(f"{name} has the shape {shape}, not (6,), (9,) or (3, 3)", where=where)
        numbers = _label(atoms, (name,), shape, where)
        assert numbers is not None
        if not atoms.pbc.all():
            raise InputError(f"{name} of a frame that is not periodic along all vectors", where=where)
        if shape == (6,):  # xx yy zz yz xz xy
            numbers = numbers[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
        tensor = numbers.reshape(3, 3)
        if np.abs(tensor - tensor.T).max() > ASYMMETRY * np.abs(tensor).max():
            raise InputError(f"{name} is not symmetric", where=where)
        volume = abs(np.linalg.det(atoms.cell.array))
        if name == labels.virials:
            if volume < 1e-6:
                raise InputError("a virial of a cell without a volume", where=where)
            tensor = -tensor / volume
        symmetric: Array = (tensor + tensor.T) / 2
        return symmetric
    return None


def _kind(atoms: Atoms, labels: Labels) -> str | None:
    return str(atoms.info[labels.kind]) if labels.kind in atoms.info else None
