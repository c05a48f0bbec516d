"""Replicas over devices: four virtual ones of the processor, in a process of their own, against one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from refine.errors import InputError
from refine.sampling.jax.spread import Spread, devices_for

ROOT = Path(__file__).parents[3]

SCRIPT = """
import sys
import numpy as np
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Langevin, NoseHoover
from refine.sampling.starts import starts
from refine.sampling.state import stored_state
from refine.system import make_system
from tests.conftest import PairModel

path, replicas, dtype, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
thermostat = {"langevin": Langevin, "nose-hoover": NoseHoover}[kind](0.5)
system = make_system({"Ar": 32}, np.eye(3) * 11.8)
kept = {}
for devices in (1, 4):
    sampler = Sampler(
        system, PairModel(system.n_per_species, True, 5.5), thermostat=thermostat, timestep=5.0, stride=10, n_bins=50,
        r_max=5.9, dtype=dtype, replicas=replicas, devices=devices, positions=True,
    )
    params = sampler.force_field.params(dtype=dtype)
    packed = starts(sampler, 1)
    packed[:, 1] = packed[:, 0] + [0.6, 0.0, 0.0]  # the list has to grow
    relaxed = sampler.minimise(packed, params)
    begun = sampler.start(relaxed, 120.0, 3)
    half, _ = sampler.run(begun, params, 120.0, sampler.frames_per_block)
    compiled = sampler.compilations
    resumed = stored_state(half.to_arrays())
    end, frames = sampler.run(resumed, params, 130.0, 7)
    assert sampler.compilations == compiled, "compiled again"
    whole, _ = sampler.run(begun, params, 120.0, sampler.frames_per_block)
    found = {"relaxed": relaxed, "forces": sampler.forces(begun, params)} | end.to_arrays() | frames.to_arrays()
    found |= {"used": len(sampler.spread.used), "resumed": (whole.momenta == half.momenta).all()}
    kept |= {f"{devices}.{name}": value for name, value in found.items()}
np.savez(path, **kept)
"""


def compared(folder: Path, replicas: int, dtype: str, thermostat: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What one device gives, and four."""
    path = folder / "found.npz"
    more = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    arguments = [sys.executable, "-c", SCRIPT, str(path), str(replicas), dtype, thermostat]
    subprocess.run(arguments, env=os.environ | more, cwd=ROOT, check=True, timeout=300)
    with np.load(path) as found:
        one, four = ({n[2:]: found[n] for n in found.files if n.startswith(f"{d}.")} for d in (1, 4))
    return one, four


@pytest.mark.parametrize(
    ("replicas", "used", "dtype"),
    [
        (3, 3, "float32"),
        (6, 3, "float64"),
        pytest.param(4, 4, "float32", marks=pytest.mark.slow),
        pytest.param(7, 4, "float32", marks=pytest.mark.slow),
    ],
)
def test_four_devices_are_one_bit_for_bit(tmp_path: Path, replicas: int, used: int, dtype: str) -> None:
    """Relaxation, forces, state and frames, though shares are uneven and the list has to grow on the way.

    Of frames, sums of float32 that nothing goes on from alone: XLA contracts a product and a sum, or not, as it likes.
    """
    one, four = compared(tmp_path, replicas, dtype, "langevin")
    assert (one.pop("used"), four.pop("used")) == (1, used)
    assert one.keys() == four.keys()
    if dtype == "float32":
        for name in ("energy", "temperature"):
            np.testing.assert_allclose(four.pop(name), one.pop(name), rtol=1e-6)
    for name, value in one.items():
        assert value.dtype == four[name].dtype
        np.testing.assert_array_equal(four[name], value, err_msg=name)
    assert four["positions"].shape == (7 * replicas, 32, 3)
    assert four["resumed"]
    assert np.unique(four["momenta"][:, 0, 0]).size == replicas


@pytest.mark.slow
def test_a_chain_of_thermostats_is_spread_too(tmp_path: Path) -> None:
    """Its trajectories part by rounding; what comes before the first step does not, and states are whole."""
    one, four = compared(tmp_path, 5, "float32", "nose-hoover")
    np.testing.assert_array_equal(one["forces"], four["forces"])
    assert four["thermostat.chain_position"].shape == (5, 3)
    assert four["momenta"].shape == (5, 32, 3)
    assert four["resumed"]
    assert four["temperature"].mean() == pytest.approx(one["temperature"].mean(), rel=0.2)


def test_devices_without_a_share_are_left_out() -> None:
    device = jax.devices()[0]
    spreads = [Spread(replicas, (device,) * 4) for replicas in (1, 3, 5, 6, 8)]
    assert [(one.share, len(one.used)) for one in spreads] == [(1, 1), (1, 3), (2, 3), (2, 3), (2, 4)]
    assert not spreads[0].several


def test_more_devices_than_there_are_is_one_line() -> None:
    with pytest.raises(
        InputError, match=r"^\[sampling\] devices: 4096 devices were asked for, and jax has \d+ \(cpu\)"
    ):
        devices_for(4096)
    assert len(devices_for(0)) == 1
