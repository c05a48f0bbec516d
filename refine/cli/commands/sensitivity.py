"""``refine sensitivity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refine.cli.common import MOST_FRAMES, AsJson, Changes, StudyFile, finite, study_of


def sensitivity(
    study: StudyFile,
    of: Annotated[
        str,
        typer.Option(
            help="A point of a curve, a peak, or R_chi of a data set: 'xray:S(Q)@2.0', 'xray:S(Q):height@1.5..2.5', "
            "'xray:S(Q):position@1.5..2.5', 'xray:R_chi'."
        ),
    ],
    parameter: Annotated[
        str, typer.Option(help="A coefficient of the correction, 'Fe-O@2.1', or of a classical base, 'sigma:Ar'.")
    ],
    frames: Annotated[
        int, typer.Option(max=MOST_FRAMES, help="Frames for averages; finite differences take as many twice.")
    ] = 1000,
    windows: Annotated[int, typer.Option(max=MOST_FRAMES, help="Windows that are differentiated.")] = 64,
    steps: Annotated[int, typer.Option(max=MOST_FRAMES, help="Steps of a window.")] = 200,
    delta: Annotated[
        float | None,
        typer.Option(callback=finite, help="Displacement of the parameter, eV or its own unit.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for sensitivity.json and sensitivity/*.csv.  [default: none are written]", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    changes: Changes = None,
) -> None:
    """The derivative of a curve, peak or R_chi by a parameter, in three ways that must agree."""
    import json

    with study_of(study, changes) as (config, progress):
        from refine.study.study import Study
        from refine.tasks import sensitivity as derivatives

        asked = derivatives.parse_quantity(of), derivatives.parse_parameter(parameter)
        found = derivatives.sensitivity(
            Study(config),
            of=asked[0],
            parameter=asked[1],
            frames=frames,
            windows=windows,
            steps=steps,
            delta=delta,
            out=out,
            progress=progress,
        )
    typer.echo(json.dumps(found.to_json(), indent=1) if as_json else found.table())
    if out is not None and not as_json:
        typer.echo(f"numbers: {out / 'sensitivity.json'}")
