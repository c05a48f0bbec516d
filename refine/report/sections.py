"""The parts of the report as HTML. Everything that came from a file is escaped here, by `escape` or `typeset`."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from refine.report import figures, words
from refine.report.figures import Figure
from refine.results.reader import Results
from refine.results.schema import DataSet, Iteration, Scores, State
from refine.units import BOLTZMANN

# Puts figures on the page, under headings of the given level, and returns their HTML.
Show = Callable[[Sequence[Figure], int], str]

TITLES = {
    "curves": "Measured curves",
    "structure": "Structure",
    "potential": "Potential",
    "determined": "What the data determine",
    "iterations": "Iterations",
    "compared": "What was compared with what",
    "reading": "How to read this",
    "study": "The study",
    "provenance": "Provenance",
}


def escape(text: str) -> str:
    """Text as HTML, also safe inside a quoted attribute."""
    return html.escape(text)


def typeset(text: str) -> str:
    """Escaped, with R_χ and k_B typeset."""
    return escape(text).replace("R_χ", "R<sub>χ</sub>").replace("k_B", "k<sub>B</sub>")


def section(name: str, content: str) -> str:
    """A part of the page under its title; ``name`` is a key of `TITLES` and the anchor."""
    return f'<section id="{name}"><h2>{TITLES[name]}</h2>{content}</section>\n'


def figure_html(figure: Figure, level: int) -> str:
    """The place of a figure: heading of the given level, caption, and the box that the script draws into."""
    caption = f'<p class="caption">{typeset(figure.caption)}</p>' if figure.caption else ""
    return (
        f"<figure><figcaption><h{level}>{typeset(figure.title)}</h{level}>{caption}</figcaption>"
        f'<div class="plot" id="{escape(figure.id)}" style="height:{figure.height}px" role="img" '
        f'aria-label="{escape(figure.title)}"></div>'
        '<p class="undrawn note">This browser cannot draw the figure; its numbers are in the csv files beside it.'
        "</p>"
        "</figure>\n"
    )


def _grid(content: str, count: int) -> str:
    return f'<div class="grid{" single" if count == 1 else ""}">{content}</div>'


# --- what comes first ---


def header(results: Results) -> str:
    """Title, states, links to the sections, and the result in words."""
    summary, said = results.summary, words.headline(results)
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in TITLES.items())
    turns = f"{len(summary.iterations)} iteration{'s' if len(summary.iterations) != 1 else ''}"
    rejected = sum(not step.accepted for step in summary.iterations)
    turns += f", {rejected} of them rejected" if rejected else ""
    took = f"{turns}, {words.duration(summary.seconds)}." if summary.seconds is not None else f"{turns}."
    sentences = [f'<p class="lead">{typeset(said.result)}</p>', f"<p>{typeset(said.ending)} {took}</p>"]
    if said.scored:
        sentences.append(f"<p>{typeset(said.scored)}</p>")
    state = "result" if summary.status == "converged" else "result open"
    about = " · ".join(_state_in_brief(state, named=len(summary.states) > 1) for state in summary.states)
    return (
        f'<header><h1>{escape(summary.title or "Refinement")}</h1><p class="about">{escape(about)}</p>'
        f'<nav>{links}</nav></header>\n<div class="{state}">{"".join(sentences)}</div>\n'
    )


def _state_in_brief(state: State, named: bool) -> str:
    parts = [f"{state.name}: {state.temperature:g} K" if named else f"{state.temperature:g} K"]
    if state.atoms is not None:
        parts.append(f"{_atoms(state)} atoms")
    if state.number_density is not None:
        parts.append(f"{state.number_density:.5g} Å⁻³")
    return ", ".join(parts)


def _atoms(state: State) -> str:
    return (
        str(state.atoms)
        if isinstance(state.atoms, int)
        else " ".join(f"{n} {s}" for s, n in (state.atoms or {}).items())
    )


def warning_box(results: Results) -> str:
    """All warnings in one box; nothing where there are none."""
    found = words.warnings(results)
    if not found:
        return ""
    items = "".join(f"<li>{typeset(text)}</li>" for text in found)
    title = "Warning" if len(found) == 1 else f"{len(found)} warnings"
    return f'<section class="warnings" role="alert"><h2>{title}</h2><ul>{items}</ul></section>\n'


def score_table(results: Results) -> str:
    """R_χ and χ² per point of every data set, before and after."""
    summary = results.summary
    several = len(summary.states) > 1
    labels = [*(["state"] if several else []), "quantity", "role", "points"]
    labels += ["R_χ initial", "R_χ final", "χ² per point initial", "χ² per point final", "σ too small by"]
    head = '<th scope="col">data</th>' + "".join(
        f'<th scope="col"{" class=n" if k > 1 + several else ""}>{typeset(label)}</th>'
        for k, label in enumerate(labels)
    )
    rows = []
    for data in summary.data:
        points = summary.final.points.get(data.name) or data.points
        cells = [
            *([data.state] if several else []),
            words.symbol(data),
            words.role(data, results),
            "–" if points is None else str(points),
            words.misfit(summary.initial.r_chi.get(data.name)),
            words.misfit(summary.final.r_chi.get(data.name), summary.final.r_chi_stderr.get(data.name)),
            words.number(_chi2_per_point(summary.initial, data, points)),
            words.number(_chi2_per_point(summary.final, data, points)),
            words.number(data.noise_factor),
        ]
        kinds = [*(["w"] if several else []), "w", "w", "n", "n", "n after", "n", "n after", "n"]
        row = "".join(
            f'<td class="{kind}" data-label="{escape(label.replace("R_χ", "Rχ"))}"><span>{escape(cell)}</span></td>'
            for kind, label, cell in zip(kinds, labels, cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{escape(data.name)}</th>{row}</tr>')
    note = (
        "R_χ compares T(r) of model and measurement; χ² compares the curve as it was measured, in units of the errors "
        "that its file or the study states or that were estimated before the fit. The last column is the factor by "
        "which the fit found estimated errors too small."
    )
    return (
        f'<table class="scores"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f'<p class="note">{typeset(note)}</p>\n'
    )


def _chi2_per_point(scores: Scores, data: DataSet, points: int | None) -> float | None:
    chi2 = scores.chi2.get(data.name)
    return chi2 / points if chi2 is not None and points else None


# --- figures ---

_KEY_MODEL = '<li><i class="initial"></i>initial potential</li><li><i></i>final potential</li>'
_KEY_UNSAMPLED = '<li><i class="unsampled"></i>no pair seen there</li>'


def structure(results: Results, show: Show) -> str:
    """g(r) of every state and pair."""
    parts = [f'<p>Partial pair distribution functions of the simulation.</p><ul class="key">{_KEY_MODEL}</ul>']
    for k, state in enumerate(results.summary.states):
        shown = figures.pair_distributions(k, state.name, results.g_r[state.name])
        parts.append(f"<h3>{escape(state.name)}</h3>{_grid(show(shown, 4), len(shown))}")
    return "".join(parts)


def potential(results: Results, show: Show) -> str:
    """φ(r) of every pair and, where the base is a pair potential, the sum."""
    temperatures = sorted({state.temperature for state in results.summary.states})
    thermal = ", ".join(f"{1000 * BOLTZMANN * t:.2f} meV at {t:g} K" for t in temperatures)
    banded = any(pair.stderr is not None for pair in results.summary.correction)
    band = '<li><i class="band"></i>68 and 95 % band</li>' if banded else ""
    about = f"What was added to the base model, pair by pair. k_BT is {thermal}."
    about += " The vertical scale covers the radii where g(r) > 0.2."
    about += "" if banded else " No error band was computed."
    shown = figures.corrections(results)
    refined = (results.summary.parameters or {}).items()
    changes = {k: words.change(v) for k, v in refined}
    parts = [
        *([f"<h3>Parameters of the base model</h3>{definitions(changes)}"] if changes else []),
        f"<h3>The correction φ(r)</h3><p>{typeset(about)}</p>",
        f'<ul class="key"><li><i></i>φ(r)</li>{band}{_KEY_UNSAMPLED}</ul>{_grid(show(shown, 4), len(shown))}',
    ]
    total = figures.potentials(results)
    if total:
        parts.append(
            "<h3>Base potential and base + φ(r)</h3>"
            f'<ul class="key">{_KEY_MODEL}{_KEY_UNSAMPLED}</ul>{_grid(show(total, 4), len(total))}'
        )
    return "".join(parts)


def determined(results: Results, show: Show) -> str:
    """Directions, pairs and ranges that the data decide, and the agreement of the data sets."""
    said = words.determined(results)
    if not said:
        return "<p>This method does not say what the data determine.</p>"
    items = "".join(f"<li>{typeset(text)}</li>" for text in said)
    figure = figures.shares(results)
    return f"<ul>{items}</ul>{show([figure], 3) if figure is not None else ''}{_tension_table(results)}"


def _tension_table(results: Results) -> str:
    """Every data set against what each other one says of the correction; nothing for a single one."""
    known = results.summary.determination
    if known is None or not known.tension:
        return ""
    names = [data.name for data in known.data]
    givens: list[str | None] = [*names, *([None] if any(one.given is None for one in known.tension) else [])]
    sigma = {(one.data, one.given): one.sigma for one in known.tension}
    head = "".join(f'<th scope="col" class="n">{escape(given or "all others")}</th>' for given in givens)

    def cell(name: str, given: str | None) -> str:
        value = sigma.get((name, given))
        return f'<td class="n">{"–" if value is None else f"{value:+.1f}".replace("-", "−")}</td>'

    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(cell(name, given) for given in givens)}</tr>'
        for name in names
    )
    return (
        "<h3>Do the data sets agree?</h3><p>How far each data set (row) is from what the one in the column says of the "
        'correction, in standard deviations of χ².</p><div class="scroll" tabindex="0" role="region" '
        'aria-label="Agreement of the data sets"><table class="steps"><thead><tr><th scope="col">data</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def coordination(results: Results) -> str:
    """Coordination numbers before and after, of pairs whose g(r) has a first minimum."""
    rows = "".join(
        f'<tr><th scope="row">{escape(one.centre)}–{escape(one.other)}</th><td>{escape(one.state)}</td>'
        f'<td class="n">{one.radius:.2f}</td><td class="n">{words.with_error(one.initial, one.initial_stderr)}</td>'
        f'<td class="n">{words.with_error(one.final, one.final_stderr)}</td></tr>'
        for one in results.summary.coordination
    )
    if not rows:
        return ""
    return (
        "<h3>Coordination numbers</h3><p>Neighbours of the second species around one atom of the first, up to the "
        "first minimum of the final g(r); errors of sampling and, finally, of the potential.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Coordination numbers"><table class="steps"><thead>'
        '<tr><th scope="col">pair</th><th scope="col">state</th><th scope="col" class="n">up to (Å)</th>'
        f'<th scope="col" class="n">initial</th><th scope="col" class="n">final</th></tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def progress(results: Results, show: Show) -> str:
    """R_χ per iteration, where it was computed."""
    figure = figures.progress(results)
    return show([figure], 3) if figure is not None else ""


# --- tables ---


def step_table(results: Results) -> str:
    """One row per iteration; a column that no iteration fills is left out."""
    fitted = [data.name for data in results.summary.data if data.role == "fit"]
    columns: dict[str, Callable[[Iteration], str]] = {
        "iteration": lambda s: str(s.iteration),
        "step": lambda s: "kept" if s.accepted else "rejected",
        "R_χ": lambda s: words.misfit(_mean([s.r_chi.get(name) for name in fitted])),
        "χ²": lambda s: words.number(s.chi2_fitted, 4),
        "decrease predicted": lambda s: words.number(s.predicted_decrease),
        "decrease actual": lambda s: words.with_error(s.actual_decrease, s.actual_decrease_error),
        "gain": lambda s: words.number(s.gain, 2),
        "rms step (k_BT)": lambda s: words.number(s.step_kT, 2),
        "trust radius (k_BT)": lambda s: words.number(s.trust_radius, 2),
        "noise factor": lambda s: words.number(s.noise_factor),
        "frames": lambda s: "–" if s.frames is None else str(s.frames),
        "effective sample": lambda s: words.number(s.effective_sample_size),
        "sampling": lambda s: words.duration(s.seconds_sampling),
        "solving": lambda s: words.duration(s.seconds_solving),
    }
    shown = [name for name, cell in columns.items() if any(cell(step) != "–" for step in results.summary.iterations)]
    head = "".join(f'<th scope="col"{" class=n" if name != "step" else ""}>{typeset(name)}</th>' for name in shown)

    def row(step: Iteration) -> str:
        cells = "".join(f"<td{' class=n' if n != 'step' else ''}>{escape(columns[n](step))}</td>" for n in shown)
        return f"<tr{'' if step.accepted else ' class=rejected'}>{cells}</tr>"

    rows = "".join(row(step) for step in results.summary.iterations)
    note = (
        "R_χ is the mean over the fitted curves, χ² their sum, each times the weight of its data set; a decrease is "
        "the difference of χ² to the iteration that the step started from, with its sampling error."
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Iterations"><table class="steps">'
        f'<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div><p class="note">{typeset(note)}</p>'
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def comparison_cards(results: Results) -> str:
    """What was compared with what, data set by data set."""
    return f'<div class="cards">{"".join(_compared_one(data, results) for data in results.summary.data)}</div>'


def _compared_one(data: DataSet, results: Results) -> str:
    sigma = data.sigma_source or "not known"
    if data.sigma_mean is not None:
        sigma += f", rms {words.number(data.sigma_mean)} {words.unit(data)}"
    entries = {
        "compared": data.compared,
        "curve": words.declaration(data),
        "role": f"{words.role(data, results)}, state {data.state}",
        "fit range": data.fit,
        "R_χ over": words.span(data.score_r) if data.score_r else None,
        "σ": sigma,
        "scale": None if data.scale is None else _free(data.scale, data.scale_stderr),
        "background": None if data.background is None else _free(data.background, data.background_stderr),
        "source": data.source,
    }
    known = {key: value for key, value in entries.items() if value}
    return f'<div class="card"><h3>{escape(data.name)}</h3>{definitions(known)}</div>'


def _free(value: float, stderr: float | None) -> str:
    return words.with_error(value, stderr) if stderr else f"{value:.4f}"


def state_cards(results: Results) -> str:
    """The simulated states."""
    return f'<div class="cards">{"".join(_state(state) for state in results.summary.states)}</div>'


def _state(state: State) -> str:
    entries = {"temperature": f"{state.temperature:g} K"}
    if state.mean_temperature is not None:
        entries["mean of the run"] = f"{words.with_error(state.mean_temperature, state.mean_temperature_stderr)} K"
    if state.number_density is not None:
        entries["number density"] = f"{state.number_density:.6g} Å⁻³"
    if state.atoms is not None:
        entries["atoms"] = _atoms(state)
    if state.cell is not None:
        entries["cell"] = _cell(state.cell)
    if state.pressure_GPa is not None:
        entries["pressure"] = f"{words.with_error(state.pressure_GPa, state.pressure_GPa_stderr)} GPa"
    return f'<div class="card"><h3>State {escape(state.name)}</h3>{definitions(entries)}</div>'


def _cell(cell: Sequence[Any]) -> str:
    """Edge lengths of an orthorhombic cell, otherwise its three vectors, in Å."""
    matrix = np.asarray(cell, dtype=np.float64)
    if matrix.ndim == 2 and np.count_nonzero(matrix - np.diag(np.diag(matrix))):
        return "; ".join(" ".join(f"{x:.3f}" for x in vector) for vector in matrix) + "\u00a0Å"
    lengths = np.diag(matrix) if matrix.ndim == 2 else matrix
    return " × ".join(f"{x:.3f}" for x in lengths) + "\u00a0Å"


def definitions(entries: Mapping[str, str]) -> str:
    """Names and values in two columns."""
    return f"<dl>{''.join(f'<dt>{typeset(key)}</dt><dd>{typeset(value)}</dd>' for key, value in entries.items())}</dl>"


def flat(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Nested tables with one line per value: versions.numpy, 2.3.4."""
    return dict(_leaves(provenance, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(value)
