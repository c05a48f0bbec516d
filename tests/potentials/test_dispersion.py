"""D3(BJ): published numbers, the formula as it is written, derivatives, and the sum with any base in the sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.neighborlist import neighbor_list
from scipy import constants

import refine
from refine.errors import InputError
from refine.potentials import dispersion
from refine.potentials.classical import LennardJones
from refine.potentials.dispersion import BOHR, D3, HARTREE, DispersionForceField, half_images, tables
from refine.potentials.mace.model import Mace
from refine.potentials.pairs import PairForceField
from refine.potentials.sites import SiteForceField
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import VelocityVerlet
from refine.system import System, make_system
from refine.units import BOLTZMANN
from tests.potentials.mace.models import random_checkpoint

SKEWED = np.array([[5.5, 0.0, 0.0], [-1.9, 5.6, 0.0], [1.3, 1.8, 5.1]])
SPECIES, COUNTS = ("O", "Ar", "Fe"), (4, 2, 3)


def evaluated(function: Callable[..., Any], positions: np.ndarray, cell: np.ndarray, dtype: Any = np.float64) -> Any:
    """What a method of `D3`, or a function of the same arguments, answers: float64 or float32 arrays."""
    with jax.enable_x64(dtype == np.float64):
        images = half_images(cell, 40.0 * BOHR)
        return jax.device_get(jax.jit(function)(jnp.asarray(positions, dtype), jnp.asarray(cell, dtype), images))


def of_atoms(atoms: Atoms, cutoff: float) -> float:
    """meV/atom; a vacuum of 160 Å where there is no cell."""
    atoms = atoms[np.argsort(atoms.numbers, kind="stable")]
    symbols = list(atoms.symbols)
    species = tuple(dict.fromkeys(symbols))
    d3 = D3(species, tuple(symbols.count(s) for s in species), cutoff=cutoff)
    cell = atoms.cell.array if atoms.pbc.all() else 160 * np.eye(3)
    with jax.enable_x64(True):
        energies = d3.energies(jnp.asarray(atoms.positions), jnp.asarray(cell), half_images(cell, d3.cutoff))
    return 1000 * float(np.asarray(energies).mean())


@pytest.mark.parametrize(
    ("atoms", "near", "far"),
    [
        (bulk("FeO", "rocksalt", 4.33, cubic=True), -195.75513, -196.32393),
        (bulk("Al", "fcc", 4.05, cubic=True), -332.87124, -334.05967),
        (bulk("NaCl", "rocksalt", 5.64, cubic=True), -213.79919, -214.48679),
        (Atoms("Ar2", [(0, 0, 0), (0, 0, 3.76)]), -5.580835, -5.580835),
    ],
    ids=["FeO", "Al", "NaCl", "Ar2"],
)
def test_reference_energies(atoms: Atoms, near: float, far: float) -> None:
    """Those of torch-dftd's formulas and tables, at 40 and 95 bohr, meV/atom."""
    assert abs(of_atoms(atoms, 40.0) - near) < 2e-5
    assert abs(of_atoms(atoms, 95.0) - far) < 2e-5


def test_constants() -> None:
    assert constants.value("Bohr radius") * 1e10 == pytest.approx(BOHR, rel=1e-8)
    assert constants.value("Hartree energy in eV") == pytest.approx(HARTREE, rel=1e-8)


def test_tables() -> None:
    own = tables()
    assert own.c6.shape == (254, 254)
    assert set(own.element.tolist()) == set(range(1, 95))
    np.testing.assert_array_equal(own.c6, own.c6.T)
    for z, c6 in ((1, 7.5916), (6, 49.1130), (18, 64.6462)):  # free H, C and Ar
        free = np.flatnonzero((own.element == z) & (own.coordination < 1e-6)).item()
        assert own.c6[free, free] == pytest.approx(c6, abs=1e-4)


def written_out(atoms: Atoms, cutoff: float) -> np.ndarray:
    """Energies (N,) eV from a list of all neighbours and the weights of pairs of references, as the source has them."""
    own = tables()
    i, j, r = neighbor_list("ijd", atoms, cutoff * BOHR)
    r, z = r / BOHR, atoms.numbers
    number = np.bincount(i, 1 / (1 + np.exp(-16 * ((own.radius[z[i]] + own.radius[z[j]]) / r - 1))))
    references = [np.flatnonzero(own.element == element) for element in z]
    c6 = np.empty((len(z), len(z)))
    for a, mine in enumerate(references):
        for b, theirs in enumerate(references):
            away = (number[a] - own.coordination[mine][:, None]) ** 2 + (number[b] - own.coordination[theirs]) ** 2
            c6[a, b] = np.average(own.c6[np.ix_(mine, theirs)], weights=np.exp(-4 * away))
    q = 3 * own.r2r4[z[i]] * own.r2r4[z[j]]
    f = 0.4289 * np.sqrt(q) + 4.4407
    return np.bincount(i, -0.5 * HARTREE * c6[i, j] * (1 / (r**6 + f**6) + 0.7875 * q / (r**8 + f**8)))


