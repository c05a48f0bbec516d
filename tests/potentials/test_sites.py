"""MACE in the sampler: exact sums, small boxes, conserved energy, the same numbers again, nothing compiled twice."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

import refine
from kernels import neighbors as neighbor_lists
from kernels.neighbors import NeighborList, choose_images
from kernels.pair import pair_forces, pair_observables
from refine.errors import InputError
from refine.potentials.correction import PairCorrection, SplineBasis
from refine.potentials.mace.model import Mace
from refine.potentials.sites import SiteForceField
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin, VelocityVerlet
from refine.sampling.starts import packed_positions
from refine.sampling.state import MDState
from refine.system import System, make_system
from refine.units import BOLTZMANN
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

build = jax.jit(neighbor_lists.build, static_argnames=("capacity", "orthorhombic"))

MODEL = random_checkpoint(3, scale=2.0)
SPECIES, COUNTS = ("O", "Fe"), (5, 4)
PAIRS = (("O", "O"), ("O", "Fe"), ("Fe", "Fe"))
BOXES = {
    "small": np.diag([5.8, 6.0, 6.4]),
    "skewed": np.array([[6.5, 0.0, 0.0], [-2.4, 5.6, 0.0], [1.3, 1.8, 6.1]]),
    "large": np.diag([11.0, 11.5, 12.0]),
}
"""Å: two whose half is shorter than the model's cutoff of 5 Å, and one where nearest images are right."""


def box(kind: str, seed: int = 1) -> System:
    system = make_system(dict(zip(SPECIES, COUNTS, strict=True)), BOXES[kind])
    return make_system(dict(zip(SPECIES, COUNTS, strict=True)), BOXES[kind], packed_positions(system, seed, 1.9))


def correction(r_cut: float, seed: int = 0) -> PairCorrection:
    zero = PairCorrection.zero(PAIRS, SplineBasis(1.4, r_cut, 12), stiffness=50.0)
    return zero.with_theta(np.random.default_rng(seed).normal(scale=0.1, size=36))


def field(system: System, r_cut: float = 4.0, precision: str = "float64") -> SiteForceField:
    return SiteForceField(Mace(MODEL, SPECIES, COUNTS, precision=precision), r_cut, orthorhombic=system.orthorhombic)


def listed(force_field: SiteForceField, system: System) -> NeighborList:
    """As the sampler makes it, without a skin."""
    assert system.positions is not None
    lists = []
    for cutoff in (force_field.cutoff, force_field.inner_cutoff):
        if cutoff is not None:
            images = choose_images(system.cell, cutoff, system.n_atoms)
            arguments = (jnp.asarray(system.positions), jnp.asarray(system.cell), cutoff)
            lists.append(build(*arguments, capacity=120, orthorhombic=system.orthorhombic, images=images))
    assert not any(one.overflow for one in lists)
    return lists[0] if len(lists) == 1 else lists[0]._replace(inner=lists[1])


@cache
def made(kind: str, r_cut: float = 4.0) -> tuple[System, SiteForceField, Any]:
    """A box, a field for it, and what gives forces, energies, virials and the virial tensor, compiled once."""
    system = box(kind)
    force_field = field(system, r_cut)
    return (
        system,
        force_field,
        jax.jit(lambda *a: (force_field.forces(*a), *force_field.observables(*a), force_field.virial_tensor(*a))),
    )


def evaluated(kind: str, r_cut: float, phi: PairCorrection | None) -> tuple[np.ndarray, ...]:
    """Forces, energies, virials, and the virial tensor."""
    system, force_field, compiled = made(kind, r_cut)
    with jax.enable_x64(True):
        neighbors = listed(force_field, system)
        arguments = (force_field.params(phi), jnp.asarray(system.positions), neighbors, jnp.asarray(system.cell))
        return tuple(map(np.asarray, compiled(*arguments)))


