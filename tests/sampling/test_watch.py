"""What the watch stops, and what it lets pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refine.errors import SimulationError
from refine.sampling.state import MDState
from refine.sampling.structures import make_system
from refine.sampling.watch import Watch

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
