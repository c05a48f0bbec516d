"""[compare] and [coordination]: what is reported besides curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from refine.tables.species import ByPair
from refine.tables.table import Table
from refine.tables.values import FileName, Integer, Kind, Number, Switch, refusal


class Coordination(Table):
    """Where neighbours are counted, in reports, `refine compare`, `refine forward` and `refine predict`."""

    radii: ByPair = Field(
        default_factory=dict,
        description="Radius in Å by pair, as in `{ Si-O = 2.2 }`. Default: the first minimum of g(r), averaged until "
        "its noise is small; how flat it is stands in the error of the number.",
    )


class Compare(Table):
    """What `refine compare` samples besides the study's own base model."""

    models: Annotated[tuple[FileName, ...], Kind("list of paths")] = Field(
        (), description="Files with a [model] table and, optionally, a `label`; relative to the study."
    )
    segments: Annotated[Integer, Field(ge=0, le=1000)] = Field(
        8,
        description="Trajectories without a thermostat, started from sampled frames, that give the diffusion "
        "coefficients and the viscosity of each state. 0: none are made.",
    )
    segment_length: Annotated[Number, Field(gt=0, le=100_000)] | None = Field(
        None,
        description="Length of each in ps; a step of them costs half as much again as one of sampling. It grows to up "
        "to four times as much where a mean square displacement is not linear in time yet or the viscosity not sharp. "
        "Default: all of them together are twice as long as what is sampled.",
    )

    density: Switch = Field(
        False,
        description="Whether each model also gives the density of each state at the state's pressure, from a stage at "
        'constant pressure behind what is sampled: the one of `[[data]]` with `quantity = "pressure"`, or zero. All '
        "other numbers stay those of the study's density.",
    )
    density_length: Annotated[Number, Field(gt=0, le=100_000)] | None = Field(
        None,
        description="Length of that stage in ps; it grows to up to four times as much where volume or energy still "
        "drift. Default: as long as what is sampled, 20,000 steps at least.",
    )

    @model_validator(mode="after")
    def _error(self) -> Self:
        if self.segments == 1:
            raise refusal("should have two 'segments' or more, whose scatter is the error, or none")
        return self

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where `models` are."""
        return tuple(self._folder / file for file in self.models)
