"""Structure files in: read with ASE, text formats only, and checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from refine.errors import InputError
from refine.formula import element_of
from refine.sampling.cells import in_words, taken, upright_vectors
from refine.sampling.formats import FORMATS, Naming, kind_by_content
from refine.sampling.formats.pdb import refuse_disorder
from refine.sampling.periodic import close_pairs
from refine.sites import deuterium_in, set_species, species_of_atoms
from refine.system import System, make_system, number_density_from_mass

if TYPE_CHECKING:
    from ase import Atoms


DENSITY_TOLERANCE = 0.005
"""Relative difference beyond which a structure's number density contradicts the one declared."""

STRUCTURE_FORMATS = (
    "extxyz",
    "xyz",
    "cif",
    "vasp",
    "lammps-data",
    "xsf",
    "proteindatabank",
    "gromacs",
    "gen",
    "res",
    "aims",
    "rmc6f",
    "dlp4",
    "ato",
)
"""Formats that are plain text, by ASE's names; binary and pickled ones are refused: reading them can run code."""

_MAX_FILE = 200_000_000

_MASS_TOLERANCE = 0.05  # amu; 40.0 could be argon or calcium

_CLEAR_COLUMNS = (5, 7, 8, 10)  # of LAMMPS's atoms: style atomic or full, with or without the numbers of images

FARTHEST = 1e8  # Å; unwrapped coordinates go far, and of larger ones too few digits are left

OVERLAP = 0.5  # Å; no two atoms of any real structure come this close


def read_structure(
    path: str | Path,
    number_density: float | None = None,
    species: tuple[str, ...] | None = None,
    *,
    mass_density: float | None = None,
    types: tuple[str, ...] | None = None,
    elements: Mapping[str, str] | None = None,
    stated: Collection[str] = (),
) -> System:
    """Read a periodic structure (the last frame of a file that holds several) and sort its atoms by species.

    number_density: atoms/Å^3; when given it must agree with the file to 0.5 %.  mass_density: the same in g/cm^3.
    types: elements of the atom types 1, 2, ... of a LAMMPS data file; None: what its labels or masses say.
    elements: of a file that has labels, the element of a label, before all rules (`elements`).
    species: the order of the elements; None: the order in which they first appear.
    stated: elements that the study names, for files that name atoms and not elements (`elements`).
    A cell that is a needle or strongly skewed without need is replaced by another one of the same lattice
    (`refine.sampling.cells`), of which `System.notes` tells.
    Raises InputError for a file that is missing, empty, too large, not one of `STRUCTURE_FORMATS` or not readable,
    for one without a cell or not periodic in all three directions, for coinciding atoms, and for types, a density or
    species that disagree.
    """
    path = Path(path)
    atoms = _read_atoms(path, types, Naming.of(elements, species or stated))
    where = str(path)
    refuse_unbounded(atoms.positions, atoms.cell.array, where)
    if abs(np.linalg.det(atoms.cell.array)) < 1e-6:
        raise InputError("the structure has no cell", where=where, fix='give all three vectors (extxyz: Lattice="...")')
    if not atoms.pbc.all():
        raise InputError(
            f"the structure is periodic along {int(atoms.pbc.sum())} of 3 vectors",
            where=where,
            fix='make it periodic (extxyz: pbc="T T T")',
        )
    symbols, isotopes = deuterium_in(species_of_atoms(atoms), species)
    present = tuple(dict.fromkeys(symbols))
    order = present if species is None else species
    if set(order) != set(present):
        raise InputError(f"the structure holds {', '.join(present)}, the study {', '.join(order)}", where=where)
    rank = np.array([order.index(symbol) for symbol in symbols])
    counts = {symbol: symbols.count(symbol) for symbol in order}
    positions = atoms.positions[np.argsort(rank, kind="stable")]
    given = cell = atoms.cell.array
    notes: tuple[str, ...] = ()
    upright = upright_vectors(given)
    if upright is not None:
        cell = taken(upright, given)
        notes = (f"{where}: {in_words(given, cell)}",)
    shortest = float(np.linalg.norm(cell, axis=1).min())
    if shortest < OVERLAP:
        raise InputError(f"atoms are {shortest:.2g} Å from their own images", where=where, fix="mend the cell")
    system = replace(make_system(counts, cell, positions, where=where), isotopes=isotopes, notes=notes)
    if mass_density is not None:
        number_density = number_density_from_mass(counts, mass_density, isotopes)
    if number_density is not None and abs(system.number_density / number_density - 1) > DENSITY_TOLERANCE:
        raise InputError(
            f"the structure has {system.number_density:.5f} atoms/Å^3, the study says {number_density:.5f}",
            where=where,
            fix="correct the density or rescale the structure",
        )
    overlapping = len(close_pairs(positions, cell, OVERLAP)[0])
    if overlapping:
        raise InputError(
            f"{overlapping} pairs of atoms are closer than {OVERLAP} Å", where=where, fix="remove duplicates"
        )
    return system


