"""The figures of the report as plotly specifications (plain dictionaries; nothing is drawn here).

Colours mean the same everywhere: black is measured, dashed grey-blue is the initial potential, solid red the final one.
Species and data names come from files and are escaped, since plotly reads a subset of HTML in its texts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.report import words
from refine.results.reader import Array, Comparison, PairDistribution, PredictedCurve, Results
from refine.results.schema import Correction, DataSet, Predicted

Spec = dict[str, Any]
Mask = NDArray[np.bool_]

MEASURED = "#1b1f24"
INITIAL = "#6f8fb3"
FINAL = "#d9480f"
_BAND_68, _BAND_95 = "rgba(217,72,15,0.28)", "rgba(217,72,15,0.13)"
_NOISE_68, _NOISE_95 = "rgba(27,31,36,0.14)", "rgba(27,31,36,0.07)"
_GRID, _LINE, _UNSAMPLED = "#eceff3", "#8a949e", "rgba(120,130,140,0.12)"
SERIES = ("#1c6ea4", "#b5651d", "#2b8a3e", "#8e44ad", "#c2255c", "#0b7285", "#7c6f00", "#5c5f66")

# Above this many points a measured curve is drawn as a line: thousands of markers hide each other and slow the page.
_MAX_MARKERS = 1200


@dataclass(frozen=True)
class Figure:
    """An identifier for the page, title and caption in plain text, height in px, and the plotly specification."""

    id: str
    title: str
    caption: str
    height: int
    spec: Spec


def _numbers(values: Array) -> list[float | None]:
    """Six significant digits are more than a screen shows and half the bytes; NaN becomes null, a gap."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values]


def plot_axis(title: str, **extra: Any) -> Spec:
    """An axis of plotly with its title (plain text, escaped here); `extra` changes or adds keys.

    >>> plot_axis("r (Å)", range=[0, 10])["range"]
    [0, 10]
    """
    return {
        "title": {"text": html.escape(title, quote=False), "standoff": 8},
        "gridcolor": _GRID,
        "linecolor": _LINE,
        "tickcolor": _LINE,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "zeroline": False,
        "automargin": True,
        **extra,
    }


def plot_layout(**extra: Any) -> Spec:
    """A layout of plotly without axes; `extra` changes or adds keys."""
    return {
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", "size": 13},
        "margin": {"l": 60, "r": 12, "t": 34, "b": 46},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "hovermode": "x",
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        **extra,
    }


def plot_line(x: Array, y: Array, name: str, colour: str, dash: str = "solid", width: float = 2, **extra: Any) -> Spec:
    """A trace of plotly: a line through x (n,) and y (n,), with a gap where y is NaN; width in px.

    >>> line = plot_line(np.array([1.0, 2.0]), np.array([0.5, np.nan]), "final", FINAL)
    >>> line["y"], line["line"]["dash"]
    ([0.5, None], 'solid')
    """
    line = {"color": colour, "dash": dash, "width": width}
    return {"type": "scatter", "mode": "lines", "x": _numbers(x), "y": _numbers(y), "name": name, "line": line, **extra}


def _initial(x: Array, y: Array, **extra: Any) -> Spec:
    return plot_line(x, y, "initial", INITIAL, dash="dash", legendgroup="initial", **extra)


def _final(x: Array, y: Array, **extra: Any) -> Spec:
    return plot_line(x, y, "final", FINAL, legendgroup="final", **extra)


def _band(x: Array, low: Array, high: Array, name: str, colour: str, **extra: Any) -> Spec:
    """A filled band; points whose width is not known are left out."""
    known = np.isfinite(low) & np.isfinite(high)
    outline = {"x": _numbers(np.r_[x[known], x[known][::-1]]), "y": _numbers(np.r_[high[known], low[known][::-1]])}
    shape = {"type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": colour, "line": {"width": 0}}
    return {**shape, **outline, "name": name, "hoverinfo": "skip", **extra}


