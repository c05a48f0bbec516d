"""The lines of a potential that a study gives to LAMMPS: which are let through, and how a correction comes on top.

A study file may be a stranger's. So nothing but the commands, styles and characters that are listed here reaches
LAMMPS: none of them runs a program, reads a variable, or writes a file, and what has the name of a file is one of
[model] files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.lammps import Part

WHERE = "[model] commands"

COMMANDS = ("pair_style", "pair_coeff", "pair_modify", "kspace_style", "kspace_modify", "dielectric", "set")
"""`set` is for charges: set type 1 charge 0.8."""

NAMED = frozenset(
    (
        *("adp", "agni", "airebo", "airebo/morse", "bop", "comb", "comb3", "edip", "edip/multi", "eam/alloy", "eam/cd"),
        *("eam/fs", "eam/he", "extep", "gw", "gw/zbl", "lcbop", "meam", "meam/ms", "meam/spline", "meam/sw/spline"),
        *("nb3b/harmonic", "pod", "polymorphic", "rebo", "snap", "sw", "sw/mod", "tersoff", "tersoff/mod"),
        *("tersoff/mod/c", "tersoff/table", "tersoff/zbl", "uf3", "vashishta", "vashishta/table"),
    )
)
"""Styles whose pair_coeff * * ends with the element of each type."""

STYLES = NAMED | frozenset(
    (
        *("beck", "born", "born/coul/dsf", "born/coul/long", "born/coul/wolf", "buck", "buck/coul/long", "coul/cut"),
        *("coul/debye", "coul/dsf", "coul/long", "coul/wolf", "dispersion/d3", "eam", "gauss", "lj/charmm/coul/long"),
        *("lj/cut", "lj/cut/coul/cut", "lj/cut/coul/dsf", "lj/cut/coul/long", "lj/expand", "lj/long/coul/long"),
        *("lj/smooth", "lj/smooth/linear", "lj96/cut", "mie/cut", "momb", "morse", "nm/cut", "soft", "table"),
        *("yukawa", "zbl"),
    )
)
"""Styles that are let through."""

ARGUMENTS = frozenset(
    (
        *("linear", "lookup", "spline", "ewald", "pppm", "long", "cut", "off", "shift", "yes", "no"),
        *("original", "zerom", "bj", "bjm", "pbe", "pbesol", "b3lyp", "revpbe", "scan"),
    )
)
"""Words that the arguments of a style may have."""

WORD = re.compile(r"[A-Za-z0-9_.+\-*:]+")
"""No quotes, no $ of a variable, no path, no & that goes on in the next line."""


@dataclass(frozen=True)
class Given:
    """What a study's commands say, taken apart.

    styles: of pair_style hybrid/overlay, each with its arguments.  hybrid: whether pair_coeff names its style already.
    before: charges.  coefficients: the words of each pair_coeff.  after: the lines behind them.
    """

    styles: tuple[tuple[str, ...], ...]
    hybrid: bool
    before: tuple[str, ...]
    coefficients: tuple[tuple[str, ...], ...]
    after: tuple[str, ...]

    def style_of(self, rest: Sequence[str]) -> str:
        """Of a pair_coeff, from its words behind the types."""
        if not self.hybrid:
            return self.styles[0][0]
        if not rest or rest[0] not in {style[0] for style in self.styles}:
            raise InputError("pair_coeff of hybrid/overlay names one of its styles first", where=WHERE)
        return rest[0]

    @property
    def tables(self) -> int:
        """How many of the styles are tables."""
        return sum(style[0] == "table" for style in self.styles)

    def part(self, beside: Collection[str]) -> Part:
        """As a part of pair_style hybrid/overlay; beside: the styles that come on top."""
        numbered = self.tables == 1 and any(style.startswith("table ") for style in beside)
        lines = []
        for first, second, *rest in self.coefficients:
            named = [self.style_of(rest), *(rest[1:] if self.hybrid else rest)]
            number = ["1"] if numbered and named[0] == "table" else []
            lines.append(" ".join(["pair_coeff", first, second, named[0], *number, *named[1:]]))
        return Part(tuple(map(" ".join, self.styles)), self.before, tuple(lines), self.after)


def taken_apart(text: str) -> Given:
    """The commands of a study. InputError for a line that is not let through, or where there is no pair_style."""
    lines = [words for line in text.splitlines() if (words := line.split("#")[0].split())]
    for words in lines:
        _refuse(words)
    styles = [words[1:] for words in lines if words[0] == "pair_style"]
    if len(styles) != 1:
        raise InputError(
            f"there are {len(styles)} lines pair_style", where=WHERE, fix="give one; hybrid/overlay adds up"
        )
    (style,) = styles
    hybrid = style[0] == "hybrid/overlay"
    found = _split(style[1:]) if hybrid else [style]
    for name, *arguments in found:
        for word in ([] if name in STYLES else [name]) + [one for one in arguments if not _is_argument(one)]:
            raise InputError(
                f"pair_style {word} is not let through", where=WHERE, fix="docs/engines.md lists those that are"
            )
    if sum(name == "table" for name, *_ in found) > 1:
        raise InputError("pair_style table twice", where=WHERE, fix="put the tables into one file")
    return Given(
        tuple(map(tuple, found)),
        hybrid,
        tuple(" ".join(words) for words in lines if words[0] == "set"),
        tuple(tuple(words[1:]) for words in lines if words[0] == "pair_coeff"),
        tuple(" ".join(words) for words in lines if words[0] not in ("pair_style", "pair_coeff", "set")),
    )


def check_species(given: Given, species: tuple[str, ...]) -> None:
    """InputError where lines name elements of types, and not those of the study in its order."""
    expected = [element_of(name) for name in species]
    for _, _, *rest in given.coefficients:
        style = given.style_of(rest)
        if style not in NAMED:
            continue
        named = rest[-len(expected) :]
        if len(rest) <= len(expected) or any(
            one not in (want, "NULL") for one, want in zip(named, expected, strict=True)
        ):
            raise InputError(
                f"pair_coeff of {style} ends with {' '.join(named)}, and the types of this study are "
                f"{' '.join(expected)}",
                where=WHERE,
                fix="end it with these, in this order",
            )


def check_files(given: Given, names: Collection[str]) -> None:
    """InputError for a file of [model] files that no line names, and for one that a line names and [model] does not."""
    words = set(chain.from_iterable(given.coefficients))
    for name in names:
        if not WORD.fullmatch(name):
            raise InputError(
                f"{name!r} is no name that a line can have", where="[model] files", fix="letters, digits and . _ + -"
            )
        if name not in words:
            fix = "name it there, without a folder"
            raise InputError(f"no pair_coeff names {name}", where="[model] files", fix=fix)
    for word in words - set(names):
        if "." in word and not _is_number(word):
            raise InputError(f"{word} is none of [model] files", where=WHERE, fix=f'add it, as in files = ["{word}"]')


def _refuse(words: list[str]) -> None:
    if words[0] not in COMMANDS:
        raise InputError(
            f"{words[0][:40]!r} is not let through", where=WHERE, fix=f"the commands are {', '.join(COMMANDS)}"
        )
    for word in words:
        if not WORD.fullmatch(word) and word not in STYLES and word != "hybrid/overlay":
            raise InputError(
                f"{word[:40]!r} is not let through",
                where=WHERE,
                fix="words of letters, digits and . _ + - *; files by their names alone",
            )
    if words[0] == "set" and not (len(words) == 5 and words[1] == "type" and words[3] == "charge"):
        raise InputError("set is for charges", where=WHERE, fix="as in: set type 1 charge 0.8")
    if len(words) < (3 if words[0] == "pair_coeff" else 2):
        raise InputError(f"{' '.join(words)!r} says too little", where=WHERE)


def _split(words: list[str]) -> list[list[str]]:
    """The styles of hybrid/overlay, each with its arguments: a word that is the name of a style begins one."""
    found: list[list[str]] = []
    for word in words:
        if word in STYLES or not found:
            found.append([word])
        else:
            found[-1].append(word)
    return found or [["none"]]


def _is_argument(word: str) -> bool:
    return word in ARGUMENTS or _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
