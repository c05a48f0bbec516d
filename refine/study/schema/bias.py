"""[bias] and [[variables]]: what `refine enrich` drives the atoms along."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from refine.tables.species import Pair
from refine.tables.table import Table
from refine.tables.values import Integer, Name, Number, Range, refusal

TAKEN = ("Lattice", "Properties", "pbc", "energy", "temperature", "state", "replica", "frame", "weight")
"""Words of the comment line of a frame that a variable cannot be called."""

STEEPEST = 20.0
"""Height of the first hill over factor - 1: the next ones are smaller by the exponential of it."""


class Bias(Table):
    """Well-tempered metadynamics of `refine enrich`; see [enrichment](../theory/enrichment.md)."""

    height: Annotated[Number, Field(gt=0, le=100)] = Field(0.5, description="Height of the first hill, kT.")
    factor: Annotated[Number, Field(gt=1, le=10_000)] = Field(
        10.0,
        description="Bias factor γ: along the variables barriers become γ times lower, and hills shrink the faster.",
    )
    every: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(
        50, description="Steps between hills; each comes with a frame."
    )
    frames: Annotated[Integer, Field(ge=10, le=100_000)] = Field(
        1000, description="Frames, and hills, of each replica; the hills of each are its own."
    )
    keep: Annotated[Integer, Field(ge=1, le=100_000)] = Field(
        1, description="Every so many frames one is written as a configuration."
    )

    @model_validator(mode="after")
    def _later_hills_are_numbers(self) -> Self:
        if self.height > STEEPEST * (self.factor - 1.0):  # else they shrink to zero, and no weight follows from them
            raise refusal(f"should have a 'height' of {STEEPEST:g} ('factor' - 1) at most")
        return self


class BiasVariable(Table):
    """A collective variable of `refine enrich`: with `pair` a mean coordination number, with `band` the mean of a
    measured curve there, with `data` alone the distance to this curve. One or two."""

    name: Name = Field(description="What it is called.")
    pair: Pair | None = Field(None, description="How many of the second element an atom of the first has around it.")
    within: Annotated[Number, Field(gt=0, le=100)] | None = Field(
        None, description="With `pair`: distance in Å at which a neighbour counts one half."
    )
    softness: Annotated[Number, Field(gt=0, le=10)] = Field(
        0.6, description="With `pair`: width in Å over which it falls from one to zero."
    )
    data: Name | None = Field(None, description="Name of a curve of `[[data]]` that is fitted or scored.")
    band: Range | None = Field(
        None,
        description="With `data`: where the curve is averaged, 1/Å or Å, as the fit sees it. Without: the variable is "
        "the rms difference between the model's curve and the measured one, in units of the rms signal.",
    )
    width: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="Of a hill. Default: half the standard deviation of the variable without bias."
    )

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.name in TAKEN or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", self.name):
            raise refusal(f"should have a 'name' of letters, digits, _ and -, and none of {', '.join(TAKEN)}")
        if (self.pair is None) == (self.data is None):
            raise refusal("should have 'pair' or 'data'")
        if (self.pair is None) != (self.within is None):
            raise refusal("should have 'pair' and 'within' together")
        if self.band is not None and self.data is None:
            raise refusal("has 'band' without 'data'")
        if self.within is not None and self.softness > 2 * self.within:
            raise refusal("should have a 'softness' of twice 'within' at most")
        return self
