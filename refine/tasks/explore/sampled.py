"""The states of a study sampled under a model: frames to choose from, and R_chi of the measured curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from refine.errors import CheckpointError, InputError, SimulationError
from refine.files import make_folder, write_text
from refine.learning.explore_keys import Sampling
from refine.potentials.bases import base_of
from refine.progress import Progress
from refine.results.explored import CurveScore
from refine.sampling.extended_xyz import frame_text
from refine.study.schema import StudyConfig
from refine.study.study import Study
from refine.tasks.forward.compared import compared
from refine.tasks.pilot import pilot
from refine.tasks.sample import sample_states

FRAMES, SCORES = "sample.extxyz", "sample.json"


@dataclass(frozen=True)
class Sampled:
    """curves: R_chi of each; none where the dynamics failed.  failed: why; the frames are then another model's.
    by: the model of the frames, in words."""

    curves: tuple[CurveScore, ...]
    failed: str | None
    by: str


def study_of(config: StudyConfig, sampling: Sampling, model: dict[str, Any] | None, turn: int) -> StudyConfig:
    """The study with another [model], where one is given, with states at all temperatures and densities, and with other
    random numbers in each turn.

    Raises:
        InputError: a density that cannot be changed, or a study that is not valid with the model.
    """
    tree = config.to_tree(Path.cwd())
    states, first = tree["states"], tree["states"][0]["name"]
    tree["states"] = [*states]
    for state in states:
        for t in sampling.temperatures:
            for d in sampling.densities:
                if (t, d) != (1.0, 1.0):
                    tree["states"].append(_changed(config, state, t, d))
    for entry in tree["data"]:
        if entry.get("state") is None:
            entry["state"] = first
    if model is not None:
        if base_of(config.model.base).own_engine is not None:
            tree["sampling"]["engine"] = "jax"
        tree["model"] = model
    tree["sampling"] |= {"seed": tree["sampling"]["seed"] + turn, "frames": sampling.frames}
    return StudyConfig.parse(tree, Path.cwd())


def _changed(config: StudyConfig, state: dict[str, Any], t: float, d: float) -> dict[str, Any]:
    changed = {**state, "name": f"{state['name']}-t{t:g}-d{d:g}", "temperature": t * state["temperature"]}
    if d != 1.0:
        known = next(one for one in config.states if one.name == state["name"])
        if config.structure_of(known) is not None:
            raise InputError(
                f"state {known.name!r} starts from a structure, which has a density of its own",
                where="[sample] densities",
                fix="leave it out, or let the study pack its states",
            )
        density, mass = config.number_density_of(known), config.mass_density_of(known)
        changed |= {"number_density": d * density} if density is not None else {"mass_density": d * (mass or 0.0)}
    return changed


def sample(
    config: StudyConfig,
    sampling: Sampling,
    models: Sequence[tuple[str, dict[str, Any] | None]],
    turn: int,
    folder: Path,
    progress: Progress,
    box: Mapping[str, int] = MappingProxyType({}),
) -> Sampled:
    """What is in `folder`, or is made and written to it: frames.

    models: in words, and as [model]: the one that is judged; another one whose frames are taken where the dynamics of
        the first fail.
    box: charge and spin, which the frames state.

    Raises:
        InputError: what study and model say against each other.
        SimulationError: the dynamics of all models failed.
    """
    found = read_scores(folder / SCORES)
    if found is not None:
        return found
    failed: str | None = None
    for k, (by, model) in enumerate(models):
        study = study_of(config, sampling, model, turn)
        try:
            curves, text = _frames(study, sampling.frames, len(config.states), progress, box)
        except SimulationError as error:
            if k == len(models) - 1:
                raise
            failed = str(error)
            progress.message(f"{by} does not hold together ({failed}); frames of {models[k + 1][0]} are taken")
            continue
        made = Sampled(() if failed else curves, failed, by)
        make_folder(folder)
        write_text(folder / FRAMES, text)
        write_text(folder / SCORES, json.dumps(asdict(made), indent=1) + "\n")
        return made
    raise AssertionError("no model to sample with")


def _frames(
    config: StudyConfig, number: int, own: int, progress: Progress, box: Mapping[str, int]
) -> tuple[tuple[CurveScore, ...], str]:
    """R_chi of the curves, and the frames of all states, of which the first `own` are the study's."""
    study = Study(config, corrected=False)
    begun = pilot(study, progress)
    study = begun.study
    sampled = sample_states(study, number, progress, positions=True, starts=begun.starts)
    curves = []
    for data in study.datasets:
        one = compared(study.config, data, study.boxes[data.state], sampled[data.state])
        curves.append(CurveScore(data.name, data.role, one.r_chi, one.r_chi_stderr))
    texts = []
    for state, system, frames in zip(config.states, study.systems, sampled, strict=True):
        assert frames.positions is not None
        texts += [frame_text(system, positions, {"state": state.name, **box}) for positions in frames.positions]
    return tuple(curves), "".join(texts)


def read_scores(path: Path) -> Sampled | None:
    """Of an earlier call; None where there is none. CheckpointError for what is damaged."""
    if not path.is_file():
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        curves = tuple(CurveScore(**curve) for curve in tree["curves"])
        return Sampled(curves, tree["failed"], tree["by"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"is damaged: {error!r:.80}", where=str(path), fix="remove its folder") from None
