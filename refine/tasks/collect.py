"""`refine collect RUNS...`: one table of many finished runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from refine.errors import InputError
from refine.files import write_text
from refine.report.collected import render_runs
from refine.results.collected import CollectedRun, csv_of, json_of
from refine.results.schema import RESULT, Summary, read_summary
from refine.tasks.run.store import CHECKPOINT

FORMATS: dict[str, Callable[[Sequence[CollectedRun]], str]] = {"csv": csv_of, "json": json_of, "html": render_runs}
"""Texts that a table can be written as, by name."""

OF_A_RUN = (RESULT, CHECKPOINT, "study.toml", "report.html")
"""Files of a run's folder that no table takes the place of."""


def collect(folders: Sequence[str | Path], skip: Callable[[InputError], None]) -> list[CollectedRun]:
    """The finished runs among folders, in their order, each once.

    Args:
        folders: of runs, and of anything else.
        skip: told of each folder that is left out, and why.

    Raises:
        InputError: none is a finished run.
    """
    runs: dict[Path, CollectedRun] = {}
    for folder in map(Path, folders):
        try:
            runs.setdefault(folder.resolve(), CollectedRun(folder, _summary_of(folder)))
        except InputError as error:
            skip(error)
    if not runs:
        raise InputError("no finished run is among them", where="RUNS", fix="give folders that refine run has written")
    return list(runs.values())


def _summary_of(folder: Path) -> Summary:
    if not folder.is_dir():
        raise InputError("there is no such folder", where=str(folder))
    if not (folder / RESULT).is_file():
        what = "the run is not finished" if (folder / CHECKPOINT).is_file() else "there is no run"
        raise InputError(what, where=str(folder))
    return read_summary(folder / RESULT)


def format_of(name: str | None, out: Path | None) -> str:
    """The format that was asked for, or that the ending of the file says; without either CSV.

    Raises:
        InputError: it is none of `FORMATS`.

    >>> format_of(None, Path("runs.html")), format_of(None, None)
    ('html', 'csv')
    """
    if name is None and out is not None:
        name = out.suffix.removeprefix(".")
        if name not in FORMATS:
            raise InputError(
                f"the ending {out.suffix!r} says no format", where=str(out), fix=f"give --to {' or '.join(FORMATS)}"
            )
    name = name or "csv"
    if name not in FORMATS:
        raise InputError(f"{name[:20]!r} is no format", where="--to", fix=f"use one of {', '.join(FORMATS)}")
    return name


def check_file(out: Path, *, overwrite: bool) -> None:
    """InputError for a file that should not be written."""
    if out.is_dir():
        raise InputError("this is a folder", where=str(out), fix="give a file as --out")
    if out.name in OF_A_RUN and (out.parent / RESULT).is_file():
        raise InputError("this is a file of a run", where=str(out), fix="give another --out")
    if out.exists() and not overwrite:
        raise InputError("the file exists", where=str(out), fix="use --overwrite or another --out")
    if not out.parent.is_dir():
        raise InputError("no such folder", where=str(out.parent), fix="make it, or give another --out")


def write_table(runs: Sequence[CollectedRun], to: str, out: Path) -> None:
    """Write the runs in a format, atomically."""
    write_text(out, FORMATS[to](runs))
