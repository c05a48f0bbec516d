"""Trajectory files of other programs, frame by frame: which format, which frames, and which atoms they are of."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refine.errors import InputError
from refine.formula import element_of
from refine.sampling.formats import BINARY, FORMATS, Naming, binary_kind
from refine.sampling.formats.binary import refuse_binary
from refine.sampling.formats.lammps import STEP, label_column
from refine.sampling.formats.pdb import refuse_disorder
from refine.sampling.structure_files import STRUCTURE_FORMATS, UNREADABLE, kind_of, reason_of, renamed
from refine.sites import set_species

if TYPE_CHECKING:
    from ase import Atoms

TRAJECTORY_FORMATS = (
    *("extxyz", "lammps-dump-text", "vasp-xdatcar", "vasp-out", "vasp-xml"),
    *("gromacs", "proteindatabank", "dlp-history", *BINARY),
)
"""Formats of several frames, plain text by ASE's names, and binary ones."""

SINGLE_FORMATS = tuple(kind for kind in STRUCTURE_FORMATS if kind not in (*TRAJECTORY_FORMATS, "lammps-data"))
"""Structures that count as trajectories of one frame. A LAMMPS data file has types, which ASE takes for elements."""

MAX_IN_MEMORY = 200_000_000
"""Bytes of a file in a format that is taken in as a whole: all but those that are split into frames."""

_HEAD = 65536


class Truncated(InputError):
    """A file that ends within a frame."""


def atoms_of(
    path: Path,
    naming: Naming,
    kind: str | None = None,
    types: Sequence[str] | None = None,
    *,
    usual: Sequence[str] | None = None,
    named: Sequence[str] | None = None,
    first: int = 1,
    last: int | None = None,
    every: int = 1,
) -> Iterator[tuple[int, Atoms, float]]:
    """Number and atoms of the chosen frames, elements set, and the share of the file that has been read.

    The arguments are those of `count_trajectory`; naming: of the labels of a file; usual: `types` of a dump without
    elements where none are given; named: of a binary one, one for every atom, or one for all.
    Raises InputError as that does, and `Truncated` where the file ends within a frame.
    """
    from ase.io import ParseError

    head = _head(path)
    kind = kind_of_trajectory(path) if kind is None else kind
    if kind in BINARY:
        if types is not None or naming.given:
            raise InputError(
                f"a file {kind} has no types and no labels", where=str(path), fix="name its atoms by --atoms FILE"
            )
        yield from _of_binary(path, kind, named, first, last, every)
        return
    if len(head) == _HEAD and b"\n" not in head:
        raise InputError("not a text file of lines", where=str(path))
    if named is not None and len(named) > 1 and kind in (*TRAJECTORY_FORMATS, *SINGLE_FORMATS) and usual is None:
        raise InputError(
            "the file names its atoms", where="--atoms", fix=f"leave it out: it is of {' | '.join(BINARY)}"
        )
    formats = (*TRAJECTORY_FORMATS, *SINGLE_FORMATS)
    where, fix = str(path), f"use one of {', '.join(formats)}"
    if kind not in formats:
        raise InputError(f"trajectories of format {kind!r} are not read", where=where, fix=fix)
    size = path.stat().st_size
    split = FORMATS[kind].split if kind in FORMATS else None
    if split is None and size > MAX_IN_MEMORY:
        raise InputError(f"a {kind} file of {size / 1e6:.0f} MB", where=where, fix="convert it to extended XYZ")
    if kind == "proteindatabank":
        refuse_disorder(path)
    typed = _by_type(head, kind, types, usual, naming, where)
    # of what is split here these are the file's faults, and others are ours
    broken = (ValueError, EOFError) if split is not None else (ParseError, EOFError, *UNREADABLE)
    number = 0
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace") as stream:
        frames: Iterator[str] | Iterator[Atoms]  # text of a frame, or what ASE has made of it
        frames = (
            _by_ase(path, kind) if kind not in FORMATS else iter([stream.read()]) if split is None else split(stream)
        )
        while last is None or number < last:
            number += 1
            at = f"{where}, frame {number}"
            mend = _mend(number)
            try:
                frame = next(frames, None)
            except InputError:
                raise
            except broken as error:
                fault = Truncated if isinstance(error, EOFError) else InputError
                raise fault(f"not readable as {kind}: {reason_of(error)}", where=at, fix=mend) from None
            if frame is None:
                return
            if number < first or (number - first) % every:
                continue
            try:
                if isinstance(frame, str):
                    atoms = FORMATS[kind].atoms(frame, naming, at)
                else:
                    atoms = renamed(frame, naming, at, kind)
            except InputError:
                raise
            except (ParseError, EOFError, *UNREADABLE) as error:
                raise InputError(f"not readable as {kind}: {reason_of(error)}", where=at, fix=mend) from None
            if typed:
                _set_elements(atoms, typed, at)
            yield number, atoms, raw.tell() / size if split is not None else 0.0


