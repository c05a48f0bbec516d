"""Every form and set on random boxes against the real LAMMPS, Coulomb included: 1e-6 of energy and forces."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from refine.potentials.classical import PairForm, base_potential
from refine.potentials.classical.coulomb import Coulomb
from refine.system import System
from tests.lammps_reference import energy_and_forces
from tests.potentials.classical.direct import CELLS, direct, random_box

CUT = 7.0
EWALD = ["kspace_style ewald 1e-9"]
PAIR_COULOMB = f"coul/long {CUT}"


@dataclass(frozen=True)
class Case:
    """A base as a study names it, and what LAMMPS is told to have the same.

    terms: pair styles of LAMMPS, and coefficients by "A-B", which are added to each other.
    """

    base: str
    counts: dict[str, int]
    options: dict[str, Any]
    terms: dict[str, dict[str, str]]
    charges: dict[str, float] = field(default_factory=dict)
    dsf: float | None = None
    apart: float = 1.7

    def commands(self, species: tuple[str, ...]) -> list[str]:
        types = {name: k + 1 for k, name in enumerate(species)}
        styles = dict(self.terms)
        if self.charges:
            own = f"coul/dsf {self.dsf} {CUT}" if self.dsf else PAIR_COULOMB
            styles[own] = {"*": ""}
        lines = [f"set type {types[name]} charge {q}" for name, q in self.charges.items()]
        lines.append("pair_style hybrid/overlay " + " ".join(styles))
        for style, table in styles.items():
            for pair, numbers in table.items():
                where = "* *" if pair == "*" else " ".join(str(t) for t in sorted(types[a] for a in pair.split("-")))
                lines.append(f"pair_coeff {where} {style.split()[0]} {numbers}")
        if self.charges and not self.dsf:
            lines += ["pair_modify pair coul/long table 0", *EWALD]
        return [*lines, "neighbor 0.5 bin"]


def powers(twelfth: dict[str, float]) -> dict[str, dict[str, str]]:
    """C/r^12 of pairs: LAMMPS has it with an r^-6, which a Buckingham without wall takes away."""
    return {
        f"lj/cut {CUT}": {pair: f"{c / 4!r} 1.0" for pair, c in twelfth.items()},
        f"buck {CUT}": {pair: f"0.0 1.0 {-c!r}" for pair, c in twelfth.items()},
    }


KCAL = 1 / 23.060548
ERG = 0.624150648
"""1e-60 erg cm^6 in eV Å^6, and 1e-76 erg cm^8 in eV Å^8."""
SILICA = {"Si": 60, "O": 120}
OXIDE = {"Fe": 70, "O": 70}
FERRIC = {"Fe": 52, "O": 78}
BKS = {"Si": 1.954952037, "O": -0.977476019}
BKS_CORE = {"Si-Si": 78940848.06 * KCAL, "Si-O": 668.7557239 * KCAL, "O-O": 2605.841269 * KCAL}

CASES = {
    "lennard-jones": Case(
        "lennard-jones",
        {"Ar": 80, "Kr": 70},
        {"parameters": {"epsilon": {"Ar": 0.0103, "Kr": 0.014}, "sigma": {"Ar": 3.4, "Kr": 3.65}}},
        {
            f"lj/cut {CUT}": {
                "Ar-Ar": "0.0103 3.4",
                "Kr-Kr": "0.014 3.65",
                "Ar-Kr": f"{(0.0103 * 0.014) ** 0.5!r} 3.525",
            }
        },
        apart=2.3,
    ),
    "born-mayer": Case(
        "born-mayer",
        {"Na": 60, "Cl": 60},
        {"parameters": {"A": {"Na-Cl": 1250.0, "Cl-Cl": 3480.0}, "rho": 0.317}, "charges": {"Na": 1.0, "Cl": -1.0}},
        {f"buck {CUT}": {"Na-Cl": "1250.0 0.317 0.0", "Cl-Cl": "3480.0 0.317 0.0"}},
        {"Na": 1.0, "Cl": -1.0},
    ),
    "buckingham": Case(
        "buckingham",
        SILICA,
        {
            "parameters": {
                "A": {"Si-O": 18003.7572, "O-O": 1388.773},
                "rho": {"Si-O": 0.2052, "O-O": 0.3623},
                "C": {"O-Si": 133.5381, "O-O": 175.0},
            },
            "charges": {"Si": 2.4, "O": -1.2},
        },
        {f"buck {CUT}": {"Si-O": "18003.7572 0.2052 133.5381", "O-O": "1388.773 0.3623 175.0"}},
        {"Si": 2.4, "O": -1.2},
    ),
    "buckingham, damped": Case(
        "buckingham",
        SILICA,
        {
            "parameters": {"A": {"Si-O": 18003.7572, "O-O": 1388.773}, "rho": {"Si-O": 0.2052, "O-O": 0.3623}},
            "charges": {"Si": 2.4, "O": -1.2},
            "coulomb": "dsf",
            "damping": 0.2,
        },
        {f"buck {CUT}": {"Si-O": "18003.7572 0.2052 0.0", "O-O": "1388.773 0.3623 0.0"}},
        {"Si": 2.4, "O": -1.2},
        dsf=0.2,
    ),
    "bks-1990": Case(
        "bks-1990",
        SILICA,
        {},
        {
            f"buck {CUT}": {
                "Si-O": f"18003.7572 {1 / 4.87318!r} 133.5381",
                "O-O": f"1388.773 {1 / 2.76!r} 175.0",
            }
        },
        {"Si": 2.4, "O": -1.2},
    ),
    "bks": Case(
        "bks",
        SILICA,
        {},
        {
            f"mie/cut {CUT}": {pair: f"{d / 4!r} 1.0 24.0 12.0" for pair, d in BKS_CORE.items()},
            f"lj/cut {CUT}": {pair: f"{d / 4!r} 1.0" for pair, d in BKS_CORE.items()},
            f"buck {CUT}": {
                "Si-Si": f"0.0 1.0 {-BKS_CORE['Si-Si']!r}",
                "Si-O": f"{471671.1243 * KCAL!r} 0.19173537 {2156.074422 * KCAL - BKS_CORE['Si-O']!r}",
                "O-O": f"{23138.64826 * KCAL!r} 0.356855265 {1879.223108 * KCAL - BKS_CORE['O-O']!r}",
            },
        },
        BKS,
        dsf=0.25,
        apart=1.5,
    ),
    "pedone, FeO": Case(
        "pedone-2006",
        OXIDE,
        {"ions": {"Fe": "Fe2+"}},
        {
            f"morse {CUT}": {"Fe-O": "0.078171 1.822638 2.658163", "O-O": "0.042395 1.379316 3.618701"},
            **powers({"Fe-O": 2.0, "O-O": 22.0}),
        },
        {"Fe": 1.2, "O": -1.2},
    ),
    "pedone, Fe2O3": Case(
        "pedone-2006",
        FERRIC,
        {"ions": {"Fe": "Fe3+"}},
        {
            f"morse {CUT}": {"Fe-O": "0.418981 1.620376 2.382183", "O-O": "0.042395 1.379316 3.618701"},
            **powers({"Fe-O": 2.0, "O-O": 22.0}),
        },
        {"Fe": 1.8, "O": -1.2},
    ),
    "pedone, SiO2": Case(
        "pedone-2006",
        SILICA,
        {},
        {
            f"morse {CUT}": {"Si-O": "0.340554 2.006700 2.100000", "O-O": "0.042395 1.379316 3.618701"},
            **powers({"Si-O": 1.0, "O-O": 22.0}),
        },
        {"Si": 2.4, "O": -1.2},
    ),
    "guillot-sator, FeO": Case(
        "guillot-sator-2007",
        OXIDE,
        {"ions": {"Fe": "Fe2+"}},
        {f"buck {CUT}": {"Fe-O": "13032.93 0.190 0.0", "O-O": "9022.79 0.265 85.0921"}},
        {"Fe": 0.945, "O": -0.945},
    ),
    "guillot-sator, Fe2O3": Case(
        "guillot-sator-2007",
        FERRIC,
        {"ions": {"Fe": "Fe3+"}},
        {f"buck {CUT}": {"Fe-O": "8020.27 0.190 0.0", "O-O": "9022.79 0.265 85.0921"}},
        {"Fe": 1.4175, "O": -0.945},
    ),
    "du-teter, beyond r0": Case(
        "du-teter",
        OXIDE,
        {"ions": {"Fe": "Fe2+"}},
        {f"buck {CUT}": {"Fe-O": "11777.0703 0.207132 21.642", "O-O": "2029.2204 0.34364 192.58"}},
        {"Fe": 1.2, "O": -1.2},
        apart=1.95,
    ),
    "tosi-fumi, NaCl": Case(
        "tosi-fumi-1964",
        {"Na": 60, "Cl": 60},
        {},
        {
            f"born {CUT}": {  # + D/r^8
                "Na-Na": f"{0.2109796 * 1.25!r} 0.317 2.34 {1.68 * ERG!r} {-0.8 * ERG!r}",
                "Na-Cl": f"{0.2109796!r} 0.317 2.755 {11.2 * ERG!r} {-13.9 * ERG!r}",
                "Cl-Cl": f"{0.2109796 * 0.75!r} 0.317 3.17 {116 * ERG!r} {-233 * ERG!r}",
            }
        },
        {"Na": 1.0, "Cl": -1.0},
        apart=2.0,
    ),
    "by-pair": Case(
        "by-pair",
        OXIDE,
        {
            "pair_forms": {
                "O-Fe": {"form": "buckingham-patched", "A": 13032.93, "rho": 0.19, "C": 3.0},
                "O-O": {"form": "morse", "D": 0.042395, "a": 1.379316, "r0": 3.618701},
                "Fe-Fe": {"form": "lennard-jones", "epsilon": 0.02, "sigma": 2.3},
            },
            "charges": {"Fe": 1.2, "O": -1.2},
        },
        {
            f"buck {CUT}": {"Fe-O": "13032.93 0.19 3.0"},
            f"morse {CUT}": {"O-O": "0.042395 1.379316 3.618701"},
            f"lj/cut {CUT}": {"Fe-Fe": "0.02 2.3"},
        },
        {"Fe": 1.2, "O": -1.2},
    ),
}


def potential_of(case: Case, system: System, tolerance: float) -> PairForm:
    species = system.species
    pairs = tuple((a, b) for i, a in enumerate(species) for b in species[i:])
    options = {"parameters": {}, **case.options}
    found = base_potential(case.base, species, pairs, cutoff=CUT, truncation="none", **options)
    if found.coulomb is None or found.coulomb.method == "dsf":
        return found
    charges = dict(zip(species, found.coulomb.charges, strict=True))
    return replace(found, coulomb=Coulomb.of(species, pairs, charges, CUT, "ewald", tolerance=tolerance))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", CASES)
def test_energy_and_forces(name: str, cell: str) -> None:
    case = CASES[name]
    system = random_box(case.counts, CELLS[cell], case.apart)
    types = np.repeat(np.arange(len(system.species)), system.n_per_species) + 1
    energy, forces, _ = direct(potential_of(case, system, 1e-10), system)
    reference, theirs = energy_and_forces(system.cell, types, system.positions, case.commands(system.species))
    assert energy == pytest.approx(reference, rel=1e-6)
    np.testing.assert_allclose(forces, theirs, rtol=0, atol=1e-6 * np.sqrt(np.mean(theirs**2)))
