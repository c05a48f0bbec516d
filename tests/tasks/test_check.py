"""`refine check`: what it says will be sampled is what a run samples, and its weights are those of the tables."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from refine import Study
from refine.cli.main import app
from refine.curves.curve import Curve
from refine.curves.weights import scattering_lengths
from refine.errors import SimulationError
from refine.progress import NullProgress
from refine.sampling.starts import begin
from refine.study.schema import StudyConfig
from refine.system import Box, make_system
from refine.tasks.check import check, timing
from refine.tasks.check.cost import StateTiming, Timing
from refine.tasks.check.plan import plan_of
from refine.tasks.check.timing import made_up, more, of_a_step
from refine.tasks.check.weights import weights_of
from refine.tasks.pilot import equilibrated, pilot
from refine.tasks.run import store
from refine.tasks.run.engines import SETTLING_MOVES
from refine.tasks.run.loop import run_study
from tests import small_box

HYDROGENS = (("O", None), ("H", {"H": 1}), ("H", {"H": 2}))

SILICA = """
[system]
species = { Si = 64, O = 128 }
number_density = 0.0662
[[states]]
name = "glass"
temperature = 300.0
phase = "solid"
[[data]]
name = "n"
role = "predict"
quantity = "S(Q)"
radiation = "neutron"
q_range = [0.5, 20.0]
[[data]]
name = "x"
role = "predict"
quantity = "S(Q)"
radiation = "xray"
q_range = [0.5, 20.0]
[[data]]
name = "si_o"
role = "predict"
quantity = "g(r)"
pair = ["Si", "O"]
[model]
base = "pedone-2006"
r_cut = 7.0
"""


def call(*words: object, code: int = 0) -> str:
    """What a command prints, or the one line of its error."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr.splitlines()[-1]


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    study = small_box.write(folder)
    text = study.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    study.write_text(text)
    return study


STAGES = "[[schedule]]\ntemperature = 120.0\npicoseconds = 0.5\n[[schedule]]\ntemperature = 100.0\npicoseconds = 0.4\n"
STAGES += "to = 85.0\ntimestep = 2.0\n"


@pytest.mark.parametrize("start", ["packing", "schedule", "structure"])
def test_steps_to_the_first_frame_are_those_of_the_dynamics(tmp_path: Path, start: str) -> None:
    changes = {
        "packing": (),
        "schedule": (('[[data]]\nname = "sq"', f'{STAGES}[[data]]\nname = "sq"'),),
        "structure": (("species = { Ar = 108 }", 'structure = "start.xyz"'),),
    }[start]
    study_file = written(tmp_path, *changes)
    if start == "structure":
        lattice = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)[:108] * 3.4386
        edge = (108 / 0.02125) ** (1 / 3)
        rows = "\n".join(f"Ar {x:.6f} {y:.6f} {z:.6f}" for x, y, z in lattice)
        cell = f'Lattice="{edge} 0 0 0 {edge} 0 0 0 {edge}" Properties=species:S:1:pos:R:3'
        (tmp_path / "start.xyz").write_text(f"108\n{cell}\n{rows}\n")
    study = Study.from_toml(study_file)
    ((field, sampler),) = study.samplers()
    params = study.force_field_params(field, 0, study.initial_correction())
    (planned,) = plan_of(study, [sampler], fitted=True).states
    assert planned.start_steps == (equilibrated(study, 0, sampler, params, NullProgress()).step,) * 2


def test_a_run_takes_no_more_steps_than_planned(tmp_path: Path) -> None:
    study = written(tmp_path, ("final = 1.0", "final = 1.5"))
    found = check(StudyConfig.from_toml(study), timing=False)
    (planned,) = found.plan.states
    # a melt of 2 ps, three samples of 48 frames and the last of 72, 0.4 ps before each but the first
    assert planned.steps == 400 + 8 * (48 + 48 + 72) + 2 * 80
    assert planned.all_frames == 168
    run_study(Study.from_toml(study), tmp_path / "out")
    samples = store.load(tmp_path / "out" / store.CHECKPOINT).samples
    steps = [int(sample["dynamics"]["0000"]["step"]) for sample in samples]
    assert steps[0] == 400 + 8 * 48
    assert steps[-1] <= planned.steps
    frames = sum(len(sample["frames"]["0000"]["energy"]) for sample in samples)
    assert frames <= planned.all_frames
    kept = sum(sample["frames"]["0000"]["counts"].astype(np.float32).nbytes for sample in samples)
    assert kept == planned.frame_bytes * frames


