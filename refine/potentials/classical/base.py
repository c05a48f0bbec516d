"""Sums of pair functions as a base, with the reciprocal part of an Ewald sum where there are charges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from refine.errors import InputError
from refine.potentials.by_site import for_sites
from refine.potentials.classical.by_pair import ByPair
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.classical.examples import EXAMPLES
from refine.potentials.classical.form import PairForm
from refine.potentials.classical.forms import FORMS
from refine.potentials.classical.parameters import ClassicalParameters, refined
from refine.potentials.classical.read import base_potential
from refine.potentials.classical.sets import SETS
from refine.potentials.keys import Example, Model
from refine.potentials.lammps import Part, Script, section, spline_nodes, table_radii
from refine.potentials.protocols import Array, Base, Finished, Pairs
from refine.tables.species import Ions, PairForms, Parameters, RealCharges
from refine.tables.values import Number

if TYPE_CHECKING:
    from refine.potentials.correction import PairCorrection
    from refine.potentials.pairs import PairForceField
    from refine.system import System

NODES, NODES_REACH = 4096, 9.0
"""Nodes of a pair table up to so many Å; beyond, more, so that they are as close on the walls of the atoms."""

TABLE = "base.table"
"""The file of the tables for LAMMPS."""

EWALD_ACCURACY = 1e-6
"""Of LAMMPS' Ewald sum: rms error of a force, in that of two elementary charges an Å apart."""

MESH_FROM, MESH_ORDER = 400, 7
"""Atoms from which on LAMMPS' sum on a mesh is faster, and the order of its splines: five makes it five times slower at
this accuracy (silica of 216 and 1,500 atoms, experiments/benchmarks/engines.py)."""


class ClassicalBase:
    """See `refine.potentials.protocols.Base`."""

    refined_file: ClassVar[str | None] = None
    own_engine: ClassVar[str | None] = None

    def read(self, model: ClassicalModel, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> PairForm:
        """A form, a published set, or a form for each pair; what ends nowhere by itself ends with the correction."""
        own = SETS[model.base].cutoff if model.base in SETS else None
        return base_potential(
            model.base,
            species,
            pairs,
            {
                key: for_sites(given, species) if isinstance(given, Mapping) else given
                for key, given in model.parameters.items()
            },
            model.r_cut or own or cutoff,
            truncation=model.truncation,
            charges=for_sites(model.charges, species),
            ions=for_sites(model.ions, species),
            coulomb=model.coulomb,
            damping=model.damping,
            pair_forms=for_sites(model.pairs, species),
        )

    def heads(self, model: ClassicalModel) -> Mapping[str, Any]:
        """It has none."""
        return {}

    def theory(self, model: ClassicalModel, potential: PairForm) -> str:
        """It is of none."""
        return ""

    def check_box(self, potential: PairForm, correction_cutoff: float, system: System) -> None:
        """InputError for charges that do not add up, lengths that are none of atoms, and a step inside of the
        correction."""
        cutoff = max(potential.cutoff, correction_cutoff)
        if not 0.0 < potential.inner < cutoff:
            raise InputError(
                f"the pair functions begin at {potential.inner:.4g} Å, and end at {cutoff:g} Å",
                where="[model.parameters]",
                fix="check their lengths, which are in Å, or raise [model] r_cut",
            )
        if potential.coulomb is not None:
            potential.coulomb.check_neutral(system.n_per_species)
        if potential.truncation == "none" and correction_cutoff > potential.cutoff:
            raise InputError(
                f'truncation = "none" leaves a step at {potential.cutoff:g} Å, inside the correction',
                where="[model]",
                fix=f"set r_cut to {correction_cutoff:g}, that of the correction, or more",
            )

    def force_field(
        self, potential: PairForm, correction_cutoff: float, system: System, precision: str
    ) -> PairForceField:
        """One table of base and correction."""
        from refine.potentials.pairs import PairForceField  # with jax, which reading a study does without

        self.check_box(potential, correction_cutoff, system)
        charged = potential.coulomb
        ewald = self_energy = None
        if charged is not None:
            if charged.method == "ewald":
                ewald = charged.reciprocal(system.n_per_species, system.cell)
            else:
                self_energy = charged.self_energy()
        return PairForceField(
            potential,
            correction_cutoff,
            system.n_per_species,
            orthorhombic=system.orthorhombic,
            size=NODES * math.ceil((max(potential.cutoff, correction_cutoff) / NODES_REACH) ** 2),
            precision=precision,
            ewald=ewald,
            self_energy=self_energy,
        )

    def pair_energies(self, potential: PairForm, r: Array) -> Array:
        """The functions of two atoms alone."""
        return potential.interaction(r)

    def identity(self, potential: PairForm) -> str:
        """The parameters are in the study file, or in this version of refine."""
        return ""

    def parameters(
        self, potential: PairForm, names: tuple[str, ...], system: System, edges: Array
    ) -> ClassicalParameters:
        """Those of one form for all pairs."""
        if isinstance(potential, ByPair):
            raise InputError(
                'parameters of base = "by-pair" cannot be refined',
                where="[refinement] parameters",
                fix='use one form for all pairs, or parameters = ["correction"]',
            )
        return ClassicalParameters(potential, names, edges)

    def final_potential(self, model: ClassicalModel, run: Finished, file: str | Path | None = None) -> PairForm:
        """That of the study, with the final numbers of what was refined."""
        if run.potential is not None:
            given: PairForm = run.potential
            return given
        potential = self.read(model, run.species, run.pairs, run.cutoff)
        if run.parameters is None:
            return potential
        try:
            return refined(potential, run.parameters)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"no parameters of the base can be read from it ({error!r:.80})",
                where=str(run.result),
                fix="finish the run with this version",
            ) from None

    def lammps(self, model: ClassicalModel, run: Finished, script: Script) -> Part:
        """A table for each pair with a short-range part: what the engine sums without the pair function of charges."""
        potential, added = self.final_potential(model, run), script.correction
        cutoff = potential.cutoff if added is None else max(potential.cutoff, added.cutoff)
        r = table_radii(cutoff)
        energy, slope = _tabulated(potential, added, r)
        step = 1e-4 * r[0]
        near = _tabulated(potential, added, np.array([r[0] + step, cutoff - step]))[1]
        first, last = (slope[:, 0] - near[:, 0]) / step, (near[:, 1] - slope[:, -1]) / step
        touched = np.isin(np.arange(len(potential.pairs)), [] if added is None else added.active_pairs)
        rows = np.flatnonzero(potential.interacting | touched)
        labels = {row: "-".join(potential.pairs[row]) for row in rows}
        part = "what is not Coulomb" if potential.coulomb is not None else "all of it"
        sections = [section(labels[row], r, energy[row], -slope[row], (first[row], last[row])) for row in rows]
        charged = Part() if potential.coulomb is None else _coulomb(potential.coulomb, script)
        # LAMMPS tells a style from another one of its name by a number, and takes none where there is one only
        table = "table 1" if any(style.startswith("table ") for style in script.beside) else "table"
        return Part(
            (f"table spline {spline_nodes(cutoff)}", *charged.styles),
            charged.before,
            (
                *(f"pair_coeff {script.type_pair(potential.pairs[row])} {table} {TABLE} {labels[row]}" for row in rows),
                *charged.coefficients,
            ),
            charged.after,
            {TABLE: script.table(f"base {model.base!r}, {part}", sections)},
            corrected=added is not None,
        )


