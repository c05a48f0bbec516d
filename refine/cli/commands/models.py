"""The commands ``refine models ...``: thin. What is slow to import is imported by the command that needs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refine.errors import InputError

if TYPE_CHECKING:
    from refine.potentials.mace.architecture import Architecture, Checkpoint, Layer

DISAGREEMENT = 1
"""Exit code: refine and mace-jax compute different numbers."""

models = typer.Typer(
    help="Published MACE models: what there is, what is in a file, how to get one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[str, typer.Argument(metavar="FILE", help="A model file, or the name of a published model.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@models.command("list")
def list_models(as_json: Json = False) -> None:
    """Show the published models.

    Size, licence, level of theory, cutoff, and whether the file is on this machine.
    """
    from refine.potentials.mace.catalogue import CATALOGUE, DEFAULT, LICENCES, MUST_BE_ACCEPTED, locate

    places = {entry.key: locate(entry) for entry in CATALOGUE}
    if as_json:
        rows = [
            asdict(entry) | {"default": entry.key == DEFAULT, "path": places[entry.key] and str(places[entry.key])}
            for entry in CATALOGUE
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    lines = [("name", "MB", "licence", "theory", "elements", "r_max/Å", "here")]
    for entry in CATALOGUE:
        size = "?" if entry.bytes is None else f"{entry.bytes / 1e6:.1f}"
        here = "yes" if places[entry.key] else "no"
        name = f"{entry.key} *" if entry.key == DEFAULT else entry.key
        r_max = "?" if entry.r_max is None else f"{entry.r_max:.1f}"
        lines.append((name, size, entry.licence, entry.theory, str(entry.elements), r_max, here))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(n) if k != 1 else cell.rjust(n) for k, (cell, n) in enumerate(zip(line, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
    typer.echo("\n* the one to begin with; ? where nobody has published it")
    for entry in CATALOGUE:
        if entry.heads:
            typer.echo(f"heads of {entry.key}: {', '.join(f'{name} ({theory})' for name, theory in entry.heads)}")
    for licence in sorted({entry.licence for entry in CATALOGUE}):
        asked = "; fetched with --accept-licence only" if licence in MUST_BE_ACCEPTED else ""
        typer.echo(f"{licence}: {LICENCES[licence]}{asked}")


@models.command()
def inspect(file: File, as_json: Json = False) -> None:
    """Say what is in a model file; nothing in it is run."""
    from refine.potentials.mace.catalogue import resolve
    from refine.potentials.mace.reader import load

    path = resolve(file)
    found = description(path, load(path))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in _in_words(found):
        typer.echo(line)


@models.command()
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name of a published model: see `refine models list`.")
    ],
    url: Annotated[str | None, typer.Option(help="Get the file from this http(s) URL instead.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Put it here.  [default: the folder REFINE_MODELS, else the cache]", show_default=False),
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Agree to a licence that restricts the use.")
    ] = False,
) -> None:
    """Download a published model, verify it, and say where it is. A download that was cut goes on where it stopped."""
    from rich.console import Console

    from refine.cli.common import INTERRUPTED
    from refine.cli.terminal import terminal_progress
    from refine.potentials.mace import catalogue

    console = Console(highlight=False)
    with terminal_progress(console) as progress:
        try:
            path = catalogue.fetch(name, url, folder, progress, accept_licence=accept_licence)
        except KeyboardInterrupt:
            progress.message("interrupted; the same command goes on where it stopped")
            raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"{catalogue.published(name).key}: {path}")


@models.command()
def convert(
    file: File,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The new file.  [default: the name of FILE with .safetensors, in this folder]", show_default=False
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Write a model as one .safetensors file.

    It holds numbers and JSON only, and refine reads it as it reads FILE.
    """
    from refine.potentials.mace.catalogue import resolve
    from refine.potentials.mace.reader import load
    from refine.potentials.mace.reader.neutral import write_neutral

    path = resolve(file)
    target = Path(f"{path.stem}.safetensors") if out is None else out
    if target.exists():
        if target.is_dir() or target.samefile(path):
            what = "is a folder" if target.is_dir() else "is the file that is to be converted"
            raise InputError(what, where=str(target), fix="give the new file with --out")
        if not overwrite:
            raise InputError("exists", where=str(target), fix="replace it with --overwrite, or give another --out")
    if not target.parent.is_dir():
        raise InputError("no such folder", where=str(target.parent), fix="make it, or give another --out")
    write_neutral(load(path), target)
    typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


@models.command()
def check(
    file: File,
    seed: Annotated[int, typer.Option(min=0, help="Of the random boxes.")] = 0,
) -> None:
    """Compare refine with mace-jax, if installed.

    Energy and forces of random boxes; exit code 1 when the two disagree.
    """
    from refine.potentials.mace.catalogue import resolve

    path = resolve(file)  # a wrong name is said before jax is loaded
    from refine.potentials.mace.second_opinion import compare

    comparison = compare(path, seed=seed)
    typer.echo(comparison.summary())
    if not comparison.agrees:
        raise typer.Exit(DISAGREEMENT)


