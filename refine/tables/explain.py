"""One line for what is wrong with a study: the table, the key, the value, what is allowed."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Protocol, get_args, get_origin, runtime_checkable

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from refine.errors import InputError

Location = tuple[int | str, ...]
"""Keys and entry numbers that lead from the top of the file to a value."""


@runtime_checkable
class Chooser(Protocol):
    """A mark on a field whose table depends on what the file says in it (`refine.tables.choice.Choice`)."""

    def of(self, value: object) -> type[BaseModel] | None:
        """The table that a file's table asks for; None where it names none."""


class _Short(reprlib.Repr):
    """Values in messages: on one line, bounded in width and depth, however hostile the file."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 2, 60, 60, 40


def clipped(text: str, width: int = 80) -> str:
    """``text``, cut where it is longer than ``width``.

    >>> clipped("refinement", 6)
    'ref...'
    """
    return text if len(text) <= width else text[: width - 3] + "..."


def shown(value: object) -> str:
    """A value as messages show it."""
    return clipped(_Short().repr(value), 200)


def tables(root: type[BaseModel]) -> dict[str, tuple[type[BaseModel], bool]]:
    """The tables of a file by name: the model of each, and whether it is an array, ``[[name]]``."""
    by_name: dict[str, tuple[type[BaseModel], bool]] = {}
    for name, field in root.model_fields.items():
        array = get_origin(field.annotation) is tuple
        inner = get_args(field.annotation)[0] if array else field.annotation
        if get_origin(inner) is Annotated:  # the entries of an array, whose table one of their keys chooses
            inner = get_args(inner)[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            by_name[name] = inner, array
    return by_name


def input_error(error: ValidationError, tree: Mapping[str, Any], source: str, root: type[BaseModel]) -> InputError:
    """The first thing that is wrong, in one line, and how many more there are.

    Args:
        error: what pydantic found.
        tree: the study that was validated, as nested dictionaries and lists.
        source: the file, which the line begins with.
        root: the model of the whole file.
    """
    problems = sorted(error.errors(include_url=False), key=_after_unknown_keys)
    what, fix = _explain(problems[0], tree, root)
    if len(problems) > 1:
        what = f"{what} (and {len(problems) - 1} more)"
    return InputError(what, where=source, fix=fix)


def chooser(field: FieldInfo) -> Chooser | None:
    """What chooses the table of a field, or of the entries of an array; None where nothing does."""
    marks = [*field.metadata]
    for inner in get_args(field.annotation):
        marks += getattr(inner, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Chooser)), None)


def _model(location: Location, tree: Mapping[str, Any], root: type[BaseModel]) -> type[BaseModel]:
    """Whose keys the table at a location has: that which a key of it chooses, where one does."""
    name = str(location[0])
    model, array = tables(root)[name]
    choice = chooser(root.model_fields[name])
    if choice is None:
        return model
    table = tree.get(name, {})
    return choice.of(table[int(location[1])] if array and len(location) > 1 else table) or model


def _after_unknown_keys(problem: ErrorDetails) -> bool:
    """Sorts unknown keys first: a misspelt key is missing, too, and the spelling is what to mend."""
    return problem["type"] != "extra_forbidden"


def _explain(problem: ErrorDetails, tree: Mapping[str, Any], root: type[BaseModel]) -> tuple[str, str | None]:
    """What is wrong and how to mend it."""
    about_key = problem["loc"][-1:] == ("[key]",) and problem["type"] != "extra_forbidden"  # of a dictionary
    location = problem["loc"][:-1] if about_key else problem["loc"]
    table, keys = _split(location, tree, root)
    prefix = f"{table} " if table else ""
    model = _model(location, tree, root) if table else root
    if problem["type"] == "extra_forbidden":
        return f"{prefix}unknown key {shown(keys[-1])}", _nearest_key(str(keys[-1]), model)
    if problem["type"] == "missing":
        return f"{prefix}missing key {keys[-1]!r}" if keys else f"missing table {table}", _meaning(keys, model)
    message = _AS_IN_TOML.get(problem["type"], problem["msg"].removeprefix("Input "))
    if not keys:  # a check of the whole table, which says everything itself
        return f"{prefix}{message}", None
    path = ".".join(_bare(str(key)) for key in keys)
    value = "" if about_key else f" = {shown(problem['input'])}"
    return f"{prefix}{path}{value} {message}", _meaning(keys, model)


def _bare(key: str) -> str:
    """A key as it is, or quoted and escaped where the file had to quote it too."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else shown(key)


_AS_IN_TOML = {
    "model_type": "should be a table",
    "dict_type": "should be a table",
    "tuple_type": 'should be a list, as in ["a", "b"] or [1, 2]',
    "list_type": 'should be a list, as in ["a", "b"] or [1, 2]',
    "too_short": "has too few entries",
}
"""What pydantic says in Python's words."""


def _split(location: Location, tree: Mapping[str, Any], root: type[BaseModel]) -> tuple[str, Location]:
    """The table as the file writes it ("" for the top level), and the keys inside it."""
    if not location or location[0] not in tables(root):
        return "", location
    name, keys = str(location[0]), location[1:]
    if not tables(root)[name][1]:
        return f"[{name}]", keys
    if not keys:
        return f"[[{name}]]", keys
    number = int(keys[0])
    entry_name = tree[name][number].get("name")
    label = shown(entry_name) if isinstance(entry_name, str) else f"number {number + 1}"
    return f"[[{name}]] {label}:", keys[1:]


def _meaning(keys: Location, model: type[BaseModel]) -> str | None:
    """First sentence of a key's description, which has its unit."""
    field = model.model_fields.get(str(keys[0])) if keys else None
    return field.description.split(". ")[0].removesuffix(".") if field and field.description else None


def _nearest_key(key: str, model: type[BaseModel]) -> str:
    keys = list(model.model_fields)
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(keys)}"
