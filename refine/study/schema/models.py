"""The tables of a study file as pydantic models; each field carries its unit, its limits and its meaning.

What needs physics (does r_cut fit into the box, do structure and density agree) is checked where the physics is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from refine.curves.quantities import is_q_space
from refine.errors import InputError
from refine.study.schema.conventions import Abscissa, Normalisation, Quantity, Radiation, Window
from refine.tables.explain import input_error, shown
from refine.tables.table import Table
from refine.tables.toml import override, parse_toml, read_text, to_toml
from refine.tables.values import (
    ByPair,
    Charges,
    Counts,
    FileName,
    Formula,
    Integer,
    Ions,
    Isotopes,
    Kind,
    Line,
    Name,
    Number,
    Pair,
    PairForms,
    Pairs,
    Parameters,
    Range,
    RealCharges,
    Sigma,
    SmoothnessByPair,
    Species,
    Switch,
    any_tables,
    atoms_of,
    refusal,
    some_tables,
)


class System(Table):
    """What is simulated: a composition that is packed at random, or a start structure."""

    species: Counts | None = Field(
        None, description="Atoms of each element in the box. Give either this, `formula` or `structure`."
    )
    formula: Formula | None = Field(
        None, description="Formula unit, such as `SiO2` or `Ca(NO3)2`; with `units`, in place of `species`."
    )
    units: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="Formula units in the box. Required with `formula`."
    )
    structure: FileName | None = Field(
        None,
        description="Start structure with a periodic cell, in one of ASE's text formats: extended XYZ, CIF, POSCAR, "
        "LAMMPS data, XSF, PDB, gro, gen, res, aims. Binary ones are refused: reading them can run code. "
        "Where forces are dear, as with MACE, it saves melting a random packing.",
    )
    structure_species: Species | None = Field(
        None,
        description='Elements of the atom types 1, 2, ... of a LAMMPS data file, as in `["Si", "O"]`. '
        "Default: those that its labels or masses say.",
    )
    number_density: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        None, description="Atoms per Å³. A composition needs this or `mass_density` unless every state has its own."
    )
    mass_density: Annotated[Number, Field(gt=0, le=100)] | None = Field(
        None, description="Density in g/cm³, in place of `number_density`; with standard atomic weights."
    )

    @property
    def structure_path(self) -> Path | None:
        """Where `structure` is."""
        return self._resolve(self.structure)

    @property
    def counts(self) -> dict[str, int] | None:
        """Atoms of each element that `species`, or `formula` and `units`, ask for; None with a structure."""
        if self.formula is not None and self.units is not None:
            return {name: n * self.units for name, n in atoms_of(self.formula).items()}
        return self.species

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(given is not None for given in (self.species, self.formula, self.structure)) != 1:
            raise refusal("should have exactly one of 'species', 'formula' and 'structure'")
        if (self.formula is None) != (self.units is None):
            raise refusal("should have both of 'formula' and 'units', or none of them")
        if self.structure is None and self.structure_species is not None:
            raise refusal("has no 'structure' that 'structure_species' could belong to")
        if self.counts is not None and not 2 <= sum(self.counts.values()) <= 10_000_000:
            raise refusal("should have at least two atoms, and at most ten million")
        _one_density(self)
        return self


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
    picoseconds: Annotated[Number, Field(gt=0, le=1_000_000)] = Field(description="Its length in ps.")
    timestep: Annotated[Number, Field(gt=0, le=20)] | None = Field(
        None, description="Time step in fs. Default: that of the sampling."
    )
    pressure: Annotated[Number, Field(ge=-100, le=1000)] | None = Field(
        None, description="Pressure in GPa; the volume follows. Only in `refine prepare`. Default: a constant volume."
    )


class Data(Table):
    """A measured curve and what to do with it."""

    name: Name = Field(description="Name of the data set in the report and of its file in the output.")
    file: FileName | None = Field(
        None,
        description="Columns x, y[, sigma] in Å and 1/Å, or a .sq .gr .fq .int01 .mint01 file; relative to the study. "
        'Required unless the role is "predict".',
    )
    quantity: Quantity = Field(description="What the y column is.")
    normalisation: Normalisation = Field(
        "faber-ziman",
        description="`faber-ziman`: S(Q) → 1; `keen`: in barn/sr/atom or electron units; `<f^2>`: x-rays over ⟨f²⟩.",
    )
    radiation: Radiation | None = Field(
        None, description="What was scattered. Required unless `pair` makes the curve a partial."
    )
    pair: Pair | None = Field(
        None, description="The curve is the partial of this pair of elements. Default: the total."
    )
    isotopes: Isotopes = Field(
        default_factory=dict, description="Isotopes of the sample, neutrons only. Default: natural abundance."
    )
    charges: Charges = Field(
        default_factory=dict, description="Ions whose form factors are used, x-rays only. Default: neutral atoms."
    )
    state: Line | None = Field(None, description="State in which it was measured. Required if there are several.")
    role: Literal["fit", "score", "predict"] = Field(
        "fit",
        description="`score`: compared and reported, never fitted. `predict`: nothing was measured, or it is not at "
        "hand; the model's curve is written, of a measurement over `q_range`.",
    )
    fit_q: Range | None = Field(None, description="Fitted range of Q in 1/Å. Default: all of the data.")
    fit_r: Range | None = Field(
        None, description="Fitted range of r in Å. Default: all that the data and the box have."
    )
    score_r: Range = Field((1.0, 10.0), description="Range in Å over which R_chi of T(r) is taken, cut to the box.")
    q_range: Range | None = Field(
        None,
        description="Q range in 1/Å of the measurement, or of the transform behind r-space data; of these a total "
        "needs it unless the file's header has it.",
    )
    abscissa: Abscissa = Field(
        "auto",
        description="What the first column of the file is: `points`, or `left-edges` or `centres` of the bins that y "
        "is averaged over; left edges are shifted to the centres. `auto`: left edges in Gudrun's .mint01 .mdcs01 "
        ".dcs01 .int01 (02, ...), points elsewhere; a file whose header names such a file has to say it.",
    )
    window: Window = Field("none", description="Window of the transform to r, applied to model and measurement alike.")
    sigma: Sigma = Field(
        "auto",
        description="Standard deviation of each measured y, independent of the others: a number, points `[x, number]` "
        'with straight lines between them and constant beyond, `"file"` for the third column, `"auto"` for the column '
        "where there is one and an estimate elsewhere.",
    )
    weight: Annotated[Number, Field(gt=0)] = Field(1.0, description="Factor on this data set's χ².")
    free_scale: Switch = Field(False, description="Fit an overall scale factor together with the potential.")
    scale_prior: Annotated[Number, Field(gt=0, le=10)] = Field(
        0.2, description="Prior standard deviation of a free scale about one."
    )
    free_background: Switch = Field(
        False, description="Fit a flat background together with the potential; Q-space data only."
    )
    background_prior: Annotated[Number, Field(gt=0)] | None = Field(
        None,
        description="Prior standard deviation of a free background about zero, in units of y. "
        "Default: a tenth of the rms of the curve's signal.",
    )

    @property
    def path(self) -> Path:
        """Where `file` is; ValueError for a prediction."""
        if self.file is None:
            raise ValueError(f"{self.name} is a prediction")
        return self._folder / self.file

    @model_validator(mode="after")
    def _measured_or_predicted(self) -> Self:
        if self.role != "predict":
            if self.file is None:
                raise refusal("missing key 'file'; or role = \"predict\", for a curve that was not measured")
            return self
        for key in ("file", "fit_q", "fit_r", "sigma", "weight", "free_scale", "free_background", "abscissa"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise refusal(f'role = "predict" takes no {key!r}; there is no measurement')
        if self.q_range is None and is_q_space(self.quantity):
            raise refusal(f"{self.quantity} is predicted over a range of Q; give q_range")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.radiation is None and self.pair is None:
            raise refusal('missing key \'radiation\'; "neutron" or "xray"')
        if self.isotopes and self.radiation == "xray":
            raise refusal("isotopes do not change x-ray scattering; remove 'isotopes'")
        if self.charges and self.radiation == "neutron":
            raise refusal("charges do not change neutron scattering; remove 'charges'")
        if self.free_background and not is_q_space(self.quantity):
            raise refusal(f"a flat background is one in Q, and {self.quantity} is in r; remove 'free_background'")
        return self


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
            found = cls.model_validate(tree)
        except ValidationError as error:
            raise input_error(error, tree, str(path), cls) from None
        found.model._folder = path.parent
        return found


class Coordination(Table):
    """Where neighbours are counted, in reports, `refine compare` and `refine forward`."""

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

    @model_validator(mode="after")
    def _error(self) -> Self:
        if self.segments == 1:
            raise refusal("should have two 'segments' or more, whose scatter is the error, or none")
        return self

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where `models` are."""
        return tuple(self._folder / file for file in self.models)


