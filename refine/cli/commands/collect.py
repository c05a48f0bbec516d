"""``refine collect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def collect(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Folders of runs; others are passed over.")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="csv, json or html.  [default: by the ending of --out, else csv]", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write.  [default: the terminal]", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """One table of many finished runs: model, method, scores and pressures before and after, device, version.

    A folder that is no finished run is named and passed over; with no finished run at all the exit code is 2.
    """
    from refine.tasks import collect as task

    chosen = task.format_of(to, out)
    if out is not None:
        task.check_file(out, overwrite=overwrite)
    found = task.collect(runs, lambda error: typer.echo(f"refine: passed over: {error}", err=True))
    if out is None:
        typer.echo(task.FORMATS[chosen](found), nl=False)
        return
    task.write_table(found, chosen, out)
    typer.echo(f"{len(found)} {'run' if len(found) == 1 else 'runs'}: {out}")
