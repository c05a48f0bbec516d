"""[correction]: the pair potential that is refined."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refine.tables.species import Pairs, SmoothnessByPair
from refine.tables.table import Table
from refine.tables.values import Integer, Number, OrAuto, refusal

LATER_OF_CORRECTION = {"molecules": "intermolecular"}
"""Keys that studies of before do not have, and the values with which they change no digest."""


class Correction(Table):
    """The pair potential that is refined: a cubic B-spline for each pair of elements."""

    pairs: Pairs = Field("all", description="Pairs of elements that are corrected.")
    knots: Annotated[Annotated[Integer, Field(ge=4, le=512)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description='Coefficients for each pair. `"auto"`: so many that they are finer than the prior\'s `length` and, '
        "within limits, than the data resolve.",
    )
    r_min: Annotated[Annotated[Number, Field(gt=0, le=50)] | Literal["auto"], OrAuto()] = Field(
        "auto",
        description="Where the knots begin, Å: below every distance at which the base model has pairs, or the run is "
        "refused with a number to use. Below the innermost pairs φ is a straight line, and where neither the model nor "
        'a measured partial g(r) has any, a wall. `"auto"`: below the innermost pairs of both.',
    )
    r_cut: Annotated[Number, Field(gt=0, le=50)] = Field(
        8.0,
        description="Where the correction ends, Å, with zero value and slope; at most half the box. Default: 8, or "
        "half of a box that is smaller.",
    )
    molecules: Literal["intermolecular", "all"] = Field(
        "intermolecular",
        description="With `[model] topology`. `intermolecular`: φ acts as the base's pair potential does: not on atoms "
        "that one, two or three bonds join, or with the weights that `special_bonds` gives them; `all`: on all pairs.",
    )
    temperature: Literal["none", "linear"] = Field(
        "none",
        description="`linear`: φ(r; T) = φ₀(r) + (T − T₀) φ₁(r) with T₀ the mean temperature of the states; "
        "needs fitted data at two temperatures or more.",
    )
    smoothness: SmoothnessByPair = Field(
        "auto",
        description='`"auto"`: by the evidence of the data, pair by pair, and less beyond the first shell where that '
        "says so; a number s: the prior standard deviation of φ is kT/s; a table of numbers by pair, as in "
        "`{ Fe-O = 2 }`: those fixed, the others by the evidence.",
    )
    length: Annotated[Number, Field(ge=0.01, le=10)] = Field(
        0.5, description="Correlation length of the prior on φ, Å."
    )

    @model_validator(mode="after")
    def _room_for_knots(self) -> Self:
        if self.r_min != "auto" and self.r_min >= self.r_cut:
            raise refusal(f"r_min = {self.r_min:g} should be less than r_cut = {self.r_cut:g}")
        return self
