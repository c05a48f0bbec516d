"""Lines of a log."""

from __future__ import annotations

import re


def undated(text: str) -> list[str]:
    """The lines of a text, those that begin with date and time without them."""
    return [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in text.splitlines()]
