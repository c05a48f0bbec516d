"""``refine explore``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refine.cli.common import INTERRUPTED, Overwrite

if TYPE_CHECKING:
    from refine.campaign.executors import Executor


def explore(
    settings: Annotated[
        Path, typer.Argument(metavar="EXPLORE", help="A TOML file with study, [model], [label] and others.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.  [default: runs/<name of the file>]", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the loop in OUT.")] = False,
    overwrite: Overwrite = False,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="local|SITE.py",
            help="Who labels: local processes, or a Python file whose config is a Config of Parsl; it is run.  "
            "[default: this process]",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value, as in stop.generations=3. Repeatable."),
    ] = None,
) -> None:
    """Sample, select, label, learn a MACE model, compare it with the measured curves, and again."""
    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.compiled import keep_programs, quieten, tell_compilations
    from refine.learning.explore_keys import ExploreConfig

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    quieten()
    config = ExploreConfig.from_toml(settings, changes or ())
    folder = config.default_out() if out is None else out
    with terminal_progress(Console(highlight=False)) as progress, tell_compilations(progress.doing):
        progress.stage("loading jax", 1)
        keep_programs(progress.message)
        from refine.tasks import explore as task
        from refine.tasks.columns import aligned

        def executor_of() -> Executor:
            from refine.campaign.executors import LOCAL, PARSL, Local, Site
            from refine.campaign.keys import Execution

            keys = Execution(workers=config.run.workers, cores=config.run.cores)
            return Local(keys) if executor == LOCAL else Site(Path(executor or LOCAL), folder.resolve() / PARSL)

        progress.message(f"{config.title}: results go to {folder}")
        try:
            found = task.explore(
                config,
                folder,
                resume=resume,
                overwrite=overwrite,
                executor=None if executor is None else executor_of,
                progress=progress,
            )
        except KeyboardInterrupt:
            words = ["refine", "explore", str(settings), "--out", str(folder), "--resume"]
            words += [] if executor is None else ["--executor", executor]
            words += [word for change in changes or () for word in ("--set", change)]
            progress.message(f"interrupted; go on with: {shlex.join(words)}")
            raise typer.Exit(INTERRUPTED) from None
    typer.echo(found.message)
    for line in aligned(found.rows()):
        typer.echo(line)
    if found.best is not None and found.best.model is not None:
        typer.echo(f"model: {folder / found.best.model}")
    typer.echo(f"page: {folder / 'explore.html'}")
