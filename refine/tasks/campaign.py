"""`refine campaign`: every task of every point, each after those that it needs, until all have ended.

Where it stands is in campaign.json, and what a task has done is in its own folder. So a campaign that was killed goes
on with what is left: a task that ended is not started again, and one that did not goes on from its checkpoint.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from refine.campaign.executors import Executor
from refine.campaign.jobs import STOPPED, TOO_MUCH, Ended, Job, in_one_line, in_words
from refine.campaign.keys import CampaignConfig
from refine.campaign.points import Point, axes_of, points_of
from refine.campaign.rows import CSV, PARQUET, Row, rows_of, write_table
from refine.campaign.standing import CAMPAIGN, PointStanding, Standing, StepStanding, read_standing
from refine.campaign.steps import Plan, Planner, Step, point_folder
from refine.errors import CheckpointError, InputError
from refine.files import exclusive, make_folder, write_text
from refine.progress import NullProgress, Progress, duration
from refine.report.campaign import render
from refine.tasks.outputs import refuse_foreign, refuse_read

PAGE = "campaign.html"
OUTPUTS = ("points", CSV, PARQUET, PAGE, CAMPAIGN)
"""What a campaign leaves in its folder; last what it is recognised by."""

DONE, INPUT_ERROR = (0, 3, 4), 2
"""Exit codes of commands: all results are written; an error that the user can mend."""

LOG = "campaign.log"
"""In a point's folder: what its tasks said."""

INTERVAL = 2.0
"""Seconds between two writings of campaign.json, or twenty times as long as one takes."""

BROKEN = "mend the site file, or wait for its scheduler, and go on by --resume"

Refusal = tuple[Point, InputError]


def plans_of(config: CampaignConfig, out: Path, progress: Progress | None = None) -> tuple[list[Plan], list[Refusal]]:
    """What is done in each point, and the points whose study is not valid; all of them in one order.

    A refused point has a plan without steps.

    Raises:
        InputError: the grid or the study's file is not valid.
    """
    progress = progress or NullProgress()
    points, planner = points_of(config), Planner(config, out)
    progress.stage("reading the points", len(points))
    plans: list[Plan] = []
    refused: list[Refusal] = []
    for point in points:
        try:
            plans.append(planner.plan(point))
        except InputError as error:
            plans.append(Plan(point, ()))
            refused.append((point, error))
        progress.advance(1)
    return plans, refused


def campaign(
    config: CampaignConfig,
    out: Path,
    executor_of: Callable[[], Executor],
    *,
    executor: str = "local",
    resume: bool = False,
    progress: Progress | None = None,
) -> Standing:
    """Carry a campaign out, and write campaign.json, the table and campaign.html.

    Args:
        config: the campaign.
        out: its folder.
        executor_of: makes what carries the tasks out, once it is known that there is something to do.
        executor: what it is called.
        resume: go on with the campaign in `out`, or start it.
        progress: told what happens.

    Raises:
        RefineError: what the user can mend.
        KeyboardInterrupt: it was interrupted; it can go on.
    """
    progress = progress or NullProgress()
    read = [config.study_path, *(path for _, path in config.named_files())]
    refuse_read(read, [out / name for name in OUTPUTS])
    refuse_foreign(out, OUTPUTS, CAMPAIGN)
    Planner(config, out)  # or refused now, and not in a folder of its own
    with exclusive(out):
        former = read_standing(out) if (out / CAMPAIGN).exists() else None
        if former is not None and not resume:
            raise CheckpointError(
                "this folder holds a campaign", where=str(out), fix="go on with it by --resume, or give another --out"
            )
        plans, refused = plans_of(config, out, progress)
        standing = _begin(config, plans, refused, former, progress)
        standing.executor = executor
        Running(config, plans, standing, out, progress).finish(executor_of)
        _conclude(standing, out, progress)
    return standing


def conclude(out: Path, progress: Progress | None = None) -> Standing:
    """Write the table and the page of a campaign as it stands now, also while it is carried out.

    Raises:
        RefineError: there is none, or it cannot be written.
    """
    standing = read_standing(out)
    _conclude(standing, out, progress or NullProgress())
    return standing


