"""Files of Gudrun: text columns whose first holds the left edges of bins.

Gudrun merges its data into bins and writes their boundaries (A. K. Soper, GudrunN and GudrunX, Rutherford Appleton
Laboratory technical report RAL-TR-2011-013 (2011)); EPSR's .t01 and .u01 have the centres of the same bins.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.curves.quantities import ABSCISSAE
from refine.curves.readers import text
from refine.curves.readers.table import Example, Reader, Table
from refine.errors import InputError

Array = NDArray[np.float64]

LEFT_EDGES = re.compile(r"\.(?:mint|mdcs|dcs|int)\d\d", re.IGNORECASE)
"""Endings of files whose x are left edges of bins: those of GudrunN and GudrunX."""

_GUDRUN = re.compile(r"\b\S*\.(?:mint|mdcs|dcs|int)\d\d\b", re.IGNORECASE)


def is_gudrun(path: Path, head: bytes) -> bool:
    """By the ending of its name; `head` tells nothing: the columns are those of other files."""
    return LEFT_EDGES.fullmatch(path.suffix) is not None


def read(path: Path) -> Table:
    """The text columns, whose x are left edges.

    Raises:
        InputError: as `refine.curves.readers.text.read`.
    """
    return replace(text.read(path), left_edges=True)


def at_points(x: Array, abscissa: str, table: Table, file: Path) -> Array:
    """Where y is known: x itself, or the centres of the bins whose left edges x are.

    A bin ends where the next one begins; the last one is as wide as the one before.

    Args:
        x: (n,) the first column.
        abscissa: what it is, one of `ABSCISSAE`; "auto": what the format says.
        table, file: where it is from.

    Raises:
        InputError: another abscissa, or a file that was one of Gudrun and is now called otherwise.
    """
    if abscissa not in ABSCISSAE:
        raise InputError(f"unknown abscissa {abscissa!r}", where=str(file), fix=f"use one of {', '.join(ABSCISSAE)}")
    edges = abscissa == "left-edges" or (abscissa == "auto" and table.left_edges)
    if abscissa == "auto" and not edges:
        source = next((match[0] for comment in table.comments if (match := _GUDRUN.search(comment))), None)
        if source is not None:
            raise InputError(
                f"the header names {source[-40:]!r}: in files of Gudrun Q is the left edge of each bin; is it here?",
                where=str(file),
                fix='say abscissa = "left-edges", or "points" where Q has been shifted to the centres',
            )
    if not edges or len(x) < 2:
        return x
    widths = np.diff(x)
    return x + 0.5 * np.append(widths, widths[-1])


GUDRUN = Reader(
    "Gudrun",
    is_gudrun,
    read,
    Example(
        name="water.mint01",
        content=b"""# SLS18502.mint01
#     4     1
# quantity = F(Q)
#  Q    F(Q)   error
  1.0E-01  5.0E-02  1.0E-02
  2.0E-01  6.0E-02  1.0E-02
  4.0E-01  7.0E-02  1.0E-02
  6.0E-01  8.0E-02  2.0E-02
  8.0E-01  1.0E-01  2.0E-02
""",
        quantity="F(Q)",
        x=(0.15, 0.3, 0.5, 0.7, 0.9),
        y=(0.05, 0.06, 0.07, 0.08, 0.1),
        sigma=(0.01, 0.01, 0.01, 0.02, 0.02),
        header={"quantity": "F(Q)"},
    ),
)
