"""What is started for a point: its files, and one command after the other."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from refine.campaign.keys import CampaignConfig
from refine.campaign.points import Point, axes_of
from refine.errors import InputError
from refine.learning.keys import LearnConfig
from refine.study.choices.engine import KEY as ENGINE
from refine.study.choices.engine import refuse_elsewhere
from refine.study.schema import ModelFile, StudyConfig
from refine.tables.toml import override, parse_toml, read_text, to_toml, toml_value

CHECKPOINTS = {"run": "run/run.h5", "learn": "learn/learn.h5"}
"""Of the tasks that keep one, where it is in a point's folder."""

STUDY, LEARN, PREPARE = "study.toml", "learn.toml", "prepare.toml"


@dataclass(frozen=True)
class Step:
    """One command.

    task: its name, and the state that it is for where there are several.
    words: behind `refine`, seen from the point's folder.
    checkpoint: what it goes on from, seen from there; None: it begins again.
    again: words besides, where there is one.
    """

    task: str
    words: tuple[str, ...]
    checkpoint: str | None = None
    again: tuple[str, ...] = ()

    def command(self, folder: Path) -> tuple[str, ...]:
        """The words now."""
        begun = self.checkpoint is not None and (folder / self.checkpoint).exists()
        return (*self.words, *(self.again if begun else ()))


