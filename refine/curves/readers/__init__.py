"""Files of measured curves in; a `Curve` or a clear error out.

A format is a module with a `Reader`, and a line in `READERS`: whether a file is one of its kind, and how it becomes a
`Table`, numbers in columns and what the file says of them. Which columns are meant (`columns`), what the words of a
file mean (`header`, and for bins `gudrun`), and whether they agree with what is declared, is the same for all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from refine.curves.checks import check_curve
from refine.curves.curve import Curve
from refine.curves.quantities import is_q_space
from refine.curves.readers.columns import columns_of
from refine.curves.readers.gudrun import GUDRUN, at_points
from refine.curves.readers.header import (
    q_range_of,
    refuse_contradiction,
    refuse_other_sample,
    refuse_other_units,
    refuse_other_window,
)
from refine.curves.readers.mantid import MANTID
from refine.curves.readers.table import Reader, Table, head_of
from refine.curves.readers.text import TEXT
from refine.curves.weights import Charges, Isotopes

__all__ = ["READERS", "CurveWarning", "read_curve", "read_table"]

READERS: tuple[Reader, ...] = (MANTID, GUDRUN, TEXT)
"""The first that recognises a file reads it; text columns are what is left."""


class CurveWarning(UserWarning):
    """A measured curve that looks odd for what it is declared to be."""


def read_table(path: str | Path) -> Table:
    """The numbers of a file and what it says of them, by the first of `READERS` that recognises it.

    Raises:
        InputError: no file that can be read, or the first line that is not what the lines before it promise.
    """
    file = Path(path)
    head = head_of(file)
    return next(reader for reader in READERS if reader.recognises(file, head)).read(file)


def read_curve(
    path: str | Path,
    *,
    quantity: str,
    normalisation: str = "faber-ziman",
    radiation: str | None = "neutron",
    number_density: float | None = None,
    composition: Mapping[str, float] | None = None,
    isotopes: Isotopes | None = None,
    charges: Charges | None = None,
    pair: tuple[str, str] | None = None,
    window: str = "none",
    q_range: tuple[float, float] | None = None,
    columns: Sequence[int | str] | None = None,
    block: int | None = None,
    abscissa: str = "auto",
    per: float = 1.0,
    incoherent: bool = False,
    name: str | None = None,
    check: bool = True,
) -> Curve:
    """Read a measured curve; its convention is declared by the caller (`refine.curves.quantities`), never guessed.

    Args:
        path: the file.
        quantity, normalisation, radiation, number_density, composition, isotopes, charges, pair, window, per,
            incoherent: see `Curve`.
        q_range: (q_min, q_max) in 1/Å. A curve in Q is cut to it; of a curve in r it is the range of the transform that
            made it. Where None, Qmin and Qmax of the file's header are taken for a curve in r (`header.q_range_of`).
        columns: which columns, counted from 1 or by the file's own names, are x, y[, sigma]; needed where the file has
            others beside them.
        block: which curve, counted from 1, of a file with several one below the other.
        abscissa: what the first column is, one of `ABSCISSAE`; left edges are shifted to the centres of their bins.
        name: what messages and reports call the curve; the file's name when None.
        check: compare the numbers with the declaration (`check_curve`); doubts are issued as `CurveWarning`. With False
            the caller does so.

    Raises:
        InputError: the file cannot be read, holds anything but numbers below its header, or contradicts what is
            declared.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "argon.csv")
    ...     _ = path.write_text("# Yarnell 1973\\n0.4,0.05\\n0.8,0.06\\n1.2,0.14\\n1.6,0.62\\n2.0,2.70\\n")
    ...     curve = read_curve(path, quantity="S(Q)", composition={"Ar": 1}, check=False)
    >>> curve.x.tolist(), curve.q_max, curve.name
    ([0.4, 0.8, 1.2, 1.6, 2.0], 2.0, 'argon')
    """
    file = Path(path)
    in_q = is_q_space(quantity)
    table = read_table(file)
    chosen = columns_of(table, columns, block, file)
    refuse_contradiction(table, chosen.y_label, quantity, radiation if pair is None else None, str(file))
    refuse_other_sample(table, normalisation, composition or {}, isotopes or {}, pair, str(file))
    if not in_q:
        refuse_other_window(table, window, str(file))
    refuse_other_units(table, chosen.x_label, in_q, str(file))
    x = at_points(chosen.x, abscissa, table, file)
    limits = (None, None) if in_q else (q_range or q_range_of(table, str(file)))
    curve = Curve(
        x=x,
        y=chosen.y,
        sigma=chosen.sigma,
        quantity=quantity,
        normalisation=normalisation,
        radiation=radiation,
        window=window,
        q_min=limits[0],
        q_max=limits[1],
        number_density=number_density,
        composition=dict(composition or {}),
        isotopes=dict(isotopes or {}),
        charges=dict(charges or {}),
        pair=pair,
        per=per,
        incoherent=incoherent,
        name=file.stem if name is None else name,
        source=str(file),
        header=dict(table.header),
    )
    if in_q and q_range is not None:
        curve = curve.cropped(*q_range)
    if check:
        for message in check_curve(curve):
            warnings.warn(message, CurveWarning, stacklevel=2)
    return curve
