"""`refine predict STUDY`: the curves and numbers of the base model, each with its standard error; no fit.

Every state is sampled once, started as a run starts. What is measured is compared with it as in `refine forward`, in
the same tables; what is not measured is predicted. No correction acts, and none has to fit into the box.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refine.errors import InputError
from refine.files import exclusive, make_folder
from refine.progress import NullProgress, Progress
from refine.results.derived import coordination_numbers, shells_of
from refine.results.provenance import provenance
from refine.results.scores import score_number
from refine.results.tables import plain
from refine.sampling.averages import FRAMES_FOR_ERRORS, standard_error
from refine.sampling.frames import Frames
from refine.sampling.stationary import doubts_of
from refine.study.choices.choice import Choice
from refine.study.choices.engine import refuse_elsewhere
from refine.study.datasets import tell_doubts
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.study.systems import notes_of
from refine.system import System
from refine.tasks.forward.compared import ComparedNumber, compared
from refine.tasks.forward.seen import FOLDERS, Seen, number_of_frames, with_error
from refine.tasks.forward.tables import propagation
from refine.tasks.outputs import clear, refuse_inputs, refuse_taken, write_files
from refine.tasks.pilot import pilot
from refine.tasks.sample import sample_states

MARK = "predict.json"
"""What a folder of this command is known by."""

OUTPUTS = (*FOLDERS, MARK)
"""What is written to the folder."""


def check_out(config: StudyConfig, folder: Path, *, overwrite: bool = False) -> None:
    """Refuses a folder with a run, with files that are read, with outputs that are of something else, or, where they
    are not to be replaced, with earlier ones; and a study whose frames others make."""
    refuse_elsewhere(config.sampling.engine)
    refuse_inputs(config, [folder / name for name in OUTPUTS])
    refuse_taken(folder, OUTPUTS, MARK, overwrite=overwrite)


def default_out(config: StudyConfig) -> Path:
    """runs/<name of the study's folder>-predict."""
    study = config.default_out()
    return study.with_name(f"{study.name}-predict")