@dataclass(frozen=True)
class Plan:
    """A point as it is carried out.

    files: texts by their names in the point's folder.  digest: of all that the results follow from, but for the bytes
        of trajectories, which may be many GB: they go by their names.
    """

    point: Point
    steps: tuple[Step, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def point_folder(out: Path, name: str) -> Path:
    """Where a point's files are."""
    return out / "points" / name


class Planner:
    """Makes the plans of a campaign's points; the study is read once.

    Raises:
        InputError: the study's file cannot be read, or no point of it can be sampled by a command.
    """

    def __init__(self, config: CampaignConfig, out: Path) -> None:
        self.config, self.out = config, out
        path, self.learns = config.study_path, config.run.task == ("learn",)
        kind = "file of refine learn" if self.learns else "study file"
        self.tree = parse_toml(read_text(path, kind, "[study] names it"), str(path))
        self.samples = bool(set(config.run.task) & {"run", "prepare", "compare"})
        sampling = self.tree.get("sampling")
        if self.samples and ENGINE not in axes_of(config) and isinstance(sampling, dict):  # of all points alike
            refuse_elsewhere(str(sampling.get("engine")))

    def plan(self, point: Point) -> Plan:
        """A point's files and steps.

        Raises:
            InputError: its study is not valid.
        """
        tree, own = copy.deepcopy(self.tree), self.config.forward.model_dump()
        model: str | None = None
        for key, value in point.values.items():
            first, _, rest = key.partition(".")
            if first == "forward" and rest in own:
                own[rest] = value
            elif key == "model" and isinstance(value, str) and not self.learns:
                model = value
            else:
                override(tree, f"{key}={toml_value(value)}")
        if model is not None:  # a file with a [model] table, whose paths are relative to it
            tree.pop("model", None)
            return self._planned(point, tree, own, ModelFile.from_toml(self.config.folder / model))
        return self._planned(point, tree, own, None)

    def _planned(self, point: Point, tree: dict[str, Any], own: dict[str, Any], model: ModelFile | None) -> Plan:
        here, folder = self.config.study_path.parent, point_folder(self.out, point.name)
        if self.learns:
            training = LearnConfig.parse(tree, here, "learn")
            _refuse_missing(training.named_files())
            words = ("learn", LEARN, "--out", "learn")
            step = Step("learn", words, CHECKPOINTS["learn"], ("--resume",))
            files = {LEARN: training.to_toml(folder)}
            digest = _digest([training.to_toml(here)], [path for _, path in training.named_files()])
            return Plan(point, (step,), files, digest)
        if model is not None:
            tree = {**tree, "model": model.model.model_dump(mode="json", exclude_none=True)}
            study = StudyConfig.parse(tree, here).model_copy(update={"model": model.model})
        else:
            study = StudyConfig.parse(tree, here)
        if self.samples:
            refuse_elsewhere(study.sampling.engine)
        _refuse_missing(study.named_files())
        tasks, steps = self.config.run.task, []
        files, whole = {}, study.to_tree(folder)
        if "prepare" in tasks:
            files[PREPARE] = to_toml(whole)
            steps += self._prepares(study)
            if len(tasks) > 1:
                _refuse_mixtures(study)
                whole = _from_structures(whole)
        if tasks != ("prepare",):
            files[STUDY] = to_toml(whole)
        if "run" in tasks:
            steps.append(Step("run", ("run", STUDY, "--out", "run", "--continue"), CHECKPOINTS["run"]))
        if "compare" in tasks:
            steps.append(Step("compare", self._compare(folder)))
        if "forward" in tasks:
            steps.append(Step("forward", self._forward(own, folder)))
        options = [list(step.words) for step in steps]
        moved = [study.to_toml(here), json.dumps(options)]
        read = [path for _, path in study.named_files()]
        if "compare" in tasks:
            read += [self.config.folder / file for file in self.config.compare.models]
        return Plan(point, tuple(steps), files, _digest(moved, read))

    def _prepares(self, study: StudyConfig) -> list[Step]:
        """A step for each state."""
        keys, steps = self.config.prepare, []
        for state in study.states:
            words = ["prepare", PREPARE, "--state", state.name, "--out", structure_of(state.name), "--overwrite"]
            words += ["--replicate", ",".join(map(str, keys.replicate))]
            words += [] if keys.settle is None else ["--settle", repr(keys.settle)]
            task = "prepare" if len(study.states) == 1 else f"prepare {state.name}"
            steps.append(Step(task, tuple(words)))
        return steps

    def _compare(self, folder: Path) -> tuple[str, ...]:
        keys = self.config.compare
        words = ["compare", STUDY, "--out", "compare"]
        words += ["--runs", "run"] if "run" in self.config.run.task else []
        _refuse_missing([("compare.models", self.config.folder / file) for file in keys.models])
        for file in keys.models:
            words += ["--models", _seen_from(folder, self.config.folder / file)]
        words += [] if keys.heads is None else [f"--heads={keys.heads}"]
        return (*words, *(["--dispersion"] if keys.dispersion else []))

    def _forward(self, own: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
        trajectory, words = own["trajectory"], []
        if not isinstance(trajectory, str):
            raise InputError("should be the path of a file", where="forward.trajectory")
        for name in ("state", "species", "elements", "cell", "format", "first", "last", "every"):
            if own[name] is not None:
                words.append(f"--{name}={own[name]}")  # with "=", no text is taken for an option
        if isinstance(own["atoms"], str):
            _refuse_missing([("forward.atoms", self.config.folder / own["atoms"])])
            words.append(f"--atoms={_seen_from(folder, self.config.folder / own['atoms'])}")
        words += ["--rescale"] if own["rescale"] is True else []
        _refuse_missing([("forward.trajectory", self.config.folder / trajectory)])
        file = _seen_from(folder, self.config.folder / trajectory)
        return ("forward", "--out", "forward", "--overwrite", *words, "--", file, STUDY)


def _refuse_missing(files: Iterable[tuple[str, Path]]) -> None:
    """Files by the keys that name them; what is in them is the command's to tell."""
    for key, path in files:
        if not path.exists():
            raise InputError("no such file", where=f"{key}: {path}")


def structure_of(state: str) -> str:
    """The structure that is prepared for a state."""
    return f"start-{state}.extxyz"


def _refuse_mixtures(study: StudyConfig) -> None:
    """A structure file says which atoms are deuterium, and not of which hydrogen a share is."""
    if any(isinstance(shares, dict) for shares in study.system.isotopes.values()):
        raise InputError(
            "the composition mixes H and D at random, which a prepared structure does not keep",
            where="[run] task",
            fix="write H in the composition and isotopes in [[data]], or leave prepare out",
        )


def _from_structures(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The study that begins from what `prepare` made: it has gone through the schedule, and has its density.

    The composition, which repeated copies need not have, is that of the structures.
    """
    states = [
        {key: value for key, value in state.items() if key not in ("number_density", "mass_density")}
        | {"structure": structure_of(state["name"])}
        for state in tree["states"]
    ]
    asked = ("species", "formula", "units", "structure", "structure_species", "number_density", "mass_density")
    system = {key: value for key, value in tree["system"].items() if key not in asked}
    system["structure"] = states[0]["structure"]
    return {key: value for key, value in tree.items() if key != "schedule"} | {"states": states, "system": system}


def _seen_from(folder: Path, file: Path) -> str:
    return os.path.relpath(os.path.abspath(file), os.path.abspath(folder))


def _digest(texts: list[str], files: list[Path]) -> str:
    """Of settings and the bytes of files; one that cannot be read is the command's to tell."""
    total = hashlib.sha256(json.dumps(texts).encode())
    for path in files:
        total.update(_of_file(path).encode())
    return total.hexdigest()


@cache
def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
