"""The page of `refine compare`: a ranking, D(r) of each model against the measurement, and what else was found."""

from __future__ import annotations

import html

import numpy as np

from refine.report.document import document
from refine.report.figures import MEASURED, SERIES, Figure, plot_axis, plot_layout, plot_line, slug
from refine.report.tables import Column, Table
from refine.results.ranking import Ranking, Row, density_words, value_words

OFFSET = 1.1
"""Of successive models, in units of the range of the measured curve."""

Titled = tuple[str, Table]
"""A table and its heading."""


def render(ranking: Ranking) -> str:
    """The whole page as text."""
    names = (*ranking.data, *ranking.predicted)
    figures = [_figure(k, n, ranking) for k, n in enumerate(names) if any(n in row.curves for row in ranking.rows)]
    return document(
        "compare.html",
        ranking.title,
        figures,
        measured=bool(ranking.data),
        scores=_scores(ranking),
        figures=figures,
        tables=[
            _density(ranking),
            _numbers(ranking),
            _peaks(ranking),
            _coordination(ranking),
            _diffusion(ranking),
            _viscosity(ranking),
        ],
        notes=[f"{row.label}: {note}" for row in ranking.rows for note in row.notes],
    )


def _figure(k: int, name: str, ranking: Ranking) -> Figure:
    """The models one above the other, the best at the top, each on the measured curve where there is one."""
    rows = [row for row in ranking.rows if name in row.curves]
    first = rows[0].curves[name]
    step = OFFSET * float(np.ptp(first.model if first.measured is None else first.measured))
    traces = []
    for i, row in enumerate(rows):
        curve, shift = row.curves[name], (len(rows) - 1 - i) * step
        label = html.escape(row.label)
        if curve.measured is not None:
            measured = plot_line(curve.r, curve.measured + shift, "measured", MEASURED, width=1.2)
            dots = {"mode": "markers", "marker": {"color": MEASURED, "size": 3.5}, "legendgroup": "measured"}
            traces.append(measured | dots | {"showlegend": i == 0})
            label += f", R<sub>χ</sub> = {value_words(*row.r_chi[name])}"
        traces.append(plot_line(curve.r, curve.model + shift, label, SERIES[i % len(SERIES)]))
    layout = plot_layout(
        xaxis=plot_axis("r (Å)"), yaxis=plot_axis("D(r), offset (Å⁻²)"), margin={"l": 60, "r": 12, "t": 60, "b": 46}
    )
    caption = f"Curves are shifted by {step:.2g} Å⁻² each."
    if name in ranking.predicted:
        title, caption = f"{name}: D(r), prediction", "Prediction: there is no measured curve. " + caption
    else:
        title, caption = f"{name}: D(r)", "Dots: measured, repeated under each model. " + caption
    height = 260 + 140 * len(rows)
    return Figure(slug(f"compare-{k}", name), title, caption, height, {"data": traces, "layout": layout})


def _table(title: str, labels: list[str], rows: list[list[str]]) -> Titled:
    return title, Table([Column(label) for label in labels], rows)


def _scores(ranking: Ranking) -> list[Titled]:
    """One row a model: its theory, R_chi of the curves, its densities in the study's, and why it failed."""
    theories = any(row.theory for row in ranking.rows)
    states = list(dict.fromkeys(state for row in ranking.rows for state in row.density))
    if not (ranking.data or theories or states):
        failed = [[row.label, str(row.failure)] for row in ranking.failed]
        return [_table("Models that failed", ["model", "why"], failed)]

    def texts(row: Row) -> list[str]:
        theory = [row.theory or "–"] if theories else []
        if row.failure is not None:
            return [row.label, *theory, *["–"] * (len(ranking.data) + len(states)), f"failed: {row.failure}"]
        scores = [value_words(*row.r_chi[name]) for name in ranking.data]
        ratios = [density_words(row.density[state])[1] if state in row.density else "–" for state in states]
        return [row.label, *theory, *scores, *ratios, ""]

    densities = [f"density of {state} / study's" for state in states]
    head = ["model", *(["theory"] if theories else []), *ranking.data, *densities, ""]
    scales = [[row.label, name, value_words(*scale)] for row in ranking.rows for name, scale in row.scales.items()]
    return [
        _table("R_χ" if ranking.data else "Models", head, [texts(row) for row in ranking.rows]),
        _table("Free scales, which R_χ is taken with", ["model", "data", "scale of the model's signal"], scales),
    ]


def _density(ranking: Ranking) -> Titled:
    head = ["model", "state", "pressure (GPa)", "atoms/Å³", "g/cm³", "of the study's"]
    rows = [
        [
            row.label,
            state,
            f"{d['pressure_GPa']:g}",
            *(
                value_words(d[key], d[f"{key}_stderr"])
                for key in ("number_density_atoms_per_A3", "mass_density_g_per_cm3", "ratio_to_study")
            ),
        ]
        for row in ranking.rows
        for state, d in row.density.items()
    ]
    return _table("Density at constant pressure; all else is at the study's density", head, rows)


def _numbers(ranking: Ranking) -> Titled:
    head = ["model", "data", "state", "quantity", "model's", "measured", "off by (σ)"]
    rows = [
        [
            row.label,
            name,
            n["state"],
            f"{n['quantity']} ({n['unit']})" if n["unit"] else n["quantity"],
            value_words(n["value"], n["stderr"]),
            value_words(n["measured"], n["sigma"]),
            f"{n['sigmas']:+.1f}",
        ]
        for row in ranking.rows
        for name, n in row.numbers.items()
    ]
    return _table("Measured numbers", head, rows)


def _peaks(ranking: Ranking) -> Titled:
    head = ["model", "data", "position (Å)", "measured", "height", "measured"]
    rows = [
        [
            row.label,
            name,
            value_words(p.position, p.position_stderr),
            _number(p.measured_position),
            value_words(p.height, p.height_stderr),
            _number(p.measured_height),
        ]
        for row in ranking.rows
        for name, p in row.peaks.items()
    ]
    return _table("First peak of T(r)/(4πρ₀r)", head, rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _coordination(ranking: Ranking) -> Titled:
    rows = []
    for row in ranking.rows:
        for state, numbers in row.coordination.items():
            for n in numbers:
                atoms, number = f"{n['other']} around {n['centre']}", value_words(n["number"], n["stderr"])
                rows.append([row.label, state, atoms, f"{n['radius']:.2f}", number])
    return _table("Coordination numbers", ["model", "state", "atoms", "within (Å)", "number"], rows)


def _diffusion(ranking: Ranking) -> Titled:
    rows = [
        [
            row.label,
            state,
            d["species"],
            value_words(d["value"], d["stderr"]),
            value_words(d["uncorrected"], d["uncorrected_stderr"]),
            "{:.3g} to {:.3g}".format(*d["lags_ps"]),
            d["finite_size"],
        ]
        for row in ranking.rows
        for state, numbers in row.diffusion.items()
        for d in numbers
    ]
    head = ["model", "state", "species", "D (10⁻⁹ m²/s)", "in the box", "lags (ps)", "finite box"]
    return _table("Diffusion coefficients, without a thermostat", head, rows)


def _viscosity(ranking: Ranking) -> Titled:
    rows = [
        [row.label, state, value_words(v["value"], v["stderr"]), f"{v['window']:.3g}"]
        for row in ranking.rows
        for state, v in row.viscosity.items()
    ]
    return _table("Shear viscosity (Green-Kubo)", ["model", "state", "η (mPa s)", "integral to (ps)"], rows)
