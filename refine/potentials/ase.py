"""Any calculator of ASE as a base: a class of an installed package, made with the study's arguments.

What a study may name is held down by `refine.potentials.ase_allowed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.ase_allowed import (
    WHERE,
    calculator_class,
    check_files,
    class_name,
    files_in,
    plain_arguments,
)
from refine.potentials.keys import Example, Model
from refine.potentials.lammps import Part, Script
from refine.potentials.protocols import Array, Base, Finished, Pairs, Terms
from refine.tables.values import Kind

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator as AseCalculator

    from refine.potentials.calculator import Calculator
    from refine.potentials.correction import PairCorrection
    from refine.system import System


@dataclass(frozen=True)
class AnyCalculator:
    """A class of calculators and its arguments.

    of_class: see `calculator_class`.  name: "package.module:Class".  version: of its package.
    """

    of_class: type
    name: str
    version: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def calculator(self) -> AseCalculator:
        """Made once, for all states; InputError where the class does not take the arguments, or lacks a file."""
        try:
            made: AseCalculator = self.of_class(**self.arguments)
        except (Exception, SystemExit) as error:
            said = " ".join(str(error).split()) or "no message"
            raise InputError(
                f"{self.name} cannot be made: {type(error).__name__}: {said:.200}",
                where=WHERE,
                fix="mend [model] arguments",
            ) from error
        return made

    def terms(self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str) -> Terms:
        """InputError: it is no sum of such."""
        raise InputError(f"{self.name} is a calculator of its own", where=WHERE, fix='use engine = "ase"')


class Nothing:
    """A potential without energy, for a `Calculator` that has a correction or dispersion alone."""

    def terms(self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str) -> Terms:
        """There are none."""
        return Terms()


def on_top(correction: PairCorrection | None, dispersion: str) -> Calculator:
    """A calculator of what comes on top of a base, to be added to its own by ASE's `SumCalculator`."""
    from refine.potentials.calculator import Calculator

    return Calculator(Nothing(), correction=correction, dispersion=dispersion)


class AseBase:
    """See `refine.potentials.protocols.Base`."""

    refined_file: ClassVar[str | None] = None
    own_engine: ClassVar[str | None] = "ase"

    def read(self, model: AseModel, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> AnyCalculator:
        """The class, imported; it is called when something is calculated."""
        of_class, version = calculator_class(model.calculator)
        check_files(model.arguments)
        return AnyCalculator(of_class, model.calculator, version, model.arguments)

    def heads(self, model: AseModel) -> Mapping[str, Any]:
        """None that are known here."""
        return {}

    def theory(self, model: AseModel, potential: AnyCalculator) -> None:
        """It is not known here."""
        return None

    def check_box(self, potential: AnyCalculator, correction_cutoff: float, system: System) -> None:
        """The calculator says what does not fit."""

    def force_field(
        self, potential: AnyCalculator, correction_cutoff: float, system: System, precision: str
    ) -> NoReturn:
        """InputError: no program of jax evaluates it."""
        raise InputError(
            f"{potential.name} is evaluated by engine 'ase' alone", where="[sampling] engine", fix='set engine = "ase"'
        )

    def pair_energies(self, potential: AnyCalculator, r: Array) -> None:
        """Whether it is a sum of pair functions is not known."""
        return None

    def identity(self, potential: AnyCalculator) -> str:
        """The version of the package, since of another one the potential may be another, and SHA-256 of the files."""
        files = [
            hashlib.sha256(path.read_bytes()).hexdigest() for path in files_in(potential.arguments) if path.is_file()
        ]
        return " ".join((f"{potential.name} of version {potential.version}", *files))

    def parameters(self, potential: AnyCalculator, names: tuple[str, ...], system: System, edges: Array) -> NoReturn:
        """InputError: there are none."""
        raise InputError(
            f"parameters of {potential.name} cannot be refined",
            where="[refinement] parameters",
            fix='use parameters = ["correction"]',
        )

    def final_potential(self, model: AseModel, run: Finished, file: str | Path | None = None) -> AnyCalculator:
        """That of the study."""
        return self.read(model, run.species, run.pairs, run.cutoff)

    def lammps(self, model: AseModel, run: Finished, script: Script) -> Part:
        """Remarks: LAMMPS has no such calculator."""
        elements = " ".join(map(element_of, run.species))
        return Part(
            before=(
                f"# The base is the ASE calculator {model.calculator}, which LAMMPS does not have. Where it has",
                "# the same model as a pair style, put that before the styles below, and its pair_coeff line behind:",
                f"#   pair_style hybrid/overlay STYLE {' '.join(script.beside)}",
                f"#   pair_coeff * * STYLE FILE {elements}",
            )
        )


class AseModel(Model):
    """Any calculator of ASE that an installed package has, such as CHGNet, SevenNet, mace-torch or xtb, with
    `[sampling] engine = "ase"`; see [engines](../engines.md)."""

    called: ClassVar[str] = 'only "ase"'
    kind: ClassVar[Base] = AseBase()
    examples: ClassVar[Mapping[str, Example]] = {}

    base: Literal["ase"]
    calculator: Annotated[str, Strict(), AfterValidator(class_name), Kind('`"package.module:Class"`')] = Field(
        description="A class of ASE calculators in an installed package, as `ase.calculators.emt:EMT` or "
        "`chgnet.model:CHGNetCalculator`. Those that start programs are refused."
    )
    arguments: Annotated[dict[str, Any], BeforeValidator(plain_arguments), Kind("`{ name = value, ... }`")] = Field(
        default_factory=dict,
        description="What it is made with: text, numbers, true or false, lists and tables of these. Files are seen "
        "from where refine runs, and lie in folders of the environment's `REFINE_ASE_FILES`; see "
        "[engines](../engines.md).",
    )

    @property
    def title(self) -> str:
        """The class."""
        return self.calculator.rpartition(":")[2]
