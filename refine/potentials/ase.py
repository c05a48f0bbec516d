"""Any calculator of ASE as a base: a class of an installed package, made with the study's arguments.

A study file comes from anywhere, so a name in it is held to be no more than a name: the package is one of the installed
ones, also where a folder of the same name stands beside the study; what is called is a class of ASE calculators and
nothing else; its arguments are plain values. Calculators that start programs or take commands are refused. What an
installed calculator does with a file that an argument names is its own affair: models in torch's format run code.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn
from urllib.parse import unquote, urlparse

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.keys import Example, Model
from refine.potentials.lammps import Part, Script
from refine.potentials.protocols import Array, Base, Finished, Pairs, Terms
from refine.tables.values import Kind, refusal

if TYPE_CHECKING:
    from ase.calculators.calculator import BaseCalculator

    from refine.potentials.calculator import Calculator
    from refine.potentials.correction import PairCorrection
    from refine.system import System

WHERE = "[model] calculator"

COMMANDS = ("command", "lmpcmds", "profile", "asap_command")
"""Arguments by which a calculator takes something to execute."""

MOST_DEPTH = 8
"""Of tables and lists in arguments."""


def _class_name(name: str) -> str:
    module, _, of_class = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), of_class)):
        raise refusal('should be "package.module:Class", as in "ase.calculators.emt:EMT"')
    return name


def _plain(value: Any, depth: int = 0) -> bool:
    if depth > MOST_DEPTH:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(one, depth + 1) for key, one in value.items())
    if isinstance(value, list):
        return all(_plain(one, depth + 1) for one in value)
    return isinstance(value, str | bool | int | float)


def _arguments(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise refusal('should be a table of arguments, as in { device = "cpu" }')
    for name, one in value.items():
        if not name.isidentifier():
            raise refusal(f"has {name!r:.40}, which is no name of an argument")
        if name in COMMANDS:
            raise refusal(f"has {name!r}: a study file starts no program")
        if not _plain(one):
            raise refusal(f"{name} should be text, a number, true or false, or a list or table of such")
    return value


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
    def calculator(self) -> BaseCalculator:
        """Made once, for all states; InputError where the class does not take the arguments, or lacks a file."""
        try:
            return self.of_class(**self.arguments)
        except Exception as error:
            said = " ".join(str(error).split()) or "no message"
            raise InputError(
                f"{self.name} cannot be made: {type(error).__name__}: {said:.200}",
                where=WHERE,
                fix="mend [model] arguments",
            ) from error

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


def calculator_class(name: str) -> tuple[type, str]:
    """The class of "package.module:Class", and the version of its package.

    Raises:
        InputError: no such package is installed, it stands elsewhere than where it was installed, or what the name
            stands for is no class of calculators that works within this process.

    >>> calculator_class("ase.calculators.emt:EMT")[0].__name__
    'EMT'
    """
    module, _, of_class = name.partition(":")
    package = _installed(module.partition(".")[0])
    try:
        found = getattr(importlib.import_module(module), of_class, None)
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        raise InputError(f"{module} cannot be imported: {type(error).__name__}: {said:.200}", where=WHERE) from error
    from ase.calculators.calculator import BaseCalculator, FileIOCalculator

    if not isinstance(found, type) or not issubclass(found, BaseCalculator):
        what = "has no such name" if found is None else "is no class of ASE calculators"
        raise InputError(f"{of_class} of {module} {what}", where=WHERE, fix='give "package.module:Class"')
    outside = issubclass(found, FileIOCalculator) or any(
        base.__name__ in ("BaseFileIOCalculator", "GenericFileIOCalculator") for base in found.__mro__
    )
    if outside or found.__module__ in ("ase.calculators.lammpslib", "ase.calculators.lammpsrun"):
        raise InputError(
            f"{name} starts a program or takes its commands, which a study file must not",
            where=WHERE,
            fix='use a calculator that works within Python, or engine = "lammps"',
        )
    return found, package.version


def _installed(package: str) -> Distribution:
    """What installed a package; InputError where nothing did, or an import would find another one."""
    names = packages_distributions().get(package, ())
    if not names:
        raise InputError(f"no package {package!r} is installed", where=WHERE, fix=f"install the one that has {package}")
    spec = importlib.util.find_spec(package)  # of a package without a dot: nothing is imported
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or (spec.origin or "",)]
    installed = [distribution(name) for name in names]
    for one in installed:
        roots = [Path(str(one.locate_file(""))).resolve(), *_editable(one)]
        if places and all(any(place.resolve().is_relative_to(root) for root in roots) for place in places):
            return one
    elsewhere = places[0] if places else "nowhere"
    raise InputError(
        f"{package} would be imported from {elsewhere}, which is not where it was installed",
        where=WHERE,
        fix="run refine from another folder, and without PYTHONPATH",
    )


def _editable(one: Distribution) -> list[Path]:
    """The source folder of a package that was installed from one to be edited."""
    try:
        said = json.loads(one.read_text("direct_url.json") or "{}")
        if said.get("dir_info", {}).get("editable"):
            return [Path(unquote(urlparse(said["url"]).path)).resolve()]
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    return []


class AseBase:
    """See `refine.potentials.protocols.Base`."""

    refined_file: ClassVar[str | None] = None
    own_engine: ClassVar[str | None] = "ase"

    def read(self, model: AseModel, species: tuple[str, ...], pairs: Pairs, cutoff: float) -> AnyCalculator:
        """The class, imported; it is called when something is calculated."""
        of_class, version = calculator_class(model.calculator)
        return AnyCalculator(of_class, model.calculator, version, model.arguments)

    def heads(self, model: AseModel) -> Mapping[str, Any]:
        """None that are known here."""
        return {}

    def theory(self, model: AseModel, potential: AnyCalculator) -> None:
        """It is not known here."""
        return None

    def force_field(self, potential: AnyCalculator, correction_cutoff: float, system: System, precision: str) -> NoReturn:
        """InputError: no program of jax evaluates it."""
        raise InputError(
            f"{potential.name} is evaluated by engine 'ase' alone", where="[sampling] engine", fix='set engine = "ase"'
        )

    def pair_energies(self, potential: AnyCalculator, r: Array) -> None:
        """Whether it is a sum of pair functions is not known."""
        return None

    def identity(self, potential: AnyCalculator) -> str:
        """The version of the package: of another one, the potential may be another."""
        return f"{potential.name} of version {potential.version}"

    def parameters(
        self, potential: AnyCalculator, names: tuple[str, ...], system: System, edges: Array
    ) -> NoReturn:
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
                f"# The base is the ASE calculator {model.calculator}, which LAMMPS does not have. Where it has the same",
                "# model as a pair style of its own, put that before the styles below, and its pair_coeff line behind:",
                f"#   pair_style hybrid/overlay STYLE {' '.join(script.beside)}",
                f"#   pair_coeff * * STYLE FILE {elements}",
            )
        )


class AseModel(Model):
    """Any calculator of ASE that an installed package has, such as CHGNet, SevenNet, mace-torch or xtb."""

    called: ClassVar[str] = 'only "ase"'
    kind: ClassVar[Base] = AseBase()
    examples: ClassVar[Mapping[str, Example]] = {
        "ase": Example({"Cu": 12, "Ni": 12}, {"calculator": "ase.calculators.emt:EMT"}, apart=2.0)
    }

    base: Literal["ase"]
    calculator: Annotated[str, Strict(), AfterValidator(_class_name), Kind('`"package.module:Class"`')] = Field(
        description="A class of ASE calculators in an installed package, as `ase.calculators.emt:EMT` or "
        "`chgnet.model:CHGNetCalculator`. Those that start programs or take commands are refused."
    )
    arguments: Annotated[dict[str, Any], BeforeValidator(_arguments), Kind("`{ name = value, ... }`")] = Field(
        default_factory=dict,
        description="What it is made with: text, numbers, true or false, lists and tables of these. Paths in it are "
        "relative to where refine runs.",
    )

    @property
    def title(self) -> str:
        """The class."""
        return self.calculator.rpartition(":")[2]
