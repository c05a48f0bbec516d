"""The sampler of jax beyond what every engine does (tests/sampling/test_engines.py): lists, programs, precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from refine.errors import InputError, SimulationError
from refine.sampling.jax.lists import ListPlan, optimal_skin
from refine.sampling.jax.random_numbers import seed_of_state
from refine.sampling.jax.thermostats import VelocityVerlet
from refine.sampling.starts import starts
from refine.system import System, make_system
from tests.crystals import face_centred

MakeSampler = Callable[..., Any]


def assert_same(a: Any, b: Any) -> None:
    """Bit for bit, dtypes included."""
    first, second = a.to_arrays(), b.to_arrays()
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


# ---- what a run returns


def test_the_temperature_of_a_frame_is_that_of_its_momenta(liquid: Any) -> None:
    state, frames = liquid.sampler.run(liquid.state, liquid.params, liquid.temperature, 3)
    kinetic = np.sum(state.momenta[0].astype(float) ** 2 / liquid.sampler.system.masses[:, None]) / 2
    np.testing.assert_allclose(frames.temperature[-1], 2 * kinetic / (3 * 108 * 8.617333262e-5), rtol=1e-5)


def test_equilibration_compiles_nothing_more(liquid: Any) -> None:
    sampler = liquid.sampler
    before = sampler.compilations
    # The two of the relaxation of the start and the dynamics, each once more where its list had to grow. Which of them
    # had to, the last bits of a float32 relaxation decide, and so the processor.
    assert 3 <= before <= 6
    state, _ = sampler.run(liquid.state, liquid.params, 150.0, 3, observe=False)
    weaker = sampler.force_field.params(epsilon=0.009)
    sampler.run(state, weaker, 120.0, sampler.frames_per_block + 1)
    assert sampler.compilations == before


def test_a_seed_gives_a_trajectory(liquid: Any) -> None:
    positions = liquid.state.positions
    a, b, c = (liquid.sampler.start(positions, 95.0, seed) for seed in (1, 1, 2))
    assert_same(a, b)
    assert np.abs(a.momenta - c.momenta).max() > 0.1
    assert (a.thermostat["key"] != c.thermostat["key"]).any()
    np.testing.assert_allclose(a.momenta.sum(axis=1), 0, atol=1e-4)


def test_the_largest_seed_of_a_study_has_room_for_its_states(liquid: Any) -> None:
    """Seeds of later states, and of the ends of finite differences, are beyond 2^31."""
    largest = 2**31 - 1
    a, b = (liquid.sampler.start(liquid.state.positions, 95.0, seed) for seed in (largest, seed_of_state(largest, 9)))
    assert (a.thermostat["key"] != b.thermostat["key"]).any()


# ---- the relaxation


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_relaxation_in_pieces_is_one_in_a_whole(
    make_sampler: MakeSampler, monkeypatch: pytest.MonkeyPatch, replicas: int
) -> None:
    """Bit for bit, also where the list overflows on the way; every step is told once."""
    sampler = make_sampler(make_system({"Ar": 108}, np.eye(3) * 17.5), replicas=replicas)
    params, packed = sampler.force_field.params(), starts(sampler, 1)
    packed[:, 1] = packed[:, 0] + [0.6, 0.0, 0.0]
    told: list[int] = []
    whole = sampler.minimise(packed, params, told.append)
    assert told == [sampler.relaxation]
    pieces: list[int] = []
    monkeypatch.setattr(sampler, "_steps_per_block", 70)
    np.testing.assert_array_equal(sampler.minimise(packed, params, pieces.append), whole)
    assert pieces == [70, 70, 70, 70, 20]
    monkeypatch.setattr(ListPlan, "first_capacity", lambda *_, **__: 20)
    starved: list[int] = []
    again = make_sampler(sampler.system, replicas=replicas).minimise(packed, params, starved.append)
    assert sum(starved) == sampler.relaxation
    np.testing.assert_allclose(again, whole, atol=0.05)  # another number of neighbours rounds otherwise


# ---- lists that overflow or are outrun


def test_an_overflowing_list_grows_and_its_block_is_done_again(liquid: Any, make_sampler: MakeSampler) -> None:
    sampler = make_sampler(liquid.sampler.system)
    starved = replace(liquid.state, capacity=int(0.6 * liquid.state.capacity))
    state, frames = sampler.run(starved, liquid.params, liquid.temperature, 3)
    ample, expected = liquid.sampler.run(liquid.state, liquid.params, liquid.temperature, 3)
    assert state.capacity > starved.capacity
    assert sampler.compilations > 1
    assert len(frames) == 3
    assert state.step == ample.step
    # the same trajectory to float32: sums run over another number of neighbours
    np.testing.assert_allclose(state.positions, ample.positions, atol=2e-3)
    np.testing.assert_allclose(frames.energy, expected.energy, rtol=1e-4)
    np.testing.assert_array_equal(state.thermostat["key"], ample.thermostat["key"])


def test_a_list_that_is_outrun_is_rebuilt_earlier(liquid: Any) -> None:
    """With a skin of 0.1 Å some atom moves more than a tenth of it in a step: the first try must be thrown away."""
    sampler = liquid.sampler
    thin, frames = sampler.run(replace(liquid.state, skin=0.1), liquid.params, liquid.temperature, 3)
    ample, expected = sampler.run(liquid.state, liquid.params, liquid.temperature, 3)
    np.testing.assert_allclose(thin.positions, ample.positions, atol=2e-3)
    np.testing.assert_allclose(frames.energy, expected.energy, rtol=1e-4)


def test_atoms_faster_than_any_list_stop_the_run(liquid: Any) -> None:
    state = liquid.sampler.start(liquid.state.positions, 95.0, seed=1)
    with pytest.raises(SimulationError, match=r"steps 0 to 10: an atom moved \d\.\d\d Å in one step; shorten"):
        liquid.sampler.run(replace(state, skin=0.02), liquid.params, liquid.temperature, 1)


def test_skin_is_a_formula() -> None:
    assert optimal_skin(8.5, 0.03) == optimal_skin(8.5, 0.03)
    assert 0.3 <= optimal_skin(8.5, 0.003) <= optimal_skin(8.5, 0.03) <= optimal_skin(8.5, 0.3) <= 3.0
    assert 0.3 <= optimal_skin(8.5, 0.0) < 0.5
    # where forces are costly the list is thin, and still outlasts a step of three times the fastest atom
    assert [optimal_skin(6.0, step, cost=1000.0) for step in (0.001, 0.03)] == pytest.approx([0.1, 0.18])


def test_a_skin_is_above_zero(make_sampler: MakeSampler) -> None:
    with pytest.raises(InputError, match=r"skin is -1\.0"):
        make_sampler(face_centred(3), skin=-1.0)


# ---- replicas, precision, cells, species


def test_replicas_are_independent_and_each_is_what_it_would_be_alone(liquid: Any, make_sampler: MakeSampler) -> None:
    sampler = make_sampler(liquid.sampler.system, replicas=2)
    state = sampler.start(liquid.state.positions[0], liquid.temperature, seed=7)
    after, frames = sampler.run(state, liquid.params, liquid.temperature, 3)
    np.testing.assert_array_equal(frames.replica, [0, 0, 0, 1, 1, 1])
    assert np.abs(after.positions[0] - after.positions[1]).max() > 0.1
    for k in range(2):
        alone = replace(
            state,
            **{f.name: getattr(state, f.name)[k : k + 1] for f in fields(state) if f.name in ("positions", "momenta")},
            thermostat={name: value[k : k + 1] for name, value in state.thermostat.items()},
            displacement=state.displacement[k : k + 1],
        )
        _, single = liquid.sampler.run(alone, liquid.params, liquid.temperature, 3)
        np.testing.assert_allclose(frames.energy[3 * k : 3 * k + 3], single.energy, rtol=1e-4)
        np.testing.assert_allclose(frames.temperature[3 * k : 3 * k + 3], single.temperature, rtol=1e-3)


def test_verlet_in_double_precision_has_an_energy_error_of_second_order(make_sampler: MakeSampler) -> None:
    """Halving the step must divide the excursion of the total energy by four; float32 noise would hide it."""
    system = face_centred(3)
    spread = {}
    for timestep, stride in ((10.0, 1), (5.0, 2)):
        sampler = make_sampler(
            system,
            cutoff=7.12,  # between two shells of the crystal: no pair crosses it, so the truncation makes no steps
            thermostat=VelocityVerlet(),
            timestep=timestep,
            stride=stride,
            dtype="float64",
            phase="solid",
        )
        state = sampler.start(system.positions, 10.0, seed=3)
        assert state.positions.dtype == np.float64
        _, frames = sampler.run(state, sampler.force_field.params(dtype="float64"), 10.0, 60)
        kinetic = frames.temperature * (3 * 108 - 3) / 2 * 8.617333262e-5
        total = frames.energy + kinetic
        spread[timestep] = np.ptp(total)
        assert np.ptp(kinetic) > 20 * spread[timestep]
    assert 3.4 < spread[10.0] / spread[5.0] < 4.6


def test_a_triclinic_description_of_the_same_crystal_moves_the_same_way(make_sampler: MakeSampler) -> None:
    """a, b, c and a, b + a, c - b span one lattice: nothing but rounding may differ."""
    system = face_centred(3)
    a, b, c = system.cell
    sheared = replace(system, cell=np.array([a, b + a, c - b]))
    assert not sheared.orthorhombic
    results = []
    for one in (system, sheared):
        sampler = make_sampler(
            one, cutoff=4.5, r_max=4.6, thermostat=VelocityVerlet(), dtype="float64", phase="solid", skin=1.0
        )
        state = sampler.start(system.positions, 60.0, seed=3)
        results.append(sampler.run(state, sampler.force_field.params(dtype="float64"), 60.0, 20))
    (first, expected), (second, frames) = results
    assert (first.skin, second.skin) == (1.0, np.inf if sheared.r_box < 5.5 else 1.0)
    np.testing.assert_allclose(frames.energy, expected.energy, rtol=1e-9)
    np.testing.assert_allclose(frames.virial, expected.virial, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(frames.counts, expected.counts)


def test_three_species_that_are_alike_are_one(liquid: Any, make_sampler: MakeSampler) -> None:
    """Same potential and mass under three names: one trajectory, its pairs sorted into six rows."""
    one = liquid.sampler.system
    three = System(("Ar", "Kr", "Xe"), (50, 38, 20), one.cell, one.masses)
    sampler = make_sampler(three)
    _, frames = sampler.run(liquid.state, sampler.force_field.params(), liquid.temperature, 2)
    _, expected = liquid.sampler.run(liquid.state, liquid.params, liquid.temperature, 2)
    assert frames.counts.shape == (2, 6, 80)
    np.testing.assert_allclose(frames.energy, expected.energy, rtol=1e-5)
    assert np.abs(frames.counts.sum(axis=1) - expected.counts[:, 0]).sum() <= 4
    n = np.array(three.n_per_species)
    rows = [n[i] * (n[i] - 1) / 2 if i == j else n[i] * n[j] for i in range(3) for j in range(i, 3)]
    within = frames.counts.sum(axis=2) / rows
    assert np.abs(within / within.mean() - 1).max() < 0.25


def test_melting_a_crystal_gives_a_liquid(liquid: Any) -> None:
    """The default start of the fixture: no order left, at its temperature, without overlaps."""
    _, frames = liquid.sampler.run(liquid.state, liquid.params, liquid.temperature, 40)
    g = frames.pair_distribution()[0]
    r = frames.centres
    assert g[r < 2.8].max() == 0
    assert 2.2 < g.max() < 3.6  # the first peak of liquid argon near its triple point is 2.7 to 3.1
    assert abs(frames.temperature.mean() / liquid.temperature - 1) < 0.1
