"""What a training began with, and what of it may be another when it goes on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from refine.errors import CheckpointError, InputError
from refine.learning.keys import LearnConfig
from refine.tables.explain import shown
from refine.tasks.run.began import in_words

FREE = re.compile(r"title|learn\.(epochs|patience)|model\.path|frames\.(train|valid|test)")
"""Keys that no step follows from; of files their content counts."""


def began_of(config: LearnConfig, sha256: str) -> dict[str, Any]:
    """Settings by key, digests of the files of frames, and that of the start model (hex)."""
    settings = {key: value for key, value in _leaves(config.model_dump(mode="json"), "") if not FREE.fullmatch(key)}
    files = {f"frames.{part}": _digests(config, part) for part in ("train", "valid", "test")}
    return {"settings": settings, "files": files, "model": sha256}


def refuse_changes(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """CheckpointError where a training that began with the one is to go on with the other."""
    old, new = before["settings"], now["settings"]
    said = [
        f"{key} = {_shown(new.get(key))}, was {_shown(old.get(key))}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]
    said += [f"{key} has other content" for key, files in now["files"].items() if files != before["files"].get(key)]
    if now["model"] != before["model"]:
        said.append("the start model is another one")
    if said:
        raise CheckpointError(
            f"the training in this folder began otherwise: {in_words(said)}",
            where=where,
            fix="go on with the same, or use --overwrite or another --out",
        )


def _digests(config: LearnConfig, part: str) -> list[str]:
    found = []
    for path in config.frames.paths(part):
        try:
            with path.open("rb") as stream:
                found.append(hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _shown(value: Any) -> str:
    return "not given" if value is None else shown(value)
