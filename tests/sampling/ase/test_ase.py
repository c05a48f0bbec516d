"""ASE as an engine: its calculators beside the potentials' own formulas, and what its dynamics sample."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from refine.errors import InputError, SimulationError
from refine.potentials.ase import AnyCalculator, AseBase, on_top
from refine.potentials.correction import PairCorrection
from refine.sampling.ase.mover import AseMover
from refine.sampling.ase.potential import Acting
from refine.sampling.engines import engine_kind
from refine.sampling.external.mover import FREE, NOTHING, Motion, Start
from refine.sampling.momenta import maxwell_boltzmann
from refine.system import System, make_system
from refine.units import BOLTZMANN, PRESSURE_UNIT, TIME_UNIT
from tests.crystals import face_centred
from tests.export.runs import correction as some_correction
from tests.potentials.test_ase import pairs

pytestmark = pytest.mark.usefixtures("quick_compilation")

EPSILON, SIGMA, CUTOFF = 0.010324, 3.405, 7.0
LJ = {"epsilon": EPSILON, "sigma": SIGMA, "rc": CUTOFF, "smooth": True}


class Silent(LennardJones):  # type: ignore[misc]
    """A calculator without stress."""

    implemented_properties = ("energy", "forces")


class Failing(Calculator):  # type: ignore[misc]
    """One that fails, in several lines, once atoms have moved."""

    implemented_properties = ("energy", "forces")

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls > 3:
            raise RuntimeError("no\nmemory")
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}


def acting(calculator: Any, phi: PairCorrection | None = None, dispersion: str = "none") -> Acting:
    return Acting(calculator, phi, on_top(None, dispersion))


def box(seed: int = 1) -> System:
    """108 argon atoms near their lattice."""
    system = face_centred(3)
    moved = system.positions + np.random.default_rng(seed).normal(scale=0.15, size=(108, 3))
    return make_system({"Ar": 108}, system.cell, moved)


def start(system: System, temperature: float = 90.0, seed: int = 3) -> Start:
    momenta = maxwell_boltzmann(system.masses, temperature, [seed, 0])
    return Start(system.positions, momenta, temperature, seed, NOTHING)


@pytest.mark.parametrize("triclinic", [False, True])
def test_virial_and_stress_are_derivatives_of_the_energy(triclinic: bool) -> None:
    """Base and correction together, all six components; and the trace alone for a calculator without stress."""
    system = box()
    if triclinic:
        shear = np.array([[1.0, 0.0, 0.0], [0.05, 1.0, 0.0], [-0.03, 0.02, 1.0]])
        system = make_system({"Ar": 108}, system.cell @ shear, system.positions @ shear)
    phi = some_correction({"Ar": 108}, r_cut=6.0)
    still, motion = Start(system.positions, np.zeros((108, 3)), 90.0, 1), Motion(FREE, 0.5, 1e-9)
    walk = AseMover(system, acting(LennardJones(**LJ), phi)).walk(still, motion, 1, 1, observe=True, where=(0, 0))

    def energy(strain: Any) -> float:
        by = np.eye(3) + strain
        other = make_system({"Ar": 108}, system.cell @ by, system.positions @ by)
        return AseMover(other, acting(LennardJones(**LJ), phi)).evaluate(other.positions).energy

    expected = np.zeros((3, 3))
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        step = np.zeros((3, 3))
        step[a, b] += 5e-5
        step[b, a] += 5e-5
        expected[a, b] = expected[b, a] = -(energy(step) - energy(-step)) / 2e-4
    scale = np.abs(expected).max()
    np.testing.assert_allclose(walk.virial[0], expected, atol=1e-5 * scale)
    np.testing.assert_allclose(walk.stress[0], walk.virial[0], rtol=1e-12)  # at rest
    silent = AseMover(system, acting(Silent(**LJ), phi)).walk(still, motion, 1, 1, observe=True, where=(0, 0))
    np.testing.assert_allclose(np.trace(silent.virial[0]), np.trace(expected), rtol=3e-4)
    assert np.isnan(silent.virial[0][0, 1])


def test_forces_are_those_of_the_base_and_the_correction() -> None:
    system, phi = box(), some_correction({"Ar": 108}, r_cut=6.0)
    both = AseMover(system, acting(LennardJones(**LJ), phi)).evaluate(system.positions)
    atoms = Atoms("Ar108", system.positions, cell=system.cell, pbc=True)
    atoms.calc = LennardJones(**LJ)
    energy, forces = pairs(atoms, phi)
    np.testing.assert_allclose(both.energy, atoms.get_potential_energy() + energy, rtol=1e-9)
    np.testing.assert_allclose(both.forces, atoms.get_forces() + forces, atol=1e-9)


@pytest.mark.parametrize("thermostat", ["langevin", "nose-hoover", FREE])
def test_what_was_asked_before_changes_no_number(thermostat: str) -> None:
    """Bit for bit, with lists of neighbours that ASE's calculators keep: after other atoms, and after nothing."""
    system, other = box(), box(2)
    motion, phi = Motion(thermostat, 0.1, 5.0), some_correction({"Ar": 108}, r_cut=6.0)
    first = AseMover(system, acting(LennardJones(**LJ), phi)).walk(
        start(system), motion, 2, 5, observe=True, where=(0, 0)
    )
    used = AseMover(system, acting(LennardJones(**LJ), phi))
    used.evaluate(other.positions)
    used.walk(start(other), motion, 1, 5, observe=False, where=(0, 0))
    again = used.walk(start(system), motion, 2, 5, observe=True, where=(0, 0))
    for name, one in first._asdict().items():
        np.testing.assert_array_equal(getattr(again, name), one, err_msg=name)


