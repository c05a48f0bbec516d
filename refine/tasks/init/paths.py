"""Paths and names that a study file is written with."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path


def seen_from(folder: Path, file: Path) -> str:
    """A file as a study in `folder` names it."""
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()


def name_of(file: Path, taken: Collection[str]) -> str:
    """A data set's name after its file, which it does not share with another one.

    >>> name_of(Path("data/NaCl (2).gr"), ()), name_of(Path("a.gr"), ("a",))
    ('NaCl_2', 'a_2')
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", file.stem).strip("_")[:60] or "curve"
    lower, number, found = {one.lower() for one in taken}, 1, name
    while found.lower() in lower:
        number += 1
        found = f"{name}_{number}"
    return found