class Correction(Table):
    """The pair potential that is refined: a cubic B-spline for each pair of elements."""

    pairs: Pairs = Field("all", description="Pairs of elements that are corrected.")
    knots: Annotated[Integer, Field(ge=4, le=512)] = Field(32, description="Coefficients for each pair.")
    r_min: Annotated[Number, Field(gt=0, le=50)] = Field(
        1.5,
        description="Where the knots begin, Å: below every distance at which the base model has pairs, or the run is "
        "refused with a number to use. Below the innermost pairs φ is a straight line, and where neither the model nor "
        "a measured partial g(r) has any, a wall.",
    )
    r_cut: Annotated[Number, Field(gt=0, le=50)] = Field(
        8.0, description="Where the correction ends, Å, with zero value and slope; at most half the box."
    )
    temperature: Literal["none", "linear"] = Field(
        "none",
        description="`linear`: φ(r; T) = φ₀(r) + (T − T₀) φ₁(r) with T₀ the mean temperature of the states; "
        "needs fitted data at two temperatures or more.",
    )
    smoothness: SmoothnessByPair = Field(
        "auto",
        description='`"auto"`: by the evidence of the data, pair by pair; a number s: the prior standard deviation of '
        "φ is kT/s; a table of numbers by pair, as in `{ Fe-O = 2 }`: those fixed, the others by the evidence.",
    )
    length: Annotated[Number, Field(gt=0, le=10)] = Field(0.5, description="Correlation length of the prior on φ, Å.")

    @model_validator(mode="after")
    def _room_for_knots(self) -> Self:
        if self.r_min >= self.r_cut:
            raise refusal(f"r_min = {self.r_min:g} should be less than r_cut = {self.r_cut:g}")
        return self


