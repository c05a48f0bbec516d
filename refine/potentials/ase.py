"""Any calculator of ASE as a base: a class of an installed package, made with the study's arguments.

A study file comes from anywhere, so a name in it is held to be no more than a name: the package is one of the installed
ones, also where a folder of the same name stands beside the study; what is called is a class of ASE calculators and
nothing else; its arguments are plain values. Of ASE's own calculators those are taken that work within Python, so
nothing that starts programs, and nothing that is derived from such. A file of a model may run code when it is read, as
those of torch do, so files that arguments name are to lie in a folder that the user, and not the study, has named.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import site
import sysconfig
from collections.abc import Iterator, Mapping
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
    from ase.calculators.calculator import Calculator as AseCalculator

    from refine.potentials.calculator import Calculator
    from refine.potentials.correction import PairCorrection
    from refine.system import System

WHERE = "[model] calculator"

TRUSTED = "REFINE_ASE_FILES"
"""Of the environment: folders, as in PATH, whose files arguments may name."""

WITHIN = frozenset({"calculator", "abc", "eam", "emt", "harmonic", "kim", "lj", "morse", "tersoff", "tip3p", "tip4p"})
"""Modules of ase.calculators whose classes calculate in this process, write nothing, and start nothing."""

PROGRAMS = frozenset({"FileIOCalculator"})
"""Classes of these modules that do."""

REFUSED = {
    **dict.fromkeys(("command", "profile", "lmpcmds"), "a study file starts no program"),
    **dict.fromkeys(("txt", "label", "directory", "logfile", "log_file"), "a study file names no file to write"),
    **dict.fromkeys(("restart", "atoms"), "each calculation begins from the atoms of the study"),
}
"""Arguments, and why they are refused."""

MOST_DEPTH = 8
"""Of tables and lists in arguments."""


def _class_name(name: str) -> str:
    module, _, of_class = name.partition(":")
    parts = (*module.split("."), of_class)
    if not all(part.isidentifier() and not part.startswith("_") for part in parts):  # a __main__ runs when imported
        raise refusal('should be "package.module:Class", as in "ase.calculators.emt:EMT"')
    return name


def _plain(value: Any, depth: int = 0) -> bool:
    if depth > MOST_DEPTH:
        return False
    if isinstance(value, Mapping):
        return all(_plain(one, depth + 1) for one in value.values())
    if isinstance(value, list):
        return all(_plain(one, depth + 1) for one in value)
    return value.isprintable() if isinstance(value, str) else isinstance(value, bool | int | float)


def _names(value: Any) -> Iterator[str]:
    """Of all tables in a plain value."""
    if isinstance(value, Mapping):
        yield from value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _names(one)


def _arguments(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise refusal('should be a table of arguments, as in { device = "cpu" }')
    for name, one in value.items():
        if not name.isidentifier():
            raise refusal(f"has {name!r:.40}, which is no name of an argument")
        if not _plain(one):
            raise refusal(f"{name} should be text, a number, true or false, or a list or table of such")
    for name in _names(value):
        if name in REFUSED:
            raise refusal(f"has {name!r}: {REFUSED[name]}")
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


def calculator_class(name: str) -> tuple[type, str]:
    """The class of "package.module:Class", and the version of its package.

    Raises:
        InputError: no such package is installed, it stands elsewhere than where it was installed, or what the name
            stands for is no class of calculators that works within Python.

    >>> calculator_class("ase.calculators.emt:EMT")[0].__name__
    'EMT'
    """
    module, _, of_class = name.partition(":")
    package = _installed(module.partition(".")[0])
    try:
        found = getattr(importlib.import_module(module), of_class, None)
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split()) or "no message"
        raise InputError(f"{module} cannot be imported: {type(error).__name__}: {said:.200}", where=WHERE) from error
    from ase.calculators.calculator import Calculator

    for base in getattr(found, "__mro__", ()):
        there = base.__module__.removeprefix("ase.calculators.")
        if there != base.__module__ and (there.partition(".")[0] not in WITHIN or base.__name__ in PROGRAMS):
            raise InputError(
                f"{name} is, or is made of, {base.__name__} of {base.__module__}, which may start a program",
                where=WHERE,
                fix='use a calculator that works within Python, or engine = "lammps"',
            )
    if not isinstance(found, type) or not issubclass(found, Calculator):
        what = "has no such name" if found is None else "is no class of ASE calculators"
        raise InputError(f"{of_class} of {module} {what}", where=WHERE, fix='give "package.module:Class"')
    return found, package.version


def _installed(package: str) -> Distribution:
    """What installed a package; InputError where nothing did, or an import would find another one."""
    names = packages_distributions().get(package, ())
    if not names:
        raise InputError(f"no package {package!r} is installed", where=WHERE, fix=f"install the one that has {package}")
    spec = importlib.util.find_spec(package)  # of a package without a dot: nothing is imported
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or (spec.origin or "",)]
    for one in map(distribution, names):
        root = Path(str(one.locate_file(""))).resolve()
        roots = [root, *_editable(one)] if root in _packages() else []  # a folder on the path can say that it is one
        if places and all(any(place.resolve().is_relative_to(root) for root in roots) for place in places):
            return one
    elsewhere = places[0] if places else "nowhere"
    raise InputError(
        f"{package} would be imported from {elsewhere}, which is not where it was installed",
        where=WHERE,
        fix="run refine from another folder, and without PYTHONPATH",
    )


def _packages() -> set[Path]:
    """Folders where this Python installs packages."""
    own = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return {Path(folder).resolve() for folder in (*own, *site.getsitepackages(), site.getusersitepackages())}


def _editable(one: Distribution) -> list[Path]:
    """The source folder of a package that was installed from one to be edited."""
    try:
        said = json.loads(one.read_text("direct_url.json") or "{}")
        if said.get("dir_info", {}).get("editable"):
            return [Path(unquote(urlparse(said["url"]).path)).resolve()]
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    return []


def _files(value: Any) -> Iterator[Path]:
    """Of arguments, what may be the name of a file: with a folder or a wildcard, or there is one."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _files(one)
    elif isinstance(value, str):
        path = Path(os.path.expanduser(value))  # an unknown ~user stays as it is
        try:
            there = path.exists() or path.is_symlink()
        except OSError:  # too long for a name
            there = False
        if there or any(sign in value for sign in "/\\*?[~"):
            yield path


