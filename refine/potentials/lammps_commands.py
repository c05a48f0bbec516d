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
from refine.potentials.lammps import CORRECTION, Part
from refine.potentials.topology import Weights

WHERE = "[model] commands"

COMMANDS = ("pair_style", "pair_coeff", "pair_modify", "kspace_style", "kspace_modify", "dielectric", "set")
"""`set` is for charges: set type 1 charge 0.8."""

BONDED = {
    "bond_style": ("harmonic", "morse", "fene", "class2", "gromos", "nonlinear"),
    "angle_style": (
        "harmonic",
        "charmm",
        "cosine",
        "cosine/squared",
        "cosine/periodic",
        "class2",
        "quartic",
        "fourier",
    ),
    "dihedral_style": ("harmonic", "opls", "multi/harmonic", "nharmonic", "fourier", "helix", "class2"),
    "improper_style": ("harmonic", "cvff", "umbrella", "class2", "fourier"),
}
"""Commands of a study with a topology, and the styles that are let through; a line _coeff belongs to each."""

OF_MOLECULES = (*BONDED, *(style.replace("_style", "_coeff") for style in BONDED), "special_bonds")

ELSEWHERE = {
    "units": 'give units = "metal" or "real" in [model] instead of the line',
    "atom_style boundary lattice region create_box create_atoms read_data read_restart mass replicate": "leave it out: "
    "atoms and box are those of [system]",
    "fix unfix run timestep velocity thermo thermo_style thermo_modify dump dump_modify minimize compute neighbor "
    "neigh_modify restart write_data reset_timestep": "leave it out: what is sampled is in [sampling] and [[states]]",
    "include variable": "write out the lines and numbers that it stands for",
}
"""What is said of commands that a whole input has, too."""

PARTS = ("bb", "ba", "mbt", "ebt", "at", "aat", "bb13", "aa", "ub")
"""Words of the cross terms of class2."""

WEIGHTS: dict[str, tuple[Weights, Weights]] = {
    "amber": ((0.0, 0.0, 0.5), (0.0, 0.0, 5.0 / 6.0)),
    "charmm": ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    "dreiding": ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0)),
}
"""Of pair potentials and of charges, by the words that special_bonds has for them."""

TINY = 1e-100
"""A weight that is zero for all that it multiplies, but for LAMMPS, which has no pairs of weight zero in its lists."""

NAMED = frozenset(
    (
        *("adp", "agni", "airebo", "airebo/morse", "bop", "comb", "comb3", "edip", "edip/multi", "eam/alloy", "eam/cd"),
        *("eam/fs", "eam/he", "extep", "gw", "gw/zbl", "lcbop", "meam", "meam/ms", "meam/spline", "meam/sw/spline"),
        *("nb3b/harmonic", "pod", "polymorphic", "rebo", "snap", "sw", "sw/mod", "tersoff", "tersoff/mod"),
        *("tersoff/mod/c", "tersoff/table", "tersoff/zbl", "uf3", "vashishta", "vashishta/table"),
    )
)
"""Styles whose pair_coeff * * ends with the element of each type."""

