"""``refine init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refine.cli.asked import columns_of, range_of, sample_of
from refine.cli.commands.inspect import ColumnsOption, Density, IsotopesOption, Radiation
from refine.cli.common import finite
from refine.errors import InputError


def init(
    curves: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Measured curves of one sample.")],
    composition: Annotated[
        str, typer.Option(metavar="FORMULA", help="Of the sample, as in SiO2, 0.49FeO-0.51SiO2 or D2O.")
    ],
    temperature: Annotated[float, typer.Option(callback=finite, help="K.")],
    number_density: Density = None,
    mass_density: Annotated[
        float | None, typer.Option(callback=finite, help="g/cm^3, in its place.", show_default=False)
    ] = None,
    radiation: Radiation = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="A MACE model by file or name, a LAMMPS input whose potential is taken, or a published set.  "
            "[default: a set that has the elements]",
            show_default=False,
        ),
    ] = None,
    structure: Annotated[
        Path | None, typer.Option(help="Start structure; of a crystal it is needed.", show_default=False)
    ] = None,
    isotopes: IsotopesOption = None,
    atoms: Annotated[
        int | None, typer.Option(min=2, max=10_000_000, help="Atoms in the box, about.", show_default=False)
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(help="What all curves are.  [default: by their numbers]", show_default=False)
    ] = None,
    normalisation: Annotated[
        str | None, typer.Option("--normalisation", "--normalization", help="Likewise.", show_default=False)
    ] = None,
    columns: ColumnsOption = None,
    q_range: Annotated[
        str | None,
        typer.Option(metavar="MIN,MAX", help="1/Å: range of the transform behind curves in r.", show_default=False),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the study.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="The study file to write.")] = Path("study.toml"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a study that runs, from measured curves and a few words; a comment says where each value comes from."""
    from refine.compiled import quieten

    quieten()
    from refine.tasks.init import Asked, draft

    for option, value in (
        ("--temperature", temperature),
        ("--number-density", number_density),
        ("--mass-density", mass_density),
    ):
        if value is not None and not value > 0:
            raise typer.BadParameter(f"{option} {value:g} is not above zero")
    if number_density is not None and mass_density is not None:
        raise typer.BadParameter("give --number-density or --mass-density")
    if out.exists() and not overwrite:
        raise InputError("the file exists", where=str(out), fix="use --overwrite or another --out")
    if not out.parent.is_dir():
        raise InputError("no such folder", where=str(out.parent), fix="make it, or give another --out")
    amounts, of_elements = sample_of(composition, isotopes)
    asked = Asked(
        formula=composition,
        amounts=amounts,
        isotopes=of_elements,
        temperature=temperature,
        number_density=number_density,
        mass_density=mass_density,
        radiation=radiation,
        model=model,
        structure=structure,
        atoms=atoms,
        quantity=quantity,
        normalisation=normalisation,
        columns=None if columns is None else columns_of(columns),
        q_range=None if q_range is None else range_of("--q-range", q_range),
        title=title,
    )
    made = draft(curves, asked, out)
    made.write(out)
    for remark in made.remarks:
        typer.echo(f"look: {remark}")
    typer.echo(f"study: {out}; refine check {out} says what it will cost, refine run {out} runs it")