def check_files(arguments: Mapping[str, Any]) -> None:
    """InputError for a file that lies in no folder of `TRUSTED`."""
    folders = [Path(one).resolve() for one in os.environ.get(TRUSTED, "").split(os.pathsep) if one]
    for path in _files(arguments):
        if not any(path.resolve().is_relative_to(folder) for folder in folders):
            raise InputError(
                f"{str(path)!r:.120} may be a file that runs code when a calculator reads it, as models of torch do",
                where="[model] arguments",
                fix=f"if you trust it, put its folder into the environment, as in export {TRUSTED}=/my/models",
            )


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
            hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(potential.arguments) if path.is_file()
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
    calculator: Annotated[str, Strict(), AfterValidator(_class_name), Kind('`"package.module:Class"`')] = Field(
        description="A class of ASE calculators in an installed package, as `ase.calculators.emt:EMT` or "
        "`chgnet.model:CHGNetCalculator`. Those that start programs are refused."
    )
    arguments: Annotated[dict[str, Any], BeforeValidator(_arguments), Kind("`{ name = value, ... }`")] = Field(
        default_factory=dict,
        description="What it is made with: text, numbers, true or false, lists and tables of these. Files are seen "
        "from where refine runs, and lie in folders of the environment's `REFINE_ASE_FILES`; see "
        "[engines](../engines.md).",
    )

    @property
    def title(self) -> str:
        """The class."""
        return self.calculator.rpartition(":")[2]
