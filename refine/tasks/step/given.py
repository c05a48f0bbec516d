"""Files that a command line names for the states of a study."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from refine.errors import InputError
from refine.sampling.files.reading import in_order


def files_of(words: Sequence[str], states: Sequence[str], replicas: int, option: str) -> dict[str, list[list[Path]]]:
    """By state, the files of each of its trajectories in order; a state that is not named has none.

    Files of one folder are those of one trajectory, other folders are other replicas.

    Args:
        words: GLOB, or STATE=GLOB.
        states: all names.  replicas: how many trajectories a state has.
        option: of the command, for errors.

    Raises:
        InputError: a state that is not there, no file, or files of more or fewer folders than trajectories.
    """
    found: dict[str, list[Path]] = {}
    for word in words:
        name, equals, pattern = word.partition("=")
        if not (equals and name in states):
            name, pattern = states[0], word
            if len(states) > 1:
                fix = f"give {option} STATE=FILES, with {', '.join(states)}"
                raise InputError("the study has several states", where=f"{option} {word}", fix=fix)
        paths = [Path(path) for path in glob.glob(pattern) if Path(path).is_file()]
        if not paths:
            raise InputError("no such file", where=f"{option} {word}")
        found.setdefault(name, []).extend(paths)
    return {name: _by_folder(paths, replicas, f"{option} of {name}") for name, paths in found.items()}


def _by_folder(paths: Sequence[Path], replicas: int, where: str) -> list[list[Path]]:
    files = {path.resolve(): path for path in paths}  # named twice, it is still one
    folders: dict[Path, list[Path]] = {}
    for resolved, path in files.items():
        folders.setdefault(resolved.parent, []).append(path)
    if len(folders) != replicas:
        trajectories = "one trajectory" if replicas == 1 else f"{replicas} trajectories"
        raise InputError(
            f"files of {len(folders)} folders, and the step waits for {trajectories}",
            where=where,
            fix="keep the files of each trajectory in a folder of its own",
        )
    return [in_order(folders[folder]) for folder in in_order(list(folders))]