class Sampling(Table):
    """Molecular dynamics at constant temperature."""

    timestep: Annotated[Number, Field(gt=0, le=20)] = Field(1.0, description="Time step in fs.")
    thermostat: Literal["langevin", "nose-hoover"] = Field("langevin", description="Thermostat.")
    time_constant: Annotated[Number, Field(gt=0, le=1000)] = Field(0.5, description="Its time constant in ps.")
    equilibration: Annotated[Number, Field(ge=0, le=1_000_000)] = Field(
        20.0, description="Time in ps from the start structure to the first frame."
    )
    reequilibration: Annotated[Number, Field(ge=0, le=1_000_000)] = Field(
        5.0, description="Time in ps after each change of the potential."
    )
    frames: Annotated[Integer, Field(ge=10, le=1_000_000)] = Field(
        200, description="Frames sampled in each iteration, from all replicas together."
    )
    stride: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(40, description="Steps between frames.")
    final: Annotated[Number, Field(ge=1, le=100)] = Field(
        2.0, description="The sample behind the final numbers has this times `frames`."
    )
    replicas: Annotated[Integer, Field(ge=1, le=1024)] = Field(1, description="Copies of the box run side by side.")
    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = Field(1, description="Seed of every random number of the run.")
    precision: Literal["float32", "float64"] = Field("float32", description="Precision of the dynamics.")
    bin_width: Annotated[Number, Field(ge=0.001, le=0.5)] = Field(
        0.02,
        description="Width in Å of the bins in which pair distances are counted; at most 2/Q_max of every curve.",
    )


