"""What the site needs beyond Markdown: formulas without a network, pages that lie elsewhere, pages from the code.

- LaTeX in the pages becomes MathML when the site is built, so that a browser draws it without a script.
- Pages of `experiments/`, the recipes and the changelog are part of the site where they lie. Links between pages are
  written as they work in a checkout; those that leave docs/ are turned here: to the page of the site where there is
  one, else into the file's path as text.
- `<!-- commands -->` and `<!-- api -->` stand for what the code says of its commands and its public names.
"""

from __future__ import annotations

import html
import itertools
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"

ELSEWHERE = ("CHANGELOG.md", "CONTRIBUTING.md", "experiments/*/*.md", "experiments/*/*.png")
"""Pages and pictures of the site that lie outside docs/."""

_MEMBERS = {
    "Result": "    options: { inherited_members: true }\n",
    "Study": "    options: { members: [from_toml, run], inherited_members: true }\n",
}
"""What is shown of a class that has its members from another one, or others for the engine."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
_FUNCTION = re.compile(r"<mi>(?:sin|cos|exp|ln)</mi>(?P<bare>(?=<m[in]|<msub|<msup))?")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add what lies elsewhere."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Fill in what comes from the code, and turn links that leave docs/."""
    markdown = markdown.replace("<!-- commands -->", commands_markdown())
    markdown = markdown.replace("<!-- api -->", api_markdown())
    return turned(markdown, page.file.src_uri, {file.src_uri for file in files})


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """LaTeX as MathML."""

    def drawn(match: re.Match[str]) -> str:
        latex = html.unescape(match[3]).strip()
        try:
            return mathml(latex, display=match[2] == "[")
        except ValueError as error:
            raise PluginError(f"{page.file.src_uri}: {error}") from None

    return _FORMULA.sub(drawn, content)


# -- formulas ----------------------------------------------------------------------------------------------------------


def mathml(latex: str, display: bool = False) -> str:
    r"""A formula as MathML.

    Raises:
        ValueError: what could not be translated, which would be drawn as its own source.

    Examples:
        >>> mathml(r"\beta")
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>&#x003B2;</mi></mrow></math>'
    """
    try:
        drawn = convert(latex, display="block" if display else "inline")
    except Exception as error:  # its own exceptions have no common base
        raise ValueError(f"the formula {latex!r}: {type(error).__name__} {error}") from None
    if "\\" in html.unescape(drawn) or "<mi>&</mi>" in drawn:
        raise ValueError(f"the formula {latex!r} has a command or an environment that is not known")
    space = (
        '<mspace width="0.167em" />'  # as TeX does: before the name of a function, and behind it where no bracket is
    )
    return _FUNCTION.sub(lambda match: space + match[0] + space * (match["bare"] is not None), drawn)


# -- links -------------------------------------------------------------------------------------------------------------


def turned(markdown: str, page: str, pages: set[str]) -> str:
    """The page's links as the site needs them; code is left alone.

    Args:
        markdown: of the page.
        page: its path in the site; below docs/ in a checkout unless it is one of `ELSEWHERE`.
        pages: all paths of the site.
    """
    at = in_checkout(page)

    def link(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(at), path))
        in_site = there.removeprefix(f"{DOCS}/")
        if in_site not in pages:
            if (ROOT / there).exists() and not there.startswith(f"{DOCS}/"):
                return text if there in text else f"{text} (`{there}`)"
            return match[0]  # mkdocs says what is wrong
        relative = posixpath.relpath(in_site, posixpath.dirname(page) or ".")
        return f"{picture}[{text}]({relative}{hash_}{anchor})"

    parts = itertools.groupby(split_code(markdown), key=lambda part: part[0])
    texts = ((code, "".join(line for _, line in lines)) for code, lines in parts)
    return "".join(text if code else _LINK.sub(link, text) for code, text in texts)


def in_checkout(page: str) -> str:
    """Where a page of the site lies."""
    return page if (ROOT / page).exists() and not (ROOT / DOCS / page).exists() else f"{DOCS}/{page}"


def split_code(markdown: str) -> Iterator[tuple[bool, str]]:
    """The lines in order as (is it code, line): fenced and indented blocks are code."""
    fenced = False
    for line in markdown.splitlines(keepends=True):
        fence = line.lstrip().startswith("```")
        yield fenced or fence or line.startswith("    "), line
        fenced ^= fence


# -- from the code -----------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, Any]]:
    """("refine run", command) of every command of the command line, groups before what is in them."""
    from typer.main import get_command

    from refine.cli.main import app

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for short, one in sorted(getattr(command, "commands", {}).items()):
            yield from below(f"{name} {short}", one)

    yield from below("refine", get_command(app))


def commands_markdown() -> str:
    """Every command with its arguments and options, from its own help."""
    parts = []
    for name, command in commands():
        if hasattr(command, "commands"):
            continue
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
        parts += [f"## `{name}`", ""]
        parts += [" ".join(paragraph.split()) + "\n" for paragraph in (command.help or "").split("\n\n")]
        usage = [name, *(a.metavar or a.name.upper() for a in arguments)]
        usage += [f"{o.opts[0]} {_value(o)}" for o in options if o.required] + ["[OPTIONS]"] * bool(options)
        parts += [f"    {' '.join(usage)}", "", "| | |", "| --- | --- |"]
        parts += [f"| `{a.metavar or a.name.upper()}` | {_meaning(a)} |" for a in arguments]
        parts += [f"| `{' '.join([*o.opts, _value(o)]).strip()}` | {_meaning(o)} |" for o in options]
        parts += [""]
    return "\n".join(parts)


def _value(option: Any) -> str:
    return "" if option.is_flag else option.metavar or option.name.upper()


def _meaning(parameter: Any) -> str:
    words = " ".join((parameter.help or "").split()).replace("|", "\\|").replace("<", "&lt;")
    if parameter.required and parameter.param_type_name == "option":
        return f"{words} **Required.**"
    default = parameter.default
    unsaid = "[" not in words and not getattr(parameter, "is_flag", False)  # many say theirs in words, in brackets
    return f"{words} Default: `{default}`." if unsaid and isinstance(default, str | int | float) else words


def api_markdown() -> str:
    """A section of mkdocstrings for every public name."""
    import refine

    names = sorted((name for name in refine.__all__ if not name.startswith("_")), key=str.lower)
    return "\n".join(f"::: refine.{name}\n{_MEMBERS.get(name, '')}" for name in names)