@dataclass(frozen=True)
class Predicted:
    """What the base model of a study gives in each of its states.

    Attributes:
        config: the study.
        systems: of every state.
        seen: of every state: its frames as the data sets see them.
        choices: what was decided where the study says nothing.
        provenance: of `refine.results.provenance`.
    """

    config: StudyConfig
    systems: tuple[System, ...]
    seen: tuple[Seen, ...]
    choices: tuple[Choice, ...]
    provenance: dict[str, Any]

    def write(self, folder: Path, *, overwrite: bool = False) -> None:
        """predict.json, and the tables curves/, t_r/ (by data set), g_r/ and s_q/ (by state), in `folder`.

        overwrite: replace those of an earlier call, which is an error without.
        """
        with exclusive(folder):
            check_out(self.config, folder, overwrite=overwrite)
            clear(folder, OUTPUTS)
            for one in self.seen:
                write_files(folder, dict(one.files()))
            write_files(folder, {MARK: json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"})

    def to_json(self) -> dict[str, Any]:
        """What predict.json holds: for each state the keys of forward.json and means of the sample; and provenance."""
        table = {
            "title": self.config.title,
            "model": self.config.model.title,
            "dispersion": self.config.model.dispersion,
            "chosen": [choice.to_json() for choice in self.choices],
            "states": [_state(system, one) for system, one in zip(self.systems, self.seen, strict=True)],
            "provenance": self.provenance,
        }
        return dict(plain(table))

    def table(self) -> str:
        """What the terminal shows."""
        parts = []
        for system, one in zip(self.systems, self.seen, strict=True):
            atoms = ", ".join(f"{n} {name}" for name, n in zip(system.species, system.n_per_species, strict=True))
            head = (
                f"{one.state.name}: {number_of_frames(len(one.frames))} of {atoms} at {one.state.temperature:g} K, "
                f"{system.number_density:.5f} atoms/Å^3, g(r) to {one.box.r_max:.2f} Å"
            )
            means = [
                f"{name} {with_error(*_mean(values, one.frames), decimals)} {unit}"
                for name, values, unit, decimals in _properties(one.frames)
            ]
            doubts = [f"warning: {doubt}" for doubt in doubts_of(one.frames, one.state.name)]
            parts.append("\n".join([head, *means, *doubts, "", *one.lines()]))
        return "\n\n".join(parts)


def predict(
    config: StudyConfig, *, out: Path | None = None, frames: int | None = None, progress: Progress | None = None
) -> Predicted:
    """Sample the base model of a study, and see what its data sets would.

    Args:
        config: the study; its [correction] and [refinement] play no part, but that a classical base without a cutoff
            of its own ends at `r_cut`.
        out: the folder that will be written to, made before the dynamics or refused; nothing is written there yet.
        frames: of each state, all replicas together; None: the study's `sampling.frames`.
        progress: told what happens.

    Raises:
        InputError: what data, structures and settings say against each other, or too few frames.
        SimulationError: the dynamics failed.
    """
    if frames is not None and frames < FRAMES_FOR_ERRORS:
        raise InputError(f"{frames} frames are too few", where="--frames", fix=f"use {FRAMES_FOR_ERRORS} or more")
    progress = progress or NullProgress()
    study = Study(config, corrected=False)
    study.stages_at_volume()
    tell_doubts(study.datasets, progress, notes_of(study.systems))
    if out is not None:
        make_folder(out)  # or refused now, and not after the dynamics
    begun = pilot(study, progress)
    study = begun.study
    sampled = sample_states(study, study.settings.frames if frames is None else frames, progress, starts=begun.starts)
    progress.doing("curves and their errors")
    seen = tuple(_seen(study, s, of_state) for s, of_state in enumerate(sampled))
    source = provenance(study.settings.seed, config.digest())
    return Predicted(config, tuple(study.systems), seen, study.choices, source)


def _seen(study: Study, s: int, frames: Frames) -> Seen:
    """The sample of a state as its data sets see it."""
    box, shells = study.boxes[s], shells_of(frames, study.pairs, study.config.coordination.radii)
    return Seen(
        state=study.config.states[s],
        box=box,
        frames=frames,
        scores=tuple(compared(study.config, data, box, frames) for data in study.datasets if data.state == s),
        numbers=tuple(
            ComparedNumber(one.entry, one, score_number(one, frames)) for one in study.numbers if one.state == s
        ),
        predictions=tuple(one for one in study.predictions if one.state == s),
        coordination=tuple(coordination_numbers(study.species, study.pairs, propagation(frames), shells)),
    )


def _state(system: System, one: Seen) -> dict[str, Any]:
    """The table of a state in predict.json."""
    means: dict[str, float] = {}
    for name, values, unit, _ in _properties(one.frames):
        key = f"mean_{name.replace(' ', '_')}_{unit.replace('/', '_per_')}"
        means[key], means[f"{key}_stderr"] = _mean(values, one.frames)
    return {
        "state": one.state.name,
        "temperature": one.state.temperature,
        "frames": len(one.frames),
        "atoms": dict(zip(system.species, system.n_per_species, strict=True)),
        "number_density": system.number_density,
        "cell": system.cell,
        "r_box": one.box.r_max,
        **means,
        "warnings": list(doubts_of(one.frames, one.state.name)),
        **one.to_json(),
    }


def _properties(frames: Frames) -> Sequence[tuple[str, Any, str, int]]:
    """Name, value of every frame, unit and decimals of the means that are stated beside the curves."""
    return (
        ("temperature", frames.temperature, "K", 2),
        ("pressure", frames.pressure(), "GPa", 4),
        ("energy", frames.energy / frames.n_atoms, "eV/atom", 5),
    )


def _mean(values: Any, frames: Frames) -> tuple[float, float]:
    """Mean over the frames, and its standard error."""
    return float(values.mean()), float(standard_error(values, frames.replica))
