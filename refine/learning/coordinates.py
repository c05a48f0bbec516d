"""What a training moves, by name: arrays as a model's file has them, and U and V of low-rank changes.

An optimiser's step has one size for all numbers. Arrays of a file are of the order of one, and so are U and V in the
units of `refine.potentials.mace.lora`: a step changes a matrix by about the same share either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from refine.potentials.mace.chosen import as_filed
from refine.potentials.mace.lora import Factors, LowRank
from refine.potentials.mace.moved import Moved, low_rank_of

Array = NDArray[np.float64]
Values = Mapping[str, Any]
"""By name: NAME of an array that is moved as it is, NAME.u and NAME.v of one that a low-rank change is made to."""


class Coordinates:
    """See the module's docstring.

    Args:
        moved: what is moved of a model.

    Attributes:
        start: of the unchanged model, float64.
    """

    def __init__(self, moved: Moved) -> None:
        self.moved, self.checkpoint = moved, moved.checkpoint
        self._low = low_rank_of(moved)
        self._whole = tuple(name for name in moved.names if name not in self.ranks)
        self.start: dict[str, Array] = {
            name: np.asarray(self.checkpoint.arrays[name], np.float64) for name in self._whole
        }
        if self._low is not None:
            in_units = self._low.factors(self._low.start / self._low.units)
            for name, (u, v) in in_units.items():
                self.start |= {f"{name}.u": u, f"{name}.v": v}

    @property
    def ranks(self) -> Mapping[str, int]:
        """Of the low-rank changes, by the arrays' names."""
        return {} if self._low is None else self._low.ranks

    def weights(self, values: Values) -> dict[str, Any]:
        """Arrays as in the model's file, by name; of values of numpy or traced ones."""
        found = {name: values[name] for name in self._whole}
        if self._low is not None:
            factors = self.checkpoint.factors
            arrays = self._low.arrays(self._vector(self._low, values, jnp))
            found |= {name: array / factors.get(name, 1.0) for name, array in arrays.items()}
        return found

    def filed(self, values: Values) -> dict[str, NDArray[Any]]:
        """The same in the precision of the file, without a rounding that differs from that of `apply_lora`."""
        found = {name: np.asarray(values[name]).astype(self.checkpoint.arrays[name].dtype) for name in self._whole}
        if self._low is not None:
            found |= as_filed(self.checkpoint, self._low.arrays(self._vector(self._low, values, np)))
        return found

    def change(self, values: Values) -> tuple[dict[str, Factors], tuple[int, ...]] | None:
        """U and V by name, and the species that stacks of matrices are of; None where there are no low-rank changes."""
        if self._low is None:
            return None
        return self._low.factors(self._vector(self._low, values, np)), self._low.species

    def _vector(self, low: LowRank, values: Values, xp: Any) -> Any:
        parts = [xp.ravel(xp.asarray(values[f"{name}.{letter}"])) for name in low.names for letter in "uv"]
        return xp.concatenate(parts) * low.units
