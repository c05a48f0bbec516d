"""The ASE calculator: invariances, finite differences, odd cells, and how little it compiles."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from scipy.spatial.transform import Rotation

import refine
from kernels.neighbors import build
from kernels.pair import pair_table, table_radii
from refine.errors import InputError, RefineError, SimulationError
from refine.potentials.classical import base_potential
from refine.potentials.classical.base import ClassicalBase
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.base import MacePotential
from refine.potentials.mace.reader.neutral import write_neutral
from refine.potentials.many_body.potentials import many_body
from refine.system import make_system
from tests.potentials.classical.direct import CELLS, direct, random_box
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODEL = random_checkpoint(3, agnesi=True)
PAIRS = (("Fe", "Fe"), ("Fe", "O"), ("O", "O"))
SKEWED = np.array([[3.9, 0.0, 0.0], [-1.7, 4.4, 0.0], [1.2, 0.9, 5.1]])
"""Å; an atom has neighbours in 124 images of this cell."""


def oxide(pbc: bool | tuple[bool, bool, bool] = True) -> Atoms:
    """Five atoms, out of order and out of the cell."""
    positions = np.array([[0.2, 0.1, 0.3], [2.2, 2.0, 0.9], [0.8, 2.5, 3.0], [6.5, 1.1, 2.9], [1.3, 4.7, 6.1]])
    return Atoms("OFeOFeO", positions, cell=SKEWED, pbc=pbc)


def corrected() -> PairCorrection:
    zero = PairCorrection.zero(PAIRS, SplineBasis(1.5, 6.5, 10), stiffness=50.0)
    theta = np.random.default_rng(0).normal(scale=0.05, size=30)
    return zero.with_theta(theta).with_core([2.0, 1.6, 2.1])


@pytest.fixture(scope="module")
def calculator() -> refine.Calculator:
    return refine.Calculator(MODEL)


@pytest.fixture(scope="module")
def with_correction() -> refine.Calculator:
    return refine.Calculator(MODEL, correction=corrected())


def everything(atoms: Atoms, calculator: refine.Calculator) -> dict[str, np.ndarray]:
    calculator.calculate(atoms)
    return dict(calculator.results)


def test_forces_and_stress_are_derivatives_of_the_energy(with_correction: refine.Calculator) -> None:
    """Of the sum of MACE and correction, in a cell where every atom meets images of itself."""
    atoms = oxide()
    atoms.calc = with_correction
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces).max() > 0.5
    assert np.abs(stress).max() > 1e-3
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), rtol=1e-6, atol=1e-8)
    assert abs(forces.sum(axis=0)).max() < 1e-11


def test_the_energy_holds_e0_and_the_parts_add_up(
    calculator: refine.Calculator, with_correction: refine.Calculator
) -> None:
    far = Atoms("FeO", [[0, 0, 0], [0, 0, 30.0]])
    rows = [list(MODEL.architecture.species).index(z) for z in (26, 8)]
    alone = {row: everything(Atoms(numbers=[MODEL.architecture.species[row]]), calculator) for row in rows}
    together = everything(far, calculator)
    np.testing.assert_allclose(together["energies"], [alone[row]["energy"] for row in rows], rtol=1e-14)
    assert together["energy"] == together["free_energy"] == together["energies"].sum()
    assert (together["energies"] - MODEL.arrays["energies"][0, rows] < 20).all()
    assert "stress" not in together  # no volume

    atoms, phi = oxide(), corrected()
    difference = {
        name: value - everything(atoms, calculator)[name] for name, value in everything(atoms, with_correction).items()
    }
    # the correction by a double loop over images
    energy = 0.0
    steps = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ SKEWED
    for i in range(5):
        for j in range(5):
            shifted = atoms.positions[i] - atoms.positions[j]
            home = np.rint(shifted @ np.linalg.inv(SKEWED)) @ SKEWED
            r = np.linalg.norm(shifted - home - steps, axis=1)
            r = r[(r > 1e-9) & (r < phi.cutoff)]
            names = sorted((atoms.symbols[i], atoms.symbols[j]))
            energy += phi.energy(r)[phi.pairs.index((names[0], names[1]))].sum() / 2
    assert abs(difference["energy"] - energy) < 1e-10
    assert abs(energy) > 0.01


def test_rotations_translations_permutations_and_supercells(calculator: refine.Calculator) -> None:
    atoms = oxide()
    expected = everything(atoms, calculator)
    rotation = Rotation.random(random_state=2).as_matrix()
    order = np.random.default_rng(1).permutation(5)

    moved = Atoms(atoms.symbols, atoms.positions + np.array([11.0, -3.0, 0.7]), cell=SKEWED, pbc=True)
    turned = Atoms(atoms.symbols, atoms.positions @ rotation.T, cell=SKEWED @ rotation.T, pbc=True)
    mirrored = Atoms(atoms.symbols, -atoms.positions, cell=-SKEWED, pbc=True)
    shuffled = atoms[order]
    wrapped = atoms.copy()
    wrapped.wrap()
    other_vectors = atoms.copy()
    other_vectors.set_cell(np.array([[1, 0, 0], [1, 1, 0], [-1, 2, 1]]) @ SKEWED)
    for name, changed in {
        "moved": moved, "turned": turned, "mirrored": mirrored, "shuffled": shuffled, "wrapped": wrapped,
        "other vectors": other_vectors,
    }.items():  # fmt: skip
        found = everything(changed, calculator)
        assert abs(found["energy"] - expected["energy"]) < 1e-9, name
        forces = {"turned": expected["forces"] @ rotation.T, "mirrored": -expected["forces"]}.get(
            name, expected["forces"]
        )
        np.testing.assert_allclose(
            found["forces"], forces[order] if name == "shuffled" else forces, atol=1e-9, err_msg=name
        )
        if name != "turned":
            np.testing.assert_allclose(found["stress"], expected["stress"], atol=1e-11, err_msg=name)
    twice = everything(atoms.repeat((2, 1, 1)), calculator)
    assert abs(twice["energy"] - 2 * expected["energy"]) < 1e-9
    np.testing.assert_allclose(twice["forces"], np.tile(expected["forces"], (2, 1)), atol=1e-9)
    np.testing.assert_allclose(twice["stress"], expected["stress"], atol=1e-11)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False), (False, False, False)])
def test_vectors_that_are_not_periodic_are_vacuum(calculator: refine.Calculator, pbc: tuple[bool, bool, bool]) -> None:
    """The same as in a cell with so much room along them that nothing is there."""
    atoms = oxide(pbc)
    found = everything(atoms, calculator)
    roomy = oxide()
    vectors = roomy.cell.array.copy()
    for k in np.flatnonzero(~np.array(pbc)):
        vectors[k] *= 40.0 / np.linalg.norm(vectors[k])
    roomy.set_cell(vectors)
    expected = everything(roomy, calculator)
    assert abs(found["energy"] - expected["energy"]) < 1e-9
    np.testing.assert_allclose(found["forces"], expected["forces"], atol=1e-9)
    np.testing.assert_allclose(found["stress"] * atoms.get_volume(), expected["stress"] * roomy.get_volume(), atol=1e-9)
    if not any(pbc):
        bare = Atoms(atoms.symbols, atoms.positions)
        assert abs(everything(bare, calculator)["energy"] - found["energy"]) < 1e-9


def test_one_atom_in_a_primitive_cell_is_its_crystal(calculator: refine.Calculator) -> None:
    primitive, cubic = (bulk("Fe", "bcc", a=2.87, cubic=cubic) for cubic in (False, True))
    one, two = everything(primitive, calculator), everything(cubic, calculator)
    assert abs(two["energy"] - 2 * one["energy"]) < 1e-9
    np.testing.assert_allclose(one["stress"], two["stress"], atol=1e-11)
    assert np.abs(one["forces"]).max() < 1e-10


def test_changing_atoms_and_cells_compiles_nothing_more_than_it_must() -> None:
    calculator = refine.Calculator(MODEL)
    atoms = oxide()
    everything(atoms, calculator)
    first = calculator.compilations
    assert first == 3  # counting neighbours, listing them, the model
    rng = np.random.default_rng(0)
    for _ in range(5):
        atoms.rattle(0.01, rng=rng)
        atoms.set_cell(atoms.cell.array * rng.uniform(1.0, 1.02), scale_atoms=True)
        everything(atoms[rng.permutation(5)], calculator)
    assert calculator.compilations == first
    denser = atoms.copy()
    denser.set_cell(atoms.cell.array * 0.85, scale_atoms=True)
    everything(denser, calculator)
    grown = calculator.compilations
    assert grown > first
    everything(atoms, calculator)
    everything(denser, calculator)
    everything(molecule("H2O"), calculator)
    after = calculator.compilations
    everything(atoms, calculator)
    assert calculator.compilations == after


def test_float32_agrees_with_float64(calculator: refine.Calculator) -> None:
    single = everything(oxide(), refine.Calculator(MODEL, dtype="float32"))
    double = everything(oxide(), calculator)
    # E0 is thousands of eV: a float32 sum would be off by 1e-3
    assert abs(single["energy"] - double["energy"]) < 2e-5
    np.testing.assert_allclose(single["forces"], double["forces"], atol=2e-5 * np.abs(double["forces"]).max())


def test_a_file_and_a_correction_with_a_head(tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    write_neutral(random_checkpoint(1, heads=("dft", "cc")), path)
    results = [everything(oxide(), refine.Calculator(path, head=head))["energy"] for head in ("dft", "cc")]
    assert abs(results[0] - results[1]) > 1.0
    with pytest.raises(InputError, match="several heads"):
        refine.Calculator(str(path))
    with pytest.raises(InputError, match="no head 'mp'"):
        refine.Calculator(path, head="mp")


def test_charge_and_spin_of_a_structure() -> None:
    takes = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
    calculator = refine.Calculator(random_checkpoint(1, inputs=takes, nonlinear=True, layers=1))
    atoms = oxide()
    atoms.calc = calculator
    energies = [atoms.get_potential_energy()]
    for info in ({"charge": 1.0}, {"charge": 1, "spin": 3}, {"charge": 0, "spin": 1}):
        atoms.info = info  # ASE itself sees no change in it
        energies.append(atoms.get_potential_energy())
    assert energies[3] == energies[0]
    assert len({round(energy, 6) for energy in energies[:3]}) == 3
    mace = MacePotential(calculator.model.checkpoint, charge=1, spin=3)
    assert everything(oxide(), refine.Calculator(mace))["energy"] == pytest.approx(energies[2], rel=1e-14)
    for wrong, words in (("1", "charge is '1'; give a whole number"), (0.5, "charge is 0.5"), (9, "charge = 9 is not")):
        atoms.info = {"charge": wrong}
        for anew in (calculator, refine.Calculator(mace)):
            atoms.calc = anew
            with pytest.raises(InputError, match=words):
                atoms.get_potential_energy()
    atoms.info = {"charge": 1}  # the calculator that has only refused so far
    assert atoms.get_potential_energy() == pytest.approx(energies[2], rel=1e-14)


def test_other_models_pass_charge_and_spin_over(calculator: refine.Calculator) -> None:
    neutral, charged = oxide(), oxide()
    charged.info = {"charge": 3, "spin": "unknown"}
    assert everything(charged, calculator)["energy"] == everything(neutral, calculator)["energy"]


IONS = {"charges": {"Fe": 1.2, "O": -0.8}}
MORSE = {"D": 0.08, "a": 1.8, "r0": 2.6, "C": 2.0}
CLASSICAL = {
    "ewald": base_potential("morse", ("Fe", "O"), PAIRS, MORSE, 6.2, **IONS),
    "dsf": base_potential("morse", ("Fe", "O"), PAIRS, MORSE, 6.2, coulomb="dsf", **IONS),
    "lennard-jones": base_potential("lennard-jones", ("Fe", "O"), PAIRS, {"epsilon": 0.02, "sigma": 2.0}, 6.2),
    "tersoff": many_body("tersoff", ("Si",), {}),
}


def some(name: str) -> Atoms:
    """Five atoms of the elements that a potential knows, in a cell smaller than its cutoff."""
    return Atoms("Si5", oxide().positions, cell=SKEWED, pbc=True) if name == "tersoff" else oxide()


@pytest.mark.parametrize("name", CLASSICAL)
def test_forces_and_stress_of_classical_potentials(name: str) -> None:
    atoms = some(name)
    atoms.calc = refine.Calculator(CLASSICAL[name])
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), rtol=1e-6, atol=1e-7)
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)


@pytest.mark.parametrize("name", ["ewald", "dsf", "lennard-jones"])
def test_the_sum_over_pairs_by_its_definition(name: str) -> None:
    """Atoms out of order; in the cell, and in one so different that an Ewald sum takes other wave vectors."""
    calculator, atoms = refine.Calculator(CLASSICAL[name]), oxide()
    for scale in (1.0, 1.004, 1.3):
        atoms.set_cell(scale * SKEWED, scale_atoms=True)
        order = np.argsort(atoms.numbers, kind="stable")[::-1]  # iron comes first
        system = make_system({"Fe": 2, "O": 3}, atoms.cell.array, atoms.get_positions(wrap=True)[order])
        energy, forces, virial = direct(CLASSICAL[name], system)
        found = everything(atoms, calculator)
        assert found["energy"] == pytest.approx(energy, abs=1e-5)  # what an Ewald sum leaves out
        np.testing.assert_allclose(found["forces"][order], forces, atol=1e-5)
        assert -3.0 * found["stress"][:3].mean() * atoms.get_volume() == pytest.approx(virial, abs=1e-4)


@pytest.mark.parametrize("name", ["ewald", "dsf", "lennard-jones"])
def test_it_is_what_the_sampler_has(name: str) -> None:
    """Whose pair functions are tables, good to 1e-4 of the largest force, with a correction in them."""
    counts = {"Fe": 20, "O": 30}
    system = random_box(counts, CELLS["triclinic"], 1.9)
    field = ClassicalBase().force_field(CLASSICAL[name], 6.5, system, "float64")

    @jax.jit
    def both(at: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
        neighbors = build(at, cell, 6.6, capacity=48, orthorhombic=False)
        params = field.params(corrected())
        return field.observables(params, at, neighbors, cell)[0], field.forces(params, at, neighbors, cell)

    with jax.enable_x64(True):
        energies, forces = map(np.asarray, both(jnp.asarray(system.positions), jnp.asarray(system.cell)))
    atoms = Atoms("Fe20O30", system.positions, cell=system.cell, pbc=True)
    found = everything(atoms, refine.Calculator(CLASSICAL[name], correction=corrected()))
    np.testing.assert_allclose(found["energies"], energies, atol=1e-4 * np.abs(energies).max())
    np.testing.assert_allclose(found["forces"], forces, atol=1e-4 * np.abs(forces).max())


def test_below_the_inner_end_of_a_potential_as_in_the_sampler() -> None:
    """Ions that a Morse function with C / r^12 keeps apart, at a tenth of its inner end and beyond."""
    potential = CLASSICAL["ewald"]
    radii = table_radii(potential.inner, potential.cutoff, 400_000)
    table = pair_table(potential.energy(radii), potential.derivative(radii), radii[0], potential.cutoff, np.float64)
    r = potential.inner * np.linspace(0.1, 1.2, 12)
    place = (r**2 * float(table.inverse_spacing)) + float(table.offset)
    piece = place.astype(int)
    g = np.asarray(table.value)[:, piece] + (place - piece) * np.asarray(table.slope)[:, piece]
    energy, derivative = potential.continued(r)
    np.testing.assert_allclose(derivative, -g * r, rtol=1e-3)
    middle, step = r + 1e-3, 1e-5
    difference = (potential.continued(middle + step)[0] - potential.continued(middle - step)[0]) / (2 * step)
    np.testing.assert_allclose(potential.continued(middle)[1], difference, rtol=1e-5)
    assert np.all(np.diff(energy) < 0.0)


@pytest.mark.parametrize(
    ("name", "atoms", "words"),
    [
        ("tersoff", oxide(), "tersoff is for one element"),
        ("lennard-jones", Atoms("H"), "the base has no pair H-H"),
        ("ewald", oxide(pbc=False), "periodic along all vectors"),
        ("ewald", Atoms("FeO", [[0, 0, 0], [0, 0, 2]], cell=[9, 9, 9], pbc=True), "the box has a charge of"),
    ],
)
def test_what_a_classical_potential_cannot_do_is_one_line(name: str, atoms: Atoms, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        everything(atoms, refine.Calculator(CLASSICAL[name]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms(), "no atoms"),
        (Atoms("Xe", cell=[9, 9, 9], pbc=True), "does not know Xe"),
        (Atoms("Fe", cell=[9, 9, 0], pbc=True), "periodic along vector c of the cell, which is zero"),
        (Atoms("Fe", cell=[[4, 0, 0], [8, 0, 0], [0, 0, 4]], pbc=True), "not independent"),
        (Atoms("Fe", [[np.nan, 0, 0]]), "not a finite number"),
        (Atoms("Fe2", [[0, 0, 0], [0, 0, 0]]), "atoms on one spot"),
        (Atoms("Fe", cell=[1e-5, 5, 5], pbc=True), "repeat the cell along its short vectors"),
    ],
)
def test_what_cannot_be_calculated_is_one_line(calculator: refine.Calculator, atoms: Atoms, words: str) -> None:
    with pytest.raises(RefineError, match=words) as caught:
        everything(atoms, calculator)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError | SimulationError)


def test_arguments_that_cannot_be_used(with_correction: refine.Calculator) -> None:
    with pytest.raises(InputError, match="no pair H-H"):
        everything(molecule("H2O"), with_correction)
    with pytest.raises(InputError, match="no head 'mp'"):
        refine.Calculator(CLASSICAL["tersoff"], head="mp")
    with pytest.raises(InputError, match="float16"):
        refine.Calculator(MODEL, dtype="float16")
    with pytest.raises(InputError, match="no such file, and no published model"):
        refine.Calculator("nothing.model")
