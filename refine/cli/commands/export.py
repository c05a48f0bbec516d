"""``refine export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import finite
from refine.export import FORMATS
from refine.export import export as write


def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a finished run.")],
    to: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")],
    folder: Annotated[
        Path | None, typer.Option(help="Folder for the files.  [default: OUT/export-<to>]", show_default=False)
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(callback=finite, help="K; for a correction that changes with temperature.", show_default=False),
    ] = None,
) -> None:
    """Write the refined potential for another program: base and correction for LAMMPS, else the correction."""
    for path in write(out, to, folder, temperature):
        typer.echo(path)