def refuse_unbounded(positions: np.ndarray, cell: np.ndarray, where: str) -> None:
    """InputError for coordinates (N, 3) or lattice vectors (3, 3) that are no numbers, or beyond `FARTHEST`."""
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise InputError("a coordinate or lattice vector is not a finite number", where=where)
    largest = max(float(np.abs(positions).max(initial=0.0)), float(np.abs(cell).max()))
    if largest > FARTHEST:
        raise InputError(f"a coordinate or lattice vector of {largest:.3g} Å", where=where, fix="give lengths in Å")


def species_in(
    path: str | Path,
    species: tuple[str, ...] | None = None,
    *,
    types: tuple[str, ...] | None = None,
    elements: Mapping[str, str] | None = None,
) -> list[str]:
    """Of every atom of a structure file, in its order, whatever its cell; else as `read_structure`."""
    return species_of_atoms(_read_atoms(Path(path), types, Naming.of(elements, species or ())))


def _read_atoms(path: Path, types: tuple[str, ...] | None, naming: Naming) -> Atoms:
    import ase.io
    from ase.io import ParseError
    from ase.io.formats import UnknownFileTypeError

    where = str(path)
    fix = f"use one of {', '.join(STRUCTURE_FORMATS)}"
    if not path.is_file():
        raise InputError("no such structure file", where=where)
    if not 0 < path.stat().st_size <= _MAX_FILE:
        raise InputError(
            f"a structure file of {path.stat().st_size} bytes", where=where, fix="1 byte to 200 MB are read"
        )
    if path.suffix in (".gz", ".bz2", ".xz"):
        raise InputError("a compressed structure file", where=where, fix="decompress it")
    try:
        with path.open("rb") as stream:
            kind = kind_of(path, stream.read(4096))
    except (UnknownFileTypeError, *UNREADABLE):
        raise InputError("not a known structure format", where=where, fix=fix) from None
    if kind not in STRUCTURE_FORMATS:
        raise InputError(f"structure files of format {kind!r} are not read", where=where, fix=fix)
    by_type = _types(path, types, naming) if kind == "lammps-data" else {}
    if types is not None and kind != "lammps-data":
        raise InputError(
            f"structure_species are those of a LAMMPS data file, and this is {kind!r}", where=where, fix="remove them"
        )
    try:
        if kind in FORMATS:
            if kind == "proteindatabank":
                refuse_disorder(path)
            atoms = FORMATS[kind].atoms(_last_frame(path, kind), naming, where)
        else:
            # types in the place of atomic numbers: where atoms have labels, ASE keeps no types
            options: dict[str, Any] = {"Z_of_type": {number: number for number in by_type}} if by_type else {}
            atoms = cast("Atoms", ase.io.read(path, index=-1, format=kind, **options))
            if by_type:
                set_species(atoms, [by_type[number] for number in atoms.numbers.tolist()])
            else:
                atoms = renamed(atoms, naming, where, kind)
    except InputError:
        raise
    except (ParseError, EOFError, *UNREADABLE) as error:
        raise InputError(f"not readable as {kind}: {reason_of(error)}", where=where, fix="mend the file") from None
    if len(atoms) == 0:
        raise InputError("the structure has no atoms", where=where)
    if kind == "lammps-data":
        _check_types(atoms, types, where)
    return atoms


def reason_of(error: Exception) -> str:
    """What ASE stumbled over, in words: of a label that is no element it says no more than the label."""
    if isinstance(error, KeyError) and error.args and not str(error.args[0]).isdigit():
        return f"unknown element {str(error.args[0])[:40]!r}: write symbols of elements, without charges or numbers"
    if isinstance(error, EOFError) and str(error):
        return str(error)
    return f"{type(error).__name__} {error}".strip()


def renamed(atoms: Atoms, naming: Naming, where: str, kind: str) -> Atoms:
    """Atoms of a file whose elements ASE has read, some of them others as the user says."""
    if naming.given:
        set_species(atoms, naming.elements(species_of_atoms(atoms), where, kind))
    return atoms


def kind_of(path: Path, head: bytes) -> str:
    """The format of a file by its first lines, or as ASE has it by its name. head: 4 kB of it, or all.

    ASE knows a LAMMPS data file by the name alone, and there are many. Raises what ASE raises.
    """
    from ase.io.formats import filetype

    if re.search(rb"^[ \t]*[0-9]+[ \t]+atom[ \t]+types\b", head[:4096], re.MULTILINE) is not None:
        return "lammps-data"
    return kind_by_content(head[:4096].decode("latin-1").replace("\r\n", "\n")) or str(filetype(str(path)))


