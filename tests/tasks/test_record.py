"""The record of a run: its phases, its JSON, and how a run ends."""

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from refine import Study
from refine.errors import SimulationError
from refine.progress import NullProgress
from refine.refinement.convergence import misfit
from refine.refinement.fitted import Determination, DeterminedData, DeterminedPair, Fitted, Tension
from refine.refinement.problem import Update
from refine.results.judged import JudgedSample
from refine.results.schema import Status
from refine.sampling.frames import Frames
from refine.sampling.state import MDState
from refine.tasks.run.engines import Engines
from refine.tasks.run.loop import WITHDRAWALS, Run
from refine.tasks.run.record import Answer, Ending, Phase, Potential, Record, Statement
from refine.tasks.run.store import Unfinished
from refine.tasks.run.verdict import answer_of, as_known_now, ending_of, made_worse
from tests import small_box
from tests.refinement.conftest import PoissonLiquid

KNOWN = Determination(
    parameters=24,
    directions=1.0 / 3.0,
    singular_values=(3.0, 0.5),
    data=(DeterminedData("x", 45, 4.5, 4.0, 15.0),),
    pairs=(DeterminedPair(("Ar", "Ar"), 0, (3.0, 3.05), (0.9, 0.4), ((3.0, 3.0),), 0.02, None),),
    tension=(Tension("x", None, 50.0, 45, 0.6),),
)


def test_a_row_has_the_error_that_is_known_now():
    """Of a sample of which others say that four frames are worth one: an error that is larger, and more noise taken off
    chi^2. Rows of other samples stay."""
    liquid = PoissonLiquid()
    target = liquid.target(liquid.mean_counts(liquid.basis()), 0.01)
    plain = [liquid.sample(liquid.basis(), 100, seed) for seed in range(2)]
    known = [plain[0], replace(plain[1], inefficiency=({"synthetic": np.full(len(target.y), 4.0)},))]
    rows = [sample(k, misfit(one, [target]).chi2, misfit(one, [target]).error) for k, one in enumerate(plain)]
    first, second = as_known_now(rows, known, [target])
    assert first == rows[0]
    assert second.chi2 < rows[1].chi2
    assert 1.5 < second.chi2_stderr / rows[1].chi2_stderr < 4.0


@pytest.mark.parametrize(
    ("rows", "accepted", "final", "status"),
    [
        ([(90.0, 5.0), (60.0, 5.0), (40.0, 5.0)], True, 2, "converged"),
        ([(90.0, 5.0), (41.0, 5.0), (44.0, 5.0)], True, 2, "converged"),  # no worse than its error
        ([(90.0, 5.0), (40.0, 5.0), (70.0, 5.0)], True, 1, "iterations-exhausted"),
        ([(90.0, 5.0), (40.0, 5.0), (60.0, 50.0)], False, 1, "iterations-exhausted"),  # taken back
        ([(90.0, 5.0), (120.0, 5.0), (110.0, 5.0)], True, 0, "not-improved"),
        ([(90.0, 50.0), (80.0, 50.0), (91.0, 50.0)], True, 1, "converged"),
        ([(90.0, 50.0), (91.0, 50.0)], True, 0, "not-improved"),  # within errors, and still no better
    ],
)
def test_the_best_sample_is_the_answer_and_never_one_worse_than_the_base(rows, accepted, final, status):
    """chi^2 of the samples with its error, whether the last was accepted; the answer, and how the run ended."""
    iterations = [sample(k, chi2, error) for k, (chi2, error) in enumerate(rows)]
    ending, update = Ending(Status.CONVERGED, "stopped"), Update(None, {}, accepted, 0, True, "", None)
    newest, best = (Statement(np.array([[x]]), KNOWN, confirmed=True) for x in (1.0, 2.0))
    answer = answer_of(iterations, update, ending, newest, {1: best}, points=50)
    assert (answer.final, answer.ending.status) == (final, status)
    assert ("base model" in answer.ending.message) == (final == 0)
    # what is stated is stated of the answer, and nothing of the base model
    assert answer.statement == (None if final == 0 else newest if final == len(rows) - 1 else best)


