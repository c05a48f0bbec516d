"""The sampler's promises: nothing lost, nothing silently wrong, the same numbers again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from refine.errors import InputError, SimulationError
from refine.sampling.frames import Frames, concatenate
from refine.sampling.jax.sampler import optimal_skin
from refine.sampling.jax.thermostats import Langevin, NoseHoover, VelocityVerlet
from refine.sampling.periodic import close_pairs
from refine.sampling.state import MDState
from refine.system import System, make_system

MakeSampler = Callable[..., Any]


def assert_same(a: Any, b: Any) -> None:
    """Bit for bit, dtypes included."""
    first, second = a.to_arrays(), b.to_arrays()
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def crystal(repeats: int = 3, edge: float = 5.4) -> System:
    atoms = bulk("Ar", "fcc", a=edge, cubic=True).repeat(repeats)
    return make_system({"Ar": len(atoms)}, atoms.cell.array, atoms.positions)


# ---- what a run returns


def test_frames_are_counted_in_order(liquid: Any) -> None:
    sampler, seen = liquid.sampler, []
    count = sampler.frames_per_block + 3
    state, frames = sampler.run(liquid.state, liquid.params, liquid.temperature, count, on_block=seen.append)
    assert len(frames) == count
    assert seen == [sampler.frames_per_block, count]
    assert state.step == liquid.state.step + count * sampler.stride
    assert frames.counts.shape == (count, 1, 80)
    assert frames.counts.dtype == np.float32
    assert (frames.replica == 0).all()
    # the last frame, by an independent search for pairs
    system = sampler.system
    _, _, separation = close_pairs(state.positions[0].astype(np.float64), system.cell, sampler.r_max)
    expected = np.histogram(np.linalg.norm(separation, axis=1), bins=frames.edges)[0]
    assert np.abs(frames.counts[-1, 0] - expected).sum() <= 2  # a pair on an edge, in float32
    kinetic = np.sum(state.momenta[0].astype(float) ** 2 / system.masses[:, None]) / 2
    np.testing.assert_allclose(frames.temperature[-1], 2 * kinetic / (3 * 108 * 8.617333262e-5), rtol=1e-5)


def test_energy_and_virial_are_those_of_the_positions(liquid: Any) -> None:
    state, frames = liquid.sampler.run(liquid.state, liquid.params, liquid.temperature, 1)
    positions = state.positions[0].astype(np.float64)
    r = np.linalg.norm(close_pairs(positions, liquid.sampler.system.cell, 7.0)[2], axis=1)
    s6 = (3.405 / r) ** 6
    np.testing.assert_allclose(frames.energy, np.sum(4 * 0.010324 * (s6**2 - s6)), rtol=2e-4)
    np.testing.assert_allclose(frames.virial, np.sum(24 * 0.010324 * (2 * s6**2 - s6)), rtol=2e-3, atol=1e-3)


def test_equilibration_counts_nothing_and_compiles_nothing_more(liquid: Any) -> None:
    sampler = liquid.sampler
    before = sampler.compilations
    assert before <= 3  # the relaxation of the start, the dynamics, and once more where the list had to grow
    state, none = sampler.run(liquid.state, liquid.params, 150.0, 3, observe=False)
    assert len(none) == 0
    assert none.counts.shape == (0, 1, 80)
    assert state.step == liquid.state.step + 3 * sampler.stride
    weaker = sampler.force_field.params(epsilon=0.009)
    sampler.run(state, weaker, 120.0, sampler.frames_per_block + 1)
    assert sampler.compilations == before


# ---- the same numbers again

CONTINUE = """
import runpy
import sys
import numpy as np
from refine.sampling.dynamics import MDState, Sampler
from refine.sampling.structures import make_system
from refine.sampling.thermostats import Langevin, NoseHoover

folder, cell = sys.argv[1], np.load(sys.argv[1] + "/cell.npy")
PairModel = runpy.run_path(sys.argv[2])["PairModel"]
system = make_system({"Ar": 108}, cell)
for thermostat in (Langevin(0.5), NoseHoover(0.5)):
    name = type(thermostat).__name__
    model = PairModel(system.n_per_species, True, 7.0)
    sampler = Sampler(system, model, thermostat=thermostat, timestep=5.0, stride=10, n_bins=80, r_max=8.0)
    state = MDState.from_arrays(dict(np.load(f"{folder}/{name}.npz")))
    state, frames = sampler.run(state, model.params(), 95.0, 7)
    np.savez(f"{folder}/{name}-state.npz", **state.to_arrays())
    np.savez(f"{folder}/{name}-frames.npz", **frames.to_arrays())
