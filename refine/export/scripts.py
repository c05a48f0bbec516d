"""ASE and OpenMM: the columns, and a Python file that makes a calculator or forces of them."""

from __future__ import annotations

import json

from refine.export.columns import csv_files
from refine.export.read import Exported


def ase_files(exported: Exported) -> dict[str, str]:
    """The columns and `correction.py` with an ASE calculator that reads them."""
    return csv_files(exported) | {"correction.py": _script(ASE, exported)}


def openmm_files(exported: Exported) -> dict[str, str]:
    """The columns and `correction.py` that makes OpenMM forces of them."""
    return csv_files(exported) | {"correction.py": _script(OPENMM, exported)}


def _script(template: str, exported: Exported) -> str:
    pairs = [list(pair) for _, pair in exported.pairs]
    return template.replace("@TITLE@", json.dumps(exported.about)).replace("@PAIRS@", json.dumps(pairs))


ASE = '''"""ASE calculator of a refined pair correction; add it to the base with ase.calculators.mixing.SumCalculator.

    from ase.calculators.mixing import SumCalculator
    atoms.calc = SumCalculator([base, Correction()])

Species such as H:methyl are atoms of H whose array "site" has methyl.
"""

from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.interpolate import CubicHermiteSpline

ABOUT = @TITLE@
PAIRS = @PAIRS@


class Correction(Calculator):
    """Sum of tabulated pair functions (eV, Å), cubic between the rows of the files beside this one."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, folder=Path(__file__).parent):
        super().__init__()
        self.functions = {}
        for a, b in PAIRS:
            columns = np.loadtxt(Path(folder) / f"{a}-{b}.csv", delimiter=",", skiprows=1, usecols=(0, 1, 2))
            phi = CubicHermiteSpline(*columns.T)
            self.functions[frozenset((a, b))] = phi, phi.derivative()
            self.cutoff = columns[-1, 0]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, j, r, vectors = neighbor_list("ijdD", self.atoms, self.cutoff)
        energies, slopes = np.zeros(len(r)), np.zeros(len(r))
        symbols = np.array(self.atoms.get_chemical_symbols())
        if self.atoms.has("site"):
            symbols = np.array([f"{a}:{site}" if site else a for a, site in zip(symbols, self.atoms.get_array("site"))])
        elif any(":" in name for pair in self.functions for name in pair):
            raise ValueError('sites of elements have functions of their own: give the atoms an array "site"')
        for pair, (phi, slope) in self.functions.items():
            a, b = sorted(pair) if len(pair) == 2 else 2 * list(pair)
            rows = ((symbols[i] == a) & (symbols[j] == b)) | ((symbols[i] == b) & (symbols[j] == a))
            energies[rows], slopes[rows] = phi(r[rows]), slope(r[rows])
        pulls = (slopes / r)[:, None] * vectors  # on i, towards j
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, pulls)
        energy = energies.sum() / 2
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if self.atoms.cell.rank == 3:
            stress = np.einsum("na,nb->ab", pulls, vectors) / 2 / self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
'''

OPENMM = '''"""OpenMM forces of a refined pair correction; add them to a System that holds the base.

    from correction import add_forces
    add_forces(system, [atom.element.symbol for atom in topology.atoms()])

Where the correction is of species such as H:methyl, give these in place of symbols.
"""

import csv
from pathlib import Path

import openmm

ABOUT = @TITLE@
PAIRS = @PAIRS@
EV, ANGSTROM = 96.48533212, 0.1  # kJ/mol and nm


def add_forces(system, symbols, folder=Path(__file__).parent, periodic=True):
    """One CustomNonbondedForce with a Continuous1DFunction for each pair of elements; the forces."""
    forces = []
    for a, b in PAIRS:
        with open(Path(folder) / f"{a}-{b}.csv", newline="") as file:
            rows = [(float(row[0]), float(row[1])) for row in list(csv.reader(file))[1:]]
        r = [ANGSTROM * row[0] for row in rows]
        force = openmm.CustomNonbondedForce("phi(r)")
        force.addTabulatedFunction("phi", openmm.Continuous1DFunction([EV * row[1] for row in rows], r[0], r[-1]))
        for _ in symbols:
            force.addParticle([])
        first, second = ([k for k, symbol in enumerate(symbols) if symbol == name] for name in (a, b))
        force.addInteractionGroup(first, second)
        force.setNonbondedMethod(force.CutoffPeriodic if periodic else force.CutoffNonPeriodic)
        force.setCutoffDistance(r[-1])
        system.addForce(force)
        forces.append(force)
    return forces
'''