@pytest.mark.parametrize(
    ("worse", "final"),
    [({}, 2), ({2: ["Cl-Cl"]}, 1), ({1: ["Ca-Ca"], 2: ["Cl-Cl"]}, 2)],
)
def test_where_errors_do_not_decide_no_curve_is_lost(worse, final):
    """chi^2 90, 40 and 44 of the last one, within its error, which describes a curve worse than the base model does."""
    iterations = [sample(k, chi2) for k, chi2 in enumerate((90.0, 40.0, 44.0))]
    update, best = Update(None, {}, True, 2, False, "", None), Statement(np.array([[2.0]]), KNOWN, confirmed=True)
    ending = Ending(Status.EXHAUSTED, "stopped")
    answer = answer_of(iterations, update, ending, None, {1: best}, lambda number: worse.get(number, []), points=50)
    assert (answer.final, answer.statement) == (final, best if final == 1 else None)
    assert ("lost Cl-Cl" in answer.ending.message) == (final == 1)


def test_what_a_sample_describes_worse_than_the_first_one_is_named():
    """Two curves, and a sample that is nearer to the one and farther from the other; no difference is none."""
    liquid = PoissonLiquid()
    near, far = (liquid.target(liquid.mean_counts(liquid.basis(), extra), 0.01) for extra in (hill, dip))
    targets = [replace(near, name="near"), replace(far, name="far")]
    samples = [liquid.sample(liquid.basis(), 200, k, extra) for k, extra in enumerate((None, hill, None))]
    assert [made_worse(samples, targets, k) for k in range(3)] == [[], ["far"], []]


def hill(r):
    return 0.04 * np.exp(-((r - 4.6) ** 2))


def dip(r):
    return -0.5 * hill(r)


def sample(number: int, chi2: float = 50.0, error: float = 5.0, **numbers: float) -> JudgedSample:
    return JudgedSample(number, True, "", 100, Fitted(100.0, 0.1, numbers=numbers), chi2, error)


@pytest.mark.parametrize(
    ("rows", "final", "status", "said"),
    [
        # the curves alone would have the second sample, which forgot most
        ([(900.0, 0.0), (300.0, 7.0), (500.0, 0.5)], 2, "iterations-exhausted", "go on"),
        ([(900.0, 0.0), (500.0, 0.5), (300.0, 7.0)], 1, "iterations-exhausted", "1, replayed frames included"),
        ([(900.0, 0.0), (700.0, 4.0)], 0, "not-improved", "no correction describes data and replayed frames better"),
        ([(900.0, 4.0), (901.0, 0.5)], 1, "iterations-exhausted", "go on"),  # labels that the start did not meet
    ],
)
def test_with_replay_the_answer_has_the_lowest_loss_and_not_the_lowest_curve(rows, final, status, said):
    """chi^2 of 50 points and the term R of each sample: the loss is chi^2/100 + R."""
    iterations = [sample(k, chi2, replay=term) for k, (chi2, term) in enumerate(rows)]
    update = Update(None, {}, True, 0, False, "", None)
    again = [JudgedSample.from_json(json.loads(json.dumps(one.to_json()))) for one in iterations]
    answer = answer_of(again, update, Ending(Status.EXHAUSTED, "limit; go on"), points=50)
    assert (answer.final, answer.ending.status) == (final, status)
    assert said in answer.ending.message


