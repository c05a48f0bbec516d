"""TOML text in, nested dictionaries out, and back; ``--set`` changes them in between."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refine.errors import InputError
from refine.tables.explain import clipped

MAX_STUDY_BYTES = 256 * 1024
"""A study file is a page of text; anything larger is another kind of file."""

GIVE_A_STUDY = "give the path of a study file, such as study.toml"
"""What to do where there is none."""

MAX_LINE = 2000
"""Characters in a line. The time that a dotted key takes grows with the square of its length."""


def read_text(path: Path, kind: str = "study file", fix: str = GIVE_A_STUDY) -> str:
    """Text of a TOML file: UTF-8, of bounded size.

    Args:
        path: of the file.
        kind: what it should be, in words.
        fix: what to do where there is none.

    Raises:
        InputError: missing, unreadable, too large, binary or not UTF-8.
    """
    where = str(path)
    try:
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "no such file"
            raise InputError(problem, where=where, fix=fix)
        with path.open("rb") as stream:
            raw = stream.read(MAX_STUDY_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from error
    if len(raw) > MAX_STUDY_BYTES:
        raise InputError(f"larger than {MAX_STUDY_BYTES // 1024} KiB", where=where, fix=f"this is no {kind}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        problem = f"byte 0x{raw[error.start]:02x} is not UTF-8 text"
        raise InputError(problem, where=f"{where} line {line}", fix=f"save the {kind} as UTF-8") from None
    if not text.strip():
        raise InputError("the file is empty", where=where)
    for number, content in enumerate(text.split("\n"), start=1):
        if len(content) > MAX_LINE:
            problem = f"{len(content)} characters in one line"
            raise InputError(problem, where=f"{where} line {number}", fix=f"this is no {kind}")
    return text


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Nested dictionaries from TOML text.

    Raises:
        InputError: not TOML; names the line.

    >>> parse_toml("refinement.iterations = 3", "study.toml")
    {'refinement': {'iterations': 3}}
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = re.search(r" \(at line (\d+), column \d+\)$", message)
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        problem = message[: found.start()] if found else message.removesuffix(" (at end of document)")
        raise InputError(f"not TOML: {problem}", where=f"{where} line {line}") from None
    except ValueError as error:  # a whole number of thousands of digits, an impossible date
        raise InputError(f"not TOML: {error}", where=where) from None
    except RecursionError:
        raise InputError("brackets are nested too deeply", where=where) from None


def override(tree: dict[str, Any], assignment: str) -> None:
    """Change one value of a parsed study in place.

    Args:
        tree: the study as nested dictionaries and lists.
        assignment: ``key.path=value``. A part of the path is a key, or for an entry of ``states`` or ``data`` its
            number from 0 or its name. The value is TOML; a bare word is taken as a string. Tables that are missing
            are made.

    Raises:
        InputError: not of this form, or the path leads nowhere.

    >>> study = {"states": [{"name": "melt", "temperature": 1900}]}
    >>> override(study, "states.melt.temperature=2100")
    >>> study
    {'states': [{'name': 'melt', 'temperature': 2100}]}
    """
    where = f"--set {clipped(assignment)}"
    key_path, equals, text = assignment.partition("=")
    keys = [key.strip() for key in key_path.split(".")]
    if not equals or not all(keys):
        raise InputError("not of the form key.path=value", where=where, fix="write for example sampling.frames=100")
    *parents, last = keys
    node: Any = tree
    for depth, key in enumerate(parents):
        path = ".".join(keys[:depth])
        node = node.setdefault(key, {}) if isinstance(node, dict) else node[_number(node, key, path, where)]
    value = _override_value(text.strip(), where)
    if isinstance(node, dict):
        node[last] = value
    else:
        node[_number(node, last, ".".join(parents), where)] = value


def _number(entries: Any, key: str, path: str, where: str) -> int:
    """Number of the entry of a list that ``key`` means: its number from 0, or its name."""
    if not isinstance(entries, list):
        raise InputError(f"{path} is not a table", where=where)
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("name") == key:
            return number
    if re.fullmatch(r"[0-9]{1,6}", key) and int(key) < len(entries):
        return int(key)
    raise InputError(f"{path} has no entry {key}", where=where, fix=f"it has {len(entries)}, numbered from 0")


def _override_value(text: str, where: str) -> Any:
    try:
        return _single_value(text)
    except (ValueError, RecursionError):
        if re.fullmatch(r"(?:[A-Za-z<~]|\.{0,2}/)[^\s\"'=,{}]*", text):
            return text
        raise InputError("the value is not TOML", where=where, fix='quote text, as in title="My title"') from None


def _single_value(text: str) -> Any:
    """The value of one TOML expression; ValueError for none or more than one."""
    parsed = tomllib.loads(f"value = {text}")
    if list(parsed) != ["value"]:
        raise ValueError("more than one value")
    return parsed["value"]


def to_toml(tree: Mapping[str, Any]) -> str:
    """TOML text of a study's nested dictionaries: values first, then ``[tables]`` and ``[[arrays of tables]]``.

    >>> print(to_toml({"model": {"base": "bks"}, "title": "Silica", "states": [{"name": "melt"}]}), end="")
    title = "Silica"
    <BLANKLINE>
    [model]
    base = "bks"
    <BLANKLINE>
    [[states]]
    name = "melt"
    """
    lines = [f"{key} = {toml_value(value)}" for key, value in tree.items() if not _entries(value)]
    for name, value in tree.items():
        header = f"[{name}]" if isinstance(value, Mapping) else f"[[{name}]]"
        for table in _entries(value):
            lines += ["", header, *(f"{key} = {toml_value(item)}" for key, item in table.items())]
    return "\n".join(lines) + "\n"


def _entries(value: Any) -> Sequence[Mapping[str, Any]]:
    """The tables that a top-level value stands for; none for a plain value."""
    if isinstance(value, Mapping):
        return [value]
    return value if isinstance(value, list) and value and isinstance(value[0], Mapping) else []


def toml_value(value: Any) -> str:
    """A value as TOML: a table is written inline.

    >>> toml_value({"r_min": 2.8, "pairs": ["Si", "O"]})
    '{"r_min" = 2.8, "pairs" = ["Si", "O"]}'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _toml_string(value)
    if isinstance(value, Mapping):
        entries = (f"{_toml_string(key)} = {toml_value(item)}" for key, item in value.items())
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return repr(value)


def _toml_string(text: str) -> str:
    """A basic string: JSON's escapes, and DEL, which JSON leaves as it is and TOML forbids."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
