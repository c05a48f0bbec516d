"""Folders for the files of a program that is no part of this process, which leave nothing behind.

A folder goes with the object that made it. One whose process was killed stays, until the next start of a program
removes it: its owner holds a lock, which the operating system lets go of however a process ends. A process's number
would say less, since it is given to others, and counts in its own container alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from pathlib import Path

PREFIX = "refine-scratch-"
UNFINISHED = "refine-unlocked-"
"""Of a folder that is not locked yet, which nobody takes for one that is left behind."""

LOCK = ".owner"


class Scratch:
    """A folder in the place for temporary files.

    Attributes:
        path: of it.
        lock: descriptor of its lock; a program that inherits it keeps the folder while it runs.
    """

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()))
        made = Path(tempfile.mkdtemp(prefix=UNFINISHED))
        self.lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.path = made.rename(made.with_name(PREFIX + made.name.removeprefix(UNFINISHED)))
        weakref.finalize(self, _remove, self.path, self.lock)


def remove_abandoned(place: Path) -> None:
    """Remove the folders of this user there whose owners have ended."""
    for folder in place.glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # just removed by its owner, or none of ours
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # in use
            os.close(lock)
        else:
            _remove(folder, lock)


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
