"""One run in one folder: the loop, its checkpoint, and how it goes on after an interruption.

    equilibrate -> SAMPLE (COUNT) -> PREDICT, UPDATE -> SAMPLE -> ... -> results, report

Everything random follows from the seed, every step is a pure function of what the checkpoint holds, and frames are
taken in pieces of fixed size, so a run that was killed and resumed ends with the numbers of one that was not.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from refine.errors import CheckpointError, InputError, SimulationError
from refine.files import exclusive, remove, write_text
from refine.progress import NullProgress, Progress, duration
from refine.refinement.problem import MovingRule, Sample, TrajectoryRule, Update, WithdrawingRule
from refine.refinement.responses.slow_modes import with_slow_modes
from refine.refinement.walls import closest, innermost, refuse_r_min, walls
from refine.results.judged import JudgedSample
from refine.results.outcome import Outcome
from refine.results.result import Result
from refine.results.schema import RESULT, is_result
from refine.results.scores import score
from refine.results.writer import MODELS, write_outcome
from refine.sampling.frames import by_replica
from refine.sampling.state import State
from refine.study.choices.engine import refuse_elsewhere
from refine.study.datasets import tell_doubts
from refine.tasks.lanes import longest
from refine.tasks.outputs import refuse_inputs
from refine.tasks.pilot import pilot
from refine.tasks.run import store
from refine.tasks.run.began import MAY_CHANGE, Began, in_words
from refine.tasks.run.engines import Engines
from refine.tasks.run.kept import FOLDER, Kept
from refine.tasks.run.record import Phase, Potential, Record
from refine.tasks.run.unfit import refuse_unfit
from refine.tasks.run.verdict import answer_before, answer_of, as_known_now, ending_of, judged_sample, made_worse
from refine.tasks.sample import frames_per_replica
from refine.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refine.sampling.files.sampler import Returned
    from refine.study.study import Study

Array = NDArray[np.float64]

SAVE_INTERVAL = 5.0
"""Seconds between checkpoints inside a sample. When one is written changes nothing in the run's numbers."""

WITHDRAWALS = 4
"""Steps in a row that may be taken back because they could not be sampled: at 0.4 each, to a fortieth of the first."""

STEPS = "steps"
"""Folder of what is written for those who make the frames of a run (`refine.tasks.step`)."""

OUTPUTS = ("report.html", "curves", "g_r", FOLDER, STEPS, *MODELS, "study.toml", RESULT, store.CHECKPOINT)
"""What a run leaves in its folder, and all that --overwrite removes; last what a run is recognised by."""


