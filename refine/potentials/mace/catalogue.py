"""The published MACE models: where they are on this machine, and how they get there. What they are: `releases`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from refine.errors import InputError
from refine.potentials.mace.places import cache_folder, models_setting
from refine.potentials.mace.releases import BY_HEAD, CATALOGUE, LICENCES, MUST_BE_ACCEPTED, REFUSED, Published
from refine.progress import NullProgress, Progress

__all__ = [
    "CATALOGUE",
    "DEFAULT",
    "LICENCES",
    "MUST_BE_ACCEPTED",
    "Published",
    "by_sha256",
    "fetch",
    "find",
    "locate",
    "published",
    "recognised",
    "resolve",
]

DEFAULT = "medium-mpa-0"
"""The key to recommend where nothing speaks for another."""


def published(name: str) -> Published:
    """The model of a name: key, alias, or the name of its file; upper and lower case are one.

    Raises:
        InputError: there is no such model.

    >>> published("medium-mpa-0").key
    'medium-mpa-0'
    """
    wanted = name.strip().lower()
    for key, feature in REFUSED.items():
        if wanted.removeprefix("mace-").startswith(key):
            raise InputError(f"{name.strip()} is a model with {feature}, which refine does not evaluate")
    for entry in CATALOGUE:
        if wanted in (known.lower() for known in entry.names):
            return entry
    near = difflib.get_close_matches(wanted, [known for entry in CATALOGUE for known in (entry.key, *entry.aliases)], 3)
    fix = f"did you mean {' or '.join(near)}?" if near else "`refine models list` shows all"
    raise InputError(f"no published model is called {name!r}", fix=fix)


def by_sha256(sha256: str) -> Published | None:
    """The model whose file has this sha256 (hex), if it is one that is known."""
    return next((entry for entry in CATALOGUE if entry.sha256 is not None and entry.sha256 == sha256.lower()), None)


def recognised(sha256: str, origin: str, heads: tuple[str, ...]) -> Published | None:
    """The model that a file is: by its sha256 (hex), or, where the authors state none, by the name it came with and the
    heads that it has."""
    found = by_sha256(sha256)
    if found is not None:
        return found
    for entry in CATALOGUE:
        names = tuple(name for name, _ in entry.heads)
        alike = heads == names if names else len(heads) == 1 or entry.theory == BY_HEAD
        if entry.sha256 is None and entry.filename == origin and alike:
            return entry
    return None


def locate(entry: Published) -> Path | None:
    """The file of a model on this machine, told by name and size only; None where there is none."""
    for path, original in _candidates(entry):
        if not os.path.isfile(path):  # unlike Path.is_file, False where a folder may not be entered
            continue
        if not original or entry.bytes is None or path.stat().st_size == entry.bytes:
            return path
    return None


def find(name: str) -> Path:
    """The file of a published model on this machine: in the folder REFINE_MODELS, or in the cache.

    Raises:
        InputError: no such model; its file is not here (the line says what to download where); it is not the published
            one. Of a converted (.safetensors) file the latter is not looked at: compare `Checkpoint.sha256`.
    """
    entry = published(name)
    for path, original in _candidates(entry):
        if os.path.isfile(path):
            if original:
                _check(path, entry)
            return path
    fix = f"run `{_again(entry)}`, or {_by_hand(entry, _home(None))}"
    raise InputError(f"{entry.key} is not on this machine", fix=fix)


def resolve(name: str) -> Path:
    """The file that a word of the user means: a path, or else the name of a published model (`find`).

    Raises:
        InputError: neither; or as `find`.
    """
    if os.path.isfile(name):
        return Path(name)
    try:
        published(name)
    except InputError as error:
        raise InputError("no such file, and no published model", where=name, fix=error.fix) from None
    return find(name)


def fetch(
    name: str,
    url: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    *,
    accept_licence: bool = False,
) -> Path:
    """Bring a published model to this machine, unless it is here, and return its file, verified.

    A model whose checksum nobody has published is verified by reading it only, and the progress says so.

    Args:
        name: see `published`.
        url: of the file, in the place of the published one and of the mirror REFINE_MODELS.
        folder: where to put it; the folder REFINE_MODELS where that may be written to, else the cache, when None.
        progress: receives the licence, what comes, and what it is.
        accept_licence: the user agrees to a licence that restricts the use.

    Raises:
        InputError: no such model, licence not accepted, or see `download`.
    """
    from refine.potentials.mace import download

    progress = progress or NullProgress()
    entry = published(name)
    if entry.licence in MUST_BE_ACCEPTED and not accept_licence:
        what = f"{entry.key} is under the {LICENCES[entry.licence]}"
        raise InputError(what, fix="read it, and if you agree fetch with --accept-licence")
    progress.message(f"{entry.key}: {LICENCES[entry.licence]}")
    setting = models_setting()
    home = _home(folder)
    for place in _folders() if folder is None else ():
        if download.is_whole(place / entry.filename, entry.bytes, entry.sha256):
            home = place  # where nothing needs to be written
            break
    destination = home / entry.filename
    if os.path.isfile(destination) and not download.is_whole(destination, entry.bytes, entry.sha256):
        progress.message(f"{destination} is not the published file and is fetched anew")
    if url is not None:
        urls = [url]
    elif isinstance(setting, str):
        urls = [f"{setting}/{entry.tail}", f"{setting}/{entry.filename}"]
    else:
        urls = [entry.url]
    sha256 = download.download(
        urls,
        destination,
        size=entry.bytes,
        sha256=entry.sha256,
        progress=progress,
        otherwise=f"without a network, {_by_hand(entry, home)}",
        accept=None if entry.sha256 is not None else _reads,
    )
    if entry.sha256 is None:
        progress.message(f"the publisher's checksum is not known; got sha256 {sha256}")
    return destination


def _reads(path: Path) -> object:
    """Read a torch checkpoint, which refuses what is none."""
    from refine.potentials.mace.reader import read_torch

    return read_torch(path)


def _candidates(entry: Published) -> Iterator[tuple[Path, bool]]:
    """Where the file may lie, best first, and whether it is then the published one byte by byte."""
    for folder in _folders():
        yield folder / entry.filename, True
        yield folder / f"{entry.key}.model", True
        yield folder / f"{entry.key}.safetensors", False


def _folders() -> tuple[Path, ...]:
    setting = models_setting()
    return (setting, cache_folder()) if isinstance(setting, Path) else (cache_folder(),)


def _home(folder: Path | None) -> Path:
    """Where a model is put."""
    if folder is not None:
        return folder
    return next((place for place in _folders() if os.access(place, os.W_OK)), cache_folder())


def _check(path: Path, entry: Published) -> None:
    from refine.potentials.mace.download import digest

    try:
        size = path.stat().st_size
        if entry.bytes is not None and size != entry.bytes:
            what = f"has {size} bytes, the published {entry.key} {entry.bytes}"
        elif entry.sha256 is not None and (found := digest(path)) != entry.sha256:
            what = f"has the sha256 {found}, the published {entry.key} {entry.sha256}"
        else:
            return
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
    fix = f"run `{_again(entry)}` to get it, or give this file by its path if it is another model"
    raise InputError(what, where=str(path), fix=fix)


def _again(entry: Published) -> str:
    flag = " --accept-licence" if entry.licence in MUST_BE_ACCEPTED else ""
    return f"refine models fetch {entry.key}{flag}"


def _by_hand(entry: Published, folder: Path) -> str:
    return f"download {entry.url} ({entry.size}) to {folder / entry.filename}"
