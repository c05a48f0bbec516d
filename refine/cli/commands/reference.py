"""``refine reference``."""

from __future__ import annotations

import typer


def reference() -> None:
    """Print the reference page of the study file: every key, its unit, limits and default."""
    from refine.study.schema import reference_markdown

    typer.echo(reference_markdown(), nl=False)