def test_a_chain_conserves_its_energy() -> None:
    """U + K + sum p^2/2Q + dof kT x_1 + kT (x_2 + x_3) of Nosé-Hoover: to a hundredth of kT in 1 ps, while K varies by
    several kT; and a chain that goes on from its memory is the one that never stopped, to the last bits."""
    system, kT = box(), BOLTZMANN * 90.0
    mover, motion = AseMover(system, acting(LennardJones(**LJ))), Motion("nose-hoover", 0.1, 2.0)
    here, total, kinetic = start(system), [], []
    mass = np.full(3, kT * (100 / TIME_UNIT) ** 2) * [321, 1, 1]
    whole = mover.walk(here, motion, 10, 25, observe=True, where=(0, 0))
    for step in range(10):
        walk = mover.walk(here, motion, 1, 25, observe=True, where=(25 * step, 0))
        here = Start(walk.positions[-1], walk.momenta, 90.0, 1, walk.memory)
        x, p = np.frombuffer(walk.memory.tobytes()).reshape(2, 3)
        chain = np.sum(p**2 / (2 * mass)) + kT * (321 * x[0] + x[1] + x[2])
        total.append(walk.energy[-1] + walk.kinetic[-1] + chain)
        kinetic.append(walk.kinetic[-1])
    assert np.ptp(total) < 0.03 * kT
    assert np.ptp(kinetic) > 3 * kT
    np.testing.assert_allclose(here.positions, whole.positions[-1], atol=1e-6)
    assert np.abs(walk.momenta.sum(axis=0)).max() < 1e-8


def test_momentum_and_degrees_of_freedom_belong_together() -> None:
    assert Motion("langevin", 0.5, 1.0).degrees_of_freedom(10) == 30
    assert Motion("nose-hoover", 0.5, 1.0).degrees_of_freedom(10) == 27
    system = box()
    walk = AseMover(system, acting(LennardJones(**LJ))).walk(
        start(system), Motion("langevin", 0.01, 5.0), 1, 20, observe=False, where=(0, 0)
    )
    assert np.abs(walk.momenta.sum(axis=0)).max() > 1e-3  # of the whole, which Langevin's friction does not conserve


def test_a_box_of_particles_without_energy_has_the_volume_of_an_ideal_gas() -> None:
    """<V> = (N + 1) kT / p at constant pressure, within four standard errors; nothing acts but the moves."""
    n, temperature, pressure = 8, 300.0, 0.05
    system = make_system({"Ar": n}, np.eye(3) * 10.0, np.random.default_rng(1).uniform(0, 10, size=(n, 3)))
    idle = SimpleNamespace(fresh=lambda: Nothing())
    mover = AseMover(system, idle)  # type: ignore[arg-type]
    done = mover.squeeze(start(system, temperature), Motion(FREE, 0.5, 1.0), 4000, pressure, 1.0, where=(0, 0))
    volumes = done.volumes.volume[200:]
    expected = (n + 1) * BOLTZMANN * temperature / (pressure / PRESSURE_UNIT)
    blocks = volumes.reshape(19, -1).mean(axis=1)
    error = blocks.std(ddof=1) / math.sqrt(19)
    assert error < 0.05 * expected
    assert abs(volumes.mean() - expected) < 4 * error
    assert 0.2 < done.volumes.accepted.mean() < 0.9


class Nothing(Calculator):  # type: ignore[misc]
    """No energy."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}


def test_what_a_calculator_raises_is_one_line_with_its_step() -> None:
    system = box()
    mover = AseMover(system, acting(Failing()))
    with pytest.raises(SimulationError) as caught:
        mover.walk(start(system), Motion("langevin", 0.5, 2.0), 5, 2, observe=False, where=(40, 1))
    assert "steps 42 to 44, replica 1: the calculator failed: RuntimeError: no memory; " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_calculator_that_lacks_the_element_or_the_stress_is_one_line() -> None:
    system, engine = box(), engine_kind("ase")
    base = AnyCalculator(EMT, "ase.calculators.emt:EMT", "1")
    settings = SimpleNamespace(
        thermostat="langevin",
        time_constant=0.5,
        timestep=2.0,
        stride=5,
        precision="float32",
        processes=0,
        threads=1,
        devices=0,
    )
    model = SimpleNamespace(dispersion="none")
    field = engine.field(AseBase(), model, base, 6.0, system, "float32")
    sampler = engine.sampler(system, field, settings, n_bins=10, r_max=7.0, phase="liquid")
    state = sampler.start(system.positions, 90.0, 1)
    with pytest.raises(SimulationError, match=r"the calculator failed: .*No EMT-potential for Ar"):
        sampler.run(state, field.params(None), 90.0, 1)
    silent = engine.field(AseBase(), model, AnyCalculator(Silent, "a:Silent", "1", LJ), 6.0, system, "float32")
    with pytest.raises(InputError, match="the calculator has no stress"):
        engine.constant_energy(
            system,
            silent,
            settings,
            silent.params(None),
            system.positions[None],
            temperature=90.0,
            seed=1,
            interval=0.1,
            phase="liquid",
        )
