"""``refine inspect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from refine.cli.asked import columns_of, sample_of
from refine.cli.common import AsJson, finite

Composition = Annotated[
    str | None,
    typer.Option(help="Of the sample, as in SiO2, 0.49FeO-0.51SiO2 or D2O.", metavar="FORMULA", show_default=False),
]
Radiation = Annotated[str | None, typer.Option(help="neutron or xray.  [default: the header's]", show_default=False)]
Density = Annotated[
    float | None, typer.Option("--number-density", callback=finite, help="atoms/Å^3.", show_default=False)
]
IsotopesOption = Annotated[
    str | None, typer.Option("--isotopes", help="As in Ar=36 or, by shares, H=1:0.5+2:0.5.", show_default=False)
]
ColumnsOption = Annotated[
    str | None,
    typer.Option("--columns", metavar="X,Y[,SIGMA]", help="Columns, counted from 1 or by name.", show_default=False),
]
Block = Annotated[
    int | None, typer.Option(min=1, help="Which curve of several, one below the other.", show_default=False)
]

SHOWN = 4
"""Readings that are printed."""


def inspect(
    curve: Annotated[Path, typer.Argument(metavar="FILE", help="A measured curve.")],
    composition: Composition = None,
    radiation: Radiation = None,
    number_density: Density = None,
    isotopes: IsotopesOption = None,
    columns: ColumnsOption = None,
    block: Block = None,
    as_json: AsJson = False,
) -> None:
    """Say what a curve may be, by its numbers: quantity and normalisation, each with its evidence, ranked."""
    from refine.curves.inspection import inspect as look

    elements, of_elements = sample_of(composition, isotopes)
    found = look(
        curve,
        composition=elements,
        radiation=radiation,
        number_density=number_density,
        isotopes=of_elements,
        columns=None if columns is None else columns_of(columns),
        block=block,
    )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    typer.echo("\n".join(found.lines(SHOWN)))