def test_a_run_whose_last_sample_at_the_limit_says_converged_has_converged():
    """It says so, is not reopened, and a last sample that rose has not, whatever it says."""
    reason = "chi^2 fell by 1.0 ± 5.0, within its sampling error twice; converged"
    update = Update(None, {}, True, 1, True, reason, None)
    limit = ending_of(replace(update, converged=False), 2, 2)
    assert limit.status is Status.EXHAUSTED
    iterations = [sample(0, 90.0), sample(1, 41.0), sample(2, 40.0)]
    answer = answer_of(iterations, update, limit, points=50)
    words = "stopped after 2 updates: chi^2 fell by 1.0 ± 5.0, within its sampling error twice"
    assert answer == Answer(2, Ending(Status.CONVERGED, words), None)
    done = Record.start({}).equilibrated(Potential(np.ones((1, 1, 4)), np.ones(1), np.zeros(1))).sampled([], 0.0)
    done = replace(done, ending=limit).concluded(iterations, answer)
    assert done.reopened() is done
    rose = answer_of([*iterations[:2], sample(2, 80.0)], update, limit, points=50)
    assert (rose.final, rose.ending.status) == (1, Status.EXHAUSTED)
    assert "not converged after all" in rose.ending.message


def records() -> list[Record]:
    """One of every phase, and of the sample after the last update."""
    potential = Potential(np.ones((1, 1, 4)) / 3.0, np.ones(1), np.zeros(1), np.array([0.1, 0.2]))
    ending, statement = Ending(Status.CONVERGED, "stopped"), Statement(np.array([[1.0 / 3.0]]), KNOWN)
    update = Update(
        None, {"lambda": 0.1}, True, 0, True, "", None, covariance=statement.covariance, determination=KNOWN
    )
    start = Record.start({"lambda": None})
    sampling = start.equilibrated(potential)
    judged = sampling.sampled(["slow"], 2.5)
    again = judged.updated(sample(0), update, potential, frames_factor=2.0, ending=ending)
    done = again.sampled([], 1.0).concluded([*again.iterations, sample(1)], Answer(1, ending, statement))
    return [start, sampling, judged, again, done]


def test_a_record_goes_through_its_phases_and_comes_back_from_json_bit_for_bit():
    phases = [record.phase.name for record in records()]
    assert phases == ["EQUILIBRATE", "SAMPLE", "UPDATE", "SAMPLE", "DONE"]
    for record in records():
        tree = json.loads(json.dumps(record.to_json()))
        again = Record.from_json(tree)
        assert json.loads(json.dumps(again.to_json())) == tree
        assert (again.ending is None, again.answer is None) == (record.ending is None, record.answer is None)
    done = records()[-1]
    assert [sample.iteration for sample in done.iterations] == [0, 1]
    assert done.rule == {"lambda": 0.1}
    assert Record.from_json(json.loads(json.dumps(done.to_json()))).answer.statement.determination == KNOWN


def test_what_is_stated_of_the_best_samples_is_kept():
    """chi^2 90 of the base, of which nothing is stated, 40, 70, 80, 85 and 88: what the first four updates said, as
    their samples bore it out."""
    potential = Potential(np.ones((1, 1, 4)), np.ones(1), np.zeros(1))
    record = Record.start({}).equilibrated(potential)
    for k, chi2 in enumerate((90.0, 40.0, 70.0, 80.0, 85.0, 88.0)):
        assert list(record.best) == list(range(1, k))
        update = Update(None, {}, True, k, False, "", None, confirmed=k == 1, covariance=np.array([[k + 1.0]]))
        record = record.sampled([], 0.0).updated(sample(k, chi2), update, potential, frames_factor=1.0, ending=None)
    tree = json.loads(json.dumps(record.to_json()))
    record = Record.from_json(tree)
    kept = {n: Statement(np.array([[float(n)]]), None, confirmed=n == 1) for n in range(1, 5)}
    assert record.best == kept
    assert record.stated == Statement(np.array([[6.0]]), None)
    # an earlier version kept that of the best one alone
    assert Record.from_json(tree | {"best": kept[1].to_json()}).best == {1: kept[1]}


