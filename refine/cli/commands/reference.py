"""``refine reference``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def reference(
    page: Annotated[
        Literal["study", "learn"], typer.Argument(help="The study file, or the file of refine learn.")
    ] = "study",
) -> None:
    """Print the reference page of the study file, or of that of refine learn: every key, its unit, limits, default."""
    from refine.study.schema import learn_markdown, reference_markdown

    typer.echo({"study": reference_markdown, "learn": learn_markdown}[page](), nl=False)
