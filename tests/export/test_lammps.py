"""The real LAMMPS, given the files of an export, has the energy and the forces of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import get_distances

from refine import read_calculator
from refine.export import export
from refine.export.read import read_correction
from refine.potentials.correction import PairCorrection
from refine.potentials.lammps import spline_nodes
from refine.system import System, make_system
from tests.export.runs import correction, pairs_of, rows, run_folder
from tests.lammps_reference import energy_and_forces
from tests.potentials.classical.direct import CELLS, random_box

pytestmark = pytest.mark.usefixtures("quick_compilation")

SILICA = {"Si": 40, "O": 80}
SLAG = {"Fe": 24, "Si": 24, "O": 72}


@dataclass(frozen=True)
class Case:
    """A base as a study has it, and a box of atoms no two of which are nearer than `apart`."""

    counts: dict[str, int]
    model: str
    cell: str = "orthorhombic"
    apart: float = 1.7


CASES = {
    "lennard-jones": Case(
        {"Ar": 60, "Kr": 60},
        'base = "lennard-jones"\n'
        "parameters = { epsilon = { Ar = 0.0103, Kr = 0.014 }, sigma = { Ar = 3.4, Kr = 3.65 } }",
        "triclinic",
        2.2,
    ),
    "lennard-jones, cut off": Case(
        {"Ar": 60, "Kr": 60},
        'base = "lennard-jones"\nparameters = { epsilon = 0.0103, sigma = { Ar = 3.4, Kr = 3.65, Ar-Kr = 3.3 } }\n'
        'truncation = "none"\nr_cut = 7.0',
        apart=2.2,
    ),
    "born-mayer": Case(
        {"Na": 60, "Cl": 60},
        'base = "born-mayer"\nparameters = { A = { Na-Cl = 1250.0, Cl-Cl = 3480.0 }, rho = 0.317 }\n'
        "charges = { Na = 1.0, Cl = -1.0 }",
        "triclinic",
    ),
    "buckingham": Case(
        SILICA,
        'base = "buckingham"\nparameters = { A = { Si-O = 18003.7572, O-O = 1388.773 }, rho = { Si-O = 0.2052, '
        "O-O = 0.3623 }, C = { Si-O = 133.5381, O-O = 175.0 } }\ncharges = { Si = 2.4, O = -1.2 }",
    ),
    "buckingham, damped": Case(
        SILICA,
        'base = "buckingham"\nparameters = { A = { Si-O = 18003.7572, O-O = 1388.773 }, rho = { Si-O = 0.2052, '
        'O-O = 0.3623 } }\ncharges = { Si = 2.4, O = -1.2 }\ncoulomb = "dsf"\ndamping = 0.2\nr_cut = 7.0',
        "triclinic",
    ),
    "morse, without the charges": Case(
        {"Fe": 60, "O": 60},
        'base = "morse"\nparameters = { D = 0.08, a = 1.8, r0 = 2.6, C = 2.0 }\n'
        'charges = { Fe = 1.2, O = -1.2 }\ncoulomb = "none"',
    ),
    "bks": Case(SILICA, 'base = "bks"\nr_cut = 7.0'),
    "bks-1990": Case(SILICA, 'base = "bks-1990"', "triclinic"),
    "pedone-2006, three elements": Case(SLAG, 'base = "pedone-2006"\nions = { Fe = "Fe2+" }\nr_cut = 7.5', "triclinic"),
    "guillot-sator-2007": Case(
        {"Fe": 48, "O": 72}, 'base = "guillot-sator-2007"\nions = { Fe = "Fe3+" }\ntruncation = "none"', apart=1.5
    ),
    "by-pair": Case(
        SLAG,
        'base = "by-pair"\ncharges = { Fe = 1.2, Si = 2.4, O = -1.2 }\n[model.pairs]\n'
        'O-Fe = { form = "buckingham-patched", A = 13032.93, rho = 0.19, C = 3.0 }\n'
        'Si-O = { form = "buckingham-r24", A = 20453.6, rho = 0.19173537, C = 93.5, D = 29.0 }\n'
        'O-O = { form = "morse", D = 0.042395, a = 1.379316, r0 = 3.618701 }\n'
        'Fe-Fe = { form = "lennard-jones", epsilon = 0.02, sigma = 2.3 }',
    ),
    "dispersion": Case(
        {"Fe": 16, "O": 16},
        'base = "lennard-jones"\nparameters = { epsilon = 0.02, sigma = 2.0 }\ndispersion = "d3-bj"',
        "triclinic",
    ),
    "stillinger-weber": Case({"Si": 120}, 'base = "stillinger-weber"', "triclinic", 2.0),
    "stillinger-weber, of another element": Case(
        {"Ge": 120},
        'base = "stillinger-weber"\nparameters = { epsilon = 1.93, sigma = 2.181, a = 1.8, lambda3 = 31.0, '
        "gamma = 1.2, cos_theta0 = -0.3333333333, A = 7.049556277, B = 0.6022245584, p = 4.0, q = 0.0 }",
        apart=2.0,
    ),
    "tersoff": Case({"Si": 120}, 'base = "tersoff"', apart=2.0),
}


def in_lammps(folder: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> tuple[float, np.ndarray]:
    """What an input script that includes the exported one gives."""
    export(folder, "lammps", folder / "lammps")
    monkeypatch.chdir(folder / "lammps")
    types = np.repeat(np.arange(len(system.species)), system.n_per_species) + 1
    return energy_and_forces(system.cell, types, system.positions, ["neighbor 0.5 bin", "include potential.in"])


def in_the_engine(folder: Path, system: System) -> tuple[np.ndarray, np.ndarray]:
    """Energies of the atoms and forces."""
    symbols = [s for s, n in zip(system.species, system.n_per_species, strict=True) for _ in range(n)]
    atoms = Atoms(symbols, system.positions, cell=system.cell, pbc=True, calculator=read_calculator(folder))
    return atoms.get_potential_energies(), atoms.get_forces()


def agree(folder: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-6 of the energies of the atoms (which cancel where there are charges) and of the rms force."""
    energies, forces = in_the_engine(folder, system)
    energy, theirs = in_lammps(folder, system, monkeypatch)
    assert abs(energies.sum() - energy) < 1e-6 * np.abs(energies).sum()
    np.testing.assert_allclose(forces, theirs, rtol=0, atol=1e-6 * np.sqrt(np.mean(forces**2)))


