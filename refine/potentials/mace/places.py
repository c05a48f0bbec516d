"""Where models lie on this machine: in the cache (`refine.files.cache_folder`), or where `REFINE_MODELS` says, which is
a folder of model files or the URL of a mirror.
"""

from __future__ import annotations

import os
from pathlib import Path

from refine import files
from refine.errors import InputError

__all__ = ["cache_folder", "models_setting"]


def cache_folder() -> Path:
    """Folder of fetched and converted models; it need not exist.

    Raises:
        InputError: no variable names a folder and the user has no home.
    """
    return files.cache_folder("mace")


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
    folder = files.expanded(named)
    if not folder.is_dir():
        raise InputError("no such folder", where=f"REFINE_MODELS={named}", fix="make it, or unset the variable")
    return folder
