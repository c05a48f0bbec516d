"""What a run began with, and what of it may be another when the run goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from refine.errors import InputError
from refine.study.schema import StudyConfig
from refine.tables.explain import shown

if TYPE_CHECKING:
    from refine.study.study import Study

FREE = re.compile(
    r"title|refinement\.iterations|sampling\.(final|keep|devices)|(compare|coordination|bias|variables)\..*"
)
"""Keys that no sample follows from: how long a run goes on, and what is reported."""

MAY_CHANGE = (
    "title, refinement.iterations, sampling.final, sampling.keep, sampling.devices, [compare], [coordination], [bias], "
    "[[variables]] and predicted curves"
)
"""The same in words."""

MOST = 6
"""Changes that are named."""


@dataclass(frozen=True)
class Began:
    """A study and the content of its files.

    Attributes:
        study: as study.toml in the run's folder has it.
        files: SHA-256 (hex) of every file that a sample follows from, by its key.
        model: what a name of a base model stood for; empty where that is settled by the study and its files.
    """

    study: dict[str, Any]
    files: dict[str, str]
    model: str

    @classmethod
    def of(cls, study: Study, folder: Path) -> Self:
        """Of a run in a folder; InputError where a file cannot be read."""
        files, read = {}, study.config.files()
        for key, path in study.config.named_files():
            if path in read:
                try:
                    files[key] = hashlib.sha256(path.read_bytes()).hexdigest()
                except OSError as error:
                    raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
        return cls(study.config.to_tree(folder), files, study.base_kind.identity(study.base))

    @property
    def config(self) -> StudyConfig:
        """The study; InputError where this version does not know it."""
        return StudyConfig.parse(self.study)

    def changes(self, now: Self) -> list[str]:
        """What a later part of the run may not have otherwise, in words: "sampling.seed = 4, was 3"."""
        before, after = _settings(self.config), _settings(now.config)
        said = [
            f"{key} = {_shown(after.get(key))}, was {_shown(before.get(key))}"
            for key in dict.fromkeys((*before, *after))
            if before.get(key) != after.get(key) and key not in {*self.files, *now.files}
        ]
        said += [
            f"{key} {'has other content' if key in self.files and key in now.files else 'is added or left out'}"
            for key in dict.fromkeys((*self.files, *now.files))
            if self.files.get(key) != now.files.get(key)
        ]
        if self.model != now.model and not any(key.startswith("model.") for key in now.files):
            said.append("the name in [model] stands for another model")
        return said

    def to_json(self) -> str:
        """JSON text."""
        return json.dumps({"study": self.study, "files": self.files, "model": self.model})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`; KeyError or TypeError for what is none."""
        tree = json.loads(text)
        return cls(dict(tree["study"]), dict(tree["files"]), str(tree["model"]))


def in_words(changes: Sequence[str]) -> str:
    """Some changes, and how many there are besides."""
    more = f"; and {len(changes) - MOST} more" if len(changes) > MOST else ""
    return "; ".join(changes[:MOST]) + more


def _settings(config: StudyConfig) -> dict[str, Any]:
    """Values that samples follow from, by their keys as --set has them."""
    tree = config.model_dump(mode="json")
    tree["data"] = [entry for entry in tree["data"] if entry["role"] != "predict"]
    return {key: value for key, value in _leaves(tree, "") if not FREE.fullmatch(key)}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Values below a table, by their keys; entries of a list of tables go by their names, and these are one, too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        names = [str(entry.get("name", number)) for number, entry in enumerate(value)]
        yield path, names
        for name, entry in zip(names, value, strict=True):
            yield from _leaves(entry, f"{path}.{name}")
    else:
        yield path, value


def _shown(value: Any) -> str:
    return "not given" if value is None else shown(value)