def test_nothing_is_stated_of_a_sample_by_what_was_stated_of_a_lucky_one():
    """chi^2 90, 40, 10 by chance, and 60: the second one is the best again, and what was stated of it is kept."""
    record = Record.start({}).equilibrated(Potential(np.ones((1, 1, 4)), np.ones(1), np.zeros(1)))
    for k, chi2 in enumerate((90.0, 40.0, 10.0, 60.0)):
        lucky = 2 if k == 3 else None
        update = Update(None, {}, True, k, False, "", None, covariance=np.array([[k + 1.0]]), lucky=lucky)
        record = record.sampled([], 0.0).updated(
            sample(k, chi2), update, record.potential, frames_factor=1, ending=None
        )
    update = Update(None, {}, False, 1, False, "", None)
    iterations = record.judged(sample(4, 80.0), update)
    assert list(record.best) == [1, 3]
    answer = answer_of(iterations, update, Ending(Status.EXHAUSTED, ""), None, record.best, points=50)
    assert (answer.final, answer.statement) == (1, Statement(np.array([[1.0]]), None))


def test_a_lucky_sample_is_not_the_answer():
    """chi^2 90, 10 by chance, 60, and 40 in the end."""
    record = Record.start({}).equilibrated(Potential(np.ones((1, 1, 4)), np.ones(1), np.zeros(1)))
    for k, chi2 in enumerate((90.0, 10.0, 60.0)):
        update = Update(None, {}, True, k, False, "", None, lucky=1 if k == 2 else None)
        record = record.sampled([], 0.0).updated(
            sample(k, chi2), update, record.potential, frames_factor=1, ending=None
        )
    assert [one.accepted for one in record.iterations] == [True, False, True]
    assert "lucky" in record.iterations[1].reason
    update = Update(None, {}, True, 3, False, "", None)
    assert answer_of(record.judged(sample(3, 40.0), update), update, Ending(Status.EXHAUSTED, ""), points=50).final == 3


def test_samples_that_a_later_step_led_back_from_are_not_kept():
    """Each got a little worse: the third update goes back to the first one's sample, and the report says so."""
    record = Record.start({}).equilibrated(Potential(np.ones((1, 1, 4)), np.ones(1), np.zeros(1)))
    for k, chi2 in enumerate((90.0, 40.0, 50.0, 60.0)):
        last = k == 3
        update = Update(None, {}, not last, 1 if last else k, False, "", None)
        judged = replace(sample(k, chi2), accepted=not last)
        record = record.sampled([], 0.0).updated(judged, update, record.potential, frames_factor=1, ending=None)
    assert [one.accepted for one in record.iterations] == [True, True, False, False]
    assert record.iterations[2].reason == "given up later, for iteration 1"
    assert record.iterations[3].reason == ""


def test_a_record_refuses_a_step_out_of_turn():
    start, sampling, judged, *_ = records()
    with pytest.raises(ValueError, match="phase SAMPLE, and not in EQUILIBRATE"):
        sampling.equilibrated(sampling.potential)
    with pytest.raises(ValueError, match="phase EQUILIBRATE, and not in SAMPLE"):
        start.sampled([], 0.0)
    with pytest.raises(ValueError, match="not in SAMPLE"):
        judged.sampled([], 0.0)


def test_a_run_of_the_first_layout_of_records_goes_on():
    """As version 0.1.0 wrote it, in the middle of the last sample."""
    # fmt: off
    row = {
        "iteration": 0, "accepted": True, "reason": "", "frames": 80, "effective_sample_size": 61.5, "step_kT": 0.1,
        "trust_radius": 0.3, "noise_factor": 1.5, "noise_factors": {"x": 1.5}, "scales": {"x": 1.0},
        "scales_stderr": {"x": 0.0}, "backgrounds": {"x": 0.0}, "backgrounds_stderr": {"x": 0.0},
        "predicted_decrease": None, "gain": None, "prior_amplitude_kT": 2.0, "prior_amplitudes_kT": [2.0],
        "determined_directions": 4.5, "chi2_fitted": 91.5, "chi2_fitted_stderr": 7.0, "actual_decrease": None,
        "actual_decrease_error": None,
    }
    tree = {
        "phase": "sample", "rule": {"n": 1}, "iterations": [row], "restart": None, "frames_factor": 3.0,
        "next": {"coefficients": [[[0.0, 0.5]]], "core": [3.0], "wall": [2.9], "parameters": None}, "parent": 0,
        "warnings": [], "seconds": 12.5, "last": True, "status": "converged", "message": "stopped",
        "covariance": [[0.25]], "determination": None,
    }
    # fmt: on
    record = Record.from_json(tree)
    assert record.phase is Phase.SAMPLE
    assert record.ending is not None
    assert (record.ending.status, record.frames_factor, record.seconds) == ("converged", 3.0, 12.5)
    row |= {
        "seconds_sampling": None,
        "seconds_solving": None,
        "backgrounds": {"x": []},
        "backgrounds_stderr": {"x": []},
    }
    assert {**tree, "seconds_sampling": 0.0, "confirmed": False} == {**record.to_json(), "restart": None}


