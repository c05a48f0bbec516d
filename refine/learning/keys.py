"""What a file of `refine learn` may say. Plain pydantic: it is read, and refused, before anything that computes is
loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from refine.tables.file import File
from refine.tables.table import Table
from refine.tables.toml import to_toml
from refine.tables.values import FileName, Integer, Kind, Line, Number, Switch, refusal

Files = Annotated[tuple[FileName, ...], Kind("list of paths")]
Share = Annotated[Number, Field(ge=0, lt=1)]
Factor = Annotated[Number, Field(ge=0, le=1_000_000_000)]
Weights = Annotated[tuple[Factor, ...], Kind("list of numbers")]


class Start(Table):
    """The MACE model that training starts from: exactly one of `path`, `name` and `new`."""

    path: FileName | None = Field(None, description="File of a MACE model, relative to this file.")
    name: Line | None = Field(None, description="Published MACE model, such as `medium-mpa-0`.")
    new: Switch = Field(
        False,
        description="Start from nothing: the model of `[new]`, with random weights, and with the energies of the "
        "isolated atoms that fit the training frames best (least squares by composition), or those of frames of a "
        "single atom.",
    )
    head: Line | None = Field(None, description="Head that is trained. Required if the model has several.")
    isolated: Literal["keep", "fit"] = Field(
        "keep",
        description="Energies of the isolated atoms, E0: as the model has them, or moved so that the start model's "
        "energies agree best with the training frames' (least squares by composition, of all such shifts the "
        "smallest; of elements with frames of a single atom, to their energy), where labels are of another level of "
        "theory or have another zero.",
    )

    charge: Annotated[Integer, Field(ge=-1000, le=1000)] | None = Field(
        None,
        description="Total charge (e) of frames that state none, for a model that takes one, as MACE-OMOL-0 does. "
        "Default: 0.",
    )
    spin: Annotated[Integer, Field(ge=1, le=1000)] | None = Field(
        None, description="Spin multiplicity 2S + 1 of frames that state none, for a model that takes one. Default: 1."
    )

    @property
    def box(self) -> dict[str, int]:
        """Charge and spin, where they are given."""
        return {name: value for name in ("charge", "spin") if (value := getattr(self, name)) is not None}

    @property
    def model_path(self) -> Path | None:
        """Where `path` is."""
        return self._resolve(self.path)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is not None) + (self.name is not None) + self.new != 1:
            raise refusal("should have exactly one of 'path', 'name' and 'new = true'")
        if self.new and (self.head is not None or self.isolated != "keep"):
            raise refusal("has a 'head' or 'isolated', and a new model has one head, and its isolated atoms fitted")
        if self.new and self.box:
            raise refusal(f"has {' and '.join(map(repr, self.box))}, and a new model takes neither charge nor spin")
        return self


class New(Table):
    """The model of `new = true`, a small one by default: residual layers, one head."""

    r_max: Annotated[Number, Field(ge=2, le=12)] = Field(5.0, description="Cutoff, Å.")
    channels: Annotated[Integer, Field(ge=1, le=512)] = Field(32, description="Of the features.")
    l: Annotated[Integer, Field(ge=0, le=2)] = Field(0, description="Highest l of the features between layers.")
    max_ell: Annotated[Integer, Field(ge=0, le=4)] = Field(3, description="Highest l of the spherical harmonics.")
    layers: Annotated[Integer, Field(ge=1, le=4)] = Field(2, description="Number of layers.")
    correlation: Annotated[Integer, Field(ge=1, le=3)] = Field(3, description="Body order of a layer less one.")
    basis: Annotated[Integer, Field(ge=1, le=64)] = Field(8, description="Number of Bessel functions.")
    radial: Annotated[
        tuple[Annotated[Integer, Field(ge=1, le=1024)], ...],
        Field(min_length=1, max_length=4),
        Kind("list of whole numbers"),
    ] = Field((64, 64, 64), description="Units of the hidden layers of the radial networks.")
    readout: Annotated[Integer, Field(ge=1, le=256)] = Field(16, description="Hidden units of the last readout.")
    zbl: Switch = Field(True, description="Whether it has a ZBL repulsion, which keeps atoms from fusing.")
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(0, description="Of the random weights.")

    @model_validator(mode="after")
    def _degrees(self) -> Self:
        if self.l > self.max_ell:
            raise refusal(f"has l = {self.l} above max_ell = {self.max_ell}")
        return self


class Labels(Table):
    """The labelled frames: extended XYZ, with any numbers of atoms, cells and elements that the model knows."""

    train: Annotated[Files, Field(min_length=1)] = Field(description="Files of frames to learn from.")
    valid: Files = Field(
        (), description="Files of frames that decide which weights are kept. Default: a share of `train`."
    )
    test: Files = Field((), description="Files of frames that decide nothing and are only reported.")
    valid_share: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.1, description="Share of the frames of `train` that is kept apart where there is no `valid`; at least one."
    )
    test_share: Share = Field(0.0, description="Share of the frames of `train` for `test`, where it names no file.")
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(0, description="Of the draw of these shares.")
    energy: Line | None = Field(
        None, description="Name of the energies, eV. Default: `REF_energy`, or `energy` where there is none."
    )
    forces: Line | None = Field(
        None, description="Name of the forces, eV/Å. Default: `REF_forces`, or `forces` where there is none."
    )
    stress: Line | None = Field(
        None,
        description="Name of the stresses, eV/Å³, positive under tension: 6 numbers xx yy zz yz xz xy, or 9, "
        "which ASE wants of the names `stress` and `virial`. Default: `REF_stress`, or `stress` where there is none.",
    )
    virials: Line | None = Field(
        None, description="Name of the virials, eV, minus stress times volume, where the frames have no stress."
    )
    kind: Line | None = Field(
        None, description="Name of a word in the header of a frame that says of what kind it is, as `config_type`."
    )
    weights: Annotated[dict[str, Factor], Kind("`{ kind = number }`")] = Field(
        default_factory=dict,
        description="Weights of frames in the loss by kind. Others have 1. They multiply what the file itself says of "
        "a frame (`config_weight`) and of its labels (`config_energy_weight`, `config_forces_weight`, "
        "`config_stress_weight`).",
    )
    train_weights: Weights | None = Field(
        None,
        description="Weights of the files of `train`, one for each, by which those of their frames are multiplied.",
    )
    valid_weights: Weights | None = Field(None, description="Weights of the files of `valid`, one for each.")

    @model_validator(mode="after")
    def _kinds(self) -> Self:
        if self.weights and self.kind is None:
            raise refusal("has 'weights' and no 'kind', the name of what they go by")
        return self

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        for part in ("train", "valid"):
            files, weights = getattr(self, part), getattr(self, f"{part}_weights")
            if weights is not None and len(weights) != len(files):
                raise refusal(f"has {len(weights)} '{part}_weights' for {len(files)} files of '{part}'")
        return self

    @property
    def energies(self) -> tuple[str, ...]:
        """Names that an energy may have, the first before the others."""
        return ("REF_energy", "energy") if self.energy is None else (self.energy,)

    @property
    def all_forces(self) -> tuple[str, ...]:
        """The same of forces."""
        return ("REF_forces", "forces") if self.forces is None else (self.forces,)

    @property
    def stresses(self) -> tuple[str, ...]:
        """The same of stresses, virials last."""
        stress = ("REF_stress", "stress") if self.stress is None else (self.stress,)
        return stress if self.virials is None else (*stress, self.virials)

    def paths(self, part: str) -> tuple[Path, ...]:
        """Where the files of "train", "valid" or "test" are."""
        return tuple(self._folder / file for file in getattr(self, part))

    def weighed(self, part: str) -> tuple[tuple[Path, float], ...]:
        """The same files, each with its weight; those of "test" have 1."""
        paths = self.paths(part)
        return tuple(zip(paths, getattr(self, f"{part}_weights", None) or (1.0,) * len(paths), strict=True))


class Learning(Table):
    """How the weights are fitted."""

    parameters: Annotated[tuple[Line, ...], Field(min_length=1), Kind("list of names")] = Field(
        ("weights",),
        description='What is moved: `"weights"` for all of them, `"readouts"`, or parts by name, such as '
        '`"layers.1.readout"`; '
        "a name that the model does not have is refused with those that it has; or low-rank changes of its matrices, "
        '`"lora:8:layers.1"` for those of a part with rank 8, `"lora:8"` for all that are not named otherwise.',
    )
    epochs: Annotated[Integer, Field(ge=1, le=100_000)] = Field(50, description="Passes over the training frames.")
    batch: Annotated[Integer, Field(ge=1, le=10_000)] = Field(5, description="Frames to a step.")
    optimiser: Literal["amsgrad", "adam"] = Field("amsgrad", description="With the steps of torch's.")
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.001, description="Of the optimiser, for weights as mace-torch has them, which are of the order of one."
    )
    decay: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.97, description="The learning rate is multiplied by it after every epoch."
    )
    average: Share = Field(
        0.99,
        description="Decay of the moving average of the weights over the steps, which is what is validated and kept; "
        "0: the weights themselves.",
    )
    clip: Annotated[Number, Field(gt=0, le=1_000_000_000)] = Field(
        10.0, description="Largest norm of the loss' gradient; a larger one is scaled to it."
    )
    patience: Annotated[Integer, Field(ge=1, le=100_000)] = Field(
        20, description="Epochs without a lower validation loss after which training ends."
    )
    energy_weight: Factor = Field(1.0, description="Weight in the loss of squared energy errors, (eV per atom)².")
    forces_weight: Factor = Field(100.0, description="Of squared errors of the components of forces, (eV/Å)².")
    stress_weight: Factor = Field(1.0, description="Of squared errors of the components of stresses, (eV/Å³)².")
    precision: Literal["float32", "float64"] = Field(
        "float32",
        description="Of what is computed for an atom, and of the gradient by the model's parameters. The loss, the "
        "sums over the atoms of a frame, the weights and the optimiser are float64.",
    )
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(0, description="Of the order of the frames.")

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not (self.energy_weight or self.forces_weight or self.stress_weight):
            raise refusal("should have a weight above 0 for energies, forces or stresses")
        return self


class LearnConfig(File):
    """A file of `refine learn`.

    >>> LearnConfig.parse({"model": {"name": "small"}, "frames": {"train": ["a.extxyz"]}}).learn.epochs
    50
    """

    word: ClassVar[str] = "learn"
    kind: ClassVar[str] = "file of refine learn"
    asked: ClassVar[str] = "give the path of a file with [model] and [frames]"

    title: Line = Field("A MACE model", description="Heading of the page.")
    model: Start
    new: New = Field(default_factory=New)
    frames: Labels
    learn: Learning = Field(default_factory=Learning)

    @model_validator(mode="after")
    def _new_is_used(self) -> Self:
        if "new" in self.model_fields_set and self.new != New() and not self.model.new:
            raise refusal("[new] is of a model that is not asked for; write new = true in [model]")
        return self

    def to_toml(self, folder: Path | None = None) -> str:
        """As it is carried out, defaults written out; folder: of the text, from where relative paths are then seen."""
        config = self if folder is None else self.seen_from(folder)
        return to_toml(config.model_dump(mode="json", exclude_none=True))
