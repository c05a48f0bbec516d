"""What a [[data]] entry of a study file may say: the keys of everything measured, and those of a measured number.

Plain pydantic: a study file is read, and refused, before anything that computes is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from refine.tables.table import Table
from refine.tables.values import Line, Name, Number, Weighable

if TYPE_CHECKING:
    from refine.refinement.observables.protocol import Observable
    from refine.system import Box


class Measured(Table):
    """A measured curve, or a measured number, and what to do with it. A key of another quantity is refused."""

    name: Name = Field(description="Name of the data set in the report and of its file in the output.")
    quantity: str = Field(description="What was measured. Curves have many keys, each number its own, below.")
    state: Line | None = Field(None, description="State in which it was measured. Required if there are several.")
    role: Literal["fit", "score", "predict"] = Field(
        "fit",
        description="`score`: compared and reported, never fitted. `predict`, for curves: nothing was measured, or it "
        "is not at hand; the model's curve is written, of a measurement over `q_range`.",
    )
    weight: Weighable = Field(1.0, description="Factor on this data set's χ².")

    @property
    def elements(self) -> dict[str, tuple[str, ...]]:
        """Elements that the entry names, by key."""
        return {}


class MeasuredNumber(Measured, ABC):
    """A number that was measured, in one state.

    unit: of `value` and `sigma`, "" where they have none.
    """

    unit: ClassVar[str] = ""

    role: Literal["fit", "score"] = Field("fit", description="`score`: compared and reported, never fitted.")
    value: Number = Field(description="What was measured.")
    sigma: Weighable = Field(description="Its standard deviation, in the same unit.")

    @abstractmethod
    def observable(self, box: Box, temperature: float) -> Observable:
        """What the model has for it in a state's box at a temperature (K).

        Raises InputError for what the box cannot tell.
        """

    def goal(self, box: Box) -> tuple[float, float]:
        """Value and standard deviation of the observable that follow from what was measured, in its unit.

        Raises InputError where the state contradicts it.
        """
        return self.value, self.sigma

    @property
    def where(self) -> str:
        """The entry, as errors name it."""
        return f"[[data]] {self.name}"

    @classmethod
    @abstractmethod
    def example(cls, box: Box) -> Self:
        """An entry for a box of a single species: what the conformance test samples."""
