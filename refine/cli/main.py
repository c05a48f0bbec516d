"""The command ``refine``: thin, no physics. What is slow to import is imported by the command that needs it."""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import refine
from refine.cli.curves import convert, forward
from refine.cli.models import models
from refine.errors import RefineError

INPUT_ERROR, NOT_IMPROVED, EXHAUSTED, INTERRUPTED = 2, 3, 4, 130
"""Exit codes: an error that the user can mend; a run that finished and improved nothing; one that stopped at the limit
of its iterations; Ctrl-C."""

STATUS_CODES = {"converged": 0, "not-improved": NOT_IMPROVED, "iterations-exhausted": EXHAUSTED}
"""Exit code of a finished run by its status."""


class _Commands(TyperGroup):
    """The commands, with errors that the user can mend as one line and no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RefineError as error:
            typer.echo(f"refine: {error}", err=True)
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
app.command()(forward)
app.command()(convert)


def main() -> None:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Å and ≤ must not end a run where the terminal has no such character
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


@app.command()
def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.  [default: runs/<name of the study's folder>]", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run in OUT stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in OUT.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a value of the study, as in refinement.iterations=3. Repeatable."
        ),
    ] = None,
) -> None:
    """Run a study: sample, compare with the measurement, correct the potential, report.

    Exit codes: 0 converged; 4 stopped at the limit of iterations, or the last sample rose again; 3 finished,
    and nothing improved on the base model; 2 an error in the input; 130 interrupted. With 0, 3 and 4 all results are
    written.
    """
    from rich.console import Console

    from refine.cli.terminal import r_chi_table, terminal_progress
    from refine.study.schema import StudyConfig

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    config = StudyConfig.from_toml(study, changes or ())
    console = Console(highlight=False)
    with terminal_progress(console) as progress:
        progress.stage("loading jax", 1)
        from refine.study.study import Study

        engine = Study(config)
        folder = config.default_out() if out is None else out
        progress.message(f"{config.title}: results go to {folder}")
        try:
            result = engine.run(folder, resume=resume, overwrite=overwrite, progress=progress)
        except KeyboardInterrupt:
            progress.message(f"interrupted; go on with: {resume_command(study, folder, changes or [])}")
            raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"{result.status}: {result.message}")
    console.print(r_chi_table(result.initial["r_chi"], result.final["r_chi"]))
    typer.echo(f"report: {result.report_path}")
    raise typer.Exit(STATUS_CODES[result.status])


@app.command()
def prepare(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).")],
    out: Annotated[Path, typer.Option(help="The structure file to write, .extxyz.")],
    state: Annotated[
        str | None, typer.Option(help="State of the study.  [default: the only one]", show_default=False)
    ] = None,
    repeat: Annotated[str, typer.Option("--replicate", metavar="A,B,C", help="Copies along the cell's vectors.")] = (
        "1,1,1"
    ),
    settle: Annotated[
        float | None,
        typer.Option(min=0, help="Time in ps after replication.  [default: the equilibration]", show_default=False),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed.  [default: the study's]", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in refine run.")] = None,
) -> None:
    """Make a start structure under the base model: pack, melt and cool, replicate, equilibrate, write."""
    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.study.schema import StudyConfig

    config = StudyConfig.from_toml(study, changes or ())
    with terminal_progress(Console(highlight=False, stderr=True)) as progress:
        progress.stage("loading jax", 1)
        from refine.tasks import prepare as preparation

        repeats = preparation.parse_repeats(repeat)
        preparation.check_target(out, overwrite)
        made = preparation.prepare(config, state=state, repeats=repeats, seed=seed, settle=settle, progress=progress)
        made.write(out)
    for line in made.words():
        typer.echo(line)
    typer.echo(f"structure: {out}")


@app.command()
def diagnose(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for diagnosis.json.  [default: runs/<name of the study's folder>]", show_default=False
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames of each state.  [default: the study's]", show_default=False)
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in refine run.")] = None,
) -> None:
    """Take the base model's misfit apart: temperature, density, scale, resolution, pair potential; no fit."""
    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.study.schema import StudyConfig

    config = StudyConfig.from_toml(study, changes or ())
    with terminal_progress(Console(highlight=False, stderr=True)) as progress:
        progress.stage("loading jax", 1)
        from refine.study.study import Study
        from refine.tasks import diagnose as diagnosis

        engine = Study(config)
        folder = config.default_out() if out is None else out
        found = diagnosis.diagnose(engine, out=folder, frames=frames, progress=progress)
    typer.echo(found.table())
    for sentence in found.words():
        typer.echo(f"- {sentence}")
    typer.echo(f"numbers: {folder / 'diagnosis.json'}")