class Refinement(Table):
    """The rule that changes the correction. A key of another method than the chosen one is refused."""

    method: Literal["gauss-newton", "ibi", "difftre", "backprop", "epsr", "rmc"] = Field(
        "gauss-newton",
        description="`gauss-newton`: any data, with error bars; `ibi`: iterative Boltzmann inversion of partial g(r); "
        "`difftre`: gradient of reweighted averages; `backprop`: gradient through the trajectory; `epsr`: empirical "
        "potential structure refinement, Q-space data; `rmc`: reverse Monte Carlo, no potential comes out.",
    )
    iterations: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        8, description="At most so many updates; the run stops by itself once change is within the sampling noise."
    )
    trust_radius: Annotated[Number, Field(gt=0, le=100)] = Field(
        0.3, description="`gauss-newton`: first limit on the rms change of φ over sampled pairs, in kT."
    )
    pooling: Switch = Field(True, description="`gauss-newton`: use the frames of earlier iterations in each update.")
    damping: Annotated[Number, Field(gt=0, le=1)] = Field(1.0, description="`ibi`: share of each update that is made.")
    pressure: Annotated[Number, Field(ge=-100, le=1000)] | None = Field(
        None, description="`ibi`: pressure in GPa that the correction is held to. Default: no constraint."
    )
    optimiser: Line = Field("adam", description="`difftre`, `backprop`: name of an optimiser of optax.")
    learning_rate: Annotated[Number, Field(gt=0, le=10)] = Field(
        0.02, description="`difftre`, `backprop`: its learning rate; in kT for the correction."
    )
    inner_steps: Annotated[Integer, Field(ge=1, le=10_000)] = Field(
        20, description="`difftre`: at most so many steps of the optimiser on one sample."
    )
    threshold: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.9, description="`difftre`: a new sample is taken below this effective share of the frames."
    )
    parameters: Annotated[tuple[Line, ...], Field(min_length=1)] = Field(
        ("correction",),
        description="`difftre`: what is fitted: `correction`, parameters of a classical base (`epsilon`, `sigma`), "
        "those of a MACE base (`weights` for all, or a part by its name, such as `layers.1.readout`), or several.",
    )
    windows: Annotated[Integer, Field(ge=2, le=4096)] = Field(
        32, description="`backprop`: windows of the trajectory that are differentiated in each state."
    )
    window_steps: Annotated[Integer, Field(ge=1, le=100_000)] = Field(
        200, description="`backprop`: steps of a window; the gradient's variance grows exponentially with it."
    )
    clip: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="`backprop`: largest norm of a window's gradient, in units of the median. Default: none."
    )
    feedback: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.8, description="`epsr`: share of the difference that enters the empirical potential at each update."
    )
    confidence: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.9, description="`epsr`: weight of the data against the simulated partials when data sets are combined."
    )
    cap: Annotated[Number, Field(gt=0, le=1000)] = Field(
        1.0, description="`epsr`: largest rms of the empirical potential over sampled pairs, in kT."
    )
    moves: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(
        5, description="`rmc`: attempted moves of every atom between frames."
    )
    minimum_distances: ByPair = Field(
        default_factory=dict, description="`rmc`: closest approach in Å by pair, as in `{ Si-O = 1.4 }`."
    )

    @model_validator(mode="after")
    def _keys_of_the_method(self) -> Self:
        """A key that the method does not have would be ignored."""
        for methods, keys in METHOD_KEYS.items():
            for key in keys:
                if key in self.model_fields_set and self.method not in methods:
                    default = type(self).model_fields[key].get_default(call_default_factory=True)
                    if getattr(self, key) != default:
                        raise refusal(f"method = {shown(self.method)} takes no {key!r}; {_who_has(methods)} it")
        return self


