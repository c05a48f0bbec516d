"""`refine diagnose STUDY`: why the base model's curves are not the measured ones, before anything is fitted.

Each state is sampled once with the base model. `refinement.misfit` then says what the misfit looks like - another
temperature or density, resolution, scale, background, or a pair correction - and `scattering.peaks` whether the model
is over-structured and what its first peaks depend on. Everything is linear about the base model: shifts of more than a
few per cent of T or of the density are directions rather than numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from refine.errors import InputError
from refine.files import make_folder
from refine.progress import NullProgress, Progress
from refine.sampling.averages import FRAMES_FOR_COVARIANCES
from refine.study.choices.engine import refuse_elsewhere
from refine.study.datasets import tell_doubts
from refine.study.systems import notes_of
from refine.tasks.diagnose.analysis import examine
from refine.tasks.diagnose.diagnosis import Diagnosis
from refine.tasks.outputs import refuse_foreign, refuse_inputs, write_files
from refine.tasks.pilot import pilot
from refine.tasks.sample import sample_states

if TYPE_CHECKING:
    from refine.study.study import Study

__all__ = ["Diagnosis", "diagnose", "examine"]


def diagnose(
    study: Study,
    *,
    out: Path | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Sample the base model of a study and take its misfit apart.

    Args:
        study: a checked study; its fitted data sets are used.
        out: folder for diagnosis.json and diagnosis/*.csv, each written atomically; None: nothing is written.
        frames: of each state, all replicas together; default: the study's `sampling.frames`.
        progress: told what happens.

    Raises:
        InputError: nothing is fitted, or too few frames for covariances.
        RefineError: what the dynamics raise.
    """
    refuse_elsewhere(study.config.sampling.engine)
    if not any(data.role == "fit" for data in study.datasets):
        raise InputError("no curve is fitted", where="[[data]]", fix='give one role = "fit"')
    if study.config.model.has_molecules:
        raise InputError(
            "a change of density would stretch molecules with the box",
            where="[model] topology",
            fix="use refine run, or refine compare",
        )
    wanted = frames if frames is not None else study.settings.frames
    if wanted < FRAMES_FOR_COVARIANCES:
        raise InputError(
            f"{wanted} frames are too few for covariances", where="frames", fix=f"use {FRAMES_FOR_COVARIANCES} or more"
        )
    if out is not None:
        refuse_inputs(study.config, [out / "diagnosis.json", out / "diagnosis"])
        refuse_foreign(out, ("diagnosis",), "diagnosis.json")
        make_folder(out / "diagnosis")  # or refused now, and not after the dynamics
    progress = progress or NullProgress()
    tell_doubts(study.datasets, progress, notes_of(study.systems))
    begun = pilot(study, progress)
    wanted = frames if frames is not None else begun.study.settings.frames
    sampled = sample_states(begun.study, wanted, progress, starts=begun.starts)
    progress.doing("taking the misfit apart")
    diagnosis = examine(begun.study, sampled)
    if out is not None:
        write_files(out, diagnosis.files())
    return diagnosis
