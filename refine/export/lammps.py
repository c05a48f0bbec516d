"""LAMMPS: tables and potential files, and the lines of an input script that add them up.

A classical base is exported whole. The short-range part of each pair is a table, with the engine's own end at the
cutoff and its own core, so it does not matter whether LAMMPS has the form; charges are left to LAMMPS' coul/long with
an Ewald sum of the engine's width, or to coul/dsf, which is the engine's formula. Stillinger-Weber and Tersoff are
potential files, and D3 is LAMMPS' own. A MACE model needs a file and a style that LAMMPS does not bring: remarks say
which.

LAMMPS makes splines of force and energy at `spline_nodes` equal steps in r^2. Where the force is smooth they agree with
it to 1e-6 eV/Å. Where its slope jumps (both ends of the switch, the edge of a patched core or of the correction's wall)
the force within a few steps, of 0.001 to 0.003 Å, is off by at most a tenth of a step times the jump.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import refine
from refine.export.read import POINTS, Exported
from refine.potentials.classical import BASES as CLASSICAL_BASES
from refine.potentials.classical import PairForm
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.classical.many_body import ManyBody, StillingerWeber, Tersoff
from refine.potentials.dispersion import BOHR, CUTOFF
from refine.potentials.mace.weights import MODEL_FILE

Array = NDArray[np.float64]

SCRIPT, CORRECTION, BASE = "potential.in", "correction.table", "base.table"

NODES_REACH = 6.0
"""Å up to which `POINTS` nodes in r^2 are as close on the walls of atoms as they are asked to be."""

EWALD_ACCURACY = 1e-6
"""Of LAMMPS' Ewald sum: rms error of a force, in that of two elementary charges an Å apart."""


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


def lammps_files(exported: Exported) -> dict[str, str]:
    """`potential.in` with the lines of an input script, and the files that it names: `correction.table`, and of the
    base `base.table` or a potential file."""
    correction, dispersion = _correction(exported), _dispersion(exported)
    base = _base(exported, [*dispersion.styles, *correction.styles])
    parts = [base, dispersion, correction]
    texts = {SCRIPT: _script(exported, parts)}
    for part in reversed(parts):
        texts |= part.files
    # LAMMPS wants ASCII
    return {name: text.encode("ascii", "replace").decode("ascii") for name, text in texts.items()}


def spline_nodes(cutoff: float) -> int:
    """Of the splines that LAMMPS makes of a table up to a cutoff (Å)."""
    return POINTS * math.ceil((cutoff / NODES_REACH) ** 2)


def _script(exported: Exported, parts: list[Part]) -> str:
    before = [line for part in parts for line in part.before]
    charged = "; atom_style charge" if any(line.startswith("set ") for line in before) else ""
    lines = [
        f"# {exported.study.title}: base {exported.study.model.base!r} and its correction",
        f"# include it when box and atoms are there; units metal{charged}",
        f"# types: {', '.join(f'{k} {s}' for s, k in _types(exported).items())}",
        *before,
        f"pair_style hybrid/overlay {' '.join(style for part in parts for style in part.styles)}",
        *(line for part in parts for line in part.coefficients),
        *(line for part in parts for line in part.after),
    ]
    return "\n".join(lines) + "\n"


def _correction(exported: Exported) -> Part:
    r, correction, types = exported.radii, exported.correction, _types(exported)
    energy, slope = correction.energy(r), correction.derivative(r)
    sections = [
        # slope of the force at both ends: of the wall where it reaches the first point, and none at the cutoff
        _section(f"{a}-{b}", r, energy[p], -slope[p], (-correction.stiffness * float(r[0] < correction.wall[p]), 0.0))
        for p, (a, b) in exported.pairs
    ]
    about = f"pair correction refined against total scattering, on top of base {exported.study.model.base!r}"
    # LAMMPS tells a style from another one of its name by a number
    name = "table 2" if exported.study.model.base in CLASSICAL_BASES else "table"
    return Part(
        (f"table spline {spline_nodes(correction.cutoff)}",),
        coefficients=tuple(
            f"pair_coeff {_type_pair(types, pair)} {name} {CORRECTION} {'-'.join(pair)}" for _, pair in exported.pairs
        ),
        files={CORRECTION: _table(exported, f"{about}; useless without it", sections)},
    )


