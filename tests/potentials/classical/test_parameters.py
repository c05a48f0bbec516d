"""Energies and derivatives of a classical base by its own parameters, from counts, against atoms one by one."""

from types import SimpleNamespace

import numpy as np
import pytest

from refine.errors import InputError
from refine.potentials.classical import LennardJones, base_potential
from refine.potentials.classical.parameters import ClassicalParameters, refined
from refine.sampling.frames import Frames

PAIRS = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))
LJ = {"epsilon": {"Ar": 0.0103, "Kr": 0.0141}, "sigma": {"Ar": 3.4, "Kr": 3.64}}
EDGES = 0.002 * np.arange(4501)


def potential() -> LennardJones:
    return LennardJones.from_parameters(("Ar", "Kr"), PAIRS, LJ, 8.5)


def frames_of(distances: list[list[list[float]]]) -> Frames:
    """Frames with these distances of each pair of species."""
    counts = np.array([[np.histogram(d, EDGES)[0] for d in frame] for frame in distances], np.float32)
    zeros = np.zeros(len(counts))
    return Frames(counts, zeros, zeros, zeros + 100, zeros.astype(int), float(EDGES[-1]), (4, 4), 1000.0)


DISTANCES = [[[3.61, 4.4], [3.9], [5.2, 8.3]], [[3.45], [3.6, 6.01], [4.1]]]


def by_hand(base: LennardJones, frame: list[list[float]]) -> float:
    return sum(float(base.energy(np.array([d]))[p, 0]) for p, listed in enumerate(frame) for d in listed)


def test_energies_are_sums_over_pairs():
    parameters = ClassicalParameters(potential(), ("epsilon", "sigma"), EDGES)
    moved = parameters.start * np.array([1.1, 0.9, 1.0, 1.01, 1.0, 0.99])
    found = parameters.energies(moved, frames_of(DISTANCES))
    np.testing.assert_allclose(found, [by_hand(parameters.at(moved), f) for f in DISTANCES], rtol=1e-2)


def test_gradient_is_the_derivative():
    parameters = ClassicalParameters(potential(), ("sigma", "epsilon"), EDGES)
    frames, weights = frames_of(DISTANCES), np.array([0.7, -0.2])
    found = parameters.gradient(parameters.start, frames, weights)
    for k in range(len(found)):
        step = np.zeros(len(found))
        step[k] = 1e-4 * parameters.start[k]
        up, down = (weights @ parameters.energies(parameters.start + s * step, frames) for s in (1, -1))
        np.testing.assert_allclose(found[k], (up - down) / (2 * step[k]), rtol=1e-4)


def test_a_table_is_read_back():
    parameters = ClassicalParameters(potential(), ("sigma",), EDGES)
    now = 1.1 * parameters.start
    found = refined(potential(), parameters.table(now))
    np.testing.assert_array_equal(found.sigma, now)
    np.testing.assert_array_equal(found.epsilon, potential().epsilon)


def test_unknown_parameter():
    with pytest.raises(InputError, match=r"no parameter 'charge'.*epsilon, sigma"):
        ClassicalParameters(potential(), ("charge",), EDGES)


def test_parameters_of_a_set_and_pairs_that_have_none():
    """Pedone's cations repel by charge alone: nothing of Si-Si may move, and the charges drop out of differences."""
    pairs = (("Si", "Si"), ("Si", "O"), ("O", "O"))
    base = base_potential("pedone-2006", ("Si", "O"), pairs, {}, 7.0)
    edges = np.linspace(0.0, 7.0, 141)
    parameters = ClassicalParameters(base, ("D", "r0"), edges)
    assert sorted(parameters.table(parameters.start)) == ["D O-O", "D Si-O", "r0 O-O", "r0 Si-O"]
    counts = np.random.default_rng(0).random((2, 3, 140)) * (edges[1:] > 1.5)
    frames = SimpleNamespace(counts=counts)
    gradient = parameters.gradient(parameters.start, frames, np.array([1.0, 0.0]))
    assert gradient[0] == gradient[3] == 0.0
    for k in (1, 2, 4, 5):
        step = np.zeros(6)
        step[k] = 1e-4 * parameters.start[k]
        rise = parameters.energies(parameters.start + step, frames) - parameters.energies(
            parameters.start - step, frames
        )
        assert gradient[k] == pytest.approx(rise[0] / (2 * step[k]), rel=1e-5)
    with pytest.raises(InputError, match=r"no parameter 'charges'.*D, a, r0, C"):
        ClassicalParameters(base, ("charges",), edges)
