"""Compiled programs, kept from one command to the next: what was compiled once is loaded after that.

jax's persistent cache holds them, in `compiled` below the folder of `refine.files.cache_folder`. It finds a program by
its text, the compiler's version, options and flags, and the device; entries are written under a lock, so that several
processes may share the folder, and beyond `LIMIT` the least recently used ones go. Here a folder is chosen for this
version of jax and this processor, because XLA loads machine code of another one with no more than a log line
(https://github.com/jax-ml/jax/issues/38445); it crashes there, or rounds otherwise.

JAX_COMPILATION_CACHE_DIR names another folder, all of whose settings are then jax's; JAX_ENABLE_COMPILATION_CACHE=0
turns the cache off.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refine.errors import RefineError
from refine.files import cache_folder

__all__ = ["announce", "keep_programs", "processor", "quieten", "tell_compilations"]

LIMIT = 256 * 2**20
"""Bytes for each version of jax and processor. The programs of a study with a pair potential take less than 1 MB; of
several thousand entries jax takes as long to write one more as to compile a small program."""

SHORTEST = 0.1
"""Seconds of compilation from which a program is kept."""

UNUSED = 30 * 86400
"""Seconds after which the folder of another version or processor goes."""

UNFINISHED = 60
"""Seconds after which an entry without its mark of time is one whose writing was interrupted."""


_listeners: list[tuple[int, Callable[[str], None]]] = []
"""With the threads that listen: nobody is told anything by another one (`refine.progress`)."""


def announce(program: str) -> None:
    """Tell whoever listens in this thread that a program of this name is about to be compiled."""
    for thread, say in list(_listeners):
        if thread == threading.get_ident():
            say(f"compiling {program}")


@contextmanager
def tell_compilations(say: Callable[[str], None]) -> Iterator[None]:
    """Have `say` told what this thread compiles, for the time of a command."""
    listener = threading.get_ident(), say
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def quieten() -> None:
    """No false alarms of XLA. To be called before anything imports jax: the setting is read when it is loaded.

    XLA takes two tuning hints of its own for features that the processor lacks, and says so of every program it loads.
    TF_CPP_MIN_LOG_LEVEL, where the user has set it, is left alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def keep_programs(say: Callable[[str], None]) -> None:
    """Have jax keep the programs that this process compiles. To be called before it compiles the first.

    say: is told, in one line, why nothing is kept where the folder cannot be used; the command goes on without.
    """
    import jax

    config: Any = jax.config  # its attributes are made at run time
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache or _crashes(jax.__version__):
        return
    try:
        folder = cache_folder("compiled") / f"jax-{jax.__version__}-{processor()}"
        _tidy(folder)
    except RefineError as error:
        say(f"compiled programs are not kept: {error}")
        return
    except OSError as error:
        say(f"compiled programs are not kept: {error}; set REFINE_CACHE to a folder that can be written to")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", LIMIT)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST)


def _crashes(version: str) -> bool:
    """Whether loading a large program may overflow the stack of a thread: jaxlib before 0.10 on macOS does."""
    return sys.platform == "darwin" and version.startswith(("0.7", "0.8", "0.9"))


def processor() -> str:
    """A short digest of the processor's model and instructions."""
    words = [platform.machine(), platform.processor()]
    described = Path("/proc/cpuinfo")
    if described.exists():
        lines = described.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        words += [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU "))]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _tidy(folder: Path) -> None:
    """Make the folder, and take out what nobody will use: other folders of long ago, and entries half written.

    jax writes an entry, `...-cache`, and then its time of use, `...-atime`; one that has none is not whole, and would
    keep later ones from being written (https://github.com/jax-ml/jax/issues/39880).

    Raises OSError where the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        os.utime(folder)  # of its last use
    for other in folder.parent.iterdir():
        if other.is_dir() and _unchanged_for(other) > UNUSED:
            shutil.rmtree(other, ignore_errors=True)
    for entry in folder.glob("*-cache"):
        marked = entry.with_name(entry.name.removesuffix("-cache") + "-atime").exists()
        if not marked and _unchanged_for(entry) > UNFINISHED:
            entry.unlink(missing_ok=True)


def _unchanged_for(path: Path) -> float:
    """Seconds since it was changed; of what another process has removed by now, none."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
