"""`refine learn LEARN.toml`: MACE weights fitted to labelled frames.

A training is steps of `refine.learning.training`, one after the other; what is here reads what they need, keeps
learn.h5, and writes what came of them. The model that is written is that of the epoch with the lowest validation loss,
in the precision of the start model's file, and its errors are those of what is written.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from refine.errors import CheckpointError
from refine.files import exclusive, write_text
from refine.learning.keys import LearnConfig
from refine.learning.training import State, Trainer
from refine.potentials.mace.lora_file import LORA_FILE
from refine.potentials.mace.reader.neutral import MODEL_FILE, write_neutral
from refine.progress import NullProgress, Progress
from refine.report.learned import render
from refine.results.learned import Learned, in_units
from refine.results.provenance import provenance
from refine.results.schema import RESULT
from refine.tasks.learn.began import refuse_changes
from refine.tasks.learn.problem import Problem, problem_of
from refine.tasks.learn.store import CHECKPOINT, Stored, check, load, save
from refine.tasks.outputs import clear, refuse_foreign, refuse_read
from refine.tasks.run.store import CHECKPOINT as RUN

OUTPUTS = ("learn.json", "learn.html", "learning_curve.csv", "learn.toml", MODEL_FILE, LORA_FILE, CHECKPOINT)

SAVE_EVERY = 30.0
"""Seconds between two checkpoints; an interrupt writes one more."""

FAR = 1.0
"""eV per atom; energies that are off by more are told to have another zero."""


def learn(
    config: LearnConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Learned:
    """Train, and write learn.json, learn.html, learning_curve.csv, learn.toml, the model, and low-rank changes of it.

    Args:
        config: the file.
        out: folder.
        resume: go on with the training in the folder; with the same numbers as if it had not been interrupted.
        overwrite: replace it.
        progress: told what happens.

    Raises:
        InputError: a model, a file of frames, labels or settings that cannot be used.
        SimulationError: the loss is no longer a number.
        CheckpointError: nothing to resume, or what is there began otherwise; the folder is in use or not writable.
    """
    progress = progress or NullProgress()
    _check_out(config, out, resume=resume, overwrite=overwrite)
    with exclusive(out):
        return _learn(config, out, resume, progress)


def _check_out(config: LearnConfig, out: Path, *, resume: bool, overwrite: bool) -> None:
    files = [path for _, path in config.named_files()]
    refuse_read(files, [out / name for name in OUTPUTS])
    if not resume:  # which leaves learn.toml as it is
        refuse_read(list(filter(None, (config.source,))), [out / name for name in OUTPUTS])
    if (out / RUN).exists() or (out / RESULT).exists():
        raise CheckpointError("this folder holds a run", where=str(out), fix="give another --out")
    refuse_foreign(out, OUTPUTS, CHECKPOINT)
    if (out / CHECKPOINT).exists() and not (resume or overwrite):
        raise CheckpointError(
            "this folder holds a training",
            where=str(out),
            fix="use --resume to go on, --overwrite to replace it, or another --out",
        )


def _learn(config: LearnConfig, out: Path, resume: bool, progress: Progress) -> Learned:
    begun = time.monotonic()
    progress.stage("reading frames", 1)
    problem = problem_of(config, progress.message)
    trainer, checkpoint = problem.trainer, problem.checkpoint
    if resume:
        stored = load(out / CHECKPOINT)
        refuse_changes(stored.began, problem.began, str(out))
        check(stored, trainer, out / CHECKPOINT)
        problem.shift_isolated(stored.isolated)
        if not stored.state.is_over(config.learn):
            progress.message(f"going on in epoch {stored.state.epoch + 1}")
    else:
        stored = _begin(config, problem, progress)  # which may refuse: what was there goes after it
        clear(out, OUTPUTS)
        save(out / CHECKPOINT, stored)
        write_text(out / "learn.toml", config.to_toml(out))
    stored = _train(trainer, stored, out, progress, begun)

    progress.stage("writing the model", 1)
    arrays = problem.arrays(stored.state.best, config.model.head)
    result = Learned(
        title=config.title,
        message=_message(stored.state, trainer),
        start={"origin": checkpoint.origin, "sha256": checkpoint.sha256, "head": config.model.head or ""},
        parameters=config.learn.parameters,
        weights=problem.size,
        frames={part: len(graphs) for part, graphs in problem.graphs.items()},
        before=stored.before,
        after=problem.errors({name: np.asarray(arrays[name], np.float64) for name in problem.coordinates.moved.names}),
        moved=tuple(problem.moved(arrays)),
        warnings=problem.doubts,
        curve=stored.state.curve,
        best=stored.state.best_row.epoch,
        steps=stored.state.steps,
        isolated=stored.isolated,
        settings=config.seen_from(out).model_dump(mode="json", exclude_none=True),
        seconds=stored.seconds,
        provenance=provenance(config.learn.seed, checkpoint.sha256),
    )
    if resume and not (config.source and config.source.resolve() == (out / "learn.toml").resolve()):
        write_text(out / "learn.toml", config.to_toml(out))
    write_neutral(problem.model(arrays), out / MODEL_FILE)
    problem.write_change(stored.state.best, arrays, out / LORA_FILE)
    write_text(out / "learning_curve.csv", result.curve_csv())
    write_text(out / "learn.html", render(result))
    write_text(out / "learn.json", json.dumps(result.to_json(), indent=1) + "\n")
    return result


def _begin(config: LearnConfig, problem: Problem, progress: Progress) -> Stored:
    """Errors of the start model, its isolated atoms moved where that is asked for, and the first state."""
    progress.stage("the start model", 1)
    before, isolated = problem.errors(problem.trainer.weights(problem.trainer.start)), {}
    if config.model.isolated == "fit":
        isolated = problem.fit_isolated()
        problem.shift_isolated(isolated)
        said = ", ".join(f"{symbol} {value:+.4f}" for symbol, value in isolated.items())
        progress.message(f"isolated atoms moved by (eV): {said}")
    elif not config.model.new and (before["train"].energy or 0.0) > FAR:
        progress.message(
            f"energies of train are off by {before['train'].energy:.3g} eV per atom: if the labels have another zero, "
            'set model.isolated = "fit"'
        )
    return Stored(problem.trainer.begin(), problem.began, before, isolated, 0.0)


def _train(trainer: Trainer, stored: Stored, out: Path, progress: Progress, begun: float) -> Stored:
    """To the end, or to the interrupt, which leaves the last step in learn.h5."""
    settings, state, saved, before = trainer.settings, stored.state, time.monotonic(), stored.seconds

    def now() -> Stored:
        return replace(stored, state=state, seconds=before + time.monotonic() - begun)

    try:
        while not state.is_over(settings):
            progress.stage(f"epoch {state.epoch + 1} of {settings.epochs}", trainer.batches)
            progress.advance(state.batch)
            epoch = state.epoch
            while state.epoch == epoch:
                state = trainer.step(state)
                progress.advance(1)
                if time.monotonic() - saved > SAVE_EVERY:
                    save(out / CHECKPOINT, now())
                    saved = time.monotonic()
            progress.message(_told(state))
    finally:
        stored = now()
        save(out / CHECKPOINT, stored)
    return stored


def _told(state: State) -> str:
    """The newest row of the learning curve, in a line."""
    row = state.curve[-1]
    found = in_units(row.validation)
    units = {"energy_meV_per_atom": "meV/atom", "forces_meV_per_angstrom": "meV/Å", "stress_GPa": "GPa"}
    errors = [f"{name.partition('_')[0]} {found[name]:.3g} {unit}" for name, unit in units.items() if found[name]]
    star = ", the lowest so far" if row is state.best_row else ""
    return f"epoch {row.epoch}: validation loss {row.validation.loss:.4g}{star}; {', '.join(errors)}"


def _message(state: State, trainer: Trainer) -> str:
    ended = f"all {state.epoch} epochs are done"
    if state.epoch < trainer.settings.epochs:
        ended = f"the validation loss has not fallen in {state.epoch - state.best_row.epoch} epochs"
    best = state.best_row.epoch
    return f"{ended}; " + (f"the model is that of epoch {best}" if best else "no epoch was better than the start model")
