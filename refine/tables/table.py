"""The base of every table of a TOML file."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Table(BaseModel):
    """Base of every table: immutable, no unknown keys, no NaN or inf."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    _folder: Path = PrivateAttr(default=Path())

    def _resolve(self, file: str | None) -> Path | None:
        """``file`` as a path from the study file's folder."""
        return None if file is None else self._folder / file
