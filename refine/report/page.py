"""The report: one HTML file that opens offline, with its figures, tables, study and provenance.

Everything that came from a file is escaped. A content security policy forbids all network access and every script but
the two of this page, which it knows by their digest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from refine.errors import CheckpointError
from refine.report import figures, words
from refine.report.assets import SCRIPT, STYLE
from refine.report.figures import Figure
from refine.report.results import DataSet, Iteration, Results, Scores, State, read_results
from refine.units import BOLTZMANN

_SECTIONS = {
    "curves": "Measured curves",
    "structure": "Structure",
    "potential": "Potential",
    "iterations": "Iterations",
    "compared": "What was compared with what",
    "reading": "How to read this",
    "study": "The study",
    "provenance": "Provenance",
}


def write_report(out_dir: Path) -> Path:
    """Write ``report.html`` into an output folder from the tables that are in it, and return its path.

    Args:
        out_dir: the folder that ``refine run`` wrote; result.json, curves/, g_r/ and study.toml are read.

    Raises:
        InputError: one of those files is missing or damaged.
        CheckpointError: the report cannot be written; an earlier report is left as it was.
    """
    out_dir = Path(out_dir)
    text = render(read_results(out_dir))
    path, unfinished = out_dir / "report.html", out_dir / f".report-{os.getpid()}.html"
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise CheckpointError(f"cannot be written ({error.strerror})", where=str(path)) from None
    return path


def render(results: Results) -> str:
    """The whole page as text."""
    drawn: list[Figure] = []

    def show(shown: Sequence[Figure], level: int = 3) -> str:
        drawn.extend(shown)
        return "".join(_figure(figure, level) for figure in shown)

    body = "".join(
        [
            _header(results),
            _warnings(results),
            _scores(results),
            _section("curves", show(figures.comparisons(results))),
            _section("structure", _structure(results, show)),
            _section("potential", _potential(results, show)),
            _section("iterations", _progress(results, show) + _steps(results)),
            _section("compared", _compared(results) + _states(results)),
            _section("reading", _READING),
            _section(
                "study", f"<details open><summary>study.toml</summary><pre>{_text(results.study)}</pre></details>"
            ),
            _section("provenance", _definitions(_flat(results.summary.provenance))),
        ]
    )
    return _document(results.summary.title or "Refinement", body, drawn)


def _text(text: str) -> str:
    return html.escape(text)


def _rich(text: str) -> str:
    """Escaped, with R_χ and k_B typeset."""
    return _text(text).replace("R_χ", "R<sub>χ</sub>").replace("k_B", "k<sub>B</sub>")


# --- the frame of the page ---


@cache
def _plotly() -> tuple[str, str]:
    """plotly.js as base64 of gzip, and the digest that the content security policy admits."""
    source = get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(source, mtime=0)).decode(), _digest(source)


def _digest(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def _document(title: str, body: str, drawn: Sequence[Figure]) -> str:
    plotly, plotly_digest = _plotly()
    policy = (
        f"default-src 'none'; script-src {_digest(SCRIPT.encode())} {plotly_digest}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    # In JSON, "<" can only stand inside a string: escaped, no text from a file can end the script element.
    specs = json.dumps([{"id": f.id, **f.spec} for f in drawn], separators=(",", ":"), allow_nan=False)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_text(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
{body}
<script type="application/json" id="figures">{specs.replace("<", chr(92) + "u003c")}</script>
<script type="text/plain" id="plotly">{plotly}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _section(name: str, content: str) -> str:
    return f'<section id="{name}"><h2>{_SECTIONS[name]}</h2>{content}</section>\n'


def _figure(figure: Figure, level: int) -> str:
    caption = f'<p class="caption">{_rich(figure.caption)}</p>' if figure.caption else ""
    return (
        f"<figure><figcaption><h{level}>{_rich(figure.title)}</h{level}>{caption}</figcaption>"
        f'<div class="plot" id="{_text(figure.id)}" style="height:{figure.height}px" role="img" '
        f'aria-label="{_text(figure.title)}"></div>'
        '<p class="undrawn note">This browser cannot draw the figure; its numbers are in the csv files beside this report.</p>'
        "</figure>\n"
    )


def _grid(content: str, count: int) -> str:
    return f'<div class="grid{" single" if count == 1 else ""}">{content}</div>'


# --- what comes first ---


def _header(results: Results) -> str:
    summary, said = results.summary, words.headline(results)
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in _SECTIONS.items())
    turns = f"{len(summary.iterations)} iteration{'s' if len(summary.iterations) != 1 else ''}"
    rejected = sum(not step.accepted for step in summary.iterations)
    turns += f", {rejected} of them rejected" if rejected else ""
    took = f"{turns}, {words.duration(summary.seconds)}." if summary.seconds is not None else f"{turns}."
    sentences = [f'<p class="lead">{_rich(said.result)}</p>', f"<p>{_rich(said.ending)} {took}</p>"]
    if said.scored:
        sentences.append(f"<p>{_rich(said.scored)}</p>")
    state = "result" if summary.status == "converged" else "result open"
    about = " · ".join(_state_in_brief(state, named=len(summary.states) > 1) for state in summary.states)
    return (
        f'<header><h1>{_text(summary.title or "Refinement")}</h1><p class="about">{_text(about)}</p>'
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


def _warnings(results: Results) -> str:
    found = words.warnings(results)
    if not found:
        return ""
    items = "".join(f"<li>{_rich(text)}</li>" for text in found)
    title = "Warning" if len(found) == 1 else f"{len(found)} warnings"
    return f'<section class="warnings" role="alert"><h2>{title}</h2><ul>{items}</ul></section>\n'


def _scores(results: Results) -> str:
    summary = results.summary
    labels = ["quantity", "role", "points", "R_χ initial", "R_χ final", "χ² per point initial", "χ² per point final"]
    head = '<th scope="col">data</th>' + "".join(
        f'<th scope="col"{" class=n" if k > 1 else ""}>{_rich(label)}</th>' for k, label in enumerate(labels)
    )
    rows = []
    for data in summary.data:
        points = summary.final.points.get(data.name) or data.points
        cells = [
            words.symbol(data),
            words.role(data),
            "–" if points is None else str(points),
            words.misfit(summary.initial.r_chi.get(data.name)),
            words.misfit(summary.final.r_chi.get(data.name), summary.final.r_chi_stderr.get(data.name)),
            words.number(_chi2_per_point(summary.initial, data, points)),
            words.number(_chi2_per_point(summary.final, data, points)),
        ]
        kinds = ["", "", "n", "n", "n after", "n", "n after"]
        row = "".join(
            f'<td class="{kind}" data-label="{_text(label.replace("R_χ", "Rχ"))}"><span>{_text(cell)}</span></td>'
            for kind, label, cell in zip(kinds, labels, cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{_text(data.name)}</th>{row}</tr>')
    note = '<p class="note">R<sub>χ</sub> compares T(r) of model and measurement; χ² compares the curve as it was measured.</p>'
    return f'<table class="scores"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>{note}\n'


def _chi2_per_point(scores: Scores, data: DataSet, points: int | None) -> float | None:
    chi2 = scores.chi2.get(data.name)
    return chi2 / points if chi2 is not None and points else None


# --- figures ---

_KEY_MODEL = '<li><i class="initial"></i>initial potential</li><li><i></i>final potential</li>'
_KEY_UNSAMPLED = '<li><i class="unsampled"></i>no pair seen there</li>'


def _structure(results: Results, show: Any) -> str:
    parts = [f'<p>Partial pair distribution functions of the simulation.</p><ul class="key">{_KEY_MODEL}</ul>']
    for state in results.summary.states:
        shown = figures.pair_distributions(state.name, results.g_r[state.name])
        parts.append(f"<h3>{_text(state.name)}</h3>{_grid(show(shown, 4), len(shown))}")
    return "".join(parts)


def _potential(results: Results, show: Any) -> str:
    temperatures = sorted({state.temperature for state in results.summary.states})
    thermal = ", ".join(f"{1000 * BOLTZMANN * t:.2f} meV at {t:g} K" for t in temperatures)
    banded = any(pair.stderr is not None for pair in results.summary.correction)
    band = '<li><i class="band"></i>68 and 95 % band</li>' if banded else ""
    missing = "" if banded else " This rule gives no error band."
    shown = figures.corrections(results)
    parts = [
        f"<h3>The correction φ(r)</h3><p>{_rich(f'What was added to the base model, pair by pair. k_BT is {thermal}.')}{missing}</p>",
        f'<ul class="key"><li><i></i>φ(r)</li>{band}{_KEY_UNSAMPLED}</ul>{_grid(show(shown, 4), len(shown))}',
    ]
    total = figures.potentials(results)
    if total:
        parts.append(
            "<h3>Base potential and base + φ(r)</h3>"
            f'<ul class="key">{_KEY_MODEL}{_KEY_UNSAMPLED}</ul>{_grid(show(total, 4), len(total))}'
        )
    return "".join(parts)


def _progress(results: Results, show: Any) -> str:
    figure = figures.progress(results)
    return show([figure]) if figure is not None else ""


# --- tables ---


def _steps(results: Results) -> str:
    fitted = [data.name for data in results.summary.data if data.role == "fit"]
    columns: dict[str, Any] = {
        "iteration": lambda s: str(s.iteration),
        "step": lambda s: "kept" if s.accepted else "rejected",
        "R_χ": lambda s: words.misfit(_mean([s.r_chi.get(name) for name in fitted])),
        "χ²": lambda s: words.number(_total([s.chi2.get(name) for name in fitted]), 4),
        "decrease predicted": lambda s: words.number(s.predicted_decrease),
        "decrease actual": lambda s: words.number(s.actual_decrease),
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
    head = "".join(f'<th scope="col"{" class=n" if name != "step" else ""}>{_rich(name)}</th>' for name in shown)

    def row(step: Iteration) -> str:
        cells = "".join(f"<td{' class=n' if n != 'step' else ''}>{_text(columns[n](step))}</td>" for n in shown)
        return f"<tr{'' if step.accepted else ' class=rejected'}>{cells}</tr>"

    rows = "".join(row(step) for step in results.summary.iterations)
    note = "R<sub>χ</sub> is the mean, χ² the sum over the fitted curves; decreases are those of χ²."
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Iterations"><table class="steps"><thead><tr>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="note">{note}</p>'
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _total(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.sum(known)) if known else None


def _compared(results: Results) -> str:
    return f'<div class="cards">{"".join(_compared_one(data) for data in results.summary.data)}</div>'


def _compared_one(data: DataSet) -> str:
    sigma = data.sigma_source or "not known"
    if data.sigma_mean is not None:
        sigma += f", mean {words.number(data.sigma_mean)} {words.unit(data)}"
    entries = {
        "compared": data.compared,
        "curve": f"{words.ordinate(data)}, {data.normalisation}" + (f", {data.radiation}" if data.radiation else ""),
        "role": f"{words.role(data)}, state {data.state}",
        "fit range": data.fit,
        "R_χ over": words.span(data.score_r) if data.score_r else None,
        "σ": sigma,
        "scale": None if data.scale is None else f"{data.scale:.4f}",
        "source": data.source,
    }
    known = {key: value for key, value in entries.items() if value}
    return f'<div class="card"><h3>{_text(data.name)}</h3>{_definitions(known)}</div>'


def _states(results: Results) -> str:
    return f'<div class="cards">{"".join(_state(state) for state in results.summary.states)}</div>'


def _state(state: State) -> str:
    entries = {"temperature": f"{state.temperature:g} K"}
    if state.mean_temperature is not None:
        entries["mean of the run"] = f"{state.mean_temperature:.2f} K"
    if state.number_density is not None:
        entries["number density"] = f"{state.number_density:.6g} Å⁻³"
    if state.atoms is not None:
        entries["atoms"] = _atoms(state)
    if state.cell is not None:
        entries["cell"] = _cell(state.cell)
    if state.pressure_GPa is not None:
        entries["pressure"] = f"{words.number(state.pressure_GPa)} GPa"
    return f'<div class="card"><h3>State {_text(state.name)}</h3>{_definitions(entries)}</div>'


def _cell(cell: Any) -> str:
    """Edge lengths of an orthorhombic cell, otherwise its three vectors, in Å."""
    matrix = np.asarray(cell, dtype=np.float64)
    if matrix.shape == (3, 3) and not np.any(matrix - np.diag(np.diag(matrix))):
        matrix = np.diag(matrix)
    if matrix.ndim == 2:
        return "; ".join(" ".join(f"{x:.3f}" for x in vector) for vector in matrix) + " Å"
    return " × ".join(f"{x:.3f}" for x in np.atleast_1d(matrix)) + " Å"


def _definitions(entries: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{_rich(key)}</dt><dd>{_rich(value)}</dd>' for key, value in entries.items())}</dl>"


def _flat(provenance: Mapping[str, Any]) -> dict[str, str]:
    return dict(_leaves(provenance, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Nested tables as lines: versions.numpy, 2.3.4."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(value)


_READING = """
<dl>
<dt>R<sub>χ</sub></dt><dd>[Σ (T<sub>exp</sub> − T<sub>model</sub>)² / Σ T<sub>exp</sub>²]<sup>½</sup> of the total correlation
function T(r) over the range given above. The model passes through the Q range and window of the experiment, the experiment
through the finite range of the box, so that both have the same truncation.</dd>
<dt>χ² per point</dt><dd>mean squared difference in units of σ. Near 1 the curve is reproduced to its noise; far above 1 with a
small R<sub>χ</sub>, σ may be too small or the data carry a systematic error.</dd>
<dt>φ(r)</dt><dd>the correction to the pair energy. Its band is the posterior standard error: measured noise, sampling noise and
the smoothness prior. Where the band is as wide as φ itself, the data say little. On grey ground no pair was seen and φ only
continues.</dd>
<dt>gain</dt><dd>actual over predicted decrease of χ²; near 1 the linear model of a step was right. A step that made things worse
is rejected: the potential and the configuration go back.</dd>
<dt>effective sample</dt><dd>frames that still count after reweighting to the next potential. It is shown as information; the
length of a step is steered by the gain.</dd>
</dl>
"""