def _conclude(standing: Standing, out: Path, progress: Progress) -> None:
    progress.doing("collecting the table")
    rows: Sequence[Row] = rows_of(standing, out)
    names = write_table(rows, out)
    write_text(out / PAGE, render(standing, rows))
    for row in rows:
        if row.unread:
            progress.message(f"{row.standing.name}: not in the table: {row.unread}")
    progress.message(f"table: {', '.join(str(out / name) for name in names)}")


def _begin(
    config: CampaignConfig,
    plans: Sequence[Plan],
    refused: Sequence[Refusal],
    former: Standing | None,
    progress: Progress,
) -> Standing:
    """All points as they stand: done as before, or waiting; those that failed are tried again."""
    before = {point.name: point for point in former.points} if former else {}
    reasons = {point.name: str(error) for point, error in refused}
    points = []
    for plan in plans:
        name = plan.point.name
        old, steps = before.pop(name, None), [StepStanding(task=step.task) for step in plan.steps]
        if name in reasons:
            steps = [StepStanding(task=config.run.task[0], ending="input", line=reasons[name])]
        if old is not None and old.digest == plan.digest and name not in reasons:
            steps = [then if then.ending == "done" else _again(then) for then in old.steps]
        elif old is not None and any(step.ending == "done" for step in old.steps):
            raise CheckpointError(
                f"point {name} was made of another study, or with other options of its tasks",
                where=CAMPAIGN,
                fix="go on with the one that it was made of, or give another --out",
            )
        points.append(PointStanding(name=name, values=dict(plan.point.values), digest=plan.digest, steps=steps))
    if before:
        n = len(before)
        progress.message(f"{n} point{'s' * (n != 1)} of before, not in the grid any more: left as they were")
    return Standing(
        title=config.title,
        study=str(config.study_path),
        tasks=list(config.run.task),
        labels=axes_of(config),
        collect=list(config.table.collect),
        points=points,
    )


def _again(step: StepStanding) -> StepStanding:
    """A task that is tried again: what it took until now counts, what failed does not."""
    return StepStanding(task=step.task, seconds=step.seconds, starts=step.starts, stops=step.stops)


@dataclass(frozen=True)
class Event:
    """A task ended. point, step: which, by number. before: what its checkpoint was. future: how."""

    point: int
    step: int
    before: tuple[int, int] | None
    future: Future[Ended]