def skewed() -> np.ndarray:
    """Nine atoms at least 1.7 Å apart, and two of them in other cells."""
    rng = np.random.default_rng(5)
    points: list[np.ndarray] = []
    while len(points) < sum(COUNTS):
        atoms = Atoms("H" * (len(points) + 1), [*points, rng.uniform(size=3) @ SKEWED], cell=SKEWED, pbc=True)
        if len(points) == 0 or len(neighbor_list("i", atoms, 1.7)) == 0:
            points = list(atoms.positions)
    positions = np.array(points)
    positions[3] += SKEWED[1] - 2 * SKEWED[0]
    positions[7] += 3 * SKEWED[2]
    return positions


class Constant:
    """A base whose virial tensor is 2 eV throughout."""

    cutoff, inner_cutoff, periodic_images, cost = 4.0, None, False, 1.0
    n_per_species, orthorhombic = COUNTS, False

    def virial_tensor(self, params: Any, positions: Any, neighbors: Any, cell: Any) -> jax.Array:
        return jnp.full((3, 3), 2.0)


def test_derivatives_in_a_skewed_cell_of_three_species() -> None:
    positions, d3 = skewed(), D3(SPECIES, COUNTS)
    atoms = Atoms("O4Ar2Fe3", positions, cell=SKEWED, pbc=True)
    forces, strain = (evaluated(function, positions, SKEWED) for function in (d3.forces, d3.strain))
    energies, virials = evaluated(d3.observables, positions, SKEWED)
    np.testing.assert_allclose(energies, written_out(atoms, 40.0), rtol=1e-10)
    assert np.abs(forces).max() > 0.05
    gradient = jax.grad(lambda r, *rest: jnp.sum(d3.energies(r, *rest)))
    np.testing.assert_allclose(forces, -evaluated(gradient, positions, SKEWED), atol=1e-12)
    np.testing.assert_allclose(virials.sum(), -np.trace(strain), rtol=1e-10)
    on_top = DispersionForceField(Constant(), d3, SKEWED)
    tensor = evaluated(lambda r, cell, _: on_top.virial_tensor(None, r, None, cell), positions, SKEWED)
    np.testing.assert_allclose(tensor, 2.0 - strain, atol=1e-12)
    # finite steps, of the sum as it is written; far shorter than the distance of a neighbour from the cutoff
    step = 1e-5
    for atom, axis in ((0, 0), (4, 1), (8, 2)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            ends.append(written_out(moved, 40.0).sum())
        assert abs(forces[atom, axis] + (ends[0] - ends[1]) / (2 * step)) < 1e-6
    for a, b in ((0, 0), (1, 2)):
        ends = []
        for sign in (1, -1):
            by = np.eye(3)
            by[a, b] += sign * 1e-6
            strained = Atoms(atoms.numbers, positions @ by, cell=SKEWED @ by, pbc=True)
            ends.append(written_out(strained, 40.0).sum())
        assert abs(strain[a, b] - (ends[0] - ends[1]) / 2e-6) < 1e-5 * np.abs(strain).max()


def liquid(n: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A shaken simple cubic lattice of O and Fe, 0.07 atoms/Å^3."""
    side = round(n ** (1 / 3))
    length = (side**3 / 0.07) ** (1 / 3)
    rng = np.random.default_rng(2)
    points = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3) * length / side
    points = rng.permutation(points + rng.normal(scale=0.08, size=points.shape))
    return points, length * np.eye(3), (len(points) // 2, len(points) - len(points) // 2)


def test_float32_and_blocks_of_rows() -> None:
    """343 atoms, which are no multiple of a block, against float64 in one block: energies to 1e-6, forces to 2e-5."""
    positions, cell, counts = liquid(343)
    d3 = D3(("O", "Fe"), counts)
    single = evaluated(d3.forces, positions, cell, np.float32), evaluated(d3.energies, positions, cell, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispersion, "BLOCK", 343**2)
        exact = evaluated(d3.forces, positions, cell), evaluated(d3.energies, positions, cell)
    assert single[0].dtype == np.float32
    off = np.linalg.norm(single[0] - exact[0], axis=1)
    assert off.max() < 2e-5 * np.linalg.norm(exact[0], axis=1).max()
    assert np.median(off) < 1e-6
    assert abs(single[1].sum(dtype=np.float64) / exact[1].sum() - 1) < 1e-6


def test_gradients_through_forces() -> None:
    """As backprop takes them: the Hessian times a vector, forwards and backwards, is the same."""
    positions, d3 = skewed(), D3(SPECIES, COUNTS, cutoff=25.0)
    direction = np.random.default_rng(2).normal(size=positions.shape)

    def both_ways(r: jax.Array, *rest: Any) -> tuple[jax.Array, jax.Array]:
        forwards = jax.jvp(lambda x: d3.forces(x, *rest), (r,), (jnp.asarray(direction),))[1]
        return forwards, jax.grad(lambda x: jnp.sum(direction * d3.forces(x, *rest)))(r)

    forwards, backwards = evaluated(both_ways, positions, SKEWED)
    assert np.abs(forwards).max() > 0.1
    np.testing.assert_allclose(forwards, backwards, atol=1e-10)


def test_only_images_without_a_pair_are_left_out() -> None:
    positions, d3 = skewed(), D3(SPECIES, COUNTS)
    few, many = half_images(SKEWED, d3.cutoff), half_images(SKEWED, 1.5 * d3.cutoff)
    assert len(few) < len(many)
    energies = [evaluated(lambda r, c, _, m=m: d3.energies(r, c, m), positions, SKEWED) for m in (few, many)]
    np.testing.assert_allclose(*energies, rtol=1e-13)


def test_refused() -> None:
    with pytest.raises(InputError, match="no parameters for Am"):
        D3(("O", "Am"), (1, 1))
    with pytest.raises(InputError, match="repeat the cell"):
        half_images(0.2 * np.eye(3), 21.0)
    with pytest.raises(InputError, match="d3-bj"):
        refine.Calculator(random_checkpoint(3), dispersion="d4")


def lennard_jones(system: System) -> PairForceField:
    pairs = (("O", "O"), ("O", "Fe"), ("Fe", "Fe"))
    base = LennardJones(pairs, np.full(3, 0.01), np.full(3, 2.0), 4.6)
    return PairForceField(base, 4.6, system.n_per_species, orthorhombic=system.orthorhombic, precision="float64")


def mace(system: System) -> SiteForceField:
    """With a list of its own for the longer ranged correction."""
    model = Mace(random_checkpoint(3), system.species, system.n_per_species, precision="float64")
    field = SiteForceField(model, 5.4, orthorhombic=system.orthorhombic)
    assert field.inner_cutoff is not None
    return field


@pytest.mark.parametrize("make", [lennard_jones, pytest.param(mace, marks=pytest.mark.slow)])
def test_in_the_sampler(make: Any) -> None:
    """Frames carry the sum of both; the energy of the whole is conserved, so the forces are those of that sum."""
    positions, cell, counts = liquid(27)
    positions, cell = positions * 1.3, cell * 1.3
    system = make_system({"O": counts[0], "Fe": counts[1]}, cell, positions)
    base, d3 = make(system), D3(system.species, counts)
    field = DispersionForceField(base, d3, system.cell)
    assert field.cost > base.cost

    def sampler(force_field: Any, timestep: float) -> Sampler:
        return Sampler(
            system,
            force_field,
            thermostat=VelocityVerlet(),
            timestep=timestep,
            stride=2,
            n_bins=50,
            r_max=4.5,
            dtype="float64",
            phase="solid",
            positions=True,
        )

    moving, still = sampler(field, 0.5), sampler(base, 1e-9)
    params = field.params(None)
    _, frames = moving.run(moving.start(positions, 300.0, seed=1), params, 300.0, 8)
    assert moving.compilations == 1
    assert frames.positions is not None
    for k in (0, 7):
        r = frames.positions[k]
        energies, virials = evaluated(d3.observables, r, cell)
        _, alone = still.run(still.start(r, 300.0, seed=1), params, 300.0, 1)
        assert abs(frames.energy[k] - alone.energy[0] - energies.sum()) < 1e-6
        assert abs(frames.virial[k] - alone.virial[0] - virials.sum()) < 1e-5
    kinetic = 1.5 * (system.n_atoms - 1) * BOLTZMANN * frames.temperature
    assert np.ptp(frames.energy) > 20 * np.ptp(frames.energy + kinetic)


@pytest.mark.slow
def test_calculator() -> None:
    """Derivatives of MACE with dispersion in a cell that is periodic along two vectors; a molecule's share."""
    model = random_checkpoint(3)
    both, bare = refine.Calculator(model, dispersion="d3-bj"), refine.Calculator(model)
    atoms = Atoms("OFeOFeO", skewed()[:5], cell=SKEWED, pbc=(True, True, False), calculator=both)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    finite = calculate_numerical_forces(atoms, eps=1e-5, iatoms=[1])
    np.testing.assert_allclose(forces[1], finite[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-6), rtol=1e-4, atol=1e-6)
    atoms.pbc = False
    energies = []
    for calculator in (both, bare):
        calculator.calculate(atoms)
        energies.append(calculator.results["energy"])
    assert 5 * of_atoms(atoms, 40.0) == pytest.approx(1000 * (energies[0] - energies[1]), abs=1e-6)
