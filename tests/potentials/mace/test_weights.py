"""Weights as parameters: energies against the ASE calculator, derivatives against differences, the refined model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from refine.errors import InputError
from refine.potentials.calculator import Calculator
from refine.potentials.mace.architecture import BoxInput
from refine.potentials.mace.model import Mace
from refine.potentials.mace.reader.neutral import MODEL_FILE, read_neutral
from refine.potentials.mace.weights import MaceWeights
from refine.potentials.sites import SiteForceField
from refine.sampling.frames import Frames
from refine.sampling.starts import packed_positions
from refine.system import System, make_system
from tests.potentials.mace.models import random_checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")

CHECKPOINT = random_checkpoint(7, channels=2, max_ell=1, l_hidden=1, r_max=4.0)
CELLS = {
    "cubic": np.eye(3) * 9.0,
    "smaller than the cutoff's sphere": np.diag([7.0, 8.0, 9.0]),
    "triclinic": np.array([[8.0, 0.0, 0.0], [2.0, 8.5, 0.0], [-1.0, 1.5, 9.0]]),
}


def system_of(cell: np.ndarray) -> System:
    return make_system({"O": 8, "Fe": 5}, cell)


def frames_of(system: System, n: int = 3, seed: int = 0) -> Frames:
    """Random packings; nothing but positions counts."""
    zeros = np.zeros(n)
    return Frames(
        np.zeros((n, 3, 4), np.float32),
        zeros,
        zeros,
        zeros,
        zeros.astype(int),
        3.0,
        system.n_per_species,
        system.volume,
        np.stack([packed_positions(system, seed + k) for k in range(n)]),
    )


@pytest.mark.parametrize("kind", CELLS)
def test_energies_are_those_of_the_calculator(kind: str) -> None:
    """Less the isolated atoms, in any cell; and of changed weights, those of the model that is written."""
    system = system_of(CELLS[kind])
    frames, weights = frames_of(system), MaceWeights(CHECKPOINT, ("weights",), system)
    atoms = [Atoms("O8Fe5", positions=r, cell=system.cell, pbc=True) for r in frames.positions]
    calculator = Calculator(CHECKPOINT)
    isolated = Mace(CHECKPOINT, system.species, system.n_per_species).isolated @ system.n_per_species
    expected = [calculator.get_potential_energy(one) - isolated for one in atoms]
    np.testing.assert_allclose(weights.energies(weights.start, frames), expected, atol=1e-9)


def test_a_charged_box_of_a_model_with_biases() -> None:
    """Periodic images, energies and the gradient by the weights in the reference formulas, as for the others."""
    takes = (BoxInput("total_charge", 2), BoxInput("total_spin", 0))
    checkpoint = random_checkpoint(7, channels=2, max_ell=1, r_max=4.0, nonlinear=True, edge_channels=3, inputs=takes)
    system = system_of(np.diag([7.0, 8.0, 9.0]))
    frames = frames_of(system, 1)
    weights = MaceWeights(checkpoint, ("weights",), system, charge=-1, spin=2)
    atoms = Atoms("O8Fe5", positions=frames.positions[0], cell=system.cell, pbc=True, info={"charge": -1, "spin": 2})
    isolated = Mace(checkpoint, system.species, system.n_per_species).isolated @ system.n_per_species
    expected = Calculator(checkpoint).get_potential_energy(atoms) - isolated
    np.testing.assert_allclose(weights.energies(weights.start, frames), expected, atol=1e-9)

    direction = np.random.default_rng(0).normal(size=len(weights.start)) * weights.units
    ends = [weights.energies(weights.start + sign * 1e-5 * direction, frames)[0] for sign in (1, -1)]
    slope = weights.gradient(weights.start, frames, np.ones(1)) @ direction
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_derivative_by_every_array() -> None:
    """Against central differences of the weighted energies, one direction in each array."""
    system = system_of(CELLS["cubic"])
    frames, weights = frames_of(system, 4), MaceWeights(CHECKPOINT, ("weights",), system)
    factors = np.array([0.3, -1.0, 2.0, 0.7])
    gradient = weights.gradient(weights.start, frames, factors)
    rng = np.random.default_rng(0)
    for name, array in weights.at(np.arange(len(weights.start), dtype=float)).items():
        direction = np.zeros_like(weights.start)
        chosen = array.ravel().astype(int)
        direction[chosen] = rng.normal(size=len(chosen))
        up, down = (factors @ weights.energies(weights.start + s * 1e-5 * direction, frames) for s in (1, -1))
        assert gradient @ direction == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-6), name


@pytest.mark.slow
def test_dynamics_and_the_written_model_have_the_same_energies(tmp_path: Path) -> None:
    """Changed weights in the fast kernels, in float32 with tables, and read back from the file; no new programs."""
    import jax.numpy as jnp

    from kernels.neighbors import build

    system = system_of(np.eye(3) * 9.0)
    frames, weights = frames_of(system, 1), MaceWeights(CHECKPOINT, ("weights",), system)
    changed = weights.start + 0.05 * weights.units * np.random.default_rng(1).normal(size=len(weights.start))
    expected = weights.energies(changed, frames)[0]
    assert abs(expected - weights.energies(weights.start, frames)[0]) > 1e-2

    model = Mace(CHECKPOINT, system.species, system.n_per_species)
    field = SiteForceField(model, 4.0, orthorhombic=True)
    params = field.params(None, weights.at(changed))
    programs = model._sample_network._cache_size()
    field.params(None, weights.at(2.0 * changed))
    assert model._sample_network._cache_size() == programs
    positions = jnp.asarray(frames.positions[0], jnp.float32)
    cell = jnp.asarray(system.cell, jnp.float32)
    neighbors = build(positions, cell, 4.0, capacity=12, orthorhombic=True)
    sites, _ = field.observables(params, positions, neighbors, cell)
    assert float(np.sum(np.asarray(sites, float))) == pytest.approx(expected, abs=2e-5 * abs(expected))

    weights.write(changed, tmp_path)
    written = read_neutral(tmp_path / MODEL_FILE)
    assert written.sha256 != CHECKPOINT.sha256, "it would be taken for the model that it began as"
    read = MaceWeights(written, ("weights",), system)
    assert read.energies(read.start, frames)[0] == pytest.approx(expected, rel=1e-9)


def test_a_part_of_the_weights() -> None:
    system = system_of(CELLS["cubic"])
    readout = MaceWeights(CHECKPOINT, ("layers.1.readout",), system)
    assert set(readout.at(readout.start)) == {"layers.1.readout.0", "layers.1.readout.1"}
    doubled = readout.table(2.0 * readout.start)["layers.1.readout.0, rms"]
    assert doubled["final"] == pytest.approx(2.0 * doubled["initial"])
    assert doubled["change"] == pytest.approx(doubled["initial"])


@pytest.mark.parametrize(
    ("names", "words"), [(("epsilon",), "has no weights 'epsilon'"), (("energies",), "no weights")]
)
def test_what_is_no_weight(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        MaceWeights(CHECKPOINT, names, system_of(CELLS["cubic"]))


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refine.potentials.mace.weights.MOST", 100)
    with pytest.raises(InputError, match=r"at most 100 .* name a part"):
        MaceWeights(CHECKPOINT, ("weights",), system_of(CELLS["cubic"]))


def test_frames_without_positions() -> None:
    system = system_of(CELLS["cubic"])
    weights, frames = MaceWeights(CHECKPOINT, ("weights",), system), frames_of(system)
    object.__setattr__(frames, "positions", None)
    with pytest.raises(ValueError, match="positions"):
        weights.energies(weights.start, frames)