def test_a_first_sample_decides_within_the_steps_that_are_said(tmp_path: Path) -> None:
    """Of a small box, so that it is soon over."""
    study = Study(StudyConfig.from_toml(written(tmp_path, ("frames = 48\nstride = 8\n", "frames = 48\n"))))
    plan = plan_of(study, [sampler for _, sampler in study.samplers()], fitted=True)
    assert plan.opened == ("stride",)
    assert plan.programs == 2
    begun = pilot(study, NullProgress())
    assert begun.starts is not None
    low, high = plan.states[0].start_steps
    assert low <= begun.starts[0].step <= high


def test_weights_are_those_of_the_tabulated_scattering(tmp_path: Path) -> None:
    """Of neutrons b = 4.1491 and 5.803 fm (Sears 1992); of x-rays at Q = 0 the numbers of electrons; partials none."""
    study = tmp_path / "study.toml"
    study.write_text(SILICA)
    found = json.loads(call("check", study, "--no-timing", "--json"))
    neutron, xray = found["weights"]
    assert (neutron["name"], xray["name"], neutron["q"]) == ("n", "x", [0.0, 5.0, 10.0])
    for row, (si, o) in ((neutron, (4.1491, 5.803)), (xray, (14.0, 8.0))):
        mean = (si + 2 * o) / 3
        expected = {"Si-Si": si**2 / 9, "Si-O": 4 * si * o / 9, "O-O": 4 * o**2 / 9}
        for pair, value in expected.items():
            assert row["pairs"][pair][0] == pytest.approx(value / mean**2, abs=3e-4)
        np.testing.assert_allclose(np.sum(list(row["pairs"].values()), axis=0), 1.0, atol=1e-9)
    assert neutron["pairs"]["O-O"][0] == neutron["pairs"]["O-O"][2]
    assert xray["pairs"]["O-O"][2] < 0.8 * xray["pairs"]["O-O"][0]
    assert found["method"] is None
    assert found["sampling"]["states"][0]["mass_density"] == pytest.approx(2.202, abs=1e-3)  # g/cm^3, 0.0662/Å^3
    assert found["timing"] is None
    printed = call("check", study, "--no-timing")
    assert "nothing is fitted: for refine predict" in printed
    assert "a first sample decides" in printed


def test_weights_where_the_mean_amplitude_is_zero() -> None:
    """Water whose hydrogen is so mixed that b_H = -b_O/2: over <f^2>, in place of <f>^2."""
    (o,), (light,), (heavy,) = (scattering_lengths([name], isotopes) for name, isotopes in HYDROGENS)
    share = (o / 2 + heavy) / (heavy - light)
    curve = Curve(
        x=np.linspace(1.0, 2.0, 6),
        y=np.zeros(6),
        quantity="i(Q)",
        normalisation="keen",
        radiation="neutron",
        number_density=0.1,
        composition={"H": 2 / 3, "O": 1 / 3},
        isotopes={"H": {1: float(share), 2: float(1 - share)}},
    )
    box = Box.of(make_system({"H": 20, "O": 10}, 6.7 * np.eye(3)), np.arange(0.0, 3.3, 0.1))
    found = weights_of("null", curve, box)
    assert found is not None
    assert found.null
    # c_i c_j b_i b_j over <b^2> = (2/3 1/4 + 1/3) b_O^2 = b_O^2/2
    expected = {("H", "H"): 4 / 9 / 4 * 2, ("H", "O"): -2 * 2 / 9 / 2 * 2, ("O", "O"): 1 / 9 * 2}
    for pair, row in zip(found.pairs, found.values, strict=True):
        np.testing.assert_allclose(row, expected[pair], rtol=1e-6)


def test_warnings_of_the_data_and_nothing_run_without_timing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = written(tmp_path)
    doubts = [doubt for data in Study.from_toml(study).datasets for doubt in data.doubts]
    assert doubts

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be run")

    monkeypatch.setattr(timing, "begin", refused)
    printed = call("check", study, "--no-timing")
    assert all(f"warning: sq: {doubt}" in printed for doubt in doubts)
    assert "time: about" not in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gr.csv", "sq.csv", "study.toml"]


def test_what_a_run_would_refuse_is_refused(tmp_path: Path) -> None:
    study = written(tmp_path, ("[refinement]\n", '[refinement]\nmethod = "ibi"\n'))
    assert "ibi needs exactly one fitted g(r)" in call("check", study, "--no-timing", code=2)
    study = written(tmp_path, ("r_cut = 6.5", "r_cut = 9.0"))
    assert "r_cut = 9 Å is above half the box" in call("check", study, code=2)


