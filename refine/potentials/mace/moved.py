"""What is moved of a MACE model, as a vector of numbers: some of its arrays as they are, low-rank changes of its
matrices (`refine.potentials.mace.lora`), or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refine.potentials.mace.architecture import Checkpoint
from refine.potentials.mace.chosen import chosen_names
from refine.potentials.mace.lora import LORA, LowRank, low_rank

Array = NDArray[np.float64]


class Moved(Protocol):
    """Arrays of a model as a function of a vector.

    checkpoint: the model.
    names: of the arrays, which are those of `Checkpoint.weights`.
    start: (k,) the vector of the unchanged model.
    units: (k,) a usual size of each number: what an optimiser's step is relative to.
    """

    @property
    def checkpoint(self) -> Checkpoint:
        """The model."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arrays."""

    @property
    def start(self) -> Array:
        """(k,)."""

    @property
    def units(self) -> Array:
        """(k,)."""

    def arrays(self, parameters: Any) -> dict[str, Any]:
        """The arrays by name, of a vector of numpy or a traced one."""


@dataclass(frozen=True)
class Whole:
    """Arrays as they are; the unit of a number is the rms of its array."""

    checkpoint: Checkpoint
    names: tuple[str, ...]

    @property
    def start(self) -> Array:
        """(k,)."""
        return np.concatenate([self.checkpoint.weights[name].ravel() for name in self.names])

    @property
    def units(self) -> Array:
        """(k,)."""
        arrays = [self.checkpoint.weights[name] for name in self.names]
        return np.concatenate([np.full(array.size, rms(array) or 1.0) for array in arrays])

    def arrays(self, parameters: Any) -> dict[str, Any]:
        """See `Moved`."""
        found, first = {}, 0
        for name in self.names:
            array = self.checkpoint.arrays[name]
            found[name] = parameters[first : first + array.size].reshape(array.shape)
            first += array.size
        return found


@dataclass(frozen=True)
class Both:
    """Low-rank changes of some arrays, and others as they are; the numbers of the former come first."""

    low: LowRank
    whole: Whole

    @property
    def checkpoint(self) -> Checkpoint:
        """The model."""
        return self.low.checkpoint

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arrays."""
        return (*self.low.names, *self.whole.names)

    @property
    def start(self) -> Array:
        """(k,)."""
        return np.concatenate([self.low.start, self.whole.start])

    @property
    def units(self) -> Array:
        """(k,)."""
        return np.concatenate([self.low.units, self.whole.units])

    def arrays(self, parameters: Any) -> dict[str, Any]:
        """See `Moved`."""
        first = len(self.low.start)
        return {**self.low.arrays(parameters[:first]), **self.whole.arrays(parameters[first:])}


def low_rank_of(moved: Moved) -> LowRank | None:
    """The low-rank changes, whose numbers come first; None where there are none."""
    return moved.low if isinstance(moved, Both) else moved if isinstance(moved, LowRank) else None


def moved(
    checkpoint: Checkpoint, names: Sequence[str], species: Sequence[str], *, where: str, others: Sequence[str] = ()
) -> Whole | LowRank | Both:
    """What names stand for.

    Args:
        checkpoint: the model.
        names: as `chosen_names` has them, "lora:RANK:NAME", and "lora:RANK" for all matrices that no other one names.
        species: at hand; matrices of others stay as they are.
        where: the key that has the names.
        others: what else that key may have, for a refusal.

    Raises:
        InputError: no weights of such a name, a rank that is none, an array that is moved in two ways.
    """
    low = [name for name in names if name.partition(":")[0] == LORA]
    plain = [name for name in names if name not in low]
    whole = Whole(checkpoint, chosen_names(checkpoint, plain, where=where, others=(*others, f"{LORA}:RANK")))
    if not low:
        return whole
    change = low_rank(checkpoint, low, species, where=where, as_they_are=whole.names)
    return Both(change, whole) if plain else change


def rms(array: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(array))))
