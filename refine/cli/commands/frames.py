"""``refine frames``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def frames(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a run, finished or not.")],
    sample: Annotated[
        str, typer.Option(metavar="WHICH", help="final, base, or the number of an iteration of the run.")
    ] = "final",
    state: Annotated[
        str | None, typer.Option(help="State of the study, if there are several.", show_default=False)
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The .extxyz file.  [default: OUT/<sample>-<state>.extxyz]", show_default=False
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write configurations of a run as extended XYZ: the frames that [sampling] keep has kept, else the last ones."""
    from refine.tasks.frames import write_frames

    written = write_frames(out, to, sample=sample, state=state, overwrite=overwrite)
    what = "kept frames" if written.kept else "last configuration of every replica"
    typer.echo(f"sample {written.sample}, {what}: {written.path}")
