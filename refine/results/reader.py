"""What a finished run left in its output folder, read back and checked.

`read_results` takes ``result.json``, ``curves/*.csv``, ``g_r/*.csv`` and ``study.toml`` and nothing else. A number that
is not known (``null``, NaN, an empty field) is None where it stands alone and NaN where it is a point of a curve.
Whatever is missing or damaged raises `InputError` with one line.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.results.schema import RERUN, RESULT, Summary, read_summary, read_text

Array = NDArray[np.float64]

_CURVE_COLUMNS = ("measured", "initial", "final")


@dataclass(frozen=True)
class CurveTable:
    """A file curves/<data name>.csv, all (points,): x in Å or 1/Å, the others in the unit of the quantity.

    ``measured`` with its ``sigma``, ``initial`` and ``final`` with its ``final_stderr`` are the curves as an experiment
    has them; the others are what is compared, as the simulation box shows it: with its range of r and its periodic
    images. NaN where a number is not known; the curves themselves where a file of before has no others.
    ``background`` is what measurement and models have on top of their structure; None where none is free.
    """

    x: Array
    measured: Array
    sigma: Array
    initial: Array
    final: Array
    final_stderr: Array
    measured_box: Array
    initial_box: Array
    final_box: Array
    final_box_stderr: Array
    background: Array | None = None

    @property
    def compared(self) -> Comparison:
        """The curves as they are compared."""
        return Comparison(
            self.x,
            self.measured,
            self.sigma,
            self.initial_box,
            self.final_box,
            self.measured_box,
            self.final_box_stderr,
            self.background,
        )


@dataclass(frozen=True)
class Comparison:
    """What the report compares, all (points,): x in Å or 1/Å, the others in the unit of the quantity.

    The models and ``target``, the measurement, as they are compared: as the simulation box shows them, with its range
    of r and its periodic images. They are the curves themselves where the file does not say otherwise. ``sigma`` is NaN
    where it is not known, and so is ``final_stderr``, the standard error of the final model. ``background`` is what the
    curves have on top of the structure, None where none is free.
    """

    x: Array
    measured: Array
    sigma: Array
    initial: Array
    final: Array
    target: Array
    final_stderr: Array
    background: Array | None = None


@dataclass(frozen=True)
class PredictedCurve:
    """A file curves/<name>.csv of a prediction, all (points,): x in Å or 1/Å, the others in the unit of the quantity.

    ``final_stderr`` is NaN where it is not known.
    """

    x: Array
    initial: Array
    final: Array
    final_stderr: Array


@dataclass(frozen=True)
class PairDistribution:
    """g(r) of one species pair in one state, all (bins,): r in Å, the others dimensionless.

    ``final_stderr`` is NaN where it is not known.
    """

    pair: str
    r: Array
    initial: Array
    final: Array
    final_stderr: Array


@dataclass(frozen=True)
class Results:
    """Everything a report shows. ``curves`` and ``predicted`` go by data name, ``g_r`` by the name of the state."""

    summary: Summary
    curves: dict[str, Comparison]
    predicted: dict[str, PredictedCurve]
    g_r: dict[str, list[PairDistribution]]
    study: str


def read_results(out_dir: Path) -> Results:
    """Read an output folder.

    Args:
        out_dir: the folder that ``refine run`` wrote.

    Raises:
        InputError: a file is missing, cannot be read, or does not hold what it should.
    """
    if not out_dir.is_dir():
        raise InputError("no such folder", where=str(out_dir), fix="give the folder that refine run --out wrote")
    summary = read_summary(out_dir / RESULT)
    return Results(
        summary=summary,
        curves={data.name: read_curve_table(curve_path(out_dir, data.name)).compared for data in summary.data},
        predicted={one.name: read_predicted(curve_path(out_dir, one.name)) for one in summary.predictions},
        g_r={state.name: read_pair_distributions(g_r_path(out_dir, state.name)) for state in summary.states},
        study=read_text(out_dir / "study.toml"),
    )


def curve_path(out_dir: Path, name: str) -> Path:
    """The table of a measured or predicted curve.

    >>> curve_path(Path("runs/argon"), "yarnell").as_posix()
    'runs/argon/curves/yarnell.csv'
    """
    return _inside(out_dir, "curves", name)


def g_r_path(out_dir: Path, name: str) -> Path:
    """The table of the g(r) of a state.

    >>> g_r_path(Path("runs/argon"), "85K").as_posix()
    'runs/argon/g_r/85K.csv'
    """
    return _inside(out_dir, "g_r", name)


def _inside(out_dir: Path, folder: str, name: str) -> Path:
    """The table of a data set or state; its name comes from a file and must not lead out of the folder."""
    if name != Path(name).name or name in ("", ".", "..") or "\\" in name or "\0" in name:
        raise InputError(f"{name!r} cannot be the name of a file", where=str(out_dir / RESULT), fix=RERUN)
    return out_dir / folder / f"{name}.csv"


def read_table(path: Path) -> dict[str, Array]:
    """Columns of a comma-separated table by the names in its first line, without units and conventions, which stand in
    brackets; an empty field is NaN, save in the first. InputError where it is missing or damaged."""
    reader = csv.reader(read_text(path).splitlines())
    header = [column.partition(" [")[0].strip() for column in next(reader, [])]
    rows: list[list[float]] = []
    for fields in reader:
        where = f"{path}, line {reader.line_num}"
        if len(fields) != len(header):
            raise InputError(f"{len(fields)} columns where the header has {len(header)}", where=where, fix=RERUN)
        try:
            rows.append([float(field) if field.strip() else math.nan for field in fields])
        except ValueError as error:
            raise InputError(str(error), where=where, fix=RERUN) from None
    if len(rows) < 2:
        raise InputError(f"{len(rows)} rows of numbers, at least 2 are needed", where=str(path), fix=RERUN)
    table = np.array(rows, dtype=np.float64)
    table[~np.isfinite(table)] = math.nan
    if np.isnan(table[:, 0]).any():
        raise InputError(f"not every {header[0]} is a finite number", where=str(path), fix=RERUN)
    empty = [c for k, c in enumerate(header) if c != "sigma" and np.isnan(table[:, k]).all()]
    if empty:
        raise InputError(f"no finite number in column {', '.join(empty)}", where=str(path), fix=RERUN)
    return {column: table[:, k] for k, column in enumerate(header)}


def _read_columns(path: Path, columns: Sequence[str]) -> dict[str, Array]:
    """A table that has at least these columns; the first one is `x`, whatever it is called."""
    table = read_table(path)
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"no column {', '.join(missing)}", where=str(path), fix=RERUN)
    return {"x": next(iter(table.values())), **table}


def read_curve_table(path: Path) -> CurveTable:
    """Read the table of a data set; InputError where it is missing or damaged."""
    table = _read_columns(path, _CURVE_COLUMNS)
    unknown = np.full(len(table["x"]), math.nan)
    stderr = table.get("final_stderr", unknown)
    return CurveTable(
        x=table["x"],
        sigma=table.get("sigma", unknown),
        **{name: table[name] for name in _CURVE_COLUMNS},
        final_stderr=stderr,
        measured_box=table.get("measured_box", table["measured"]),
        initial_box=table.get("initial_box", table["initial"]),
        final_box=table.get("final_box", table["final"]),
        final_box_stderr=table.get("final_box_stderr", stderr),
        background=table.get("background"),
    )


def read_predicted(path: Path) -> PredictedCurve:
    """Read the table of a prediction; InputError where it is missing or damaged."""
    table = _read_columns(path, ("initial", "final"))
    stderr = table.get("final_stderr", np.full(len(table["x"]), math.nan))
    return PredictedCurve(table["x"], table["initial"], table["final"], stderr)


def read_pair_distributions(path: Path) -> list[PairDistribution]:
    """Read the g(r) of one state; InputError where it is missing or damaged."""
    table = read_table(path)
    pairs = [column.removesuffix(" final") for column in table if column.endswith(" final")]
    missing = [name for name in ("r", *(f"{pair} initial" for pair in pairs)) if name not in table]
    if missing or not pairs:
        raise InputError(f"no column {', '.join(missing) or 'A-B final'}", where=str(path), fix=RERUN)
    return [
        PairDistribution(
            pair.replace("-", "–"),
            table["r"],
            table[f"{pair} initial"],
            table[f"{pair} final"],
            table.get(f"{pair} final stderr", np.full(len(table["r"]), math.nan)),
        )
        for pair in pairs
    ]