def description(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """What a file holds, as JSON values: energies in eV, lengths in Å, size in bytes, `published` a catalogue key."""
    import numpy as np
    from ase.data import chemical_symbols

    from refine.potentials.mace.catalogue import by_sha256

    architecture = checkpoint.architecture
    energies = np.asarray(checkpoint.arrays["energies"], np.float64) * checkpoint.factors.get("energies", 1.0)
    known = by_sha256(checkpoint.sha256)
    heads = [
        {"name": name, "scale": scale, "shift": shift, "E0": [float(row.min()), float(row.max())]}
        for name, scale, shift, row in zip(
            architecture.heads, architecture.scale, architecture.shift, energies, strict=True
        )
    ]
    return {
        "file": str(path),
        "size": path.stat().st_size,
        "sha256": checkpoint.sha256,
        "origin": checkpoint.origin,
        "published": known and known.key,
        "licence": known and known.licence,
        "theory": known and known.theory,
        "elements": [chemical_symbols[z] for z in architecture.species],
        "dtype": architecture.dtype,
        "numbers": sum(int(array.size) for array in checkpoint.arrays.values()),
        "heads": heads,
        "inputs": [
            {"name": entry.name, "from": -entry.offset, "to": len(checkpoint.arrays[f"inputs.{k}"]) - 1 - entry.offset}
            for k, entry in enumerate(architecture.inputs)
        ],
        "architecture": architecture.to_json() | {"species": list(architecture.species)},
    }


def _in_words(found: dict[str, Any]) -> list[str]:
    from refine.potentials.mace.architecture import Architecture

    architecture = Architecture.from_json(found["architecture"])
    published = (
        f"{found['published']}, {found['theory']}, {found['licence']}"
        if found["published"]
        else "no model with this sha256 is known"
    )
    rows = [
        ("file", f"{found['file']}, {found['size'] / 1e6:.1f} MB"),
        ("made from", found["origin"]),
        ("sha256", found["sha256"]),
        ("published", published),
        ("elements", _elements(architecture.species, found["elements"])),
        ("numbers", f"{found['numbers']} in {found['dtype']}"),
        ("model", _model(architecture)),
        *((f"layer {k}", _layer(layer)) for k, layer in enumerate(architecture.layers, 1)),
        *((f"head {head['name']}", _head(head)) for head in found["heads"]),
        *(("box", f"{given['name']} from {given['from']} to {given['to']}") for given in found["inputs"]),
    ]
    width = max(len(name) for name, _ in rows)
    lines = (f"{name.ljust(width)}  {text}" for name, text in rows)
    # Names come from the file; control characters among them could rewrite what the terminal shows.
    return ["".join(c if c.isprintable() else "?" for c in line) for line in lines]


def _head(head: dict[str, Any]) -> str:
    low, high = head["E0"]
    return f"scale {head['scale']:.6g}, shift {head['shift']:.6g} eV, E0 {low:.6g} to {high:.6g} eV"


def _elements(numbers: Sequence[int], symbols: Sequence[str]) -> str:
    """As in `H-Bi Ac-Pu (89)`, runs of three and more as their ends."""
    runs: list[list[int]] = []
    for k, z in enumerate(numbers):
        if runs and z == numbers[k - 1] + 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    words = [
        f"{symbols[run[0]]}-{symbols[run[-1]]}" if len(run) > 2 else " ".join(symbols[k] for k in run) for run in runs
    ]
    return f"{' '.join(words)} ({len(numbers)})"


def _model(architecture: Architecture) -> str:
    layers = len(architecture.layers)
    words = [
        f"{layers} layer" if layers == 1 else f"{layers} layers",
        f"{architecture.channels} channels",
        f"r_max {architecture.r_max:g} Å",
        f"l of the harmonics up to {architecture.max_ell}",
    ]
    words += ["Agnesi transform"] if architecture.agnesi else []
    words += ["ZBL repulsion"] if architecture.zbl else []
    return ", ".join(words)


def _layer(layer: Layer) -> str:
    kind = ("density " if layer.density else "") + ("residual" if layer.residual else "non-residual")
    if layer.nonlinear:
        kind = "non-linear"

    def degrees(name: str, ls: Sequence[int]) -> str:
        return f"{name} l = {' '.join(map(str, ls))}"

    return ", ".join(
        (
            kind,
            degrees("in", layer.l_in),
            degrees("message", layer.l_message),
            degrees("out", layer.l_out),
            f"correlation {layer.correlation}",
            f"readout {layer.readout}",
        )
    )
