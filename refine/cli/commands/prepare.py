"""``refine prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import LARGEST_SEED, Changes, StudyFile, finite, study_of


def prepare(
    study: StudyFile,
    out: Annotated[Path, typer.Option(help="The structure file to write, .extxyz.")],
    state: Annotated[
        str | None, typer.Option(help="State of the study.  [default: the only one]", show_default=False)
    ] = None,
    repeat: Annotated[str, typer.Option("--replicate", metavar="A,B,C", help="Copies along the cell's vectors.")] = (
        "1,1,1"
    ),
    settle: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1_000_000,
            callback=finite,
            help="Time in ps after replication.  [default: the equilibration]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Seed.  [default: the study's]", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    changes: Changes = None,
) -> None:
    """Make a start structure under the base model: pack, melt and cool, replicate, equilibrate, write."""
    with study_of(study, changes) as (config, progress):
        from refine.tasks import prepare as preparation

        repeats = preparation.parse_repeats(repeat)
        preparation.check_target(config, out, overwrite)
        made = preparation.prepare(config, state=state, repeats=repeats, seed=seed, settle=settle, progress=progress)
        made.write(out)
    for line in made.words():
        typer.echo(line)
    typer.echo(f"structure: {out}")
