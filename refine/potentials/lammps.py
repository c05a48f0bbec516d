"""What a potential is to LAMMPS: a part of an input script, and tables of pair functions (`refine.export.lammps`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import refine
from refine.potentials.topology import Topology, Weights

if TYPE_CHECKING:
    from refine.potentials.correction import PairCorrection

Array = NDArray[np.float64]

POINTS = 5000
"""Of a table."""

CORRECTION = "correction.table"
"""The file of the tables of a correction."""

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
        paths: files that are read where they are, by the names that the lines have.
        units: of LAMMPS, that the lines are in.
        corrected: whether `Script.correction` is in its tables.
        topology: of the molecules, None: there are none.  weights: of a pair potential between atoms that one, two or
            three bonds join.  everywhere: whether the correction acts on them as on all others, else with the weights.
        missing: what LAMMPS does not bring, without which the lines do not run; None: nothing.
    """

    styles: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    coefficients: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    units: str = "metal"
    corrected: bool = False
    topology: Topology | None = None
    weights: Weights = (0.0, 0.0, 0.0)
    everywhere: bool = False
    missing: str | None = None


@dataclass(frozen=True)
class Script:
    """The input script that parts belong to.

    Attributes:
        title: of the study.
        species: LAMMPS types 1, 2, ...
        beside: styles of what comes on top of the base.
        atoms: of the box; 0: it is not known yet.
        correction: that a base may add to its own tables, which then cost one look instead of two; None: it may not.

    >>> silica = Script("glass", ("Si", "O"))
    >>> silica.types, silica.type_pair(("O", "Si"))
    ({'Si': 1, 'O': 2}, '1 2')
    """

    title: str
    species: tuple[str, ...]
    beside: tuple[str, ...] = ()
    atoms: int = 0
    correction: PairCorrection | None = None

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


def correction_style(cutoff: float) -> str:
    """The style of a correction that ends at a cutoff (Å).

    >>> correction_style(8.0)
    'table spline 10000'
    """
    return f"table spline {spline_nodes(cutoff)}"


def table_radii(cutoff: float) -> Array:
    """(POINTS,) Å, of tables that end at a cutoff."""
    return np.linspace(cutoff / POINTS, cutoff, POINTS)


def correction_part(correction: PairCorrection, script: Script, base: Part, about: str) -> Part:
    """A correction on top of a base, as tables of its pairs; about: what a reader of the file is told."""
    r = table_radii(correction.cutoff)
    energy, slope = correction.energy(r), correction.derivative(r)
    pairs = [(p, correction.pairs[p]) for p in correction.active_pairs]
    sections = [
        # slope of the force at both ends: of the wall where it reaches the first point, and none at the cutoff
        section(f"{a}-{b}", r, energy[p], -slope[p], (-correction.stiffness * float(r[0] < correction.wall[p]), 0.0))
        for p, (a, b) in pairs
    ]
    name = "table 2" if any(style.startswith("table ") for style in base.styles) else "table"
    return Part(
        (correction_style(correction.cutoff),),
        coefficients=tuple(
            f"pair_coeff {script.type_pair(pair)} {name} {CORRECTION} {'-'.join(pair)}" for _, pair in pairs
        ),
        after=(f"pair_modify pair {name} special lj 1.0 1.0 1.0",) if base.everywhere else (),
        files={CORRECTION: script.table(about, sections)},
    )


def commands_of(parts: Sequence[Part]) -> list[str]:
    """The lines of an input script that add parts up.

    >>> commands_of([Part(("sw",), coefficients=("pair_coeff * * sw Si.sw Si",))])
    ['pair_style hybrid/overlay sw', 'pair_coeff * * sw Si.sw Si']
    """
    return [
        *(line for part in parts for line in part.before),
        f"pair_style hybrid/overlay {' '.join(style for part in parts for style in part.styles)}",
        *(line for part in parts for line in part.coefficients),
        *(line for part in parts for line in part.after),
    ]
