"""What a command may write to: nothing that the study is read from, nothing that is not its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from refine.errors import CheckpointError, InputError
from refine.files import make_folder, remove, write_text
from refine.results.schema import RESULT
from refine.study.schema import StudyConfig
from refine.tasks.run.store import CHECKPOINT


def refuse_inputs(config: StudyConfig, places: Sequence[Path], more: Sequence[Path] = ()) -> None:
    """InputError where the study file or a file that the study names is one of `places`, or lies below one.

    more: other files that are read.
    """
    source = () if config.source_path is None else (config.source_path,)
    refuse_read((*source, *config.files(), *config.compare.paths, *more), places)


def refuse_read(files: Sequence[Path], places: Sequence[Path]) -> None:
    """InputError where one of the files, which are read, is one of `places`, or lies below one."""
    for file in files:
        for place in places:
            if file.exists() and file.resolve().is_relative_to(place.resolve()):
                what = "this is a file that is read" if file.samefile(place) else f"{file}, which is read, lies in it"
                raise InputError(what, where=str(place), fix="give another --out")


def refuse_foreign(folder: Path, names: Sequence[str], mark: str) -> None:
    """InputError where the folder holds any of the outputs `names` and not `mark`, which a command writes with them."""
    held = [name for name in names if (folder / name).exists()]
    if held and not (folder / mark).is_file():
        raise InputError(
            f"this folder holds {held[0]} and no {mark}: it is not of this command",
            where=str(folder),
            fix="give another --out",
        )


def refuse_taken(folder: Path, names: Sequence[str], mark: str, *, overwrite: bool) -> None:
    """CheckpointError where the folder holds a run, or earlier results of the command that are not to be replaced;
    else as `refuse_foreign`."""
    if (folder / CHECKPOINT).exists() or (folder / RESULT).exists():
        raise CheckpointError("this folder holds a run", where=str(folder), fix="give another --out")
    refuse_foreign(folder, names, mark)
    if (folder / mark).exists() and not overwrite:
        raise CheckpointError(
            f"this folder holds earlier results ({mark})",
            where=str(folder),
            fix="use --overwrite to replace them, or another --out",
        )


def clear(folder: Path, names: Sequence[str]) -> None:
    """Remove earlier outputs, last what they are recognised by, which is the last of the names."""
    for name in names:
        remove(folder / name)


def write_files(folder: Path, files: Mapping[str, str | None]) -> None:
    """Write texts by their names below a folder, each atomically; what is None is removed where it is from before."""
    for name, text in files.items():
        path = folder / name
        if text is None:
            remove(path)
        else:
            make_folder(path.parent)
            write_text(path, text)
