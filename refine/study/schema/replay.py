"""[replay]: what a model should not forget while its weights are fitted to curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from refine.learning.keys import Factor, Files, Labels, Share
from refine.tables.table import Table
from refine.tables.values import Integer, Line, Number, Switch, refusal


def _one_or_more(value: Any) -> Any:
    """A single path as a list of one."""
    return (value,) if isinstance(value, str) else value


OneOrMore = Annotated[Files, BeforeValidator(_one_or_more)]
Sigma = Annotated[Number, Field(ge=1e-9, le=1_000_000)]

OF_SELF = ("sampled", "structures", "copies", "displacement", "strain", "dimers")
"""Keys that say what the model labels itself."""


class Replay(Table):
    """What a MACE model should not forget while `difftre` fits its weights: errors on frames, added to the loss."""

    frames: OneOrMore = Field(
        (),
        description="A file of labelled frames, or several, as extended XYZ, read as `refine learn` does: energies, "
        "forces and stresses of the model's own level of theory.",
    )
    self: Switch = Field(
        False,
        description="Whether the unchanged model labels frames: of the first sample, of `structures` and of dimers.",
    )
    sampled: Annotated[Integer, Field(ge=0, le=1000)] = Field(
        16, description="With `self`: frames of the first sample, evenly over that of each state."
    )
    structures: OneOrMore = Field(
        (),
        description="With `self`: structure files, such as crystals of the same elements; of several frames the last.",
    )
    copies: Annotated[Integer, Field(ge=0, le=100)] = Field(
        4,
        description="Copies of each structure, strained and with atoms displaced at random; a perfect crystal alone "
        "has no forces.",
    )
    displacement: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.1, description="Standard deviation of a coordinate in these copies, Å."
    )
    strain: Annotated[Number, Field(ge=0, le=0.1)] = Field(
        0.02, description="Standard deviation of the components of their strain."
    )
    dimers: Annotated[Integer, Field(ge=0, le=100)] = Field(
        10, description="With `self`: two atoms alone, of every pair of elements, at so many distances."
    )
    energy: Factor = Field(
        1.0,
        description="Weight of energies: 1 makes an error of one σ as bad as curves that are off "
        "by one standard deviation throughout; 0 leaves them out.",
    )
    forces: Factor = Field(1.0, description="The same of forces.")
    stress: Factor = Field(1.0, description="The same of stresses.")
    sigma_energy: Sigma = Field(0.005, description="σ of an energy, eV per atom.")
    sigma_forces: Sigma = Field(0.05, description="σ of a component of a force, eV/Å.")
    sigma_stress: Sigma = Field(0.001, description="σ of a component of a stress, eV/Å³ (160 MPa).")
    share: Share = Field(
        0.2, description="Share of the frames of each kind that the loss does not see, for the report; one at least."
    )
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(0, description="Of the share, and of the copies.")
    energy_label: Line | None = Field(None, description="Name of the energies in `frames`, as in `refine learn`.")
    forces_label: Line | None = Field(None, description="Name of the forces.")
    stress_label: Line | None = Field(None, description="Name of the stresses.")

    @property
    def active(self) -> bool:
        """Whether there is anything to replay."""
        return bool(self.frames) or self.self

    @property
    def labels(self) -> Labels:
        """What labels are called in the files."""
        return Labels(train=self.frames, energy=self.energy_label, forces=self.forces_label, stress=self.stress_label)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where `frames` are."""
        return tuple(self._folder / file for file in self.frames)

    @property
    def structure_paths(self) -> tuple[Path, ...]:
        """Where `structures` are."""
        return tuple(self._folder / file for file in self.structures)

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        fields = type(self).model_fields
        asked = [name for name in fields if getattr(self, name) != fields[name].default]
        if asked and not self.active:
            raise refusal("should have 'frames' or self = true")
        for name in OF_SELF:
            if name in asked and not self.self:
                raise refusal(f"has {name!r}, of frames that the model labels itself: set self = true")
        if self.self and not (self.sampled or self.structures or self.dimers):
            raise refusal("has self = true, and nothing for the model to label")
        if self.active and not (self.energy or self.forces or self.stress):
            raise refusal("should have a weight above 0 for energy, forces or stress")
        return self
