"""A whole TOML file that a command is given, other than a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr, ValidationError

from refine.tables.explain import input_error
from refine.tables.table import Table
from refine.tables.toml import override, parse_toml, read_text


class File(Table):
    """Base of such files.

    word: what a tree is called that lies in no file, and a folder of results.  kind: what the file is called.
    asked: how to mend that there is none.
    """

    word: ClassVar[str]
    kind: ClassVar[str]
    asked: ClassVar[str]

    _source: Path | None = PrivateAttr(default=None)

    @classmethod
    def from_toml(cls, path: str | Path, changes: Iterable[str] = ()) -> Self:
        """Read a file.

        Args:
            path: the TOML file.
            changes: as ``run.workers=3``; see `refine.tables.toml.override`.

        Raises:
            InputError: the file cannot be read, is not TOML, or is not valid.
        """
        path = Path(path)
        tree = parse_toml(read_text(path, cls.kind, cls.asked), str(path))
        for assignment in changes:
            override(tree, assignment)
        config = cls.parse(tree, path.parent, str(path))
        config._source = path
        return config

    @classmethod
    def parse(cls, tree: Mapping[str, Any], folder: str | Path = ".", source: str | None = None) -> Self:
        """From nested dictionaries of the file's shape; InputError where they are not valid.

        folder: what relative paths in it are relative to.  source: what it is called in errors.
        """
        try:
            config = cls.model_validate(dict(tree))
        except ValidationError as error:
            raise input_error(error, tree, source or cls.word, cls) from None
        config.put_into(Path(folder))
        return config

    @property
    def source(self) -> Path | None:
        """The file; None for what was made in Python."""
        return self._source

    def default_out(self) -> Path:
        """Where results go that are asked for without a folder: runs/<name of the file>."""
        return Path("runs") / (self._source.stem if self._source else self.word)
