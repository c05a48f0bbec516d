"""The reference pages of every key, from the models: ``refine reference``, in ``docs/reference``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import cleandoc
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from refine.learning.explore_keys import ExploreConfig
from refine.learning.keys import LearnConfig
from refine.study.schema.study import StudyConfig
from refine.tables.choice import Choice
from refine.tables.explain import chooser, tables
from refine.tables.toml import toml_value
from refine.tables.values import Kind, OrWord

_LIMITS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def reference_markdown() -> str:
    """The page of the study file as Markdown."""
    top = [
        "# The study file",
        "",
        "Written by `make reference` from the tables in `refine/study/schema/` and those that they name; edit the",
        "tables, not this page.",
        "",
        "A study is one TOML file. Paths are relative to it, lengths are in Å, energies in eV. Unknown keys are",
        "refused. `refine run STUDY --set table.key=value` changes a value for one run; an entry of `states` or",
        "`data` goes by its number from 0 or by its name, as in `--set states.0.temperature=90`.",
        "",
    ]
    return page_of(top, StudyConfig)


def learn_markdown() -> str:
    """The page of the file of `refine learn` as Markdown."""
    top = [
        "# The file of refine learn",
        "",
        "Written by `make reference` from the tables in `refine/learning/keys.py`; edit the tables, not this page.",
        "",
        "It is one TOML file. Paths are relative to it. Unknown keys are refused. `refine learn FILE --set",
        "table.key=value` changes a value for one training.",
        "",
    ]
    return page_of(top, LearnConfig)


def explore_markdown() -> str:
    """The page of the file of `refine explore` as Markdown."""
    top = [
        "# The file of refine explore",
        "",
        "Written by `make reference` from the tables in `refine/learning/explore_keys.py`; edit the tables, not this",
        "page. `[model]`, `[new]` and `[learn]` are those of [refine learn](learn.md), `[label]` is a `[model]` of the",
        "[study file](study.md).",
        "",
        "It is one TOML file. Paths are relative to it. Unknown keys are refused. `refine explore FILE --set",
        "table.key=value` changes a value for one start.",
        "",
    ]
    return page_of(top, ExploreConfig)


def page_of(top: list[str], root: type[BaseModel]) -> str:
    """A page: its head, the keys outside of tables, and a section for every table of a file.

    Args:
        top: lines of the head.
        root: the model of the whole file.
    """
    outside = {name: field for name, field in root.model_fields.items() if name not in tables(root)}
    parts = [*top, "## Top level", "", *_key_table(outside)]
    for name, (model, is_array) in tables(root).items():
        header = f"[[{name}]]" if is_array else f"[{name}]"
        fewest = " at least one" if root.model_fields[name].is_required() else " or none"
        repeat = f" One table each,{fewest}." if is_array else ""
        parts += ["", f"## `{header}`", "", (model.__doc__ or "").strip() + repeat, ""]
        choice = chooser(root.model_fields[name])
        assert choice is None or isinstance(choice, Choice)
        parts += _key_table(model.model_fields, choice)
        parts += _chosen_tables(choice, model) if choice else []
    return "\n".join(parts) + "\n"


def _chosen_tables(choice: Choice, common: type[BaseModel]) -> list[str]:
    """A section for each table that a key chooses, with the keys that it has besides those of all."""
    parts = []
    for table, words in choice.tables().items():
        parts += ["", f"### {', '.join(f'`{choice.key} = {toml_value(word)}`' for word in words)}", ""]
        parts += [cleandoc(table.__doc__ or "")]
        keys = {name: field for name, field in table.model_fields.items() if name not in common.model_fields}
        parts += ["", *_key_table(keys)] if keys else []
    return parts


def _key_table(fields: Mapping[str, FieldInfo], choice: Choice | None = None) -> list[str]:
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in fields.items():
        default = _default(field)
        if choice is None or name != choice.key:
            kind = _kind(name, field)
        else:
            kind = ", ".join(f"`{toml_value(word)}`" for word in choice.entries)
            default = default if choice.default is None else f"`{toml_value(choice.default)}`"
        rows.append(f"| `{name}` | {kind} | {default} | {field.description} |")
    return rows


def _kind(name: str, field: FieldInfo) -> str:
    """The kind of value with its limits, for the reference page."""
    kinds, limits = _marks(field.annotation, field.metadata)
    if not kinds:
        raise TypeError(f"the key {name} has no `Kind`: use a type of refine.tables.values, such as Number")
    return ", ".join([kinds[-1], *limits])


def _marks(annotation: Any, metadata: Iterable[Any]) -> tuple[list[str], list[str]]:
    """`Kind` texts and limits of an annotation, the outermost last; what a container holds is left out."""
    kinds: list[str] = []
    limits: list[str] = []
    if get_origin(annotation) is Literal:
        kinds.append(", ".join(f'`"{word}"`' for word in get_args(annotation)))
    elif get_origin(annotation) is Annotated:
        kinds, limits = _marks(annotation.__origin__, annotation.__metadata__)
    elif type(None) in get_args(annotation):
        kinds, limits = _marks(get_args(annotation)[0], ())
    elif words := [mark.word for mark in metadata if isinstance(mark, OrWord)]:
        kinds, limits = _marks(get_args(annotation)[0], ())
        kinds = [f'{kinds[-1]} or `"{words[0]}"`']
    for mark in metadata:
        if isinstance(mark, Kind):
            kinds.append(mark.text)
        elif isinstance(mark, FieldInfo):
            limits += _marks(None, mark.metadata)[1]
        else:
            limits += [f"{sign} {getattr(mark, name)}" for name, sign in _LIMITS.items() if hasattr(mark, name)]
    return kinds, limits


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value == {} else f"`{toml_value(value)}`"
