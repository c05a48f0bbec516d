"""A file that holds a base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SerializeAsAny, ValidationError

from refine.potentials.bases import BASES
from refine.potentials.keys import Model
from refine.tables.explain import input_error
from refine.tables.table import Table
from refine.tables.toml import parse_toml, read_text
from refine.tables.values import Name


class ModelFile(Table):
    """A file of `refine compare --models`: a base model under a label. Paths in it are relative to it."""

    label: Name = Field(description="Name of the model in tables and of its files. Default: the name of the file.")
    model: Annotated[SerializeAsAny[Model], BASES]

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a model file; InputError where it cannot be read or is not valid."""
        path = Path(path)
        tree = {"label": path.stem, **cls.tree(path)}
        try:
            file = cls.model_validate(tree)
        except ValidationError as error:
            raise input_error(error, tree, str(path), cls) from None
        file.put_into(path.parent)
        return file

    @staticmethod
    def tree(path: Path) -> dict[str, Any]:
        """The tables of such a file as they stand there; InputError for what is no TOML."""
        return parse_toml(read_text(path, "model file", "give the path of a file with a [model] table"), str(path))
