"""What came back, judged: are these frames of the state and of the step that is waited for, and how many count?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.progress import Progress
from refine.sampling.averages import standard_error
from refine.sampling.files.energies import read_energies
from refine.sampling.files.reading import read_trajectory
from refine.sampling.files.sampler import FilesField, Returned
from refine.sampling.files.trajectory import Trajectory, digest_of
from refine.sampling.frames import Frames
from refine.study.choices.sampling import DRIFT, drift, unsettled
from refine.tasks.pilot import series_of
from refine.tasks.run.loop import STEPS
from refine.tasks.sample import FEWEST_FRAMES, frames_per_replica
from refine.tasks.step.orders import folder_of
from refine.tasks.step.potential import check_potential

if TYPE_CHECKING:
    from refine.study.study import Study
    from refine.tasks.run.loop import Run

Array = NDArray[np.float64]

HOT, SIGMA = 0.05, 5.0
"""Of the temperature of the state, and standard errors: farther off, frames are of another temperature."""

ROOM = 2**29
"""Bytes of the counts, and of kept positions, of a state; or of twice what is wanted, if that is more."""

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
    wanted = frames_per_replica(study.settings.frames * run.record.frames_factor, study.settings.replicas)
    molecules = cast("FilesField", run.engines.samplers[s][0]).molecules
    held = 0 if molecules is None else molecules.constraints
    kinds = 1 if molecules is None else 2
    size = 4 * kinds * len(study.pairs) * (len(box.edges) - 1) + (8 * 3 * system.n_atoms if keep else 0)
    read = []
    for k, paths in enumerate(files):
        one = read_trajectory(
            paths,
            system,
            n_bins=len(box.edges) - 1,
            r_max=box.r_max,
            precision=study.settings.precision,
            positions=keep,
            most=max(2 * wanted, ROOM // (len(files) * size)),
            molecules=molecules,
        )
        if tables:
            energies = read_energies(tables[k], system, temperature, held, steps=one.steps, most=one.read)
            one = one.with_energies(energies)
        read.append(one)
    _new(run, s, read)
    _of_this_step(run, [path for paths in files for path in paths])
    last = np.stack([one.last for one in read])
    counted = [_counted(study, s, one, skip, wanted) for one in read]
    frames = _frames(study, s, counted)
    _check_energies(study, s, frames)
    # what is left out because something drifts was chosen by its fluctuations, and so is the rest
    fair = [frames] if skip is not None else [frames, _frames(study, s, read)]
    _check_temperature(study, s, fair, counted[0].where[0])
    notes = [note for one in counted for note in one.notes]
    notes += check_potential(run, s, counted)
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
        digest_of(counts): f"frame {f + 1} of sample {k}:{k}"
        for k, sample in enumerate(run.samples)
        for f, counts in enumerate(sample.frames[s].counts)
    }
    for one in read:
        for counts, at in zip(one.counts, one.where, strict=True):
            before = seen.get(digest_of(counts))
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
        seen |= {digest_of(counts): f"{at}:" for counts, at in zip(one.counts, one.where, strict=True)}


def _counted(study: Study, s: int, one: Trajectory, skip: int | None, wanted: int) -> Trajectory:
    """A trajectory without what does not count of it."""
    many, notes = one.read, []
    if skip is None and len(one) > FEWEST_FRAMES:
        series = series_of(study, s, _frames(study, s, [one]))
        series = series[:, np.isfinite(series).all(axis=0)]
        unfit = unsettled(series) if series.shape[1] else 0
        skip = int(one.numbers[unfit])
        if skip:
            notes.append(f"the first {skip} of {many} frames still drift, and do not count")
        if series.shape[1] and (left := drift(series[unfit:])) > DRIFT:
            notes.append(f"the frames drift, by {left:.1f} standard errors: equilibrate longer")
    elif skip:
        notes.append(f"the first {skip} of {many} frames do not count, as asked")
    skip = skip or 0
    rest = one.after(skip, *notes)
    if len(rest) < FEWEST_FRAMES:
        raise InputError(
            f"{max(0, many - skip)} frames that count",
            where=one.where[0],
            fix=f"give at least {FEWEST_FRAMES}; {wanted} are wanted",
        )
    if many - skip < wanted:
        rest = rest.after(skip, f"{many - skip} frames came back, {wanted} were wanted")
    return rest


def _frames(study: Study, s: int, read: Sequence[Trajectory]) -> Frames:
    system, box = study.systems[s], study.boxes[s]
    names = ("counts", "energy", "virial", "temperature")
    arrays = {name: _joined([getattr(one, name) for one in read]) for name in names}
    positions = [one.positions for one in read if one.positions is not None]
    bonded = [one.bonded for one in read if one.bonded is not None]
    return Frames(
        **arrays,
        replica=np.repeat(np.arange(len(read)), [len(one) for one in read]),
        r_max=box.r_max,
        n_per_species=system.n_per_species,
        volume=system.volume,
        positions=_joined(positions) if positions else None,
        bonded=_joined(bonded) if bonded else None,
    )


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One behind the other; of one, itself, which may be large."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


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
        fix="sample at the temperature of the state, equilibrate for longer before the first frame, or leave out what "
        "is not equilibrated by --skip",
    )
