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
from refine.report.grid import DASHES, SYMBOLS, Axis, axes_of, series_of, series_word
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _misfits(rows: Sequence[Row]) -> dict[str, str]:
    """The unit of each misfit."""
    return {name: one.unit for row in rows for name, one in row.misfits.items()}


def _maps(standing: Standing, rows: Sequence[Row]) -> Iterator[Figure]:
    """Each misfit over the first two axes, as squares of a colour; of a grid of one axis, in one row."""
    axes = axes_of(standing)
    if not axes:
        return
    one, two = axes[0], axes[1] if len(axes) > 1 else Axis((), "", dict.fromkeys(axes[0].texts, ""))
    across, up = ([*dict.fromkeys(axis.texts.values())] for axis in (one, two))
    for k, (name, unit) in enumerate(_misfits(rows).items()):
        cells: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            place = (one.texts[row.standing.name], two.texts[row.standing.name])
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
            xaxis=plot_axis(one.label, **order, categoryarray=escaped[0], range=[-0.6, len(across) - 0.4]),
            yaxis=plot_axis(two.label, **order, categoryarray=escaped[1], range=[-0.8, len(up) - 0.4]),
            hovermode="closest",
        )
        caption = "At the end of the task; an empty place is a point that is not done."
        caption += f" Mean over {', '.join(axis.label for axis in axes[2:])}." if axes[2:] else ""
        yield Figure(slug(f"map-{k}", name), name, caption, 140 + 70 * min(len(up), 8), _spec([trace], layout))


def _markup(unit: str) -> str:
    return "R<sub>χ</sub>" if unit == "R_χ" else unit


def _spec(traces: list[Spec], layout: Spec) -> Spec:
    return {"data": traces, "layout": layout}


def _corrections(standing: Standing, rows: Sequence[Row]) -> Iterator[Figure]:
    """φ(r) of each pair, a line a point, from cold to hot."""
    found: dict[frozenset[str], list[tuple[float, str, Any]]] = {}
    for row in rows:
        for pair in row.summary.correction if row.summary else ():
            temperature = pair.temperature or (row.summary.states[0].temperature if row.summary else 0.0)
            # compositions name their elements in orders of their own
            found.setdefault(frozenset(pair.pair), []).append((temperature, row.standing.name, pair))
    others = [axis for axis in axes_of(standing) if not any(key.endswith(".temperature") for key in axis.keys)]
    for k, lines in enumerate(found.values()):
        name = lines[0][2].name
        if len({temperature for temperature, _, _ in lines}) < 2:
            continue
        lines.sort(key=lambda line: line[0])
        drawn = [
            lines[j] for j in np.unique(np.linspace(0, len(lines) - 1, min(len(lines), MOST_LINES)).round().astype(int))
        ]
        low, high = drawn[0][0], drawn[-1][0]
        series = series_of(others, [point for _, point, _ in drawn])
        traces, named = [], set()
        for temperature, point, pair in drawn:
            word = series_word(others, point) if len(series) > 1 else ""
            called = f"{temperature:g} K" + (f", {word}" if word else "")
            values = 1000.0 * np.array([np.nan if v is None else v for v in pair.phi], float)
            inside = _sampled(pair)
            traces.append(
                plot_line(
                    np.array(pair.r)[inside],
                    values[inside],
                    html.escape(called, quote=False),
                    _colour((temperature - low) / (high - low)),
                    dash=DASHES[series.get(word, 0)],
                    width=1.5,
                    legendgroup=html.escape(called, quote=False),
                    showlegend=called not in named,
                    hovertext=html.escape(point, quote=False),
                )
            )
            named.add(called)
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
    axes = axes_of(standing)
    for own, key in ((axis, key) for axis in axes for key in axis.keys):
        points = [row for row in rows if (row.summary or row.misfits) and _is_number(row.standing.values.get(key))]
        if len({row.standing.values[key] for row in points}) < 2:
            continue
        label, others = standing.labels[key], [axis for axis in axes if axis is not own]
        for what, unit, before, after in _quantities(points):
            kinds = ((before, "initial", INITIAL), (after, "final", FINAL))
            drawn = [kind for kind in kinds if any(value is not None for value, _ in kind[0])]
            traces = [trace for kind in drawn for trace in _points(points, key, others, *kind)]
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


def _points(
    rows: Sequence[Row], key: str, others: Sequence[Axis], values: Values, name: str, colour: str
) -> Iterator[Spec]:
    """A symbol for each row, another one for each series of the other axes."""
    names = [row.standing.name for row in rows]
    series = series_of(others, names)
    for word, k in series.items():
        chosen = [j for j, one in enumerate(names) if len(series) == 1 or series_word(others, one) == word]
        x = np.array([rows[j].standing.values[key] for j in chosen], float)
        y, error = (np.array([values[j][m] for j in chosen], float) for m in (0, 1))  # None is NaN
        bars = {"type": "data", "array": np.nan_to_num(error).tolist(), "thickness": 1, "width": 3, "color": colour}
        marker = {"mode": "markers", "marker": {"color": colour, "size": 6, "symbol": SYMBOLS[k]}}
        called = html.escape(name + (f", {word}" if len(series) > 1 else ""), quote=False)
        hover = {"text": [html.escape(names[j], quote=False) for j in chosen]}
        yield plot_line(x, y, called, colour) | marker | hover | {"error_y": bars}
