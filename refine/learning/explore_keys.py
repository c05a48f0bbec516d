"""What a file of `refine explore` may say. Plain pydantic: it is read, and refused, before anything that computes is
loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from refine.learning.keys import Learning, New, Start
from refine.potentials.bases import BASES
from refine.potentials.keys import Model
from refine.tables.file import File
from refine.tables.table import Table
from refine.tables.toml import to_toml
from refine.tables.values import FileName, Integer, Kind, Line, Number, Switch, refusal

Factors = Annotated[
    tuple[Annotated[Number, Field(gt=0.1, le=10)], ...],
    Field(min_length=1, max_length=20),
    Kind("list of numbers"),
]


class Sampling(Table):
    """What is sampled in every generation: the study's states, and the same hotter, colder, denser or thinner."""

    frames: Annotated[Integer, Field(ge=10, le=100_000)] = Field(
        100, description="Frames of each state, which are compared with the curves and chosen from."
    )
    temperatures: Factors = Field(
        (1.0,), description="Factors of the states' temperatures; each is sampled with each of `densities`."
    )
    densities: Factors = Field(
        (1.0,),
        description="Factors of the states' number densities. Other ones than 1 need states that are packed at a "
        "density that the study gives, and have no structure file.",
    )


class Selection(Table):
    """Which of the frames are labelled."""

    frames: Annotated[Integer, Field(ge=2, le=10_000)] = Field(
        10, description="Frames that are chosen and labelled in each generation, to learn from."
    )
    apart: Annotated[Integer, Field(ge=1, le=10_000)] = Field(
        4,
        description="Frames that are drawn at random in each generation, labelled, and never learnt from: errors are "
        "told and uncertainties calibrated with those of all generations.",
    )
    select: Literal["uncertain-diverse", "uncertain", "diverse", "random"] = Field(
        "uncertain-diverse",
        description="`uncertain`: those with the largest uncertainty; `diverse`: farthest points in the invariant "
        "features of the model; `uncertain-diverse`: farthest points of distance times uncertainty; `random`: the "
        "baseline. The first generation is of farthest points, since nothing is labelled yet; that of a new model, "
        "which has no features, is drawn at random.",
    )
    environments: Switch = Field(
        False, description="A frame is as far as the atom that is farthest from all known atoms, not as its mean."
    )
    largest_force: Annotated[Number, Field(gt=0)] = Field(
        30.0,
        description="eV/Å. Frames with a larger labelled force on an atom are left out and told of: of young models "
        "that let atoms overlap.",
    )
    members: Annotated[Integer, Field(ge=1, le=16)] = Field(
        1,
        description="Models that are trained in each generation, of different seeds. 1: the uncertainty is that of "
        "the last layer; more: a committee, whose forces disagree. The first one is the model that is sampled.",
    )
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(0, description="Of all draws.")


class Labelling(Table):
    """Who carries the labels out with `--executor`; without, this process does."""

    chunk: Annotated[Integer, Field(ge=1, le=10_000)] = Field(4, description="Frames to a task.")
    workers: Annotated[Integer, Field(ge=1, le=1024)] | None = Field(
        None, description="Tasks at a time on this machine. Default: as many as there are cores for."
    )
    cores: Annotated[Integer, Field(ge=1, le=1024)] = Field(1, description="Cores of a task.")


class Stop(Table):
    """When it is enough."""

    generations: Annotated[Integer, Field(ge=1, le=1000)] = Field(5, description="At most so many.")
    r_chi: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="Enough where R_χ of no curve is above this, and `forces` is reached where it is given."
    )
    forces: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="Enough where the error of the forces, meV/Å, is not above this, and `r_chi` is reached."
    )
    patience: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        2, description="Stop where so many generations bettered neither the force error nor the mean R_χ."
    )


class ExploreConfig(File):
    """A file of `refine explore`.

    >>> tree = {"study": "s.toml", "model": {"new": True}, "label": {"base": "ase", "calculator": "a.b:C"}}
    >>> ExploreConfig.parse(tree).stop.generations
    5
    """

    word: ClassVar[str] = "explore"
    kind: ClassVar[str] = "file of refine explore"
    asked: ClassVar[str] = "give the path of a file with study, [model] and [label]"

    title: Line = Field("A learning loop", max_length=300, description="Heading of the page.")
    study: FileName = Field(
        description="The study whose states are sampled and whose curves are compared, relative to this file."
    )
    restart: Switch = Field(
        False, description="Train each generation from the start, not from the model of the one before."
    )
    model: Start
    new: New = Field(default_factory=New)
    label: Annotated[SerializeAsAny[Model], BASES]
    sample: Sampling = Field(default_factory=Sampling)
    select: Selection = Field(default_factory=Selection)
    learn: Learning = Field(default_factory=Learning)
    run: Labelling = Field(default_factory=Labelling)
    stop: Stop = Field(default_factory=Stop)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if "new" in self.model_fields_set and self.new != New() and not self.model.new:
            raise refusal("[new] is of a model that is not asked for; write new = true in [model]")
        return self

    @property
    def study_path(self) -> Path:
        """Where `study` is."""
        return self._folder / self.study

    def to_toml(self, folder: Path | None = None) -> str:
        """As it is carried out, defaults written out; folder: of the text, from where relative paths are then seen."""
        config = self if folder is None else self.seen_from(folder)
        return to_toml(config.model_dump(mode="json", exclude_none=True))
