"""`refine explore EXPLORE.toml`: sample, select, label, learn, check against the curves, and again.

    generations/000       the start: the study sampled under its own model, or under the one that is started from
    generations/001, ...  selected.json, train.extxyz, apart.extxyz, learn/, sample.extxyz and .json, generation.json

Each step leaves its file, written at once, and is passed over where the file is there; what it follows from is read
from the files before it. So a loop that was killed goes on with the same numbers: a sample is made again from its seed,
a training goes on from its checkpoint, a label is not made twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from refine.campaign.executors import Executor
from refine.errors import CheckpointError, InputError
from refine.files import exclusive, write_text
from refine.formula import element_of
from refine.learning.explore_keys import ExploreConfig
from refine.progress import NullProgress, Progress
from refine.report.explored import render
from refine.results.explored import Explored, Generation, why_enough
from refine.results.provenance import provenance
from refine.results.schema import RESULT
from refine.study.choices.engine import refuse_elsewhere
from refine.study.schema import StudyConfig
from refine.tasks.explore.generation import Loop, first_generation, next_generation
from refine.tasks.explore.labels import Labeller
from refine.tasks.explore.sampled import study_of
from refine.tasks.outputs import clear, refuse_foreign, refuse_read
from refine.tasks.run.began import in_words
from refine.tasks.run.store import CHECKPOINT as RUN

BEGAN = "begun.json"
"""What a folder of this command is known by: what the loop began with."""

OUTPUTS = ("explore.json", "explore.html", "explore.toml", "labels", "generations", BEGAN)

FREE = ("title", "stop", "run")
"""Tables and keys that no generation follows from."""

Executors = Callable[[], Executor]


def explore(
    config: ExploreConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    executor: Executors | None = None,
    progress: Progress | None = None,
) -> Explored:
    """Carry a loop out, and write explore.json, explore.html, explore.toml and a folder for each generation.

    Args:
        config: the file.
        out: folder.
        resume: go on with the loop in the folder; with the same numbers as if it had not been interrupted.
        overwrite: replace it.
        executor: makes who carries the labels out; None: this process.
        progress: told what happens.

    Raises:
        InputError: a study, model, labeller or settings that cannot be used.
        SimulationError: the dynamics of the start failed, a training diverged, or a frame cannot be labelled.
        CheckpointError: nothing to resume, or what is there began otherwise; the folder is in use or not writable.
    """
    progress = progress or NullProgress()
    study = StudyConfig.from_toml(config.study_path)
    refuse_elsewhere(study.sampling.engine)
    began = _began(config, study)
    _check_out(config, study, out, resume=resume, overwrite=overwrite)
    _refuse_few(config, study_of(study, config.sample, None, 0))
    if not resume and study.system.species:  # before anything is replaced; else only the structure file knows them
        Labeller(config.label, sorted(set(map(element_of, study.system.species))), study.correction.r_cut)
    with exclusive(out):
        if resume:
            _refuse_changes(json.loads((out / BEGAN).read_text(encoding="utf-8")), began, out)
        else:
            clear(out, OUTPUTS)
            write_text(out / BEGAN, json.dumps(began, indent=1) + "\n")
        write_text(out / "explore.toml", config.to_toml(out))
        made = executor() if executor is not None else None
        with nullcontext() if made is None else closing(made):
            return _explore(Loop(config, study, out, progress, made), began["study"])


def _explore(loop: Loop, digest: str) -> Explored:
    config, generations = loop.config, list[Generation]()
    while (message := why_enough(generations, config.stop)) is None:
        if generations:
            generations.append(next_generation(loop, generations))
        else:
            generations.append(first_generation(loop))
        _write(loop, generations, f"generation {generations[-1].number} is done", digest, over=False)
    return _write(loop, generations, message, digest, over=True)


def _write(loop: Loop, generations: list[Generation], message: str, digest: str, *, over: bool) -> Explored:
    config = loop.config
    settings = config.seen_from(loop.out).model_dump(mode="json", exclude_none=True)
    source = provenance(config.select.seed, digest)
    found = Explored(config.title, message, over, tuple(generations), settings, source)
    write_text(loop.out / "explore.html", render(found))
    write_text(loop.out / "explore.json", json.dumps(found.to_json(), indent=1) + "\n")
    return found


def _began(config: ExploreConfig, study: StudyConfig) -> dict[str, Any]:
    """Settings that the generations follow from, and the digest of the study and its files."""
    settings = config.model_dump(mode="json", exclude_none=True)
    return {"settings": {k: v for k, v in settings.items() if k not in (*FREE, "study")}, "study": study.digest()}


def _refuse_changes(before: dict[str, Any], now: dict[str, Any], out: Path) -> None:
    old, new = before.get("settings", {}), now["settings"]
    said = [f"{key} is another one" for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
    if before.get("study") != now["study"]:
        said.append("the study, or a file that it names, is another one")
    if said:
        raise CheckpointError(
            f"the loop in this folder began otherwise: {in_words(said)}",
            where=str(out),
            fix="go on with the same, or use --overwrite or another --out",
        )


def _refuse_few(config: ExploreConfig, sampled: StudyConfig) -> None:
    """InputError where a generation is to choose from fewer frames than it is to choose; sampled: with all states."""
    frames, keys = config.sample.frames * len(sampled.states), config.select
    if frames < keys.frames + keys.apart:
        raise InputError(
            f"{frames} frames are sampled in a generation, and {keys.frames} are to be chosen and {keys.apart} kept "
            "apart",
            where="[sample] frames",
            fix="sample more, or lower [select] frames or apart",
        )


def _check_out(config: ExploreConfig, study: StudyConfig, out: Path, *, resume: bool, overwrite: bool) -> None:
    files = [path for _, path in config.named_files()] + list(study.files())
    places = [out / name for name in OUTPUTS if not (resume and name == "explore.toml")]
    refuse_read([*files, *([config.source] if config.source and not resume else [])], places)
    if (out / RUN).exists() or (out / RESULT).exists():
        raise CheckpointError("this folder holds a run", where=str(out), fix="give another --out")
    refuse_foreign(out, OUTPUTS, BEGAN)
    there = (out / BEGAN).exists()
    if resume and not there:
        raise CheckpointError("there is no loop to go on with", where=str(out), fix="leave out --resume")
    if there and not (resume or overwrite):
        raise CheckpointError(
            "this folder holds a loop",
            where=str(out),
            fix="use --resume to go on, --overwrite to replace it, or another --out",
        )
