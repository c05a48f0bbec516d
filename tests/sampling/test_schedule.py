"""Temperature schedules: the staircase, what compiles, and where they end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refine.sampling.schedule import PIECES, Stage, follow, hottest, staircase, steps_of
from refine.sampling.starts import equilibrate, starts, steps_to_equilibrate
from refine.system import make_system


def test_a_stage_says_its_rate() -> None:
    ramp = Stage(4000.0, 50.0, to=300.0)
    assert ramp.rate == -74.0
    assert ramp.words() == "4000 to 300 K in 50 ps (-74 K/ps)"
    assert Stage(300.0, 5.0, pressure=0.5).words() == "300 K for 5 ps at 0.5 GPa"
    assert ramp.to_json()["rate_K_per_ps"] == -74.0
    assert hottest([ramp, Stage(10.0, 1.0, to=4500.0)]) == 4500.0


@pytest.mark.parametrize(("total", "most"), [(1000, 7), (1000, 100), (1000, 1000), (30, 8), (1, 4)])
def test_a_ramp_is_a_staircase_of_short_pieces(total: int, most: int) -> None:
    pieces = staircase(Stage(200.0, 1.0, to=100.0), total, most)
    temperatures, lengths = np.array(pieces).T
    assert lengths.sum() == total
    assert lengths.max() <= most
    assert lengths.min() >= 1
    assert len(pieces) >= min(total, PIECES)
    assert (np.diff(temperatures) < 0).all()
    assert (temperatures @ lengths) / total == pytest.approx(150.0)
    flat = staircase(Stage(200.0, 1.0), total, most)
    assert {t for t, _ in flat} == {200.0}
    assert len(flat) == -(-total // most)


def test_a_ramp_compiles_nothing_and_ends_at_its_temperature(liquid: Any) -> None:
    sampler = liquid.sampler
    hot = sampler.retuned(liquid.state, 180.0)
    stages = (Stage(180.0, 2.0), Stage(180.0, 8.0, to=95.0))
    follow(sampler, liquid.params, hot, stages[:1], 1)
    before, done = sampler.compilations, []
    first = follow(sampler, liquid.params, hot, stages, 1, done.append)
    assert sampler.compilations == before
    assert sum(done) == sum(steps_of(stage, sampler) for stage in stages)
    assert first.volumes == (None, None)
    again = follow(sampler, liquid.params, hot, stages, 1)
    np.testing.assert_array_equal(first.state.positions, again.state.positions)
    # nothing that was seen on the way counts against what is sampled afterwards
    assert first.state.sampled_steps == 0
    _, frames = sampler.run(first.state, liquid.params, 95.0, 20)
    assert abs(frames.temperature.mean() / 95.0 - 1) < 4 * np.sqrt(2 / (3 * 108)) / np.sqrt(4)  # four blocks of 0.25 ps


def test_cooling_into_a_solid_is_no_failure(make_sampler: Any) -> None:
    """A liquid's ramp to where nothing flows: the watch judges only what is sampled."""
    sampler = make_sampler(make_system({"Ar": 108}, np.eye(3) * (108 / 0.0235) ** (1 / 3)))
    params = sampler.force_field.params()
    stages = (Stage(150.0, 2.0), Stage(150.0, 15.0, to=10.0), Stage(10.0, 12.0))
    told: list[int] = []
    state = equilibrate(sampler, params, 10.0, 1, 1.0, stages, told.append)
    assert sum(told) == steps_to_equilibrate(sampler, 1.0, stages)
    assert state.sampled_steps == 0
    assert np.isfinite(state.positions).all()


def test_replicas_begin_in_packings_of_their_own(make_sampler: Any) -> None:
    sampler = make_sampler(make_system({"Ar": 108}, np.eye(3) * 17.5), replicas=2)
    first, again, other = (starts(sampler, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[1], other[0])  # the packing of seed 2
    assert np.abs(first[0] - first[1]).max() > 1