@app.command()
def compare(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).")],
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--models",
            metavar="FILE",
            help="A file with a [model] table. Repeatable.  [default: the study's]",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs",
            metavar="FOLDER",
            help="A finished run, whose refined potential is compared too. Repeatable.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.  [default: runs/<name of the study's folder>]", show_default=False),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames of each state.  [default: the study's]", show_default=False)
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in refine run.")] = None,
) -> None:
    """Sample several models, no fit, and rank them against the measurement; with diffusion coefficients."""
    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.study.schema import StudyConfig

    config = StudyConfig.from_toml(study, changes or ())
    with terminal_progress(Console(highlight=False, stderr=True)) as progress:
        progress.stage("loading jax", 1)
        from refine.tasks import compare as comparison

        folder = config.default_out() if out is None else out
        found = comparison.compare(config, models, runs=runs or (), out=folder, frames=frames, progress=progress)
    typer.echo(found.table())
    typer.echo(f"page: {folder / 'compare.html'}")
    if found.failed:
        raise typer.Exit(INPUT_ERROR)


@app.command()
def sensitivity(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).")],
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
    frames: Annotated[int, typer.Option(help="Frames for averages; finite differences take as many twice.")] = 1000,
    windows: Annotated[int, typer.Option(help="Windows that are differentiated.")] = 64,
    steps: Annotated[int, typer.Option(help="Steps of a window.")] = 200,
    delta: Annotated[
        float | None, typer.Option(help="Displacement of the parameter, eV or its own unit.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in refine run.")] = None,
) -> None:
    """The derivative of a curve, peak or R_chi by a parameter, in three ways that must agree."""
    import json

    from rich.console import Console

    from refine.cli.terminal import terminal_progress
    from refine.study.schema import StudyConfig

    config = StudyConfig.from_toml(study, changes or ())
    with terminal_progress(Console(highlight=False, stderr=True)) as progress:
        progress.stage("loading jax", 1)
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
            progress=progress,
        )
    typer.echo(json.dumps(found.to_json(), indent=1) if as_json else found.table())


@app.command()
def report(out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a run.")]) -> None:
    """Make the report of a finished run anew."""
    from refine.report import write_report

    typer.echo(f"report: {write_report(out)}")


@app.command()
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a finished run.")],
    to: Annotated[str, typer.Option(help="lammps, ase, openmm or csv.")],
    folder: Annotated[
        Path | None, typer.Option(help="Folder for the files.  [default: OUT/export-<to>]", show_default=False)
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="K; for a correction that changes with temperature.", show_default=False),
    ] = None,
) -> None:
    """Write the refined potential for another program: base and correction for LAMMPS, else the correction."""
    from refine.export import export as write

    for path in write(out, to, folder, temperature):
        typer.echo(path)


@app.command()
def reference() -> None:
    """Print the reference page of the study file: every key, its unit, limits and default."""
    from refine.study.schema import reference_markdown

    typer.echo(reference_markdown(), nl=False)


def resume_command(study: Path, out: Path, changes: list[str]) -> str:
    """The command line that goes on with an interrupted run."""
    words = ["refine", "run", str(study), "--out", str(out), "--resume"]
    for change in changes:
        words += ["--set", change]
    return shlex.join(words)
