"""Formats that are read here, or taken apart here for ASE: one line of `FORMATS` each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TextIO

from refine.sampling.elements import Naming
from refine.sampling.formats import dcd, trr, xtc
from refine.sampling.formats.binary import BinaryFrame
from refine.sampling.formats.cif import cif_atoms
from refine.sampling.formats.dl_poly import config_atoms, history_atoms, is_config, is_history, split_history
from refine.sampling.formats.epsr import ato_atoms
from refine.sampling.formats.gromacs import gro_atoms, split_gro
from refine.sampling.formats.lammps import dump_atoms, split_dump
from refine.sampling.formats.pdb import pdb_atoms, split_pdb
from refine.sampling.formats.rmcprofile import is_rmc6f, rmc6f_atoms
from refine.sampling.formats.shelx import res_atoms
from refine.sampling.formats.vasp import poscar_atoms, split_xdatcar, xdatcar_atoms
from refine.sampling.formats.xyz import split_xyz, xyz_atoms

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["BINARY", "FORMATS", "Binary", "Format", "Naming", "binary_kind", "kind_by_content"]


@dataclass(frozen=True)
class Format:
    """How a text format is read.

    atoms: of the text of one frame, a naming of its labels, and where it stands, for errors. ValueError, EOFError and
    what ASE raises are faults of the text.
    split: a file into the texts of its frames, none of them in memory longer than it is looked at; None: one frame.
    """

    atoms: Callable[[str, Naming, str], Atoms]
    split: Callable[[TextIO], Iterator[str]] | None = None


FORMATS = {
    "extxyz": Format(xyz_atoms, split_xyz),
    "lammps-dump-text": Format(dump_atoms, split_dump),
    "vasp-xdatcar": Format(xdatcar_atoms, split_xdatcar),
    "proteindatabank": Format(pdb_atoms, split_pdb),
    "gromacs": Format(gro_atoms, split_gro),
    "dlp-history": Format(history_atoms, split_history),
    "dlp4": Format(config_atoms),
    "rmc6f": Format(rmc6f_atoms),
    "ato": Format(ato_atoms),
    "cif": Format(cif_atoms),
    "vasp": Format(poscar_atoms),
    "res": Format(res_atoms),
}
"""By the names that ASE has for them; EPSR's it does not know."""

_BY_CONTENT: dict[str, Callable[[str], bool]] = {
    "lammps-dump-text": lambda head: "ITEM: TIMESTEP" in head[:2000],  # ASE does not know it with the ends of Windows
    "rmc6f": is_rmc6f,
    "dlp-history": is_history,
    "dlp4": is_config,
}


def kind_by_content(head: str) -> str | None:
    """The format of a file by its first lines, where they tell; ASE looks at names first, and a CONFIG may have any."""
    return next((kind for kind, is_one in _BY_CONTENT.items() if is_one(head)), None)


@dataclass(frozen=True)
class Binary:
    """How a binary trajectory is read, whose atoms have no names.

    is_one: by the first bytes of a file.  frames: of a file from its begin on, one after the other; ValueError and
    EOFError, where it ends within a frame, are its faults.
    """

    is_one: Callable[[bytes], bool]
    frames: Callable[[BinaryIO], Iterator[BinaryFrame]]


BINARY = {
    "dcd": Binary(dcd.is_dcd, dcd.frames_in),
    "xtc": Binary(xtc.is_xtc, xtc.frames_in),
    "trr": Binary(trr.is_trr, trr.frames_in),
}


def binary_kind(head: bytes) -> str | None:
    """Which of `BINARY` a file is, by its first bytes; None: none of them."""
    return next((kind for kind, binary in BINARY.items() if binary.is_one(head)), None)