READING = NAMED | {"eam", "table"}
"""Styles whose pair_coeff begins with a file."""

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
    bonded: lines of bonds, angles, dihedrals and impropers.  weights: of pairs of atoms that one, two or three bonds
    join, in pair potentials and between charges.
    """

    styles: tuple[tuple[str, ...], ...]
    hybrid: bool
    before: tuple[str, ...]
    coefficients: tuple[tuple[str, ...], ...]
    after: tuple[str, ...]
    bonded: tuple[str, ...] = ()
    weights: tuple[Weights, Weights] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

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

    def special_bonds(self, *, everywhere: bool) -> str:
        """The line; everywhere: so that what comes on top can act on all pairs."""
        of_pairs, of_charges = self.weights
        words = " ".join(repr(max(one, TINY) if everywhere else one) for one in of_pairs)
        return f"special_bonds lj {words} coul {' '.join(map(repr, of_charges))}"

    def part(self, beside: Collection[str]) -> Part:
        """As a part of pair_style hybrid/overlay; beside: the styles that come on top."""
        numbered = self.tables == 1 and any(style.startswith("table ") for style in beside)
        lines = []
        for first, second, *rest in self.coefficients:
            named = [self.style_of(rest), *(rest[1:] if self.hybrid else rest)]
            number = ["1"] if numbered and named[0] == "table" else []
            lines.append(" ".join(["pair_coeff", first, second, named[0], *number, *named[1:]]))
        return Part(tuple(map(" ".join, self.styles)), self.before, tuple(lines), (*self.after, *self.bonded))


def joined(text: str) -> str:
    """With every line that ends with & and the next one as one, as LAMMPS reads them.

    >>> joined("pair_coeff * * &\\n  Al.eam Al")
    'pair_coeff * *   Al.eam Al'
    """
    return re.sub(r"&[ \t]*\r?\n", "", text)


def taken_apart(text: str) -> Given:
    """The commands of a study. InputError for a line that is not let through, or where there is no pair_style."""
    lines = [words for line in joined(text).splitlines() if (words := line.split("#")[0].split())]
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
        tuple(" ".join(words) for words in lines if words[0] not in ("pair_style", "pair_coeff", "set", *OF_MOLECULES)),
        tuple(" ".join(words) for words in lines if words[0] in OF_MOLECULES and words[0] != "special_bonds"),
        _weights([words[1:] for words in lines if words[0] == "special_bonds"]),
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


def check_files(given: Given, names: Sequence[str]) -> None:
    """InputError for a file of [model] files that no line names, and for one that a line names and [model] does not."""
    words = set(chain.from_iterable(given.coefficients))
    firsts = {first for _, _, *rest in given.coefficients if (first := _file_of(given, rest)) is not None}
    for name in names:
        if name == CORRECTION or names.count(name) > 1:
            what = "what refine calls its own" if name == CORRECTION else "there twice"
            raise InputError(
                f"{name} is {what}, and lines name files without a folder", where="[model] files", fix="rename it"
            )
        if not WORD.fullmatch(name):
            raise InputError(
                f"{name!r} is no name that a line can have", where="[model] files", fix="letters, digits and . _ + -"
            )
        if name not in words:
            fix = "name it there, without a folder"
            raise InputError(f"no pair_coeff names {name}", where="[model] files", fix=fix)
    for word in words - set(names):
        if word in firsts or ("." in word and not _is_number(word)):
            raise InputError(f"{word} is none of [model] files", where=WHERE, fix=f'add it, as in files = ["{word}"]')


def _file_of(given: Given, rest: Sequence[str]) -> str | None:
    """The file that a pair_coeff begins with, from its words behind the types; None where there is none."""
    if given.style_of(rest) not in READING:
        return None
    words = rest[1:] if given.hybrid else rest
    if given.hybrid and words and words[0].isdecimal():  # of a style that is there more than once
        words = words[1:]
    return words[0] if words else None


def check_molecules(given: Given, *, topology: bool) -> None:
    """InputError for lines about bonds where there is no topology."""
    if given.bonded and not topology:
        raise InputError(
            f"{given.bonded[0].split()[0]} without molecules",
            where=WHERE,
            fix='give them, as in topology = "water.data"',
        )


def _weights(lines: list[list[str]]) -> tuple[Weights, Weights]:
    """Those of special_bonds. InputError for a line that is not let through."""
    if len(lines) > 1:
        raise InputError("special_bonds twice", where=WHERE, fix="give one line")
    of_pairs, of_charges = WEIGHTS["charmm"]  # all zero, as without such a line
    words = list(lines[0]) if lines else []
    while words:
        word = words.pop(0)
        if word in WEIGHTS:
            of_pairs, of_charges = WEIGHTS[word]
            continue
        numbers, words = words[:3], words[3:]
        if word not in ("lj", "coul", "lj/coul") or len(numbers) < 3 or not all(map(_is_share, numbers)):
            raise InputError(
                f"special_bonds {word[:40]} is not let through",
                where=WHERE,
                fix="as in: special_bonds lj/coul 0 0 0.5, or one of amber, charmm, dreiding",
            )
        weights = float(numbers[0]), float(numbers[1]), float(numbers[2])
        of_pairs = of_pairs if word == "coul" else weights
        of_charges = of_charges if word == "lj" else weights
    return of_pairs, of_charges


def _is_share(word: str) -> bool:
    return _is_number(word) and 0.0 <= float(word) <= 1.0


def _refuse_bonded(words: list[str]) -> None:
    """InputError for words of a line about bonds that are not let through."""
    command, *rest = words
    if command.endswith("_style"):
        if len(rest) != 1 or rest[0] not in BONDED[command]:
            raise InputError(
                f"{command} {' '.join(rest)[:40]} is not let through",
                where=WHERE,
                fix=f"one of {', '.join(BONDED[command])}",
            )
        return
    allowed = ("lj", "coul", "lj/coul", *WEIGHTS) if command == "special_bonds" else PARTS
    for number, word in enumerate(rest):
        span = command != "special_bonds" and number == 0 and re.fullmatch(r"[0-9*]+", word)
        if not (span or _is_number(word) or word in allowed):
            raise InputError(f"{command}: {word[:40]!r} is not let through", where=WHERE, fix="give numbers")


def _refuse(words: list[str]) -> None:
    if words[0] not in (*COMMANDS, *OF_MOLECULES):
        fix = next((fix for commands, fix in ELSEWHERE.items() if words[0] in commands.split()), None)
        if fix is None:
            fix = f"the commands are {', '.join((*COMMANDS, *OF_MOLECULES))}"
        raise InputError(f"{words[0][:40]!r} is not let through", where=WHERE, fix=fix)
    if words[0] in OF_MOLECULES:
        if len(words) < 2:
            raise InputError(f"{words[0]!r} says too little", where=WHERE)
        _refuse_bonded(words)
        return
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
    """As LAMMPS reads numbers; Python's float would take nan and 1_0 as well."""
    return bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word, re.ASCII))
