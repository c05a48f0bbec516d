"""What is collected of a campaign: a row a point, as CSV and, where pyarrow is installed, as Parquet.

The columns follow from the points alone, and not from when or how often a task was started: a campaign that was
interrupted has the table of one that was not.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from refine.campaign.points import value_text
from refine.campaign.standing import PointStanding, Standing
from refine.campaign.steps import point_folder
from refine.errors import InputError
from refine.files import replacing, write_text
from refine.results.collected import Cells, CollectedRun
from refine.results.schema import RESULT, Summary, read_summary, read_text
from refine.results.tables import csv_rows

CSV, PARQUET = "table.csv", "table.parquet"

OTHER_RESULTS = {"compare": "compare/compare.json", "forward": "forward/forward.json", "learn": "learn/learn.json"}
"""By task, what it leaves, in the folder of a point."""

MOST_BYTES = 2**26
"""Of a file of these."""

LEARNT = {
    "forces_meV_per_angstrom": ("forces", "error (meV/Å)"),
    "energy_meV_per_atom": ("energy", "error (meV/atom)"),
}
"""Errors of a training that are drawn, by their names in its file: what they are called, and their unit."""

PREPARED = ("number_density", "pressure_GPa", "pressure_stderr_GPa", "potential_energy_eV")
"""What the header of a prepared structure says."""


Value = tuple[float | None, float | None]
"""A number and its standard error; None: not known."""

UNKNOWN: Value = (None, None)


@dataclass(frozen=True)
class Misfit:
    """How far a model is from what it is held against: small is good.

    unit: of the values, and what they are.  before, after: the task.
    """

    unit: str
    after: Value
    before: Value = UNKNOWN


@dataclass(frozen=True)
class Row:
    """A point, and what came out.

    standing: its name, values and tasks.  cells: by the headers of their columns.  summary: of its run, where there is
    one.  misfits: by their names.  unread: why what it left could not be read; empty where it could.
    """

    standing: PointStanding
    cells: Cells = field(default_factory=dict)
    summary: Summary | None = None
    misfits: Mapping[str, Misfit] = field(default_factory=dict)
    unread: str = ""


def rows_of(standing: Standing, out: Path) -> list[Row]:
    """A row for each point, in the order of the grid."""
    return [_row(point, standing, point_folder(out, point.name)) for point in standing.points]


def _row(point: PointStanding, standing: Standing, folder: Path) -> Row:
    failure = point.failure
    cells: Cells = {"point": point.name}
    cells |= {standing.labels.get(key, key): _cell(value) for key, value in point.values.items()}
    cells |= {"ended": point.ending, "failed_task": failure[0] if failure else "", "why": failure[1] if failure else ""}
    if point.ending != "done":
        return Row(point, cells)
    try:
        summary, misfits = None, dict[str, Misfit]()
        for task in standing.tasks:
            if task == "run":
                path = folder / "run"
                summary = read_summary(path / RESULT)
                cells |= _of_run(CollectedRun(path, summary), standing.collect)
                misfits |= _misfits_of_run(summary)
            elif task == "prepare":
                cells |= _of_structures(folder)
            else:
                found, drawn = _of_file(task, folder / OTHER_RESULTS[task], standing.collect)
                cells |= found
                misfits |= drawn
        return Row(point, cells, summary, misfits)
    except InputError as error:
        return Row(point, cells | {"why": f"not in the table: {error}"}, unread=str(error))


def _cell(value: Any) -> str | float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value_text(value)


def _of_run(run: CollectedRun, groups: Sequence[str]) -> Cells:
    """Columns of `refine collect`, but for those of groups that are not wanted."""
    tree, summary = run.cells(), run.summary
    kept: Cells = {key: tree[key] for key in ("model", "method", "status", "updates")}
    if "scores" in groups:
        kept |= {key: tree.get(key) for name in summary.final.r_chi for key in _scores(name)}
    if "numbers" in groups:
        ours = [one.name for one in summary.numbers]
        kept |= {key: value for key, value in tree.items() if key.endswith("]") and _begins(key, ours, " pressure_")}
    if "pressures" in groups:
        ours = [f"{state.name} pressure_" for state in summary.states]
        kept |= {key: value for key, value in tree.items() if key.startswith(tuple(ours)) and key.endswith("[GPa]")}
    if "parameters" in groups:
        for name, values in (summary.parameters or {}).items():
            kept |= {f"{name} {when}": value for when, value in values.items()}
    if "machine" in groups:
        kept |= {key: tree[key] for key in ("seconds [s]", "device", "version")}
    return kept


def _scores(name: str) -> list[str]:
    words = [f"r_chi_{when}{error}" for when in ("initial", "final") for error in ("", "_stderr")]
    return [f"{name} {word}" for word in (*words, "chi2_initial", "chi2_final", "points")]


def _begins(key: str, names: Sequence[str], other: str) -> bool:
    return any(key.startswith(f"{name} ") and not key.startswith(f"{name}{other}") for name in names)


def _of_file(task: str, path: Path, groups: Sequence[str]) -> tuple[Cells, dict[str, Misfit]]:
    """What the JSON file of another task says."""
    tree = _tree(path)
    try:
        return _of_tree(task, tree, groups), _misfits_of_tree(task, tree)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"is not what {task} leaves ({error!r:.80})", where=OTHER_RESULTS[task]) from None


def _of_tree(task: str, tree: Mapping[str, Any], groups: Sequence[str]) -> Cells:
    found: Cells = {}
    if task == "learn":
        for part, errors in tree["errors"].items():
            found |= {f"{part} {key} {when}": errors[when][key] for when in errors for key in errors[when]}
    elif task == "compare":
        for row in tree["models"]:
            if "scores" in groups:
                for name, (value, error) in row["r_chi"].items():
                    found |= {f"{row['label']}: {name} r_chi": value, f"{row['label']}: {name} r_chi_stderr": error}
            if "numbers" in groups:
                for name, one in row["numbers"].items():
                    found |= {f"{row['label']}: {name} {word}": one.get(word) for word in ("value", "stderr")}
    else:
        if "scores" in groups:
            words = ("r_chi", "r_chi_stderr", "chi2", "points")
            found |= {f"{one['name']} {word}": one[word] for one in tree["data"] for word in words}
        if "numbers" in groups:
            words = ("measured", "sigma", "value", "stderr")
            found |= {f"{one['name']} {word} [{one['unit']}]": one[word] for one in tree["numbers"] for word in words}
    return {key: _number(value) for key, value in found.items()}


def _misfits_of_run(summary: Summary) -> dict[str, Misfit]:
    """R_χ of each data set."""
    scores = (summary.final, summary.initial)

    def value(name: str) -> list[Value]:
        return [(one.r_chi.get(name), one.r_chi_stderr.get(name)) for one in scores]

    return {f"{name}: R_χ": Misfit("R_χ", *value(name)) for name in summary.final.r_chi}


def _misfits_of_tree(task: str, tree: Mapping[str, Any]) -> dict[str, Misfit]:
    """R_χ of each data set, and model where they are compared; errors of labelled frames."""
    if task == "learn":
        kept = {
            (part, key): [(_number(errors[when].get(key)), None) for when in ("after", "before")]
            for part, errors in tree["errors"].items()
            for key in LEARNT
        }
        return {f"{part}: {LEARNT[key][0]}": Misfit(LEARNT[key][1], *both) for (part, key), both in kept.items()}
    if task == "compare":
        rows = {f"{row['label']}: {name}": pair for row in tree["models"] for name, pair in row["r_chi"].items()}
    else:
        rows = {one["name"]: (one["r_chi"], one["r_chi_stderr"]) for one in tree["data"]}
    return {f"{name}: R_χ": Misfit("R_χ", (_number(pair[0]), _number(pair[1]))) for name, pair in rows.items()}


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(read_text(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error!s:.80})", where=str(path)) from None
    if not isinstance(tree, dict):
        raise InputError("is not valid JSON of an object", where=str(path))
    return tree


def _of_structures(folder: Path) -> Cells:
    """Densities, pressures and energies of the structures that were prepared."""
    found: Cells = {}
    for path in sorted(folder.glob("start-*.extxyz")):
        state = path.stem.removeprefix("start-")
        try:
            with path.open(encoding="utf-8", errors="replace") as stream:
                header = next(islice(stream, 1, None), "")[:10_000]
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
        for key in PREPARED:
            value = re.search(rf" {key}=([0-9.eE+-]+)(?: |$)", header)
            try:
                found[f"{state} prepared {key}"] = _number(float(value[1])) if value else None
            except ValueError:
                raise InputError(f"{key} in the header is not a number", where=str(path)) from None
    return found


def table_of(rows: Sequence[Row]) -> tuple[list[str], list[list[str | float | None]]]:
    """Headers, and a row of cells for each point; None where a point has no such cell."""
    header = list(dict.fromkeys(name for row in rows for name in row.cells))
    return header, [[row.cells.get(name) for name in header] for row in rows]


def write_table(rows: Sequence[Row], out: Path) -> list[str]:
    """Write table.csv, and table.parquet where pyarrow is installed; the names of what was written."""
    header, cells = table_of(rows)
    text = csv_rows(header, cells)
    write_text(out / CSV, text.encode("utf-8", errors="replace").decode("utf-8"))
    if importlib.util.find_spec("pyarrow") is None:
        return [CSV]
    import pyarrow
    import pyarrow.parquet

    columns = {name: _typed([row[k] for row in cells]) for k, name in enumerate(header)}
    with replacing(out / PARQUET) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    return [CSV, PARQUET]


def _typed(values: list[str | float | None]) -> list[str | float | None]:
    """A column of numbers as it is; one with any text as text."""
    if not any(isinstance(value, str) for value in values):
        return [None if value is None else float(value) for value in values]
    return [value if value is None or isinstance(value, str) else f"{value:.8g}" for value in values]