def walled(system: System, seed: int = 4) -> PairCorrection:
    """A correction in whose walls some atoms are, and none at an edge of one: the kink of the force there is what a
    spline cannot follow (`test_the_edge_of_a_wall`). So each core is in the widest gap of the shortest distances."""
    assert system.positions is not None
    counts = dict(zip(system.species, system.n_per_species, strict=True))
    _, r = get_distances(system.positions, cell=system.cell, pbc=True)
    names = np.repeat(system.species, system.n_per_species)
    cores = []
    for a, b in pairs_of(counts):
        shortest = np.unique(r[np.ix_(names == a, names == b)].round(9))[1:12]
        widest = int(np.argmax(np.diff(shortest)))
        cores.append(shortest[widest : widest + 2].mean())
    return correction(counts, seed=seed).with_core(cores)


@pytest.mark.parametrize("name", CASES)
def test_energy_and_forces(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    system = random_box(case.counts, CELLS[case.cell], case.apart)
    agree(run_folder(tmp_path, case.counts, case.model, rows(walled(system))), system, monkeypatch)


def test_refined_parameters_of_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The final ones of result.json are those that both have."""
    case = CASES["lennard-jones"]
    system = random_box(case.counts, CELLS[case.cell], case.apart)
    table = {
        "epsilon Ar-Kr": {"initial": 0.012, "final": 0.02},
        "sigma Ar-Kr": {"initial": 3.525, "final": 3.4},
        "sigma Kr-Kr": {"initial": 3.65, "final": 3.5},
    }
    run_folder(tmp_path, case.counts, case.model, rows(walled(system)))
    before = in_the_engine(tmp_path, system)[0].sum()
    run_folder(tmp_path, case.counts, case.model, rows(walled(system)), parameters=table)
    agree(tmp_path, system, monkeypatch)
    base = read_correction(tmp_path).base()
    np.testing.assert_array_equal(base.epsilon, [0.0103, 0.02, 0.014])
    np.testing.assert_array_equal(base.sigma, [3.4, 3.4, 3.5])
    assert abs(in_the_engine(tmp_path, system)[0].sum() - before) > 1.0


PATCHED = 'base = "buckingham-patched"\nparameters = { A = 1388.773, rho = 0.3623, C = 175.0 }'


def test_the_edge_of_a_wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dimers from deep in a patched core to the end of the correction: the force to 1e-6 eV/Å, and within 0.03 Å of an
    edge, where its slope jumps, to a tenth of a step of the splines times the jump."""
    barrier = 1.503707  # Å, of the Buckingham; there its second derivative changes sign, 114.46 eV/Å^2
    edges = np.array([1.5, barrier, 5.5, 6.0])  # and of the correction's wall, of the switch
    r = np.unique(np.concatenate([np.linspace(0.7, 5.99, 300), np.linspace(1.49, 1.515, 101)]))
    counts = {"O": 2 * len(r)}
    run_folder(tmp_path, counts, PATCHED, rows(correction(counts)))
    exported = read_correction(tmp_path)
    positions = np.zeros((len(r), 2, 3))
    positions[:, 1, 0] = r
    positions += 20.0 * np.arange(len(r))[:, None, None] * np.array([1.0, 0.0, 0.0])
    cell = np.diag([20.0 * len(r), 20.0, 20.0])
    _, theirs = in_lammps(tmp_path, make_system(counts, cell, positions.reshape(-1, 3)), monkeypatch)
    exact = -exported.base().derivative(r)[0] - exported.correction.derivative(r)[0]
    off = np.abs(theirs[1::2, 0] - exact)
    near = np.abs(r[:, None] - edges).min(axis=1) < 0.03
    assert off[~near].max() < 1e-6
    step = 6.0**2 / spline_nodes(6.0) / (2 * barrier)
    assert off.max() < 0.1 * step * (2 * 114.46 + 170.0)
