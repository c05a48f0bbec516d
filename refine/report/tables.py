"""A table as a template shows it: columns, and rows of plain text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        label: what stands at its top.
        kind: classes of its cells in style.css: "n" is a number, "w" is not wrapped, "after" is the result.
        names_rows: whether its cells say what their rows are about.
    """

    label: str
    kind: str = ""
    names_rows: bool = False

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers, which stand to the right."""
        return "n" in self.kind.split()


@dataclass(frozen=True)
class Table:
    """Columns and rows of text, one for each column; of the rows, the indices of those whose step was rejected."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    rejected: Collection[int] = ()

    def cells(self, row: Sequence[str]) -> Iterator[tuple[Column, str]]:
        """Each column with the text of its cell."""
        return zip(self.columns, row, strict=True)
