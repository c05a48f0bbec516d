"""``refine step``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refine.cli.commands.run import tell_result
from refine.cli.common import Changes, Out, Overwrite, study_of


def step(
    study: Annotated[Path, typer.Argument(metavar="STUDY|OUT", help="The study file, or the folder of its run.")],
    out: Out = None,
    trajectory: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[STATE=]FILES",
            help="What came back, as 'dump.*' in quotes; files of one folder are one trajectory. Repeatable.",
        ),
    ] = None,
    energies: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[STATE=]FILES", help="Energies of these frames: logs of LAMMPS, or tables with names. Repeatable."
        ),
    ] = None,
    skip: Annotated[
        int | None,
        typer.Option(
            min=0, help="Frames at the start of each trajectory that do not count.  [default: those that drift]"
        ),
    ] = None,
    failed: Annotated[
        str | None, typer.Option(metavar="WHY", help="The potential could not be sampled: take the step back.")
    ] = None,
    overwrite: Overwrite = False,
    changes: Changes = None,
) -> None:
    """Refine with frames that are made elsewhere: take what came back, correct the potential, write what comes next.

    The study has [sampling] engine = "files". Begin with refine step STUDY --out OUT, and follow README.txt of the
    folder that is named. Exit codes: 0 frames are waited for, or the run has converged; 3, 4 as of refine run; 2 an
    error in the input, after which the run is as it was.
    """
    from refine.tasks.step import Waiting, study_file_of

    if study.is_dir() and out is not None:
        raise typer.BadParameter("OUT is given twice")
    with study_of(study_file_of(study), changes, to_stderr=False) as (config, progress):
        from refine.study.study import Study
        from refine.tasks.step import step as take

        folder = study if study.is_dir() else config.default_out() if out is None else out
        found = take(
            Study(config),
            folder,
            trajectories=trajectory or (),
            energies=energies or (),
            skip=skip,
            failed=failed,
            overwrite=overwrite,
            progress=progress,
        )
    if isinstance(found, Waiting):
        for note in found.notes:
            typer.echo(f"note: {note}")
        typer.echo(f"waiting for frames: {found.step / 'README.txt'} says which; then")
        typer.echo(f"  {found.command}")
        return
    tell_result(found)
