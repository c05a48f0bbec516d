"""The base of every table of a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, PrivateAttr


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
        for name in type(self).model_fields:
            value = getattr(self, name)
            for entry in value if isinstance(value, tuple) else (value,):
                if isinstance(entry, Table):
                    entry.put_into(folder)
