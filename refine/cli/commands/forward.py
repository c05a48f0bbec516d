"""``refine forward``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import AsJson, Changes, Overwrite, study_of


def forward(
    trajectory: Annotated[
        Path,
        typer.Argument(
            metavar="TRAJECTORY", help="LAMMPS dump, XYZ, XDATCAR, DCD, XTC, TRR, gro, PDB, HISTORY, rmc6f, ..."
        ),
    ],
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML) that holds the data.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables.  [default: runs/<study's folder>-<trajectory>]", show_default=False),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="State that the trajectory stands for, if there are several.", show_default=False)
    ] = None,
    species: Annotated[
        str | None, typer.Option(help="Element of each atom type of a LAMMPS dump, as in Si,O.", show_default=False)
    ] = None,
    elements: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL=ELEMENT,...",
            help="Elements of labels, as in OW=O,HW=H.  [default: by rule]",
            show_default=False,
        ),
    ] = None,
    atoms: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Structure that names the atoms of a DCD, XTC or TRR in its order; --species, --elements are of it.",
            show_default=False,
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="Cell of a file that has none, in Å: one edge, three, with three angles, or nine numbers.",
            show_default=False,
        ),
    ] = None,
    first: Annotated[int, typer.Option(min=1, help="First frame that is taken, counted from 1.")] = 1,
    last: Annotated[
        int | None, typer.Option(min=1, help="Last frame that is taken.  [default: all]", show_default=False)
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every N-th frame.")] = 1,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Scale all lengths, by 3 % at most, so that the density is the study's.")
    ] = False,
    rescale_by_more: Annotated[bool, typer.Option("--rescale-by-more", help="The same, by any factor.")] = False,
    kind: Annotated[
        str | None,
        typer.Option("--format", help="As ASE calls it, or dcd.  [default: found from the file]", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    changes: Changes = None,
) -> None:
    """Compare a trajectory of any program with a study's data: g(r), S(Q), D(r), T(r), R_chi; no dynamics."""
    with study_of(study, changes) as (config, progress):
        from refine.sampling.asked import cell_of, labels_of
        from refine.tasks import forward as engine

        folder = engine.default_out(config, trajectory) if out is None else out
        engine.check_out(config, folder, trajectory, overwrite=overwrite)
        found = engine.forward(
            config,
            trajectory,
            state=state,
            types=None if species is None else [name.strip() for name in species.split(",")],
            elements=None if elements is None else labels_of(elements),
            atoms=atoms,
            cell=None if cell is None else cell_of(cell),
            kind=kind,
            first=first,
            last=last,
            every=every,
            rescale=rescale,
            rescale_by_more=rescale_by_more,
            progress=progress,
        )
        found.write(folder, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    typer.echo(found.table())
    typer.echo(f"tables: {folder}")
