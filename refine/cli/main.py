"""The command ``refine``: thin, no physics. What is slow to import is imported by the command that needs it."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import refine
from refine.cli.commands.models import models
from refine.cli.common import INPUT_ERROR
from refine.errors import RefineError
from refine.files import of_system
from refine.threads import VARIABLE

COMMANDS = (
    "inspect",
    "init",
    "forward",
    "convert",
    "check",
    "run",
    "step",
    "predict",
    "prepare",
    "enrich",
    "diagnose",
    "compare",
    "sensitivity",
    "report",
    "export",
    "frames",
    "collect",
    "learn",
    "explore",
    "explore_label",
    "campaign",
    "campaign_status",
    "reference",
)
"""Modules of `refine.cli.commands`, in the order of the help; a command has - for _."""


class _Commands(TyperGroup):
    """The commands, with errors that the user can mend as one line and no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RefineError as error:
            typer.echo(f"refine: {error}", err=True)
            raise typer.Exit(INPUT_ERROR) from None
        except OSError as error:
            told = of_system(error)
            if told is None:
                raise
            typer.echo(f"refine: {told}", err=True)
            raise typer.Exit(INPUT_ERROR) from None


app = typer.Typer(
    cls=_Commands,
    help="Refine interatomic potentials against measured x-ray and neutron total scattering.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(models, name="models")
for _name in COMMANDS:
    app.command(_name.replace("_", "-"))(getattr(import_module(f"refine.cli.commands.{_name}"), _name))


def main() -> None:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Å and ≤ must not end a run where the terminal has no such character
    os.environ.setdefault(VARIABLE, "1")  # before numpy is imported; not more threads, see refine.threads
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"refine {refine.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options that stand before the command."""
