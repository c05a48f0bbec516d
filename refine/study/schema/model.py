"""[model]: the base potential, and files that hold one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from refine.tables.explain import input_error, shown
from refine.tables.table import Table
from refine.tables.toml import parse_toml, read_text
from refine.tables.values import FileName, Ions, Line, Name, Number, PairForms, Parameters, RealCharges, refusal


class Model(Table):
    """The base potential, which the correction is added to: a classical one with parameters, or a MACE model."""

    base: Line = Field(
        description="Name of the base potential. Forms with [model.parameters]: `lennard-jones`, `born-mayer`, "
        "`buckingham`, `buckingham-patched`, `buckingham-r24`, `morse`; `by-pair` with [model.pairs]. Published sets: "
        "`pedone-2006`, `guillot-sator-2007`, `bks`, `bks-1990`; without numbers: `rossano-2000`, `yang-2016`, "
        "`seo-tsukihashi-2005`, `belashchenko-1996`. Silicon: `stillinger-weber`, `tersoff`. Or `mace`."
    )
    parameters: Parameters = Field(
        default_factory=dict,
        description="Parameters of a classical base in eV and Å, each a number or a table by pair, "
        "for `lennard-jones` also by species: epsilon, sigma; A, rho, C, D; D, a, r0, C.",
    )
    r_cut: Annotated[Number, Field(gt=0, le=50)] | None = Field(
        None, description="Cutoff of a classical base in Å. Default: that of the correction; 8 Å for `bks`."
    )
    truncation: Literal["switch", "none"] = Field(
        "switch",
        description="`switch`: a classical base goes to zero smoothly over the last 0.5 Å; `none`: it is cut off.",
    )
    charges: RealCharges = Field(
        default_factory=dict,
        description="Charges of a classical base in e, for all elements or none; in place of those of a named set.",
    )
    ions: Ions = Field(
        default_factory=dict,
        description='Which ion of a named set an element is, as in `{ Fe = "Fe2+" }`. Required where it has several.',
    )
    coulomb: Literal["ewald", "dsf", "none"] | None = Field(
        None,
        description="How charges are summed: exactly (`ewald`), by the damped shifted force, or not at all. "
        "Default: `ewald`, and what a named set was made with.",
    )
    damping: Annotated[Number, Field(gt=0, le=5)] | None = Field(
        None, description="Damping of the damped shifted force in 1/Å. Default: 0.25."
    )
    pairs: PairForms = Field(
        default_factory=dict,
        description='With `by-pair`, a form and its parameters for each pair: `{ Fe-O = { form = "morse", D = 1 } }`.',
    )
    path: FileName | None = Field(
        None, description="File of a MACE model, relative to the study. With `mace` give either this or `name`."
    )
    name: Line | None = Field(
        None, description="Published MACE model, such as `medium-mpa-0`; `refine models list` shows all."
    )
    head: Line | None = Field(None, description="Head of a MACE model. Required if it has several.")
    backend: Literal["refine", "mace-jax"] = Field(
        "refine",
        description="What evaluates a MACE model. `mace-jax` must be installed and is slower; it has torch load "
        "the file, which runs whatever is in it.",
    )
    dispersion: Literal["none", "d3-bj"] = Field(
        "none",
        description="`d3-bj`: Grimme's D3 with Becke-Johnson damping, as fitted to PBE, on top of the base; within "
        "40 bohr as for MACE-MP-0+D3, no three-body term, up to Pu.",
    )

    @property
    def model_path(self) -> Path | None:
        """Where `path` is."""
        return self._resolve(self.path)

    @model_validator(mode="after")
    def _keys_of_the_base(self) -> Self:
        """A key that the base does not have would be ignored."""
        classical = {key: bool(getattr(self, key)) for key in ("parameters", "charges", "ions", "pairs")}
        classical |= {key: getattr(self, key) is not None for key in ("r_cut", "coulomb", "damping")}
        classical["truncation"] = self.truncation != "switch"
        mace = {key: getattr(self, key) is not None for key in ("path", "name", "head")}
        mace["backend"] = self.backend != "refine"
        for key, given in (classical if self.base == "mace" else mace).items():
            if given:
                only = "a classical base has it" if self.base == "mace" else 'only "mace" has it'
                raise refusal(f"base = {shown(self.base)} takes no {key!r}; {only}")
        if self.base == "mace" and (self.path is None) == (self.name is None):
            raise refusal("should have exactly one of 'path' and 'name' with base = \"mace\"")
        return self


class ModelFile(Table):
    """A file of `refine compare --models`: a base model under a label. Paths in it are relative to it."""

    label: Name = Field(description="Name of the model in tables and of its files. Default: the name of the file.")
    model: Model

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a model file; InputError where it cannot be read or is not valid."""
        path = Path(path)
        tree = {"label": path.stem, **parse_toml(read_text(path), str(path))}
        try:
            file = cls.model_validate(tree)
        except ValidationError as error:
            raise input_error(error, tree, str(path), cls) from None
        file.put_into(path.parent)
        return file
