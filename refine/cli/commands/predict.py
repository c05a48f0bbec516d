"""``refine predict``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import AsJson, Changes, Frames, Overwrite, StudyFile, study_of


def predict(
    study: StudyFile,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the tables.  [default: runs/<name of the study's folder>-predict]", show_default=False
        ),
    ] = None,
    frames: Frames = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    changes: Changes = None,
) -> None:
    """Sample the base model and write what it predicts: S(Q), D(r), T(r), g(r), numbers, with errors; no fit."""
    with study_of(study, changes) as (config, progress):
        from refine.tasks import predict as prediction

        folder = prediction.default_out(config) if out is None else out
        prediction.check_out(config, folder, overwrite=overwrite)
        found = prediction.predict(config, out=folder, frames=frames, progress=progress)
        found.write(folder, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    typer.echo(found.table())
    typer.echo(f"tables: {folder}")
