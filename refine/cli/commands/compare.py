"""``refine compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from refine.cli.common import INPUT_ERROR, Changes, Frames, Out, StudyFile, study_of


def compare(
    study: StudyFile,
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--models",
            metavar="FILE",
            help="A file with a [model] table. Repeatable.  [default: the study's]",
            show_default=False,
        ),
    ] = None,
    heads: Annotated[
        str | None,
        typer.Option(
            metavar="all|HEAD,...",
            help="Heads of the study's MACE model, a row each: all, or names.  [default: the study's]",
            show_default=False,
        ),
    ] = None,
    dispersion: Annotated[
        bool, typer.Option("--dispersion", help="Each model with its D3 and without, where refine's D3 belongs to it.")
    ] = False,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs",
            metavar="FOLDER",
            help="A finished run, whose refined potential is compared too. Repeatable.",
            show_default=False,
        ),
    ] = None,
    out: Out = None,
    frames: Frames = None,
    changes: Changes = None,
) -> None:
    """Sample several models, no fit, and rank them against the measurement; with diffusion coefficients."""
    with study_of(study, changes) as (config, progress):
        from refine.tasks import compare as comparison

        folder = config.default_out() if out is None else out
        found = comparison.compare(
            config,
            models,
            heads=None if heads is None else _heads(heads),
            dispersion=dispersion,
            runs=runs or (),
            out=folder,
            frames=frames,
            progress=progress,
        )
    typer.echo(found.table())
    typer.echo(f"page: {folder / 'compare.html'}")
    if found.failed:
        raise typer.Exit(INPUT_ERROR)


def _heads(text: str) -> list[str] | Literal["all"]:
    """Of the option."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return "all" if names == ["all"] else names