@pytest.mark.parametrize(
    ("converged", "updates", "status"),
    [(False, 1, None), (True, 1, "converged"), (False, 2, "iterations-exhausted"), (True, 2, "converged")],
)
def test_a_run_ends_when_the_rule_has_converged_or_at_the_limit_of_updates(converged, updates, status):
    ending = ending_of(Update(None, {}, True, 0, converged, "nothing left", None), updates, 2)
    assert (None if ending is None else ending.status) == status


def test_a_run_at_its_limit_says_the_command_that_goes_on():
    def message(**keywords):
        return ending_of(Update(None, {}, True, 0, False, "nothing left", None), 8, 8, **keywords).message

    assert message().endswith("refine run STUDY --out OUT --resume --set refinement.iterations=16")
    assert message(elsewhere=True).endswith("refine step OUT --set refinement.iterations=16")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("the step is within its error (6.9 for 9.7); converged", ": the step is within its error (6.9 for 9.7)"),
        ("converged", ""),
    ],
)
def test_that_a_run_converged_is_said_once(reason, message):
    """By its status."""
    ending = ending_of(Update(None, {}, True, 0, True, reason, None), 5, 8)
    assert ending == Ending(Status.CONVERGED, f"stopped after 5 updates{message}")


class Noting(Engines):
    """Stands for the engines of two states: no dynamics; the first state's engine notes something, unless it is new."""

    def __init__(self, study: Study, note: tuple[str, ...], *, fails: bool) -> None:
        self.study, self.notes, self.fails, self.frames_per_block = study, note, fails, 1000

    def __len__(self) -> int:
        return 2

    @property
    def lanes(self) -> list[int]:
        return [0] * len(self)

    def lenient(self) -> None:
        pass

    def settling(self, frames: int) -> int:
        return 0

    def of(self, s, state, *_):
        return (
            SimpleNamespace(frames_per_block=1000, notes=self.notes if s == 0 else (), run=partial(self.run, s)),
            None,
            state,
        )

    def run(self, s, state, params, temperature, count, *, observe, on_block=None):
        if s == 1 and self.fails:
            raise KeyboardInterrupt
        counts = np.zeros((count, 1, 20), np.float32)
        ones = np.ones(count)
        return state, Frames(counts, ones, ones, ones, np.zeros(count, int), 8.0, (108,), 5000.0, None)


def test_what_was_noted_of_a_state_before_an_interruption_is_among_the_warnings(tmp_path):
    """As it is without one: the engines that go on know of nothing."""
    study = small_box.write(tmp_path)
    text = study.read_text().replace("[[data]]", '[[states]]\nname = "90K"\ntemperature = 90.0\n[[data]]', 1)
    study.write_text(text.replace("[[data]]", "[[data]]\nstate = '85K'"))
    made = Study.from_toml(study)
    state = MDState(np.zeros((1, 108, 3)), np.zeros((1, 108, 3)), {}, 0, 8, 1.0, np.zeros((1, 108, 3)), 0)
    warnings = []
    for interrupted in (False, True):
        out = tmp_path / f"out-{interrupted}"
        out.mkdir()
        run = Run(made, out, resume=False, overwrite=False, progress=NullProgress())
        run.record = run.record.equilibrated(Potential.of(made.initial_correction()))
        run.current = [Unfinished(state), Unfinished(state)]
        run.engines = Noting(made, ("the system is frozen: Å",), fails=interrupted)
        if interrupted:
            with pytest.raises(KeyboardInterrupt):
                run.sample()
            run = Run(made, out, resume=True, overwrite=False, progress=NullProgress())
            run.engines = Noting(made, (), fails=False)
        run.sample()
        warnings.append(run.record.warnings)
    assert warnings == [["85K: the system is frozen: Å"]] * 2


