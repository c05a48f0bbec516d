"""A small liquid argon, equilibrated once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from refine.sampling.jax.sampler import Sampler
    from refine.sampling.state import MDState

TEMPERATURE = 95.0  # K, a little above argon's boiling point: 108 atoms do not freeze here


@dataclass(frozen=True)
class Liquid:
    sampler: Sampler
    params: Any
    state: MDState
    temperature: float = TEMPERATURE


@pytest.fixture(scope="session")
def make_sampler(pair_model: Callable[..., Any]) -> Callable[..., Sampler]:
    """make_sampler(system, **what differs from 108 argon atoms under Langevin dynamics) -> Sampler."""
    from refine.sampling.jax.sampler import Sampler
    from refine.sampling.jax.thermostats import Langevin

    def make(system: Any, *, cutoff: float = 7.0, **settings: Any) -> Sampler:
        defaults = {"thermostat": Langevin(0.5), "timestep": 5.0, "stride": 10, "n_bins": 80, "r_max": 8.0}
        return Sampler(system, pair_model(system, cutoff), **defaults | settings)

    return make


@pytest.fixture(scope="session")
def liquid(make_sampler: Callable[..., Sampler]) -> Liquid:
    """108 argon atoms, melted: a sampler, its parameters and an equilibrated state."""
    from refine.sampling.starts import melt, random_packing
    from refine.system import make_system

    packed = random_packing({"Ar": 108}, 0.02, seed=1)
    sampler = make_sampler(make_system({"Ar": 108}, packed.cell))
    params = sampler.force_field.params()
    return Liquid(sampler, params, melt(sampler, params, TEMPERATURE, seed=5, picoseconds=6.0))
