"""The axes of a campaign's grid as its page draws them: keys that change together are one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refine.campaign.points import value_text
from refine.campaign.standing import Standing

MOST_SERIES = 6
"""Told apart in a figure, by symbols or dashes; more only where one points at them."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Axis:
    """Of the grid, with more than one value.

    keys: that change together, as those of one `[[zip]]`; the first one stands for them.  label: what that is called.
    texts: its value in each point, by the point's name.
    """

    keys: tuple[str, ...]
    label: str
    texts: Mapping[str, str]


def axes_of(standing: Standing) -> list[Axis]:
    """In the order of the grid."""
    found: list[Axis] = []
    for key, label in standing.labels.items():
        texts = {point.name: value_text(point.values.get(key)) for point in standing.points}
        if len(set(texts.values())) < 2:
            continue
        for k, axis in enumerate(found):
            if _together(axis.texts, texts):
                found[k] = Axis((*axis.keys, key), axis.label, axis.texts)
                break
        else:
            found.append(Axis((key,), label, texts))
    return found


def _together(one: Mapping[str, str], two: Mapping[str, str]) -> bool:
    """Whether each value of one goes with a single value of the other, and the other way round."""
    pairs = {(one[name], two[name]) for name in one}
    return len(pairs) == len(set(one.values())) == len(set(two.values()))


def series_of(axes: Sequence[Axis], names: Sequence[str]) -> dict[str, int]:
    """What tells points apart, in words: the values of axes, numbered in the order of the points' names; one that is
    empty where there is nothing to tell apart, or more than `MOST_SERIES`.

    >>> axis = Axis(("system.formula",), "formula", {"a": "SiO2", "b": "GeO2", "c": "SiO2"})
    >>> series_of([axis], ["a", "b", "c"]), series_of([], ["a"])
    ({'SiO2': 0, 'GeO2': 1}, {'': 0})
    """
    words = dict.fromkeys(series_word(axes, name) for name in names)
    return {word: k for k, word in enumerate(words)} if len(words) <= MOST_SERIES else {"": 0}


def series_word(axes: Sequence[Axis], name: str) -> str:
    """Of a point, by its name."""
    return ", ".join(axis.texts[name] for axis in axes)