class Cavitating(Noting):
    """Stands for engines of one state: a gas of spheres, whatever the potential, after it had a hole so many times."""

    def __init__(self, study: Study, holes: int) -> None:
        super().__init__(study, (), fails=False)
        self.bins, self.width = study.problem.targets[0].operator.matrix.shape[1], study.settings.bin_width
        self.holes = holes

    def __len__(self) -> int:
        return 1

    def run(self, s, state, params, temperature, count, *, observe, on_block=None):
        if self.holes:
            self.holes -= 1
            raise SimulationError("the liquid has a hole", fix="a smaller volume")
        r = self.width * (np.arange(self.bins) + 0.5)
        shells = 0.5 * 108**2 / 5000.0 * 4.0 * np.pi * r**2 * self.width / (1.0 + np.exp(-(r - 3.3) / 0.05))
        counts = np.random.default_rng(0).poisson(shells, (count, 1, self.bins)).astype(np.float32)
        ones = np.ones(count)
        r_max = self.width * self.bins
        return state, Frames(counts, ones, ones, ones, np.zeros(count, int), r_max, (108,), 5000.0, None)


def begun(folder):
    """A study, and its run in folder/out before the first sample, which nothing is wrong with."""
    made = Study.from_toml(small_box.write(folder))
    state = MDState(np.zeros((1, 108, 3)), np.zeros((1, 108, 3)), {}, 0, 8, 1.0, np.zeros((1, 108, 3)), 0)
    (folder / "out").mkdir()
    run = Run(made, folder / "out", resume=False, overwrite=False, progress=NullProgress())
    run.record, run.current = run.record.equilibrated(Potential.of(made.initial_correction())), [Unfinished(state)]
    run.engines = Cavitating(made, 0)
    return made, run


@pytest.mark.parametrize("holes", [0, 1, WITHDRAWALS, WITHDRAWALS + 1])
def test_a_step_that_cannot_be_sampled_is_taken_back(tmp_path, holes):
    """Each time to 0.4 of its size, also across an interruption; where the first one still cannot be sampled, nothing
    was learnt, and the run ends with the error of its dynamics."""
    made, run = begun(tmp_path)
    run.sample()
    run.update()
    sizes, engines = [], Cavitating(made, holes)
    for _ in range(min(holes, WITHDRAWALS)):
        run.engines = engines
        sizes.append(np.linalg.norm(run.record.potential.coefficients))
        run.sample()
        assert run.record.phase is Phase.SAMPLE
        run._save()
        run = Run(made, tmp_path / "out", resume=True, overwrite=False, progress=NullProgress())
    run.engines = engines
    if holes > WITHDRAWALS:
        with pytest.raises(SimulationError, match="hole"):
            run.sample()
        return
    run.sample()
    sizes.append(np.linalg.norm(run.samples[-1].correction.theta))
    assert all(later < 0.6 * before for before, later in pairwise(sizes))
    run.update()
    assert run.record.iterations[-1].reason.count("was taken back (the liquid has a hole)") == holes
    assert run.record.withdrawn == ()