"""


def test_a_stored_state_continues_bit_for_bit_in_another_process(
    liquid: Any, make_sampler: MakeSampler, tmp_path: Path
) -> None:
    np.save(tmp_path / "cell.npy", liquid.sampler.system.cell)
    expected = {}
    for thermostat in (Langevin(0.5), NoseHoover(0.5)):
        name = type(thermostat).__name__
        langevin = isinstance(thermostat, Langevin)
        sampler = liquid.sampler if langevin else make_sampler(liquid.sampler.system, thermostat=thermostat)
        state = liquid.state if langevin else sampler.start(liquid.state.positions, liquid.temperature, seed=2)
        state, _ = sampler.run(state, liquid.params, liquid.temperature, sampler.frames_per_block)
        np.savez(tmp_path / f"{name}.npz", **state.to_arrays())
        expected[name] = sampler.run(state, liquid.params, liquid.temperature, 7)
    shared = Path(__file__).parents[2] / "conftest.py"
    subprocess.run([sys.executable, "-c", CONTINUE, str(tmp_path), str(shared)], check=True)
    for name, (state, frames) in expected.items():
        assert_same(MDState.from_arrays(dict(np.load(tmp_path / f"{name}-state.npz"))), state)
        assert_same(Frames.from_arrays(dict(np.load(tmp_path / f"{name}-frames.npz"))), frames)


def test_runs_in_pieces_equal_one_run(liquid: Any) -> None:
    sampler, block = liquid.sampler, liquid.sampler.frames_per_block
    whole = sampler.run(liquid.state, liquid.params, liquid.temperature, block + 4)
    first, parts = sampler.run(liquid.state, liquid.params, liquid.temperature, block)
    second, rest = sampler.run(first, liquid.params, liquid.temperature, 4)
    assert_same(second, whole[0])
    assert_same(concatenate([parts, rest]), whole[1])


def test_a_seed_gives_a_trajectory(liquid: Any) -> None:
    positions = liquid.state.positions
    a, b, c = (liquid.sampler.start(positions, 95.0, seed) for seed in (1, 1, 2))
    assert_same(a, b)
    assert np.abs(a.momenta - c.momenta).max() > 0.1
    assert (a.thermostat["key"] != c.thermostat["key"]).any()
    np.testing.assert_allclose(a.momenta.sum(axis=1), 0, atol=1e-4)


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
    # the same trajectory to float32: sums run over another number of places
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
    # where forces are dear the list is thin, and still outlasts a step of three times the fastest atom
    assert [optimal_skin(6.0, step, cost=1000.0) for step in (0.001, 0.03)] == pytest.approx([0.1, 0.18])


# ---- failures


def test_a_potential_that_explodes_is_reported_with_its_step(liquid: Any) -> None:
    broken = liquid.params._replace(**{name: np.nan * getattr(liquid.params, name) for name in liquid.params._fields})
    with pytest.raises(SimulationError, match=r"steps \d+ to \d+: positions or momenta are no longer finite") as caught:
        liquid.sampler.run(liquid.state, broken, liquid.temperature, 2)
    first = liquid.state.step
    assert f"steps {first} to {first + 10}" in str(caught.value)


def test_a_run_away_is_reported(liquid: Any) -> None:
    run = liquid.sampler.run
    hot = replace(liquid.state, momenta=4 * liquid.state.momenta)
    with pytest.raises(SimulationError, match=r"replica 0: the temperature has run away: \d+\.\d K, the target is 95"):
        run(hot, liquid.params, liquid.temperature, 1)
    run(hot, liquid.params, liquid.temperature, 1, observe=False)  # an equilibration is allowed to start anywhere


def test_a_crystal_is_no_liquid(make_sampler: MakeSampler) -> None:
    system = crystal()
    sampler = make_sampler(system, timestep=20.0, stride=25, r_max=8.1)
    state = sampler.start(system.positions, 30.0, seed=1)
    params = sampler.force_field.params()
    state, _ = sampler.run(state, params, 30.0, 10, observe=False)
    for _ in range(4):  # in pieces: displacements add up over runs
        state, _ = sampler.run(state, params, 30.0, 4)
    with pytest.raises(SimulationError, match=r"frozen: its atoms have moved 0\.\d+ Å \(rms\) in 10\.0 ps.*solid"):
        sampler.run(state, params, 30.0, 4)
    lenient = sampler.lenient()
    lenient.run(state, params, 30.0, 4)
    assert [note[:10] for note in lenient.notes] == ["the system"]
    # a re-equilibration between samples of 8 ps counts: the check does not wait for a sample that is long enough
    state, _ = sampler.run(state, params, 30.0, 1, observe=False)
    with pytest.raises(SimulationError, match=r"frozen: .* in 10\.\d ps"):
        sampler.run(state, params, 30.0, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff": 9.0}, "the cutoff of the potential is 9.000 Å; half of the smallest height of the box is 8.100"),
        ({"r_max": 9.0}, "r_max of the pair counts is 9.000 Å"),
        ({"timestep": 0.0}, "timestep is 0.0"),
        ({"stride": 0}, "stride is 0"),
        ({"skin": -1.0}, "skin is -1.0"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"phase": "gas"}, "liquid or solid"),
    ],
)
def test_settings_that_cannot_be_used(make_sampler: MakeSampler, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make_sampler(crystal(), **settings)
    assert message in str(caught.value)


def test_arguments_that_cannot_be_used(liquid: Any) -> None:
    with pytest.raises(InputError, match="frames is 0"):
        liquid.sampler.run(liquid.state, liquid.params, 95.0, 0)
    with pytest.raises(InputError, match="temperature is 0"):
        liquid.sampler.start(liquid.state.positions, 0.0, seed=1)
    with pytest.raises(ValueError, match="positions have shape"):
        liquid.sampler.start(liquid.state.positions[:, :5], 95.0, seed=1)


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
    system = crystal()
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
    system = crystal()
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
