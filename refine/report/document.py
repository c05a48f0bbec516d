"""A page: one HTML file that opens offline, made of a template, the figures' specifications and the script that draws.

What a template shows is escaped by jinja2, wherever it came from; a name that a template does not know is an error. A
content security policy forbids all network access and every script but the two of the page, known by their digests.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from refine.report.figures import Figure

_FOLDER = Path(__file__).parent
PLOTLY = _FOLDER / "vendor" / "plotly-basic.min.js.gz"
"""The release of plotly.js that draws the figures; where it is from is in the README beside it."""


def typeset(text: str) -> Markup:
    """Escaped text with R_χ and k_B set as symbols, for HTML.

    >>> str(typeset("R_χ < 0.1"))
    'R<sub>χ</sub> &lt; 0.1'
    """
    return escape(text).replace("R_χ", Markup("R<sub>χ</sub>")).replace("k_B", Markup("k<sub>B</sub>"))


def document(template: str, title: str, drawn: Sequence[Figure], /, **shown: object) -> str:
    """The page that a template of ``templates/`` makes, as text that can be written as UTF-8.

    Args:
        template: its file name; it extends frame.html.
        title: of the page, plain text.
        drawn: every figure that has a place on the page.
        shown: what else the template names.
    """
    script, packed = Markup((_FOLDER / "static" / "report.js").read_text(encoding="utf-8")), PLOTLY.read_bytes()
    page = (
        _environment()
        .get_template(template)
        .render(
            title=title,
            style=_style(),
            script=script,
            plotly=base64.b64encode(packed).decode(),
            digests=[_digest(script.encode()), _digest(gzip.decompress(packed))],
            specifications=[{"id": figure.id, **figure.spec} for figure in drawn],
            **shown,
        )
    )
    return _writable(page)


def plain_document(template: str, title: str, /, **shown: object) -> str:
    """As `document`, of a page without figures: no script, and a few kilobytes besides what it shows."""
    return _writable(_environment().get_template(template).render(title=title, style=_style(), **shown))


def _style() -> Markup:
    return Markup((_FOLDER / "static" / "style.css").read_text(encoding="utf-8"))


def _writable(page: str) -> str:
    # A lone surrogate, which a JSON text can hold, has no UTF-8 form.
    return page.encode("utf-8", errors="replace").decode("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["typeset"] = typeset
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _digest(script: bytes) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}"
