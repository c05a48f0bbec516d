"""A whole run on a small box: outputs, interruption at every kind of moment, and what may not be done to a run."""

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import refine
from refine import Study, files
from refine.errors import CheckpointError, InputError
from refine.files import exclusive
from refine.progress import NullProgress
from refine.refinement.responses.slow_modes import with_slow_modes
from refine.results.reader import read_results
from refine.study.schema import StudyConfig
from refine.tasks.diagnose import diagnose
from refine.tasks.run import store as checkpoint
from refine.tasks.run.loop import Run, run_study
from refine.tasks.run.record import Record
from tests import small_box
from tests.listening import Stop, StopIn, Told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small box."""
    return small_box.write(tmp_path).parent


def numbers(out: Path) -> dict:
    """result.json without what a clock or a machine puts in."""
    result = json.loads((out / "result.json").read_text())
    for row in result["iterations"]:
        row.pop("seconds_sampling"), row.pop("seconds_solving")
    return {key: value for key, value in result.items() if key not in ("seconds", "provenance")}


SCHEDULE = """
[[schedule]]
temperature = 180.0
picoseconds = 1.0
[[schedule]]
temperature = 180.0
to = 85.0
picoseconds = 2.0
timestep = 2.5
"""


@pytest.mark.slow
def test_a_schedule_makes_the_start_and_is_the_same_after_an_interruption(folder):
    """A start that was stopped begins again from its seed; the schedule is told, and replaces the melt."""
    study = folder / "study.toml"
    plain = _started(study, folder / "plain")
    study.write_text(study.read_text() + SCHEDULE)
    engine = Study.from_toml(study)
    assert [stage.rate for stage in engine.stages] == [0.0, -47.5]
    whole = _started(study, folder / "whole")
    with pytest.raises(Stop):
        engine.run(folder / "parts", progress=StopIn("equilibrating", 3))
    parts = _started(study, folder / "parts", resume=True)
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value)
    # 1 ps in steps of 5 fs, 2 ps in steps of 2.5 fs, and the equilibration of 2 ps, in whole frames of 8 steps
    assert int(whole["step"]) == 8 * (25 + 100 + 50)
    assert np.abs(whole["positions"] - plain["positions"]).max() > 1


def _started(study: Path, out: Path, *, resume: bool = False) -> dict:
    """The state behind the equilibration, where a run is stopped."""
    engine = Study.from_toml(study)
    out.mkdir(exist_ok=True)
    run = Run(engine, out, resume=resume, overwrite=False, progress=NullProgress())
    if not run.current:
        run.equilibrate()
    return run.current[0].state.to_arrays()


def test_outputs_and_resuming_at_any_moment_bit_for_bit(folder, monkeypatch):
    """The same final numbers whether or not the run was stopped while equilibrating, sampling, and between updates."""
    monkeypatch.setattr("refine.tasks.run.loop.SAVE_INTERVAL", 0.0)
    study = folder / "study.toml"
    whole = Study.from_toml(study).run(folder / "whole")
    moments = StopIn("equilibrating", 2), StopIn("sampling the base"), StopIn("iteration 0"), StopIn("sampling 1", 2)
    for stops, moment in enumerate(moments):
        with pytest.raises(Stop):
            Study.from_toml(study).run(folder / "parts", resume=stops > 0, progress=moment)
    Study.from_toml(study).run(folder / "parts", resume=True)
    assert numbers(folder / "parts") == numbers(folder / "whole")

    opened = refine.open(folder / "whole")
    assert opened.summary == whole.summary
    np.testing.assert_array_equal(opened.correction.theta, whole.correction.theta)
    np.testing.assert_array_equal(opened.correction.core, whole.correction.core)
    np.testing.assert_array_equal(opened.correction.wall, whole.correction.wall)
    assert opened.correction.pairs == whole.correction.pairs
    np.testing.assert_array_equal(opened.covariance, whole.covariance)

    result = json.loads((folder / "whole" / "result.json").read_text())
    assert result["status"] == whole.status
    assert set(result["initial"]["r_chi"]) == {"sq", "gr"}
    assert result["provenance"]["seed"] == 3
    correction = result["correction"][0]
    assert len(correction["r"]) == len(correction["phi"])
    assert correction["wall"] < correction["core"]
    # too short a run for linear response: what rests on it is left out, and the report says so
    assert (correction["stderr"] is None) == any("linear response" in note for note in result["notes"])
    shown = [row["chi2_fitted"] for row in result["iterations"]]
    assert result["iterations"][1]["actual_decrease"] == shown[0] - shown[1]
    for row in result["iterations"]:
        assert row["chi2_fitted"] == pytest.approx(row["chi2"]["sq"])
    assert result["final"]["chi2"]["sq"] in (shown[-1], min(shown))  # tests/tasks/test_record.py has which of them
    header = (folder / "whole" / "curves" / "sq.csv").read_text().splitlines()[0]
    names = ["measured", "initial", "final", "final_stderr"]  # no errors are stated
    assert header.split(",")[:5] == ["Q [1/angstrom]", *(f"{name} [S(Q) faber-ziman]" for name in names)]
    assert header.split(",")[5] == "measured_box [S(Q) faber-ziman; as the box shows it]"
    header = (folder / "whole" / "g_r" / "85K.csv").read_text().splitlines()[0]
    assert header == "r [angstrom],Ar-Ar initial [g(r)],Ar-Ar final [g(r)],Ar-Ar final stderr [g(r)]"
    assert (folder / "whole" / "report.html").stat().st_size > 100_000

    # refine diagnose says the same of the base model, sampled alike
    base = diagnose(Study.from_toml(study))
    assert base.chi2 == pytest.approx(shown[0], abs=base.chi2_stderr)

    # a finished run resumed does nothing but write its outputs again
    before = numbers(folder / "whole")
    (folder / "whole" / "result.json").unlink()
    Study.from_toml(study).run(folder / "whole", resume=True)
    assert numbers(folder / "whole") == before
    with pytest.raises(CheckpointError, match="--resume"):
        Study.from_toml(study).run(folder / "whole")
    with pytest.raises(CheckpointError, match=r"sampling\.seed = 4, was 3"):
        Study.from_toml(study, ["sampling.seed=4"]).run(folder / "whole", resume=True)
    assert numbers(folder / "whole") == before


CHILD = """
import os, signal, sys
from refine import Study
from tests.listening import StopIn
class Kill(StopIn):
    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)
