"""``refine learn``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import INTERRUPTED, Overwrite


def learn(
    settings: Annotated[
        Path, typer.Argument(metavar="LEARN", help="A TOML file with [model], [frames] and, optionally, [learn].")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.  [default: runs/<name of the file>]", show_default=False),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where an earlier training in OUT stopped, or ended, with more epochs."),
    ] = False,
    overwrite: Overwrite = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value, as in learn.epochs=3. Repeatable."),
    ] = None,
) -> None:
    """Fit the weights of a MACE model, all or parts of them, to frames with energies, forces and stresses."""
    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.compiled import keep_programs, quieten, tell_compilations
    from refine.learning.keys import LearnConfig

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    quieten()
    config = LearnConfig.from_toml(settings, changes or ())
    folder = config.default_out() if out is None else out
    with terminal_progress(Console(highlight=False)) as progress, tell_compilations(progress.doing):
        progress.stage("loading jax", 1)
        keep_programs(progress.message)
        from refine.potentials.mace.lora_file import LORA_FILE
        from refine.potentials.mace.reader.neutral import MODEL_FILE
        from refine.tasks import learn as training
        from refine.tasks.learn.store import CHECKPOINT

        checkpoint = folder / CHECKPOINT
        earlier = _stamp(checkpoint)
        progress.message(f"{config.title}: results go to {folder}")
        try:
            found = training.learn(config, folder, resume=resume, overwrite=overwrite, progress=progress)
        except KeyboardInterrupt:
            stamp = _stamp(checkpoint)
            begun = stamp is not None and (resume or stamp != earlier)
            words = ["refine", "learn", str(settings), "--out", str(folder)]
            words += ["--resume"] * begun + ["--overwrite"] * (overwrite and not begun)
            words += [word for change in changes or () for word in ("--set", change)]
            how = "interrupted; go on with" if begun else "interrupted before the first step; start again with"
            progress.message(f"{how}: {shlex.join(words)}")
            raise typer.Exit(INTERRUPTED) from None
    typer.echo(found.message)
    typer.echo(found.table())
    typer.echo(f"model: {folder / MODEL_FILE}")
    if any(one.rank is not None for one in found.moved):
        typer.echo(f"its change alone: {folder / LORA_FILE}")
    typer.echo(f"page: {folder / 'learn.html'}")


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