def _of_binary(
    path: Path, kind: str, named: Sequence[str] | None, first: int, last: int | None, every: int
) -> Iterator[tuple[int, Atoms, float]]:
    """`atoms_of` of one of `BINARY`."""
    from ase import Atoms

    if named is None:
        raise InputError(
            f"a file {kind} does not name its atoms",
            where=str(path),
            fix="give a structure with the same ones by --atoms FILE",
        )
    size, whose = path.stat().st_size, None
    with path.open("rb") as stream:
        frames, number = BINARY[kind].frames(stream), 0
        while last is None or number < last:
            number += 1
            try:
                frame = next(frames, None)
            except (ValueError, EOFError) as error:
                fault, at = Truncated if isinstance(error, EOFError) else InputError, f"{path}, frame {number}"
                raise fault(f"not readable as {kind}: {error}", where=at, fix=_mend(number)) from None
            if frame is None:
                return
            if number < first or (number - first) % every:
                continue
            if whose is None:
                species = list(named) * (len(frame.positions) if len(named) == 1 else 1)
                if len(species) != len(frame.positions):
                    raise InputError(
                        f"the file has {len(frame.positions)} atoms, and {len(species)} are named", where=str(path)
                    )
                whose = set_species(Atoms(numbers=[0] * len(species)), species)
            atoms = whose.copy()
            atoms.positions = frame.positions
            if frame.cell is not None:
                atoms.set_cell(frame.cell)
                atoms.set_pbc(True)
            if frame.step >= 0:
                atoms.info[STEP] = frame.step
            yield number, atoms, stream.tell() / size


def _mend(number: int) -> str:
    """What to do about the frame of a number."""
    return "mend the file" + (f", or stop before it: --last {number - 1}" if number > 1 else "")


def _by_ase(path: Path, kind: str) -> Iterator[Atoms]:
    import ase.io

    yield from ase.io.iread(path, slice(None), format=kind, do_not_split_by_at_sign=True)


def _head(path: Path) -> bytes:
    where = str(path)
    if not path.is_file():
        raise InputError("no such trajectory", where=where)
    if path.suffix in (".gz", ".bz2", ".xz"):
        raise InputError("a compressed trajectory", where=where, fix="decompress it")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=where) from None
    if not head.strip():
        raise InputError("the file is empty", where=where)
    refuse_binary(head, where)
    return head


def kind_of_trajectory(path: Path) -> str:
    """The format of a file. InputError where there is none, or it is of no format that is known."""
    from ase.io.formats import UnknownFileTypeError

    head = _head(path)
    if (binary := binary_kind(head)) is not None:
        return binary
    try:
        return kind_of(path, head)
    except (UnknownFileTypeError, *UNREADABLE):
        raise InputError(
            "not a known trajectory format", where=str(path), fix=f"name it: --format {' | '.join(TRAJECTORY_FORMATS)}"
        ) from None


def _by_type(
    head: bytes,
    kind: str,
    types: Sequence[str] | None,
    usual: Sequence[str] | None,
    naming: Naming,
    where: str,
) -> tuple[str, ...]:
    """Elements by atom type, where the file has no elements; else nothing."""
    from ase.data import atomic_numbers

    named = True
    if kind == "lammps-dump-text":
        lines = head.decode("latin-1").splitlines()
        at = next((k for k, line in enumerate(lines[:-1]) if line.startswith("ITEM: ATOMS")), None)
        numbered = bool(naming.given) and types is None
        label = None if at is None else label_column(lines[at], lines[at + 1], numbered=numbered)
        named = label is not None or (types is None and at is not None and "mass" in lines[at].split())
    if not named and types is None:
        types = usual
    if named and types is not None:
        raise InputError("the file names its elements", where=where, fix="leave --species out, or use --elements")
    if types is not None and naming.given:
        raise InputError("--species and --elements are both given", where=where, fix="leave one of them out")
    if not named and types is None:
        raise InputError(
            "the dump holds atom types, no elements",
            where=where,
            fix="give the element of each type in order, as in --species Si,O, or --elements 1=Si,2=O",
        )
    for symbol in types or ():
        if atomic_numbers.get(element_of(symbol), 0) == 0:
            raise InputError(f"unknown element {symbol!r}", where="--species", fix="write them as Si,O")
    return () if named else tuple(types or ())


def _set_elements(atoms: Atoms, types: tuple[str, ...], at: str) -> None:
    numbers = np.asarray(atoms.arrays.get("type", atoms.numbers))
    if numbers.min() < 1 or numbers.max() > len(types):
        raise InputError(
            f"atom types run from {numbers.min()} to {numbers.max()} and --species names {len(types)} elements",
            where=at,
            fix="name the element of each type in order, as in --species Si,O",
        )
    set_species(atoms, [types[t - 1] for t in numbers])
