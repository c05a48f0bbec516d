"""A base of the lines of a LAMMPS input: its potential, and nothing else of it."""

from __future__ import annotations

import re
from pathlib import Path

from refine.errors import InputError
from refine.potentials.lammps_base import potentials_of_lammps
from refine.potentials.lammps_commands import COMMANDS, OF_MOLECULES, STYLES, joined, taken_apart
from refine.tables.toml import toml_value
from refine.tasks.init.paths import seen_from

LONGEST = 1_000_000
"""Bytes of an input script."""

Line = tuple[str, str, str]


def is_input(file: Path) -> bool:
    """Whether a file is a LAMMPS input: a text with a line pair_style."""
    try:
        with file.open("rb") as stream:
            head = stream.read(LONGEST)
    except OSError:
        return False
    return b"\0" not in head and re.search(rb"^[ \t]*pair_style[ \t]", head, re.MULTILINE) is not None


def base_of_input(file: Path, folder: Path) -> tuple[Line, ...]:
    """The lines of [model] of a study in `folder`: key, value as TOML, and where it is from.

    Raises:
        InputError: the input is too long, in other units than metal and real, has molecules, or lines of its potential
            that are not let through.
    """
    if file.stat().st_size > LONGEST:
        raise InputError(f"a LAMMPS input of more than {LONGEST} bytes", where=str(file), fix="keep its pair lines")
    units, kept, files = "lj", list[str](), dict[str, str]()
    for line in joined(file.read_text(encoding="utf-8", errors="replace")).splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["units"] and len(words) > 1:
            units = words[1]
        elif words and words[0] in OF_MOLECULES:
            raise InputError(
                f"it has molecules ({words[0]}), of which no study is written here",
                where=str(file),
                fix="write [model] topology by hand: docs/engines.md, Molecules",
            )
        elif words and words[0] in COMMANDS:
            if words[0] == "pair_coeff":
                words[3:] = [_named(word, file.parent, folder, files) for word in words[3:]]
            kept.append(" ".join(words))
    if units not in ("metal", "real"):
        raise InputError(
            f"its units are {units[:20]!r}", where=str(file), fix="write the potential in units metal or real"
        )
    text = "\n".join(kept)
    try:
        taken_apart(text)
    except InputError as error:
        raise InputError(error.what, where=str(file), fix=error.fix) from None
    lines = [("base", '"lammps"', f"the potential of {file.name}")]
    lines += [("units", f'"{units}"', "")] if units != "metal" else []
    lines += [("files", toml_value(list(files.values())), "")] if files else []
    return (*lines, ("commands", f'"""\n{text}\n"""', ""))


def _named(word: str, beside: Path, folder: Path, files: dict[str, str]) -> str:
    """A word of a pair_coeff: of a file its name alone, and the file is put down as the study names it."""
    if word in STYLES:
        return word
    there, own = beside / word, potentials_of_lammps()
    if there.is_file():
        files[there.name] = seen_from(folder, there)
    elif "/" in word:
        raise InputError(f"{word[:80]}: no such file", where="pair_coeff", fix="give it relative to the input")
    elif own is not None and (own / word).is_file():
        files[word] = word
    return there.name
