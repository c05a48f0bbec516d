"""The page of a campaign: maps of misfits over the grid, φ(r) over temperature, trends with errors, and what failed."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from refine.campaign.points import value_text
from refine.campaign.rows import UNKNOWN, Row, Value, table_of
from refine.campaign.standing import Standing
from refine.report import words
from refine.report.document import document
from refine.report.figures import FINAL, INITIAL, Figure, Spec, plot_axis, plot_layout, plot_line, slug
from refine.report.tables import Column, Table

MOST_FIGURES = 24
"""Of a kind; a page with more says so."""

MOST_LINES = 60
"""Of φ(r) in one figure: points evenly over the temperatures."""

MOST_ROWS = 500
"""Of the table on the page; table.csv has them all."""

COLD, HOT = (28, 110, 164), (217, 72, 15)
"""Colours of the lowest and the highest temperature."""


def render(standing: Standing, rows: Sequence[Row]) -> str:
    """The whole page as text."""
    maps, phi, trends = (list(kind(standing, rows)) for kind in (_maps, _corrections, _trends))
    groups = [("Misfit over the grid", maps), ("The correction over temperature", phi), ("Trends", trends)]
    shown = [
        (title, figures[:MOST_FIGURES], max(0, len(figures) - MOST_FIGURES)) for title, figures in groups if figures
    ]
    failures = [[point.name, task, line] for point, task, line in standing.failures()]
    failures += [[row.standing.name, "table", row.unread] for row in rows if row.unread]
    header, cells = table_of(rows)
    listed = [[_cell(value) for value in row] for row in cells[:MOST_ROWS]]
    return document(
        "campaign.html",
        standing.title,
        [figure for _, figures, _ in shown for figure in figures],
        message=standing.words(),
        about=_about(standing),
        groups=shown,
        failures=Table([Column("point", names_rows=True), Column("task"), Column("why")], failures),
        points=Table([Column(name, names_rows=k == 0) for k, name in enumerate(header)], listed),
        left_out=max(0, len(cells) - MOST_ROWS),
    )


def _cell(value: str | float | None) -> str:
    return "–" if value is None else value if isinstance(value, str) else words.number(value, 4)


def _about(standing: Standing) -> dict[str, str]:
    about = {"study": standing.study, "task": ", ".join(standing.tasks), "points": str(len(standing.points))}
    for key in standing.labels:
        about[key] = ", ".join(dict.fromkeys(value_text(point.values.get(key)) for point in standing.points))[:2000]
    steps = [step for point in standing.points for step in point.steps]
    about["seconds of all tasks"] = f"{sum(step.seconds for step in steps):.0f}"
    about["starts of tasks"] = f"{sum(step.starts for step in steps)}, of {len(steps)} tasks"
    return about


def _axes(standing: Standing) -> list[str]:
    """Keys that have more than one value."""
    return [key for key in standing.labels if len({value_text(p.values.get(key)) for p in standing.points}) > 1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _misfits(rows: Sequence[Row]) -> dict[str, str]:
    """The unit of each misfit."""
    return {name: one.unit for row in rows for name, one in row.misfits.items()}


def _maps(standing: Standing, rows: Sequence[Row]) -> Iterator[Figure]:
    """Each misfit over the first two axes, as squares of a colour."""
    axes = _axes(standing)
    if len(axes) < 2:
        return
    one, two, rest = axes[0], axes[1], [standing.labels[key] for key in axes[2:]]
    across, up = ([*dict.fromkeys(value_text(p.values[key]) for p in standing.points)] for key in (one, two))
    for k, (name, unit) in enumerate(_misfits(rows).items()):
        cells: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            place = (value_text(row.standing.values[one]), value_text(row.standing.values[two]))
            value = row.misfits[name].after[0] if name in row.misfits else None
            if value is not None and np.isfinite(value):
                cells.setdefault(place, []).append(value)
        if not cells:
            continue
        means = [float(np.mean(values)) for values in cells.values()]
        marker = {"symbol": "square", "size": 34, "color": means, "colorscale": "Viridis", "reversescale": True}
        trace: Spec = {
            "type": "scatter",
            "mode": "markers+text",
            "x": [html.escape(place[0], quote=False) for place in cells],
            "y": [html.escape(place[1], quote=False) for place in cells],
            "text": [words.number(value, 2) for value in means],
            "textposition": "bottom center",
            "marker": marker | {"showscale": True, "colorbar": {"title": {"text": _markup(unit)}}},
            "showlegend": False,
        }
        order = {"type": "category", "categoryorder": "array"}
        escaped = [[html.escape(name, quote=False) for name in names] for names in (across, up)]
        layout = plot_layout(
            xaxis=plot_axis(standing.labels[one], **order, categoryarray=escaped[0], range=[-0.6, len(across) - 0.4]),
            yaxis=plot_axis(standing.labels[two], **order, categoryarray=escaped[1], range=[-0.8, len(up) - 0.4]),
            hovermode="closest",
        )
        caption = "At the end of the task; an empty place is a point that is not done."
        caption += f" Mean over {', '.join(rest)}." if rest else ""
        yield Figure(slug(f"map-{k}", name), name, caption, 140 + 70 * min(len(up), 8), _spec([trace], layout))


def _markup(unit: str) -> str:
    return "R<sub>χ</sub>" if unit == "R_χ" else unit


def _spec(traces: list[Spec], layout: Spec) -> Spec:
    return {"data": traces, "layout": layout}


def _corrections(standing: Standing, rows: Sequence[Row]) -> Iterator[Figure]:
    """φ(r) of each pair, a line a point, from cold to hot."""
    found: dict[str, list[tuple[float, str, Any]]] = {}
    for row in rows:
        for pair in row.summary.correction if row.summary else ():
            temperature = pair.temperature or (row.summary.states[0].temperature if row.summary else 0.0)
            found.setdefault(pair.name, []).append((temperature, row.standing.name, pair))
    for k, (name, lines) in enumerate(found.items()):
        if len({temperature for temperature, _, _ in lines}) < 2:
            continue
        lines.sort(key=lambda line: line[:2])
        drawn = [
            lines[j] for j in np.unique(np.linspace(0, len(lines) - 1, min(len(lines), MOST_LINES)).round().astype(int))
        ]
        low, high = drawn[0][0], drawn[-1][0]
        traces, named = [], set()
        for temperature, point, pair in drawn:
            values = 1000.0 * np.array([np.nan if v is None else v for v in pair.phi], float)
            inside = _sampled(pair)
            traces.append(
                plot_line(
                    np.array(pair.r)[inside],
                    values[inside],
                    f"{temperature:g} K",
                    _colour((temperature - low) / (high - low)),
                    width=1.5,
                    legendgroup=f"{temperature:g}",
                    showlegend=temperature not in named,
                    hovertext=html.escape(point, quote=False),
                )
            )
            named.add(temperature)
        layout = plot_layout(xaxis=plot_axis("r (Å)"), yaxis=plot_axis("φ(r) (meV)"), hovermode="closest")
        caption = "A line a point, where pairs were sampled, from cold (blue) to hot (red)."
        caption += f" {len(drawn)} of {len(lines)} points." if len(drawn) < len(lines) else ""
        yield Figure(slug(f"phi-{k}", name), name, caption, 360, _spec(traces, layout))


def _sampled(pair: Any) -> Any:
    r = np.array(pair.r)
    low, high = pair.sampled_r or (r[0], r[-1])
    return (r >= low) & (r <= high)


def _colour(share: float) -> str:
    mixed = (round(a + share * (b - a)) for a, b in zip(COLD, HOT, strict=True))
    return f"rgb({','.join(map(str, mixed))})"


def _trends(standing: Standing, rows: Sequence[Row]) -> Iterator[Figure]:
    """Misfits before and after, measured numbers and pressures over each axis of numbers, with standard errors."""
    for key in _axes(standing):
        points = [row for row in rows if (row.summary or row.misfits) and _is_number(row.standing.values.get(key))]
        if len({row.standing.values[key] for row in points}) < 2:
            continue
        label = standing.labels[key]
        for what, unit, before, after in _quantities(points):
            kinds = ((before, "initial", INITIAL), (after, "final", FINAL))
            traces = [_points(points, key, *kind) for kind in kinds if any(value is not None for value, _ in kind[0])]
            layout = plot_layout(xaxis=plot_axis(label), yaxis=plot_axis(unit), hovermode="closest")
            yield Figure(
                slug("trend", label, what), f"{what} over {label}", "One standard error.", 300, _spec(traces, layout)
            )


Values = list[Value]


def _quantities(rows: Sequence[Row]) -> Iterator[tuple[str, str, Values, Values]]:
    """Name, unit, and value and error before and after, of each row."""
    for name, unit in _misfits(rows).items():
        found = [row.misfits.get(name) for row in rows]
        yield (
            name,
            unit,
            [one.before if one else UNKNOWN for one in found],
            [one.after if one else UNKNOWN for one in found],
        )
    kept = [row.summary for row in rows]
    numbers = {number.name: number.unit for one in kept if one for number in one.numbers}
    for name, unit in numbers.items():
        listed = [
            next((number for number in one.numbers if number.name == name), None) if one else None for one in kept
        ]
        yield (
            name,
            unit,
            [(number.initial, number.initial_stderr) if number else UNKNOWN for number in listed],
            [(number.final, number.final_stderr) if number else UNKNOWN for number in listed],
        )
    for name in dict.fromkeys(state.name for one in kept if one for state in one.states):
        states = [next((state for state in one.states if state.name == name), None) if one else None for one in kept]
        yield (
            f"{name}: pressure",
            "GPa",
            [(s.pressure_initial_GPa, s.pressure_initial_GPa_stderr) if s else UNKNOWN for s in states],
            [(s.pressure_GPa, s.pressure_GPa_stderr) if s else UNKNOWN for s in states],
        )


def _points(rows: Sequence[Row], key: str, values: Values, name: str, colour: str) -> Spec:
    x = np.array([row.standing.values[key] for row in rows], float)
    y, error = (np.array([np.nan if pair[k] is None else pair[k] for pair in values], float) for k in (0, 1))
    bars = {"type": "data", "array": np.nan_to_num(error).tolist(), "thickness": 1, "width": 3, "color": colour}
    names = [html.escape(row.standing.name, quote=False) for row in rows]
    marker = {"mode": "markers", "marker": {"color": colour, "size": 6}, "text": names}
    return plot_line(x, y, name, colour) | marker | {"error_y": bars}