@pytest.mark.parametrize("method", ["gauss-newton", "rmc"])
def test_the_dynamics_are_timed(tmp_path: Path, method: str) -> None:
    """And nothing is asserted of how fast they are."""
    study = written(tmp_path, ("[refinement]\n", f'[refinement]\nmethod = "{method}"\n'))
    found = json.loads(call("check", study, "--json"))
    (state,) = found["timing"]["states"]
    assert state["steps"] >= 10
    assert state["step"] > 0.0
    assert found["timing"]["update"] > 0.0
    assert found["timing"]["curves"] > 0.0
    assert (state["move_frame"] is not None) == (method == "rmc")
    assert found["timing"]["notes"] == []
    assert found["timing"]["total_seconds"] == pytest.approx(sum(found["timing"]["seconds"].values()))
    assert found["timing"]["memory_bytes"] >= found["timing"]["resident"]


@pytest.mark.slow
def test_windows_are_timed(tmp_path: Path) -> None:
    study = written(tmp_path, ("[refinement]\n", '[refinement]\nmethod = "backprop"\n'))
    found = check(StudyConfig.from_toml(study))
    assert found.timing is not None
    assert found.timing.states[0].window is not None
    assert found.timing.update is not None
    assert found.timing.seconds(found.plan)["windows"] == pytest.approx(3 * 32 * found.timing.states[0].window)


def test_a_cold_packing_that_heats_up_is_timed_all_the_same(tmp_path: Path) -> None:
    """What a sample is refused for, a start structure may do: 0.05 K, and a stiff potential."""
    cold = ("temperature = 85.0", "temperature = 0.05\nphase = 'solid'")
    study_file = written(tmp_path, cold, ("epsilon = 0.0095", "epsilon = 0.5"))
    study = Study.from_toml(study_file)
    ((field, sampler),) = study.samplers()
    params = study.force_field_params(field, 0, study.initial_correction())
    with pytest.raises(SimulationError, match="run away"):
        sampler.run(begin(sampler, params, 0.05, 3), params, 0.05, 2)
    assert "a step (" in call("check", study_file)


def test_times_add_up(tmp_path: Path) -> None:
    plan = check(StudyConfig.from_toml(written(tmp_path)), timing=False).plan
    state = StateTiming("85K", steps=10, start=1.0, compiling=2.0, share=1.0, step=0.01, frame=0.1, move_frame=None)
    costs = Timing("cpu", (state,), curves=0.5, update=3.0, resident=10**8, notes=(), lanes=(0,))
    expected = {"start structures": 1.0, "compiling": 2.0, "steps": 0.01 * 1712, "frames": 0.1 * 144}
    expected |= {"moves": 0.0, "windows": 0.0, "curves": 1.5, "updates": 9.0}
    assert costs.seconds(plan) == pytest.approx(expected)
    assert costs.busy is None
    waiting = replace(costs, states=(state, replace(state, share=0.2)))
    assert waiting.busy == 0.2
    assert replace(waiting, device="gpu, of some kind").busy is None
    # two replicas side by side: a step moves both, and a frame of both counts twice
    both = replace(plan, replicas=2)
    assert costs.seconds(both)["frames"] == pytest.approx(0.1 * 72)


def test_states_at_a_time_take_as_long_as_the_slowest_lane(tmp_path: Path) -> None:
    """Three states, a slow one and two that share the other devices: hand-added; the host's work is of all of them."""
    plan = check(StudyConfig.from_toml(written(tmp_path)), timing=False).plan
    (one,) = plan.states
    assert (one.start_steps[1], one.steps) == (400, 1712)
    state = StateTiming("a", steps=10, start=1.0, compiling=2.0, share=1.0, step=0.01, frame=0.1, move_frame=None)
    dear, slow = replace(state, start=12.0), replace(state, step=0.05, start=0.5)
    costs = Timing("gpu", (slow, dear, state), curves=0.5, update=3.0, resident=10**8, notes=(), lanes=(0, 1, 1))
    found = costs.seconds(replace(plan, states=(one, one, one)))
    # equilibrated after 0.5 + 400 x 0.05 = 20.5 s, and 12 + 1 + 800 x 0.01 = 21 s; sampled in 80 s, and in 55
    assert found["start structures"] == pytest.approx(13.0)
    assert found["steps"] == pytest.approx(800 * 0.01 + 1312 * 0.05)
    assert found["frames"] == pytest.approx(0.1 * 144)
    assert found["compiling"] == pytest.approx(6.0)
    assert found["updates"] == pytest.approx(9.0)
    shared = replace(costs, slowed=1.5).seconds(replace(plan, states=(one, one, one)))
    assert shared["steps"] == pytest.approx(1.5 * found["steps"])
    assert shared["updates"] == found["updates"]
    # atoms that are moved to fit the data are moved state after state
    moved = replace(one, moves=True)
    one_by_one = replace(costs, states=tuple(replace(x, move_frame=0.2) for x in costs.states))
    found = one_by_one.seconds(replace(plan, states=(moved, moved, moved)))
    assert found["moves"] == pytest.approx(3 * 0.2 * moved.moved_frames * (1 + 1 / SETTLING_MOVES))


