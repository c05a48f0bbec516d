"""Where models lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from refine.errors import InputError
from refine.potentials.mace.places import cache_folder, models_setting


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REFINE_CACHE", "REFINE_MODELS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "/home/someone/.cache/refine/mace"),
        ({"XDG_CACHE_HOME": "/scratch"}, "/scratch/refine/mace"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/someone/.cache/refine/mace"),
        ({"XDG_CACHE_HOME": "/scratch", "REFINE_CACHE": "/fast"}, "/fast/mace"),
        ({"REFINE_CACHE": "~/fast"}, "/home/someone/fast/mace"),
        ({"REFINE_CACHE": "here"}, "here/mace"),
        ({"REFINE_CACHE": "  "}, "/home/someone/.cache/refine/mace"),
    ],
)
def test_cache_folder(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_nobody_has_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINE_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(InputError, match="~nobody-of-this-name/cache is not known; set REFINE_CACHE"):
        cache_folder()


def test_models_in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert models_setting() is None
    monkeypatch.setenv("REFINE_MODELS", str(tmp_path))
    assert models_setting() == tmp_path


@pytest.mark.parametrize("url", ["https://mirror.example/mace", "HTTP://mirror.example:8000/mace/"])
def test_models_on_a_mirror(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REFINE_MODELS", url)
    assert models_setting() == url.rstrip("/")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/no/such/folder", "REFINE_MODELS=/no/such/folder: no such folder; make it"),
        (__file__, "no such folder"),
        ("file:///models", "neither a folder nor an http"),
        ("file:/models", "no such folder"),
        ("ftp://mirror.example", "neither a folder nor an http"),
    ],
)
def test_settings_that_mean_nothing(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    monkeypatch.setenv("REFINE_MODELS", value)
    with pytest.raises(InputError, match=message):
        models_setting()
