"""``refine convert``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from refine.cli.asked import columns_of, numbers_of, range_of, sample_of
from refine.cli.common import finite
from refine.errors import InputError
from refine.formula import atoms_in

Density = Annotated[
    float | None,
    typer.Option(
        "--number-density", callback=finite, help="atoms/Å^3; g(r), T(r) and J(r) need it.", show_default=False
    ),
]


def convert(
    curve: Annotated[Path, typer.Argument(metavar="CURVE", help="A measured curve: columns x, y[, sigma].")],
    quantity: Annotated[str, typer.Option(help="What the file holds, as in 'S(Q)', 'i(Q)', 'Q[S(Q)-1]', 'g(r)'.")],
    to: Annotated[str, typer.Option(help="What is wanted, as in 'D(r)'.")],
    out: Annotated[
        Path | None, typer.Option(help="File for the result.  [default: the terminal]", show_default=False)
    ] = None,
    normalisation: Annotated[str, typer.Option(help="Of the file: faber-ziman, keen or <f^2>.")] = "faber-ziman",
    to_normalisation: Annotated[
        str | None, typer.Option(help="Of the result.  [default: that of the file]", show_default=False)
    ] = None,
    radiation: Annotated[
        str | None, typer.Option(help="neutron or xray; not needed for a partial.", show_default=False)
    ] = None,
    composition: Annotated[
        str | None,
        typer.Option(help="As in SiO2 or 0.49FeO-0.51SiO2; other normalisations need it.", show_default=False),
    ] = None,
    number_density: Density = None,
    pair: Annotated[
        str | None, typer.Option(help="The curve is the partial of this pair, as in Si-O.", show_default=False)
    ] = None,
    isotopes: Annotated[
        str | None,
        typer.Option(
            help="As in Ar=36 or, by shares, H=1:0.5+2:0.5, neutrons; D in the composition says the same.",
            show_default=False,
        ),
    ] = None,
    charges: Annotated[
        str | None,
        typer.Option(help="As in Fe=2,O=-2, or O=-0.86:2.01 with a width; x-rays.", show_default=False),
    ] = None,
    q_range: Annotated[
        str | None,
        typer.Option(
            metavar="MIN,MAX",
            help="1/Å: what is taken of a curve in Q; of a curve in r, the range of the transform that made it.",
            show_default=False,
        ),
    ] = None,
    per: Annotated[
        str, typer.Option(help="What I(Q) is of: atom, or the formula of a molecule or formula unit.")
    ] = "atom",
    incoherent: Annotated[
        bool, typer.Option("--incoherent", help="I(Q) of neutrons has the incoherent scattering in it.")
    ] = False,
    window: Annotated[str, typer.Option(help="Of that transform: none or lorch.")] = "none",
    r: Annotated[
        str | None, typer.Option(metavar="MAX,STEP", help="Grid of a result in r, Å.  [20,0.02]", show_default=False)
    ] = None,
    q: Annotated[
        str | None,
        typer.Option(metavar="MAX,STEP", help="Grid of a result in Q, 1/Å.  [as the curve allows]", show_default=False),
    ] = None,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Continue a transform to r from the first Q to 0 by a constant.")
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y[,SIGMA]",
            help="Columns of the file, counted from 1 or by the names that it gives them.",
            show_default=False,
        ),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(help="Which of several curves one below the other, counted from 1.", show_default=False),
    ] = None,
    abscissa: Annotated[
        str,
        typer.Option(help="What x is: points, left-edges or centres of bins; auto goes by the file's name."),
    ] = "auto",
) -> None:
    """Convert a curve between S(Q), F(Q), i(Q), Q[S(Q)-1], I(Q), g(r), G(r), D(r), T(r), J(r) and normalisations."""
    from refine.curves.checks import check_curve
    from refine.curves.convert import convert as converted
    from refine.curves.quantities import is_q_space
    from refine.curves.readers import read_curve
    from refine.curves.writers import curve_text
    from refine.files import write_text

    from_q, to_q = is_q_space(quantity), is_q_space(to)
    for option, given, fits in (("--r", r, from_q and not to_q), ("--q", q, to_q and not from_q)):
        if given is not None and not fits:
            raise InputError(f"from {quantity} to {to} the grid is that of the file", where=option, fix="leave it out")
    if extrapolate and (to_q or not from_q):
        raise InputError("belongs to a transform from Q to r", where="--extrapolate", fix="leave it out")
    if out is not None and out.exists() and curve.exists() and out.samefile(curve):
        raise InputError("this is the curve itself", where=f"--out {out}", fix="give another name")
    limits = None if q_range is None else range_of("--q-range", q_range)
    grid = _grid("--r", r) if r is not None else _grid("--q", q)
    transform = from_q and not to_q
    amounts, mixtures = sample_of(composition, isotopes)
    measured = read_curve(
        curve,
        quantity=quantity,
        normalisation=normalisation,
        radiation=radiation,
        number_density=number_density,
        composition=amounts,
        isotopes=mixtures,
        charges=_charges("--charges", charges),
        pair=_pair(pair),
        window=window,
        q_range=None if transform else limits,
        columns=None if columns is None else columns_of(columns),
        block=block,
        abscissa=abscissa,
        per=_atoms(per, amounts),
        incoherent=incoherent,
        check=False,
    )
    for doubt in check_curve(measured):
        typer.echo(f"refine: warning: {doubt}", err=True)
    result = converted(
        measured,
        to,
        normalisation=to_normalisation,
        x=grid,
        q_range=limits if transform else None,
        extrapolate=extrapolate,
    )
    text = curve_text(result)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    span = f"{'Q' if to_q else 'r'} = {result.x[0]:.4g} to {result.x[-1]:.4g} {'1/Å' if to_q else 'Å'}"
    typer.echo(f"{result.quantity}, {result.normalisation}: {len(result.x)} points, {span}: {out}")


def _atoms(per: str, composition: dict[str, float]) -> float:
    """Of the unit that an intensity is of."""
    if per == "atom":
        return 1.0
    try:
        atoms = atoms_in(per, composition)
    except ValueError:
        raise InputError(f"{per!r} is neither atom nor a formula", where="--per", fix="write it as H2O") from None
    if atoms is None:
        raise InputError(f"{per} is no formula of the composition", where="--per", fix="give its formula unit, or atom")
    return atoms


def _pair(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    first, dash, second = text.partition("-")
    if not (first and dash and second):
        raise InputError(f"{text!r} is no pair", where="--pair", fix="write it as Si-O")
    if "D" in (first, second):
        raise InputError(f"D is hydrogen 2, and partials are of elements: {text}", where="--pair", fix="write H")
    return first, second


def _charges(option: str, text: str | None) -> dict[str, int | tuple[float, float]]:
    """Ions, Fe=2, and charges with a width in Q, O=-0.86:2.01 (`refine.curves.weights.Charges`)."""
    found: dict[str, int | tuple[float, float]] = {}
    number = r"(\d{1,3}(?:\.\d{1,9})?)"
    for entry in [] if text is None else text.split(","):
        match = re.fullmatch(rf"\s*([A-Z][a-z]?)\s*=\s*([+-]?)(?:(\d{{1,3}})|{number}:{number})\s*", entry)
        if match is None or (match[5] is not None and float(match[5]) == 0.0):
            raise InputError(
                f"{entry!r} is not of the form NAME=N or NAME=CHARGE:WIDTH",
                where=option,
                fix="write it as Fe=2,O=-2 or O=-0.86:2.01,H=0.43:2.01",
            )
        sign = -1 if match[2] == "-" else 1
        found[match[1]] = sign * int(match[3]) if match[5] is None else (sign * float(match[4]), float(match[5]))
    return found


MAX_POINTS = 100_000
"""Of a grid; a transform is a matrix of so many rows."""


def _grid(option: str, text: str | None) -> list[float] | None:
    """step, 2 step, ... to the end."""
    if text is None:
        return None
    found = numbers_of(option, text)
    if len(found) != 2 or not 0 < found[1] <= found[0] <= MAX_POINTS * found[1]:
        raise InputError(
            f"{text!r} is no grid", where=option, fix=f"give MAX,STEP, at most {MAX_POINTS:,} points, as in 20,0.02"
        )
    return [found[1] * k for k in range(1, int(found[0] / found[1] + 1e-9) + 1)]
