"""Where models lie on this machine, and the two environment variables that say so.

`REFINE_CACHE` is the folder for everything that refine can make or fetch again; without it that is
`$XDG_CACHE_HOME/refine`, else `~/.cache/refine`. `REFINE_MODELS` is a folder of model files, or the URL of a mirror.
"""

from __future__ import annotations

import os
from pathlib import Path

from refine.errors import InputError

__all__ = ["cache_folder", "models_setting"]


def cache_folder() -> Path:
    """Folder of fetched and converted models; it need not exist.

    Raises:
        InputError: no variable names a folder and the user has no home.
    """
    named = os.environ.get("REFINE_CACHE", "").strip()
    if named:
        return _expanded(named) / "mace"
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification calls relative paths invalid and has them ignored.
    base = Path(shared) if os.path.isabs(shared) else _expanded("~") / ".cache"
    return base / "refine" / "mace"


def models_setting() -> Path | str | None:
    """What REFINE_MODELS says: a folder, the http(s) URL of a mirror without its last slash, or nothing.

    Raises:
        InputError: it names a folder that does not exist, or a URL that is neither http nor https.
    """
    named = os.environ.get("REFINE_MODELS", "").strip()
    if not named:
        return None
    if "://" in named:
        if named.partition("://")[0].lower() not in ("http", "https"):
            raise InputError(
                "neither a folder nor an http(s) URL", where=f"REFINE_MODELS={named}", fix="name a folder by its path"
            )
        return named.rstrip("/")
    folder = _expanded(named)
    if not folder.is_dir():
        raise InputError("no such folder", where=f"REFINE_MODELS={named}", fix="make it, or unset the variable")
    return folder


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        fix = "set REFINE_CACHE, or what you gave, to a path without ~"
        raise InputError(f"the home folder of {path} is not known", fix=fix) from None