def run_study(
    study: Study,
    out: str | Path | None = None,
    *,
    resume: bool | Literal["auto"] = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Refine, and leave result.json, curves, g(r), run.h5 and report.html in `out`.

    Args:
        study: what is refined.
        out: output folder; default runs/<name of the study's folder> under the current one.
        resume: go on with the run in `out`, also with other `refine.tasks.run.began.MAY_CHANGE`; "auto": where there
            is one, and else start it.
        overwrite: throw away the run in `out`.
        progress: told what happens.

    Raises:
        RefineError: what the user can mend; the last good checkpoint stays.
    """
    folder = Path(out) if out is not None else study.config.default_out()
    progress = progress or NullProgress()
    refuse_elsewhere(study.config.sampling.engine)
    refuse_unfit(study)
    tell_doubts(study.datasets, progress)
    for doubt in study.doubts:
        progress.message(f"warning: {doubt}")
    with exclusive(folder):
        if resume == "auto":
            resume = (folder / store.CHECKPOINT).exists()
        return Run(study, folder, resume=resume, overwrite=overwrite, progress=progress).finish()


class Run:
    """One run in one folder.

    Attributes:
        record: where it stands, and what the rule remembers.
        samples: those that are finished.
        ends: of each of them, where the trajectories of all states stand behind it.
        current: of each state, how far the sample has come that is being taken, or its start.
    """

    def __init__(self, study: Study, folder: Path, *, resume: bool, overwrite: bool, progress: Progress) -> None:
        self.study, self.folder, self.progress = study, folder, progress
        self.path = folder / store.CHECKPOINT
        self.digest, self.began = study.digest(), Began.of(study, folder)
        self.record = Record.start(study.rule.start())
        self.samples: list[Sample] = []
        self.ends: list[list[State]] = []
        self.current: list[store.Unfinished] = []
        self.returned: Sequence[Returned] = ()
        self.saved = self.counted = time.monotonic()
        if resume:
            self._load()
        else:
            self._clear(overwrite)
            self._save()
        write_text(folder / "study.toml", study.config.to_toml(folder))

    @cached_property
    def engines(self) -> Engines:
        """What makes frames."""
        return Engines(self.study)

    @property
    def kept(self) -> Kept | None:
        """Where frames are kept; None where the last ones suffice."""
        every = self.study.config.sampling.keep
        return None if every == "final" else Kept(self.study, self.folder, every)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def finish(self) -> Result:
        """Everything that is still to be done."""
        self.advance()
        return self.report()

    def advance(self, returned: Sequence[Returned] = ()) -> None:
        """All that is still to be done but the report, or, where others make the frames, up to the next that they make.

        returned: of each state, what they have made of the sample that is waited for.
        """
        steps = {Phase.EQUILIBRATE: self.equilibrate, Phase.SAMPLE: self.sample, Phase.UPDATE: self.update}
        self.returned = returned
        while self.record.phase is not Phase.DONE and not self.waiting:
            sampling = self.record.phase is Phase.SAMPLE
            steps[self.record.phase]()
            if sampling:
                self.returned = ()
            self._save()

    @property
    def waiting(self) -> bool:
        """Whether the next sample is for others to make, and has not come back."""
        return self.study.engine.elsewhere and self.record.phase is Phase.SAMPLE and not self.returned

    def equilibrate(self) -> None:
        """Start structures of all states at their temperatures under the base model, and what the study leaves open."""
        for stage in self.study.stages_at_volume():
            self.progress.message(f"schedule: {stage.words()}")
        if self.study.replay is not None:
            self.study.replay.check()
        begun = pilot(self.study, self.progress)
        self.study = begun.study
        if begun.starts is None:
            for start in self.engines.starts(len(self.current), self.progress):
                self.current.append(store.Unfinished(start))
                self._save()
        else:
            self.current = [store.Unfinished(start) for start in begun.starts]
        study, correction = self.study, self.study.initial_correction()
        if not study.config.model.has_molecules:  # whose bonds are not told apart in a single configuration
            nearest = [
                closest(positions, system.cell, system.n_per_species, correction.basis.r_min)
                for start, system in zip(self.current, study.systems, strict=True)
                for positions in start.state.positions
            ]
            refuse_r_min(correction, np.min(nearest, axis=0))  # now, and not after a sample
        self.record = self.record.equilibrated(Potential.of(correction), study.choices)

    def sample(self) -> None:
        """SAMPLE and COUNT: frames of every state under the next potential, each reduced to its pair counts.

        Goes on inside a sample that was interrupted. A step that leads to what cannot be sampled is taken back, and
        after `WITHDRAWALS` the run ends with the best sample that there is, if it is better than the base model's.
        """
        try:
            self._sample()
        except SimulationError as error:
            rule, record = self.study.rule, self.record
            if not (isinstance(rule, WithdrawingRule) and self.samples):
                raise
            if len(record.withdrawn) < WITHDRAWALS:
                self._withdraw(rule, error)
                return
            answer = answer_before(
                record.iterations,
                record.best,
                error.what,
                points=self.study.problem.points,
                iterations=self.study.config.refinement.iterations,
                elsewhere=self.study.engine.elsewhere,
            )
            if answer is None:
                raise
            self.progress.message(answer.ending.message)
            assert record.parent is not None
            self.current = [store.Unfinished(state) for state in self.ends[record.parent]]
            self.record = record.stopped(answer)

    @one_thread()
    def _withdraw(self, rule: WithdrawingRule, error: SimulationError) -> None:
        """The rule proposes something nearer to a sample that there is."""
        words = f"a longer step was taken back ({error.what})"
        self.progress.message(f"iteration {len(self.samples)}: {words}")
        update, tried = rule.withdrawn(self.record.rule, self.study.problem, self._known()), self.record.potential
        assert tried is not None
        correction = update.correction.with_core(tried.core, tried.wall)
        self.current = [store.Unfinished(state) for state in self.ends[update.restart]]
        self.record = self.record.withdrew(update, Potential.of(correction, update.parameters), words)

    def _sample(self) -> None:
        study, settings, potential = self.study, self.study.settings, self.record.potential
        assert potential is not None
        correction = potential.correction(study.initial_correction())
        number = len(self.samples)
        per_replica = frames_per_replica(settings.frames * self.record.frames_factor, settings.replicas)
        settle = self.engines.settling(per_replica) if number else 0
        if self.record.ending is not None:
            self.engines.lenient()
        began = time.monotonic()
        self.progress.stage(
            f"sampling {number}" if number else "sampling the base model", len(self.engines) * (settle + per_replica)
        )
        self.progress.advance(sum(one.done for one in self.current))
        paces = [time.monotonic()]
        for s, ((state, frames, count), noted) in self.engines.pieces(
            self.current, potential, correction, self.samples, self.returned, per_replica, settle, self.progress
        ):
            written = self.current[s].written
            if frames is not None and self.kept is not None:
                first = self.current[s].done - settle
                written = self.kept.append(number, s, frames, first=first, written=written)
                frames = frames if study.needs_positions else replace(frames, positions=None)
            self.current[s] = self.current[s].extended(state, frames, count, noted, written)
            self.progress.advance(count)
            if number == s == 0:
                paces.append(time.monotonic())
                if len(paces) == 3 or count == per_replica:  # in the first piece is compiling
                    self._tell_cost((paces[-1] - paces[-2]) / count, per_replica)
            ended = len(self.engines) > 1 and self.current[s].done == settle + per_replica
            # what came back is taken as a whole, or not at all
            if not self.returned and (ended or time.monotonic() - self.saved > SAVE_INTERVAL):
                self._save()
        taken = tuple(by_replica(one.parts) for one in self.current)
        sample, ends = Sample(correction, taken, potential.parameters), [one.state for one in self.current]
        if isinstance(study.rule, TrajectoryRule):
            sample, ends = self.engines.differentiated(study.rule, sample, ends, self.progress)
        self.samples.append(sample)
        self.ends.append(ends)
        states = zip(study.config.states, self.current, strict=True)
        notes = [f"{state.name}: {note}" for state, one in states for note in one.notes]
        self.current = []
        self.record = self.record.sampled(notes, time.monotonic() - began)

    def _tell_cost(self, seconds: float, per_replica: int) -> None:
        """How long all samples will take, from the seconds of a frame of each replica in the first state."""
        study, updates = self.study, self.study.config.refinement.iterations
        if isinstance(study.rule, MovingRule) or study.engine.elsewhere:  # what follows is not of dynamics, or not ours
            return
        each = per_replica * (updates + study.settings.final) + self.engines.settling(per_replica) * updates
        whole = duration(seconds * each * longest(self.engines.lanes))
        self.progress.message(
            f"sampling takes about {whole} at most: {updates + 1} samples of "
            f"{per_replica * study.settings.replicas} frames, {duration(seconds)} for {study.settings.stride} steps"
        )

    @one_thread()
    def update(self) -> None:
        """PREDICT and UPDATE: the rule judges the newest sample, and says what comes next."""
        study, began = self.study, time.monotonic()
        self.progress.doing("looking for the next correction")
        samples = self._known()
        rows = as_known_now(self.record.iterations, samples, study.problem.targets)
        record = replace(self.record, iterations=rows)
        update = study.rule.update(record.rule, study.problem, samples)
        judged = judged_sample(samples, study.problem.targets, record, update, time.monotonic() - began)
        self.progress.message(self._words(judged))
        if record.ending is not None:
            iterations = record.judged(judged, update)
            stated = record.borne_out(update), record.best
            worse = partial(made_worse, samples, study.problem.targets)
            points = study.problem.points
            answer = answer_of(iterations, update, record.ending, *stated, worse, points=points)
            self.record = record.concluded(iterations, answer)
            return
        core, wall = self._limits(update)
        ending = ending_of(update, len(self.samples), study.config.refinement.iterations, study.engine.elsewhere)
        factor = update.frames_factor
        if ending is not None:
            factor = max(factor, study.settings.final)
        self.current = [store.Unfinished(state) for state in self.ends[update.restart]]
        self.record = record.updated(
            judged,
            update,
            Potential.of(update.correction.with_core(core, wall), update.parameters),
            frames_factor=factor,
            ending=ending,
        )

    def _known(self) -> list[Sample]:
        """The samples, with what they say of each other's errors for a rule that hears it."""
        study = self.study
        return with_slow_modes(study.problem, self.samples) if study.rule.knows_slow_modes else self.samples

    def _limits(self, update: Update) -> tuple[Array, Array]:
        """Where the next correction goes on as a straight line, and where its wall begins, (pairs,) Å each.

        A sample that was taken back says nothing: its potential may have let atoms in where none belong. Then they are
        those of the first step from the sample that the next one begins from.
        """
        study, before = self.study, self.samples[update.restart].correction
        if not update.accepted:
            first = self.samples[update.restart + 1].correction
            return first.core, first.wall
        frames = self.samples[-1].frames
        nearest, wall = innermost(frames), walls(frames, study.onsets())
        expected = np.inf if update.innermost is None else update.innermost
        if len(self.samples) == 1:
            refuse_r_min(before, nearest)
            core = np.where(np.isfinite(nearest), nearest, before.basis.r_min)
            return np.minimum(core, expected), np.minimum(wall, expected)
        both = (wall > 0.0) & (before.wall > 0.0)  # zero: of a pair that was not seen
        lowest = np.where(both, np.minimum(wall, before.wall), np.maximum(wall, before.wall))
        return np.minimum(np.minimum(nearest, before.core), expected), np.minimum(lowest, expected)

    def _words(self, judged: JudgedSample) -> str:
        targets, frames = self.study.targets, self.samples[-1].frames
        scores = ", ".join(
            f"{data.name} {score(data, targets[data.name], frames[data.state], errors=False).r_chi:.4f}"
            for data in self.study.datasets
        )
        return f"iteration {judged.iteration}: R_chi {scores}" + (f"; {judged.reason}" if judged.reason else "")

    def report(self) -> Result:
        """Results and report of a run that is done."""
        from refine.report import write_report  # jinja2 is only loaded here

        self.progress.doing("writing the results and the report")
        answer = self.record.answer
        assert answer is not None
        said = answer.statement
        outcome = Outcome(
            study=self.study,
            samples=self._known(),
            final=answer.final,
            status=answer.ending.status,
            message=answer.ending.message,
            iterations=self.record.iterations,
            covariance=None if said is None else said.covariance,
            unconfirmed=said is not None and not said.confirmed,
            warnings=self.record.warnings,
            determination=None if said is None else said.determination,
            seconds=self.record.seconds,
            digest=self.digest,
        )
        summary = write_outcome(outcome, self.folder)
        write_report(self.folder)
        return Result(summary, self.samples[outcome.final].correction, outcome.covariance, self.folder)

    # -- checkpoint ----------------------------------------------------------------------------------------------------

    def _clear(self, overwrite: bool) -> None:
        """Remove an earlier run where that is wanted; refuse what is not known to be one, and what the study reads."""
        refined = self.study.base_kind.refined_file
        names = OUTPUTS if refined is None else dict.fromkeys((refined, *OUTPUTS))
        held = [self.folder / name for name in names if os.path.lexists(self.folder / name)]
        if not held:
            return
        if not (self.path.exists() or is_result(self.folder / RESULT)):
            raise InputError(
                f"this folder holds {held[0].name}, and no run", where=str(self.folder), fix="give another --out"
            )
        if not overwrite:
            raise CheckpointError(
                "this folder holds a run",
                where=str(self.folder),
                fix="use --resume to go on with it, --overwrite to replace it, or another --out",
            )
        refuse_inputs(self.study.config, [self.folder])
        for path in held:
            remove(path)

    def _save(self) -> None:
        now = time.monotonic()
        self.record = replace(self.record, seconds=self.record.seconds + now - self.counted)
        self.counted = now
        samples = [store.sample_arrays(sample, ends) for sample, ends in zip(self.samples, self.ends, strict=True)]
        current = [one.to_arrays() for one in self.current]
        store.save(self.path, store.StoredRun(self.digest, self.record, samples, current, self.began))
        self.saved = time.monotonic()

    def _load(self) -> None:
        loaded = store.load(self.path)
        self.record = loaded.record
        if loaded.digest != self.digest:
            self._allow(loaded.began)
        if self.record.choices:
            self.study = self.study.decided(self.record.choices)
        self.current = [store.Unfinished.from_arrays(arrays) for arrays in loaded.current]
        for stored in loaded.samples:
            sample, ends = store.sample_of(stored, self.study.initial_correction())
            self.samples.append(sample)
            self.ends.append(ends)

    def _allow(self, began: Began | None) -> None:
        """Go on with a study that is not quite the one that the run began with; CheckpointError for another run's."""
        what, fix = (
            "the study or its data changed since this run began",
            "start again with --overwrite, or another --out",
        )
        if began is None:
            raise CheckpointError(what, where=str(self.path), fix=f"restore them to resume, or {fix}")
        try:
            changes, before = began.changes(self.began), began.config.refinement.iterations
        except InputError as error:
            raise CheckpointError(
                f"this version does not know the study that the run began with ({error})", where=str(self.path), fix=fix
            ) from None
        if changes:
            raise CheckpointError(
                f"the run began with another study: {in_words(changes)}",
                where=str(self.path),
                fix=f"restore that to resume; only {MAY_CHANGE} may change. Or {fix}",
            )
        if self.study.config.refinement.iterations > before:
            self.record = self.record.reopened()
