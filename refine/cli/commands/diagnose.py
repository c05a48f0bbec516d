"""``refine diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import AsJson, Changes, Frames, StudyFile, study_of


def diagnose(
    study: StudyFile,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for diagnosis.json and diagnosis/*.csv.  [default: runs/<name of the study's folder>]",
            show_default=False,
        ),
    ] = None,
    frames: Frames = None,
    as_json: AsJson = False,
    changes: Changes = None,
) -> None:
    """Take the base model's misfit apart: temperature, density, scale, resolution, pair potential; no fit."""
    with study_of(study, changes) as (config, progress):
        from refine.study.study import Study
        from refine.tasks import diagnose as diagnosis

        engine = Study(config)
        folder = config.default_out() if out is None else out
        found = diagnosis.diagnose(engine, out=folder, frames=frames, progress=progress)
    if as_json:
        typer.echo(found.to_json(), nl=False)
        return
    typer.echo(found.table())
    for sentence in found.words():
        typer.echo(f"- {sentence}")
    typer.echo(f"numbers: {folder / 'diagnosis.json'}")
