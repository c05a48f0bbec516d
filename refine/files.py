"""Writing so that nothing is ever half written, one process at a time in an output folder, and where the cache is.

`REFINE_CACHE` is the folder for everything that refine can make or fetch again; without it that is
`$XDG_CACHE_HOME/refine`, else `~/.cache/refine`.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from refine.errors import CheckpointError, InputError


def cache_folder(part: str) -> Path:
    """Folder of one kind of things that can be made or fetched again; it need not exist.

    Raises:
        InputError: no variable names a folder and the user has no home.
    """
    named = os.environ.get("REFINE_CACHE", "").strip()
    if named:
        return expanded(named) / part
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification calls relative paths invalid and has them ignored.
    base = Path(shared) if os.path.isabs(shared) else expanded("~") / ".cache"
    return base / "refine" / part


def expanded(path: str) -> Path:
    """The path with a leading ~ as the home folder.

    Raises:
        InputError: whose home folder it is, is not known.

    >>> expanded("runs/argon").as_posix()
    'runs/argon'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        fix = "set REFINE_CACHE, or what you gave, to a path without ~"
        raise InputError(f"the home folder of {path} is not known", fix=fix) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well; else `path` stays as it was.

    The new content is on disk before the name changes, so a crash at any moment leaves the old file or the new one.

    Raises:
        CheckpointError: disk full, not writable, ...
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        put_in_place(temporary, path)
        temporary = None
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def put_in_place(whole: Path, path: Path) -> None:
    """Rename a whole file to its place in the same folder, once its content is on disk.

    Raises:
        OSError: disk full, not writable, ...
    """
    with whole.open("rb+") as stream:
        os.fsync(stream.fileno())
    whole.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "note.txt", "85 K")
    ...     [path.name for path in Path(folder).iterdir()]
    ['note.txt']
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def make_folder(path: Path) -> None:
    """Make a folder and its parents."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _explained(error, path) from error


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; nothing where there is none."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot be removed: {error.strerror or error}", where=str(path)) from error


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold an output folder; the operating system lets go of it when the process ends, however it ends.

    A folder that was not there before is removed again where the block ends with an error and has written nothing: what
    is refused leaves no folder behind.

    Raises:
        CheckpointError: another process holds it, or it cannot be held.
    """
    import fcntl

    made = [one for one in (folder, *folder.parents) if not os.path.exists(one)]  # False also where it cannot be seen
    make_folder(folder)
    path = folder / ".lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _explained(error, path) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (path.exists() and os.path.samestat(os.fstat(handle), path.stat())):
                raise BlockingIOError(errno.EWOULDBLOCK, "removed by the process that made it")
        except BlockingIOError as error:
            raise CheckpointError(
                "another process is writing to this folder",
                where=str(folder),
                fix="wait for it, or choose another folder",
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"cannot be locked: {error.strerror or error}",
                where=str(folder),
                fix="choose a folder on a file system that has locks",
            ) from error
        try:
            yield
        except BaseException:
            _remove_unused(made, path)
            raise
    finally:
        os.close(handle)


def _remove_unused(made: Sequence[Path], lock: Path) -> None:
    """A folder that was made, if it holds its lock alone, and then the parents that were made and are empty."""
    with suppress(OSError):
        if made and list(lock.parent.iterdir()) == [lock]:
            lock.unlink()
            for one in made:
                one.rmdir()


def is_held(folder: Path) -> bool:
    """Whether a process holds a folder (`exclusive`) now; nothing is written."""
    import fcntl

    try:
        handle = os.open(folder / ".lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def of_system(error: OSError) -> CheckpointError | None:
    """What the operating system says of a path that a user named, such as a name too long; None: it may be a defect."""
    if error.filename is None or error.errno not in _FIXES:
        return None
    return CheckpointError(error.strerror or str(error), where=os.fsdecode(error.filename), fix=_FIXES[error.errno])


_FIXES = {
    errno.ENOSPC: "free some space and try again; a run goes on with --resume",
    errno.EDQUOT: "free some of your quota and try again; a run goes on with --resume",
    errno.EACCES: "choose a path that you may read or write to",
    errno.EPERM: "choose a path that you may read or write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOTDIR: "a file stands where the folder should be; choose another folder",
    errno.EEXIST: "a file stands where the folder should be; choose another folder",
    errno.EISDIR: "a folder stands where the file should be; choose another name",
    errno.ENAMETOOLONG: "choose a shorter one",
    errno.ELOOP: "its links lead back to themselves; mend them",
}
"""What a user can do, by what the operating system says."""


def _explained(error: OSError, path: Path) -> CheckpointError:
    what = f"cannot write: {error.strerror or error}; the last good state is intact"
    fix = "make its folder first" if error.errno == errno.ENOENT else _FIXES.get(error.errno or 0)
    return CheckpointError(what, where=str(path), fix=fix)
