"""How far a model is from labels, and how that falls along a training: plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Errors:
    """Of a model on some frames: its loss, and root mean squares of what is off where there is a label, else None.

    Attributes:
        loss: mean over batches, weighted by their frames.
        energy: eV per atom. forces: of a component, eV/Å. stress: of a component, eV/Å^3.
    """

    loss: float
    energy: float | None
    forces: float | None
    stress: float | None


@dataclass(frozen=True)
class Moved:
    """How far an array of a model's file went.

    Attributes:
        name: of the array.
        rank: of its change; None: it was moved as it is.
        before: its root mean square at the start. change: that of its change.
    """

    name: str
    rank: int | None
    before: float
    change: float


@dataclass(frozen=True)
class Row:
    """An epoch of the learning curve. training: mean loss of its steps, before each; None: before the first step.
    validation: of the moving average after it."""

    epoch: int
    learning_rate: float
    training: float | None
    validation: Errors
