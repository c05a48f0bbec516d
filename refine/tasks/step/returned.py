"""What came back, judged: are these frames of the state and of the step that is waited for, and how many count?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.progress import Progress
from refine.sampling.averages import standard_error
from refine.sampling.files.energies import read_energies
from refine.sampling.files.reading import Trajectory, read_trajectory
from refine.sampling.files.sampler import Returned
from refine.sampling.frames import Frames
from refine.study.choices.sampling import DRIFT, drift, unsettled
from refine.tasks.pilot import series_of
from refine.tasks.run.loop import STEPS
from refine.tasks.sample import FEWEST_FRAMES, frames_per_replica
from refine.tasks.step.orders import folder_of

if TYPE_CHECKING:
    from refine.study.study import Study
    from refine.tasks.run.loop import Run

Array = NDArray[np.float64]

HOT, SIGMA = 0.05, 5.0
"""Of the temperature of the state, and standard errors: farther off, frames are of another temperature."""

FILES = Mapping[str, Sequence[Sequence[Path]]]
"""By state, the files of each trajectory (`refine.tasks.step.given`)."""


class TakenBefore(InputError):
    """Frames of a sample that there is. sample: which one."""

    def __init__(self, what: str, *, sample: int, where: str, fix: str) -> None:
        super().__init__(what, where=where, fix=fix)
        self.sample = sample


def read_returned(
    run: Run, trajectories: FILES, energies: FILES, skip: int | None, progress: Progress
) -> list[Returned]:
    """Of every state, the frames that count.

    skip: frames at the start of each trajectory that do not; None: those in which it drifts.
    Raises InputError for what cannot be the sample that is waited for, `TakenBefore` where it was taken before.
    """
    names = [state.name for state in run.study.config.states]
    lacking = [name for name in names if name not in trajectories]
    if lacking:
        raise InputError(f"there is no trajectory of {', '.join(lacking)}", where="--trajectory", fix="give all states")
    for name in energies:
        if len(energies[name]) != len(trajectories[name]):
            raise InputError(f"{len(energies[name])} files of {len(trajectories[name])} trajectories", where=name)
    found = []
    progress.stage("reading what came back", len(names))
    for s, name in enumerate(names):
        found.append(_state(run, s, trajectories[name], energies.get(name, ()), skip))
        progress.advance(1)
    return found


def _state(
    run: Run, s: int, files: Sequence[Sequence[Path]], tables: Sequence[Sequence[Path]], skip: int | None
) -> Returned:
    study = run.study
    system, box, temperature = study.systems[s], study.boxes[s], study.problem.temperatures[s]
    keep = study.needs_positions or study.config.sampling.keep != "final"
    read = []
    for k, paths in enumerate(files):
        one = read_trajectory(
            paths,
            system,
            n_bins=len(box.edges) - 1,
            r_max=box.r_max,
            precision=study.settings.precision,
            positions=keep,
        )
        if tables:
            one = one.with_energies(read_energies(tables[k], system, temperature))
        read.append(one)
    _new(run, s, read)
    _of_this_step(run, [path for paths in files for path in paths])
    last = np.stack([one.last for one in read])
    wanted = frames_per_replica(study.settings.frames * run.record.frames_factor, study.settings.replicas)
    counted = [_counted(study, s, one, skip, wanted) for one in read]
    frames = _frames(study, s, counted)
    _check_energies(study, s, frames)
    # what is left out because something drifts was chosen by its fluctuations, and so is the rest
    fair = [frames] if skip is not None else [frames, _frames(study, s, read)]
    _check_temperature(study, s, fair, counted[0].where[0])
    notes = [note for one in counted for note in one.notes]
    unknown = np.isfinite(frames.virial) & ~np.isfinite(frames.temperature)
    if unknown.any():
        notes.append("nobody says the kinetic temperature, and pressures have that of the state")
        frames = replace(frames, temperature=np.where(unknown, temperature, frames.temperature))
    return Returned(frames, last, tuple(dict.fromkeys(notes)))


def _of_this_step(run: Run, paths: Sequence[Path]) -> None:
    """InputError for files in the folder of another step."""
    steps, now = (run.folder / STEPS).resolve(), folder_of(run).name
    for path in paths:
        resolved = path.resolve()
        if resolved.is_relative_to(steps) and (other := resolved.relative_to(steps).parts[0]) != now:
            raise InputError(
                f"this file lies in the folder of step {other}, and step {now} is waited for",
                where=str(path),
                fix=f"sample the potential of {folder_of(run)}",
            )


def _new(run: Run, s: int, read: Sequence[Trajectory]) -> None:
    """InputError for frames that there are: pair counts of two frames of a box that moves are never the same."""
    seen = {
        counts.tobytes(): f"frame {f + 1} of sample {k}:{k}"
        for k, sample in enumerate(run.samples)
        for f, counts in enumerate(sample.frames[s].counts)
    }
    for one in read:
        for counts, at in zip(one.counts, one.where, strict=True):
            before = seen.get(counts.tobytes())
            if before is not None:
                name, _, sample = before.rpartition(":")
                if not sample:
                    raise InputError(f"it is {name}, too", where=at, fix="give each trajectory once")
                raise TakenBefore(
                    f"it is {name}, which was taken",
                    sample=int(sample),
                    where=at,
                    fix=f"give frames of the potential of {folder_of(run)}",
                )
        seen |= {counts.tobytes(): f"{at}:" for counts, at in zip(one.counts, one.where, strict=True)}


def _counted(study: Study, s: int, one: Trajectory, skip: int | None, wanted: int) -> Trajectory:
    """A trajectory without what does not count of it."""
    many, notes = len(one), []
    if skip is None and many > FEWEST_FRAMES:
        series = series_of(study, s, _frames(study, s, [one]))
        series = series[:, np.isfinite(series).all(axis=0)]
        skip = unsettled(series) if series.shape[1] else 0
        if skip:
            notes.append(f"the first {skip} of {many} frames still drift, and do not count")
        if series.shape[1] and (left := drift(series[skip:])) > DRIFT:
            notes.append(f"the frames drift, by {left:.1f} standard errors: equilibrate longer")
    elif skip:
        notes.append(f"the first {skip} of {many} frames do not count, as asked")
    skip = skip or 0
    if many - skip < FEWEST_FRAMES:
        raise InputError(
            f"{max(0, many - skip)} frames that count",
            where=one.where[0],
            fix=f"give at least {FEWEST_FRAMES}; {wanted} are wanted",
        )
    if many - skip < wanted:
        notes.append(f"{many - skip} frames came back, {wanted} were wanted")
    return one.of(np.arange(skip, many), *notes)


def _frames(study: Study, s: int, read: Sequence[Trajectory]) -> Frames:
    system, box = study.systems[s], study.boxes[s]
    arrays = {name: np.concatenate([getattr(one, name) for one in read]) for name in ("counts", "energy", "virial")}
    positions = [one.positions for one in read if one.positions is not None]
    return Frames(
        **arrays,
        temperature=np.concatenate([one.temperature for one in read]),
        replica=np.repeat(np.arange(len(read)), [len(one) for one in read]),
        r_max=box.r_max,
        n_per_species=system.n_per_species,
        volume=system.volume,
        positions=np.concatenate(positions) if positions else None,
    )


def _check_energies(study: Study, s: int, frames: Frames) -> None:
    """InputError where a fitted number is not known of every frame."""
    for target in study.problem.targets:
        if target.state == s and not np.isfinite(target.values(frames)).all():
            raise InputError(
                f"{target.name} is fitted, and energy or virial of a frame are not known",
                where="--energies",
                fix="give a log of LAMMPS, or a table with step, energy [eV] and virial [eV] of every frame",
            )


def _check_temperature(study: Study, s: int, samples: Sequence[Frames], where: str) -> None:
    """InputError where every one of these samples of a state, the frames that count first, has another temperature."""
    target, words = study.problem.temperatures[s], ""
    for frames in samples:
        known = np.isfinite(frames.temperature)
        if known.sum() < FEWEST_FRAMES:
            return
        kelvin = frames.temperature[known]
        mean, error = float(kelvin.mean()), float(standard_error(kelvin, frames.replica[known]))
        if abs(mean - target) <= max(HOT * target, SIGMA * error):
            return
        words = words or f"the frames have {mean:.1f} ± {error:.1f} K, and the state {target:g} K"
    raise InputError(
        words,
        where=where,
        fix="sample at the temperature of the state, or leave out what is not equilibrated by --skip",
    )
