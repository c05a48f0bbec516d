"""The parameters of a classical base model as one vector, and its energy as their function.

A sum of pair functions needs no positions: U(p) = Σ_bins h u(r; p), u averaged over each bin with weight r^2, to the
width of a bin as the correction's own energy. What follows from it (`refine.refinement.rules.difftre`) are differences
of U between two p near each other, in which the error of the binning cancels to first order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.classical.form import PairForm
from refine.potentials.correction import bin_average
from refine.potentials.protocols import PairPotential

Array = NDArray[np.float64]

DIFFERENCE = 1e-5
"""Relative step of the central differences: their error is 1e-10 of u, and rounding adds 1e-11."""


@dataclass(frozen=True)
class ClassicalParameters:
    """Chosen parameters of a classical potential: arrays (pairs,) of its dataclass, one after the other.

    Attributes:
        potential: with the parameters of the start.
        names: of the fields that are varied, such as "epsilon" and "sigma".
        edges: (bins + 1,) of the pair counts, Å.

    >>> from refine.potentials.classical import LennardJones
    >>> argon = {"epsilon": 0.0103, "sigma": 3.4}
    >>> base = LennardJones.from_parameters(("Ar",), (("Ar", "Ar"),), argon, 10.0)
    >>> parameters = ClassicalParameters(base, ("sigma",), np.linspace(0.0, 10.0, 101))
    >>> parameters.start.tolist(), parameters.at(np.array([3.5])).sigma.tolist()
    ([3.4], [3.5])
    """

    potential: PairPotential
    names: tuple[str, ...]
    edges: Array
    stored_positions: ClassVar[bool] = False
    doubts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        known = [f.name for f in fields(self._record) if np.shape(getattr(self.potential, f.name)) == self._shape]
        for name in self.names:
            if name not in known:
                raise InputError(
                    f"the base has no parameter '{name}'",
                    where="[refinement] parameters",
                    fix=f"use correction, {', '.join(known)}",
                )

    @property
    def _record(self) -> Any:
        return self.potential

    @property
    def _shape(self) -> tuple[int]:
        return (len(self.potential.pairs),)

    @property
    def start(self) -> Array:
        """(names * pairs,) of the potential, in its units."""
        return np.concatenate([np.asarray(getattr(self.potential, name), float) for name in self.names])

    @property
    def units(self) -> Array:
        """(names * pairs,): sizes of the start; where that is zero, the rms of all."""
        start = np.abs(self.start)
        return np.where(start > 0.0, start, float(np.sqrt(np.mean(start**2))) or 1.0)

    def table(self, parameters: Array) -> dict[str, dict[str, float]]:
        """Of every parameter that may change, by name and pair, before and after."""
        labels = [_label(name, pair) for name in self.names for pair in self.potential.pairs]
        return {
            label: {"initial": float(a), "final": float(b)}
            for label, a, b, moves in zip(labels, self.start, parameters, self._moves, strict=True)
            if moves
        }

    @property
    def _moves(self) -> NDArray[np.bool_]:
        """(names * pairs,): not those of a pair that has no such interaction (a classical form knows), which would be
        given one that nobody asked for."""
        each = getattr(self.potential, "interacting", np.ones(self._shape, bool))
        return np.tile(each, len(self.names))

    def write(self, parameters: Array, folder: Path) -> None:
        """Nothing: the table has every number."""

    def at(self, parameters: Array) -> PairPotential:
        """The potential with other parameters (names * pairs,)."""
        if not np.all(np.isfinite(parameters)):
            raise InputError("a parameter of the base is no longer a number", where="[refinement] learning_rate")
        split = np.split(np.asarray(parameters, float), len(self.names))
        potential: PairPotential = replace(self._record, **dict(zip(self.names, split, strict=True)))
        return potential

    def binned(self, parameters: Array) -> Array:
        """u averaged over the bins, (pairs, bins), eV; below the potential's inner end its value there."""
        potential = self.at(parameters)
        return bin_average(lambda r: potential.energy(np.maximum(r, self.potential.inner)), self.edges)

    def energies(self, parameters: Array, frames: Any) -> Array:
        """Σ_bins h u of every frame, (frames,) eV; frames: a `refine.sampling.frames.Frames`."""
        energies: Array = np.einsum("fpb,pb->f", frames.counts, self.binned(parameters), optimize=True)
        return energies

    def gradient(self, parameters: Array, frames: Any, weights: Array) -> Array:
        """Σ_f weights_f dU_f/d parameters, (names * pairs,), by central differences of u."""
        counts = np.tensordot(np.asarray(weights, float), frames.counts, axes=1)
        gradient, least = np.zeros(len(parameters)), 1e-3 * self.units  # of one that is zero
        for k in np.flatnonzero(self._moves):
            value = float(parameters[k])
            step = np.zeros(len(parameters))
            step[k] = DIFFERENCE * max(abs(value), least[k])
            change = self.binned(parameters + step) - self.binned(parameters - step)
            gradient[k] = float((counts * change).sum()) / (2.0 * step[k])
        return gradient


def refined(potential: PairForm, table: Mapping[str, Mapping[str, float | None]]) -> PairForm:
    """A classical potential with the final numbers of a `ClassicalParameters.table`; KeyError, TypeError, ValueError or
    AttributeError where they are of another one."""
    names = sorted({label.partition(" ")[0] for label in table})
    arrays = {name: np.array(getattr(potential, name, None), float) for name in names}
    rows = {_label(name, pair): (name, row) for name in names for row, pair in enumerate(potential.pairs)}
    for label, numbers in table.items():
        name, row = rows[label]
        arrays[name][row] = numbers["final"]
    if not all(np.isfinite(array).all() and array.shape == (len(potential.pairs),) for array in arrays.values()):
        raise ValueError("parameters that are none of the base")
    record: Any = potential  # every form is a dataclass
    changed: PairForm = replace(record, **arrays)
    return changed


def _label(name: str, pair: tuple[str, str]) -> str:
    return f"{name} {'-'.join(pair)}"
