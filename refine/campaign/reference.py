"""The reference page of the campaign file: ``refine reference campaign``, in ``docs/reference``."""

from __future__ import annotations

from refine.campaign.keys import MOST_POINTS, CampaignConfig
from refine.study.schema.reference import page_of


def campaign_markdown() -> str:
    """The page as Markdown."""
    top = [
        "# The campaign file",
        "",
        "Written by `make reference` from the tables in `refine/campaign/keys.py`; edit the tables, not this page.",
        "",
        "It is one TOML file. Unknown keys are refused. `refine campaign FILE --set table.key=value` changes a value",
        f"for one start. A campaign has {MOST_POINTS} points at most.",
        "",
    ]
    return page_of(top, CampaignConfig)
