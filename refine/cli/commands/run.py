"""``refine run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from refine.cli.common import EXHAUSTED, INTERRUPTED, NOT_IMPROVED, Out, StudyFile, study_of

if TYPE_CHECKING:
    from refine.results.result import Result


def run(
    study: StudyFile,
    out: Out = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where an earlier run in OUT stopped, or ended at its limit of iterations, with a higher one.",
        ),
    ] = False,
    go_on: Annotated[
        bool, typer.Option("--continue", help="--resume where there is a run in OUT, else start.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in OUT.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a value of the study, as in refinement.iterations=3. Repeatable."
        ),
    ] = None,
) -> None:
    """Run a study: sample, compare with the measurement, correct the potential, report.

    Exit codes: 0 converged; 4 stopped at the limit of iterations, before a step that cannot be sampled, or the last
    sample rose again; 3 finished, and nothing improved on the base model; 2 an error in the input; 130 interrupted.
    With 0, 3 and 4 all results are written.
    """
    if sum((resume, go_on, overwrite)) > 1:
        raise typer.BadParameter("--resume, --continue and --overwrite exclude each other")
    with study_of(study, changes, to_stderr=False) as (config, progress):
        from refine.study.study import Study
        from refine.tasks.run import onwards
        from refine.tasks.run.loop import run_study

        engine = Study(config)
        folder = config.default_out() if out is None else out
        progress.message(f"{config.title}: results go to {folder}")
        try:
            how: bool | Literal["auto"] = "auto" if go_on else resume
            result = run_study(engine, folder, resume=how, overwrite=overwrite, progress=progress)
        except KeyboardInterrupt:
            progress.message(f"interrupted; go on with: {onwards.go_on(False, changes or (), study=study, out=folder)}")
            raise typer.Exit(INTERRUPTED) from None
    tell_result(result)


def tell_result(result: Result) -> NoReturn:
    """Print a finished run, and exit with the code of how it ended."""
    from rich.console import Console

    from refine.cli.terminal import number_lines, r_chi_table
    from refine.report.words import cautions
    from refine.results.schema import Status

    typer.echo(f"{result.status}: {result.message}")
    Console(highlight=False).print(r_chi_table(result.initial, result.final))
    for line in number_lines(result.summary):
        typer.echo(line)
    for caution in cautions(result.summary):  # those about the data were said at first
        typer.echo(f"warning: {caution}")
    typer.echo(f"report: {result.report_path}")
    codes = {Status.CONVERGED: 0, Status.NOT_IMPROVED: NOT_IMPROVED}
    raise typer.Exit(codes.get(Status(result.status), EXHAUSTED))
