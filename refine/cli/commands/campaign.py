"""``refine campaign``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refine.cli.common import INPUT_ERROR, INTERRUPTED

if TYPE_CHECKING:
    from refine.campaign.executors import Executor
    from refine.campaign.keys import CampaignConfig
    from refine.progress import Progress


def campaign(
    settings: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN", help="A TOML file with study, [grid] and, optionally, [run].")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.  [default: runs/<name of the file>]", show_default=False),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            metavar="local|SITE.py", help="local, or a Python file whose config is a Config of Parsl; it is run."
        ),
    ] = "local",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the campaign in OUT where there is one, else start.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which points there are and what is started in them.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of CAMPAIGN, as in run.workers=3. Repeatable."),
    ] = None,
) -> None:
    """Many runs from one study: every point of a grid, on this machine or on a cluster.

    `refine campaign-status OUT` says where one stands, also while it is carried out.

    Exit codes: 0 all points are done; 2 an error in the input, or points failed, which are listed; 130 interrupted.
    """
    from rich.console import Console

    from refine.campaign.executors import LOCAL, executor_named
    from refine.campaign.keys import CampaignConfig
    from refine.cli.terminal import terminal_progress
    from refine.compiled import quieten

    quieten()  # the table of a base may import jax
    config = CampaignConfig.from_toml(settings, changes or ())
    folder = config.default_out() if out is None else out
    with terminal_progress(Console(highlight=False, stderr=dry_run)) as progress:
        from refine.tasks import campaign as task

        if dry_run:
            _tell(config, folder, progress)
            return

        def executor_of() -> Executor:
            return executor_named(executor, config.run, folder)

        progress.message(f"{config.title}: results go to {folder}")
        try:
            standing = task.campaign(config, folder, executor_of, executor=executor, resume=resume, progress=progress)
        except KeyboardInterrupt:
            words = ["refine", "campaign", str(settings), "--out", str(folder), "--resume"]
            words += [] if executor == LOCAL else ["--executor", executor]
            words += [word for change in changes or () for word in ("--set", change)]
            progress.message(f"interrupted; go on with: {shlex.join(words)}")
            raise typer.Exit(INTERRUPTED) from None
    typer.echo(standing.words())
    typer.echo(f"page: {folder / task.PAGE}")
    for point, name, line in standing.failures():
        typer.echo(f"{point.name}: {name} failed: {line}", err=True)
    if standing.counts()["failed"]:
        raise typer.Exit(INPUT_ERROR)


def _tell(config: CampaignConfig, folder: Path, progress: Progress) -> None:
    """The points, what is started in the first of them, and those that are refused."""
    from refine.tasks.campaign import plans_of

    plans, refused = plans_of(config, folder, progress)
    for plan in plans:
        typer.echo(plan.point.name)
    first = next((plan for plan in plans if plan.steps), None)
    if first is not None:
        typer.echo(f"in each point, here {folder / 'points' / first.point.name}:")
        for step in first.steps:
            typer.echo(f"  {shlex.join(('refine', *step.words))}")
    typer.echo(f"{len(plans)} points, {len(refused)} of them refused, {sum(len(p.steps) for p in plans)} tasks")
    for point, error in refused:
        typer.echo(f"{point.name}: {error}", err=True)
    if refused:
        raise typer.Exit(INPUT_ERROR)
