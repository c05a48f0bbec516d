"""What the watch stops, and what it lets pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refine.errors import SimulationError
from refine.sampling.state import MDState
from refine.sampling.watch import FEWEST_WAVES, HOLLOW, Watch, empty_share, long_waves
from refine.system import make_system

N, REPLICAS = 200, 2
SYSTEM = make_system({"Ar": N}, np.eye(3) * (N / 0.02) ** (1 / 3))
WATCH = Watch(SYSTEM, timestep=5.0, stride=40, phase="liquid", degrees_of_freedom=3 * N, thermostatted=True)
CALM = np.full((4, REPLICAS), 90.0)


def state(*, rms: float = 0.0, drift: float = 0.0, sampled_ps: float = 0.0) -> MDState:
    """Step 10,000 of atoms that have moved by rms Å at random and by drift Å together."""
    moves = np.random.default_rng(1).normal(size=(REPLICAS, N, 3))
    moves -= moves.mean(axis=1, keepdims=True)
    moves *= rms / np.sqrt(np.mean(np.sum(moves**2, axis=2), axis=1))[:, None, None]
    zeros = np.zeros((REPLICAS, N, 3))
    return MDState(zeros, zeros, {}, 10_000, 100, 1.0, moves + drift, int(sampled_ps * 200))


def test_a_healthy_block_passes() -> None:
    WATCH.look(state(rms=3.0, sampled_ps=20.0), CALM, 90.0, sampling=True)


@pytest.mark.parametrize("rms_allowed", [0.70, 0.75])
def test_frozen_is_judged_after_ten_picoseconds_without_the_drift(rms_allowed: float) -> None:
    """0.2 rho^(-1/3) is 0.737 Å at 0.02 atoms/Å^3."""
    frozen = state(rms=rms_allowed, drift=5.0, sampled_ps=10.0)
    WATCH.look(state(rms=rms_allowed, sampled_ps=9.9), CALM, 90.0, sampling=True)
    WATCH.look(frozen, CALM, 90.0, sampling=False)
    replace(WATCH, phase="solid").look(frozen, CALM, 90.0, sampling=True)
    if rms_allowed > 0.737:
        WATCH.look(frozen, CALM, 90.0, sampling=True)
    else:
        message = r'step 10000, replica \d: the system is frozen: its atoms have moved 0\.700 Å .* phase = "solid"'
        with pytest.raises(SimulationError, match=message):
            WATCH.look(frozen, CALM, 90.0, sampling=True)


def test_temperatures_are_judged_by_their_mean_and_per_replica() -> None:
    one_hot = np.column_stack([CALM[:, 0], np.full(4, 400.0)])
    with pytest.raises(
        SimulationError, match=r"replica 1: the temperature has run away: 400\.0 K, the target is 90\.0"
    ):
        WATCH.look(state(), one_hot, 90.0, sampling=True)
    with pytest.raises(SimulationError, match=r"replica 0: the temperature has collapsed: 20\.0 K"):
        WATCH.look(state(), np.full((4, REPLICAS), 20.0), 90.0, sampling=True)
    spike = np.array([[90.0, 90.0], [90.0, 400.0], [90.0, 90.0], [90.0, 90.0]])
    for passes in (spike, one_hot):
        WATCH.look(state(), passes, 90.0 if passes is spike else 200.0, sampling=True)
    WATCH.look(state(), one_hot, 90.0, sampling=False)
    replace(WATCH, thermostatted=False).look(state(), one_hot, 90.0, sampling=True)


def test_few_atoms_may_fluctuate() -> None:
    dimer = replace(WATCH, degrees_of_freedom=6)
    dimer.look(state(), np.full((1, REPLICAS), 500.0), 90.0, sampling=True)
    dimer.look(state(), np.full((1, REPLICAS), 10.0), 90.0, sampling=True)


def test_what_is_not_finite_is_traced_to_its_frame() -> None:
    temperatures = CALM.copy()
    temperatures[2:] = np.nan
    with pytest.raises(SimulationError, match=r"steps 9920 to 9960: positions or momenta are no longer finite"):
        WATCH.look(state(), temperatures, 90.0, sampling=False)
    lost = replace(state(), positions=np.full((REPLICAS, N, 3), np.inf))
    with pytest.raises(SimulationError, match="steps 9960 to 10000"):
        WATCH.look(lost, CALM, 90.0, sampling=False)


# -- holes -------------------------------------------------------------------------------------------------------------

SIDE = float(SYSTEM.cell[0, 0])


def placed(positions: np.ndarray, step: int = 10_000, sampled_ps: float = 5.0) -> MDState:
    """A state of given positions (R, N, 3), Å."""
    still = np.zeros(positions.shape)
    return MDState(positions, still, {}, step, 100, 1.0, still, int(sampled_ps * 200))


def looks(watch: Watch, boxes: list[np.ndarray], sampling: bool = True) -> None:
    """At one box (R, N, 3) after the other."""
    for k, box in enumerate(boxes):
        watch.look(placed(box, 1000 * (k + 1)), CALM[:, : len(box)], 90.0, sampling=sampling)


def hollow(share: float, rng: np.random.Generator, sphere: bool = False) -> np.ndarray:
    """(N, 3): atoms at random in all but that share of the box, a slab or a sphere, Å."""
    where = rng.random((20 * N, 3))
    radius = (3 * share / (4 * np.pi)) ** (1 / 3)
    kept = np.linalg.norm(where - 0.5, axis=1) > radius if sphere else where[:, 1] > share
    return np.asarray(where[kept][:N] * SIDE)


@pytest.mark.parametrize("sphere", [False, True])
def test_long_waves_of_a_slab_and_of_a_sphere(sphere: bool) -> None:
    """T/N in closed form, on the absolute scale, above the 3 of atoms at random: means of 200 boxes, 4 sigma."""
    rng, share = np.random.default_rng(2), 0.35
    boxes = np.array([hollow(share, rng, sphere) for _ in range(200)])
    found = long_waves(boxes, SYSTEM.cell)
    x = 2 * np.pi * (3 * share / (4 * np.pi)) ** (1 / 3)
    of_sphere = 3 * (share / (1 - share) * 3 * (np.sin(x) - x * np.cos(x)) / x**3) ** 2
    of_slab = (np.sin(np.pi * share) / (np.pi * (1 - share))) ** 2
    contrast = of_sphere if sphere else of_slab
    assert contrast > HOLLOW
    # independent atoms: |sum|^2/N = 1 - |f|^2 + N |f|^2 for each of the three waves
    expected = 3 - contrast + N * contrast
    assert abs(found.mean() - expected) < 4 * found.std(ddof=1) / np.sqrt(200)
    assert empty_share(of_slab) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("sphere", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.4])
def test_a_hole_in_one_replica_is_named(share: float, sphere: bool) -> None:
    rng = np.random.default_rng(3)
    boxes = [np.array([rng.random((N, 3)) * SIDE, hollow(share, rng, sphere)]) for _ in range(3)]
    message = (
        r"step 3000, replica 1: the liquid has a hole: about \d\d% of the box is empty; raise system.number_density"
    )
    with pytest.raises(SimulationError, match=message):
        looks(replace(WATCH), boxes)
    looks(replace(WATCH), boxes[:2])  # three looks are needed
    looks(replace(WATCH, phase="solid"), boxes)
    looks(replace(WATCH), boxes, sampling=False)


def test_looks_at_another_trajectory_are_not_averaged() -> None:
    rng, watch = np.random.default_rng(4), replace(WATCH)
    boxes = [np.array([hollow(0.4, rng)] * REPLICAS) for _ in range(2)]
    looks(watch, boxes)
    looks(watch, boxes)  # the step went back
    looks(watch, boxes[:1], sampling=False)
    watch.look(placed(boxes[0], 9_000), CALM, 90.0, sampling=True)


def test_what_is_homogeneous_passes() -> None:
    """An ideal gas, 3000 times; a crystal; two liquids of one density side by side, as their sum is all that counts."""
    rng = np.random.default_rng(5)
    looks(replace(WATCH), list(rng.random((1500, REPLICAS, N, 3)) * SIDE))
    assert np.mean(long_waves(rng.random((2000, N, 3)) * SIDE, SYSTEM.cell)) == pytest.approx(3.0, abs=0.15)
    cells = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    fcc = (cells + 0.5 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])).reshape(-1, 3) * 5.4
    crystal = make_system({"Ar": 256}, np.eye(3) * 21.6)
    looks(replace(WATCH, system=crystal), [np.array([fcc, fcc + 0.3 * rng.normal(size=fcc.shape)])] * 4)
    fcc = fcc[np.argsort(fcc[:, 0], kind="stable")]
    demixed = make_system({"Ar": 128, "Kr": 128}, np.eye(3) * 21.6)
    looks(replace(WATCH, system=demixed), [np.array([fcc, fcc])] * 4)


def test_cells_that_are_not_cubes() -> None:
    """A slab along the third vector of a triclinic cell; fractional coordinates are all that matters."""
    rng = np.random.default_rng(6)
    cell = SIDE * np.array([[1.0, 0.0, 0.0], [0.4, 0.9, 0.0], [0.2, 0.3, 2.0]])
    s = rng.random((100, N, 3))
    s[:, :, 2] *= 0.65
    slab = (np.sin(np.pi * 0.35) / (np.pi * 0.65)) ** 2
    found = long_waves(s @ cell, cell)
    assert abs(found.mean() - (3 - slab + N * slab)) < 4 * found.std(ddof=1) / 10


@pytest.mark.slow
def test_a_liquid_that_cavitates(make_sampler: Any, liquid: Any) -> None:
    """Argon at 85 K and half the density of its liquid comes apart within picoseconds, and at its own it does not."""
    state, _ = liquid.sampler.run(liquid.state, liquid.params, liquid.temperature, 10)
    seen = [long_waves(state.positions, liquid.sampler.system.cell)[0]]
    for _ in range(4):
        state, _ = liquid.sampler.run(state, liquid.params, liquid.temperature, 10)
        seen.append(long_waves(state.positions, liquid.sampler.system.cell)[0])
    assert max(seen) < 1.5 < FEWEST_WAVES / 5

    from refine.sampling.starts import random_packing

    packed = random_packing({"Ar": 150}, 0.0105, seed=1)
    sampler = make_sampler(make_system({"Ar": 150}, packed.cell), timestep=10.0, stride=50)
    params = sampler.force_field.params()
    relaxed = sampler.minimise(packed.positions, params)
    state, _ = sampler.run(sampler.start(relaxed, 85.0, seed=2), params, 85.0, 4, observe=False)

    def twelve_picoseconds() -> None:
        current = state
        for _ in range(12):
            current, _ = sampler.run(current, params, 85.0, 2)

    with pytest.raises(SimulationError, match=r"replica 0: the liquid has a hole: about [23]\d% of the box is empty"):
        twelve_picoseconds()


def test_a_lenient_watch_notes_what_is_frozen_and_goes_on() -> None:
    """Until it flows: what is said is said of the trajectory so far."""
    watch = replace(WATCH, lenient=True)
    watch.look(state(rms=0.1, sampled_ps=10.0), CALM, 90.0, sampling=True)
    watch.look(state(rms=0.1, sampled_ps=12.0), CALM, 90.0, sampling=True)
    assert len(watch.notes) == 1
    assert "0.100 Å (rms) in 12.0 ps" in watch.notes[0]
    watch.look(state(rms=5.0, sampled_ps=14.0), CALM, 90.0, sampling=True)
    assert watch.notes == []


def test_a_sample_too_short_to_be_called_frozen_is_noted() -> None:
    """Replicas that share 12 ps: none of them is long enough to end the run."""
    for watch in (replace(WATCH), replace(WATCH, lenient=True)):
        watch.look(state(rms=0.1, sampled_ps=1.5), CALM, 90.0, sampling=True)
        assert watch.notes == []
        watch.look(state(rms=0.1, sampled_ps=3.0), CALM, 90.0, sampling=True)
        assert "does not show that this is a liquid: its atoms have moved 0.100 Å (rms) in 3.0 ps" in watch.notes[0]
        watch.look(state(rms=5.0, sampled_ps=4.0), CALM, 90.0, sampling=True)
        assert watch.notes == []
    solid = replace(WATCH, phase="solid")
    solid.look(state(rms=0.1, sampled_ps=3.0), CALM, 90.0, sampling=True)
    assert solid.notes == []
