"""Labels by the calculator of [label]: each frame once, kept by its content, here or as tasks of an executor."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from ase.io import write

from refine.campaign.executors import Executor
from refine.campaign.jobs import Job, in_words
from refine.errors import CheckpointError, InputError, RefineError, SimulationError
from refine.files import make_folder, write_text
from refine.learning.explore_keys import ExploreConfig
from refine.learning.frames import LabelledFrame
from refine.learning.reading import atoms_in
from refine.potentials.ase import AnyCalculator, on_top
from refine.potentials.bases import base_of
from refine.potentials.calculator import Calculator
from refine.potentials.keys import Model
from refine.progress import Progress
from refine.study.schema import StudyConfig
from refine.system import species_pairs

WHERE = "[label]"
COMMAND = "explore-label"
BOX = ("charge", "spin")
"""What a frame's header states of the box, where [model] does."""


class Labeller:
    """Energies, forces and stresses of a base, for frames of some species.

    Args:
        model: [label].
        species: of all frames.
        cutoff: Å, at which a classical base without a cutoff of its own ends.

    Attributes:
        identity: what labels follow from besides the frame; those of another one are not taken for its own.

    Raises:
        InputError: no such base, or one that cannot be called for single frames.
    """

    def __init__(self, model: Model, species: Sequence[str], cutoff: float) -> None:
        kind = base_of(model.base, model.dispersion)
        potential = kind.read(model, tuple(species), species_pairs(tuple(species)), cutoff)
        settings = json.dumps(model.model_dump(mode="json", exclude_none=True), sort_keys=True)
        ends = "" if isinstance(potential, AnyCalculator) else f"{cutoff:g}"
        self.identity = f"{settings} {kind.identity(potential)} {ends}"
        self._potential, self._model = potential, model
        if not isinstance(potential, AnyCalculator) and not hasattr(potential, "terms"):
            raise InputError(f"{model.base} cannot label", where=WHERE, fix="use another base, or a calculator of ASE")
        self._calculator: BaseCalculator | None = None

    def label(self, atoms: Atoms) -> dict[str, Any]:
        """energy (eV), forces (eV/Å) and, where the calculator has it, stress (eV/Å^3, 3 x 3), as JSON values."""
        if self._calculator is None:
            self._calculator = _calculator(self._potential, self._model)
        atoms = bare(atoms)
        atoms.calc = self._calculator
        try:
            found: dict[str, Any] = {"energy": float(atoms.get_potential_energy())}
            found["forces"] = atoms.get_forces().tolist()
            with contextlib.suppress(PropertyNotImplementedError, NotImplementedError):
                found["stress"] = atoms.get_stress(voigt=False).tolist()
        except RefineError:
            raise
        except Exception as error:  # whatever a calculator of somebody else's raises
            said = " ".join(str(error).split()) or "no message"
            raise SimulationError(
                f"a frame cannot be labelled: {type(error).__name__}: {said:.200}", where=WHERE
            ) from error
        return found


def _calculator(potential: Any, model: Model) -> BaseCalculator:
    if isinstance(potential, AnyCalculator):
        if model.dispersion == "none":
            return potential.calculator
        from ase.calculators.mixing import SumCalculator

        return cast(BaseCalculator, SumCalculator([potential.calculator, on_top(None, model.dispersion)]))
    return Calculator(potential, dispersion=model.dispersion)


def key_of(atoms: Atoms, identity: str) -> str:
    """SHA-256 (hex) of a frame, its charge and spin where it has any, and of who labels it."""
    box = json.dumps(box_of(atoms)) if box_of(atoms) else ""
    total = hashlib.sha256(identity.encode() + box.encode())
    for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def label_frames(frames: Sequence[Atoms], labeller: Labeller, store: Path, progress: Progress) -> list[LabelledFrame]:
    """Labels of all frames, from the folder `store` where they are there, else made and kept there."""
    make_folder(store)
    progress.stage("labels", len(frames))
    found = []
    for atoms in frames:
        path = store / f"{key_of(atoms, labeller.identity)}.json"
        if not path.is_file():
            write_text(path, json.dumps(labeller.label(atoms)) + "\n")
        found.append(_read(path, atoms))
        progress.advance(1)
    return found