def _dispersion(exported: Exported) -> Part:
    if exported.study.model.dispersion == "none":
        return Part()
    reach = f"{CUTOFF * BOHR:.12g}"  # of energies, and of coordination numbers
    return Part(
        (f"dispersion/d3 bj pbe {reach} {reach}",),
        ("# dispersion/d3 is in LAMMPS since 2025, package EXTRA-PAIR",),
        (f"pair_coeff * * dispersion/d3 {' '.join(exported.species)}",),
    )


def _types(exported: Exported) -> dict[str, int]:
    return {symbol: k + 1 for k, symbol in enumerate(exported.species)}


def _type_pair(types: dict[str, int], pair: tuple[str, str]) -> str:
    i, j = sorted(types[symbol] for symbol in pair)
    return f"{i} {j}"


def _table(exported: Exported, about: str, sections: Iterable[str]) -> str:
    head = (
        f"# UNITS: metal  CONTRIBUTOR: refine {refine.__version__}\n"
        f"# {exported.study.title}: {about}\n"
        "# r (Angstrom), energy (eV), force (eV/Angstrom)"
    )
    return "\n".join([head, *sections]) + "\n"


def _section(label: str, r: Array, energy: Array, force: Array, slopes: tuple[float, float]) -> str:
    """Of equally spaced r (n,); slopes: of the force at both ends, eV/Å^2."""
    head = f"\n{label}\nN {len(r)} R {r[0]:.15g} {r[-1]:.15g} FPRIME {slopes[0]:.12g} {slopes[1]:.12g}\n"
    return "\n".join([head, *(f"{k + 1} {r[k]:.12g} {energy[k]:.12g} {force[k]:.12g}" for k in range(len(r)))])


# ---- bases


def _base(exported: Exported, beside: list[str]) -> Part:
    """beside: the styles of what comes on top."""
    if exported.study.model.base == "mace":
        return _mace(exported, beside)
    potential = exported.base()
    return _pair_form(exported, potential) if isinstance(potential, PairForm) else _many_body(exported, potential)


def _pair_form(exported: Exported, potential: PairForm) -> Part:
    """A table for each pair with a short-range part: what the engine sums without the pair function of charges."""
    types, cutoff = _types(exported), potential.cutoff
    r = np.linspace(cutoff / POINTS, cutoff, POINTS)
    energy, slope = _without_coulomb(potential, r)
    step = 1e-4 * r[0]
    near = _without_coulomb(potential, np.array([r[0] + step, cutoff - step]))[1]
    first, last = (slope[:, 0] - near[:, 0]) / step, (near[:, 1] - slope[:, -1]) / step
    rows = np.flatnonzero(potential.interacting)
    labels = {row: "-".join(potential.pairs[row]) for row in rows}
    part = "what is not Coulomb" if potential.coulomb is not None else "all of it"
    sections = [_section(labels[row], r, energy[row], -slope[row], (first[row], last[row])) for row in rows]
    charged = Part() if potential.coulomb is None else _coulomb(potential.coulomb, types)
    return Part(
        (f"table spline {spline_nodes(cutoff)}", *charged.styles),
        charged.before,
        (
            *(f"pair_coeff {_type_pair(types, potential.pairs[row])} table 1 {BASE} {labels[row]}" for row in rows),
            *charged.coefficients,
        ),
        charged.after,
        {BASE: _table(exported, f"base {exported.study.model.base!r}, {part}", sections)},
    )