def _who_has(methods: Sequence[str]) -> str:
    return f"{' and '.join(methods)} {'has' if len(methods) == 1 else 'have'}"


METHOD_KEYS = {
    ("gauss-newton",): ("trust_radius", "pooling"),
    ("ibi",): ("damping", "pressure"),
    ("difftre", "backprop"): ("optimiser", "learning_rate"),
    ("difftre",): ("inner_steps", "threshold", "parameters"),
    ("backprop",): ("windows", "window_steps", "clip"),
    ("epsr",): ("feedback", "confidence", "cap"),
    ("rmc",): ("moves", "minimum_distances"),
}
"""Which methods have which keys of [refinement]; the others belong to all."""


class StudyConfig(Table):
    """A whole study. Attributes are the tables of the file; `parse` and `from_toml` are the ways to make one."""

    title: Line = Field("Untitled study", max_length=300, description="Headline of the report.")
    system: System
    states: Annotated[tuple[State, ...], BeforeValidator(some_tables)]
    schedule: Annotated[tuple[Stage, ...], BeforeValidator(any_tables)] = ()
    data: Annotated[tuple[Data, ...], BeforeValidator(some_tables)]
    model: Model
    correction: Correction = Correction()
    sampling: Sampling = Sampling()
    refinement: Refinement = Refinement()
    compare: Compare = Compare()
    coordination: Coordination = Coordination()

    _source_path: Path | None = PrivateAttr(default=None)

    @property
    def source_path(self) -> Path | None:
        """The study file, or None for a study that was made in Python."""
        return self._source_path

    @property
    def folder(self) -> Path:
        """The folder that the study's paths are relative to."""
        return self._folder

    def default_out(self) -> Path:
        """Where results go that are asked for without a folder: runs/<name of the study's folder>."""
        name = self.folder.resolve().name if self.source_path else "study"
        return Path("runs") / (name or "study")

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a study file.

        Args:
            path: the TOML file.
            overrides: changes like ``refinement.iterations=3`` or ``states.0.temperature=90``; see `override`.

        Raises:
            InputError: the file cannot be read, is not TOML, or is not a valid study.
        """
        path = Path(path)
        tree = parse_toml(read_text(path), str(path))
        for assignment in overrides:
            override(tree, assignment)
        return cls._validated(tree, source=str(path), source_path=path, folder=path.parent)

    @classmethod
    def parse(cls, tree: Mapping[str, Any], folder: str | Path = ".") -> Self:
        """Make a study from nested dictionaries and lists of the file's shape.

        Args:
            tree: the study; keys are those of the file.
            folder: what relative paths in it are relative to.

        Raises:
            InputError: it is not a valid study.
        """
        return cls._validated(tree, source="study", source_path=None, folder=Path(folder))

    @classmethod
    def _validated(cls, tree: Mapping[str, Any], *, source: str, source_path: Path | None, folder: Path) -> Self:
        try:
            study = cls.model_validate(dict(tree))
        except ValidationError as error:
            raise input_error(error, tree, source, cls) from None
        study._source_path = source_path
        tables: tuple[Table, ...] = (study, study.system, study.model, study.compare, *study.states, *study.data)
        for table in tables:
            table._folder = folder
        return study

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        states = [state.name for state in self.states]
        _refuse_duplicates("states", states)
        _refuse_duplicates("data", [data.name for data in self.data])
        for data in self.data:
            where = f"[[data]] {data.name!r}:"
            if data.state is None and len(states) > 1:
                raise refusal(f"{where} missing key 'state'; one of {', '.join(states)}")
            if data.state is not None and data.state not in states:
                raise refusal(f"{where} state = {shown(data.state)} is not a state; one of {', '.join(states)}")
        if self.correction.smoothness != "auto" and self.refinement.method != "gauss-newton":
            method = shown(self.refinement.method)
            raise refusal(f"[correction] smoothness is a prior, and method = {method} has none; gauss-newton has it")
        if self.correction.temperature == "linear":
            fitted = {self.state_of(data).temperature for data in self.data if data.role == "fit"}
            if len(fitted) < 2:
                raise refusal('[correction] temperature = "linear" needs fitted data at two temperatures or more')
        return self

    @model_validator(mode="after")
    def _states_have_a_density(self) -> Self:
        for state in self.states:
            declared = (self.number_density_of(state), self.mass_density_of(state))
            if self.structure_of(state) is None and declared == (None, None):
                raise refusal(f"missing key 'number_density' in [system] or in [[states]] {state.name!r}")
        return self

    @model_validator(mode="after")
    def _elements_are_in_the_system(self) -> Self:
        """Where the composition is known from the file alone, nothing may name another element."""
        counts = self.system.counts
        if counts is None:
            return self
        named: list[tuple[str, tuple[str, ...]]] = []
        named += [(f"[[data]] {data.name!r}: pair", data.pair or ()) for data in self.data]
        named += [(f"[[data]] {data.name!r}: isotopes", tuple(data.isotopes)) for data in self.data]
        named += [(f"[[data]] {data.name!r}: charges", tuple(data.charges)) for data in self.data]
        if self.correction.pairs != "all":
            named += [("[correction] pairs", pair) for pair in self.correction.pairs]
        for where, elements in named:
            for element in elements:
                if element not in counts:
                    known = ", ".join(counts)
                    raise refusal(f"{where} names {element!r}, which is not in the system ({known})")
        return self

    def state_of(self, data: Data) -> State:
        """The state that a data set was measured in."""
        return next(state for state in self.states if data.state in (None, state.name))

    def number_density_of(self, state: State) -> float | None:
        """Number density of a state in atoms/Å^3 where it is declared as such."""
        own = state.number_density is not None or state.mass_density is not None
        return state.number_density if own else self.system.number_density

    def mass_density_of(self, state: State) -> float | None:
        """Density of a state in g/cm^3 where it is declared as such."""
        own = state.number_density is not None or state.mass_density is not None
        return state.mass_density if own else self.system.mass_density

    def structure_of(self, state: State) -> Path | None:
        """Start structure of a state; None where it is packed at random from the composition."""
        return state.structure_path or self.system.structure_path

    def digest(self, *, data: bool = True) -> str:
        """SHA-256 (hex) of the settings and of the bytes of every data, structure and model file.

        Two studies with one digest are the same run; where the files lie makes no difference.

        Args:
            data: False to leave the data files out, where nothing depends on them.

        Raises:
            InputError: a file cannot be read.
        """
        settings = self.model_dump(mode="json", exclude={"compare", "coordination"})  # a run does not follow from them
        total = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        structures = (self.structure_of(state) for state in self.states)
        curves = [entry.path for entry in self.data if entry.file is not None] if data else []
        for path in (*curves, *filter(None, (*structures, self.model.model_path))):
            try:
                total.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
        return total.hexdigest()

    def to_toml(self) -> str:
        """The study as it runs, overrides applied and defaults written out, as TOML that reads back the same."""
        return to_toml(self.model_dump(mode="json", exclude_none=True))


def _refuse_duplicates(table: str, names: Sequence[str]) -> None:
    """Names become file names, so two that differ only in case are the same on some file systems."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise refusal(f"[[{table}]] has the name {name!r} twice")
        seen.add(name.lower())
