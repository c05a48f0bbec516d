"""``refine campaign-status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import AsJson


def campaign_status(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a campaign.")],
    table: Annotated[
        bool, typer.Option("--table", help="Write the table and the page of what is done until now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say where a campaign stands: done, running, waiting, failed, time left."""
    import json

    from refine.campaign.standing import standing_now

    if table:
        from refine.tasks.campaign import PAGE, conclude

        conclude(out)
        typer.echo(f"page: {out / PAGE}", err=as_json)
    standing, carried_out = standing_now(out)
    if as_json:
        counts = standing.counts() | {"running": standing.running, "left": standing.left, "carried_out": carried_out}
        failures = [{"point": point.name, "task": task, "why": why} for point, task, why in standing.failures()]
        typer.echo(json.dumps({"title": standing.title, **counts, "failures": failures}, indent=1))
        return
    typer.echo(f"{standing.title}: {standing.words()}")
    if not carried_out and standing.counts()["waiting"]:
        typer.echo("nobody carries it out now; go on with it by --resume")
    for point, task, why in standing.failures():
        typer.echo(f"{point.name}: {task} failed: {why}")