def slug(prefix: str, *names: str) -> str:
    """An identifier that is also a file name for "download plot".

    >>> slug("g", "85 K", "Si-O")
    'g-85-K-Si-O'
    """
    return "-".join([prefix, *(re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") for name in names)])


def comparisons(results: Results) -> list[Figure]:
    """One figure per data set: the measured curve, the model before and after, and below it their difference."""
    return [_comparison(k, data, results.curves[data.name], results) for k, data in enumerate(results.summary.data)]


def _comparison(k: int, data: DataSet, curve: Comparison, results: Results) -> Figure:
    boxed, noisy = _differs(curve.target, curve.measured), bool(np.isfinite(curve.sigma).any())
    traces = [_measured(curve)]
    if boxed:
        traces.append(plot_line(curve.x, curve.target, "measured, as in the box", MEASURED, dash="dot", width=1))
    if curve.background is not None:
        traces.append(plot_line(curve.x, curve.background, "background, in all", MEASURED, dash="dashdot", width=1))
    traces += [_initial(curve.x, curve.initial), _final(curve.x, curve.final), *_differences(curve, noisy)]
    difference = {"zeroline": True, "zerolinecolor": _LINE, "nticks": 5, "range": _difference_range(curve)}
    layout = plot_layout(
        xaxis=plot_axis(words.abscissa(data), anchor="y2"),
        yaxis=plot_axis(words.ordinate(data), domain=[0.36, 1]),
        yaxis2=plot_axis("difference", domain=[0, 0.29], **difference),
    )
    initial, final = results.summary.initial, results.summary.final
    caption = (
        f"{words.role(data, results).capitalize()}, state {data.state}. "
        f"R_χ {words.misfit(initial.r_chi.get(data.name))} → "
        f"{words.misfit(final.r_chi.get(data.name), final.r_chi_stderr.get(data.name))}. "
        f"Lower panel: model − measured{' as the box would show it (dotted)' if boxed else ''}, "
        f"on the scale of the final model{f'; grey: one and two σ ({data.sigma_source})' if noisy else ''}"
        f"{'; red: 95 % band of the model' if np.isfinite(curve.final_stderr).any() else ''}."
    )
    name = slug(f"curve-{k}", data.name)
    return Figure(name, f"{data.name}: {words.symbol(data)}", caption, 480, {"data": traces, "layout": layout})


def predictions(results: Results) -> list[Figure]:
    """One figure per curve that nobody measured: before and after."""
    listed = results.summary.predictions
    return [_prediction(k, one, results.predicted[one.name]) for k, one in enumerate(listed)]


def _prediction(k: int, one: Predicted, curve: PredictedCurve) -> Figure:
    traces = [_initial(curve.x, curve.initial), _final(curve.x, curve.final)]
    banded = bool(np.isfinite(curve.final_stderr).any())
    if banded:
        width = 1.96 * curve.final_stderr
        traces.insert(0, _band(curve.x, curve.final - width, curve.final + width, "95 %", _BAND_95))
    seen = "with all Q" if one.q_range is None else f"seen through a Q range of {words.span(one.q_range, '1/Å')}"
    caption = (
        f"Prediction: there is no measured curve. State {one.state}, {seen}, "
        f"window {one.window}{'; red: 95 % band of the model' if banded else ''}."
    )
    layout = plot_layout(xaxis=plot_axis(words.abscissa(one)), yaxis=plot_axis(words.ordinate(one)))
    title = f"{one.name}: {words.symbol(one)}, prediction"
    return Figure(slug(f"predicted-{k}", one.name), title, caption, 360, {"data": traces, "layout": layout})


def _measured(curve: Comparison) -> Spec:
    line = plot_line(curve.x, curve.measured, "measured", MEASURED, width=1.4)
    if len(curve.x) > _MAX_MARKERS:
        return line
    return line | {"mode": "markers", "marker": {"color": MEASURED, "size": 4}}


def _differences(curve: Comparison, noisy: bool) -> list[Spec]:
    """The lower panel: bands of the measured noise, and model minus measurement before and after."""
    x, sigma, below = curve.x, curve.sigma, {"yaxis": "y2", "showlegend": False}
    bands = [
        _band(x, -2 * sigma, 2 * sigma, "±2σ", _NOISE_95, **below),
        _band(x, -sigma, sigma, "±σ", _NOISE_68, **below),
    ]
    final = curve.final - curve.target
    known = bool(np.isfinite(curve.final_stderr).any())
    model = _band(x, final - 1.96 * curve.final_stderr, final + 1.96 * curve.final_stderr, "95 %", _BAND_95, **below)
    return [
        *(bands if noisy else []),
        *([model] if known else []),
        _initial(x, curve.initial - curve.target, width=1, **below),
        _final(x, final, width=1.5, **below),
    ]


def _difference_range(curve: Comparison) -> list[float]:
    """Symmetric about zero and wide enough for the final difference and two σ; the initial one may leave the panel."""
    largest = 1.15 * _largest(np.r_[curve.final - curve.target, 2 * curve.sigma]) or 1.0
    return [-largest, largest]


def _differs(a: Array, b: Array) -> bool:
    """Whether two curves differ visibly: by more than half a percent of the height of the figure."""
    return bool(_largest(a - b) > 0.005 * np.ptp(b[np.isfinite(b)]))


def pair_distributions(k: int, state: str, curves: Sequence[PairDistribution]) -> list[Figure]:
    """One small figure per species pair of the k-th state: g(r) before and after."""
    return [_pair_distribution(slug(f"g-{k}-{j}", state, curve.pair), curve) for j, curve in enumerate(curves)]


def _pair_distribution(name: str, curve: PairDistribution) -> Figure:
    layout = plot_layout(xaxis=plot_axis("r (Å)"), yaxis=plot_axis("g(r)", rangemode="tozero"), showlegend=False)
    traces = [_initial(curve.r, curve.initial), _final(curve.r, curve.final)]
    if np.isfinite(curve.final_stderr).any():
        width = 1.96 * curve.final_stderr
        # g(r) is not negative. The axis is that of the curves: a band of ±50, where one of the two potentials sampled
        # next to nothing, would flatten them.
        low, high = np.maximum(curve.final - width, 0.0), curve.final + width
        traces.insert(0, _band(curve.r, low, high, "95 %", _BAND_95))
        top = float(np.nanmax([curve.initial, curve.final]))
        if np.isfinite(top) and top > 0.0:
            layout["yaxis"] = layout["yaxis"] | {"range": [0.0, 1.1 * top], "autorange": False}
    return Figure(name, curve.pair, "", 270, {"data": traces, "layout": _small(layout)})


def _small(layout: Spec) -> Spec:
    return layout | {"margin": {"l": 56, "r": 10, "t": 10, "b": 44}}


def corrections(results: Results) -> list[Figure]:
    """φ(r) of every species pair with its 68 and 95 % band."""
    scale, unit = _energy_unit(results.summary.correction)
    return [_phi(k, pair, scale, unit, _frequent(pair, results)) for k, pair in enumerate(results.summary.correction)]


def potentials(results: Results) -> list[Figure]:
    """The base potential and base + φ of every pair whose base is a pair potential."""
    scale, unit = _energy_unit(results.summary.correction)
    return [
        _potential(k, pair, scale, unit) for k, pair in enumerate(results.summary.correction) if pair.base is not None
    ]


def _array(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _sampled(pair: Correction) -> tuple[Mask, tuple[float, float]]:
    """Which radii were sampled (mask), and the interval."""
    r = np.array(pair.r)
    low, high = pair.sampled_r or (r[0], r[-1])
    return (r >= low) & (r <= high), (low, high)


def _frequent(pair: Correction, results: Results) -> Mask:
    """Sampled radii (mask) from where g(r) first exceeds 0.2 in some state; all sampled ones where no g(r) is known."""
    starts = [
        curve.r[np.nan_to_num(curve.final) > 0.2][:1]
        for curves in results.g_r.values()
        for curve in curves
        if curve.pair == pair.name
    ]
    inside, _ = _sampled(pair)
    frequent = inside & (np.array(pair.r) >= min(np.concatenate([*starts, []]), default=-np.inf))
    return frequent if frequent.any() else inside


def _largest(values: Array) -> float:
    """The largest finite magnitude, 0 where there is none."""
    return float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))


def _energy_unit(pairs: Sequence[Correction]) -> tuple[float, str]:
    """meV, or eV where the sampled part of a correction exceeds one eV."""
    largest = max((_largest(_array(pair.phi)[_sampled(pair)[0]]) for pair in pairs), default=0.0)
    return (1.0, "eV") if largest > 1 else (1000.0, "meV")


def _phi(k: int, pair: Correction, scale: float, unit: str, frequent: Mask) -> Figure:
    r, phi = np.array(pair.r), scale * _array(pair.phi)
    stderr = scale * _array(pair.stderr) if pair.stderr is not None else np.full(len(r), np.nan)
    _, limits = _sampled(pair)
    traces = []
    if np.isfinite(stderr).any():
        # Two-sided normal quantiles: 68.27 % within one, 95 % within 1.96 standard errors.
        traces.append(_band(r, phi - 1.96 * stderr, phi + 1.96 * stderr, "95 %", _BAND_95))
        traces.append(_band(r, phi - stderr, phi + stderr, "68 %", _BAND_68))
    traces.append(_final(r, phi))
    width = np.nan_to_num(1.96 * stderr)
    shown = np.r_[(phi - width)[frequent], (phi + width)[frequent], 0.0]
    layout = plot_layout(
        xaxis=plot_axis("r (Å)", range=_view_r(r, limits)),
        yaxis=plot_axis(f"φ(r) ({unit})", range=_padded(shown), zeroline=True, zerolinecolor=_LINE),
        shapes=_unsampled(r, limits),
        showlegend=False,
    )
    return Figure(slug(f"phi-{k}", *pair.pair), pair.title, "", 300, {"data": traces, "layout": _small(layout)})


def _potential(k: int, pair: Correction, scale: float, unit: str) -> Figure:
    r, base, phi = np.array(pair.r), scale * _array(pair.base or []), scale * _array(pair.phi)
    inside, limits = _sampled(pair)
    shown = np.r_[base[inside], (base + phi)[inside], 0.0]
    lowest, highest = np.nanmin(shown), np.nanmax(shown)
    # The wall would flatten the well: show no more than twice its depth above zero.
    top = min(highest, -2 * lowest) if lowest < 0 else highest
    layout = plot_layout(
        xaxis=plot_axis("r (Å)", range=_view_r(r, limits)),
        yaxis=plot_axis(f"pair energy ({unit})", range=_padded([lowest, top]), zeroline=True, zerolinecolor=_LINE),
        shapes=_unsampled(r, limits),
        showlegend=False,
    )
    traces = [_initial(r, base), _final(r, base + phi)]
    return Figure(slug(f"potential-{k}", *pair.pair), pair.title, "", 300, {"data": traces, "layout": _small(layout)})


def _view_r(r: Array, limits: tuple[float, float]) -> list[float]:
    """From a little before the sampled range to the end of the correction."""
    return [max(float(r[0]), 0.94 * limits[0]), max(float(r[-1]), limits[1])]


def _padded(values: Array | Sequence[float]) -> list[float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.08 * (high - low) or 1.0
    return [low - room, high + room]


def _unsampled(r: Array, limits: tuple[float, float]) -> list[Spec]:
    """Grey where no pair was ever seen: φ there is a continuation, not a measurement."""
    spans = [(min(float(r[0]), limits[0]), limits[0]), (limits[1], max(float(r[-1]), limits[1]))]
    box = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    box |= {"fillcolor": _UNSAMPLED, "line": {"width": 0}}
    return [box | {"x0": low, "x1": high} for low, high in spans if high > low]


def shares(results: Results) -> Figure | None:
    """At each r the share of every pair's φ(r) that the data decided; None where no rule computed it."""
    determination = results.summary.determination
    if determination is None or not determination.pairs:
        return None
    traces = [
        plot_line(np.array(pair.r), _array(pair.share), html.escape(pair.name, quote=False), SERIES[k % len(SERIES)])
        for k, pair in enumerate(determination.pairs)
    ]
    layout = plot_layout(xaxis=plot_axis("r (Å)"), yaxis=plot_axis("share", range=[0, 1.02]))
    caption = "1 − variance of φ(r) after over before the data: one where the data decide, zero where the prior does."
    return Figure("shares", "Data or prior", caption, 300, {"data": traces, "layout": layout})


def progress(results: Results) -> Figure | None:
    """R_χ of every data set per iteration and of the final sample; None where no R_χ was computed."""
    summary = results.summary
    steps, last = summary.iterations, len(summary.iterations)
    traces = []
    for k, data in enumerate(summary.data):
        values = _array([step.r_chi.get(data.name) for step in steps] + [summary.final.r_chi.get(data.name)])
        if not np.isfinite(values).any():
            continue
        kept = np.array([step.accepted for step in steps] + [True])
        colour = FINAL if len(summary.data) == 1 else SERIES[k % len(SERIES)]
        dash = "solid" if data.role == "fit" else "dot"
        x = np.arange(last + 1.0)
        group = {"legendgroup": data.name, "name": html.escape(_shorten(data.name), quote=False)}
        line = plot_line(x[kept], values[kept], "", colour, dash=dash) | group
        traces.append(line | {"mode": "lines+markers", "marker": {"size": 7, "color": colour}})
        if not kept.all():
            marker = {"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": colour}}
            rejected = {"mode": "markers", "marker": marker, "showlegend": False}
            traces.append(plot_line(x[~kept], values[~kept], "", colour) | group | rejected)
    if not traces:
        return None
    labelled = range(0, last, 1 + last // 9)
    ticks = {"tickvals": [*labelled, last], "ticktext": [*(str(steps[k].iteration) for k in labelled), "final"]}
    layout = plot_layout(
        xaxis=plot_axis("iteration", range=[-0.3, last + 0.3], **ticks),
        yaxis=plot_axis("", type="log", dtick="D2", exponentformat="none", tickformat="~g"),
        hovermode="closest",
    )
    layout["yaxis"]["title"]["text"] = "R<sub>χ</sub> of T(r)"
    caption = (
        "Logarithmic. Solid: fitted, dotted: only scored. A cross is a rejected step, whose potential was not kept; "
    )
    caption += "the last point is the final sample."
    return Figure("progress", "Misfit per iteration", caption, 360, {"data": traces, "layout": layout})


def _shorten(name: str, length: int = 28) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
