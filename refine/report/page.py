"""The report: one HTML file that opens offline, with its figures, tables, study and provenance.

Everything that came from a file is escaped. A content security policy forbids all network access and every script but
the two of this page, which it knows by their digest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from plotly.offline import get_plotlyjs

from refine.errors import CheckpointError
from refine.report import figures, sections
from refine.report.assets import READING, SCRIPT, STYLE
from refine.report.figures import Figure
from refine.results.reader import Results, read_results


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
        # A lone surrogate in a JSON text has no UTF-8 form.
        unfinished.write_text(text, encoding="utf-8", errors="replace")
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise CheckpointError(f"cannot be written ({error.strerror})", where=str(path)) from None
    return path


def render(results: Results) -> str:
    """The whole page as text."""
    drawn: list[Figure] = []

    def show(shown: Sequence[Figure], level: int) -> str:
        drawn.extend(shown)
        return "".join(sections.figure_html(figure, level) for figure in shown)

    body = "".join(
        [
            sections.header(results),
            sections.warning_box(results),
            sections.score_table(results),
            sections.section("curves", show(figures.comparisons(results) + figures.predictions(results), 3)),
            sections.section("structure", sections.structure(results, show) + sections.coordination(results)),
            sections.section("potential", sections.potential(results, show)),
            sections.section("determined", sections.determined(results, show)),
            sections.section("iterations", sections.progress(results, show) + sections.step_table(results)),
            sections.section("compared", sections.comparison_cards(results) + sections.state_cards(results)),
            sections.section("reading", READING),
            sections.section("study", f"<pre>{sections.escape(results.study)}</pre>"),
            sections.section("provenance", sections.definitions(sections.flat(results.summary.provenance))),
        ]
    )
    return document(results.summary.title or "Refinement", body, drawn)


@cache
def _plotly() -> tuple[str, str]:
    """plotly.js as base64 of gzip, and the digest that the content security policy admits."""
    source = get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(source, mtime=0)).decode(), _digest(source)


def _digest(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def document(title: str, body: str, drawn: Sequence[Figure]) -> str:
    """The frame: policy, style, body, the specifications of the figures, and the scripts that draw them."""
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
<title>{sections.escape(title)}</title>
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
