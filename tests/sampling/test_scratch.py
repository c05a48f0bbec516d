"""Folders for the files of other programs: they go with their owner, or at the next start after it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from refine.sampling.external.scratch import PREFIX, Scratch

HOLDS = """
import subprocess, sys, time
from refine.sampling.external.scratch import Scratch
scratch = Scratch()
(scratch.path / "block.in").write_text("run 1")
heir = 0
if "heir" in sys.argv:
    heir = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=(scratch.lock,)).pid
print(scratch.path, heir, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def killed(*words: str) -> tuple[Path, int]:
    """The folder of a process that was killed with -9, and its heir."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    path, heir = process.stdout.readline().split()
    other = Scratch()  # it lives
    assert Path(path).is_dir()
    assert other.path.is_dir()
    process.kill()
    process.wait()
    process.stdout.close()
    return Path(path), int(heir)


def test_a_folder_goes_with_its_owner(place: Path) -> None:
    scratch = Scratch()
    (scratch.path / "block.in").write_text("run 1")
    assert scratch.path.parent == place
    assert scratch.path.stat().st_mode & 0o077 == 0
    del scratch
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start() -> None:
    left, _ = killed()
    assert (left / "block.in").exists()
    scratch = Scratch()
    assert not left.exists()
    assert scratch.path.is_dir()


def test_a_program_that_outlives_its_owner_keeps_the_folder() -> None:
    left, heir = killed("heir")
    try:
        Scratch()
        assert left.is_dir()
    finally:
        os.kill(heir, signal.SIGKILL)


def test_nothing_else_is_removed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Folders without a lock, files, and links to what is elsewhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".owner").touch()
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    (place / f"{PREFIX}file").touch()
    (place / f"{PREFIX}folder").mkdir()
    (place / "refine-scratch").mkdir()
    inner = place / f"{PREFIX}linked"
    inner.mkdir()
    (inner / ".owner").symlink_to(elsewhere / ".owner")
    before = sorted(place.iterdir())
    del_me = Scratch()
    del del_me
    assert sorted(place.iterdir()) == before
    assert (elsewhere / ".owner").exists()
