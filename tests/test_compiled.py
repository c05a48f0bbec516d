"""Programs that are kept: the same numbers from them, and what may stand in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refine.compiled import LIMIT, keep_programs
from tests import small_box

ROOT = Path(__file__).parent.parent

CODE = """
import sys
from refine.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as exit:
    assert exit.code in (0, 3, 4), exit.code
assert "jax_md" not in sys.modules
"""


def _start(*words: object, cache: Path) -> subprocess.Popen[str]:
    """A command in a process of its own, whose cache is `cache` and not that of the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "TF_CPP"))}
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *map(str, words)],
        env=environment | {"REFINE_CACHE": str(cache)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _said(process: subprocess.Popen[str]) -> str:
    output = process.communicate(timeout=600)[0]
    assert process.returncode == 0, output
    return output


def _entries(cache: Path) -> dict[str, bytes]:
    """Time of use of every program in the one folder of the cache, by its name there."""
    (folder,) = (cache / "compiled").iterdir()
    times = {file.name.removesuffix("-atime"): file.read_bytes() for file in folder.glob("*-atime")}
    assert set(times) == {file.name.removesuffix("-cache") for file in folder.glob("*-cache")}
    return times


def _numbers(folder: Path) -> tuple[Any, list[bytes]]:
    """All of result.json but how long it took, and the curves."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: timeless(inner) for key, inner in value.items() if not key.startswith("seconds")}
        return [timeless(inner) for inner in value] if isinstance(value, list) else value

    curves = [file.read_bytes() for file in sorted((folder / "curves").iterdir())]
    return timeless(json.loads((folder / "result.json").read_text())), curves


@pytest.mark.slow
def test_a_later_run_loads_its_programs_and_repeats_the_numbers(tmp_path: Path) -> None:
    """Of two that compile at once and one that finds their programs. The default path, Langevin from a relaxed packing,
    which needs no jax_md either (`CODE`)."""
    study, cache = small_box.write(tmp_path), tmp_path / "cache"
    short = ("--set", "refinement.iterations=1", "--set", "sampling.frames=24", "--set", "sampling.equilibration=0.5")

    def start(name: str) -> subprocess.Popen[str]:
        return _start("run", study, "--out", tmp_path / name, *short, cache=cache)

    said = [_said(process) for process in [start("one"), start("two")]]
    before = _entries(cache)
    said.append(_said(start("three")))
    after = _entries(cache)
    programs = {name for name in before if name.startswith("jit_program")}
    assert len(programs) == 3  # beginning and steps of the relaxation, and dynamics
    assert {name for name in after if name.startswith("jit_program")} == programs
    assert all(after[name] != before[name] for name in programs)
    for text in said:
        assert "kept" not in text
        assert "XLA" not in text
        assert "compilation cache" not in text
    assert _numbers(tmp_path / "one") == _numbers(tmp_path / "two") == _numbers(tmp_path / "three")


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """jax.config as it is where nothing is set, and an empty cache."""
    import jax

    config: Any = jax.config
    names = (
        "jax_compilation_cache_dir",
        "jax_compilation_cache_max_size",
        "jax_persistent_cache_min_compile_time_secs",
    )
    values = {name: getattr(config, name) for name in names}
    config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("REFINE_CACHE", str(tmp_path))
    yield config
    for name, value in values.items():
        config.update(name, value)


def test_a_folder_that_cannot_be_used_is_said_in_one_line(
    unset: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    (tmp_path / "file").touch()
    monkeypatch.setenv("REFINE_CACHE", str(tmp_path / "file"))
    keep_programs(said.append)
    monkeypatch.setenv("REFINE_CACHE", "~nobody-of-this-name/cache")
    keep_programs(said.append)
    assert len(said) == 2
    assert all(text.startswith("compiled programs are not kept: ") and "REFINE_CACHE" in text for text in said)
    assert not any("\n" in text for text in said)
    assert unset.jax_compilation_cache_dir is None


def test_a_cache_that_the_user_has_chosen_stays(unset: Any, tmp_path: Path) -> None:
    unset.update("jax_compilation_cache_dir", "/somewhere")
    keep_programs(pytest.fail)
    assert unset.jax_compilation_cache_dir == "/somewhere"
    unset.update("jax_compilation_cache_dir", None)
    unset.update("jax_enable_compilation_cache", False)
    try:
        keep_programs(pytest.fail)
    finally:
        unset.update("jax_enable_compilation_cache", True)
    assert unset.jax_compilation_cache_dir is None
    assert not list(tmp_path.iterdir())


def test_what_nobody_will_use_goes(unset: Any, tmp_path: Path) -> None:
    """Folders of another version unused for a month; entries whose writing was interrupted."""
    keep_programs(pytest.fail)
    (folder,) = (tmp_path / "compiled").iterdir()
    assert unset.jax_compilation_cache_dir == str(folder)
    assert unset.jax_compilation_cache_max_size == LIMIT
    day, now = 86400, time.time()
    others = {"jax-old": 40 * day, "jax-recent": 20 * day}
    entries = {"whole-cache": 2 * day, "whole-atime": 2 * day, "half-cache": 2 * day, "being-written-cache": 5}
    for path, age in [(folder.parent / name, age) for name, age in others.items()]:
        path.mkdir()
        (path / "program-cache").touch()
        os.utime(path, (now - age, now - age))
    for path, age in [(folder / name, age) for name, age in entries.items()]:
        path.touch()
        os.utime(path, (now - age, now - age))
    unset.update("jax_compilation_cache_dir", None)
    keep_programs(pytest.fail)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "jax-recent"}
    assert {path.name for path in folder.iterdir()} == set(entries) - {"half-cache"}


def test_what_another_process_tidies_meanwhile_is_passed_over(
    unset: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An entry and a folder that vanish once they have been listed."""
    keep_programs(pytest.fail)
    (folder,) = (tmp_path / "compiled").iterdir()
    (folder / "gone-cache").symlink_to(folder / "nothing")
    (folder.parent / "jax-gone").symlink_to(folder.parent / "nothing")
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: path.name == "jax-gone" or is_dir(path))
    unset.update("jax_compilation_cache_dir", None)
    keep_programs(pytest.fail)
    assert unset.jax_compilation_cache_dir == str(folder)