@dataclass
class Running:
    """A campaign that is being carried out.

    Attributes:
        standing: where it stands; changed here alone.
    """

    config: CampaignConfig
    plans: Sequence[Plan]
    standing: Standing
    out: Path
    progress: Progress
    events: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    given: int = 0
    ended: int = 0

    def finish(self, executor_of: Callable[[], Executor]) -> None:
        """Everything that is still to be done."""
        waiting = [k for k, point in enumerate(self.standing.points) if point.ending == "waiting"]
        self.began = self.written = time.monotonic()
        self.every = INTERVAL
        left = sum(step.ending == "waiting" for k in waiting for step in self.standing.points[k].steps)
        tasks = sum(len(point.steps) for point in self.standing.points)
        self.progress.stage("campaign", tasks)
        self.progress.advance(tasks - left)
        if not waiting:
            self.standing.write(self.out)
            return
        self.executor = executor_of()  # before anything is written: what it refuses leaves no campaign behind
        try:
            self.standing.write(self.out)
            for k in waiting:
                self._next(k)
            while self.given:
                event = self._wait()
                if event is not None:
                    self._ended(event)
                self._write(sparingly=True)
        finally:
            self.executor.close()
            self.standing.running = self.standing.left = None
            self.standing.written = time.time()
            self.standing.write(self.out)

    def _wait(self) -> Event | None:
        """The next task that ends within a second; None where none does."""
        try:
            return self.events.get(timeout=1.0)
        except queue.Empty:
            return None

    def _next(self, k: int) -> None:
        """Give the first task of a point that is not done to the executor."""
        plan, point = self.plans[k], self.standing.points[k]
        j = next(j for j, step in enumerate(point.steps) if step.ending == "waiting")
        folder = point_folder(self.out, point.name)
        make_folder(folder)
        for name, text in plan.files.items():
            path = folder / name
            if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
                write_text(path, text)
        before = stamp(folder, plan.steps[j])
        future = self.executor.submit(job_of(self.config, plan, plan.steps[j], folder))
        self.given += 1
        future.add_done_callback(lambda done: self.events.put(Event(k, j, before, done)))

    def _ended(self, event: Event) -> None:
        self.given -= 1
        point, plan = self.standing.points[event.point], self.plans[event.point]
        step, planned = point.steps[event.step], plan.steps[event.step]
        moved = stamp(point_folder(self.out, point.name), planned) not in (None, event.before)
        error = event.future.exception()
        if error is not None and (why := self.executor.broken()):
            raise InputError(f"takes no tasks any more ({why})", where=self.standing.executor, fix=BROKEN)
        told = in_one_line(f"{type(error).__name__}: {error}")
        ended = event.future.result() if error is None else Ended(1, 0.0, told)
        judge(step, ended, moved=moved, keeps=planned.checkpoint is not None, retries=self.config.run.retries)
        if step.ending == "waiting":
            self.progress.message(f"{point.name}: {step.task} is queued again: {step.line}")
            self._next(event.point)
            return
        self.ended += 1
        # behind one that failed no other one is started
        self.progress.advance(1 if step.ending == "done" else len(point.steps) - event.step)
        if point.ending == "waiting":
            self._next(event.point)
            return
        took = duration(sum(one.seconds for one in point.steps))
        failure = point.failure
        told = f"done, {took}" if failure is None else f"{failure[0]} failed: {failure[1]}"
        self._count()
        self.progress.message(f"{point.name}: {told} ({self.standing.words(left=False)})")

    def _count(self) -> None:
        self.standing.running = min(self.given, self.executor.running())
        left = sum(step.ending == "waiting" for point in self.standing.points for step in point.steps)
        self.standing.left = (time.monotonic() - self.began) / self.ended * left if self.ended else None

    def _write(self, *, sparingly: bool) -> None:
        now = time.monotonic()
        if sparingly and now - self.written < self.every:
            return
        self._count()
        self.standing.written = time.time()
        self.standing.write(self.out)
        self.written = time.monotonic()
        self.every = max(INTERVAL, 20.0 * (self.written - now))


def job_of(config: CampaignConfig, plan: Plan, step: Step, folder: Path) -> Job:
    """A task of a point for an executor."""
    keys = config.run
    return Job(
        name=f"{plan.point.name}: {step.task}",
        folder=str(folder.resolve()),
        words=step.command(folder),
        log=LOG,
        threads=keys.cores,
        walltime=keys.walltime,
        memory=None if keys.memory is None else int(keys.memory * 2**30),
    )


def stamp(folder: Path, step: Step) -> tuple[int, int] | None:
    """What tells a task's checkpoint from the one that replaces it; None: there is none."""
    if step.checkpoint is None:
        return None
    try:
        found = (folder / step.checkpoint).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def judge(step: StepStanding, ended: Ended, *, moved: bool, keeps: bool, retries: int) -> None:
    """Write down how a task ended, and whether it is done, has failed, or is waiting for another start.

    Args:
        step: changed in place.
        ended: how.
        moved: whether its checkpoint is further than before.
        keeps: whether it keeps one.
        retries: starts that may end without its having come further, besides the first.
    """
    step.starts += 1
    step.seconds += ended.seconds
    step.code = ended.code
    if ended.code in DONE:
        step.ending, step.line = "done", ""
        return
    step.line = in_words(ended.code, ended.line)
    if ended.code in (INPUT_ERROR, TOO_MUCH):
        step.ending = "input"
        return
    if ended.code == STOPPED:
        step.stops += 1
        step.line = "its walltime was up"
        if not keeps:
            step.ending = "input"
            step.line = "it takes longer than [run] walltime and keeps no checkpoint; allow it more"
            return
    if moved:
        return
    step.faults += 1
    if step.faults > retries:
        step.ending = "machine"
        step.line = f"{step.line} ({step.faults} times, without having come further)"