@pytest.mark.parametrize(("kind", "r_cut"), [("large", 4.0), ("skewed", 4.5), ("small", 6.5)])
def test_agrees_with_the_calculator(kind: str, r_cut: float) -> None:
    """Whose energies and forces are tested against finite differences; the virial is -V tr(stress)."""
    system, force_field, _ = made(kind, r_cut)
    forces, energy, virial, tensor = evaluated(kind, r_cut, None)
    atoms = Atoms("O5Fe4", system.positions, cell=system.cell, pbc=True)
    atoms.calc = refine.Calculator(MODEL)
    assert abs(energy.sum() + force_field.isolated_energy - atoms.get_potential_energy()) < 1e-9
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-10)
    trace = atoms.get_stress()[:3].sum() * system.volume
    np.testing.assert_allclose(virial.sum(), -trace, rtol=1e-9)
    stress = atoms.get_stress(voigt=False)
    np.testing.assert_allclose(tensor, -stress * system.volume, atol=1e-9 * np.abs(stress).max() * system.volume)


@pytest.mark.parametrize(("kind", "r_cut"), [("large", 4.0), ("large", 5.4), ("skewed", 4.5), ("small", 6.5)])
def test_the_correction_is_exactly_additive(kind: str, r_cut: float) -> None:
    """MACE alone plus the pair kernel alone, shorter or longer ranged than the model, nearest or explicit images."""
    (system, force_field, _), phi = made(kind, r_cut), correction(r_cut)
    assert (force_field.inner_cutoff is None) == (r_cut <= 5.0)
    both, alone = evaluated(kind, r_cut, phi), evaluated(kind, r_cut, None)
    with jax.enable_x64(True):
        table = force_field.params(phi).correction
        positions = jnp.asarray(system.positions)
        compiled = jax.jit(
            lambda positions, neighbors, table, cell: (
                pair_forces(positions, neighbors, table, cell, COUNTS, system.orthorhombic),
                *pair_observables(positions, neighbors, table, cell, COUNTS, system.orthorhombic),
            )
        )
        pair = compiled(positions, listed(force_field, system), table, jnp.asarray(system.cell))
    for total, mace, part in zip(both[:3], alone[:3], pair, strict=True):
        assert np.abs(part).max() > 0.01
        np.testing.assert_array_equal(total, mace + np.asarray(part))
    # the table is phi: the exact one, in float64, is the calculator's
    atoms = Atoms("O5Fe4", system.positions, cell=system.cell, pbc=True)
    atoms.calc = refine.Calculator(MODEL, correction=phi)
    assert abs(both[1].sum() + force_field.isolated_energy - atoms.get_potential_energy()) < 2e-4
    np.testing.assert_allclose(both[0], atoms.get_forces(), atol=2e-4)
    np.testing.assert_allclose(both[3], -atoms.get_stress(voigt=False) * system.volume, atol=2e-3)


def test_a_zero_correction_changes_nothing() -> None:
    zero = PairCorrection.zero(PAIRS, SplineBasis(1.4, 4.0, 12), stiffness=50.0)
    for a, b in zip(evaluated("large", 4.0, zero), evaluated("large", 4.0, None), strict=True):
        np.testing.assert_array_equal(a, b)


def sampler_of(system: System, precision: str, r_cut: float = 4.0, **settings: Any) -> Sampler:
    defaults = {
        "thermostat": VelocityVerlet(), "timestep": 0.25, "stride": 8, "n_bins": 40, "r_max": 2.6, "phase": "solid",
    }  # fmt: skip
    return Sampler(system, field(system, r_cut, precision), dtype=precision, **defaults | settings)


@pytest.fixture(scope="module")
def relaxed() -> np.ndarray:
    """Positions of the skewed box after the sampler's relaxation."""
    system = box("skewed")
    sampler = sampler_of(system, "float64")
    assert system.positions is not None
    return sampler.minimise(system.positions, sampler.force_field.params(None))


DRIFT = {"float64": 2e-5, "float32": 1e-4}
"""eV per atom and ps that the total energy may drift by at 300 K with 0.25 fs."""