def test_a_sample_that_two_steps_in_a_row_cannot_be_taken_from_is_given_up(tmp_path):
    """Once there is one from the sample before it, and not earlier: it may be the best one that there is."""
    made, run = begun(tmp_path)
    for _ in range(2):
        run.sample()
        run.update()
    assert run.record.parent == 1
    run.engines = Cavitating(made, 2)
    for parent in (1, 0):
        run.sample()
        assert run.record.parent == parent
    assert run.record.iterations[1].accepted
    run.sample()
    run.update()
    given_up, newest = run.record.iterations[1:]
    assert (given_up.accepted, given_up.reason.endswith("given up later, for iteration 0")) == (False, True)
    assert newest.reason.count("was taken back (the liquid has a hole)") == 2


def test_a_run_whose_next_step_cannot_be_sampled_ends_with_its_best_sample(tmp_path):
    """With results; with more iterations it tries once more, and steps that are shorter still."""
    made, run = begun(tmp_path)
    for _ in range(2):
        run.sample()
        run.update()
    first, second = run.record.iterations
    run.record = replace(run.record, iterations=[first, replace(second, chi2=0.5 * first.chi2)])
    run.engines = Cavitating(made, WITHDRAWALS + 1)
    run.advance()
    assert (run.record.phase, run.engines.holes) == (Phase.DONE, 0)
    again = Run(made, tmp_path / "out", resume=True, overwrite=False, progress=NullProgress())
    result = again.finish()
    assert (result.status, len(result.iterations)) == (Status.UNSAMPLED, 2)
    assert "the liquid has a hole): iteration 1" in result.message
    assert result.message.endswith("--resume --set refinement.iterations=4")
    np.testing.assert_array_equal(result.correction.theta, again.samples[1].correction.theta)
    assert "could not be" in (tmp_path / "out" / "report.html").read_text()
    tried = run.record.potential.correction(made.initial_correction()).theta
    run.record, run.engines = again.record.reopened(), Cavitating(made, 1)
    run.sample()
    shorter = run.record.potential.correction(made.initial_correction()).theta
    there = run.samples[run.record.parent].correction.theta
    assert np.linalg.norm(shorter - there) < 0.6 * np.linalg.norm(tried - there)
    run.sample()
    assert run.record.phase is Phase.UPDATE


def test_a_run_that_ended_at_its_limit_is_reopened_before_its_last_verdict():
    """Also where that is still to come, and from its JSON; a run that converged stays as it is."""
    limit, statement = Ending(Status.EXHAUSTED, "limit"), Statement(np.array([[1.0 / 3.0]]), KNOWN)
    *_, done = records()
    assert done.reopened() is done
    last = replace(done, phase=Phase.UPDATE, answer=None, ending=limit, iterations=done.iterations[:-1])
    ended = last.concluded(done.iterations, Answer(0, Ending(Status.NOT_IMPROVED, "no"), None))
    ended = Record.from_json(json.loads(json.dumps(ended.to_json())))
    assert ended.answer == Answer(0, Ending(Status.NOT_IMPROVED, "no"), None)
    for record in (ended, last):
        again = record.reopened()
        assert (again.phase, again.ending, again.answer) == (Phase.UPDATE, None, None)
        assert [sample.iteration for sample in again.iterations] == [0]
        assert again.stated == statement
    # an earlier version kept what is stated of the answer alone, which may be an earlier sample
    old = {**last.to_json(), "phase": "done", "final": 0, "iterations": ended.to_json()["iterations"]}
    assert Record.from_json(old).reopened().stated is None
    assert Record.from_json(old | {"final": 1}).reopened().stated == statement


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (sample(1, 92.0, error=40.0), "is the answer (chi^2 rose by 2.0 ± 40.3, which may be sampling: more frames"),
        (sample(1, 900.0, error=5.0), "which is the answer; stopped"),
    ],
)
def test_a_run_that_improved_nothing_says_whether_it_could_have_seen_it(last: JudgedSample, said: str) -> None:
    update = Update(None, {}, True, 1, False, "", None)
    answer = answer_of([sample(0, 90.0), last], update, Ending(Status.EXHAUSTED, "stopped"), points=50)
    assert (answer.final, answer.ending.status) == (0, Status.NOT_IMPROVED)
    assert said in answer.ending.message
