"""Matrices of a fit have one thread, in the command and in a script, and a script's own have theirs again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from refine import Study
from refine.threads import VARIABLE, one_thread
from tests import small_box
from tests.listening import Stop


def threads() -> list[int]:
    """Of every BLAS in this process."""
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_one_thread_and_as_many_as_before() -> None:
    np.linalg.cholesky(np.eye(2))
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        with one_thread():
            assert set(threads()) == {1}
        assert threads() == before
        assert set(before) == {min(2, os.cpu_count() or 1)}


def test_an_update_of_a_run_in_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the script's own BLAS has."""
    study = Study.from_toml(small_box.write(tmp_path))
    found = []

    def update(self: Any, *arguments: Any) -> None:
        found.append(threads())
        raise Stop

    monkeypatch.setattr(type(study.rule), "update", update)
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        with pytest.raises(Stop):
            study.run(tmp_path / "out")
        assert threads() == before
    assert set(found[0]) == {1}


@pytest.mark.parametrize(("stated", "expected"), [(None, "1"), ("2", "2")])
def test_the_command_sets_it_where_nobody_has(stated: str | None, expected: str) -> None:
    """Before numpy is there."""
    code = (
        "import atexit, os, sys; import refine.cli.main as command; assert 'numpy' not in sys.modules; "
        "sys.argv = ['refine', '--version']; atexit.register(lambda: print(os.environ[command.VARIABLE])); "
        "command.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if stated is not None:
        environment[VARIABLE] = stated
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.split()[-1] == expected
