"""States over devices: threads that take turns or not, and four virtual devices of the processor against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refine.progress import NullProgress, Progress
from refine.sampling.jax.spread import Spread
from refine.tasks.lanes import in_lanes
from tests import small_box

ROOT = Path(__file__).parents[2]

STATES = """
[[states]]
name = "85K"
temperature = 85.0
[[states]]
name = "95K"
temperature = 95.0
[[states]]
name = "105K"
temperature = 105.0
"""

SCRIPT = """
import sys
from pathlib import Path
from refine import Study
from refine.progress import NullProgress
from refine.tasks.check import check
from refine.tasks.run import loop

folder, states, used, short = Path(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3]), sys.argv[4:]
for devices in used:
    lanes = [s % devices for s in range(states)]
    study = Study.from_toml(folder / "study.toml", [*short, f"sampling.devices={devices}"])
    (folder / f"on{devices}").mkdir()
    run = loop.Run(study, folder / f"on{devices}", resume=False, overwrite=False, progress=NullProgress())
    assert run.engines.lanes == lanes, run.engines.lanes
    homes = [sampler.spread.used for _, sampler in run.engines.samplers]
    assert all(len(one) == 1 for one in homes) and len(set(homes)) == min(devices, states)
    run.finish()

class Killed(BaseException):
    pass

saved, moves = loop.Run._save, []
def save(self):
    saved(self)
    if self.samples and self.current and any(one.parts for one in self.current):
        raise Killed
loop.Run._save, loop.SAVE_INTERVAL = save, 0.0
for again in (False, True):
    try:
        study = Study.from_toml(folder / "study.toml", [*short, "sampling.devices=4"])
        loop.run_study(study, folder / "killed", resume=again)
        raise AssertionError("not killed")
    except Killed:
        pass
loop.Run._save = saved
assert [sampler.spread.lane for _, sampler in study.samplers()] == list(range(states))
loop.run_study(study, folder / "killed", resume=True)

told = check(study.config)
assert told.timing.lanes == tuple(range(states)) and told.timing.slowed >= 1.0
assert f"{states} of {states} states at a time" in told.table()
"""


def arrays_of(path: Path) -> dict[str, Any]:
    """Of a checkpoint, samples and where the states stand."""
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, one: found.__setitem__(name, one[()]) if isinstance(one, h5py.Dataset) else None)
    return {name: value for name, value in found.items() if name.startswith(("samples", "current"))}


@pytest.mark.parametrize(
    ("states", "used", "settings"),
    [
        (2, (1,), ["sampling.equilibration=0.2"]),
        # two of them on one device; the first look at the base model is over devices, too
        pytest.param(3, (1, 2, 4), ["sampling.equilibration='auto'"], marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_run_on_four_devices_is_that_on_one_bit_for_bit(
    tmp_path: Path, states: int, used: tuple[int, ...], settings: list[str]
) -> None:
    """States one after the other, and each on its own device, killed and gone on with."""
    small_box.write(tmp_path)
    text = (tmp_path / "study.toml").read_text()
    before, after = text.split("[[states]]\nname")[0], text.split("temperature = 85.0\n")[1]
    after = after.replace("[[data]]\n", '[[data]]\nstate = "85K"\n').replace("equilibration = 2.0\n", "", 1)
    (tmp_path / "study.toml").write_text(before + "[[states]]".join(STATES.split("[[states]]")[: states + 1]) + after)
    short = ["refinement.iterations=1", "sampling.frames=24", "sampling.keep=4", *settings]
    more = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    arguments = [sys.executable, "-c", SCRIPT, tmp_path, str(states), repr(used), *short]
    subprocess.run(arguments, env=os.environ | more, check=True, timeout=900)
    one = arrays_of(tmp_path / "on1" / "run.h5")
    assert len(one) > 20
    for other in (*(f"on{devices}" for devices in used[1:]), "killed"):
        found = arrays_of(tmp_path / other / "run.h5")
        assert found.keys() == one.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(found[name], value, err_msg=f"{other}: {name}")
        frames = sorted((tmp_path / "on1" / "frames").iterdir())
        assert len(frames) == 2 * states
        for file in frames:
            assert (tmp_path / other / "frames" / file.name).read_bytes() == file.read_bytes()
        results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("on1", other)]
        assert results[0]["data"] == results[1]["data"]


def counting(
    upto: int, progress: Progress, *, until: threading.Event | None = None, fails: bool = False
) -> Iterator[int]:
    """0, 1, ... each told; waits for an event before the first, and fails behind the last."""
    if until is not None:
        assert until.wait(10)
    for k in range(upto):
        progress.advance(1)
        yield k
    if fails:
        raise ValueError(f"behind {upto}")


class Told(NullProgress):
    """What is advanced, and the threads it comes from."""

    def __init__(self) -> None:
        self.units, self.threads, self.stages = 0, set[int](), list[tuple[str, int]]()

    def stage(self, label: str, total: int) -> None:
        self.stages.append((label, total))

    def advance(self, n: int) -> None:
        self.units += n
        self.threads.add(threading.get_ident())


@pytest.mark.parametrize("lanes", [[0, 0, 0], [0, 1, 0], [0, 1, 2]])
def test_works_yield_in_their_order_and_tell_one_thread(lanes: list[int]) -> None:
    told = Told()
    works = [partial(counting, upto) for upto in (3, 4, 5)]
    found = list(in_lanes(works, lanes, told, together=("all", 12)))
    assert [[thing for k, thing in found if k == work] for work in range(3)] == [[*range(n)] for n in (3, 4, 5)]
    assert told.units == 12
    assert told.threads == {threading.get_ident()}
    assert told.stages == ([("all", 12)] if len(set(lanes)) > 1 else [])


def test_a_lane_goes_on_while_another_one_waits() -> None:
    free = threading.Event()
    found = in_lanes([partial(counting, 2, until=free), partial(counting, 2)], [0, 1], NullProgress())
    assert [next(found), next(found)] == [(1, 0), (1, 1)]
    free.set()
    assert list(found) == [(0, 0), (0, 1)]


def test_of_several_errors_it_is_the_first_state_s_and_what_comes_before_it_is_whole() -> None:
    late = threading.Event()
    works = [
        partial(counting, 3, until=late),
        partial(counting, 2, until=late, fails=True),
        partial(counting, 0, fails=True),
    ]
    found: list[tuple[int, int]] = []
    threading.Timer(0.2, late.set).start()
    with pytest.raises(ValueError, match="behind 2"):
        found.extend(in_lanes(works, [0, 1, 2], NullProgress()))


def test_who_stops_taking_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    found = in_lanes([partial(counting, 10**9), partial(counting, 10**9)], [0, 1], NullProgress())
    next(found)
    assert threading.active_count() == before + 2
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_states_share_devices_without_an_overlap() -> None:
    """Of four: of one replica four states at a time, of two two, of three or more one after the other."""
    devices: Any = ("a", "b", "c", "d")
    for replicas, expected in (
        (1, ["a", "b", "c", "d", "a"]),
        (2, ["ab", "cd", "ab"]),
        (3, ["abc", "abc"]),
        (8, ["abcd"]),
    ):
        spreads = [Spread(replicas, devices, turn) for turn in range(len(expected))]
        assert ["".join(one.used) for one in spreads] == expected  # type: ignore[arg-type]
        assert [one.home for one in spreads] == [None if one.lane == 0 else one.used[0] for one in spreads]
