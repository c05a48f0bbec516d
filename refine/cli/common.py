"""What all commands share: the options they have in common, exit codes, and the preamble of those that read a study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refine.compiled import keep_programs, quieten, tell_compilations

if TYPE_CHECKING:
    from refine.progress import Progress
    from refine.study.schema import StudyConfig

INPUT_ERROR, NOT_IMPROVED, EXHAUSTED, INTERRUPTED = 2, 3, 4, 130
"""Exit codes: an error that the user can mend; a run that finished and improved nothing; one that stopped at the limit
of its iterations, or before what cannot be sampled; Ctrl-C."""

LARGEST_SEED = 2**31 - 1
"""As of [sampling] seed."""

MOST_FRAMES = 1_000_000
"""As of [sampling] frames."""

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the results.  [default: runs/<name of the study's folder>]", show_default=False),
]
Frames = Annotated[
    int | None,
    typer.Option(max=MOST_FRAMES, help="Frames of each state.  [default: the study's]", show_default=False),
]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in refine run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in OUT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]


def finite(value: float | None) -> float | None:
    """Callback of an option; BadParameter for what is no number, or without bound."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


@contextmanager
def study_of(
    file: Path, changes: Sequence[str] | None, *, to_stderr: bool = True
) -> Iterator[tuple[StudyConfig, Progress]]:
    """The preamble of a command on a study: the study, checked, and what draws its progress while jax is loaded.

    What jax compiles is kept (`refine.compiled`).
    """
    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.study.schema import StudyConfig

    quieten()  # the table of a base may import jax
    config = StudyConfig.from_toml(file, changes or ())
    console = Console(highlight=False, stderr=to_stderr)
    with terminal_progress(console) as progress, tell_compilations(progress.doing):
        progress.stage("loading jax", 1)
        keep_programs(progress.message)
        progress.doing("reading the study and its data")
        yield config, progress
