"""Plain text in columns."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as lines whose columns are two spaces apart.

    >>> print(*aligned([["data", "R_chi"], ["yarnell", "0.0135"]]), sep="\\n")
    data     R_chi
    yarnell  0.0135
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows]