@pytest.mark.slow
@pytest.mark.parametrize("precision", DRIFT)
def test_energy_is_conserved_in_a_box_smaller_than_the_cutoff(precision: str, relaxed: np.ndarray) -> None:
    """1 ps with many rebuilt lists, atoms leaving the cell, and a correction with a list of its own."""
    system = box("skewed")
    sampler = sampler_of(system, precision, r_cut=5.5, skin=0.2)
    params = sampler.force_field.params(correction(5.5).with_theta(np.full(36, 0.01)))
    state = sampler.start(relaxed, 300.0, seed=3)
    state, frames = sampler.run(state, params, 300.0, 500)
    degrees = 3 * system.n_atoms - 3
    total = (frames.energy + degrees / 2 * BOLTZMANN * frames.temperature) / system.n_atoms
    picoseconds = np.arange(len(total)) * 8 * 0.25e-3
    drift = np.polyfit(picoseconds, total, 1)[0]
    print(f"{precision}: drift {drift:.1e} eV per atom and ps, spread {total.std():.1e} eV per atom")
    assert abs(drift) < DRIFT[precision]
    assert total.std() < 0.01 * (frames.energy / system.n_atoms).std()
    assert np.abs(state.displacement).max() > 0.2
    assert sampler.compilations <= 3


def test_a_changed_correction_or_changed_weights_compile_nothing(relaxed: np.ndarray) -> None:
    system = box("skewed")
    sampler = sampler_of(system, "float32", stride=2, thermostat=Langevin(0.1))
    params = sampler.force_field.params(None)
    start = sampler.start(relaxed, 300.0, seed=3)
    state, frames = sampler.run(start, params, 300.0, 2)
    start = MDState.from_arrays(start.to_arrays() | {"capacity": np.asarray(state.capacity)})
    before = sampler.compilations
    heavier = params._replace(weights=jax.tree.map(lambda leaf: 1.01 * leaf, params.weights))
    for changed in (sampler.force_field.params(correction(4.0)), heavier):
        _, others = sampler.run(start, changed, 300.0, 2)
        assert np.abs(others.energy - frames.energy).max() > 1e-3
    assert sampler.compilations == before
    _, again = sampler.run(start, params, 300.0, 2)
    np.testing.assert_array_equal(again.energy, frames.energy)


@pytest.mark.slow
def test_replicas_and_pieces_give_the_same_numbers(relaxed: np.ndarray) -> None:
    """A run in pieces is one run, bit for bit; a replica is what it would be alone, to rounding."""
    system = box("skewed")
    alone = sampler_of(system, "float64", stride=2)
    params = alone.force_field.params(None)
    start = alone.start(relaxed, 300.0, seed=3)
    end, frames = alone.run(start, params, 300.0, 2 * alone.frames_per_block)
    first, parts = alone.run(start, params, 300.0, alone.frames_per_block)
    stored = MDState.from_arrays(first.to_arrays())
    second, rest = alone.run(stored, params, 300.0, alone.frames_per_block)
    np.testing.assert_array_equal(second.positions, end.positions)
    np.testing.assert_array_equal(np.concatenate([parts.energy, rest.energy]), frames.energy)

    pair = sampler_of(system, "float64", stride=2, replicas=2)
    both = pair.start(np.stack([relaxed[0], relaxed[0]]), 300.0, seed=3)
    _, twice = pair.run(both, params, 300.0, 3)
    np.testing.assert_allclose(twice.energy[:3], frames.energy[:3], rtol=1e-10)
    assert np.abs(twice.energy[3:] - frames.energy[:3]).max() > 1e-6


def test_what_does_not_fit_is_refused() -> None:
    system = box("small")
    with pytest.raises(InputError, match=r"r_max of the pair counts is 3\.500 Å"):
        sampler_of(system, "float32", r_max=3.5)
    thin = make_system({"O": 5, "Fe": 4}, np.diag([1e-4, 9.0, 900.0]), np.zeros((9, 3)))
    with pytest.raises(InputError, match=r"periodic images of 9 atoms.*repeat the cell"):
        sampler_of(thin, "float32", r_max=4e-5)
