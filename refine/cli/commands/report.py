"""``refine report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a run.")]) -> None:
    """Make the report of a finished run anew."""
    from refine.report import write_report

    typer.echo(f"report: {write_report(out)}")
