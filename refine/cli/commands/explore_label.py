"""``refine explore-label``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explore_label(
    settings: Annotated[Path, typer.Argument(metavar="EXPLORE", help="The file of refine explore.")],
    frames: Annotated[Path, typer.Argument(help="Extended XYZ of frames to label.")],
    labels: Annotated[Path, typer.Option(help="Folder that the labels go to, a file a frame.")] = Path("labels"),
) -> None:
    """Label frames with the calculator of refine explore; those that have a label are passed over."""
    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.compiled import keep_programs, quieten
    from refine.learning.explore_keys import ExploreConfig

    quieten()
    config = ExploreConfig.from_toml(settings)
    with terminal_progress(Console(highlight=False)) as progress:
        keep_programs(progress.message)
        from refine.tasks.explore.labels import label_file

        count = label_file(config, frames, labels, progress)
    typer.echo(f"{count} frames have labels in {labels}")
