"""What a potential is to LAMMPS: a part of an input script, and tables of pair functions (`refine.export.lammps`)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

import refine

Array = NDArray[np.float64]

POINTS = 5000
"""Of a table."""

NODES_REACH = 6.0
"""Å up to which `POINTS` nodes in r^2 are as close on the walls of atoms as they are asked to be."""


@dataclass(frozen=True)
class Part:
    """What a part of the potential adds to an input script.

    Attributes:
        styles: of pair_style hybrid/overlay.
        before, after: lines before pair_style and after all of pair_coeff.
        coefficients: lines of pair_coeff.
        files: texts by name.
    """

    styles: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    coefficients: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Script:
    """The input script that parts belong to.

    Attributes:
        title: of the study.
        species: LAMMPS types 1, 2, ...
        beside: styles of what comes on top of the base.

    >>> silica = Script("glass", ("Si", "O"))
    >>> silica.types, silica.type_pair(("O", "Si"))
    ({'Si': 1, 'O': 2}, '1 2')
    """

    title: str
    species: tuple[str, ...]
    beside: tuple[str, ...] = ()

    @property
    def types(self) -> dict[str, int]:
        """Type of each species."""
        return {symbol: k + 1 for k, symbol in enumerate(self.species)}

    def type_pair(self, pair: tuple[str, str]) -> str:
        """Two types as pair_coeff takes them."""
        i, j = sorted(self.types[symbol] for symbol in pair)
        return f"{i} {j}"

    def table(self, about: str, sections: Iterable[str]) -> str:
        """Text of a file of pair_style table."""
        head = f"{head_line()}\n# {self.title}: {about}\n# r (Angstrom), energy (eV), force (eV/Angstrom)"
        return "\n".join([head, *sections]) + "\n"


def head_line() -> str:
    """First line of every file: units, and who wrote it."""
    return f"# UNITS: metal  CONTRIBUTOR: refine {refine.__version__}"


def section(label: str, r: Array, energy: Array, force: Array, slopes: tuple[float, float]) -> str:
    """A pair function of equally spaced r (n,) Å, in eV and eV/Å; slopes: of the force at both ends, eV/Å^2.

    >>> r = np.array([1.0, 2.0])
    >>> print(section("Ar-Ar", r, 1.0 / r, 1.0 / r**2, (-2.0, -0.25)))
    <BLANKLINE>
    Ar-Ar
    N 2 R 1 2 FPRIME -2 -0.25
    <BLANKLINE>
    1 1 1 1
    2 2 0.5 0.25
    """
    head = f"\n{label}\nN {len(r)} R {r[0]:.15g} {r[-1]:.15g} FPRIME {slopes[0]:.12g} {slopes[1]:.12g}\n"
    return "\n".join([head, *(f"{k + 1} {r[k]:.12g} {energy[k]:.12g} {force[k]:.12g}" for k in range(len(r)))])


def spline_nodes(cutoff: float) -> int:
    """Of the splines that LAMMPS makes of a table up to a cutoff (Å).

    >>> spline_nodes(8.0)
    10000
    """
    return POINTS * math.ceil((cutoff / NODES_REACH) ** 2)
