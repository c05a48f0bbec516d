"""The grid as points: every combination of its values that is wanted, each under a name that is a folder's."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from refine.campaign.keys import MOST_POINTS, CampaignConfig
from refine.errors import InputError
from refine.tables.toml import toml_value

LONGEST = 60
"""Characters of a name, but for the digest that makes a shortened one its own."""


@dataclass(frozen=True)
class Point:
    """A point of the grid.

    name: of its folder.  values: by the keys of the grid.
    """

    name: str
    values: Mapping[str, Any]


def points_of(config: CampaignConfig) -> tuple[Point, ...]:
    """All points that are wanted, the last axis fastest.

    A point has the name that its values give, so one that is added to the grid moves no other.

    Raises:
        InputError: there are more than `MOST_POINTS`, or none.

    >>> grid = {"states.85K.temperature": [85.0, 95.0], "system.formula": ["Na2O.2SiO2", "../../x"]}
    >>> [point.name for point in points_of(CampaignConfig.parse({"study": "a.toml", "grid": grid}))][::3]
    ['temperature-85.0_formula-Na2O.2SiO2', 'temperature-95.0_formula-x-33fd36b8']
    """
    axes = _axes(config)
    number = math.prod(len(axis) for axis in axes)
    if number > MOST_POINTS:
        raise InputError(
            f"the grid has {number} points, and {MOST_POINTS} are allowed",
            where="[grid]",
            fix="make several campaigns of it, or lists shorter",
        )
    labels = _labels([key for axis in axes for key in axis[0]])
    wanted = []
    for combination in itertools.product(*axes):
        values = {key: value for part in combination for key, value in part.items()}
        if _selected(config, values):
            wanted.append(values)
    if not wanted:
        raise InputError("no point is left", where="[select]", fix="leave fewer points out")
    names = [_name(values, labels) for values in wanted]
    taken = Counter(name.lower() for name in names)
    return tuple(
        Point(name if taken[name.lower()] == 1 else f"{name}-{_digest(values)}", values)
        for name, values in zip(names, wanted, strict=True)
    )


def axes_of(config: CampaignConfig) -> dict[str, str]:
    """What each key of the grid is called in tables and figures, by key."""
    return _labels([key for axis in _axes(config) for key in axis[0]])


def value_text(value: Any) -> str:
    """A value of the grid in words: a model by its name, text and numbers as they are, the rest as TOML.

    >>> value_text({"base": "pedone-2006", "r_cut": 8.0}), value_text(85.0), value_text("models/a.toml")
    ('pedone-2006', '85.0', 'models/a.toml')
    """
    if isinstance(value, Mapping):
        known = [value[key] for key in ("name", "path", "base") if isinstance(value.get(key), str)]
        return str(known[0]) if known else toml_value(value)
    return value if isinstance(value, str) else toml_value(value)


def _axes(config: CampaignConfig) -> list[list[dict[str, Any]]]:
    """Of each axis its values, those of zipped keys together."""
    axes = [[{key: value} for value in values] for key, values in config.grid.items()]
    for table in config.zip:
        rows = zip(*table.values(), strict=True)
        axes.append([dict(zip(table, row, strict=True)) for row in rows])
    return axes


def _selected(config: CampaignConfig, values: Mapping[str, Any]) -> bool:
    def among(choices: tuple[dict[str, tuple[Any, ...]], ...]) -> bool:
        return any(all(values[key] in allowed for key, allowed in choice.items()) for choice in choices)

    select = config.select
    return not among(select.leave_out) and (not select.only or among(select.only))


def _labels(keys: list[str]) -> dict[str, str]:
    """The last word of a key, or all of them where two would be called the same."""
    short = {key: key.rpartition(".")[2] for key in keys}
    often = Counter(short.values())
    return {key: label if often[label] == 1 else key for key, label in short.items()}


def _name(values: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Letters, digits and . + - _ only, and never . or .. alone."""
    parts, exact = [], True
    for key, value in values.items():
        text = value_text(value)
        shown = PurePath(text).stem if key == "model" and isinstance(value, str) else text
        part = f"{_slug(labels[key])}-{_slug(shown)}"
        exact &= part == f"{labels[key]}-{text}"
        parts.append(part)
    name = "_".join(parts) or "study"
    return name if exact and len(name) <= LONGEST else f"{name[:LONGEST].rstrip('-_.')}-{_digest(values)}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9+._-]+|\.\.+", "-", text).strip("-.").replace("--", "-") or "x"


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
