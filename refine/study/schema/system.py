"""[system], [[states]] and [[schedule]]: what is simulated, and at which temperatures and densities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refine.formula import with_hydrogen
from refine.tables.species import Counts, Formula, Labels, Species, atoms_of
from refine.tables.table import Table
from refine.tables.values import FileName, Integer, Name, Number, refusal

LATER_OF_SYSTEM = {"structure_elements": None}
"""Keys that studies of before do not have, and the values with which they change no digest."""


class System(Table):
    """What is simulated: a composition that is packed at random, or a start structure."""

    species: Counts | None = Field(
        None,
        description="Atoms of each element in the box, or of sites of an element that are told apart, as in "
        '`{ C = 10, "H:methyl" = 30, "H:hydroxyl" = 10, O = 10 }`. `D` is hydrogen '
        "2 for neutrons, beside `H` a mixture at random. Give either this, `formula` or `structure`.",
    )
    formula: Formula | None = Field(
        None,
        description="Formula unit, such as `SiO2`, `Ca(NO3)2`, `Na2O.2SiO2` or `0.49FeO-0.51SiO2`; with `units`, in "
        "place of `species`.",
    )
    units: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = Field(
        None,
        description="Formula units in the box, so many that the atoms of each element are a whole number. Required "
        "with `formula`.",
    )
    structure: FileName | None = Field(
        None,
        description="Start structure with a periodic cell, in a text format: extended XYZ, CIF, POSCAR, LAMMPS data, "
        "XSF, PDB, gro, gen, res, aims, RMCProfile's rmc6f, DL_POLY's CONFIG, EPSR's ato. Of several frames the last "
        "is taken. ASE's binary formats are refused: reading them can run code. "
        "Where forces are costly, as with MACE, it saves melting a random packing.",
    )
    structure_species: Species | None = Field(
        None,
        description='Elements of the atom types 1, 2, ... of a LAMMPS data file, as in `["Si", "O"]`. '
        "Default: those that its labels or masses say.",
    )
    structure_elements: Labels | None = Field(
        None,
        description='Elements of labels or names of atoms in the structure files, as in `{ OW = "O", "C1-" = "Cl" }`. '
        "or sites of elements, `H:methyl`. Default: by rule; `Fe2+`, `O2-`, `Si1`, `OW`, `HW1` and `D` need none.",
    )
    number_density: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        None, description="Atoms per Å³. A composition needs this or `mass_density` unless every state has its own."
    )
    mass_density: Annotated[Number, Field(gt=0, le=100)] | None = Field(
        None,
        description="Density in g/cm³, in place of `number_density`; with standard atomic weights, and that of "
        "deuterium where atoms are called `D`: of a sample of other isotopes give `number_density`.",
    )

    @property
    def structure_path(self) -> Path | None:
        """Where `structure` is."""
        return self._resolve(self.structure)

    @property
    def counts(self) -> dict[str, int] | None:
        """Atoms of each species that `species`, or `formula` and `units`, ask for; None with a structure."""
        return None if self._asked is None else with_hydrogen(self._asked)[0]

    @property
    def isotopes(self) -> dict[str, int | dict[int, float]]:
        """Of hydrogen, where these ask for D."""
        hydrogen = None if self._asked is None else with_hydrogen(self._asked)[1]
        return {} if hydrogen is None else {"H": hydrogen}

    @property
    def _asked(self) -> dict[str, int] | None:
        if self.formula is not None and self.units is not None:
            return {name: round(n * self.units) for name, n in atoms_of(self.formula).items()}
        return self.species

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(given is not None for given in (self.species, self.formula, self.structure)) != 1:
            raise refusal("should have exactly one of 'species', 'formula' and 'structure'")
        if (self.formula is None) != (self.units is None):
            raise refusal("should have both of 'formula' and 'units', or none of them")
        if self.formula is not None and self.units is not None:
            _whole_atoms(atoms_of(self.formula), self.units)
        if self.structure is None and self.structure_species is not None:
            raise refusal("has no 'structure' that 'structure_species' could belong to")
        if self.structure is None and self.structure_elements is not None:
            raise refusal("has no 'structure' that 'structure_elements' could belong to")
        if self.counts is not None and not 2 <= sum(self.counts.values()) <= 10_000_000:
            raise refusal("should have at least two atoms, and at most ten million")
        _one_density(self)
        return self


def _whole_atoms(amounts: Mapping[str, float], units: int) -> None:
    """Refusal of units of which an element has no whole number of atoms."""
    for element, n in amounts.items():
        if abs(n * units - round(n * units)) > 1e-6:
            fits = [k for k in range(1, 10_001) if all(abs(x * k - round(x * k)) <= 1e-6 for x in amounts.values())]
            more = f"; 'units' should be a multiple of {fits[0]}" if fits else ""
            raise refusal(f"has {n * units:g} atoms of {element} in {units} formula units{more}")


def _one_density(table: System | State) -> None:
    if table.number_density is not None and table.mass_density is not None:
        raise refusal("should have one of 'number_density' and 'mass_density', not both")


class State(Table):
    """A thermodynamic state that is simulated."""

    name: Name = Field(description="Name of the state; data sets refer to it.")
    temperature: Annotated[Number, Field(gt=0, le=50_000)] = Field(description="Temperature in K.")
    number_density: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        None, description="Atoms per Å³ in this state. Default: the density of the system."
    )
    mass_density: Annotated[Number, Field(gt=0, le=100)] | None = Field(
        None, description="Density in g/cm³ in this state, in place of `number_density`."
    )
    structure: FileName | None = Field(None, description="Start structure of this state. Default: that of the system.")
    phase: Literal["liquid", "solid"] = Field(
        "liquid", description="A liquid that stops flowing ends the run with an error; a solid may."
    )
    viscosity: Annotated[Number, Field(gt=0, le=1e12)] | None = Field(
        None,
        description="Shear viscosity in mPa s, with which `refine compare` corrects diffusion coefficients for the "
        "finite box. Default: that of each model, from the same trajectories.",
    )

    @property
    def structure_path(self) -> Path | None:
        """Where `structure` is."""
        return self._resolve(self.structure)

    @model_validator(mode="after")
    def _density(self) -> Self:
        _one_density(self)
        return self


class Stage(Table):
    """A stage of the schedule that makes start structures in place of the default melt; equilibration follows."""

    temperature: Annotated[Number, Field(gt=0, le=50_000)] = Field(
        description="Temperature in K, at its beginning where there is `to`."
    )
    to: Annotated[Number, Field(gt=0, le=50_000)] | None = Field(
        None, description="Temperature in K at its end. Default: a constant temperature."
    )
    picoseconds: Annotated[Number, Field(ge=0.001, le=1_000_000)] = Field(description="Its length in ps.")
    timestep: Annotated[Number, Field(ge=0.001, le=20)] | None = Field(
        None, description="Time step in fs, usually 0.25 to 10. Default: that of the sampling."
    )
    pressure: Annotated[Number, Field(ge=-100, le=1000)] | None = Field(
        None, description="Pressure in GPa; the volume follows. Only in `refine prepare`. Default: a constant volume."
    )