def test_what_is_too_short_to_be_timed_is_not_called_zero(tmp_path: Path) -> None:
    found = check(StudyConfig.from_toml(written(tmp_path)), timing=False)
    state = StateTiming("85K", steps=10, start=1.0, compiling=2.0, share=1.0, step=0.01, frame=0.0, move_frame=None)
    costs = Timing("cpu", (state,), curves=0.5, update=3.0, resident=10**8, notes=(), lanes=(0,))
    told = replace(found, timing=costs).table()
    assert "10 ms a step (10 steps), a frame in less than can be timed, start structure 1 s" in told
    assert "0 µs" not in told


def test_what_a_block_costs_before_its_first_step_comes_once_a_block() -> None:
    """As of LAMMPS as a program, which is started for each: half a second, for steps of 2 ms."""
    for number in (2, 5, 40, 100):
        calls = [0.5 + 0.02 * n for n in (1, number)]
        assert of_a_step(*calls, number, 100) == pytest.approx(0.002 + 0.5 / 1000)
    assert of_a_step(0.52, 0.52, 1, 1) == pytest.approx(0.052)  # a block of so few steps
    assert of_a_step(0.9, 0.6, 30, 100) > 0.0  # the first call happened to be the longer one


@pytest.mark.parametrize(
    ("before", "ten", "calls"), [(0.0, 0.05, 3), (0.0, 60.0, 1), (4.0, 0.02, 3), (0.5, 0.02, 3), (0.0, 0.001, 3)]
)
def test_steps_are_timed_until_they_are_known(before: float, ten: float, calls: int) -> None:
    """Those of dear potentials once more, and so many of a program that takes seconds to start that they show."""
    one = plain = before + ten
    wanted, number, made = max(1.0, one / 2), 1, 0
    while plain < one + wanted and number < 200:
        number = min(200, more(number, plain - one, wanted, dear=one > 1.0))
        plain, made = before + number * ten, made + 1
    assert made <= calls
    assert number == 2 if ten > 1.0 else number > 10
    assert of_a_step(one, plain, number, 200) == pytest.approx(ten / 10 + before / 2000)


def test_a_busy_machine_is_said(tmp_path: Path) -> None:
    found = check(StudyConfig.from_toml(written(tmp_path)))
    assert found.timing is not None
    states = tuple(replace(one, share=0.25) for one in found.timing.states)
    table = replace(found, timing=replace(found.timing, device="cpu", states=states)).table()
    assert "the machine is busy: the steps had 25 % of a core; with all of it, about" in table


def test_made_up_frames_have_the_number_and_the_scatter_of_a_sample(tmp_path: Path) -> None:
    study = Study.from_toml(written(tmp_path, ("frames = 48", "frames = 4000")))
    ((field, sampler),) = study.samplers()
    params = study.force_field_params(field, 0, study.initial_correction())
    start = equilibrated(study, 0, sampler, params, NullProgress())
    _, frames = sampler.run(start, params, 85.0, 1)
    made = made_up(frames, study, 0)
    assert len(made) == 4000
    seen = frames.counts[0, 0] > 50
    np.testing.assert_allclose(
        made.counts.mean(axis=0)[0, seen], frames.counts[0, 0, seen], rtol=5 / np.sqrt(4000 * 50)
    )
    np.testing.assert_allclose(made.counts.var(axis=0)[0, seen] / frames.counts[0, 0, seen], 1.0, atol=0.15)
    assert (made.counts[:, frames.counts[0] == 0] == 0).all()
