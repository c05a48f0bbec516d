"""``refine check``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from refine.cli.common import AsJson, Changes, StudyFile, study_of


def check(
    study: StudyFile,
    timing: Annotated[bool, typer.Option("--timing/--no-timing", help="Time some steps of the dynamics.")] = True,
    as_json: AsJson = False,
    changes: Changes = None,
) -> None:
    """Check a study before it is run: data, weights of the pairs, what will be sampled, memory and minutes."""
    with study_of(study, changes) as (config, progress):
        from refine.tasks import check as checking

        found = checking.check(config, timing=timing, progress=progress)
    typer.echo(json.dumps(found.to_json(), indent=1) if as_json else found.table())