Study.from_toml(sys.argv[1]).run(sys.argv[2], resume=sys.argv[4] == "resume", progress=Kill(sys.argv[3]))
"""


@pytest.mark.slow
def test_kill_9_and_resume_in_new_processes(folder):
    study = folder / "study.toml"

    def child(out: str, moment: str, mode: str) -> int:
        command = [sys.executable, "-c", CHILD, str(study), str(folder / out), moment, mode]
        return subprocess.run(command, capture_output=True, timeout=300).returncode

    assert child("whole", "never", "fresh") == 0
    assert child("killed", "sampling 1", "fresh") == -signal.SIGKILL
    assert child("killed", "never", "resume") == 0
    assert numbers(folder / "killed") == numbers(folder / "whole")


def test_a_second_process_is_refused(folder):
    with exclusive(folder / "out"):
        code = (
            "import sys\nfrom refine.files import exclusive\nfrom pathlib import Path\n"
            "try:\n    with exclusive(Path(sys.argv[1])): pass\n"
            "except Exception as e: sys.exit(str(e))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(folder / "out")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "another process" in done.stderr


def test_a_folder_that_cannot_be_locked_is_not_said_to_be_in_use(tmp_path, monkeypatch):
    """Some file systems have no locks."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(CheckpointError, match="cannot be locked: No locks available") as caught, exclusive(tmp_path):
        pass
    assert "another process" not in str(caught.value)


def small() -> checkpoint.StoredRun:
    arrays = {"counts": np.arange(2000, dtype=np.float32).reshape(10, 1, 200), "r_max": np.asarray(8.0)}
    sample = {"coefficients": np.ones((1, 4)), "core": np.ones(1), "frames": {"0000": arrays}}
    return checkpoint.StoredRun("digest", Record.start({"x": [0.1, None]}), [sample], [arrays])