def submit(
    frames: Sequence[Atoms], labeller: Labeller, config: ExploreConfig, out: Path, place: Path, executor: Executor
) -> None:
    """Have those labels made by tasks of an executor that are not in `out`/labels; `place`: of the tasks' folders.

    Raises:
        SimulationError: a task failed.
    """
    store = out / "labels"
    left = [atoms for atoms in frames if not (store / f"{key_of(atoms, labeller.identity)}.json").is_file()]
    size, waiting = config.run.chunk, []
    for k in range(0, len(left), size):
        folder = place / f"labels-{k // size}"
        make_folder(folder)
        write_text(folder / "frames.extxyz", text_of(left[k : k + size]))
        files = [str(path.resolve()) for path in (out / "explore.toml", folder / "frames.extxyz", store)]
        words = (COMMAND, *files[:2], "--labels", files[2])
        name = f"{place.name} {folder.name}"
        waiting.append(executor.submit(Job(name, str(folder.resolve()), words, "log.txt", config.run.cores)))
    for future in waiting:
        ended = future.result()
        if ended.code:
            raise SimulationError(f"labels: {in_words(ended.code, ended.line)}", where=WHERE)


def _read(path: Path, atoms: Atoms) -> LabelledFrame:
    """A kept label; CheckpointError for one that is damaged."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        energy, forces = float(tree["energy"]), np.array(tree["forces"], np.float64)
        stress = None if tree.get("stress") is None else np.array(tree["stress"], np.float64)
        parts = [np.array(energy), forces, *(() if stress is None else (stress,))]
        if forces.shape != (len(atoms), 3) or (stress is not None and stress.shape != (3, 3)):
            raise ValueError("another shape")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(f"is damaged: {error!r:.80}", where=str(path), fix="remove it") from None
    if not all(np.isfinite(part).all() for part in parts):
        raise SimulationError(
            "a label is not a finite number", where=str(path), fix="look at the calculator of [label]"
        )
    stress = stress if atoms.pbc.all() else None
    return as_frame(atoms, energy, forces, stress)


def box_of(atoms: Atoms) -> dict[str, int]:
    """Charge and spin that a frame of the loop states."""
    return {name: int(atoms.info[name]) for name in BOX if name in atoms.info}


def bare(atoms: Atoms) -> Atoms:
    """A frame with its charge and spin, and nothing else of what is known of it."""
    return Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=box_of(atoms))


def as_frame(atoms: Atoms, energy: float | None = None, forces: Any = None, stress: Any = None) -> LabelledFrame:
    """A frame of ASE's as a labelled one."""
    symbols = tuple(atoms.get_chemical_symbols())
    cell, periodic = np.array(atoms.cell.array, np.float64), np.array(atoms.pbc, bool)
    positions, box = np.array(atoms.positions, np.float64), box_of(atoms)
    charge, spin = box.get("charge"), box.get("spin")
    return LabelledFrame(symbols, positions, cell, periodic, energy, forces, stress, charge=charge, spin=spin)


def as_atoms(frame: LabelledFrame) -> Atoms:
    """A labelled frame as one of ASE's, without its labels."""
    box = {name: value for name in BOX if (value := getattr(frame, name)) is not None}
    return Atoms(list(frame.symbols), frame.positions, cell=frame.cell, pbc=frame.periodic, info=box)


def text_of(frames: Sequence[Atoms | LabelledFrame]) -> str:
    """As extended XYZ, with REF_energy, REF_forces and REF_stress."""
    every = []
    for frame in frames:
        if isinstance(frame, Atoms):
            every.append(bare(frame))
            continue
        atoms = as_atoms(frame)
        atoms.info["REF_energy"] = frame.energy
        if frame.forces is not None:
            atoms.arrays["REF_forces"] = frame.forces
        if frame.stress is not None:
            atoms.info["REF_stress"] = frame.stress.ravel()
        every.append(atoms)
    stream = io.StringIO()
    write(stream, every, format="extxyz")
    return stream.getvalue()


def label_file(config: ExploreConfig, frames: Path, store: Path, progress: Progress) -> int:
    """`refine explore-label`: label a file of frames into the folder `store`; how many there are."""
    found = list(atoms_in(frames))
    species = sorted({symbol for atoms in found for symbol in atoms.get_chemical_symbols()})
    cutoff = StudyConfig.from_toml(config.study_path).correction.r_cut
    return len(label_frames(found, Labeller(config.label, species, cutoff), store, progress))
