"""`refine frames OUT`: configurations of a run for other programs, as extended XYZ.

Frames that the run kept (`[sampling] keep`), else where the trajectories of each replica stood behind the sample.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from refine.errors import InputError
from refine.files import replacing
from refine.sampling.extended_xyz import frame_text
from refine.study.choices.engine import is_elsewhere
from refine.study.schema import StudyConfig
from refine.study.systems import read_systems
from refine.tasks.run import store
from refine.tasks.run.kept import kept_path
from refine.tasks.run.onwards import go_on

FINAL, BASE = "final", "base"
"""Samples by name: that of the answer, and that of the base model."""


@dataclass(frozen=True)
class Written:
    """A file of frames.

    path: of it.  sample: which one.  kept: whether the run kept its frames; else these are the last of each replica.
    """

    path: Path
    sample: int
    kept: bool


def write_frames(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    sample: str = FINAL,
    state: str | None = None,
    overwrite: bool = False,
) -> Written:
    """Write the frames of a sample of a run.

    Args:
        folder: of the run, finished or not.
        out: the file; default: <sample>-<state>.extxyz in `folder`.
        sample: "final", the one of the answer; "base", that of the base model; or the number of an iteration.
        state: of the study; needed where it has several.
        overwrite: replace a file that is there.

    Raises:
        InputError: no run, no such sample or state, or a file that is there.
    """
    folder = Path(folder)
    study_file = folder / "study.toml"
    if not (study_file.is_file() and (folder / store.CHECKPOINT).is_file()):
        raise InputError("there is no run", where=str(folder), fix="give the folder of a run")
    config = StudyConfig.from_toml(study_file)
    s = _state(config, state)
    stored = store.load(folder / store.CHECKPOINT)
    number = _sample(stored, sample, folder, go_on(is_elsewhere(config.sampling.engine), out=folder))
    name = config.states[s].name
    path = folder / f"{sample}-{name}.extxyz" if out is None else Path(out)
    if path.suffix not in (".extxyz", ".xyz"):
        raise InputError("extended XYZ is written", where=str(path), fix="call it .extxyz")
    source = kept_path(folder, number, name)
    if path.resolve().parent == source.resolve().parent:
        raise InputError("this is where the run keeps its frames", where=str(path), fix="give another --to")
    if not path.parent.is_dir():
        raise InputError("no such folder", where=str(path.parent), fix="make it, or give another --to")
    if path.exists() and not overwrite:
        raise InputError("the file exists", where=str(path), fix="use --overwrite or another --to")
    if source.is_file() and source.stat().st_size:
        with replacing(path) as temporary:
            shutil.copyfile(source, temporary)
        return Written(path, number, True)
    system = read_systems(config)[s]
    positions = store.ends_of(stored.samples[number])[s].positions
    about: dict[str, str | float] = {"state": name, "sample": number}
    texts = [frame_text(system, one, {**about, "replica": r}) for r, one in enumerate(positions)]
    with replacing(path) as temporary:
        temporary.write_text("".join(texts), encoding="utf-8", newline="\n")
    return Written(path, number, False)


def _state(config: StudyConfig, name: str | None) -> int:
    names = [state.name for state in config.states]
    if name is None and len(names) > 1:
        raise InputError("the study has several states", where="--state", fix=f"give one of {', '.join(names)}")
    if name is not None and name not in names:
        raise InputError(f"the study has no state {name!r}", where="--state", fix=f"give one of {', '.join(names)}")
    return 0 if name is None else names.index(name)


def _sample(stored: store.StoredRun, name: str, folder: Path, onwards: str) -> int:
    """onwards: the command by which the run goes on."""
    number = len(stored.samples)
    if not number:
        raise InputError("the run has no sample yet", where=str(folder), fix=f"go on with {onwards}")
    if name == FINAL:
        if stored.record.answer is None:
            fix = f"go on with {onwards}, or give --sample 0 to {number - 1}"
            raise InputError("the run is not finished, so no sample is its answer", where=str(folder), fix=fix)
        return stored.record.answer.final
    if name == BASE:
        return 0
    if not (name.isdecimal() and len(name) < 10 and int(name) < number):
        fix = f"give {FINAL}, {BASE}, or a number from 0 to {number - 1}"
        raise InputError(f"the run has no sample {name[:40]!r}", where="--sample", fix=fix)
    return int(name)