class ClassicalModel(Model):
    """Sums of pair functions, with or without charges."""

    called: ClassVar[str] = "a classical base"
    kind: ClassVar[Base] = ClassicalBase()
    examples: ClassVar[Mapping[str, Example]] = EXAMPLES

    parameters: Parameters = Field(
        default_factory=dict,
        description="Parameters of a classical base in eV and Å, each a number or a table by pair, for `lennard-jones` "
        "also by species. u(r) of a pair, besides its charges: "
        + "; ".join(f"`{form.name}`, `{form.formula}`" for form in FORMS.values())
        + ". A number of a named set's pair takes its place; one of a new element's, whose charge is in `charges`, "
        "adds it to the set.",
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
        description="Charges of a classical base in e, for all elements or none; beside a named set, in place of its "
        "own and of elements that it does not have.",
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

    @property
    def elements(self) -> frozenset[str]:
        """Those of charges and ions, of forms by pair, and of parameters by species or pair."""
        by_element = [table for table in self.parameters.values() if isinstance(table, Mapping)]
        tables: list[Mapping[str, Any]] = [self.charges, self.ions, self.pairs, *by_element]
        return frozenset(element for table in tables for key in table for element in key.split("-"))


def without_coulomb(potential: PairForm, r: Array) -> tuple[Array, Array]:
    """What the engine sums, less the pair function of charges: energy and derivative, (pairs, n). From the inner end of
    the potential on it is the short-range part; below, the engine has no charges."""
    energy, slope = potential.short_range(r)
    below = r < potential.inner
    if below.any():
        parts = potential.continued(r[below])
        if potential.coulomb is not None:
            charged = potential.coulomb.pair(r[below])
            parts = parts[0] - charged[0], parts[1] - charged[1]
        energy[:, below], slope[:, below] = parts
    return energy, slope


def _tabulated(potential: PairForm, added: PairCorrection | None, r: Array) -> tuple[Array, Array]:
    """Energy and derivative, (pairs, n), of what is in a table; added: a correction, or None."""
    energy, slope = without_coulomb(potential, r)
    if added is not None:
        assert added.pairs == potential.pairs
        energy, slope = energy + added.energy(r), slope + added.derivative(r)
    return energy, slope


def _coulomb(charged: Coulomb, script: Script) -> Part:
    charges = tuple(
        f"set type {script.types[symbol]} charge {float(q)!r}"
        for symbol, q in zip(charged.species, charged.charges, strict=True)
    )
    if charged.method == "dsf":
        return Part((f"coul/dsf {charged.alpha!r} {charged.cutoff!r}",), charges, ("pair_coeff * * coul/dsf",))
    if script.atoms > MESH_FROM:
        sum_of_waves = [f"kspace_style pppm {EWALD_ACCURACY:g}", f"kspace_modify order {MESH_ORDER}"]
    else:
        remark = "# pppm instead of ewald is faster for many atoms"
        sum_of_waves = [*([] if script.atoms else [remark]), f"kspace_style ewald {EWALD_ACCURACY:g}"]
    return Part(
        (f"coul/long {charged.cutoff!r}",),
        charges,
        ("pair_coeff * * coul/long",),
        ("pair_modify pair coul/long table 0", *sum_of_waves, f"kspace_modify gewald {charged.alpha!r}"),
    )
