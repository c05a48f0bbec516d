"""Reverse Monte Carlo: the exact distribution of two atoms, an ideal gas, a hard-sphere liquid found from its S(Q)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from refine.curves.transforms import r_to_q_matrix
from refine.errors import InputError, SimulationError
from refine.sampling.moves.curves import Nuisances
from refine.sampling.moves.reverse_monte_carlo import ReverseMonteCarlo, chi2_change
from refine.sampling.starts import random_packing
from refine.sampling.state import MDState, MoveState, stored_state
from refine.system import System, make_system

T = 85.0
RHO = 0.02125
DIAMETER = 3.2


@dataclass(frozen=True)
class Operator:
    matrix: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True)
class Curve:
    y: np.ndarray
    covariance: np.ndarray
    operator: Operator
    baseline: np.ndarray
    weight: float = 1.0
    background: np.ndarray | None = None


def sampler(system: System, curves: Any = (), minimum: Any = None, **settings: Any) -> ReverseMonteCarlo:
    pairs = len(system.species) * (len(system.species) + 1) // 2
    n_bins = int(system.r_box / 0.1)
    defaults = {"stride": 2, "n_bins": n_bins, "r_max": 0.1 * n_bins, "dtype": "float32"}
    distances = np.zeros(pairs) if minimum is None else np.asarray(minimum, float)
    return ReverseMonteCarlo(system, curves, minimum_distances=distances, **defaults | settings)


def brute_force_counts(positions: np.ndarray, system: System, n_bins: int, r_max: float) -> np.ndarray:
    """Counts (pairs, bins) in float64 from all 27 nearest images."""
    kinds = np.repeat(np.arange(len(system.species)), system.n_per_species)
    i, j = np.triu_indices(len(positions), 1)
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3) @ system.cell
    r = np.linalg.norm(positions[i] - positions[j] + shifts, axis=2).min(axis=0)
    rows = []
    for a in range(len(system.species)):
        for b in range(a, len(system.species)):
            chosen = r[(np.minimum(kinds[i], kinds[j]) == a) & (np.maximum(kinds[i], kinds[j]) == b)]
            rows.append(np.histogram(chosen, np.linspace(0.0, r_max, n_bins + 1))[0])
    return np.array(rows)


def nearest(positions: np.ndarray, cell: np.ndarray, a: slice, b: slice) -> float:
    d = positions[a][:, None] - positions[b][None]
    d -= np.round(d @ np.linalg.inv(cell)) @ cell
    r = np.linalg.norm(d, axis=-1)
    return float(r[r > 0.0].min())


@pytest.fixture(scope="module")
def spheres() -> tuple[System, Curve, np.ndarray]:
    """108 atoms, the S(Q) of hard spheres of 3.2 Å with an error of 0.01, and their g(r): Monte Carlo without data."""
    system = random_packing({"Ar": 108}, RHO, seed=1)
    mc = sampler(system, minimum=[DIAMETER], stride=10)
    state = mc.start(system.positions, T, 1)
    state, _ = mc.run(state, None, T, 20, observe=False)
    _, frames = mc.run(state, None, T, 80)
    q = np.arange(0.8, 12.0, np.pi / mc.r_max)
    transform = r_to_q_matrix(frames.edges, q, RHO)
    operator = Operator(transform / frames.ideal_counts(), 1.0 - transform.sum(axis=1))
    y = operator.matrix @ frames.counts.mean(axis=0, dtype=np.float64).ravel() + operator.constant
    curve = Curve(y, 1e-4 * np.eye(len(q)), operator, np.ones(len(q)))
    return system, curve, frames.pair_distribution()[0]


@pytest.fixture(scope="module")
def fitted(spheres: tuple[System, Curve, np.ndarray]) -> ReverseMonteCarlo:
    """A sampler of those data with a minimum distance that is too small."""
    system, curve, _ = spheres
    return sampler(system, [curve], [2.5])


def test_two_atoms_have_their_exact_distribution() -> None:
    """P(r in bin b) ∝ shell volume x exp(-chi^2_b / 2): a scale and a background included; 20,000 frames, 4.5 sigma."""
    system = make_system({"Ar": 2}, np.eye(3) * 10.0, np.array([[1.0, 1.0, 1.0], [4.0, 4.0, 4.0]]))
    bins = 10
    rng = np.random.default_rng(4)
    operator = Operator(rng.normal(size=(3, bins)), rng.normal(size=3))
    spread = rng.normal(size=(3, 3))
    curve = Curve(
        rng.normal(size=3),
        spread @ spread.T + 2 * np.eye(3),
        operator,
        rng.normal(size=3),
        1.7,
        rng.normal(size=(3, 2)),
    )
    nuisances = Nuisances(np.array([1.3]), np.array([[0.4, -0.2]]))

    # written out, point for point; the last "bin" is everything beyond r_max
    h = np.vstack([np.eye(bins), np.zeros(bins)])
    model = curve.baseline + 1.3 * (h @ operator.matrix.T + operator.constant - curve.baseline)
    model = model + curve.background @ [0.4, -0.2]
    e = curve.y - model
    chi2 = np.einsum("bi,ij,bj->b", e, np.linalg.inv(curve.covariance / 1.7), e)
    volume = 4 / 3 * np.pi * np.diff(np.linspace(0.0, 5.0, bins + 1) ** 3)
    p = np.append(volume, 1000.0 - volume.sum()) * np.exp(-chi2 / 2)
    p /= p.sum()

    mc = sampler(system, [curve], stride=20, n_bins=bins, r_max=5.0, replicas=4)
    np.testing.assert_allclose(mc.chi2(h[:, None], nuisances), chi2, rtol=1e-9)
    state = mc.start(system.positions, T, 2)
    state, _ = mc.run(state, nuisances, T, 2 * mc.frames_per_block, observe=False)
    _, frames = mc.run(state, nuisances, T, 5_000)
    assert len(frames) == 20_000
    found = frames.counts[:, 0].mean(axis=0, dtype=np.float64)
    # forty attempted moves between frames of two atoms in a box of 10 Å: nearly independent
    np.testing.assert_array_less(np.abs(found - p[:-1]), 4.5 * 1.3 * np.sqrt(p[:-1] * (1 - p[:-1]) / 20_000))
    assert np.abs(p[:-1] / volume / (p[:-1] / volume).mean() - 1).max() > 0.5  # the data do matter


def test_without_data_it_is_the_ideal_gas() -> None:
    """g = 1 for every pair, bin for bin, within 4.5 standard errors of independent frames."""
    system = random_packing({"Na": 30, "Cl": 50}, 0.03, seed=1)
    mc = sampler(system, stride=10)
    state = mc.start(system.positions, T, 3)
    state, _ = mc.run(state, None, T, 4 * mc.frames_per_block, observe=False)
    end, frames = mc.run(state, None, T, 400)
    assert end.step_length[0] == system.r_box  # everything is accepted
    ideal = frames.ideal_counts()
    error = np.sqrt(ideal / len(frames))
    assert np.abs((frames.counts.mean(axis=0) - ideal) / error).max() < 4.5
    assert not frames.energy.any()
    assert not frames.virial.any()
    np.testing.assert_array_equal(frames.temperature, T)


def test_hard_spheres_are_found_from_their_structure_factor(
    spheres: tuple[System, Curve, np.ndarray], fitted: ReverseMonteCarlo
) -> None:
    """From an unrelated packing and a minimum distance that is too small; S(Q) of a single configuration of the truth
    is further away than what is found."""
    (system, curve, g), mc = spheres, fitted
    state = mc.start(random_packing({"Ar": 108}, RHO, seed=7).positions, T, 3)
    state, first = mc.run(state, None, T, 1)
    state, _ = mc.run(state, None, T, 3 * mc.frames_per_block, observe=False)
    _, frames = mc.run(state, None, T, 200)
    before, after = float(mc.chi2(first.counts)[0]), mc.chi2(frames.counts)
    assert after.mean() < 0.05 * before
    assert after.mean() < 5 * len(curve.y)
    found = frames.pair_distribution()[0]
    below, peak = slice(25, 31), slice(32, 36)
    assert found[below].mean() < 0.5
    assert found[peak].mean() > 0.8 * g[peak].mean() > 1.5
    assert nearest(state.positions[0], system.cell, slice(None), slice(None)) >= 2.5 - 1e-5


def test_minimum_distances_hold_for_each_pair_and_overlaps_dissolve() -> None:
    system = random_packing({"Na": 24, "Cl": 24}, 0.02, seed=2)
    minimum = [3.4, 2.6, 2.0]
    crowded = system.positions.copy()
    crowded[1] = crowded[0] + [0.3, 0.0, 0.0]
    mc = sampler(system, minimum=minimum, stride=10)
    state = mc.start(crowded, T, 1)
    state, _ = mc.run(state, None, T, 200, observe=False)
    na, cl = slice(0, 24), slice(24, 48)
    found = [nearest(state.positions[0], system.cell, *pair) for pair in ((na, na), (na, cl), (cl, cl))]
    assert (np.array(found) >= np.array(minimum) - 1e-5).all()
    assert (np.array(found) < np.array(minimum) + 1.0).all()


@pytest.mark.parametrize("triclinic", [False, True])
def test_counts_kept_by_differences_equal_a_recount(triclinic: bool) -> None:
    """The last frame of each run, bin for bin, from all images in numpy; two species, two replicas."""
    system = random_packing({"Na": 20, "Cl": 30}, 0.03, seed=1)
    if triclinic:
        system = replace(system, cell=system.cell + np.array([[0, 0, 0], [2.0, 0, 0], [-1.0, 1.5, 0]]))
    n_bins = int(system.r_box / 0.1)
    operator = Operator(np.random.default_rng(1).normal(size=(4, 3 * n_bins)), np.zeros(4))
    curve = Curve(np.zeros(4), 200.0 * np.eye(4), operator, np.zeros(4))
    mc = sampler(system, [curve], [2.0, 1.8, 2.0], stride=3, dtype="float64", replicas=2)
    state = mc.start(system.positions, T, 5)
    for _ in range(3):
        before = state.positions
        state, frames = mc.run(state, None, T, 17)
        moved = (state.positions - before) @ np.linalg.inv(system.cell)
        assert np.abs((moved - np.round(moved)) @ system.cell).mean() > 0.02
        for replica in range(2):
            expected = brute_force_counts(state.positions[replica], system, n_bins, mc.r_max)
            np.testing.assert_array_equal(frames.counts[frames.replica == replica][-1], expected)


def test_resume_is_bit_identical_and_everything_is_one_program(spheres: tuple[System, Curve, np.ndarray]) -> None:
    system, curve, _ = spheres
    mc = sampler(system, [curve], [2.5], stride=20, replicas=2)
    block = mc.frames_per_block
    nuisances = Nuisances(np.array([0.9]), np.zeros((1, 0)))
    start = mc.start(system.positions, T, 9)
    seen: list[int] = []
    end, frames = mc.run(start, nuisances, T, 2 * block + 3, on_block=seen.append)
    assert seen == [block, 2 * block, 2 * block + 3]
    middle, first = mc.run(start, nuisances, T, block)
    stored = stored_state(middle.to_arrays())
    again, second = sampler(system, [curve], [2.5], stride=20, replicas=2).run(stored, nuisances, T, block + 3)
    for name, value in end.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], value, err_msg=name)
    for replica in range(2):
        pieces = [part.counts[part.replica == replica] for part in (first, second)]
        np.testing.assert_array_equal(np.concatenate(pieces), frames.counts[frames.replica == replica])
    assert (frames.counts[frames.replica == 0] != frames.counts[frames.replica == 1]).any()
    assert mc.compilations == 1
    assert end.step == (2 * block + 3) * 20


def test_a_state_of_dynamics_is_where_moves_begin_and_a_state_of_moves_goes_on(fitted: ReverseMonteCarlo) -> None:
    positions = fitted.system.positions
    begun = fitted.start(positions, T, 4)
    moving = MDState(positions[None], np.ones((1, 108, 3)), {"key": np.zeros((1, 2), np.uint32)}, 7, 40, 1.0, *[0] * 2)
    for name, value in fitted.adopted(moving, T, 4).to_arrays().items():
        np.testing.assert_array_equal(value, begun.to_arrays()[name], err_msg=name)
    assert fitted.adopted(begun, T, 5) is begun


def test_a_state_that_was_stored_as_one_of_dynamics_goes_on(fitted: ReverseMonteCarlo) -> None:
    """As run.h5 has held it until moves had a state of their own."""
    begun = fitted.start(fitted.system.positions, T, 4)
    zero = np.zeros(begun.positions.shape)
    variables = {"key": begun.key, "step_length": begun.step_length}
    before = MDState(begun.positions, zero, variables, begun.step, 0, 0.0, zero, 0)
    stored = stored_state(before.to_arrays())
    assert isinstance(stored, MoveState)
    for name, value in stored.to_arrays().items():
        np.testing.assert_array_equal(value, begun.to_arrays()[name], err_msg=name)


def test_the_step_length_settles_where_a_third_to_a_half_is_accepted(fitted: ReverseMonteCarlo) -> None:
    mc = fitted
    state = mc.start(mc.system.positions, T, 3)
    lengths = []
    for _ in range(10):
        state, _ = mc.run(state, None, T, mc.frames_per_block, observe=False)
        lengths.append(float(state.step_length[0]))
    assert lengths[-1] == lengths[-2] == lengths[-3]
    assert 0.01 < lengths[-1] < 2.0


def test_observe_false_leaves_nothing(fitted: ReverseMonteCarlo) -> None:
    state, frames = fitted.run(fitted.start(fitted.system.positions, T, 3), None, T, 2, observe=False)
    assert len(frames) == 0
    assert state.step == 2 * fitted.stride


def test_counts_that_drifted_are_an_error() -> None:
    kept = np.zeros((1, 1, 5), np.float32)
    kept[0, 0, 2] = 1
    bounds = np.stack([kept, kept], axis=1)
    ReverseMonteCarlo._compare(kept, bounds, "here")
    edge = np.roll(kept, 1, axis=2)
    ReverseMonteCarlo._compare(kept, np.stack([edge, kept], axis=1), "here")  # a pair on the edge between two bins
    with pytest.raises(RuntimeError, match="differ from a recount"):
        ReverseMonteCarlo._compare(edge, bounds, "here")


def test_wrong_input(spheres: tuple[System, Curve, np.ndarray]) -> None:
    system, curve, _ = spheres
    with pytest.raises(InputError, match="half of the smallest height"):
        sampler(system, r_max=system.r_box + 0.1)
    with pytest.raises(InputError, match="minimum distances"):
        sampler(system, minimum=[100.0])
    with pytest.raises(InputError, match="stride is 0"):
        sampler(system, stride=0)
    with pytest.raises(InputError, match="precision"):
        sampler(system, dtype="float16")
    mc = sampler(system, [replace(curve, y=np.full_like(curve.y, np.nan))])
    state = mc.start(system.positions, T, 1)
    with pytest.raises(SimulationError, match="chi\\^2 is no longer"):
        mc.run(state, None, T, 1)
    with pytest.raises(ValueError, match="another sampler"):
        mc.run(MDState(state.positions, state.positions, {"key": state.key}, 0, 0, 0.0, state.positions, 0), None, T, 1)
    with pytest.raises(ValueError, match="of 1 curves"):
        mc.run(state, Nuisances(np.ones(2), np.zeros((2, 0))), T, 1)


def test_a_change_of_chi2_keeps_its_digits() -> None:
    """A misfit of a million and a step of a thousandth of its points: float32 against float64, to 1e-4.

    The difference of the two sums, in float32, is wrong by more than the change itself.
    """
    rng = np.random.default_rng(0)
    error, step = 30.0 * rng.normal(size=1000), 1e-4 * rng.normal(size=1000)
    exact = float(np.sum((error - step) ** 2) - np.sum(error**2))
    single, small = jnp.asarray(error, jnp.float32), jnp.asarray(step, jnp.float32)
    assert float(chi2_change(single, small)) == pytest.approx(exact, rel=1e-4)
    plain = float(jnp.sum((single - small) ** 2) - jnp.sum(single**2))
    assert abs(plain / exact - 1.0) > 0.1
