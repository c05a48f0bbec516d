"""Figures of the report as one plotly figure for a notebook. plotly is an extra: refine-potentials[notebooks]."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refine.errors import InputError
from refine.report.figures import Figure, plot_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

GAP = 0.3
"""Share of a panel's width or height that is left for labels and titles of its neighbours."""


def arranged(figures: Sequence[Figure], columns: int = 1) -> PlotlyFigure:
    """Several figures of a report in a grid, row after row.

    Raises InputError where plotly is not installed, and ValueError where there is nothing to show.
    """
    if not figures:
        raise ValueError("there is nothing to show")
    try:
        from plotly.graph_objects import Figure as PlotlyFigure
    except ImportError:
        raise InputError(
            "figures in Python need plotly", fix="pip install plotly; the report shows them without it"
        ) from None
    columns = min(columns, len(figures))
    rows = -(-len(figures) // columns)
    data: list[dict[str, Any]] = []
    layout = plot_layout(annotations=[], shapes=[], hovermode="closest")
    used = 0
    for k, figure in enumerate(figures):
        across = _share(k % columns, columns)
        down = _share(rows - 1 - k // columns, rows)
        used = _add(figure, used, across, down, data, layout, legend=k == 0)
    layout["height"] = sum(max(f.height for f in figures[i : i + columns]) for i in range(0, len(figures), columns))
    return PlotlyFigure(data=data, layout=layout)


def _share(place: int, places: int) -> tuple[float, float]:
    """The part of 0 to 1 that a panel has."""
    width = 1.0 / (places + GAP * (places - 1))
    start = place * (1.0 + GAP) * width
    return start, start + width


def _add(
    figure: Figure,
    used: int,
    across: tuple[float, float],
    down: tuple[float, float],
    data: list[dict[str, Any]],
    layout: dict[str, Any],
    *,
    legend: bool,
) -> int:
    """Put one figure into a panel; used, and returned: how many axes of each kind are taken."""
    spec = copy.deepcopy(figure.spec)

    def numbered(name: str, number: int) -> str:
        return f"{name}{used + number}" if used + number > 1 else name

    def renamed(axis: str) -> str:
        return numbered(axis[0], int(axis[1:] or 1))

    numbers = [1]
    for key in [name for name in spec["layout"] if re.fullmatch(r"[xy]axis\d*", name)]:
        axis, kind = spec["layout"][key], key[0]
        number = int(key.removeprefix(f"{kind}axis") or 1)
        numbers.append(number)
        low, high = across if kind == "x" else down
        inner = axis.get("domain", [0.0, 1.0])
        axis["domain"] = [low + part * (high - low) for part in inner]
        partner = axis.get("anchor", "y" if kind == "x" else "x")
        axis["anchor"] = renamed(partner)
        layout[numbered(f"{kind}axis", number)] = axis
    for trace in spec["data"]:
        trace["xaxis"], trace["yaxis"] = renamed(trace.get("xaxis", "x")), renamed(trace.get("yaxis", "y"))
        trace["showlegend"] = legend and trace.get("showlegend", True) and spec["layout"].get("showlegend", True)
        data.append(trace)
    for shape in spec["layout"].get("shapes", ()):
        x, y = shape.get("xref", "x"), shape.get("yref", "y")
        shape["xref"] = renamed("x") + " domain" if x == "paper" else renamed(x)
        shape["yref"] = renamed("y") + " domain" if y == "paper" else renamed(y)
        layout["shapes"].append(shape)
    title = {"text": figure.title, "showarrow": False, "xref": "paper", "yref": "paper", "font": {"size": 13}}
    layout["annotations"].append(
        title | {"x": across[0], "xanchor": "left", "y": down[1], "yanchor": "bottom", "yshift": 2}
    )
    return used + max(numbers)