def _last_frame(path: Path, kind: str) -> str:
    split = FORMATS[kind].split
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        if split is None:
            return stream.read()
        text = ""
        for frame in split(stream):
            text = frame
    if not text:
        raise EOFError("no frame")
    return text


def _types(path: Path, types: tuple[str, ...] | None, naming: Naming) -> dict[int, str]:
    """Species of the atom types of a LAMMPS data file; none where its masses say. Left alone ASE takes type 1 for
    hydrogen, 2 for helium, and so on, and makes arrays of any size that the header names."""
    from ase.data import atomic_numbers

    text = path.read_text(encoding="utf-8-sig", errors="replace")
    header = re.search(r"^[ \t]*([0-9]+)[ \t]+atoms\b", text, re.MULTILINE)
    if header is not None and (len(header[1]) > 9 or int(header[1]) > len(text) // 8):
        raise InputError(f"the header speaks of {header[1][:20]} atoms, and the file is shorter", where=str(path))
    _refuse_lammps_data(text, int(header[1]) if header is not None else None, str(path))
    if types is not None:
        unknown = [name for name in types if atomic_numbers.get(element_of(name), 0) == 0]
        if unknown:
            raise InputError(f"unknown element {unknown[0]!r}", where=str(path), fix="use symbols of elements")
        return dict(enumerate(types, 1))
    section = re.search(r"^[ \t]*Atom[ \t]+Type[ \t]+Labels\b.*\n((?:[ \t]*(?:\d+[ \t]+\S.*)?\n)*)", text, re.MULTILINE)
    masses = re.search(r"^[ \t]*Masses\b", text, re.MULTILINE)
    if section is not None and (naming.given or masses is None):
        labels = dict(re.findall(r"^[ \t]*(\d+)[ \t]+(\S+)", section[1], re.MULTILINE))
        symbols = naming.elements(list(labels.values()), str(path), "lammps-data")
        return {int(k): name for k, name in zip(labels, symbols, strict=True)}
    if section is None and masses is None:
        raise InputError(
            "the file has atom types and neither masses nor labels",
            where=str(path),
            fix='name the elements of types 1, 2, ..., as in structure_species = ["Si", "O"]',
        )
    return {}


def _refuse_lammps_data(text: str, atoms: int | None, where: str) -> None:
    """InputError for lengths that are not in Å, rows of atoms that are not as many as the header says, and atoms whose
    columns may mean two things."""
    units = re.search(r"\bunits\s*=\s*(\w+)", text.partition("\n")[0])
    if units is not None and units[1] not in ("metal", "real"):
        what = f"lengths in {units[1]!r} units; those of metal and real are Å"
        raise InputError(what, where=where, fix="convert them")
    heading = re.search(r"^[ \t]*Atoms\b[ \t]*(#[ \t]*\w+)?.*$", text, re.MULTILINE)
    if heading is None:
        return
    body = (row.partition("#")[0].split() for row in text[heading.end() :].splitlines())
    rows = list(takewhile(lambda row: row[0].isdecimal(), filter(None, body)))
    if atoms is not None and len(rows) != atoms:
        raise InputError(f"{len(rows)} rows of atoms, and the header says {atoms}", where=where, fix="mend the file")
    if heading[1] is None and rows and len(rows[0]) not in _CLEAR_COLUMNS:
        raise InputError(
            f"atoms of {len(rows[0])} columns, and the file does not say what they are",
            where=where,
            fix="write the atom style behind the heading, as in 'Atoms # charge'",
        )


def _check_types(atoms: Atoms, types: tuple[str, ...] | None, where: str) -> None:
    """The elements that ASE took must be those that were named, or have the masses of the file."""
    from ase.data import atomic_masses

    present = int(atoms.arrays["type"].max())
    if types is not None:
        if present != len(types):
            raise InputError(f"the file has atom types to {present}, {len(types)} species are given", where=where)
        return
    off = np.abs(atoms.get_masses() - atomic_masses[atoms.numbers])
    off[atoms.numbers == 0] = np.inf  # what ASE finds no element for
    if atoms.has("masses") and off.max() > _MASS_TOLERANCE:
        raise InputError(
            f"a mass of {atoms.get_masses()[off.argmax()]:g} is that of no element",
            where=where,
            fix='name the elements of types 1, 2, ..., as in structure_species = ["Si", "O"]',
        )


# what ASE's parsers are seen to raise on broken text
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RuntimeError,
    StopIteration,
    SyntaxError,
)
