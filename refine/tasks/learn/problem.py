"""What a training is made of: the start model, frames with their neighbours, and the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from refine.errors import InputError
from refine.learning.batches import Graph, Shapes, graph_of
from refine.learning.boxes import ChargeAndSpin, in_box, inputs_of, not_taken
from refine.learning.coordinates import Coordinates, Values
from refine.learning.errors import Errors, Moved
from refine.learning.frames import LabelledFrame, species_of
from refine.learning.keys import LearnConfig, Start
from refine.learning.loss import FrameLoss, Terms, Weights
from refine.learning.training import Trainer
from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.catalogue import find
from refine.potentials.mace.chosen import changed, moved_heads
from refine.potentials.mace.lora import LORA
from refine.potentials.mace.lora_file import write_lora
from refine.potentials.mace.moved import moved, rms
from refine.potentials.mace.preparation import input_rows
from refine.potentials.mace.reader import load
from refine.tasks.learn.began import began_of
from refine.tasks.learn.new import by_composition, new_model
from refine.tasks.learn.sets import Sets, Tell, read_sets


@dataclass(frozen=True)
class Problem:
    """A training, not yet begun.

    Attributes:
        checkpoint: the start model.
        graphs: frames by part, with their neighbours.
        trainer: of it.
        coordinates: what it moves.
        isolated: energies of single atoms in the training files, eV by element: the labels' E0.
        began: settings and digests, see `refine.tasks.learn.began`.
    """

    checkpoint: Checkpoint
    graphs: dict[str, list[Graph]]
    trainer: Trainer
    coordinates: Coordinates
    isolated: dict[str, float]
    began: dict[str, Any]

    @property
    def size(self) -> int:
        """Numbers that are moved."""
        return sum(array.size for array in self.trainer.start.values())

    @property
    def doubts(self) -> tuple[str, ...]:
        """Of other heads that change, too, and of charges and spins that the model does not take."""
        heads = moved_heads(self.checkpoint, self.coordinates.moved.names, self.trainer.loss.head)
        frames = [graph.frame for graphs in self.graphs.values() for graph in graphs]
        return (*heads, *not_taken(self.checkpoint, frames))

    def errors(self, weights: Weights) -> dict[str, Errors]:
        """Of weights, by part."""
        return {part: self.trainer.errors(weights, graphs) for part, graphs in self.graphs.items()}

    def fit_isolated(self) -> dict[str, float]:
        """The shifts of the isolated atoms, eV by element: to the energies of single atoms where there are any, and
        for other elements those with which the start model fits the training frames best."""
        training, trainer = self.graphs["train"], self.trainer
        known = np.array([self.isolated.get(symbol, np.nan) for symbol in trainer.loss.species]) - trainer.loss.isolated
        shifts = by_composition(training, trainer.energies_off(trainer.weights(trainer.start), training), known)
        return dict(zip(trainer.loss.species, shifts.tolist(), strict=True))

    def shift_isolated(self, shifts: dict[str, float]) -> None:
        """Have the isolated atoms moved by so much, in eV by element, from now on."""
        loss = self.trainer.loss
        loss.isolated = loss.isolated + np.array([shifts.get(symbol, 0.0) for symbol in loss.species])

    def arrays(self, values: Values, head: str | None) -> dict[str, NDArray[Any]]:
        """What is not as in the start model, in its file's precision: the moved weights, and its isolated atoms where
        they have moved. values: of what is moved."""
        arrays = self.coordinates.filed(values)
        architecture, loss = self.checkpoint.architecture, self.trainer.loss
        row = 0 if head is None else architecture.heads.index(head)
        factor = self.checkpoint.factors.get("energies", 1.0)
        energies = np.array(self.checkpoint.arrays["energies"], np.float64)
        for symbol, energy in zip(loss.species, loss.isolated.tolist(), strict=True):
            energies[row, architecture.species.index(atomic_numbers[symbol])] = energy / factor
        if not np.array_equal(energies, self.checkpoint.arrays["energies"]):
            arrays["energies"] = energies  # float64: E0 may have more digits than float32 holds
        return arrays

    def model(self, arrays: Mapping[str, NDArray[Any]]) -> Checkpoint:
        """The start model with these arrays."""
        return changed(self.checkpoint, arrays)

    def write_change(self, values: Values, arrays: Mapping[str, NDArray[Any]], path: Path) -> bool:
        """Write low-rank changes by themselves, with the arrays that are otherwise not as in the start model; whether
        there are any."""
        change = self.coordinates.change(values)
        if change is not None:
            factors, species = change
            whole = {name: array for name, array in arrays.items() if name not in factors}
            write_lora(self.checkpoint, factors, species, path, whole)
        return change is not None

    def moved(self, arrays: Mapping[str, NDArray[Any]]) -> list[Moved]:
        """How far each array has moved."""
        found, ranks = [], self.coordinates.ranks
        for name in self.coordinates.moved.names:
            before, after = (np.asarray(a[name], np.float64) for a in (self.checkpoint.arrays, arrays))
            found.append(Moved(name, ranks.get(name), rms(before), rms(after - before)))
        return found


def problem_of(config: LearnConfig, tell: Tell) -> Problem:
    """What a file asks for.

    Raises:
        InputError: see `refine.tasks.learn.learn`.
    """
    settings, wanted = config.learn, config.model
    checkpoint = None if wanted.new else load(wanted.model_path or find(wanted.name or ""))
    where, box = "[learn] parameters", ChargeAndSpin(**wanted.box)
    if checkpoint is not None:  # refused before frames are read
        input_rows(checkpoint, box.charge, box.spin, "[model]")
        known = [chemical_symbols[number] for number in checkpoint.architecture.species]
        moved(checkpoint, settings.parameters, known, where=where)
    elif any(name.partition(":")[0] == LORA for name in settings.parameters):
        raise InputError(
            "low-rank changes are of a model that is at hand, and this one begins from nothing",
            where=where,
            fix='name weights, or "weights" for all',
        )
    cutoff = config.new.r_max if checkpoint is None else checkpoint.architecture.r_max
    sets = read_sets(config.frames, settings, cutoff, tell)
    isolated = sets.isolated() if wanted.new or wanted.isolated == "fit" else {}
    _check_elements(sets, wanted, isolated, tell)
    species = species_of([frame for frames in sets.parts.values() for frame in frames])

    def graph(frame: LabelledFrame) -> Graph:
        inputs = () if checkpoint is None else inputs_of(checkpoint, in_box(frame, box))
        return graph_of(frame, species, cutoff, inputs)

    graphs = {part: [graph(frame) for frame in frames] for part, frames in sets.parts.items()}
    checkpoint = checkpoint or new_model(config.new, species, graphs["train"], isolated)
    coordinates = Coordinates(moved(checkpoint, settings.parameters, species, where=where))
    terms = Terms(settings.energy_weight, settings.forces_weight, settings.stress_weight)
    loss = FrameLoss(checkpoint, species, head=wanted.head, terms=terms, precision=settings.precision)
    every = [graph for part in graphs.values() for graph in part]
    shapes = Shapes.of(graphs["train"], every, settings.batch)
    to_weights = coordinates.weights if coordinates.ranks else None
    trainer = Trainer(loss, coordinates.start, graphs["train"], graphs["valid"], shapes, settings, to_weights)
    problem = Problem(checkpoint, graphs, trainer, coordinates, isolated, began_of(config, checkpoint.sha256))
    for doubt in problem.doubts:
        tell(f"warning: {doubt}")
    said = ", ".join(f"{len(frames)} {part}" for part, frames in sets.parts.items())
    tell(f"{said} frames of {', '.join(species)}; {problem.size} numbers in {len(coordinates.moved.names)} arrays")
    return problem


def _check_elements(sets: Sets, wanted: Start, isolated: dict[str, float], tell: Tell) -> None:
    """What single atoms are taken for, and elements that train does not have."""
    if sets.alone:
        taken = f"; E0 of {', '.join(isolated)} is theirs" if isolated else ""
        tell(f"{len(sets.alone)} frames of one atom without neighbours are left out of the loss and the errors{taken}")
    untrained = sets.untrained()
    if untrained and wanted.new:
        raise InputError(
            f"{', '.join(untrained)} is in valid or test, and not in train",
            where="[frames] train",
            fix="a new model knows nothing of it; add frames that have it",
        )
    untold = [symbol for symbol in untrained if symbol not in isolated]
    if untold and wanted.isolated == "fit":
        tell(f"{', '.join(untold)} is in valid or test, and not in train: its isolated atom stays where it is")