def _without_coulomb(potential: PairForm, r: Array) -> tuple[Array, Array]:
    """What the engine sums, less the pair function of charges: energy and derivative, (pairs, n). From the inner end of
    the potential on it is the short-range part; below, the engine has no charges."""
    energy, slope = potential.short_range(r)
    below = r < potential.inner
    if below.any():
        parts = potential.continued(r[below])
        if potential.coulomb is not None:
            charged = potential.coulomb.pair(r[below])
            parts = parts[0] - charged[0], parts[1] - charged[1]
        energy[:, below], slope[:, below] = parts
    return energy, slope


def _coulomb(charged: Coulomb, types: dict[str, int]) -> Part:
    charges = tuple(
        f"set type {types[symbol]} charge {float(q)!r}"
        for symbol, q in zip(charged.species, charged.charges, strict=True)
    )
    if charged.method == "dsf":
        return Part((f"coul/dsf {charged.alpha!r} {charged.cutoff!r}",), charges, ("pair_coeff * * coul/dsf",))
    return Part(
        (f"coul/long {charged.cutoff!r}",),
        charges,
        ("pair_coeff * * coul/long",),
        (
            "pair_modify pair coul/long table 0",
            "# pppm instead of ewald is faster for many atoms",
            f"kspace_style ewald {EWALD_ACCURACY:g}",
            f"kspace_modify gewald {charged.alpha!r}",
        ),
    )


def _many_body(exported: Exported, potential: ManyBody) -> Part:
    style, text = MANY_BODY[type(potential)]
    (symbol,) = exported.species
    name = f"base.{style}"
    source = f"# UNITS: metal  CONTRIBUTOR: refine {refine.__version__}\n# {potential.name}, for {symbol}\n"
    return Part(
        (style,),
        coefficients=(f"pair_coeff * * {style} {name} {symbol}",),
        files={name: source + text(potential, symbol)},
    )


def _stillinger_weber(p: StillingerWeber, symbol: str) -> str:
    """epsilon, sigma, a, lambda, gamma, cos theta_0, A, B, p, q, and no tolerance of its own."""
    numbers = p.epsilon, p.sigma, p.a, p.lambda3, p.gamma, p.cos_theta0, p.A, p.B, p.p, p.q, 0.0
    return f"{symbol} {symbol} {symbol} {_joined(numbers)}\n"


def _tersoff(p: Tersoff, symbol: str) -> str:
    """m = 3, gamma = 1, lambda3, c, d, cos theta_0, n, beta, lambda2, B, R, D, lambda1, A."""
    numbers = 3.0, 1.0, p.lambda3, p.c, p.d, p.h, p.n, p.beta, p.lambda2, p.B, p.R, p.D, p.lambda1, p.A
    return f"{symbol} {symbol} {symbol} {_joined(numbers)}\n"


MANY_BODY: dict[type, tuple[str, Callable[[Any, str], str]]] = {
    StillingerWeber: ("sw", _stillinger_weber),
    Tersoff: ("tersoff", _tersoff),
}
"""LAMMPS' pair style of a many-body potential, and the text of its file."""


def _joined(numbers: Iterable[float]) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def _mace(exported: Exported, beside: list[str]) -> Part:
    model, elements, others = exported.study.model, " ".join(exported.species), " ".join(beside)
    remarks = [
        f"# The base is the MACE model {model.name or model.path}. Make a LAMMPS model of its file with MACE's own",
        "# create_lammps_model.py, and complete the two lines below, in a LAMMPS that has pair_style mace:",
        f"#   pair_style hybrid/overlay mace no_domain_decomposition {others}",
        f"#   pair_coeff * * mace MODEL-lammps.pt {elements}",
        "# or, with --format=mliap and a LAMMPS that has ML-IAP:",
        f"#   pair_style hybrid/overlay mliap unified MODEL-mliap_lammps.pt 0 {others}",
        f"#   pair_coeff * * mliap {elements}",
    ]
    if exported.parameters is not None:
        remarks.append(f"# Its weights were refined: they are in {MODEL_FILE} beside result.json, not in that file.")
    return Part(before=tuple(remarks))
