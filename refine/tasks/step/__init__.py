"""One step of a run whose frames are made elsewhere: take what came back, update, write what comes next, and stop.

    refine step STUDY --out OUT                        the first orders
    refine step OUT --trajectory 'dump.*'              what came back; the next orders, or the results

It is the loop of `refine.tasks.run`, which stops where it would sample: in between there is no process, and OUT is a
folder of a run like any other. Everything before a command was killed is in run.h5, so the same command again ends the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refine.errors import InputError
from refine.files import exclusive
from refine.progress import NullProgress, Progress
from refine.results.result import Result
from refine.results.schema import RESULT
from refine.sampling.files.sampler import Returned
from refine.study.datasets import tell_doubts
from refine.study.systems import notes_of
from refine.tasks.run import store
from refine.tasks.run.loop import Run
from refine.tasks.run.record import Phase
from refine.tasks.run.unfit import refuse_unfit
from refine.tasks.step.given import files_of
from refine.tasks.step.orders import command_of, folder_of, write_orders
from refine.tasks.step.returned import TakenBefore, read_returned

if TYPE_CHECKING:
    from refine.study.study import Study


@dataclass(frozen=True)
class Waiting:
    """A run that waits for frames.

    step: folder of what is wanted.  command: that takes what LAMMPS makes of it.
    samples: that were taken.  notes: on the newest, in words.
    """

    step: Path
    command: str
    samples: int
    notes: tuple[str, ...]


def study_file_of(target: Path) -> Path:
    """A study file as it is; of the folder of a run, its study. InputError where the folder holds no run."""
    if not target.is_dir():
        return target
    file = target / "study.toml"
    if not (file.is_file() and (target / store.CHECKPOINT).is_file()):
        raise InputError(
            "there is no run", where=str(target), fix="begin it with the study: refine step STUDY --out OUT"
        )
    return file


def step(
    study: Study,
    folder: Path,
    *,
    trajectories: Sequence[str] = (),
    energies: Sequence[str] = (),
    skip: int | None = None,
    failed: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Waiting | Result:
    """Begin a run, or go on with it: the orders of what is waited for now, or the results where it has ended.

    Args:
        study: with an engine that waits for others.
        folder: of the run.
        trajectories, energies: GLOB or STATE=GLOB (`refine.tasks.step.given`); none: nothing came back.
        skip: frames at the start of each trajectory that do not count; None: those in which it drifts.
        failed: why the potential could not be sampled: the rule takes the step back.
        overwrite: begin anew where there is a run.
        progress: told what happens.

    Raises:
        InputError: what came back cannot be the sample that is waited for, or was taken before.
        RefineError: what else the user can mend. The run stays as it was.
    """
    progress = progress or NullProgress()
    if not study.engine.elsewhere:
        raise InputError(
            f"engine {study.settings.engine!r} samples in refine run",
            where="[sampling] engine",
            fix='use that, or set engine = "files"',
        )
    names = [state.name for state in study.config.states]
    replicas = study.settings.replicas
    given = files_of(trajectories, names, replicas, "--trajectory")
    tables = files_of(energies, names, replicas, "--energies")
    if given and failed is not None:
        raise InputError("a trajectory, and that there is none", where="--failed", fix="leave one of them out")
    if (tables or skip is not None) and not given:
        raise InputError("without a trajectory it means nothing", where="--energies" if tables else "--skip")
    refuse_unfit(study)
    with exclusive(folder):
        there = (folder / store.CHECKPOINT).exists() and not overwrite
        if not there:
            tell_doubts(study.datasets, progress, notes_of(study.systems))
        run = Run(study, folder, resume=there, overwrite=overwrite, progress=progress)
        # what a killed command left undone comes first
        told = not (run.waiting and folder_of(run).is_dir()) and not (
            run.record.phase is Phase.DONE and (folder / RESULT).is_file()
        )
        run.advance()
        if given or failed is not None:
            if not run.waiting:
                if not told:
                    raise InputError("the run has ended, and waits for nothing", where=str(folder))
                return run.report()
            _take(run, given, tables, skip, failed, again=told, progress=progress)
        if not run.waiting:
            return run.report()
        write_orders(run)
        return Waiting(folder_of(run), command_of(run), len(run.samples), tuple(run.record.warnings))


def _take(
    run: Run,
    given: dict[str, list[list[Path]]],
    tables: dict[str, list[list[Path]]],
    skip: int | None,
    failed: str | None,
    *,
    again: bool,
    progress: Progress,
) -> None:
    """again: whether the command before was killed before it had written the orders: it may have had these frames."""
    if failed is not None:
        words = " ".join(failed.split()) or "it could not be sampled"
        run.advance([Returned(None, None, failed=words)] * len(run.study.config.states))
        return
    try:
        returned = read_returned(run, given, tables, skip, progress)
    except TakenBefore as error:
        if again and error.sample == len(run.samples) - 1:
            return
        raise
    for state, one in zip(run.study.config.states, returned, strict=True):
        for note in one.notes:
            progress.message(f"{state.name}: {note}")
    run.advance(returned)
