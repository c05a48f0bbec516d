"""``refine enrich``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import AsJson, Changes, Overwrite, StudyFile, study_of


def enrich(
    study: StudyFile,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder.  [default: runs/<name of the study's folder>-enrich]", show_default=False),
    ] = None,
    state: Annotated[str | None, typer.Option(help="The state, where the study has several.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted in OUT.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    changes: Changes = None,
) -> None:
    """Sample configurations far apart, by metadynamics on pair counts, to be labelled; with weights that undo it."""
    with study_of(study, changes) as (config, progress):
        from refine.tasks import enrich as task

        folder = task.default_out(config) if out is None else out
        task.check_out(config, folder, overwrite=overwrite, resume=resume)
        found = task.enrich(config, folder, state=state, resume=resume, overwrite=overwrite, progress=progress)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    typer.echo(found.table())
    typer.echo(f"configurations: {folder / task.FRAMES}")