def test_checkpoint_round_trip(tmp_path):
    checkpoint.save(tmp_path / "run.h5", small())
    loaded = checkpoint.load(tmp_path / "run.h5")
    assert loaded.record == small().record
    for a, b in ((loaded.samples[0]["frames"]["0000"], small().samples[0]["frames"]["0000"]),):
        np.testing.assert_array_equal(a["counts"], b["counts"])
        assert a["counts"].dtype == np.float32
    np.testing.assert_array_equal(loaded.current[0]["counts"], small().current[0]["counts"])


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text", "other"])
def test_a_damaged_checkpoint_is_named_and_left_alone(tmp_path, damage):
    path = tmp_path / "run.h5"
    checkpoint.save(path, small())
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "flip":
        with h5py.File(path) as file:
            start = file["samples/0000/frames/0000/counts"].id.get_chunk_info(0).byte_offset
        content[start + 20] ^= 0xFF
    elif damage == "empty":
        content = bytearray()
    elif damage == "text":
        content = bytearray(b"hello\n" * 100)
    path.write_bytes(bytes(content))
    if damage == "other":
        with h5py.File(path, "r+") as file:
            del file["record"]
    kept = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"damaged") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == kept


def test_a_full_disk_leaves_the_last_good_state(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    checkpoint.save(path, small())
    kept = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left") as caught:
        checkpoint.save(path, small())
    assert "--resume" in str(caught.value)
    assert path.read_bytes() == kept
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_a_write_that_the_system_refuses_leaves_the_last_good_state(tmp_path):
    """HDF5 itself cannot write on: files may not grow beyond 16 KiB, as they may not on a full disk."""
    path = tmp_path / "run.h5"
    checkpoint.save(path, small())
    kept = path.read_bytes()
    larger = small()
    larger.samples[0]["coefficients"] = np.random.default_rng(0).random(20_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="the last good state is intact") as caught:
            checkpoint.save(path, larger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == kept
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    checkpoint.save(path, larger)
    assert checkpoint.load(path).samples[0]["coefficients"].shape == (20_000,)


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="another folder") as caught, exclusive(tmp_path / "file" / "out"):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("correction.r_cut=9.5", ["r_cut = 9.5", "half the box", "atoms"]),
        ("model.r_cut=12.0", ["cutoff", "box"]),
        ("system.species={Ar=108, Xx=3}", ["Xx"]),
        ('data.0.file="nothing.csv"', ["nothing.csv"]),
        ("data.0.fit_q=[0.5, 30.0]", ["fit_q", "beyond the data"]),
        ("data.0.score_r=[3.0, 11.0]", ["score_r", "box"]),
        ('model.base="lennard"', ["lennard-jones"]),
        ("model.parameters.epsilon=-1.0", ["epsilon"]),
        ('data.0.sigma="file"', ["no standard errors are read"]),
        ('refinement.method="ibi"', ["g(r)"]),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(folder, override, words):
    with pytest.raises(InputError) as caught:
        Study.from_toml(folder / "study.toml", [override]).run(folder / "out")
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("method", ["gauss-newton", "ibi"])
def test_a_rule_is_handed_what_it_knows_of_slow_modes(folder, tmp_path, monkeypatch, method):
    """Gauss-Newton at every update and at the end, of all samples so far; rules that judge each by itself never."""
    more = ['data.0.role="score"', 'data.1.role="fit"'] if method == "ibi" else []
    study = Study.from_toml(folder / "study.toml", [f'refinement.method="{method}"', *more])
    heard = []

    def listening(problem, samples):
        heard.append(len(samples))
        return with_slow_modes(problem, samples)

    monkeypatch.setattr("refine.tasks.run.loop.with_slow_modes", listening)
    result = study.run(tmp_path / "out")
    count = len(result.iterations)
    assert heard == ([*range(1, count + 1), count] if method == "gauss-newton" else [])


def test_the_base_model_is_never_evaluated_while_solving(folder):
    """Counted: an update touches stored pair counts only."""
    study = Study(StudyConfig.from_toml(folder / "study.toml"))
    calls = []

    class Counting:
        pairs, cutoff, inner = study.base.pairs, study.base.cutoff, study.base.inner
        coulomb, truncation = study.base.coulomb, study.base.truncation
        interaction = study.base.interaction
        energy = staticmethod(lambda r, base=study.base: calls.append("energy") or base.energy(r))
        derivative = staticmethod(lambda r, base=study.base: calls.append("derivative") or base.derivative(r))

    study.base = Counting()
    update = study.rule.update
    during: list[int] = []

    class Watched:
        start = staticmethod(study.rule.start)
        yields_potential = study.rule.yields_potential
        knows_slow_modes = study.rule.knows_slow_modes

        @staticmethod
        def update(*args):
            before = len(calls)
            result = update(*args)
            during.append(len(calls) - before)
            return result

    study.rule = Watched()
    study.run(folder / "out")
    assert calls
    assert during == [0] * len(during)
    assert len(during) >= 2


PREDICTED = """
[[data]]
name = "ours"
role = "predict"
quantity = "F(Q)"
radiation = "xray"
q_range = [0.8, 11.0]
[[data]]
name = "partial"
role = "predict"
quantity = "g(r)"
pair = ["Ar", "Ar"]
"""


def test_a_smooth_background_and_a_resolution_are_in_what_a_run_writes(folder):
    keys = ("data.sq.free_background='chebyshev:6'", "data.sq.sigma=0.05", "data.sq.q_damp=0.02")
    result = Study.from_toml(folder / "study.toml", [*keys, "refinement.iterations=1"]).run(folder / "out")
    (sq, gr), table = result.summary.data, read_results(folder / "out").curves["sq"]
    assert (sq.background, gr.background_rms, sq.background_below) == (None, None, 0.9)
    assert "resolution 0.02 1/Å" in sq.compared
    assert table.background is not None
    assert sq.background_rms == pytest.approx(np.sqrt(np.mean(table.background**2)), rel=1e-4)
    page = result.report_path.read_text(encoding="utf-8")
    assert "smooth, of waves below 0.9 Å, rms" in page
    assert "background, in all" in page
    amplitudes = result.iterations[0].backgrounds["sq"]
    assert len(amplitudes) == 5  # of 7: 1 + 0.9 (Q_max - Q_min)/π = 4.4


def test_progress_tells_the_scores_of_the_report(folder):
    """Also of a curve that is not fitted and whose scale is free; a curve without a measurement is drawn beside it."""

    heard: list[str] = []

    class Listener(NullProgress):
        def message(self, text: str) -> None:
            heard.append(text)

    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text + PREDICTED)
    study = Study.from_toml(folder / "study.toml", ["data.gr.free_scale=true", "refinement.iterations=1"])
    result = study.run(folder / "out", progress=Listener())
    scores = result.iterations[0].r_chi
    words = f"iteration 0: R_chi sq {scores['sq']:.4f}, gr {scores['gr']:.4f}"
    assert any(text.startswith(words) for text in heard), heard
    report = read_results(folder / "out")
    ours, partial = report.summary.predictions
    assert (ours.name, partial.name, partial.q_range) == ("ours", "partial", None)
    assert ours.q_range == pytest.approx((0.8, 11.0), rel=1e-12)  # the last point is a sum of steps
    assert (report.predicted["ours"].final_stderr > 0.0).all()
    assert "ours: F(Q), prediction" in result.report_path.read_text(encoding="utf-8")
    assert "with all Q, window none" in result.report_path.read_text(encoding="utf-8")


def test_the_time_to_come_is_said_before_the_first_update(folder: Path, tmp_path: Path) -> None:
    told = Told()
    study = Study.from_toml(
        folder / "study.toml", ["refinement.iterations=1", "sampling.frames=40", "sampling.replicas=2"]
    )
    run_study(study, tmp_path / "out", progress=told)
    cost = [k for k, line in enumerate(told.lines) if line.startswith("sampling takes about ")]
    assert len(cost) == 1
    assert " at most: 2 samples of 40 frames, " in told.lines[cost[0]]
    assert told.lines[cost[0]].endswith(" for 8 steps")
    first = next(k for k, line in enumerate(told.lines) if line.startswith("iteration 0"))
    assert cost[0] < first
