"""The page of `refine explore`: errors, R_χ and uncertainties over the generations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refine.report.document import document
from refine.report.figures import FINAL, SERIES, Figure, Spec, plot_axis, plot_layout, plot_line
from refine.report.tables import Column, Table
from refine.results.explored import Estimate, Explored, Generation


def render(explored: Explored) -> str:
    """The whole page as text."""
    figures = _figures(explored.generations)
    head, *rows = explored.rows()
    return document(
        "explored.html",
        explored.title,
        figures,
        message=explored.message,
        generations=Table([Column(name, "n" if k else "", names_rows=k == 0) for k, name in enumerate(head)], rows),
        trust=_trust(explored.generations),
        done=_done(explored.generations),
        figures=figures,
        settings=[
            (name, {key: _text(value) for key, value in table.items()})
            for name, table in explored.settings.items()
            if isinstance(table, dict)
        ],
        provenance={name: str(value) for name, value in explored.provenance.get("versions", {}).items()},
    )


def _trust(generations: Sequence[Generation]) -> Table:
    names = ("alpha (meV/atom)", "rms of error/σ", "within 1 σ", "within 2 σ", "frames")
    head = [Column("generation", names_rows=True), *(Column(name, "n") for name in names)]
    rows = []
    for one in generations:
        if one.trust is not None:
            trust = one.trust
            values = (trust.alpha_meV_per_atom, trust.rms, trust.within_1_sigma, trust.within_2_sigma, trust.frames)
            rows.append([str(one.number), *(f"{value:.3g}" for value in values)])
    return Table(head, rows)


def _done(generations: Sequence[Generation]) -> Table:
    head = [
        Column("generation", names_rows=True),
        Column("sampled with"),
        Column("chosen"),
        Column("left out", "n"),
        Column("what failed"),
    ]
    rows = [[str(g.number), g.sampled, g.chosen or "–", str(g.left_out), g.failed or "–"] for g in generations]
    return Table(head, rows)


def _figures(generations: Sequence[Generation]) -> list[Figure]:
    learnt = [one for one in generations if one.number]
    drawn = []
    for key, name, label in (
        ("forces", "Forces", "forces (meV/Å)"),
        ("energy", "Energies", "energy (meV/atom)"),
    ):
        found = [one.forces_meV_per_angstrom if key == "forces" else one.energy_meV_per_atom for one in learnt]
        layout = plot_layout(xaxis=plot_axis("labels"), yaxis=plot_axis(label, type="log"), hovermode="closest")
        trace = _points([one.labels for one in learnt], found, label, FINAL)
        caption = "Root mean square on all frames kept apart so far, with one standard error."
        drawn.append(Figure(f"explored-{key}", name, caption, 300, {"data": [trace], "layout": layout}))
    names = dict.fromkeys(curve.name for one in generations for curve in one.curves)
    traces = []
    for k, name in enumerate(names):
        scores = [next((c for c in one.curves if c.name == name), None) for one in generations]
        values = [None if c is None else Estimate(c.r_chi, c.r_chi_stderr) for c in scores]
        traces.append(_points([one.number for one in generations], values, name, SERIES[k % len(SERIES)]))
    if traces:
        layout = plot_layout(xaxis=plot_axis("generation"), yaxis=plot_axis("R_χ"), hovermode="closest")
        caption = "Of each measured curve; 0 is the start."
        drawn.append(Figure("explored-r-chi", "R_χ", caption, 300, {"data": traces, "layout": layout}))
    return drawn


def _points(x: Sequence[int], values: Sequence[Estimate | None], name: str, colour: str) -> Spec:
    y = np.array([np.nan if value is None else value.value for value in values])
    error = [0.0 if value is None or value.stderr is None else value.stderr for value in values]
    bars = {"type": "data", "array": error, "thickness": 1, "width": 3, "color": colour}
    line = plot_line(np.array(x, float), y, name, colour)
    return line | {"mode": "lines+markers", "error_y": bars, "marker": {"color": colour, "size": 6}}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
