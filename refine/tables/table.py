"""The base of every table of a TOML file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PrivateAttr


class OfFile:
    """Annotation: the text is the path of a file, relative to the folder of the file that the table is in."""


class Table(BaseModel):
    """Base of every table: immutable, no unknown keys, no NaN or inf.

    called: how a refusal names a table that several words of a `Choice` stand for; empty: by its word.
    """

    called: ClassVar[str] = ""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    _folder: Path = PrivateAttr(default=Path())

    def _resolve(self, file: str | None) -> Path | None:
        """``file`` as a path from the study file's folder."""
        return None if file is None else self._folder / file

    def put_into(self, folder: Path) -> None:
        """Paths in this table and in the tables within it are relative to this folder from now on."""
        self._folder = folder
        for _, entry in self._within():
            entry.put_into(folder)

    def named_files(self) -> Iterator[tuple[str, Path]]:
        """Where each file is that this table and the tables within it name, by its key: ("data.sq.file", ...)."""
        for name in self._path_keys():
            value = getattr(self, name)
            for file in value if isinstance(value, tuple) else filter(None, (value,)):
                yield name, self._folder / file
        for key, entry in self._within():
            yield from ((f"{key}.{name}", path) for name, path in entry.named_files())

    def seen_from(self, folder: Path) -> Self:
        """This table as a file in another folder has it: relative paths lead from there to where they led."""
        here, there = self._folder.resolve(), folder.resolve()

        def moved(file: str) -> str:
            return file if os.path.isabs(file) else os.path.relpath(os.path.abspath(here / file), there)

        changed: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Table):
                changed[name] = value.seen_from(folder)
            elif isinstance(value, tuple) and any(isinstance(entry, Table) for entry in value):
                changed[name] = tuple(entry.seen_from(folder) for entry in value)
            elif value is not None and name in self._path_keys():
                changed[name] = tuple(map(moved, value)) if isinstance(value, tuple) else moved(value)
        table = self.model_copy(update=changed)
        table._folder = folder
        return table

    def _within(self) -> Iterator[tuple[str, Table]]:
        """Tables within this one, with their keys: those of a list go by their names, or their numbers from 0."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Table):
                yield name, value
            for number, entry in enumerate(value if isinstance(value, tuple) else ()):
                if isinstance(entry, Table):
                    yield f"{name}.{getattr(entry, 'name', number)}", entry

    @classmethod
    def _path_keys(cls) -> list[str]:
        """Keys whose value is the path of a file, or a list of such."""
        return [name for name, field in cls.model_fields.items() if _marked(field.annotation, field.metadata)]


def _marked(annotation: Any, marks: Iterable[Any] = ()) -> bool:
    """Whether an annotation, or a part of it, is marked with `OfFile`."""
    if any(isinstance(mark, OfFile) for mark in marks):
        return True
    if get_origin(annotation) is Annotated:
        return _marked(annotation.__origin__, annotation.__metadata__)
    return any(_marked(part) for part in get_args(annotation))
