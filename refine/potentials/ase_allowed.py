"""What a study may name of ASE: which classes of calculators, which arguments, which files.

A study file comes from anywhere, so a name in it is held to be no more than a name: the package is one of the installed
ones, also where a folder of the same name stands beside the study; what is called is a class of ASE calculators and
nothing else; its arguments are plain values. Of ASE's own calculators those are taken that work within Python, so
nothing that starts programs, and nothing that is derived from such. A file of a model may run code when it is read, as
those of torch do, so files that arguments name are to lie in a folder that the user, and not the study, has named.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import site
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from refine.errors import InputError
from refine.tables.values import refusal

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


def class_name(name: str) -> str:
    """As in "package.module:Class"; a refusal where it is no such thing."""
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


def plain_arguments(value: Any) -> Any:
    """A table of plain values under names that are let through, as it is; else a refusal."""
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


def files_in(value: Any) -> Iterator[Path]:
    """Of arguments, what may be the name of a file: with a folder or a wildcard, or there is one."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from files_in(one)
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
    for path in files_in(arguments):
        if not any(path.resolve().is_relative_to(folder) for folder in folders):
            raise InputError(
                f"{str(path)!r:.120} may be a file that runs code when a calculator reads it, as models of torch do",
                where="[model] arguments",
                fix=f"if you trust it, put its folder into the environment, as in export {TRUSTED}=/my/models",
            )
