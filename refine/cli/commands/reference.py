"""``refine reference``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def reference(
    page: Annotated[
        Literal["study", "learn", "explore", "campaign"],
        typer.Argument(help="The file of a study, of refine learn, of refine explore, of a campaign."),
    ] = "study",
) -> None:
    """Print the reference page of the study file, or of another one: every key, its unit, limits, default."""
    from refine.campaign.reference import campaign_markdown
    from refine.study.schema import explore_markdown, learn_markdown, reference_markdown

    pages = {
        "study": reference_markdown,
        "learn": learn_markdown,
        "explore": explore_markdown,
        "campaign": campaign_markdown,
    }
    typer.echo(pages[page](), nl=False)
